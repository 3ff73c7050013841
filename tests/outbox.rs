//! The outbox on a real PostgreSQL: who may claim what, what becomes of it, and who is the leader.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "outbox/chats.rs"]
mod chats;
#[path = "outbox/claims.rs"]
mod claims;
#[path = "outbox/fixture.rs"]
mod fixture;
#[path = "outbox/history.rs"]
mod history;
#[path = "outbox/leader.rs"]
mod leader;
#[path = "outbox/looking.rs"]
mod looking;
#[path = "support/mod.rs"]
mod support;
#[path = "outbox/unanswered.rs"]
mod unanswered;
