//! `POST /sbermarket/orders/hook/`: authenticate, read, parse once, deliver, answer after the commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use chrono::{DateTime, SubsecRound, Utc};
use futures_util::StreamExt;
use metrics::{counter, histogram};
use orderhook_actors::error::DeliverError;
use orderhook_actors::order_actor::{Acknowledged, Hook};
use orderhook_actors::ports::{Answered, Arrival};
use orderhook_domain::apply::Outcome;
use orderhook_domain::event::{Delivery, EventKind};
use orderhook_domain::ids::{DeliveryId, OrderId};
use orderhook_domain::protocol::answer::{Answer, ErrorBody};
use orderhook_domain::protocol::{self, Parsed, ParsedEvent, Rejection};
use tracing::Instrument;
use uuid::Uuid;

use super::{error_response, json_response};
use crate::app::Node;
use crate::metrics::{FIELDS_TOLERATED_TOTAL, HOOK_SECONDS, HOOKS_TOTAL, NO_EVENT};

/// The largest body (protocol section 3).
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// A body that has not arrived by then is not waited for: SM has given up on its answer.
const BODY_TIME: Duration = Duration::from_secs(5);

/// Where SM sends its hooks; with and without the last slash.
pub const PATHS: [&str; 2] = ["/sbermarket/orders/hook/", "/sbermarket/orders/hook"];

/// Routes and limits of the hook listener.
pub fn configure(config: &mut web::ServiceConfig) {
    for path in PATHS {
        config.service(
            web::resource(path)
                .route(web::post().to(receive))
                .default_service(web::to(async || {
                    let mut response = error_response(&ErrorBody::method_not_allowed());
                    response.headers_mut().insert(
                        actix_web::http::header::ALLOW,
                        actix_web::http::header::HeaderValue::from_static("POST"),
                    );
                    response
                })),
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
}

async fn receive(request: HttpRequest, payload: web::Payload, node: web::Data<Node>) -> HttpResponse {
    let received_at = Utc::now().trunc_subsecs(6);
    let started = Instant::now();
    let request_id = request_id(request.headers());
    let span = tracing::info_span!("hook", request_id = request_id.as_deref());
    async {
        let _in_flight = node.hook_enters();
        let answering = answer(&request, payload, &node, received_at, request_id).await;
        let duration = started.elapsed();
        counter!(HOOKS_TOTAL, "event" => answering.event, "outcome" => answering.outcome).increment(1);
        histogram!(HOOK_SECONDS).record(duration);
        tracing::info!(
            order_id = answering.order_id.as_ref().map(OrderId::as_str),
            event = answering.event,
            outcome = answering.outcome,
            status = answering.response.status().as_u16(),
            duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            "hook answered"
        );
        answering.response
    }
    .instrument(span)
    .await
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    node: &Node,
    received_at: DateTime<Utc>,
    request_id: Option<String>,
) -> Answering {
    let at_the_door = |body: &ErrorBody, outcome: &'static str| Answering {
        response: error_response(body),
        event: NO_EVENT,
        outcome,
        order_id: None,
    };
    // Said before the token is looked at: nginx shall try another node whatever was sent.
    if node.is_draining() {
        return at_the_door(&ErrorBody::unavailable(), DeliverError::Stopping.as_str());
    }
    if !node.tokens.accept(request.headers()) {
        return at_the_door(&ErrorBody::authentication(), "forbidden");
    }
    let body = match tokio::time::timeout(BODY_TIME, read_body(request.headers(), payload)).await {
        Ok(Ok(body)) => body,
        Ok(Err(BodyError::TooLarge)) => return at_the_door(&ErrorBody::too_large(), "too_large"),
        // The caller has gone away or is too slow; whatever is said, nobody may be listening.
        Ok(Err(BodyError::Broken)) | Err(_) => return at_the_door(&ErrorBody::request_timeout(), "too_slow"),
    };
    let deadline = Instant::now() + node.answer_deadline;
    match protocol::parse(&body) {
        Ok(parsed) => accepted(node, parsed, body.into(), received_at, request_id, deadline).await,
        Err(rejection) => rejected(node, rejection, body.into(), received_at, request_id, deadline).await,
    }
}

enum BodyError {
    TooLarge,
    Broken,
}

async fn read_body(headers: &HeaderMap, mut payload: web::Payload) -> Result<Vec<u8>, BodyError> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > MAX_BODY_BYTES) {
        return Err(BodyError::TooLarge);
    }
    let mut body = Vec::with_capacity(announced.unwrap_or(2048));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn accepted(
    node: &Node,
    parsed: Parsed,
    body: Arc<[u8]>,
    received_at: DateTime<Utc>,
    request_id: Option<String>,
    deadline: Instant,
) -> Answering {
    counter!(FIELDS_TOLERATED_TOTAL).increment(u64::from(parsed.tolerated));
    let event_name = parsed.kind.as_str();
    let mut arrival = Arrival {
        delivery_id: delivery_id(request_id.as_deref(), &body),
        order_id: None,
        kind: Some(parsed.kind),
        event_type: Some(parsed.name),
        received_at,
        sm_timestamp: None,
        request_id,
        replay: None,
        body,
    };
    let event = match parsed.event {
        ParsedEvent::Order(event) => event,
        ParsedEvent::Unaddressed { sm_timestamp } => {
            arrival.sm_timestamp = sm_timestamp.map(|time| time.to_utc());
            let recorded = node
                .actors
                .record(Arc::new(arrival), Outcome::Ignored, Vec::new(), deadline)
                .await;
            return match recorded {
                Ok(()) => Answering {
                    response: ok(&Answer::Ok { number: None }),
                    event: event_name,
                    outcome: Outcome::Ignored.as_str(),
                    order_id: None,
                },
                Err(error) => refused(error, event_name, None),
            };
        }
    };
    arrival.order_id = Some(event.order_id.clone());
    arrival.sm_timestamp = event.sm_timestamp.map(|time| time.to_utc());
    let (kind, order_id, delivery_id) = (event.kind, event.order_id.clone(), arrival.delivery_id);
    let delivery = Delivery {
        id: delivery_id,
        received_at,
        event,
    };
    let hook = Hook {
        delivery: Arc::new(delivery),
        arrival: Arc::new(arrival),
        deadline,
    };
    match node.actors.orders.deliver(hook).await {
        Ok(acknowledged) => {
            let response = ok(&answer_of(kind, &acknowledged));
            // The moment of the answer decides later whether a repeat is late (rule 5). An answer past
            // its deadline may have come too late for SM, and then counts as not given.
            if matches!(kind, EventKind::Created | EventKind::Changed) && Instant::now() < deadline {
                node.actors.answers.record(Answered {
                    delivery_id,
                    at: Utc::now(),
                });
            }
            Answering {
                response,
                event: event_name,
                outcome: acknowledged.outcome.as_str(),
                order_id: Some(order_id),
            }
        }
        Err(error) => refused(error, event_name, Some(order_id)),
    }
}

