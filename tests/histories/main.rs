//! Random histories of many orders through the whole service: two nodes in processes of their own, one
//! PostgreSQL, many hooks in flight. What is stored must be what the reference model of protocol
//! section 5 makes of one serialisation of what was sent.
//!
//! - `plan`, `wire`: which events there are, and their bodies.
//! - `traffic`, `sent`: sends them and keeps when each was sent, by whom and when it was acknowledged.
//! - `rows`, `stored`: what the database and the operations listener then say.
//! - `check`, `replay`, `answers`, `verdict`: whether that can be; `tests/chaos` judges with the first three.
//! - `unknown_answers`: what the journal does not tell leaves nothing undecided.
//!
//! `ORDERHOOK_HISTORY_SEED` repeats the orders and the plan of a failed run. Which node is faster is
//! decided by the machine, so a failure prints the history as it was stored.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "../../actors/domain/tests/support/mod.rs"]
mod domain;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod check;
mod histories;
mod nodes;
mod plan;
mod replay;
mod report;
mod rows;
mod sent;
mod stored;
mod story;
mod traffic;
mod unknown_answers;
mod verdict;
mod wire;
