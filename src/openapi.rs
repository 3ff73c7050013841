//! The OpenAPI description of both listeners, served as `/openapi.json` by the operations listener.
//!
//! The structs of this file describe what arrives; nothing is ever parsed into them. What is accepted
//! is decided by the parser (protocol section 4); `make fuzz-api` compares both.

use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use crate::db::orders_view::OrderView;

/// The whole description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "orderhook",
        description = "Receives the order webhooks of the marketplace SM. The hook listener and the operations \
                       listener have different addresses; the latter is never exposed to the world."
    ),
    paths(
        crate::routes::hook::receive,
        crate::routes::ops::live,
        crate::routes::ops::ready,
        crate::routes::ops::metrics,
        crate::routes::ops::mailboxes,
        crate::routes::ops::order,
        crate::routes::ops::arrivals,
        crate::routes::page::page,
        crate::routes::page::live,
        crate::routes::page::state,
        crate::routes::actions::body,
        crate::routes::actions::replay_arrival,
        crate::routes::actions::enable_chat,
        crate::routes::ops::openapi,
    ),
    components(schemas(Hook, Answer, ErrorBody, OrderView, Mailboxes)),
    modifiers(&Tokens)
)]
pub struct Description;

struct Tokens;

impl utoipa::Modify for Tokens {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("Client-Token")));
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("client_token", scheme);
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("ops_token", bearer);
    }
}

/// One hook as SM sends it (protocol sections 1, 2 and 4).
#[derive(Serialize, ToSchema)]
pub struct Hook {
    /// `order.created`, `order.changed`, `order.updated`, `order.paid`, `order.received`, `order.delivered`,
    /// `order.cancelled`, `order.canceled`, informational names, or any other.
    #[schema(min_length = 1, example = "order.created")]
    event_type: String,
    /// SM's own time of the event, RFC 3339.
    #[schema(value_type = Option<String>, example = "2026-11-24T11:40:05+03:00")]
    timestamp: Option<String>,
    /// What it is about.
    payload: Option<Payload>,
}

/// The payload of a hook. An absent field means "not changed".
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// The order; 1 to 255 characters, opaque.
    #[schema(min_length = 1, max_length = 255, example = "H1234567890")]
    original_order_id: String,
    /// The partner's store; required on created.
    #[serde(rename = "store_id")]
    #[schema(min_length = 1, max_length = 255, example = "8001")]
    store_id: Option<String>,
    /// The delivery window.
    delivery: Option<Delivery>,
    /// The lines; required and not empty on created, elsewhere the full new list.
    positions: Option<Vec<Position>>,
    /// The totals.
    total: Option<Total>,
    /// The customer's words.
    comment: Option<String>,
    /// An open list.
    replacement_policy: Option<String>,
    /// An open list.
    shipping_method: Option<String>,
    /// An open list.
    payment_methods: Option<Vec<String>>,
}

/// The delivery window of a payload.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// RFC 3339 with offset.
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-11-24T15:00:00+03:00")]
    expected_from: Option<String>,
    /// RFC 3339 with offset.
    #[schema(value_type = Option<String>, format = DateTime, example = "2026-11-24T16:00:00+03:00")]
    expected_to: Option<String>,
}

/// One line of a payload.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The partner's SKU.
    #[schema(min_length = 1, max_length = 255, example = "4100017")]
    id: String,
    /// The amount, at most three decimals; 0 means the line was removed.
    #[schema(minimum = 0, maximum = 1_000_000, example = 2)]
    quantity: i64,
    /// Roubles.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,4})?$", example = "89.90")]
    price: Option<String>,
    /// Roubles.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,4})?$", example = "79.90")]
    discount_price: Option<String>,
    /// The SKU that replaces this line.
    #[schema(max_length = 255)]
    replaced_by_id: Option<String>,
    /// What staff call it.
    name: Option<String>,
}

/// The totals of a payload.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    /// Roubles.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,4})?$", example = "855.80")]
    total_price: Option<String>,
    /// Roubles.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,4})?$", example = "802.80")]
    discount_total_price: Option<String>,
}

/// The answer to an accepted hook (protocol section 3).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// `created` to order.created, else `ok`.
    #[schema(pattern = "^(created|ok)$")]
    status: String,
    /// The partner's order number, when the order has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    /// To order.created only; the same in every repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expected_assembly_time: Option<String>,
}

/// The answer to everything else (protocol section 3).
#[derive(Serialize, ToSchema)]
pub struct ErrorBody {
    /// The HTTP status.
    code: u16,
    /// What is wrong; never empty.
    #[schema(min_items = 1)]
    errors: Vec<ErrorItem>,
}

/// One thing that is wrong.
#[derive(Serialize, ToSchema)]
pub struct ErrorItem {
    /// The class of the error.
    r#type: String,
    /// The path of the offending value.
    field: String,
    /// What is wrong, for people.
    message: String,
}

/// What the actors are doing.
#[derive(Serialize, ToSchema)]
pub struct Mailboxes {
    /// Which node.
    node: String,
    /// One object per actor kind: depth, bound, high-water mark, refusals, times of waiting and handling.
    #[schema(value_type = Vec<Object>)]
    mailboxes: Vec<String>,
    /// Order actors alive.
    orders_active: u64,
    /// How long even the luckiest hook waits for its transaction now, in microseconds; above a sixteenth of the
    /// answer deadline hooks are refused.
    standing_wait_micros: u64,
    /// How long even the luckiest hook waits for a turn on the threads that read hooks, in microseconds; above
    /// 25 000 all but `order.created` are refused while many commits are inside.
    turn_wait_micros: u64,
    /// The sender of this node: its epoch while it is the leader, what is under way, what fails.
    #[schema(value_type = Object)]
    notifier: String,
    /// The orders with the deepest queues, and of the others those whose event has been under way the longest.
    #[schema(value_type = Vec<Object>)]
    busiest_orders: Vec<String>,
}
