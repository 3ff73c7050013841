//! The history of one order as a person can read it.

use std::fmt::Write as _;
use std::time::Instant;

use crate::check::Case;

/// The events in the order of versions, then what was sent and left no row.
pub(crate) fn history(text: &mut String, case: &Case<'_>, started: Instant) {
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
