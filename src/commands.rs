//! The commands of an operator, besides `serve` and `migrate`.

pub mod journal;
pub mod sim;
