//! What an event does to an order: the only writer of an order's state.
//!
//! [`apply`] is pure. It returns the next state together with the effects that must become durable
//! in the same transaction; nobody acts on them before that transaction has committed.
//! The rules are those of protocol sections 2 and 5; each is named where it is applied.

use std::collections::HashSet;

use chrono::Duration;

use crate::diff::{self, Difference};
use crate::event::{CancelReason, Content, ContentDigest, Delivery, EventKind, Total};
use crate::ids::{DeliveryId, ProductId, StoreId};
use crate::notice::{Cancelled, Changed, NewOrder, Notice};
use crate::order::{Document, JudgedChange, MAX_PARKED, Order, ParkedEvent};
use crate::quantity::Quantity;

/// What the partner decides, not SM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// From the creation of a document to the promised end of its assembly.
    pub assembly_time: Duration,
}

/// What was decided on an event, as the history shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It changed the document or set a mark.
    Applied,
    /// It says what is so already, or repeats what was judged before.
    Duplicate,
    /// It waits for created.
    Parked,
    /// It is recorded and deliberately changes nothing.
    Ignored,
    /// The body can never be read.
    Rejected,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [
        Self::Applied,
        Self::Duplicate,
        Self::Parked,
        Self::Ignored,
        Self::Rejected,
    ];

    /// The word in the history, the API and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Parked => "parked",
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
        }
    }
}

/// What the history says beside the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Note {
    /// A changed that SM repeats although a newer one was applied (rule 5).
    LateRepeat,
    /// A changed whose timestamp is older than that of the last applied one (rule 5).
    OlderTimestamp,
    /// A changed that brought back an earlier composition (rule 5).
    CompositionRestored,
    /// Parked changes were applied, and at least one of them was judged stale.
    ParkedStale,
    /// See [`Conflict`].
    Conflict(Conflict),
}

/// What contradicts what (protocol section 5, rule 6). Staff may be holding a wrong list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Conflict {
    /// Cancelled, yet shipped or delivered.
    CancelledAndShipped,
    /// Two paid with different totals; the prices of the first stay.
    PaidTotals,
    /// A created repeated with another composition or store.
    CreatedComposition,
    /// A changed with a difference that arrived after closing.
    ChangedAfterClosing,
}

impl Conflict {
    /// Every conflict.
    pub const ALL: [Self; 4] = [
        Self::CancelledAndShipped,
        Self::PaidTotals,
        Self::CreatedComposition,
        Self::ChangedAfterClosing,
    ];

    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CancelledAndShipped => "cancelled_and_shipped",
            Self::PaidTotals => "paid_totals",
            Self::CreatedComposition => "created_composition",
            Self::ChangedAfterClosing => "changed_after_closing",
        }
    }
}

impl Note {
    /// The word in the history.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LateRepeat => "late_repeat",
            Self::OlderTimestamp => "older_timestamp",
            Self::CompositionRestored => "composition_restored",
            Self::ParkedStale => "parked_stale",
            Self::Conflict(Conflict::CancelledAndShipped) => "conflict_cancelled_and_shipped",
            Self::Conflict(Conflict::PaidTotals) => "conflict_paid_totals",
            Self::Conflict(Conflict::CreatedComposition) => "conflict_created_composition",
            Self::Conflict(Conflict::ChangedAfterClosing) => "conflict_changed_after_closing",
        }
    }
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
            let digest = ContentDigest::of(&event.content);
            let memory = &order.memory;
            memory
                .judged_changes
                .iter()
                .filter(|judged| judged.digest == digest && judged.after < memory.changes_applied)
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

/// The state of one judgement.
struct Step<'a> {
    next: Order,
    rules: Rules,
    answered: &'a HashSet<DeliveryId>,
    outcome: Outcome,
    notes: Vec<Note>,
    stock: Vec<StockMovement>,
    notice: Option<Notice>,
}

/// What a changed turned out to be.
enum ChangeVerdict {
    Stale(Note),
    AfterClosing,
    NoDifference,
    Applied(Box<Difference>),
}

