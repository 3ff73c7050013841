//! What an event does to an order: the only writer of an order's state.
//!
//! [`apply`] is pure. It returns the next state together with the effects that must become durable
//! in the same transaction; nobody acts on them before that transaction has committed.
//!
//! # Layout
//! - `outcome`: the words of the history.
//! - `step`: one judgement under way; created, and what waits for it.
//! - `change`: late repeats and differences; `mark`: paid, shipped, delivered, cancelled.
//!
//! The rules are those of protocol sections 2 and 5; each is named where it is applied.

mod change;
mod mark;
mod outcome;
mod step;

use std::collections::HashSet;

use chrono::Duration;

use crate::event::{ContentDigest, Delivery, EventKind};
use crate::ids::{DeliveryId, ProductId, StoreId};
use crate::notice::Notice;
use crate::order::{JudgedChange, MAX_PARKED, Order};
use crate::quantity::Quantity;

pub use outcome::{Conflict, Note, Outcome};
use step::Step;

/// What the partner decides, not SM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// From the creation of a document to the promised end of its assembly.
    pub assembly_time: Duration,
}

/// Goods that leave the store with a line of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockMovement {
    /// The line of the document.
    pub line: u32,
    /// The store that they leave.
    pub store_id: StoreId,
    /// The SKU.
    pub product_id: ProductId,
    /// How much leaves; above 0.
    pub quantity: Quantity,
}

/// What an event does. Nothing of it is true before it is committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The next state, its version raised by one; `None` when the order stays unknown (an
    /// informational or unknown event makes no order known, rule 4).
    pub order: Option<Order>,
    /// For the history.
    pub outcome: Outcome,
    /// For the history, in the order of the rules.
    pub notes: Vec<Note>,
    /// One set per order, for ever (rule 7).
    pub stock: Vec<StockMovement>,
    /// What staff are told.
    pub notice: Option<Notice>,
}

/// More events wait for created than an order can have; the hook is refused (429), never dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_PARKED} events wait for order.created")]
pub struct ParkedFull;

/// The earlier deliveries of which `apply` must know whether SM got their answer (rule 5).
/// Almost always none.
#[must_use]
pub fn questions(order: &Order, delivery: &Delivery) -> Vec<DeliveryId> {
    let event = &delivery.event;
    match event.kind {
        EventKind::Changed if order.document.is_some() && event.sm_timestamp.is_none() => {
            let memory = &order.memory;
            let is_older = |judged: &&JudgedChange| judged.after < memory.changes_applied;
            // Most changes have none behind them; the fingerprint is made only for those that have.
            if !memory.judged_changes.iter().any(|judged| is_older(&judged)) {
                return Vec::new();
            }
            let digest = ContentDigest::of(&event.content);
            let older = memory.judged_changes.iter().filter(is_older);
            older
                .filter(|judged| judged.digest == digest)
                .map(|judged| judged.delivery_id)
                .collect()
        }
        EventKind::Created if order.document.is_none() => {
            let parked_changes = || {
                order
                    .memory
                    .parked
                    .iter()
                    .filter(|parked| parked.kind == EventKind::Changed)
            };
            // A late repeat has no timestamp, and needs its first arrival and a change between them.
            let all_have_timestamps = parked_changes().all(|parked| parked.timestamp.is_some());
            if all_have_timestamps || parked_changes().count() < 3 {
                return Vec::new();
            }
            parked_changes().map(|parked| parked.delivery_id).collect()
        }
        _ => Vec::new(),
    }
}

/// Judges one delivery.
///
/// `order` is the state as last committed ([`Order::unknown`] when there is no row), `answered` holds
/// those of [`questions`] whose answer is recorded.
///
/// # Errors
/// [`ParkedFull`] when the event would have to be parked and the bound is met.
pub fn apply(
    order: &Order,
    delivery: &Delivery,
    rules: Rules,
    answered: &HashSet<DeliveryId>,
) -> Result<Transition, ParkedFull> {
    let mut step = Step {
        next: order.clone(),
        rules,
        answered,
        outcome: Outcome::Ignored,
        notes: Vec::new(),
        stock: Vec::new(),
        notice: None,
    };
    match delivery.event.kind {
        // Informational and unknown events never make an order known (rule 4).
        EventKind::Informational | EventKind::Unknown if order.version == 0 => {
            return Ok(Transition {
                order: None,
                outcome: Outcome::Ignored,
                notes: Vec::new(),
                stock: Vec::new(),
                notice: None,
            });
        }
        EventKind::Informational | EventKind::Unknown => {}
        EventKind::Created => step.created(delivery),
        _ if order.document.is_none() => step.park(delivery)?,
        EventKind::Changed => step.changed_now(delivery),
        kind @ (EventKind::Paid | EventKind::Received | EventKind::Delivered | EventKind::Cancelled) => {
            step.mark_now(kind, delivery);
        }
    }
    step.next.version += 1;
    Ok(Transition {
        order: Some(step.next),
        outcome: step.outcome,
        notes: step.notes,
        stock: step.stock,
        notice: step.notice,
    })
}
