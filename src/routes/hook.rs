//! `POST /sbermarket/orders/hook/`: authenticate, read, parse once, deliver, answer after the commit.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, SubsecRound, Utc};
use futures_util::StreamExt;
use metrics::counter;
use orderhook_actors::admission::Importance;
use orderhook_actors::error::DeliverError;
use orderhook_actors::order_actor::Acknowledged;
use orderhook_actors::ports::Answered;
use orderhook_domain::event::EventKind;
use orderhook_domain::ids::{DeliveryId, OrderId};
use orderhook_domain::protocol::answer::{Answer, ErrorBody};
use orderhook_domain::protocol::{self, ParsedEvent};

use super::{error_response, json_response, method_not_allowed};
use crate::app::Node;
use crate::intake::{self, Incoming, Taken, Verdict};
use crate::live::hooks::Owed;
use crate::metrics::{FIELDS_TOLERATED_TOTAL, HOOKS_TOTAL, NO_EVENT};

/// The largest body (protocol section 3).
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// Where SM sends its hooks; with and without the last slash.
pub const PATHS: [&str; 2] = ["/sbermarket/orders/hook/", "/sbermarket/orders/hook"];

/// Routes and limits of the hook listener.
pub fn configure(config: &mut web::ServiceConfig) {
    for path in PATHS {
        config.service(
            web::resource(path)
                .route(web::post().to(receive))
                .default_service(web::to(async || method_not_allowed("POST"))),
        );
    }
    config.default_service(web::to(async || error_response(&ErrorBody::not_found())));
}

/// What one hook came to: the answer, and what its log line and figures say.
struct Answering {
    response: HttpResponse,
    event: &'static str,
    outcome: &'static str,
    order_id: Option<OrderId>,
    delivery_id: Option<DeliveryId>,
    /// Whether it has no line of its own in the log. What is refused for capacity before it is parsed has none,
    /// `order.created` excepted: there are tens of thousands a second, all alike, and writing them costs what
    /// others need to be answered. They are counted, and told once a second ([`crate::live::sampler`]).
    untold: bool,
}

/// A hook whose answer is not given yet. Dropped before that (its caller has gone away) it leaves the line that
/// its answer would have left. What was admitted goes on, and its outcome stands in the journal.
struct Unanswered<'a> {
    owed: Option<Owed<'a>>,
    request_id: Option<&'a str>,
    started: Instant,
    /// Set when it was read.
    body: OnceCell<Bytes>,
}

impl Unanswered<'_> {
    fn authenticated(&self) {
        if let Some(owed) = &self.owed {
            owed.authenticated();
        }
    }

    fn read(&self, body: &Bytes) {
        // It is read once.
        let _ = self.body.set(body.clone());
    }

    fn answered(mut self, event: &str, status: u16, duration: Duration) {
        if let Some(owed) = self.owed.take() {
            owed.answered(event, status, duration);
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.owed.is_none() {
            return;
        }
        // Parsed a second time: it happens so rarely that no other hook has to carry its names along.
        let (order_id, event) = match self.body.get().map(|body| protocol::parse(body)) {
            Some(Ok(parsed)) => match parsed.event {
                ParsedEvent::Order(event) => (Some(event.order_id), parsed.kind.as_str()),
                ParsedEvent::Unaddressed { .. } => (None, parsed.kind.as_str()),
            },
            Some(Err(rejection)) => (rejection.order_id, rejection.kind.map_or(NO_EVENT, EventKind::as_str)),
            None => (None, NO_EVENT),
        };
        tracing::info!(
            request_id = self.request_id,
            order_id = order_id.as_ref().map(OrderId::as_str),
            event,
            outcome = "abandoned",
            duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            "hook not answered: its caller has gone away"
        );
    }
}

