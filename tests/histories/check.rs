//! Whether what is stored of one order can have come of what was sent.

use std::collections::{BTreeSet, HashMap};

use orderhook_domain::event::{Delivery, EventKind};
use serde_json::{Value, json};

use crate::answers;
use crate::domain::model::{Model, View};
use crate::replay::{ASSEMBLY_TIME, Arrived, Replayed, replay};
use crate::stored::{Event, Notice, Stored};
use crate::traffic::Sent;

/// One order: what was sent of it, in the order of the plan, and what is stored.
pub(crate) struct Case<'a> {
    pub(crate) sent: Vec<&'a Sent<'a>>,
    pub(crate) stored: &'a Stored,
}

/// Who is subscribed in these tests: role, chat and store.
pub(crate) const CHATS: [(&str, i64, &str); 3] = [("pickers", 100, "*"), ("pickers", 300, "77"), ("store", 200, "77")];

/// Everything that is wrong with it.
pub(crate) fn complaints(case: &Case<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let history = recorded(case, &mut wrong);
    if !wrong.is_empty() {
        return wrong;
    }
    let (versions, without): (Vec<_>, Vec<_>) = history.into_iter().partition(|event| event.stored.version.is_some());
    numbered(&versions, &mut wrong);
    in_real_time(&versions, &without, &mut wrong);
    answers::check(case, &versions, &mut wrong);
    notices(case, &versions, &mut wrong);
    match replay(case, &versions) {
        Ok(replayed) => {
            agrees(case, &replayed, &mut wrong);
            any_order(&versions, replayed.view.as_ref(), &mut wrong);
        }
        Err(why) => wrong.push(why),
    }
    wrong
}

/// Every acknowledged event is in the journal once, byte for byte, and nothing else is.
fn recorded<'a>(case: &Case<'a>, wrong: &mut Vec<String>) -> Vec<Arrived<'a>> {
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
            wrong.push(format!("{} is not recorded as it was sent", row.request_id));
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
fn numbered(versions: &[Arrived<'_>], wrong: &mut Vec<String>) {
    let gap = (1..)
        .zip(versions)
        .find(|(expected, event)| event.stored.version != Some(*expected));
    if let Some((expected, _)) = gap {
        wrong.push(format!("version {expected} is missing or stands twice"));
    }
}

/// What was acknowledged before another was sent comes before it.
fn in_real_time(versions: &[Arrived<'_>], without: &[Arrived<'_>], wrong: &mut Vec<String>) {
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

/// A chat is told once of each event that has a notice; "new" once and never of what is over already.
fn notices(case: &Case<'_>, versions: &[Arrived<'_>], wrong: &mut Vec<String>) {
    let mut expected = Vec::new();
    let store = case.stored.order.as_ref().and_then(|order| order.document.as_ref());
    let store = store.map_or("", |document| document.store_id.as_str());
    for row in &case.stored.events {
        let told = row.notice.iter().flat_map(|kind| {
            targets(store).into_iter().map(|(role, chat_id)| Notice {
                delivery_id: row.delivery_id,
                kind: kind.clone(),
                role: role.to_owned(),
                chat_id,
            })
        });
        expected.extend(told);
    }
    let mut stored: Vec<_> = case.stored.notices.iter().collect();
    stored.sort();
    expected.sort();
    if !stored.iter().copied().eq(&expected) {
        wrong.push(format!("the notices are {stored:#?} instead of {expected:#?}"));
    }
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

/// Role and chat of everybody who is told about a store; a role without a chat keeps its notice.
fn targets(store: &str) -> Vec<(&'static str, Option<i64>)> {
    let subscribed = |role: &str| {
        let of_store = CHATS.iter().filter(|(_, _, of)| [store, "*"].contains(of));
        let chats: Vec<_> = of_store
            .filter(|chat| chat.0 == role)
            .map(|chat| Some(chat.1))
            .collect();
        if chats.is_empty() { vec![None] } else { chats }
    };
    let of_role = |role: &'static str| subscribed(role).into_iter().map(move |chat| (role, chat));
    ["pickers", "store"].into_iter().flat_map(of_role).collect()
}

/// The stock is moved once, as the model says, and operations see the model's order.
fn agrees(case: &Case<'_>, replayed: &Replayed, wrong: &mut Vec<String>) {
    if case.stored.moved != replayed.moved {
        let (stored, model) = (&case.stored.moved, &replayed.moved);
        wrong.push(format!("the stock moved is {stored:#?} and the model says {model:#?}"));
    }
    match (&replayed.view, &case.stored.shown) {
        (None, None) => {}
        (Some(view), Some(shown)) => {
            for (field, expected) in shown_as(view) {
                if shown[field] != expected {
                    wrong.push(format!("{field} is shown as {} instead of {expected}", shown[field]));
                }
            }
            let events = shown["events"].as_array().into_iter().flatten();
            let events: Vec<_> = events
                .map(|event| json!([event["delivery_id"], event["outcome"]]))
                .collect();
            if events != timeline(&case.stored.events) {
                wrong.push(format!("the history is shown as {events:?}"));
            }
            if shown["number"].is_null() == view.sheet.is_some() {
                wrong.push(format!("the number is {}", shown["number"]));
            }
        }
        (view, shown) => wrong.push(format!("shown is {shown:?} and the model says {view:?}")),
    }
}

/// Judged events in the order of their versions; each of the others stands before the first of them that
/// arrived later.
fn timeline(stored: &[Event]) -> Vec<Value> {
    let (mut shown, others): (Vec<_>, Vec<_>) = stored.iter().partition(|event| event.version.is_some());
    for other in others {
        let later = |event: &&Event| event.version.is_some() && event.received_at > other.received_at;
        let place = shown.iter().position(later).unwrap_or(shown.len());
        shown.insert(place, other);
    }
    shown
        .iter()
        .map(|event| json!([event.delivery_id.0, event.outcome]))
        .collect()
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
fn any_order(versions: &[Arrived<'_>], stored: Option<&View>, wrong: &mut Vec<String>) {
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
