//! The commands of an operator, besides `serve` and `migrate`.

pub mod chat;
pub mod journal;
pub mod order;
pub mod sim;
pub mod stock;
