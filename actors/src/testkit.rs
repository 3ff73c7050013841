//! The ports in memory, with failures on demand, for tests of the actors without PostgreSQL or
//! Telegram. Behind the feature `testkit`; nothing of it is in the service.

mod messenger;
mod order_store;
mod outbox;

pub use messenger::{MemoryMessenger, SentMessage};
pub use order_store::MemoryOrderStore;
pub use outbox::{MemoryOutbox, Row, RowState};
