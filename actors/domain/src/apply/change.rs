//! A changed: is it a late repeat, does it come too late, what does it change (protocol section 5, rule 5).

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::step::Step;
use super::{Conflict, Note, Outcome};
use crate::diff::{self, Difference};
use crate::event::{Content, ContentDigest, Delivery};
use crate::ids::DeliveryId;
use crate::notice::{Changed, Notice};
use crate::order::JudgedChange;

/// One changed, parked or just arrived.
pub(super) struct Change<'a> {
    pub(super) delivery_id: DeliveryId,
    pub(super) timestamp: Option<DateTime<Utc>>,
    pub(super) content: &'a Content,
}

/// What a changed turned out to be.
pub(super) enum ChangeVerdict {
    Stale(Note),
    AfterClosing,
    NoDifference,
    Applied(Box<Difference>),
}

impl Step<'_> {
    pub(super) fn changed_now(&mut self, delivery: &Delivery) {
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
    pub(super) fn change(&mut self, change: &Change<'_>) -> ChangeVerdict {
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
        let differs = next_document != **document;
        if differs && self.next.closed() {
            return ChangeVerdict::AfterClosing;
        }
        let memory = &mut self.next.memory;
        memory.last_change_timestamp = memory.last_change_timestamp.max(change.timestamp);
        if !differs {
            return ChangeVerdict::NoDifference;
        }
        memory.changes_applied += 1;
        if document.picked() != next_document.picked() {
            // Most orders change once or never: what comes needs a fingerprint only where there is a past to
            // compare it with.
            let past = &memory.past_compositions;
            let restored = !past.is_empty() && past.contains(&next_document.composition());
            memory.remember_composition(document.composition());
            if restored {
                self.note(Note::CompositionRestored);
            }
        }
        self.next.document = Some(Arc::new(next_document));
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
}
