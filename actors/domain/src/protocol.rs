//! SM's wire format: bytes to events, and the bodies of answers.
//!
//! # Objective
//! One body is read in one pass, without a tree, and becomes either an event that is correct by
//! construction or the full list of reasons why it can never be one. Strict on keys, money and
//! amounts; tolerant of people, texts and lists: an order refused over a name is money lost
//! (protocol section 4).
//!
//! # Layout
//! - `reader`: the JSON grammar over the bytes, and the limits of what is a document at all.
//! - `envelope`: the top level, and the decision once `event_type` and `payload` are both known.
//! - `payload`, `lines`, `kept`: the payload as a draft that nothing has yet refused.
//! - `field`: what the types of protocol section 4 accept; `notes`: what was wrong, and where.
//! - [`answer`]: what is sent back.
//!
//! # Where the protocol is silent
//! - `null` is the same as an absent key, everywhere.
//! - Of repeated keys the last one counts, also with respect to its errors; except `event_type`,
//!   `payload` and `originalOrderId`, whose repeat is an error.
//! - When the bytes are no JSON document, that is the only error.

use std::fmt;

use chrono::{DateTime, FixedOffset};

use crate::event::{Event, EventKind};
use crate::ids::OrderId;

pub mod answer;
mod envelope;
mod field;
mod kept;
mod lines;
mod notes;
mod payload;
mod reader;

/// The most errors that are reported of one body.
pub const MAX_ERRORS: usize = 16;

/// The most characters of an event's name that are kept.
pub const MAX_NAME_CHARS: usize = 128;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A body that is an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// `event_type` as sent, without U+0000 and cut to [`MAX_NAME_CHARS`]. May be empty when
    /// nothing but U+0000 was sent.
    pub name: String,
    /// What the name stands for.
    pub kind: EventKind,
    /// How many fields were ignored because their type was wrong; of those that are read at all.
    pub tolerated: u32,
    /// The event.
    pub event: ParsedEvent,
}

/// An event with or without an order.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event has an order, and a box would cost each of them"
)]
pub enum ParsedEvent {
    /// An event of one order.
    Order(Event),
    /// An unknown event without a valid order id: accepted and counted, about nothing we know.
    Unaddressed {
        /// SM's own time of the event, where sent.
        sm_timestamp: Option<DateTime<FixedOffset>>,
    },
}

/// A body that can never be read, however often it is repeated: the answer is 400.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// What is wrong: never empty, at most [`MAX_ERRORS`]; `event_type` first, then `payload`, the
    /// order id, the store, and the rest in reading order.
    pub errors: Vec<FieldError>,
    /// The event's name as in [`Parsed::name`], if it was readable.
    pub event_name: Option<String>,
    /// What the name stands for, if it was readable.
    pub kind: Option<EventKind>,
    /// The order, if its id was readable: for the journal.
    pub order_id: Option<OrderId>,
}

impl Rejection {
    /// The bytes are no document of ours.
    fn of_body(message: String) -> Self {
        let errors = vec![FieldError::new("body", message)];
        Self {
            errors,
            event_name: None,
            kind: None,
            order_id: None,
        }
    }

    /// The event is not known.
    fn nameless(message: impl Into<String>, order_id: Option<OrderId>) -> Self {
        let errors = vec![FieldError::new("event_type", message)];
        Self {
            errors,
            event_name: None,
            kind: None,
            order_id,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", error.field, error.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Rejection {}

/// One wrong field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the value, like `payload.positions[1].price`; `body` when the bytes are no JSON
    /// document at all (protocol section 3).
    pub field: String,
    /// What is wrong and what is expected, in words that follow the field's name. Never holds the value.
    pub message: String,
}

impl FieldError {
    fn new(field: impl fmt::Display, message: impl Into<String>) -> Self {
        Self {
            field: field.to_string(),
            message: message.into(),
        }
    }
}

/// Reads one body (protocol section 4). Takes time in proportion to its length.
///
/// # Errors
/// [`Rejection`] when no repeat of these bytes could ever be accepted.
pub fn parse(body: &[u8]) -> Result<Parsed, Rejection> {
    let document = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut reader = reader::Reader::new(document);
    match envelope::Envelope::read(&mut reader) {
        Ok(Some(envelope)) => envelope.decide(),
        Ok(None) => Err(Rejection::of_body("must be a JSON object".to_owned())),
        Err(broken) => Err(Rejection::of_body(reader.explain(&broken))),
    }
}
