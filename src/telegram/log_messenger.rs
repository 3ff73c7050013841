//! Texts in the log instead of Telegram: for a service without a token.

use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::BoxFuture;
use orderhook_actors::ports::{Messenger, Rendered, RenderedMessages, SendError, WaitingNotice};

use super::merge;
use super::texts::Texts;

/// Tells the log what staff would be told.
pub(super) struct LogMessenger {
    texts: Texts,
    last_id: AtomicI64,
}

impl LogMessenger {
    pub(super) const fn new(texts: Texts) -> Self {
        Self {
            texts,
            last_id: AtomicI64::new(0),
        }
    }
}

impl Messenger for LogMessenger {
    fn render<'a>(&self, notices: &'a [WaitingNotice]) -> RenderedMessages<'a> {
        Box::new(merge::render(self.texts, notices))
    }

    /// Never fails. Message ids grow from 1, as in a chat; they begin anew with the process.
    fn send(&self, chat_id: i64, message: Rendered) -> BoxFuture<'static, Result<i64, SendError>> {
        let message_id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let plain = message.plain;
        tracing::info!(target: "orderhook::telegram", chat_id, message_id, "to chat {chat_id}:\n{plain}");
        Box::pin(std::future::ready(Ok(message_id)))
    }
}
