//! The operations listener: health, metrics, and what the actors are doing.

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, Resource, web};
use orderhook_domain::ids::OrderId;
use orderhook_domain::protocol::answer::ErrorBody;
use serde::{Deserialize, Serialize};
use utoipa::OpenApi;
use uuid::Uuid;

use super::access::refusal;
use super::{access, actions, error_response, json_response, method_not_allowed, page};
use crate::app::Node;
use crate::db::orders_view;
use crate::live::sampler::BUSY_ORDERS;
use crate::openapi::Description;

/// Routes of the operations listener.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(only_get("/livez").route(web::get().to(live)))
        .service(only_get("/readyz").route(web::get().to(ready)))
        .service(only_get("/metrics").route(web::get().to(metrics)))
        .service(only_get("/openapi.json").route(web::get().to(openapi)))
        .service(only_get("/").route(web::get().to(page::page)))
        .service(
            web::scope("/api")
                .wrap(from_fn(access::guard))
                .service(only_get("/live").route(web::get().to(page::live)))
                .service(only_get("/state").route(web::get().to(page::state)))
                .service(only_get("/mailboxes").route(web::get().to(mailboxes)))
                // Opaque ids may hold slashes (protocol section 4).
                .service(only_get("/orders/{order_id:.+}").route(web::get().to(order)))
                .service(only_get("/journal").route(web::get().to(arrivals)))
                .service(only_get("/journal/{delivery_id}/body").route(web::get().to(actions::body)))
                .service(only_post("/journal/{delivery_id}/replay").route(web::post().to(actions::replay_arrival)))
                .service(only_post("/chats/{chat_id}/enable").route(web::post().to(actions::enable_chat)))
                .default_service(web::to(async || error_response(&ErrorBody::not_found()))),
        )
        .default_service(web::to(async || error_response(&ErrorBody::not_found())));
}

fn only_get(path: &str) -> Resource {
    web::resource(path).default_service(web::to(async || method_not_allowed("GET")))
}

fn only_post(path: &str) -> Resource {
    web::resource(path).default_service(web::to(async || method_not_allowed("POST")))
}

/// Whether the process runs.
#[utoipa::path(get, path = "/livez", responses((status = 200, description = "Alive", body = str)))]
pub(crate) async fn live() -> &'static str {
    "alive\n"
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
pub(crate) async fn openapi() -> HttpResponse {
    json_response(&mut HttpResponseBuilder::new(StatusCode::OK), &Description::openapi())
}

/// Whether hooks should be sent here.
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "Ready", body = str),
        (status = 503, description = "The reason why not", body = str),
    )
)]
pub(crate) async fn ready(node: web::Data<Node>) -> HttpResponse {
    match node.readiness() {
        // Hooks go on without Telegram; whoever looks shall know all the same.
        Ok(()) if node.notifier.shown().token_refused => {
            HttpResponse::Ok().body("ready, but Telegram does not accept the bot's token\n")
        }
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(reason) => HttpResponse::ServiceUnavailable().body(format!("{reason}\n")),
    }
}

/// Prometheus text.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "All families", body = str)))]
pub(crate) async fn metrics(node: web::Data<Node>) -> HttpResponse {
    node.set_gauges();
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(node.prometheus.render())
}

#[derive(Serialize)]
struct MailboxesShown {
    node: String,
    mailboxes: Vec<orderhook_actors::mailbox::MailboxShown>,
    orders_active: usize,
    /// How long even the luckiest hook waits for its transaction now; above a sixteenth of the answer deadline
    /// hooks are refused.
    standing_wait_micros: u64,
    /// How long even the luckiest hook waits for a turn on the threads that read hooks; above 25 ms all but
    /// `order.created` are refused while many commits are inside.
    turn_wait_micros: u64,
    /// The sender of this node.
    notifier: orderhook_actors::notifier_actor::NotifierShown,
    /// Orders whose events wait: the deepest first, then those that have stood the longest.
    busiest_orders: Vec<orderhook_actors::registry::BusyOrder>,
}

