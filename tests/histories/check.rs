//! Whether what is stored of one order can have come of what was sent.

use std::collections::{BTreeSet, HashMap};

use orderhook_domain::event::{Delivery, EventKind};
use serde_json::{Value, json};

use crate::domain::model::{Model, View};
use crate::replay::{ASSEMBLY_TIME, Arrived, Replayed};
use crate::rows::{Loaded, Stored};
use crate::sent::Sent;

/// One order: what was sent of it, in the order of the plan, and what is stored.
pub(crate) struct Case<'a> {
    pub(crate) sent: Vec<&'a Sent<'a>>,
    pub(crate) stored: &'a Stored,
}

/// How the complaint ends that a row says something else than what was sent.
pub(crate) const NOT_AS_SENT: &str = "is not recorded as it was sent";

/// How the complaint begins that the goods of an order did not leave as they should.
pub(crate) const STOCK_MOVED: &str = "the stock moved is";

/// Every acknowledged event is in the journal once, byte for byte, and nothing else is.
pub(crate) fn recorded<'a>(case: &Case<'a>, wrong: &mut Vec<String>) -> Vec<Arrived<'a>> {
    let sent: HashMap<&str, &Sent<'_>> = case.sent.iter().map(|sent| (&*sent.request_id, *sent)).collect();
    let mut rows: HashMap<&str, usize> = HashMap::new();
    let mut history = Vec::new();
    for row in &case.stored.events {
        *rows.entry(&row.request_id).or_default() += 1;
        let Some(sent) = sent.get(&*row.request_id) else {
            wrong.push(format!("{} is recorded and was never sent", row.request_id));
            continue;
        };
        let event = &sent.hook.event;
        let same = *row.body == *sent.hook.body
            && row.event == event.kind.as_str()
            && row.sm_timestamp == event.sm_timestamp.map(|time| time.to_utc());
        if !same {
            wrong.push(format!("{} {NOT_AS_SENT}", row.request_id));
        }
        history.push(Arrived::new(row, sent));
    }
    for sent in &case.sent {
        let count = rows.get(&*sent.request_id).copied().unwrap_or_default();
        if count > 1 || (count == 0 && sent.acknowledged().is_some()) {
            wrong.push(format!("{} is recorded {count} times", sent.request_id));
        }
    }
    history
}

