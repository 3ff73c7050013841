//! The operations listener: health, metrics, and what the actors are doing.

use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use orderhook_domain::ids::OrderId;
use orderhook_domain::protocol::answer::ErrorBody;
use serde::Serialize;

use super::{error_response, json_response};
use crate::app::Node;

/// Routes of the operations listener.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/livez", web::get().to(async || "alive\n"))
        .route("/readyz", web::get().to(ready))
        .route("/metrics", web::get().to(metrics))
        .route("/api/mailboxes", web::get().to(mailboxes))
        // Opaque ids may hold slashes (protocol section 4).
        .route("/api/orders/{order_id:.+}", web::get().to(order))
        .default_service(web::to(async || error_response(&ErrorBody::not_found())));
}

async fn ready(node: web::Data<Node>) -> HttpResponse {
    match node.readiness() {
        Ok(()) => HttpResponse::Ok().body("ready\n"),
        Err(reason) => HttpResponse::ServiceUnavailable().body(format!("{reason}\n")),
    }
}

async fn metrics(node: web::Data<Node>) -> HttpResponse {
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
    /// Orders whose events wait, deepest first.
    busiest_orders: Vec<orderhook_actors::registry::BusyOrder>,
}

async fn mailboxes(node: web::Data<Node>) -> HttpResponse {
    let shown = MailboxesShown {
        node: node.name.to_string(),
        mailboxes: node.mailboxes(),
        orders_active: node.actors.orders.active(),
        busiest_orders: node.actors.orders.busiest(10),
    };
    json_response(&mut HttpResponseBuilder::new(StatusCode::OK), &shown)
}

async fn order(node: web::Data<Node>, path: web::Path<String>) -> HttpResponse {
    let Ok(order_id) = OrderId::parse(&path) else {
        return error_response(&ErrorBody::not_found());
    };
    match node.order_view(order_id).await {
        Ok(Some(view)) => json_response(&mut HttpResponseBuilder::new(StatusCode::OK), &view),
        Ok(None) => error_response(&ErrorBody::not_found()),
        Err(cause) => {
            tracing::warn!(%cause, "an order could not be read for operations");
            HttpResponse::ServiceUnavailable()
                .content_type(ContentType::plaintext())
                .body("the database is away\n")
        }
    }
}