impl Step<'_> {
    fn created(&mut self, delivery: &Delivery) {
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
        self.next.document = Some(document);
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

    fn park(&mut self, delivery: &Delivery) -> Result<(), ParkedFull> {
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

    fn changed_now(&mut self, delivery: &Delivery) {
        let change = Change {
            delivery_id: delivery.id,
            timestamp: delivery.event.sm_timestamp.map(|time| time.to_utc()),
            content: &delivery.event.content,
        };
        match self.change(&change) {
            ChangeVerdict::Stale(note) => {
                self.outcome = if note == Note::LateRepeat {
                    Outcome::Duplicate
                } else {
                    Outcome::Ignored
                };
                self.note(note);
            }
            ChangeVerdict::AfterClosing => {
                self.outcome = Outcome::Ignored;
                self.conflict(Conflict::ChangedAfterClosing);
            }
            ChangeVerdict::NoDifference => self.outcome = Outcome::Duplicate,
            ChangeVerdict::Applied(difference) => {
                self.outcome = Outcome::Applied;
                self.notice = (!difference.is_empty()).then(|| Notice::Changed(Changed::of(*difference)));
            }
        }
    }

    /// Every judged change is remembered, also one that was not applied: its repeats are repeats too.
    fn change(&mut self, change: &Change<'_>) -> ChangeVerdict {
        let digest = ContentDigest::of(change.content);
        let verdict = self.change_document(change, digest);
        let memory = &mut self.next.memory;
        memory.remember_change(JudgedChange {
            delivery_id: change.delivery_id,
            digest,
            timestamp: change.timestamp,
            after: memory.changes_applied,
        });
        verdict
    }

    fn change_document(&mut self, change: &Change<'_>, digest: ContentDigest) -> ChangeVerdict {
        let Some(document) = &self.next.document else {
            return ChangeVerdict::NoDifference;
        };
        if let Some(note) = self.staleness(change, digest) {
            return ChangeVerdict::Stale(note);
        }
        let (next_document, difference) = diff::changed(document, change.content);
        let differs = next_document != *document;
        if differs && self.next.closed() {
            return ChangeVerdict::AfterClosing;
        }
        let (before, after) = (document.composition(), next_document.composition());
        let memory = &mut self.next.memory;
        memory.last_change_timestamp = memory.last_change_timestamp.max(change.timestamp);
        if !differs {
            return ChangeVerdict::NoDifference;
        }
        memory.changes_applied += 1;
        if before != after {
            let restored = memory.past_compositions.contains(&after);
            memory.remember_composition(before);
            if restored {
                self.note(Note::CompositionRestored);
            }
        }
        self.next.document = Some(next_document);
        ChangeVerdict::Applied(Box::new(difference))
    }

    /// Rule 5: a late repeat must not undo a newer change.
    fn staleness(&self, change: &Change<'_>, digest: ContentDigest) -> Option<Note> {
        let memory = &self.next.memory;
        // The second try of a delivery is that delivery, even where its first answer is on record.
        if memory
            .judged_changes
            .iter()
            .any(|judged| judged.delivery_id == change.delivery_id)
        {
            return Some(Note::LateRepeat);
        }
        let mut same_content = memory.judged_changes.iter().filter(|judged| judged.digest == digest);
        if let Some(timestamp) = change.timestamp {
            if same_content.any(|judged| judged.timestamp == Some(timestamp)) {
                return Some(Note::LateRepeat);
            }
            let older = memory.last_change_timestamp.is_some_and(|last| timestamp < last);
            return older.then_some(Note::OlderTimestamp);
        }
        let repeats_unanswered = same_content
            .any(|judged| judged.after < memory.changes_applied && !self.answered.contains(&judged.delivery_id));
        repeats_unanswered.then_some(Note::LateRepeat)
    }

    fn mark_now(&mut self, kind: EventKind, delivery: &Delivery) {
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
    fn mark(&mut self, kind: EventKind, at: chrono::DateTime<chrono::Utc>, content: &Content) -> bool {
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

    fn paid(&mut self, at: chrono::DateTime<chrono::Utc>, content: &Content) {
        let known = self.next.memory.paid_total.unwrap_or_default();
        if differ(known, content.total) {
            self.conflict(Conflict::PaidTotals);
        }
        // The first known figure stays, so that the conflict is found whatever the order of arrival.
        self.next.memory.paid_total = Some(content.total.corrected_by(known)).filter(|total| !total.is_empty());
        if self.next.marks.paid_at.is_none() {
            self.next.marks.paid_at = Some(at);
            if let Some(document) = &self.next.document {
                self.next.document = Some(diff::with_corrected_prices(document, content));
            }
        }
    }

    /// Rule 7: the first event that marks the order shipped moves the stock, once.
    fn ship(&mut self, at: chrono::DateTime<chrono::Utc>) {
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

    fn cancel(&mut self, at: chrono::DateTime<chrono::Utc>, reason: &CancelReason) {
        if self.next.marks.cancelled_at.is_some() {
            return;
        }
        self.next.marks.cancelled_at = Some(at);
        if let Some(document) = &mut self.next.document {
            document.cancel_reason = reason.clone();
        }
    }

    fn conflict(&mut self, conflict: Conflict) {
        self.next.conflict = true;
        self.note(Note::Conflict(conflict));
    }

    fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// One changed, parked or just arrived.
struct Change<'a> {
    delivery_id: DeliveryId,
    timestamp: Option<chrono::DateTime<chrono::Utc>>,
    content: &'a Content,
}

/// Whether two totals contradict each other; an unknown figure contradicts nothing.
fn differ(one: Total, other: Total) -> bool {
    let contradicts = |one: Option<_>, other: Option<_>| one.is_some() && other.is_some() && one != other;
    contradicts(one.price, other.price) || contradicts(one.discount_price, other.discount_price)
}
