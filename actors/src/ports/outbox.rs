//! The outbox port: what waits to be told, and what became of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use orderhook_domain::ids::{OrderId, OrderNumber, StoreId};
use orderhook_domain::notice::Notice;

/// The sending side of the outbox. Rows are claimed right before they are sent, by the epoch of the
/// leader; a leader that was replaced can claim nothing, and marks nothing that the new one has claimed.
pub trait Outbox: Send + Sync + 'static {
    /// What waits for chats that may be written to: the oldest notices of each chat in their order, as many
    /// chats as are asked for. The chat whose last turn is longest ago comes first.
    ///
    /// # Errors
    /// [`OutboxError::Unavailable`].
    fn peek(&self, request: Peek) -> BoxFuture<'static, Result<Vec<WaitingNotice>, OutboxError>>;

    /// Marks these as being sent to this chat by this epoch, all or none.
    ///
    /// # Errors
    /// [`OutboxError::NotMine`] when another epoch is the leader's, or one of them waits for this chat no
    /// more; nothing was marked then.
    fn claim(&self, epoch: i64, chat_id: i64, notice_ids: Vec<i64>) -> BoxFuture<'static, Result<(), OutboxError>>;

    /// Records what became of notices that were claimed and sent together.
    ///
    /// # Errors
    /// [`OutboxError::Unavailable`]; the caller keeps the result and tries again.
    fn settle(&self, settled: Settled) -> BoxFuture<'static, Result<(), OutboxError>>;

    /// What was sent, or may have been sent, within the last minute, by whoever was the leader: a new one
    /// paces from that.
    ///
    /// # Errors
    /// [`OutboxError::Unavailable`].
    fn recent(&self) -> BoxFuture<'static, Result<Vec<RecentSend>, OutboxError>>;

    /// Puts right what nobody could see when it was written: gives notices of open orders that wait for a
    /// chat to one that has subscribed meanwhile, takes them back from chats whose subscription ended
    /// meanwhile, and drops those of orders that are over. Returns how many got a chat.
    ///
    /// # Errors
    /// [`OutboxError::Unavailable`].
    fn keep_house(&self) -> BoxFuture<'static, Result<u64, OutboxError>>;
}

/// Which notices are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// Chats that have a message in flight or may not be written to now.
    pub except_chats: Vec<i64>,
    /// Chats that had a turn lately, the one whose turn is longest ago first. Others come before them, the
    /// one that has waited longest first.
    pub served_chats: Vec<i64>,
    /// At most so many chats.
    pub chats: i64,
    /// At most so many notices of each.
    pub per_chat: i64,
}

/// One row of the outbox with the facts to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct WaitingNotice {
    /// The row.
    pub notice_id: i64,
    /// Where to.
    pub chat_id: i64,
    /// Which order.
    pub order_id: OrderId,
    /// The partner's number of it.
    pub number: Option<OrderNumber>,
    /// Which store.
    pub store_id: StoreId,
    /// What to tell.
    pub notice: Notice,
    /// When it was committed.
    pub created_at: DateTime<Utc>,
    /// How long ago that is, by the database's clock.
    pub waited: Duration,
    /// How often sending it was tried before.
    pub attempts: i32,
    /// It was sent, or claimed to be sent, and nobody knows whether Telegram took it: sending it may repeat it.
    pub maybe_sent: bool,
    /// The message that announced the order in this chat, to reply to.
    pub first_message_id: Option<i64>,
}

/// One message that was sent not long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecentSend {
    /// Where to.
    pub chat_id: i64,
    /// How long ago, by the database's clock.
    pub ago: Duration,
}

/// What became of notices that were sent together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The epoch that claimed them.
    pub epoch: i64,
    /// The rows.
    pub notice_ids: Vec<i64>,
    /// The chat they went to.
    pub chat_id: i64,
    /// What became of them.
    pub result: SettledAs,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettledAs {
    /// Telegram has it.
    Sent {
        /// Telegram's id of the message.
        message_id: i64,
    },
    /// Telegram has very likely taken it, but its answer could not be read.
    ProbablySent {
        /// For operations.
        error: String,
    },
    /// Try again after this pause.
    Retry {
        /// From now on, by the database's clock.
        after: Duration,
        /// For operations.
        error: String,
        /// Telegram may have taken it: sending it again may repeat it.
        maybe_sent: bool,
    },
    /// The chat takes no messages any more: it is disabled. What waits for it waits for the next chat of
    /// its store where nobody else is told, and has failed where others are.
    ChatGone {
        /// For operations.
        error: String,
    },
    /// The group has another id now; its subscriptions and what waits for it move there.
    ChatMoved {
        /// The new id.
        to: i64,
    },
}

/// Why the outbox did not do it, by the reaction it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// Another node is the leader, or these notices wait no more: look again.
    #[error("these notices are not this node's to send")]
    NotMine,
    /// Try again soon.
    #[error("the database did not finish: {0}")]
    Unavailable(String),
}
