//! The actors of orderhook, behind handles, and the ports they use.

pub mod mailbox;
pub mod metrics;
pub mod ports;
