//! The pool: a real nginx in front of several processes of the production binary on one database.
//!
//! Figures are printed, never asserted: `cargo test --release --test pool -- --nocapture --test-threads 1`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod cut_off;
mod drain;
mod failover;
mod joining;
mod limits;
mod load;
mod manager;
mod nginx;
mod old_primary;
mod pool;
mod primary;
#[path = "../chaos/proxy.rs"]
mod proxy;
mod rendering;
mod rolling;
mod routing;
mod standby;
mod tls;
