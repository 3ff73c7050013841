//! What the tests of the state machine share: builders, the reference model and how both are driven.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary includes the whole and uses a part"
)]
#![allow(clippy::unwrap_used, reason = "a builder that cannot build fails its test")]

pub mod build;
pub mod drive;
pub mod model;
pub mod show;
pub mod strategies;
