//! The marks: paid, shipped, delivered, cancelled; each is set once (protocol section 5, rule 2).

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::step::Step;
use super::{Conflict, Outcome, StockMovement};
use crate::diff;
use crate::event::{CancelReason, Content, Delivery, EventKind, Total};
use crate::notice::{Cancelled, Notice};

impl Step<'_> {
    pub(super) fn mark_now(&mut self, kind: EventKind, delivery: &Delivery) {
        let cancelled_before = self.next.marks.cancelled_at.is_some();
        let newly_set = self.mark(kind, delivery.received_at, &delivery.event.content);
        self.outcome = if newly_set {
            Outcome::Applied
        } else {
            Outcome::Duplicate
        };
        let marks = &self.next.marks;
        let newly_cancelled = !cancelled_before && marks.cancelled_at.is_some();
        if newly_cancelled && marks.shipped_at.is_none() && marks.delivered_at.is_none() {
            let reason = self
                .next
                .document
                .as_ref()
                .map(|document| document.cancel_reason.clone());
            self.notice = Some(Notice::Cancelled(Cancelled {
                reason: reason.unwrap_or_default(),
            }));
        }
    }

    /// Sets the marks of an event and returns whether that set anything (rule 2).
    pub(super) fn mark(&mut self, kind: EventKind, at: DateTime<Utc>, content: &Content) -> bool {
        let before = self.next.marks;
        match kind {
            EventKind::Paid => self.paid(at, content),
            EventKind::Received => self.ship(at),
            EventKind::Delivered => {
                self.ship(at);
                self.next.marks.delivered_at.get_or_insert(at);
            }
            EventKind::Cancelled => self.cancel(at, &content.cancel_reason),
            EventKind::Created | EventKind::Changed | EventKind::Informational | EventKind::Unknown => {}
        }
        if self.next.marks.contradict() && !before.contradict() {
            self.conflict(Conflict::CancelledAndShipped);
        }
        self.next.marks != before
    }

    fn paid(&mut self, at: DateTime<Utc>, content: &Content) {
        let known = self.next.memory.paid_total.unwrap_or_default();
        if differ(known, content.total) {
            self.conflict(Conflict::PaidTotals);
        }
        // The first known figure stays, so that the conflict is found whatever the order of arrival.
        self.next.memory.paid_total = Some(content.total.corrected_by(known)).filter(|total| !total.is_empty());
        if self.next.marks.paid_at.is_none() {
            self.next.marks.paid_at = Some(at);
            if let Some(document) = &mut self.next.document {
                diff::correct_prices(document, content);
            }
        }
    }

    /// Rule 7: the first event that marks the order shipped moves the stock, once.
    fn ship(&mut self, at: DateTime<Utc>) {
        if self.next.marks.shipped_at.is_some() {
            return;
        }
        self.next.marks.shipped_at = Some(at);
        if let Some(document) = &self.next.document {
            self.stock = document
                .lines
                .iter()
                .filter(|line| !line.quantity.is_zero())
                .map(|line| StockMovement {
                    line: line.line,
                    store_id: document.store_id.clone(),
                    product_id: line.product_id.clone(),
                    quantity: line.quantity,
                })
                .collect();
        }
    }

    fn cancel(&mut self, at: DateTime<Utc>, reason: &CancelReason) {
        if self.next.marks.cancelled_at.is_some() {
            return;
        }
        self.next.marks.cancelled_at = Some(at);
        if let Some(document) = &mut self.next.document
            && document.cancel_reason != *reason
        {
            Arc::make_mut(document).cancel_reason = reason.clone();
        }
    }
}

/// Whether two totals contradict each other; an unknown figure contradicts nothing.
fn differ(one: Total, other: Total) -> bool {
    let contradicts = |one: Option<_>, other: Option<_>| one.is_some() && other.is_some() && one != other;
    contradicts(one.price, other.price) || contradicts(one.discount_price, other.discount_price)
}
