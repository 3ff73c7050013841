//! What the actors need of the outside: an order store, an outbox and a messenger.
//!
//! The service implements them with PostgreSQL and Telegram; the `testkit` feature implements them
//! in memory with failures on demand. Errors are typed by the reaction they need, never by their
//! cause; the adapter logs the cause where it happened.

pub mod messenger;
pub mod order_store;
pub mod outbox;

pub use messenger::{Messenger, Rendered, RenderedMessages, SendError};
pub use order_store::{Answered, Arrival, Commit, Committed, OrderStore, Replay, StoreError};
pub use outbox::{Outbox, OutboxError, Peek, RecentSend, Settled, SettledAs, WaitingNotice};
