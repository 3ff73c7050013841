//! The operations page: its stream, who may look and act, and the page itself in a browser.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod actions;
#[path = "../api/bodies.rs"]
#[allow(dead_code, reason = "shared with the tests of the interface")]
mod bodies;
mod browser;
mod chromium;
mod forwarder;
mod held;
mod page;
mod scraping;
mod stream;
mod viewing;