/// Takes one hook of SM and answers once it is durable.
#[utoipa::path(
    post,
    path = "/sbermarket/orders/hook/",
    request_body = crate::openapi::Hook,
    security(("client_token" = [])),
    responses(
        (status = 200, description = "The event is durable", body = crate::openapi::Answer),
        (status = 400, description = "The body can never be read; the first wrong field is named", body = crate::openapi::ErrorBody),
        (status = 403, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
        (status = 413, description = "The body is over 256 KiB", body = crate::openapi::ErrorBody),
        (status = 429, description = "Over capacity, or the order's own queue is full", body = crate::openapi::ErrorBody),
        (status = 503, description = "Draining, the database is away, or the deadline has passed", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn receive(request: HttpRequest, payload: web::Payload, node: web::Data<Node>) -> HttpResponse {
    let received_at = Utc::now().trunc_subsecs(6);
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let _in_flight = node.hook_enters();
    let unanswered = Unanswered {
        owed: Some(node.live.hooks.owe()),
        request_id,
        started,
        body: OnceCell::new(),
    };
    let answering = answer(&request, payload, &node, received_at, &unanswered).await;
    let duration = started.elapsed();
    counter!(HOOKS_TOTAL, "event" => answering.event, "outcome" => answering.outcome).increment(1);
    unanswered.answered(answering.event, answering.response.status().as_u16(), duration);
    if answering.untold {
        node.live.hooks.refused_untold();
    } else {
        tracing::info!(
            request_id,
            order_id = answering.order_id.as_ref().map(OrderId::as_str),
            delivery_id = answering.delivery_id.map(tracing::field::display),
            event = answering.event,
            outcome = answering.outcome,
            status = answering.response.status().as_u16(),
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            "hook answered"
        );
    }
    answering.response
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    node: &Node,
    received_at: DateTime<Utc>,
    unanswered: &Unanswered<'_>,
) -> Answering {
    let at_the_door = |body: &ErrorBody, outcome: &'static str| Answering {
        response: error_response(body),
        event: NO_EVENT,
        outcome,
        order_id: None,
        delivery_id: None,
        untold: false,
    };
    // Said before the token is looked at: nginx shall try another node whatever was sent.
    if node.is_draining() {
        return at_the_door(&ErrorBody::unavailable(), DeliverError::Stopping.as_str());
    }
    if !node.tokens.accept(request.headers()) {
        return at_the_door(&ErrorBody::authentication(), "forbidden");
    }
    unanswered.authenticated();
    // Counted from the arrival: a body that comes slowly leaves less time for the rest.
    let deadline = unanswered.started + node.answer_deadline;
    let body = match tokio::time::timeout_at(deadline.into(), read_body(request.headers(), payload)).await {
        Ok(Ok(body)) => body,
        Ok(Err(BodyError::TooLarge)) => return at_the_door(&ErrorBody::too_large(), "too_large"),
        // The caller has gone away or is too slow; whatever is said, nobody may be listening.
        Ok(Err(BodyError::Broken)) | Err(_) => return at_the_door(&ErrorBody::unavailable(), "too_slow"),
    };
    unanswered.read(&body);
    let importance = importance_of(&body);
    if let Err(error) = node.actors().admission.admit(importance) {
        let refused = at_the_door(&refusal(error), error.as_str());
        return match importance {
            // An order may be lost by it.
            Importance::Created => Answering {
                event: EventKind::Created.as_str(),
                ..refused
            },
            Importance::Other => Answering {
                untold: error == DeliverError::Busy,
                ..refused
            },
        };
    }
    let incoming = Incoming {
        body,
        received_at,
        request_id: unanswered.request_id.map(str::to_owned),
        request_started: request_started(request.headers()),
        replay: None,
        deadline,
    };
    let taken = intake::take(node.actors(), incoming).await;
    if taken.tolerated > 0 {
        counter!(FIELDS_TOLERATED_TOTAL).increment(u64::from(taken.tolerated));
    }
    if matches!(taken.verdict, Verdict::Acknowledged(_)) {
        note_answer(node, &taken, deadline);
    }
    Answering {
        response: respond(&taken),
        event: taken.kind.map_or(NO_EVENT, EventKind::as_str),
        outcome: taken.verdict.as_str(),
        order_id: taken.order_id,
        delivery_id: Some(taken.delivery_id),
        untold: false,
    }
}

/// The moment of the answer decides later whether a repeat is late (protocol section 5, rule 5). An
/// answer past its deadline may have come too late for SM, and then counts as not given.
fn note_answer(node: &Node, taken: &Taken, deadline: Instant) {
    let matters = matches!(taken.kind, Some(EventKind::Created | EventKind::Changed));
    if matters && Instant::now() < deadline {
        node.actors().answers.record(Answered {
            delivery_id: taken.delivery_id,
            at: Utc::now(),
        });
    }
}

fn respond(taken: &Taken) -> HttpResponse {
    match &taken.verdict {
        Verdict::Acknowledged(acknowledged) => ok(&answer_of(taken.kind, acknowledged)),
        Verdict::Rejected(rejection) => error_response(&ErrorBody::validation(rejection)),
        Verdict::Refused(error) => error_response(&refusal(*error)),
    }
}

/// Over capacity is 429 and goes back to SM; every other refusal is 503 and another node may do
/// better (protocol section 3).
fn refusal(error: DeliverError) -> ErrorBody {
    match error {
        DeliverError::Busy => ErrorBody::overload(),
        DeliverError::Deadline | DeliverError::Unavailable | DeliverError::Unstorable | DeliverError::Stopping => {
            ErrorBody::unavailable()
        }
    }
}

/// Looked at before the body is parsed: a refusal must cost next to nothing. Whoever writes the name with
/// escapes is refused sooner than he had to be, and told to come again.
fn importance_of(body: &[u8]) -> Importance {
    if memchr::memmem::find(body, b"order.created").is_some() {
        Importance::Created
    } else {
        Importance::Other
    }
}

enum BodyError {
    TooLarge,
    Broken,
}

/// A body that came in one piece, as nearly all do, is not copied: it stays in the buffer that its connection read it
/// into, of 8 to 16 KiB unless the body is larger. A connection has one request under way, so that each keeps one
/// such buffer more at most; that of a hook that was answered 503 meanwhile is kept until its transaction has ended.
async fn read_body(headers: &HeaderMap, mut payload: web::Payload) -> Result<Bytes, BodyError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(BodyError::TooLarge);
    }
    let mut body = Bytes::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| BodyError::Broken)?;
        if body.len() + piece.len() > MAX_BODY_BYTES {
            return Err(BodyError::TooLarge);
        }
        if body.is_empty() {
            body = piece;
        } else {
            // Copies what the connection's buffer holds, once; from then on it grows in place.
            let mut joined = BytesMut::from(body);
            joined.extend_from_slice(&piece);
            body = joined.freeze();
        }
    }
    Ok(body)
}

