//! What an order is and what an event does to it: the pure heart of orderhook.
//!
//! # Objective
//! Read what SM sends ([`protocol`]), and decide what it means ([`apply`](apply::apply)).
//! Everything here is a plain function of its arguments: no clock, no I/O, no async, no globals.
//! Time is an argument, the order number is given by the database, and whether an earlier answer
//! reached SM is told to `apply` as a fact.
//!
//! # Layout
//! - [`ids`], [`money`], [`quantity`]: values that are parsed once and then correct by construction.
//! - [`event`]: what SM said, after parsing: a closed list of kinds and the content of the payload.
//! - [`order`]: the order document, its marks and what the rules must remember of the past.
//! - [`apply`]: the only writer of an order's state; returns the next state and its effects.
//! - [`diff`]: what a change changes, as a value.
//! - [`notice`]: the facts that staff are told; no formatting.
//! - [`protocol`]: bytes to events, and the bodies of answers.
//!
//! Section numbers ("protocol section 5, rule 2") refer to the SM order protocol, as `ARCHITECTURE.md` counts it
//! under "How the rules of SM are read".

pub mod apply;
pub mod diff;
pub mod event;
pub mod ids;
mod moment;
pub mod money;
pub mod notice;
pub mod order;
pub mod protocol;
pub mod quantity;
