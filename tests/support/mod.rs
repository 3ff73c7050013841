//! What the black-box tests share. Every test binary uses a part of it.
#![allow(dead_code, reason = "each test binary uses a part of the shared support")]
#![allow(unreachable_pub, reason = "the modules are included by several test binaries")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

pub mod app;
pub mod cluster;
pub mod database;
pub mod replicated;
