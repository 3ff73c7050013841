//! orderhook: see the README.
pub mod telegram;
