//! From the bytes of a hook to what became of it: the one way in, for SM and for a replay.
//!
//! Bytes are parsed once, an event goes to its order, what concerns no order goes to the journal.
//! Nothing is answered here; the caller turns the [`Taken`] into its own kind of answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use orderhook_actors::error::DeliverError;
use orderhook_actors::order_actor::{Acknowledged, Hook};
use orderhook_actors::ports::{Arrival, Replay};
use orderhook_actors::system::Actors;
use orderhook_domain::apply::Outcome;
use orderhook_domain::event::{Delivery, EventKind};
use orderhook_domain::ids::{DeliveryId, OrderId};
use orderhook_domain::protocol::{self, Parsed, ParsedEvent, Rejection};
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

/// A body with the circumstances of its arrival.
#[derive(Debug)]
pub struct Incoming {
    /// Byte for byte as sent.
    pub body: Bytes,
    /// When it arrived at the HTTP listener, in whole microseconds.
    pub received_at: DateTime<Utc>,
    /// The id that nginx gave the request.
    pub request_id: Option<String>,
    /// When nginx had the request, in milliseconds since 1970: the same for both of its tries.
    pub request_started: Option<u64>,
    /// Set when an operator plays a stored body again.
    pub replay: Option<ReplayedArrival>,
    /// From then on nothing of it is sent to the database any more.
    pub deadline: Instant,
}

/// A stored arrival that is judged again.
#[derive(Debug)]
pub struct ReplayedArrival {
    /// Which one, and who asked.
    pub replay: Replay,
    /// When it first arrived: the marks that it sets carry this time.
    pub first_received_at: DateTime<Utc>,
}

/// What became of a body.
#[derive(Debug)]
pub struct Taken {
    /// The canonical event; `None` when the body was not readable that far.
    pub kind: Option<EventKind>,
    /// The order, as far as it was readable.
    pub order_id: Option<OrderId>,
    /// Fields of a wrong type that were ignored.
    pub tolerated: u32,
    /// Names the arrival in the journal.
    pub delivery_id: DeliveryId,
    /// The decision.
    pub verdict: Verdict,
}

/// The decision on a body.
#[derive(Debug)]
pub enum Verdict {
    /// It is durable.
    Acknowledged(Acknowledged),
    /// It can never be read; that it was sent is durable.
    Rejected(Rejection),
    /// It is not known to be durable; the caller repeats.
    Refused(DeliverError),
}

impl Verdict {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Acknowledged(acknowledged) => acknowledged.outcome.as_str(),
            Self::Rejected(_) => Outcome::Rejected.as_str(),
            Self::Refused(error) => error.as_str(),
        }
    }
}

/// Takes one body in. It is understood when this returns; the future ends when it is durable, refused, or past its
/// deadline. What the future holds is small on purpose: hundreds are under way at once, and what does not fit in the
/// processor's cache is fetched again at every step.
pub fn take(actors: &Actors, incoming: Incoming) -> impl Future<Output = Taken> {
    let deadline = incoming.deadline;
    let Understood {
        kind,
        order_id,
        tolerated,
        delivery_id,
        what,
    } = understand(incoming);
    async move {
        let taken = match what {
            What::Event(hook) => actors.orders.deliver(hook).await.map(Verdict::Acknowledged),
            What::Unaddressed(arrival) => {
                let recorded = actors.record(arrival, Outcome::Ignored, Vec::new(), deadline).await;
                recorded.map(|()| Verdict::Acknowledged(nothing_changed()))
            }
            // A body is rejected only after that was recorded (protocol section 3).
            What::Rejected(arrival, rejection) => {
                let errors = rejection.errors.clone();
                let recorded = actors.record(arrival, Outcome::Rejected, errors, deadline).await;
                recorded.map(|()| Verdict::Rejected(rejection))
            }
        };
        Taken {
            kind,
            order_id,
            tolerated,
            delivery_id,
            verdict: taken.unwrap_or_else(Verdict::Refused),
        }
    }
}

/// A body that was read.
struct Understood {
    kind: Option<EventKind>,
    order_id: Option<OrderId>,
    tolerated: u32,
    delivery_id: DeliveryId,
    what: What,
}

