//! Judging one hook: load if need be, apply, commit, and again when another node was faster.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use orderhook_domain::apply::{self, Note, Outcome, Transition};
use orderhook_domain::event::EventKind;
use orderhook_domain::ids::OrderId;
use orderhook_domain::order::Order;

use super::{Acknowledged, Hook, OrderContext};
use crate::error::DeliverError;
use crate::metrics;
use crate::ports::{Commit, Committed, StoreError};

/// The state to keep (`None`: load it next time) and what the caller is told.
type Judged = (Option<Arc<Order>>, Result<Acknowledged, DeliverError>);

pub(super) async fn judge(context: &OrderContext, id: OrderId, known: Option<Arc<Order>>, hook: &Hook) -> Judged {
    let mut known = known;
    // A created that finds no actor is taken for the first event of its order, once.
    let mut may_guess = known.is_none() && hook.delivery.event.kind == EventKind::Created;
    loop {
        // Invariant 5: from the deadline on nothing is sent and nothing is judged again.
        if Instant::now() >= hook.deadline {
            return (known, Err(DeliverError::Deadline));
        }
        let order = match known.take() {
            Some(order) => order,
            // It nearly always is. If it is not, the version says so, at the price of one statement more.
            None if may_guess => Arc::new(Order::unknown(id.clone())),
            None => match rarely(load(context, &id, hook)).await {
                Ok(order) => Arc::new(order),
                Err(error) => return (None, Err(error)),
            },
        };
        let questions = apply::questions(&order, &hook.delivery);
        let answered = if questions.is_empty() {
            HashSet::new()
        } else {
            let asking = tokio::time::timeout_at(hook.deadline.into(), context.answers.answered(questions));
            match rarely(asking).await.unwrap_or(Err(DeliverError::Deadline)) {
                Ok(answered) => answered,
                Err(error) => return (Some(order), Err(error)),
            }
        };
        let Ok(transition) = apply::apply(&order, &hook.delivery, context.rules, &answered) else {
            return (Some(order), Err(DeliverError::Busy));
        };
        let (commit, decided) = decide(&order, transition, hook);
        // Not limited here, for every hook would pay for it: the persistence actor gives a transaction up whose end
        // does not come, and those who wait behind it go on.
        match context.persistence.commit(commit).await {
            Ok(Committed::Stored { number }) => {
                let mut next = decided.order.unwrap_or(order);
                if next.number != number && decided.touches_order {
                    Arc::make_mut(&mut next).number = number;
                }
                count(hook, &decided.notes);
                let acknowledged = acknowledge(&next, decided.outcome, decided.notes);
                return (Some(next), Ok(acknowledged));
            }
            Ok(Committed::Stale) if may_guess => may_guess = false,
            Ok(Committed::Stale) => {
                ::metrics::counter!(metrics::VERSION_CONFLICTS_TOTAL).increment(1);
            }
            Ok(Committed::AlreadyStored) => {
                return match rarely(load(context, &id, hook)).await {
                    Ok(order) => {
                        let acknowledged = acknowledge(&order, Outcome::Duplicate, Vec::new());
                        (Some(Arc::new(order)), Ok(acknowledged))
                    }
                    Err(error) => (None, Err(error)),
                };
            }
            // Refused before it was sent: the state that is held is still the last committed one.
            Err(DeliverError::Busy) => return (Some(order), Err(DeliverError::Busy)),
            Err(error) => return (None, Err(error)),
        }
    }
}

/// Something that few hooks wait for, in a place of its own: what every hook has with it shall be small. Hundreds
/// are under way at once, and what does not fit in the processor's cache is fetched again at every step.
fn rarely<T>(work: impl Future<Output = T>) -> Pin<Box<impl Future<Output = T>>> {
    Box::pin(work)
}

/// What remains of a transition once its effects have been handed over.
struct Decided {
    order: Option<Arc<Order>>,
    touches_order: bool,
    outcome: Outcome,
    notes: Vec<Note>,
}

/// A transition as what is to be made durable, and what remains of it.
fn decide(before: &Order, transition: Transition, hook: &Hook) -> (Commit, Decided) {
    let order = transition.order.map(Arc::new);
    let keeps_document = order
        .as_ref()
        .is_some_and(|order| order.version > 1 && order.document == before.document);
    let decided = Decided {
        touches_order: order.is_some(),
        order: order.clone(),
        outcome: transition.outcome,
        notes: transition.notes.clone(),
    };
    let commit = Commit {
        arrival: Arc::clone(&hook.arrival),
        outcome: transition.outcome,
        notes: transition.notes,
        errors: Vec::new(),
        order,
        keeps_document,
        stock: transition.stock,
        notice: transition.notice,
        deadline: hook.deadline,
    };
    (commit, decided)
}

async fn load(context: &OrderContext, id: &OrderId, hook: &Hook) -> Result<Order, DeliverError> {
    let (request_id, deadline) = (hook.arrival.request_id(), hook.deadline);
    let mut last_error = None;
    while Instant::now() < deadline {
        let loading = tokio::time::timeout_at(deadline.into(), context.store.load(id));
        match loading.await.map_err(|_elapsed| DeliverError::Deadline)? {
            Ok(Some(order)) => {
                ::metrics::counter!(metrics::ORDER_ACTORS_TOTAL, "event" => "reloaded").increment(1);
                return Ok(order);
            }
            Ok(None) => return Ok(Order::unknown(id.clone())),
            Err(StoreError::Transient(cause)) => {
                tracing::debug!(request_id, %cause, "loading an order is tried again");
                last_error = Some(cause);
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(StoreError::Unavailable(cause)) => {
                tracing::warn!(request_id, %cause, "an order cannot be loaded: the database is away");
                return Err(DeliverError::Unavailable);
            }
            Err(StoreError::Data(cause)) => {
                tracing::error!(request_id, %cause, order_id = id.as_str(), "a stored order cannot be read");
                return Err(DeliverError::Unstorable);
            }
        }
    }
    tracing::warn!(
        request_id,
        cause = last_error,
        "an order could not be loaded by the deadline"
    );
    Err(DeliverError::Deadline)
}

fn acknowledge(order: &Order, outcome: Outcome, notes: Vec<Note>) -> Acknowledged {
    Acknowledged {
        outcome,
        notes,
        number: order.number.clone(),
        assembly_due_at: order.document.as_ref().map(|document| document.assembly_due_at),
    }
}

fn count(hook: &Hook, notes: &[Note]) {
    for note in notes {
        match note {
            Note::Conflict(conflict) => {
                let conflict = conflict.as_str();
                ::metrics::counter!(metrics::CONFLICTS_TOTAL, "conflict" => conflict).increment(1);
                tracing::warn!(
                    request_id = hook.arrival.request_id(),
                    order_id = hook.delivery.event.order_id.as_str(),
                    conflict,
                    "an order contradicts itself; staff may hold a wrong list"
                );
            }
            Note::CompositionRestored => {
                ::metrics::counter!(metrics::COMPOSITIONS_RESTORED_TOTAL).increment(1);
            }
            Note::LateRepeat | Note::OlderTimestamp | Note::ParkedStale => {}
        }
    }
}
