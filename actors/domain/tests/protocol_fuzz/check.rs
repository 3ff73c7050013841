//! What must hold of every body whatever.

use std::time::{Duration, Instant};

use orderhook_domain::event::{Content, EventKind};
use orderhook_domain::protocol::{MAX_ERRORS, MAX_NAME_CHARS, Parsed, ParsedEvent, Rejection, parse};
use serde_json::Value;

use crate::ALLOCATED;
use crate::tokens::respaced;

/// Far more than any body under the size limit takes, even unoptimised on a busy machine.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// The most bytes of memory per byte of a body. The greediest body is an order.paid full of
/// `{"id":1},`: valid lines, each of which becomes a line with all its fields, in a list that is
/// being moved to a larger place. Nonsense takes nothing at all.
const MEMORY_FACTOR: usize = 56;

/// What may be allocated for the smallest body: the reader's buffer for escapes, the draft, the
/// errors, and the first objects inside of kept ones.
const MEMORY_BASE: usize = 48 * 1024;

/// Whether the body was accepted; or what did not hold.
pub(crate) fn check(body: &[u8]) -> Result<bool, String> {
    let result = measured(body)?;
    let syntax_error = matches!(&result, Err(rejection) if rejection.errors.iter().any(|error| error.field == "body"));
    let expected = is_object(body);
    if expected.is_some_and(|is_object| is_object == syntax_error) {
        return Err(format!(
            "is_object = {expected:?}, but {:?}",
            result.map(|parsed| parsed.name)
        ));
    }
    match &result {
        Ok(parsed) => check_parsed(parsed)?,
        Err(rejection) => check_rejection(rejection)?,
    }
    if !syntax_error {
        for space in [&b""[..], b" ", b"\r\n\t"] {
            if parse(&respaced(body, space)) != result {
                return Err(format!("other whitespace gives another result: {space:?}"));
            }
        }
    }
    Ok(result.is_ok())
}

/// Parses within the limits of time and memory.
fn measured(body: &[u8]) -> Result<Result<Parsed, Rejection>, String> {
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    let start = Instant::now();
    let result = parse(body);
    let took = start.elapsed();
    let peak = ALLOCATED.peak_usage().saturating_sub(before);
    if took > TIME_LIMIT {
        return Err(format!("took {took:?}"));
    }
    if peak > MEMORY_FACTOR * body.len() + MEMORY_BASE {
        return Err(format!("allocated {peak} bytes for {}", body.len()));
    }
    Ok(result)
}

/// What `serde_json` says: whether the bytes are one JSON object. `None` where its limits are not
/// ours: it stops at depth 127 and at numbers that no f64 holds.
fn is_object(body: &[u8]) -> Option<bool> {
    let document = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match serde_json::from_slice::<Value>(document) {
        Ok(value) => Some(value.is_object()),
        Err(error) => {
            let message = error.to_string();
            let own_limit = message.starts_with("recursion limit") || message.starts_with("number out of range");
            (!own_limit).then_some(false)
        }
    }
}

fn check_rejection(rejection: &Rejection) -> Result<(), String> {
    let errors = &rejection.errors;
    let of_body = errors.iter().any(|error| error.field == "body");
    let known_paths = errors.iter().all(|error| {
        ["body", "event_type", "payload"].contains(&error.field.as_str()) || error.field.starts_with("payload.")
    });
    let distinct = errors
        .iter()
        .enumerate()
        .all(|(index, error)| errors[..index].iter().all(|e| e.field != error.field));
    let nothing_known = (&rejection.event_name, rejection.kind, &rejection.order_id) == (&None, None, &None);
    let holds = (1..=MAX_ERRORS).contains(&errors.len())
        && known_paths
        && distinct
        && errors
            .iter()
            .all(|error| !error.message.is_empty() && error.message.len() < 200)
        && (!of_body || (errors.len() == 1 && nothing_known))
        && rejection.event_name.is_some() == rejection.kind.is_some()
        && rejection.kind != Some(EventKind::Unknown);
    if holds {
        Ok(())
    } else {
        Err(format!("the rejection is wrong: {rejection:?}"))
    }
}

fn check_parsed(parsed: &Parsed) -> Result<(), String> {
    let name_holds = parsed.name.chars().count() <= MAX_NAME_CHARS && !parsed.name.contains('\0');
    let holds = match &parsed.event {
        ParsedEvent::Unaddressed { .. } => parsed.kind == EventKind::Unknown,
        ParsedEvent::Order(event) => {
            let content = &event.content;
            event.kind == parsed.kind
                && !event.order_id.as_str().contains('\0')
                && check_content(content)
                && match event.kind {
                    EventKind::Created => {
                        content.store_id.is_some() && !content.lines.is_empty() && has_quantities(content)
                    }
                    EventKind::Changed => has_quantities(content),
                    EventKind::Informational | EventKind::Unknown => *content == Content::default(),
                    _ => true,
                }
        }
    };
    if holds && name_holds {
        Ok(())
    } else {
        Err(format!("the event is wrong: {parsed:?}"))
    }
}

fn has_quantities(content: &Content) -> bool {
    content.lines.iter().all(|line| line.quantity.is_some())
}

/// Content must survive being stored: no U+0000 anywhere, and read back as it was.
fn check_content(content: &Content) -> bool {
    let stored = serde_json::to_string(content).unwrap();
    // An escaped backslash before `u0000` is a backslash and five characters.
    let has_nul = stored.replace(r"\\", "").contains(r"\u0000");
    !has_nul && serde_json::from_str::<Content>(&stored).is_ok_and(|read| read == *content)
}
