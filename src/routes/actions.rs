//! What an operator may do here, and reading what is personal. Everything needs the token; what changes
//! something also needs to know who acts, and is recorded.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ContentDisposition, ContentType, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use orderhook_actors::error::DeliverError;
use orderhook_actors::ports::StoreError;
use orderhook_domain::ids::OrderId;
use orderhook_domain::protocol::answer::ErrorBody;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::access::refusal;
use super::{error_response, json_response};
use crate::app::Node;
use crate::db::journal;
use crate::db::ops_actions::{self, ActionKind};
use crate::intake::Verdict;
use crate::replay::{ReplayError, replay};

/// A raw body, byte for byte.
#[utoipa::path(
    get,
    path = "/api/journal/{delivery_id}/body",
    params(("delivery_id" = Uuid, Path, description = "The arrival")),
    security(("ops_token" = [])),
    responses(
        (status = 200, description = "The body as it arrived", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 401, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
        (status = 403, description = "No token is set on this node", body = crate::openapi::ErrorBody),
        (status = 404, description = "There is no such arrival", body = crate::openapi::ErrorBody),
        (status = 410, description = "The body has been pruned", body = crate::openapi::ErrorBody),
        (status = 503, description = "The database is away", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn body(node: web::Data<Node>, request: HttpRequest, path: web::Path<String>) -> HttpResponse {
    if let Err(refused) = node.access.may_read_bodies(request.headers()) {
        return refused.response();
    }
    let Ok(delivery_id) = path.parse::<Uuid>() else {
        return error_response(&ErrorBody::not_found());
    };
    let found = node
        .database
        .run(async move |database| journal::show(&database, delivery_id).await)
        .await;
    match found {
        Ok(Some((_, Some(body)))) => HttpResponse::Ok()
            // Never shown by itself: whatever SM sent is data, and no page of ours.
            .content_type(ContentType::octet_stream())
            .insert_header(ContentDisposition::attachment(format!("{delivery_id}.json")))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(body.to_vec()),
        Ok(Some((_, None))) => replay_refused(&ReplayError::Pruned),
        Ok(None) => replay_refused(&ReplayError::Unknown),
        Err(error) => away(&error),
    }
}

/// What became of a replay.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Replayed {
    /// `applied`, `duplicate`, `parked`, `ignored`, `rejected`, or why it was not done.
    outcome: String,
    /// The order, if it was readable.
    order_id: Option<String>,
    /// The arrival as which the replay is recorded.
    recorded_as: Uuid,
}

/// Plays a stored body again.
#[utoipa::path(
    post,
    path = "/api/journal/{delivery_id}/replay",
    params(
        ("delivery_id" = Uuid, Path, description = "The arrival"),
        ("X-Operator" = String, Header, description = "Who acts, percent-encoded"),
    ),
    security(("ops_token" = [])),
    responses(
        (status = 200, description = "Played", body = Replayed),
        (status = 400, description = "It is not said who acts", body = crate::openapi::ErrorBody),
        (status = 401, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
        (status = 403, description = "No token is set on this node", body = crate::openapi::ErrorBody),
        (status = 404, description = "There is no such arrival", body = crate::openapi::ErrorBody),
        (status = 410, description = "The body has been pruned", body = crate::openapi::ErrorBody),
        (status = 503, description = "Not done now", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn replay_arrival(
    node: web::Data<Node>,
    request: HttpRequest,
    path: web::Path<String>,
) -> HttpResponse {
    let operator = match node.access.may_act(request.headers()) {
        Ok(operator) => operator,
        Err(refused) => return refused.response(),
    };
    let Ok(delivery_id) = path.parse::<Uuid>() else {
        return error_response(&ErrorBody::not_found());
    };
    if node.is_draining() {
        return error_response(&ErrorBody::unavailable());
    }
    // A task of its own: an operator who does not wait for the end keeps nothing from being recorded.
    let playing = actix_web::rt::spawn(async move { play(&node, delivery_id, &operator).await });
    playing
        .await
        .unwrap_or_else(|_panicked| error_response(&ErrorBody::unavailable()))
}

/// Plays an arrival again and records who did it and what came of it.
async fn play(node: &Node, delivery_id: Uuid, operator: &str) -> HttpResponse {
    let _in_flight = node.hook_enters();
    let subject = delivery_id.to_string();
    let begun = ops_actions::begin(&node.database, ActionKind::Replay, operator, &subject, &node.name).await;
    let action = match begun {
        Ok(action) => action,
        Err(error) => return away(&error),
    };
    let replayed = replay(&node.database, node.actors(), delivery_id, operator).await;
    let (result, response) = match &replayed {
        Ok(taken) => (taken.verdict.as_str().to_owned(), replay_answer(taken)),
        Err(error) => (error.to_string(), replay_refused(error)),
    };
    tracing::warn!(action, %delivery_id, result, "an operator played an arrival again");
    // The replay itself is durable and names its operator; only this note may be missing.
    if let Err(error) = ops_actions::end(&node.database, action, &result).await {
        tracing::error!(action, %error, "what came of an operator's action could not be recorded");
    }
    node.live.look_now();
    response
}

fn replay_answer(taken: &crate::intake::Taken) -> HttpResponse {
    match &taken.verdict {
        Verdict::Refused(DeliverError::Busy) => error_response(&ErrorBody::overload()),
        Verdict::Refused(_) => error_response(&ErrorBody::unavailable()),
        Verdict::Acknowledged(_) | Verdict::Rejected(_) => {
            let replayed = Replayed {
                outcome: taken.verdict.as_str().to_owned(),
                order_id: taken.order_id.as_ref().map(OrderId::to_string),
                recorded_as: taken.delivery_id.0,
            };
            json_response(&mut HttpResponseBuilder::new(StatusCode::OK), &replayed)
        }
    }
}

fn replay_refused(error: &ReplayError) -> HttpResponse {
    match error {
        ReplayError::Unknown => refusal(404, "not_found", "path", "there is no such arrival"),
        ReplayError::Pruned => refusal(410, "pruned", "path", "the body has been pruned"),
        ReplayError::Store(error) => away(error),
    }
}

/// What enabling a chat did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Enabled {
    /// Subscriptions that work again.
    subscriptions: usize,
    /// Notices of open orders that had waited and go to the chat now.
    waiting: u64,
}

/// Tells a chat again that Telegram had refused.
#[utoipa::path(
    post,
    path = "/api/chats/{chat_id}/enable",
    params(
        ("chat_id" = i64, Path, description = "Telegram's id of the chat"),
        ("X-Operator" = String, Header, description = "Who acts, percent-encoded"),
    ),
    security(("ops_token" = [])),
    responses(
        (status = 200, description = "Enabled", body = Enabled),
        (status = 400, description = "It is not said who acts", body = crate::openapi::ErrorBody),
        (status = 401, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
        (status = 403, description = "No token is set on this node", body = crate::openapi::ErrorBody),
        (status = 404, description = "The chat is not disabled", body = crate::openapi::ErrorBody),
        (status = 503, description = "The database is away", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn enable_chat(node: web::Data<Node>, request: HttpRequest, path: web::Path<String>) -> HttpResponse {
    let operator = match node.access.may_act(request.headers()) {
        Ok(operator) => operator,
        Err(refused) => return refused.response(),
    };
    let Ok(chat_id) = path.parse::<i64>() else {
        return error_response(&ErrorBody::not_found());
    };
    let name = node.name.clone();
    let enabled = node
        .database
        .run(async move |database| ops_actions::enable_chat(&database, chat_id, &operator, &name).await)
        .await;
    match enabled {
        Ok(Some(enabled)) => {
            tracing::warn!(subscriptions = enabled.subscriptions, "an operator enabled a chat");
            node.notifier.wake();
            node.live.look_now();
            let enabled = Enabled {
                subscriptions: enabled.subscriptions,
                waiting: enabled.waiting,
            };
            json_response(&mut HttpResponseBuilder::new(StatusCode::OK), &enabled)
        }
        Ok(None) => refusal(404, "not_found", "path", "this chat is not disabled"),
        Err(error) => away(&error),
    }
}

fn away(error: &StoreError) -> HttpResponse {
    tracing::warn!(%error, "what an operator asked for could not be done");
    refusal(503, "unavailable", "", "the database is away")
}
