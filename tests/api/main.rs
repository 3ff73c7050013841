//! Black-box tests: the production app, a real PostgreSQL, hooks over HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "../support/fake_bot_api.rs"]
mod fake_bot_api;
#[path = "../support/mod.rs"]
mod support;

mod answers;
mod bodies;
mod faults;
mod life;
mod logs;
mod nodes;
mod operations;
mod overload;
mod repeats;