/// What a body is, and what is kept of it.
enum What {
    /// An event of an order.
    Event(Hook),
    /// An event that needs no order, and has none.
    Unaddressed(Arc<Arrival>),
    /// It can never be read.
    Rejected(Arc<Arrival>, Rejection),
}

fn understand(incoming: Incoming) -> Understood {
    match protocol::parse(&incoming.body) {
        Ok(parsed) => understand_event(parsed, incoming),
        Err(rejection) => {
            let mut arrival = arrival(incoming);
            arrival.kind = rejection.kind;
            arrival.event_type.clone_from(&rejection.event_name);
            arrival.order_id.clone_from(&rejection.order_id);
            Understood {
                kind: rejection.kind,
                order_id: rejection.order_id.clone(),
                tolerated: 0,
                delivery_id: arrival.delivery_id,
                what: What::Rejected(Arc::new(arrival), rejection),
            }
        }
    }
}

fn understand_event(parsed: Parsed, incoming: Incoming) -> Understood {
    let Parsed {
        name,
        kind,
        tolerated,
        event,
    } = parsed;
    let judged_at = incoming
        .replay
        .as_ref()
        .map_or(incoming.received_at, |replayed| replayed.first_received_at);
    let deadline = incoming.deadline;
    let mut arrival = arrival(incoming);
    arrival.kind = Some(kind);
    arrival.event_type = Some(name);
    let delivery_id = arrival.delivery_id;
    let (order_id, what) = match event {
        ParsedEvent::Order(event) => {
            let order_id = event.order_id.clone();
            arrival.order_id = Some(order_id.clone());
            arrival.sm_timestamp = event.sm_timestamp.map(|time| time.to_utc());
            let delivery = Delivery {
                id: delivery_id,
                received_at: judged_at,
                event,
            };
            let hook = Hook {
                delivery: Arc::new(delivery),
                arrival: Arc::new(arrival),
                deadline,
            };
            (Some(order_id), What::Event(hook))
        }
        ParsedEvent::Unaddressed { sm_timestamp } => {
            arrival.sm_timestamp = sm_timestamp.map(|time| time.to_utc());
            (None, What::Unaddressed(Arc::new(arrival)))
        }
    };
    Understood {
        kind: Some(kind),
        order_id,
        tolerated,
        delivery_id,
        what,
    }
}

/// What is said of an event about no order.
const fn nothing_changed() -> Acknowledged {
    Acknowledged {
        outcome: Outcome::Ignored,
        notes: Vec::new(),
        number: None,
        assembly_due_at: None,
    }
}

/// The arrival as far as it is known before the body is understood.
fn arrival(incoming: Incoming) -> Arrival {
    Arrival {
        delivery_id: delivery_id(&incoming),
        order_id: None,
        kind: None,
        event_type: None,
        received_at: incoming.received_at,
        sm_timestamp: None,
        request_id: incoming.request_id,
        replay: incoming.replay.map(|replayed| replayed.replay),
        body: incoming.body,
    }
}

/// Names an arrival. The second try of one request by nginx has the same `X-Request-Id`, `X-Request-Start`
/// and body, and is the same delivery (protocol section 5, rule 5); the body is part of the name, so that a
/// caller who always sends one id cannot make two hooks one. Without a request id every arrival is new.
///
/// The name begins with the time, as a UUID of version 7 does: new ones stand together at the end of an index
/// instead of all over it. Without a time from nginx it is the digest alone, for a node's own clock would name
/// the second try otherwise.
fn delivery_id(incoming: &Incoming) -> DeliveryId {
    let Some(request_id) = &incoming.request_id else {
        return DeliveryId(Uuid::now_v7());
    };
    // No cryptographic digest: it would be among the most expensive things that are done to a body, and a collision
    // made on purpose gains nothing. The request id is nginx's, at random; who chooses it himself knows SM's token.
    // Of the digest 74 bits remain beside a time: enough for one request id in one millisecond.
    let mut digest = Xxh3::new();
    digest.update(request_id.as_bytes());
    digest.update(&[0]);
    digest.update(&incoming.body);
    let mut name = digest.digest128().to_be_bytes();
    if let Some(millis) = incoming.request_started {
        name[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
    }
    DeliveryId(uuid::Builder::from_custom_bytes(name).into_uuid())
}