fn ok(answer: &Answer) -> HttpResponse {
    json_response(&mut HttpResponseBuilder::new(StatusCode::OK), answer)
}

fn answer_of(kind: Option<EventKind>, acknowledged: &Acknowledged) -> Answer {
    match (kind, &acknowledged.number, acknowledged.assembly_due_at) {
        (Some(EventKind::Created), Some(number), Some(due)) => Answer::Created {
            number: number.clone(),
            expected_assembly_time: due.fixed_offset(),
        },
        (_, number, _) => Answer::Ok { number: number.clone() },
    }
}

// Made once: a name that is given as text is parsed and copied for every hook.
static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");

/// The longest request id that is kept; nginx's has 32 characters.
const MAX_REQUEST_ID_BYTES: usize = 64;

fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(&X_REQUEST_ID)?.to_str().ok()?;
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES).then_some(id)
}

/// When nginx had the request, in milliseconds since 1970, from its `t=${msec}`: seconds and three decimals.
/// Anything else is no time.
fn request_started(headers: &HeaderMap) -> Option<u64> {
    let time = headers.get(&X_REQUEST_START)?.to_str().ok()?.strip_prefix("t=")?;
    let (seconds, millis) = time.split_once('.')?;
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.len() != 10 || millis.len() != 3 || !all_digits(seconds) || !all_digits(millis) {
        return None;
    }
    Some(seconds.parse::<u64>().ok()? * 1000 + millis.parse::<u64>().ok()?)
}
