//! The reference model: section 5 of the protocol, written from its text and naively.
//!
//! It keeps the full list of what happened and computes everything anew from it; of the service it
//! knows the names of things only (kinds, outcomes, notes), none of its decisions.
//! Feed it every accepted delivery in the order of commits, together with what tells whether an answer was
//! on record at that moment; it says what each does and how the order then looks.
//!
//! Other test crates include this file by path.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary includes the whole and uses a part"
)]
#![allow(clippy::unwrap_used, reason = "accepted events have what their kind requires")]

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Duration, Utc};
use orderhook_domain::apply::{Note, Outcome};
use orderhook_domain::event::{CancelReason, Delivery, EventKind};
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::notice::NoticeKind;
use orderhook_domain::order::{MAX_PARKED, Marks, Status};

#[path = "model_document.rs"]
pub mod document;
#[path = "model_rules.rs"]
mod rules;

use document::{Composition, Sheet};
use rules::{Act, Verdict, conflicts, is_exact_repeat, marks, restores, sheet, stock, verdict};
pub use rules::{Movement, OnRecord};

/// What one delivery does.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub outcome: Outcome,
    pub notes: BTreeSet<Note>,
    pub notice: Option<NoticeKind>,
    pub stock: Vec<Movement>,
}

/// How an order looks that has a row.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub version: i64,
    pub status: Status,
    pub closed: bool,
    pub conflict: bool,
    pub marks: Marks,
    pub sheet: Option<Sheet>,
    pub composition: Composition,
    pub created_at: Option<DateTime<Utc>>,
    pub assembly_due_at: Option<DateTime<Utc>>,
    pub cancel_reason: CancelReason,
    pub parked: Vec<DeliveryId>,
}

/// One order. Nothing but the events themselves is kept.
#[derive(Debug, Clone)]
pub struct Model {
    assembly_time: Duration,
    /// Begins with the first created; empty before it.
    acts: Vec<Act>,
    /// Those that wait for created, in the order of commits.
    parked: Vec<Delivery>,
    /// Every judged event counts, from the one that made the row.
    version: i64,
}

impl Model {
    pub fn new(assembly_time: Duration) -> Self {
        Self {
            assembly_time,
            acts: Vec::new(),
            parked: Vec::new(),
            version: 0,
        }
    }

    /// Replays one order's history: each delivery with whether its answer was recorded, at once.
    pub fn replay(assembly_time: Duration, history: &[(Delivery, bool)]) -> (Self, Vec<Option<Step>>) {
        let mut model = Self::new(assembly_time);
        let mut recorded = HashSet::new();
        let mut steps = Vec::new();
        for (delivery, answered) in history {
            steps.push(model.judge(delivery, &|id| recorded.contains(&id)));
            recorded.extend(answered.then_some(delivery.id));
        }
        (model, steps)
    }

    /// What this delivery does; `None` when it is refused because too many wait for created.
    pub fn judge(&mut self, delivery: &Delivery, on_record: OnRecord<'_>) -> Option<Step> {
        let kind = delivery.event.kind;
        let before = self.acts.len();
        let mut outcome = Outcome::Ignored;
        if matches!(kind, EventKind::Informational | EventKind::Unknown) {
            // Recorded, changes nothing, makes no order known (section 2, rule 4).
            self.version += i64::from(self.version > 0);
            return Some(self.step(before, outcome, None));
        }
        if before == 0 && kind != EventKind::Created {
            outcome = self.park(delivery)?;
        } else {
            self.act(delivery, on_record);
            if before == 0 {
                self.act_parked(on_record);
            }
            outcome = self.outcome_since(before);
        }
        self.version += 1;
        let notice = self.notice_since(before);
        Some(self.step(before, outcome, notice))
    }

    /// How the order looks now; `None` while there is no row.
    pub fn view(&self) -> Option<View> {
        let sheet = sheet(&self.acts);
        let created = self.acts.first();
        let cancelled = self.acts.iter().find(|act| act.is(EventKind::Cancelled));
        (self.version > 0).then(|| View {
            version: self.version,
            status: self.status(),
            closed: self.acts.iter().any(Act::closes),
            conflict: !conflicts(&self.acts).is_empty(),
            marks: marks(&self.acts),
            composition: sheet.as_ref().map(Sheet::composition).unwrap_or_default(),
            sheet,
            created_at: created.map(|act| act.delivery.received_at),
            assembly_due_at: created.map(|act| act.delivery.received_at + self.assembly_time),
            cancel_reason: cancelled.map_or_else(CancelReason::default, |act| {
                act.delivery.event.content.cancel_reason.clone()
            }),
            parked: self.parked.iter().map(|delivery| delivery.id).collect(),
        })
    }

    /// Every stock movement that the history has made.
    pub fn stock(&self) -> Vec<Movement> {
        stock(&self.acts, 0)
    }

