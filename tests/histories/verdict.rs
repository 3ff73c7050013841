//! Everything that can be wrong with one order, its notices and the history that operations see included.

use serde_json::{Value, json};

use crate::answers;
use crate::check::{self, Case};
use crate::replay::replay;
use crate::rows::{Event, Notice};

/// Who is subscribed in these tests: role, chat and store.
pub(crate) const CHATS: [(&str, i64, &str); 3] = [("pickers", 100, "*"), ("pickers", 300, "77"), ("store", 200, "77")];

/// Everything that is wrong with it.
pub(crate) fn complaints(case: &Case<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let history = check::recorded(case, &mut wrong);
    if !wrong.is_empty() {
        return wrong;
    }
    let (versions, without): (Vec<_>, Vec<_>) = history.into_iter().partition(|event| event.stored.version.is_some());
    check::numbered(&versions, &mut wrong);
    check::in_real_time(&versions, &without, &mut wrong);
    answers::check(case, &versions, &mut wrong);
    notices(case, &mut wrong);
    check::announced_once(&versions, &mut wrong);
    history_is_shown(case, &mut wrong);
    match replay(&versions) {
        Ok(ends) => {
            if let Some(end) = check::agrees(case, &ends, &mut wrong) {
                check::any_order(&versions, end.view.as_ref(), &mut wrong);
            }
        }
        Err(why) => wrong.push(why),
    }
    wrong
}

/// A chat is told once of each event that has a notice.
fn notices(case: &Case<'_>, wrong: &mut Vec<String>) {
    let mut expected = Vec::new();
    let row = case.stored.row.as_ref();
    let store = row.and_then(|row| row.store_id.as_deref()).unwrap_or_default();
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

/// Operations see every event with its outcome, in the order in which they were judged.
fn history_is_shown(case: &Case<'_>, wrong: &mut Vec<String>) {
    let Some(shown) = &case.stored.shown else { return };
    let events = shown["events"].as_array().into_iter().flatten();
    let events: Vec<_> = events
        .map(|event| json!([event["delivery_id"], event["outcome"]]))
        .collect();
    if events != timeline(&case.stored.events) {
        wrong.push(format!("the history is shown as {events:?}"));
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
