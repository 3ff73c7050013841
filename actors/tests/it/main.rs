//! The actors against ports in memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod group_commit;
mod mailbox_limits;
mod notifier;
mod panic_recovery;
mod repeats;
mod retirement;
mod support;