/// A 400 is answered only after the body was recorded as rejected (protocol section 3).
async fn rejected(
    node: &Node,
    rejection: Rejection,
    body: Arc<[u8]>,
    received_at: DateTime<Utc>,
    request_id: Option<String>,
    deadline: Instant,
) -> Answering {
    let event = rejection.kind.map_or(NO_EVENT, EventKind::as_str);
    let order_id = rejection.order_id.clone();
    let response = error_response(&ErrorBody::validation(&rejection));
    let arrival = Arrival {
        delivery_id: delivery_id(request_id.as_deref(), &body),
        order_id: rejection.order_id,
        kind: rejection.kind,
        event_type: rejection.event_name,
        received_at,
        sm_timestamp: None,
        request_id,
        replay: None,
        body,
    };
    match node
        .actors
        .record(Arc::new(arrival), Outcome::Rejected, rejection.errors, deadline)
        .await
    {
        Ok(()) => Answering {
            response,
            event,
            outcome: Outcome::Rejected.as_str(),
            order_id,
        },
        Err(error) => refused(error, event, order_id),
    }
}

fn ok(answer: &Answer) -> HttpResponse {
    json_response(&mut HttpResponseBuilder::new(StatusCode::OK), answer)
}

fn answer_of(kind: EventKind, acknowledged: &Acknowledged) -> Answer {
    match (kind, &acknowledged.number, acknowledged.assembly_due_at) {
        (EventKind::Created, Some(number), Some(due)) => Answer::Created {
            number: number.clone(),
            expected_assembly_time: due.fixed_offset(),
        },
        (_, number, _) => Answer::Ok { number: number.clone() },
    }
}

/// Over capacity is 429 and goes back to SM; everything else is 503 and another node may do better
/// (protocol section 3).
fn refused(error: DeliverError, event: &'static str, order_id: Option<OrderId>) -> Answering {
    let body = match error {
        DeliverError::Busy => ErrorBody::overload(),
        DeliverError::Deadline | DeliverError::Unavailable | DeliverError::Unstorable | DeliverError::Stopping => {
            ErrorBody::unavailable()
        }
    };
    Answering {
        response: error_response(&body),
        event,
        outcome: error.as_str(),
        order_id,
    }
}

/// The longest request id that is kept; nginx's has 32 characters.
const MAX_REQUEST_ID_BYTES: usize = 64;

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (!id.is_empty() && id.len() <= MAX_REQUEST_ID_BYTES).then(|| id.to_owned())
}

/// Names this arrival. The second try of one request by nginx has the same `X-Request-Id` and the same
/// body, and is the same delivery (protocol section 5, rule 5); the body is part of the name, so that a
/// caller who always sends one id cannot make two hooks one. Without a request id every arrival is new.
fn delivery_id(request_id: Option<&str>, body: &[u8]) -> DeliveryId {
    use sha2::{Digest, Sha256};
    let Some(request_id) = request_id else {
        return DeliveryId(Uuid::now_v7());
    };
    let mut digest = Sha256::new();
    digest.update(request_id.as_bytes());
    digest.update([0]);
    digest.update(body);
    let mut half = [0; 16];
    half.copy_from_slice(&digest.finalize()[..16]);
    DeliveryId(uuid::Builder::from_custom_bytes(half).into_uuid())
}
