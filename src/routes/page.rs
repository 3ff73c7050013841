//! The operations page: one document with everything inside, and the stream that keeps it alive.

use std::sync::LazyLock;

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ContentType, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, web};

use super::access::refusal;
use crate::app::Node;
use crate::live::{Live, MAX_VIEWERS};

/// The document. What is put into it are our own files and the name of the node: nothing of any request or
/// any row.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    let mut page = include_str!("../page/index.html").to_owned();
    for (place, file) in [
        ("/*uPlot.css*/", include_str!("../page/uplot/uPlot.min.css")),
        ("/*page.css*/", include_str!("../page/page.css")),
        ("/*uPlot.js*/", include_str!("../page/uplot/uPlot.iife.min.js")),
        ("/*net.js*/", include_str!("../page/net.js")),
        ("/*charts.js*/", include_str!("../page/charts.js")),
        ("/*order.js*/", include_str!("../page/order.js")),
        ("/*page.js*/", include_str!("../page/page.js")),
    ] {
        page = page.replacen(place, file, 1);
    }
    page
});

/// Stands for the nonce of one response.
const NONCE: &str = "{nonce}";
/// Stands for the name of the node, so that the tabs of several can be told apart whatever becomes of them.
const NODE: &str = "{node}";

/// Text that stands in the document as text.
fn as_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The operations page.
#[utoipa::path(get, path = "/", responses((status = 200, description = "The page", body = str, content_type = "text/html")))]
pub(crate) async fn page(node: web::Data<Node>) -> HttpResponse {
    let nonce = format!("{:032x}", rand::random::<u128>());
    // Only what the page brings with it runs, and it speaks with this node only.
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(PAGE.replace(NONCE, &nonce).replace(NODE, &as_text(&node.name)))
}

/// What the page shows, as server-sent events: `hello`, `history`, then `rows`, `state` and `attention` as
/// they come, `end` when the node ends.
#[utoipa::path(
    get,
    path = "/api/live",
    security((), ("ops_token" = [])),
    responses(
        (status = 200, description = "A stream without end", body = str, content_type = "text/event-stream"),
        (status = 401, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
        (status = 429, description = "Too many viewers", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn live(node: web::Data<Node>) -> HttpResponse {
    match Live::view(node.into_inner().into()) {
        Ok(stream) => HttpResponse::Ok()
            .content_type("text/event-stream; charset=utf-8")
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
            // nginx must not gather it.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(stream),
        Err(error) => {
            tracing::warn!(viewers = MAX_VIEWERS, %error, "somebody could not look at the page");
            let mut response = refusal(
                429,
                "too_many_viewers",
                "",
                "too many viewers look at this node already",
            );
            let seconds = actix_web::http::header::HeaderValue::from_static("5");
            response.headers_mut().insert(RETRY_AFTER, seconds);
            response
        }
    }
}

/// The state of the node as the page gets it, once.
#[utoipa::path(
    get,
    path = "/api/state",
    security((), ("ops_token" = [])),
    responses(
        (status = 200, description = "The traffic light and the figures of this second", body = Object),
        (status = 401, description = "The token is wrong or missing", body = crate::openapi::ErrorBody),
    )
)]
pub(crate) async fn state(node: web::Data<Node>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(node.live.state())
}
