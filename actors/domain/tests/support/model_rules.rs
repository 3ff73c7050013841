//! The rules of section 5 one by one, each a function of the list of what happened.

use orderhook_domain::apply::{Conflict, Note};
use orderhook_domain::event::{Delivery, EventKind, Total};
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::order::Marks;
use orderhook_domain::quantity::Quantity;

use super::document::Sheet;

/// Whether the answer to this delivery is on record (rule 5); asked only where it decides.
pub type OnRecord<'a> = &'a dyn Fn(DeliveryId) -> bool;

#[derive(Debug, Clone, PartialEq)]
pub struct Movement {
    pub line: usize,
    pub store: String,
    pub sku: String,
    pub quantity: Quantity,
}

/// One event in the order in which the events act on the document, with what became of it.
#[derive(Debug, Clone)]
pub struct Act {
    pub delivery: Delivery,
    /// Of a changed; the other kinds are always [`Verdict::Applied`].
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    Applied,
    NoDifference,
    AfterClosing,
    Stale(Note),
}

impl Act {
    pub fn is(&self, kind: EventKind) -> bool {
        self.delivery.event.kind == kind
    }

    pub fn ships(&self) -> bool {
        self.is(EventKind::Received) || self.is(EventKind::Delivered)
    }

    pub fn closes(&self) -> bool {
        self.ships() || self.is(EventKind::Paid) || self.is(EventKind::Cancelled)
    }

    pub fn is_change(&self, verdict: Verdict) -> bool {
        self.is(EventKind::Changed) && self.verdict == verdict
    }
}

/// Rule 5 for staleness, rule 2 for closing.
pub fn verdict(acts: &[Act], change: &Delivery, on_record: OnRecord<'_>) -> Verdict {
    let now = sheet(acts).unwrap();
    if let Some(note) = staleness(acts, change, on_record) {
        Verdict::Stale(note)
    } else if now.changed(&change.event.content) == now {
        Verdict::NoDifference
    } else if acts.iter().any(Act::closes) {
        Verdict::AfterClosing
    } else {
        Verdict::Applied
    }
}

fn staleness(acts: &[Act], change: &Delivery, on_record: OnRecord<'_>) -> Option<Note> {
    let changes: Vec<&Act> = acts.iter().filter(|act| act.is(EventKind::Changed)).collect();
    let already_judged = |act: &&Act| act.delivery.id == change.id || is_exact_repeat(&act.delivery, change);
    if changes.iter().any(already_judged) {
        return Some(Note::LateRepeat);
    }
    if change.event.sm_timestamp.is_some() {
        // A changed without a difference says that the document was so at that time: it counts
        // as applied here.
        let in_force = |act: &&&Act| matches!(act.verdict, Verdict::Applied | Verdict::NoDifference);
        let times = changes
            .iter()
            .filter(in_force)
            .map(|act| act.delivery.event.sm_timestamp);
        // None, "never told", is less than any time.
        return (times.max().flatten() > change.event.sm_timestamp).then_some(Note::OlderTimestamp);
    }
    let repeats_unanswered = changes.iter().enumerate().any(|(index, earlier)| {
        earlier.delivery.event.content == change.event.content
            && changes[index + 1..]
                .iter()
                .any(|since| since.is_change(Verdict::Applied))
            && !on_record(earlier.delivery.id)
    });
    repeats_unanswered.then_some(Note::LateRepeat)
}

/// Rule 7: the amounts at the moment of the first event that ships, and never again.
pub fn stock(acts: &[Act], before: usize) -> Vec<Movement> {
    let Some(first) = acts.iter().position(Act::ships).filter(|first| *first >= before) else {
        return Vec::new();
    };
    let sheet = sheet(&acts[..first]).unwrap();
    let numbered = (1..).zip(&sheet.rows).filter(|(_, row)| !row.quantity.is_zero());
    let movements = numbered.map(|(line, row)| Movement {
        line,
        store: sheet.store.clone(),
        sku: row.sku.clone(),
        quantity: row.quantity,
    });
    movements.collect()
}

/// Rule 5: whether this change brought back an earlier composition.
pub fn restores(acts: &[Act], index: usize) -> bool {
    let after = |count: usize| sheet(&acts[..count]).map(|sheet| sheet.composition());
    let new = after(index + 1);
    new != after(index) && (1..index).any(|earlier| after(earlier) == new)
}

pub fn is_exact_repeat(earlier: &Delivery, later: &Delivery) -> bool {
    let (earlier, later) = (&earlier.event, &later.event);
    later.sm_timestamp.is_some() && earlier.sm_timestamp == later.sm_timestamp && earlier.content == later.content
}

/// The document after these acts: created, every applied changed, and the prices of the first paid.
pub fn sheet(acts: &[Act]) -> Option<Sheet> {
    let mut sheet = Sheet::created(&acts.first()?.delivery.event.content);
    let first_paid = acts.iter().position(|act| act.is(EventKind::Paid));
    for (index, act) in acts.iter().enumerate() {
        let content = &act.delivery.event.content;
        if act.is_change(Verdict::Applied) {
            sheet = sheet.changed(content);
        } else if Some(index) == first_paid {
            sheet = sheet.with_prices_of(content);
        }
    }
    Some(sheet)
}

/// Rule 2: each mark has the time of the first event that sets it.
pub fn marks(acts: &[Act]) -> Marks {
    let first = |sets: &dyn Fn(&Act) -> bool| acts.iter().find(|act| sets(act)).map(|act| act.delivery.received_at);
    Marks {
        paid_at: first(&|act| act.is(EventKind::Paid)),
        shipped_at: first(&Act::ships),
        delivered_at: first(&|act| act.is(EventKind::Delivered)),
        cancelled_at: first(&|act| act.is(EventKind::Cancelled)),
    }
}

/// Rule 6: everything that contradicts something before it, by the act that brought it out.
pub fn conflicts(acts: &[Act]) -> Vec<(usize, Conflict)> {
    let cancelled = acts.iter().position(|act| act.is(EventKind::Cancelled));
    let shipped = acts.iter().position(Act::ships);
    let both = cancelled
        .zip(shipped)
        .map(|(cancelled, shipped)| cancelled.max(shipped));
    let mut found: Vec<_> = both
        .map(|index| (index, Conflict::CancelledAndShipped))
        .into_iter()
        .collect();
    for (index, act) in acts.iter().enumerate() {
        let content = &act.delivery.event.content;
        let earlier = &acts[..index];
        if act.is(EventKind::Paid) && paid_otherwise(earlier, content.total) {
            found.push((index, Conflict::PaidTotals));
        }
        if act.is(EventKind::Created) && index > 0 {
            let (first, again) = (Sheet::created(&acts[0].delivery.event.content), Sheet::created(content));
            if (first.store.clone(), first.composition()) != (again.store.clone(), again.composition()) {
                found.push((index, Conflict::CreatedComposition));
            }
        }
        if act.is_change(Verdict::AfterClosing) {
            found.push((index, Conflict::ChangedAfterClosing));
        }
    }
    found
}

/// Whether the earlier paid told another figure first; a figure that was not told contradicts nothing.
fn paid_otherwise(earlier: &[Act], total: Total) -> bool {
    let paid = || {
        let totals = earlier.iter().filter(|act| act.is(EventKind::Paid));
        totals.map(|act| act.delivery.event.content.total)
    };
    let differ = |first: Option<_>, now: Option<_>| first.is_some() && now.is_some() && first != now;
    differ(paid().find_map(|total| total.price), total.price)
        || differ(paid().find_map(|total| total.discount_price), total.discount_price)
}
