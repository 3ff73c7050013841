//! The messenger port: texts for staff, and their delivery.

use std::fmt;
use std::time::Duration;

use futures_util::future::BoxFuture;
use orderhook_domain::notice::NoticeKind;

use crate::ports::WaitingNotice;

/// Renders and delivers messages to staff.
pub trait Messenger: Send + Sync + 'static {
    /// Renders these notices, all for one chat and in order, into as few messages as hold them.
    /// Each message says which of the notices it tells. Never empty unless `notices` is. Whoever takes only the
    /// first message pays for no more than what did not fit into it.
    fn render<'a>(&self, notices: &'a [WaitingNotice]) -> RenderedMessages<'a>;

    /// Sends one message, by one request that Telegram can take.
    ///
    /// # Errors
    /// [`SendError`] by the reaction it needs.
    fn send(&self, chat_id: i64, message: Rendered) -> BoxFuture<'static, Result<i64, SendError>>;
}

/// Messages that are rendered as they are taken.
pub type RenderedMessages<'a> = Box<dyn Iterator<Item = Rendered> + 'a>;

/// One message ready to send. Its `Debug` shows no words: a customer's are among them.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The rows of which it tells the end. Empty when it is only the first part of a long text.
    pub notice_ids: Vec<i64>,
    /// What they are about, for the metrics.
    pub kinds: Vec<NoticeKind>,
    /// In Telegram's HTML mode, at most 4096 UTF-16 units after entities are parsed. Empty when only
    /// `plain` is to be sent.
    pub html: String,
    /// The same facts without markup, for when Telegram cannot parse the HTML.
    pub plain: String,
    /// The message to reply to.
    pub reply_to: Option<i64>,
}

impl fmt::Debug for Rendered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rendered")
            .field("notice_ids", &self.notice_ids)
            .field("reply_to", &self.reply_to)
            .finish_non_exhaustive()
    }
}

/// Why a message was not sent, by the reaction it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// 429: this chat must wait exactly so long.
    #[error("Telegram asks this chat to wait {0:?}")]
    RetryAfter(Duration),
    /// Blocked, kicked, not found, no rights: disable the chat.
    #[error("the chat takes no messages: {0}")]
    ChatGone(String),
    /// The group became a supergroup.
    #[error("the chat moved to {0}")]
    ChatMoved(i64),
    /// Telegram does not take the text in this form: these messages hold the same facts in another one, the
    /// last one with the rows.
    #[error("Telegram refuses the text: {reason}")]
    Refused {
        /// For operations.
        reason: &'static str,
        /// Never empty.
        instead: Vec<Rendered>,
    },
    /// The token is not valid: nothing can be sent to anybody.
    #[error("Telegram does not accept the bot's token")]
    InvalidToken,
    /// Telegram has very likely taken it, but its answer could not be read: do not repeat it.
    #[error("Telegram's answer could not be read: {0}")]
    ProbablySent(String),
    /// It went out, and nothing came back that says whether Telegram has taken it: no answer, a 5xx, an
    /// error page of a proxy. Try again after a pause; it may come twice.
    #[error("nobody knows whether Telegram has taken the message: {0}")]
    Unanswered(String),
    /// It did not get out, or Telegram refused it: it was not taken. Try again after a pause.
    #[error("Telegram did not take the message: {0}")]
    Temporary(String),
}
