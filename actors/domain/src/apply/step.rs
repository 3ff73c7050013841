//! One judgement under way: created, and what waits for it.

use std::collections::HashSet;
use std::sync::Arc;

use super::change::{Change, ChangeVerdict};
use super::{Conflict, Note, Outcome, ParkedFull, Rules, StockMovement};
use crate::event::{ContentDigest, Delivery, EventKind};
use crate::ids::DeliveryId;
use crate::notice::{NewOrder, Notice};
use crate::order::{Document, MAX_PARKED, Order, ParkedEvent};

/// The state of one judgement.
pub(super) struct Step<'a> {
    pub(super) next: Order,
    pub(super) rules: Rules,
    pub(super) answered: &'a HashSet<DeliveryId>,
    pub(super) outcome: Outcome,
    pub(super) notes: Vec<Note>,
    pub(super) stock: Vec<StockMovement>,
    pub(super) notice: Option<Notice>,
}

impl Step<'_> {
    pub(super) fn created(&mut self, delivery: &Delivery) {
        let content = &delivery.event.content;
        // The parser lets no created through without a store; without one there is nothing to make.
        let Some(store_id) = content.store_id.clone() else {
            return;
        };
        let document = Document::from_created(store_id, content, delivery.received_at, self.rules.assembly_time);
        let created_as = ContentDigest::of(&(&document.store_id, document.composition()));
        if self.next.document.is_some() {
            // Rule 1: the stored document is not overwritten.
            self.outcome = Outcome::Duplicate;
            if self.next.memory.created_as != Some(created_as) {
                self.conflict(Conflict::CreatedComposition);
            }
            return;
        }
        self.outcome = Outcome::Applied;
        self.next.memory.created_as = Some(created_as);
        self.next.document = Some(Arc::new(document));
        self.apply_parked();
        let marks = &self.next.marks;
        let still_wanted = marks.shipped_at.is_none() && marks.delivered_at.is_none() && marks.cancelled_at.is_none();
        self.notice = self
            .next
            .document
            .as_ref()
            .filter(|_| still_wanted)
            .map(|document| Notice::New(NewOrder::of(document)));
    }

    /// Rule 4: the changed by arrival, then paid, received, delivered, cancelled.
    fn apply_parked(&mut self) {
        let mut parked = std::mem::take(&mut self.next.memory.parked);
        // Stable: events that arrived in the same microsecond stay in commit order.
        parked.sort_by_key(|event| (event.kind, event.received_at));
        for event in parked {
            if event.kind == EventKind::Changed {
                let change = Change {
                    delivery_id: event.delivery_id,
                    timestamp: event.timestamp,
                    content: &event.content,
                };
                if let ChangeVerdict::Stale(_) = self.change(&change) {
                    self.note(Note::ParkedStale);
                }
            } else {
                self.mark(event.kind, event.received_at, &event.content);
            }
        }
    }

    pub(super) fn park(&mut self, delivery: &Delivery) -> Result<(), ParkedFull> {
        let event = &delivery.event;
        let timestamp = event.sm_timestamp.map(|time| time.to_utc());
        let parked = &mut self.next.memory.parked;
        let says_nothing_new = parked.iter().any(|earlier| {
            earlier.kind == event.kind
                && match event.kind {
                    EventKind::Changed => {
                        let same_event =
                            timestamp.is_some() && earlier.timestamp == timestamp && earlier.content == event.content;
                        same_event || earlier.delivery_id == delivery.id
                    }
                    // A second paid matters only by its totals (rule 6).
                    EventKind::Paid => earlier.content.total == event.content.total,
                    _ => true,
                }
        });
        if says_nothing_new {
            self.outcome = Outcome::Duplicate;
            return Ok(());
        }
        if parked.len() >= MAX_PARKED {
            return Err(ParkedFull);
        }
        parked.push(ParkedEvent {
            delivery_id: delivery.id,
            received_at: delivery.received_at,
            kind: event.kind,
            timestamp,
            content: event.content.clone(),
        });
        self.outcome = Outcome::Parked;
        Ok(())
    }

    pub(super) fn conflict(&mut self, conflict: Conflict) {
        self.next.conflict = true;
        self.note(Note::Conflict(conflict));
    }

    pub(super) fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}
