//! The envelope: `event_type`, `payload` and `timestamp`, and the decision when all are known.

use chrono::{DateTime, FixedOffset};

use super::field::kept_text;
use super::payload::{Payload, Slot};
use super::reader::{Broken, Kind, Opened, Reader, Scalar};
use super::{FieldError, MAX_ERRORS, MAX_NAME_CHARS, Parsed, ParsedEvent, Rejection};
use crate::event::{Content, Event, EventKind};

/// The top level of a body, in whatever order its keys came.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    event_type: Slot<(String, EventKind)>,
    event_type_seen: bool,
    payload: Slot<Box<Payload>>,
    payload_seen: bool,
    sm_timestamp: Option<DateTime<FixedOffset>>,
    tolerated: u32,
}

impl Envelope {
    /// Reads the whole document. `None` when it is none of ours: its top level is not an object.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Broken> {
        let mut envelope = Self::default();
        if reader.open(Kind::Object)? != Opened::Yes {
            reader.finish()?;
            return Ok(None);
        }
        while let Some(key) = reader.key()? {
            match key {
                "event_type" => envelope.read_event_type(reader)?,
                "payload" => envelope.read_payload(reader)?,
                "timestamp" => envelope.read_timestamp(reader)?,
                _ => reader.skip()?,
            }
        }
        reader.finish()?;
        Ok(Some(envelope))
    }

    fn read_event_type(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        if std::mem::replace(&mut self.event_type_seen, true) {
            reader.skip()?;
            self.event_type = Slot::Wrong("must not be repeated".into());
            return Ok(());
        }
        self.event_type = match reader.scalar()? {
            Scalar::Text("") => Slot::Wrong("must not be empty".into()),
            Scalar::Text(name) => Slot::Valid((stored_name(name), EventKind::of_name(name))),
            _ => Slot::Wrong("must be a string".into()),
        };
        Ok(())
    }

    /// A second payload is an error of known events: protocol section 4 is silent, but two readers
    /// would see two events, as with a repeated `event_type`.
    fn read_payload(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        if std::mem::replace(&mut self.payload_seen, true) {
            reader.skip()?;
            self.payload = Slot::Wrong("must not be repeated".into());
            return Ok(());
        }
        let unused = matches!(&self.event_type, Slot::Valid((_, kind)) if !reads_payload(*kind));
        self.payload = match reader.open(Kind::Object)? {
            Opened::Yes => Slot::Valid(Payload::read(reader, unused)?),
            Opened::Null => Slot::Missing,
            Opened::Other => Slot::Wrong("must be an object".into()),
        };
        Ok(())
    }

    /// SM's time of the event, for the rule of late repeats only: worth keeping, never worth an error.
    fn read_timestamp(&mut self, reader: &mut Reader<'_>) -> Result<(), Broken> {
        let read = match reader.scalar()? {
            Scalar::Null => Ok(None),
            Scalar::Text(text) => DateTime::parse_from_rfc3339(text).map(Some).map_err(drop),
            _ => Err(()),
        };
        if read.is_err() {
            self.tolerated = self.tolerated.saturating_add(1);
        }
        self.sm_timestamp = read.unwrap_or_default();
        Ok(())
    }

    /// The event, or every reason why it is none. The order of the errors is fixed: `event_type`,
    /// `payload`, the order id, the store, then the rest in reading order; protocol section 4 is
    /// silent about it, and the first error is what SM's people will look at.
    pub(super) fn decide(self) -> Result<Parsed, Rejection> {
        let Self {
            event_type,
            payload,
            sm_timestamp,
            tolerated,
            ..
        } = self;
        let order_id = match &payload {
            Slot::Valid(payload) => payload.order_id().cloned(),
            _ => None,
        };
        let (name, kind) = match event_type {
            Slot::Valid(event_type) => event_type,
            // Without the event nothing else can be judged: on an unknown one everything would do.
            Slot::Missing => return Err(Rejection::nameless("is required: a non-empty string", order_id)),
            Slot::Wrong(why) => return Err(Rejection::nameless(why, order_id)),
        };
        if kind == EventKind::Unknown {
            let event = match order_id {
                Some(order_id) => ParsedEvent::Order(Event {
                    kind,
                    order_id,
                    sm_timestamp,
                    content: Content::default(),
                }),
                None => ParsedEvent::Unaddressed { sm_timestamp },
            };
            return Ok(Parsed {
                name,
                kind,
                tolerated,
                event,
            });
        }
        let judged = match payload {
            Slot::Valid(payload) => judge(*payload, kind),
            Slot::Missing => Err(vec![FieldError::new("payload", "is required: an object")]),
            Slot::Wrong(why) => Err(vec![FieldError::new("payload", why)]),
        };
        match (judged, order_id) {
            (Ok((content, ignored)), Some(order_id)) => {
                let event = ParsedEvent::Order(Event {
                    kind,
                    order_id,
                    sm_timestamp,
                    content,
                });
                Ok(Parsed {
                    name,
                    kind,
                    tolerated: tolerated.saturating_add(ignored),
                    event,
                })
            }
            (judged, order_id) => {
                let mut errors = judged.err().unwrap_or_default();
                errors.truncate(MAX_ERRORS);
                Err(Rejection {
                    errors,
                    event_name: Some(name),
                    kind: Some(kind),
                    order_id,
                })
            }
        }
    }
}

/// Whether more than the order id of this event's payload is read (protocol section 2).
const fn reads_payload(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Informational | EventKind::Unknown)
}

fn judge(payload: Payload, kind: EventKind) -> Result<(Content, u32), Vec<FieldError>> {
    let order_id_error = payload.order_id_error();
    let judged = if reads_payload(kind) {
        payload.judge(kind)
    } else {
        Ok((Content::default(), 0))
    };
    match (order_id_error, judged) {
        (None, judged) => judged,
        (Some(error), judged) => {
            let mut errors = vec![error];
            errors.extend(judged.err().unwrap_or_default());
            Err(errors)
        }
    }
}

/// The name as it is stored: whole for everything SM is known to send.
fn stored_name(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        None => kept_text(name),
        Some(_) => name.chars().filter(|char| *char != '\0').take(MAX_NAME_CHARS).collect(),
    }
}