/// What the actors are doing.
#[utoipa::path(
    get,
    path = "/api/mailboxes",
    security((), ("ops_token" = [])),
    responses(
        (status = 200, description = "Every actor kind", body = crate::openapi::Mailboxes),
        (status = 401, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn mailboxes(node: web::Data<Node>) -> HttpResponse {
    let mailboxes = node.mailboxes();
    let shown = MailboxesShown {
        node: node.name.to_string(),
        standing_wait_micros: u64::try_from(node.standing_wait(&mailboxes).as_micros()).unwrap_or(u64::MAX),
        turn_wait_micros: u64::try_from(node.actors().admission.turn_wait().as_micros()).unwrap_or(u64::MAX),
        mailboxes,
        orders_active: node.actors().orders.active(),
        notifier: node.notifier.shown(),
        busiest_orders: node.actors().orders.busiest(BUSY_ORDERS.0, BUSY_ORDERS.1),
    };
    json_response(&mut HttpResponseBuilder::new(StatusCode::OK), &shown)
}

/// Which events of an order are wanted.
#[derive(Deserialize)]
struct EventsPage {
    before: Option<Uuid>,
}

/// One order's story: its document, the newest of its events and notices, or earlier events.
#[utoipa::path(
    get,
    path = "/api/orders/{order_id}",
    params(
        ("order_id" = String, Path, description = "SM's id of the order"),
        ("before" = Option<Uuid>, Query, description = "Only events that arrived before this arrival"),
    ),
    security((), ("ops_token" = [])),
    responses(
        (status = 401, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
        (status = 200, description = "The order", body = crate::db::orders_view::OrderView),
        (status = 400, description = "The arrival is no id", body = crate::openapi::ErrorBody),
        (status = 404, description = "The order is unknown", body = crate::openapi::ErrorBody),
        (status = 503, description = "The database is away", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn order(node: web::Data<Node>, request: HttpRequest) -> HttpResponse {
    // Taken from the path by hand: a path that is no text is an unknown order, not a fault of its own kind.
    let path = request.uri().path();
    let encoded = path.strip_prefix("/api/orders/").unwrap_or(path);
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8();
    let Some(order_id) = decoded.ok().and_then(|id| OrderId::parse(&id).ok()) else {
        return error_response(&ErrorBody::not_found());
    };
    let Ok(web::Query(page)) = web::Query::<EventsPage>::from_query(request.query_string()) else {
        return refusal(400, "validation", "before", "must be the id of an arrival");
    };
    match node.order_view(order_id, page.before).await {
        Ok(Some(view)) => json_response(&mut HttpResponseBuilder::new(StatusCode::OK), &view),
        Ok(None) => error_response(&ErrorBody::not_found()),
        Err(cause) => {
            tracing::warn!(%cause, "an order could not be read for operations");
            refusal(503, "unavailable", "", "the database is away")
        }
    }
}

/// Whose arrivals are wanted.
#[derive(Deserialize)]
struct ArrivalsPage {
    order_id: String,
    before: Option<Uuid>,
}

/// What arrived under an order id, also when no order came of it: whatever could not be accepted leaves none.
#[utoipa::path(
    get,
    path = "/api/journal",
    params(
        ("order_id" = String, Query, description = "SM's id of the order"),
        ("before" = Option<Uuid>, Query, description = "Only events that arrived before this arrival"),
    ),
    security((), ("ops_token" = [])),
    responses(
        (status = 200, description = "The newest arrivals, none of an id that never arrived", body = crate::db::orders_view::ArrivalsView),
        (status = 400, description = "The order or the arrival is no id", body = crate::openapi::ErrorBody),
        (status = 401, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
        (status = 503, description = "The database is away", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn arrivals(node: web::Data<Node>, request: HttpRequest) -> HttpResponse {
    let page = web::Query::<ArrivalsPage>::from_query(request.query_string()).ok();
    let asked = page.and_then(|page| Some((OrderId::parse(&page.order_id).ok()?, page.before)));
    let Some((order_id, before)) = asked else {
        return refusal(
            400,
            "validation",
            "order_id",
            "must be the id of an order, and before that of an arrival",
        );
    };
    let found = node
        .database
        .run(async move |database| orders_view::arrivals(&database, &order_id, before).await)
        .await;
    match found {
        Ok(view) => json_response(&mut HttpResponseBuilder::new(StatusCode::OK), &view),
        Err(error) => {
            tracing::warn!(%error, "what arrived of an order could not be read for operations");
            refusal(503, "unavailable", "", "the database is away")
        }
    }
}
