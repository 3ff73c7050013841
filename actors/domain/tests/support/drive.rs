//! Drives `apply` as the service does: asks its questions, commits, reads the state back from its row.

use std::collections::HashSet;
use std::sync::Arc;

use orderhook_domain::apply::{ParkedFull, Transition, apply, questions};
use orderhook_domain::event::{Delivery, Event};
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::order::{Document, Order};

use super::build::{RULES, at, delivery_id, order_id};

/// Judges one delivery. `recorded` holds every delivery whose answer is on record; only those that
/// `questions` asks about reach `apply`, so that a question that is never asked shows up as a fault.
pub fn judge(order: &Order, delivery: &Delivery, recorded: &HashSet<DeliveryId>) -> Result<Transition, ParkedFull> {
    let asked = questions(order, delivery);
    let answered = asked.into_iter().filter(|id| recorded.contains(id)).collect();
    apply(order, delivery, RULES, &answered)
}

/// The order as the next node reads it from the database.
pub fn stored(order: &Order) -> Order {
    let through_json = |value: serde_json::Value| value.to_string();
    let document = through_json(serde_json::to_value(&order.document).unwrap());
    let memory = through_json(serde_json::to_value(&order.memory).unwrap());
    let mut document: Option<Document> = serde_json::from_str(&document).unwrap();
    // The customer has a column of its own.
    if let (Some(stored), Some(given)) = (&mut document, &order.document) {
        stored.customer.clone_from(&given.customer);
    }
    Order {
        document: document.map(Arc::new),
        memory: serde_json::from_str(&memory).unwrap(),
        ..order.clone()
    }
}

/// One order to which one event after the other happens, a second apart.
pub struct Story {
    pub order: Order,
    pub recorded: HashSet<DeliveryId>,
    arrivals: usize,
}

impl Story {
    pub fn new() -> Self {
        Self {
            order: Order::unknown(order_id()),
            recorded: HashSet::new(),
            arrivals: 0,
        }
    }

    /// The story after these events, each answered.
    pub fn of(events: &[Event]) -> Self {
        let mut story = Self::new();
        for event in events {
            story.tell(event.clone());
        }
        story
    }

    /// The event arrives and its answer is recorded.
    pub fn tell(&mut self, event: Event) -> Transition {
        let transition = self.tell_unheard(event);
        self.recorded.insert(delivery_id(self.arrivals));
        transition
    }

    /// The event arrives and its answer is lost.
    pub fn tell_unheard(&mut self, event: Event) -> Transition {
        let delivery = self.next(event);
        self.deliver(&delivery)
    }

    /// The next arrival, not yet judged.
    pub fn next(&mut self, event: Event) -> Delivery {
        self.arrivals += 1;
        Delivery {
            id: delivery_id(self.arrivals),
            received_at: at(i64::try_from(self.arrivals).unwrap()),
            event,
        }
    }

    pub fn deliver(&mut self, delivery: &Delivery) -> Transition {
        let transition = judge(&self.order, delivery, &self.recorded).unwrap();
        if let Some(next) = &transition.order {
            self.order = next.clone();
        }
        transition
    }
}
