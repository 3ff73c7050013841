//! Bodies built to protocol section 4, rule by rule.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod amounts;
mod answers;
mod envelope;
mod lines;
mod payload;
mod syntax;
mod texts;

use orderhook_domain::event::{Content, Event};
use orderhook_domain::protocol::{Parsed, ParsedEvent, Rejection, parse};

/// A body of `event` with these members of its payload, besides an order id.
fn body(event: &str, members: &str) -> String {
    let separator = if members.is_empty() { "" } else { "," };
    format!(r#"{{"event_type":"{event}","payload":{{"originalOrderId":"H1"{separator}{members}}}}}"#)
}

/// An order.created that has all it needs, with `members` added to its payload.
fn created(members: &str) -> String {
    let separator = if members.is_empty() { "" } else { "," };
    body(
        "order.created",
        &format!(r#""store_id":"1","positions":[{{"id":"1","quantity":1}}]{separator}{members}"#),
    )
}

/// An order.created of one line with `members` added to it.
fn line(members: &str) -> String {
    body(
        "order.created",
        &format!(r#""store_id":"1","positions":[{{"id":"1","quantity":1,{members}}}]"#),
    )
}

#[track_caller]
fn accepted(body: &str) -> Parsed {
    parse(body.as_bytes()).unwrap_or_else(|rejection| panic!("{body} was refused: {rejection}"))
}

#[track_caller]
fn event(body: &str) -> Event {
    match accepted(body).event {
        ParsedEvent::Order(event) => event,
        ParsedEvent::Unaddressed { .. } => panic!("{body} has no order"),
    }
}

#[track_caller]
fn content(body: &str) -> Content {
    event(body).content
}

#[track_caller]
fn refused(body: &str) -> Rejection {
    let rejection = parse(body.as_bytes()).expect_err(body);
    assert!((1..=16).contains(&rejection.errors.len()), "{body}");
    assert!(rejection.errors.iter().all(|error| !error.message.is_empty()), "{body}");
    rejection
}

/// The fields that a refused body is refused for, in order.
#[track_caller]
fn wrong_fields(body: &str) -> Vec<String> {
    refused(body).errors.into_iter().map(|error| error.field).collect()
}