    /// Rule 4: it waits, unless one that waits says the same.
    fn park(&mut self, delivery: &Delivery) -> Option<Outcome> {
        let event = &delivery.event;
        let says_the_same = |earlier: &Delivery| {
            let earlier_event = &earlier.event;
            earlier_event.kind == event.kind
                && match event.kind {
                    EventKind::Changed => earlier.id == delivery.id || is_exact_repeat(earlier, delivery),
                    EventKind::Paid => earlier_event.content.total == event.content.total,
                    _ => true,
                }
        };
        if self.parked.iter().any(says_the_same) {
            return Some(Outcome::Duplicate);
        }
        if self.parked.len() == MAX_PARKED {
            return None;
        }
        self.parked.push(delivery.clone());
        Some(Outcome::Parked)
    }

    /// Rule 4: the changed by arrival, then paid, received, delivered, cancelled.
    fn act_parked(&mut self, on_record: OnRecord<'_>) {
        let parked = std::mem::take(&mut self.parked);
        for kind in [
            EventKind::Changed,
            EventKind::Paid,
            EventKind::Received,
            EventKind::Delivered,
            EventKind::Cancelled,
        ] {
            let mut of_kind: Vec<_> = parked.iter().filter(|delivery| delivery.event.kind == kind).collect();
            of_kind.sort_by_key(|delivery| delivery.received_at);
            for delivery in of_kind {
                self.act(delivery, on_record);
            }
        }
    }

    fn act(&mut self, delivery: &Delivery, on_record: OnRecord<'_>) {
        let verdict = match delivery.event.kind {
            EventKind::Changed => verdict(&self.acts, delivery, on_record),
            _ => Verdict::Applied,
        };
        self.acts.push(Act {
            delivery: delivery.clone(),
            verdict,
        });
    }

    /// Rule 6.
    fn status(&self) -> Status {
        let marks = marks(&self.acts);
        let shown = [
            (self.acts.is_empty(), Status::Announced),
            (marks.delivered_at.is_some(), Status::Delivered),
            (marks.cancelled_at.is_some(), Status::Cancelled),
            (marks.shipped_at.is_some(), Status::Shipped),
            (marks.paid_at.is_some(), Status::Paid),
        ];
        let first_that_holds = shown.into_iter().find(|(holds, _)| *holds);
        first_that_holds.map_or(Status::New, |(_, status)| status)
    }

    /// Of the event that came now, which is the first act since `before`.
    fn outcome_since(&self, before: usize) -> Outcome {
        let now = &self.acts[before];
        match (now.delivery.event.kind, now.verdict) {
            (EventKind::Created, _) if before == 0 => Outcome::Applied,
            (EventKind::Created, _) => Outcome::Duplicate,
            (EventKind::Changed, Verdict::Applied) => Outcome::Applied,
            (EventKind::Changed, Verdict::NoDifference | Verdict::Stale(Note::LateRepeat)) => Outcome::Duplicate,
            (EventKind::Changed, Verdict::AfterClosing | Verdict::Stale(_)) => Outcome::Ignored,
            _ if marks(&self.acts) == marks(&self.acts[..before]) => Outcome::Duplicate,
            _ => Outcome::Applied,
        }
    }

    /// The last column of section 2's table, and the end of rule 4.
    fn notice_since(&self, before: usize) -> Option<NoticeKind> {
        let now = self.acts.get(before)?;
        let (old, new) = (marks(&self.acts[..before]), marks(&self.acts));
        let told = match now.delivery.event.kind {
            EventKind::Created if before == 0 && new.shipped_at.is_none() && new.cancelled_at.is_none() => {
                NoticeKind::New
            }
            EventKind::Changed if sheet(&self.acts[..before])?.staff_must_know(&sheet(&self.acts)?) => {
                NoticeKind::Changed
            }
            EventKind::Cancelled if old.cancelled_at.is_none() && old.shipped_at.is_none() => NoticeKind::Cancelled,
            _ => return None,
        };
        Some(told)
    }

    /// What the history says beside the outcome.
    fn notes_since(&self, before: usize) -> BTreeSet<Note> {
        let mut notes = BTreeSet::new();
        for (index, act) in self.acts.iter().enumerate().skip(before) {
            if let Verdict::Stale(note) = act.verdict {
                notes.insert(if index == before { note } else { Note::ParkedStale });
            }
            if act.is_change(Verdict::Applied) && restores(&self.acts, index) {
                notes.insert(Note::CompositionRestored);
            }
        }
        let since = conflicts(&self.acts).into_iter().filter(|(index, _)| *index >= before);
        notes.extend(since.map(|(_, conflict)| Note::Conflict(conflict)));
        notes
    }

    fn step(&self, before: usize, outcome: Outcome, notice: Option<NoticeKind>) -> Step {
        Step {
            outcome,
            notes: self.notes_since(before),
            notice,
            stock: stock(&self.acts, before),
        }
    }
}
