//! A failure as a person can read it.

use std::fmt::Write as _;
use std::time::Instant;

use crate::check::Case;
use crate::plan::Plan;

/// At most so many orders are printed.
const PRINTED: usize = 3;

/// Panics when anything is wrong with any order.
pub(crate) fn report(plan: &Plan, started: Instant, failed: &[(Case<'_>, Vec<String>)]) {
    if failed.is_empty() {
        return;
    }
    let mut text = format!("{} of {} orders are wrong\n", failed.len(), plan.orders);
    for (case, complaints) in failed.iter().take(PRINTED) {
        let id = &case.sent[0].hook.event.order_id;
        let _ = writeln!(text, "\n== {id}");
        for complaint in complaints {
            let _ = writeln!(text, "-- {complaint}");
        }
        history(&mut text, case, started);
    }
    let seed = plan.seed;
    panic!("{text}\nthe same orders and the same plan again: ORDERHOOK_HISTORY_SEED={seed}");
}

/// The events in the order of versions, then what was sent and left no row.
fn history(text: &mut String, case: &Case<'_>, started: Instant) {
    for row in &case.stored.events {
        let version = row.version.map_or("-".to_owned(), |version| version.to_string());
        let (notes, notice) = (&row.notes, row.notice.as_deref().unwrap_or("-"));
        let arrived = row.received_at.format("%T%.6f");
        let answered = row
            .answered_at
            .map_or("-".to_owned(), |time| time.format("%T%.6f").to_string());
        let _ = writeln!(
            text,
            "\nversion {version} {} on {}, {} {notes:?}, notice {notice}, arrived {arrived}, answered {answered}",
            row.event, row.node, row.outcome
        );
        sent(text, case, started, &row.request_id);
    }
    for unrecorded in &case.sent {
        if case
            .stored
            .events
            .iter()
            .all(|row| row.request_id != unrecorded.request_id)
        {
            let _ = writeln!(text, "\nnot recorded:");
            sent(text, case, started, &unrecorded.request_id);
        }
    }
}

fn sent(text: &mut String, case: &Case<'_>, started: Instant, request_id: &str) {
    for sent in case.sent.iter().filter(|sent| sent.request_id == request_id) {
        for attempt in &sent.attempts {
            let (from, to) = (attempt.sent - started, attempt.ended - started);
            let answer = match &attempt.answer {
                Some((status, answer)) => format!("{status} {answer}"),
                None => "no answer".to_owned(),
            };
            let _ = writeln!(
                text,
                "    {request_id} to {} {from:.6?} .. {to:.6?}: {answer}",
                attempt.node
            );
        }
        let body: serde_json::Value = serde_json::from_slice(&sent.hook.body).unwrap_or_default();
        let _ = writeln!(text, "    {body}");
    }
}
