//! What was answered: one number and one time per order, and the number as soon as there is one.

use chrono::SubsecRound as _;
use orderhook_domain::event::EventKind;
use serde_json::{Value, json};

use crate::check::Case;
use crate::replay::Arrived;

/// Checks every 200 of one order; `versions` is its history.
pub(crate) fn check(case: &Case<'_>, versions: &[Arrived<'_>], wrong: &mut Vec<String>) {
    let row = case.stored.row.as_ref();
    let number = row.and_then(|row| row.number.as_ref()).map(|number| json!(number));
    let due = row
        .and_then(|row| row.assembly_due_at)
        // It is told in whole seconds.
        .map(|due| due.trunc_subsecs(0));
    let created = versions
        .iter()
        .find(|event| event.delivery.event.kind == EventKind::Created);
    let made = created.and_then(|event| event.stored.version);
    for sent in &case.sent {
        let kind = sent.hook.event.kind;
        let version = versions.iter().find(|event| event.sent.request_id == sent.request_id);
        let version = version.and_then(|event| event.stored.version);
        for answer in sent.attempts.iter().filter_map(|attempt| attempt.acknowledged()) {
            let numbered = json!({"status": "ok", "number": number});
            let bare = json!({"status": "ok"});
            let is_right = match kind {
                EventKind::Created => {
                    answer["status"] == "created"
                        && Some(&answer["number"]) == number.as_ref()
                        && time(&answer["expectedAssemblyTime"]) == due
                        && answer.as_object().is_some_and(|members| members.len() == 3)
                }
                _ if made.is_some_and(|made| version > Some(made)) => *answer == numbered,
                // Only a second try can come after what its first one could not know.
                _ if sent.attempts.len() > 1 => *answer == bare || (number.is_some() && *answer == numbered),
                _ => *answer == bare,
            };
            if !is_right {
                wrong.push(format!("{} ({kind}) was answered {answer}", sent.request_id));
            }
        }
    }
}

fn time(text: &Value) -> Option<chrono::DateTime<chrono::Utc>> {
    let time = chrono::DateTime::parse_from_rfc3339(text.as_str()?).ok()?;
    Some(time.to_utc())
}