/// The versions are 1 to n.
pub(crate) fn numbered(versions: &[Arrived<'_>], wrong: &mut Vec<String>) {
    let gap = (1..)
        .zip(versions)
        .find(|(expected, event)| event.stored.version != Some(*expected));
    if let Some((expected, _)) = gap {
        wrong.push(format!("version {expected} is missing or stands twice"));
    }
}

/// What was acknowledged before another was sent comes before it.
pub(crate) fn in_real_time(versions: &[Arrived<'_>], without: &[Arrived<'_>], wrong: &mut Vec<String>) {
    for (index, later) in versions.iter().enumerate() {
        let Some(acknowledged) = later.sent.acknowledged() else {
            continue;
        };
        let too_early = versions[..index]
            .iter()
            .find(|earlier| acknowledged < earlier.sent.sent());
        if let Some(earlier) = too_early {
            let (earlier, later) = (earlier.stored.version, later.stored.version);
            wrong.push(format!(
                "version {later:?} was acknowledged before version {earlier:?} was sent"
            ));
        }
    }
    // Only what changes nothing has no version, and only while the order is not known.
    for event in without {
        let kind = event.delivery.event.kind;
        let unnoticed = matches!(kind, EventKind::Informational | EventKind::Unknown)
            && event.stored.outcome == "ignored"
            && event.stored.notes.is_empty();
        let is_known = |known: &Arrived<'_>| known.sent.acknowledged().is_some_and(|time| time < event.sent.sent());
        if !unnoticed || versions.iter().any(is_known) {
            let request_id = &event.sent.request_id;
            wrong.push(format!("{kind} {request_id} has no version"));
        }
    }
}

/// "New" is told once, and never of what is over already.
pub(crate) fn announced_once(versions: &[Arrived<'_>], wrong: &mut Vec<String>) {
    let announced: Vec<_> = versions
        .iter()
        .enumerate()
        .filter(|(_, event)| event.stored.notice.as_deref() == Some("new"))
        .collect();
    let is_over = |event: &Arrived<'_>| {
        matches!(
            event.delivery.event.kind,
            EventKind::Cancelled | EventKind::Received | EventKind::Delivered
        )
    };
    if announced.len() > 1
        || announced
            .iter()
            .any(|(index, _)| versions[..*index].iter().any(is_over))
    {
        wrong.push("it was announced twice, or when it was over".to_owned());
    }
}

/// Of the ends that the history can have had, the one that agrees with what is stored; what differs from
/// the nearest one otherwise.
pub(crate) fn agrees<'a>(case: &Case<'_>, ends: &'a [Replayed], wrong: &mut Vec<String>) -> Option<&'a Replayed> {
    let judged = ends.iter().map(|end| (differences(case, end), end));
    let (differences, nearest) = judged.min_by_key(|(differences, _)| differences.len())?;
    wrong.extend(differences);
    Some(nearest)
}

/// The stock is moved once, as the model says, and a node and operations see the model's order.
fn differences(case: &Case<'_>, end: &Replayed) -> Vec<String> {
    let mut wrong = Vec::new();
    if case.stored.moved != end.moved {
        let (stored, model) = (&case.stored.moved, &end.moved);
        wrong.push(format!("{STOCK_MOVED} {stored:#?} and the model says {model:#?}"));
    }
    if let Some(Loaded(loaded)) = &case.stored.loaded
        && *loaded != end.view
    {
        let lines = |view: &Option<View>| format!("{view:#?}");
        wrong.push(line_by_line(&lines(loaded), &lines(&end.view)));
    }
    match (&end.view, &case.stored.shown) {
        (None, None) => {}
        (Some(view), Some(shown)) => {
            for (field, expected) in shown_as(view) {
                if shown[field] != expected {
                    wrong.push(format!("{field} is shown as {} instead of {expected}", shown[field]));
                }
            }
            if shown["number"].is_null() == view.sheet.is_some() {
                wrong.push(format!("the number is {}", shown["number"]));
            }
        }
        (view, shown) => wrong.push(format!("shown is {shown:?} and the model says {view:?}")),
    }
    wrong
}

/// What the order and the model do not have in common, line by line.
fn line_by_line(stored: &str, model: &str) -> String {
    let only = |one: &str, other: &str, who: &str| -> String {
        let alone = one.lines().filter(|line| other.lines().all(|known| known != *line));
        alone.map(|line| format!("\n   {who} {line}")).collect()
    };
    let (of_order, of_model) = (only(stored, model, "stored:"), only(model, stored, "model: "));
    format!("the order is not stored as the model says{of_order}{of_model}")
}

/// What `GET /api/orders/{id}` must say.
fn shown_as(view: &View) -> Vec<(&'static str, Value)> {
    let rows = view.sheet.iter().flat_map(|sheet| &sheet.rows);
    let position = |row: &crate::domain::model::document::Row| {
        let mut position = json!({
            "id": row.sku,
            "quantity": row.quantity.to_string(),
            "price": row.facts.get("price"),
            "discount_price": row.facts.get("discount price"),
            "replaced_by": row.replaced_by,
        });
        if let Some(name) = row.facts.get("name") {
            position["name"] = json!(name);
        }
        position
    };
    let fact = |name: &str| view.sheet.as_ref().and_then(|sheet| sheet.facts.get(name));
    vec![
        ("version", json!(view.version)),
        ("status", json!(view.status)),
        ("closed", json!(view.closed)),
        ("conflict", json!(view.conflict)),
        ("created_at", json!(view.created_at)),
        ("paid_at", json!(view.marks.paid_at)),
        ("shipped_at", json!(view.marks.shipped_at)),
        ("delivered_at", json!(view.marks.delivered_at)),
        ("cancelled_at", json!(view.marks.cancelled_at)),
        ("store_id", json!(view.sheet.as_ref().map(|sheet| &sheet.store))),
        ("comment", json!(fact("comment"))),
        (
            "total",
            json!({"price": fact("total"), "discount_price": fact("discount total")}),
        ),
        ("positions", rows.map(position).collect()),
    ]
}

/// Rules 2, 3 and 6: the same events in any other order, here the opposite one, end in the same marks
/// and, but for a changed that comes too late, in the same contradictions.
pub(crate) fn any_order(versions: &[Arrived<'_>], stored: Option<&View>, wrong: &mut Vec<String>) {
    let opposite = versions.iter().rev();
    let history: Vec<(Delivery, bool)> = opposite.map(|event| (event.delivery.clone(), true)).collect();
    let (model, steps) = Model::replay(ASSEMBLY_TIME, &history);
    let told = |view: Option<&View>| {
        view.map(|view| {
            let marks = view.marks;
            let set = [marks.paid_at, marks.shipped_at, marks.delivered_at, marks.cancelled_at];
            (view.status, view.closed, set.map(|mark| mark.is_some()))
        })
    };
    let (expected, found) = (told(model.view().as_ref()), told(stored));
    if expected != found {
        wrong.push(format!("status and marks are {found:?}, in another order {expected:?}"));
    }
    let lasting = |note: &str| note.starts_with("conflict_") && note != "conflict_changed_after_closing";
    let steps = steps.iter().flatten().flat_map(|step| &step.notes);
    let expected: BTreeSet<_> = steps.map(|note| note.as_str()).filter(|note| lasting(note)).collect();
    let notes = versions.iter().flat_map(|event| &event.stored.notes);
    let found: BTreeSet<_> = notes.map(|note| &**note).filter(|note| lasting(note)).collect();
    if expected != found {
        wrong.push(format!(
            "the contradictions are {found:?}, in another order {expected:?}"
        ));
    }
}
