//! The outbox port: what waits to be told, and what became of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use orderhook_domain::ids::{OrderId, OrderNumber, StoreId};
use orderhook_domain::notice::Notice;

/// The sending side of the outbox. Only the leader claims; everything else may be called by any node.
pub trait Outbox: Send + Sync + 'static {
    /// Takes the next notices of chats that may be written to, oldest first per chat, and marks
    /// them claimed by this epoch.
    ///
    /// # Errors
    /// [`OutboxError`].
    fn claim(&self, request: Claim) -> BoxFuture<'static, Result<Vec<WaitingNotice>, OutboxError>>;

    /// Records what became of notices that were sent together as one message.
    ///
    /// # Errors
    /// [`OutboxError`]; the caller keeps the result and tries again before it claims more.
    fn settle(&self, settled: Settled) -> BoxFuture<'static, Result<(), OutboxError>>;
}

/// Which notices to take.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The leader's epoch; the store refuses when it is not the current one.
    pub epoch: i64,
    /// Chats that have something in flight or may not be written to now.
    pub except_chats: Vec<i64>,
    /// At most so many notices in all.
    pub limit: i64,
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
    /// How often sending it was tried before.
    pub attempts: i32,
    /// It was claimed by an earlier leader that never said what became of it: sending it may repeat it.
    pub maybe_sent: bool,
    /// The message that announced the order in this chat, to reply to.
    pub first_message_id: Option<i64>,
}

/// What became of notices that were sent together.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The leader's epoch.
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
    /// Try again after this pause.
    Retry {
        /// From now on the database's clock.
        after: Duration,
        /// For operations.
        error: String,
    },
    /// The chat takes no messages any more: it is disabled, its pending notices have failed.
    ChatGone {
        /// For operations.
        error: String,
    },
    /// The group has another id now; its rows and pending notices move there.
    ChatMoved {
        /// The new id.
        to: i64,
    },
}

/// Why the outbox did not do it, by the reaction it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// Another node is the leader: stop sending at once.
    #[error("this node is not the leader any more")]
    NotLeader,
    /// Try again soon.
    #[error("the database did not finish: {0}")]
    Unavailable(String),
}
