//! The ports in memory, with failures on demand, for tests of the actors without PostgreSQL or
//! Telegram. Behind the feature `testkit`; nothing of it is in the service.

mod order_store;

pub use order_store::MemoryOrderStore;
