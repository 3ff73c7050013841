//! Events as bodies: the way back from what the parser must understand to one of many ways to say it.

use chrono::{DateTime, FixedOffset};
use orderhook_domain::event::{Content, Event, EventKind, LineContent};
use orderhook_domain::money::Kopecks;
use orderhook_domain::protocol::{self, ParsedEvent};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

/// One body that says exactly this event.
pub(crate) fn body(event: &Event, rng: &mut StdRng) -> Vec<u8> {
    let mut payload = match event.kind {
        // Whatever stands in such a payload is not read.
        EventKind::Informational | EventKind::Unknown => Map::from_iter([("positions".to_owned(), json!(7))]),
        _ => payload(&event.content, rng),
    };
    payload.insert("originalOrderId".to_owned(), json!(event.order_id.as_str()));
    if rng.random_bool(0.2) {
        payload.insert("kind".to_owned(), json!("express"));
        payload.insert("not of the protocol".to_owned(), json!([{"id": null}]));
    }
    let mut document = json!({"event_type": name(event.kind, rng), "payload": payload});
    if let Some(timestamp) = event.sm_timestamp {
        document["timestamp"] = moment(timestamp);
    }
    let bytes = if rng.random_bool(0.2) {
        serde_json::to_vec_pretty(&document)
    } else {
        serde_json::to_vec(&document)
    }
    .unwrap();
    let understood = protocol::parse(&bytes).map(|parsed| parsed.event);
    assert_eq!(understood, Ok(ParsedEvent::Order(event.clone())), "{document}");
    bytes
}

fn name(kind: EventKind, rng: &mut StdRng) -> &'static str {
    let names: &[&str] = match kind {
        EventKind::Created => &["order.created"],
        EventKind::Changed => &["order.changed", "order.updated"],
        EventKind::Paid => &["order.paid"],
        EventKind::Received => &["order.received"],
        EventKind::Delivered => &["order.delivered"],
        EventKind::Cancelled => &["order.cancelled", "order.canceled"],
        EventKind::Informational => &[
            "order.delivering",
            "courier.assigned",
            "courier.arrived",
            "order.assembled",
        ],
        EventKind::Unknown => &["order.teleported", "Order.Created"],
    };
    names.choose(rng).unwrap()
}

fn payload(content: &Content, rng: &mut StdRng) -> Map<String, Value> {
    let Content {
        order_uuid,
        store_id,
        customer,
        address,
        window,
        lines,
        total,
        comment,
        replacement_policy,
        shipping_method,
        payment_methods,
        cancel_reason,
    } = content;
    let mut payload = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        payload.extend(value.map(|value| (name.to_owned(), value)));
    };
    let mut either = |one: &'static str, other: &'static str| if rng.random() { one } else { other };
    put("orderUUID", order_uuid.as_ref().map(|text| json!(text)));
    put(
        either("store_id", "storeID"),
        store_id.as_ref().map(|store| json!(store.as_str())),
    );
    put("customer", customer.as_ref().map(|customer| json!(customer)));
    put("address", address.as_ref().map(|address| json!(address)));
    put("comment", comment.as_ref().map(|text| json!(text)));
    put("replacementPolicy", replacement_policy.as_ref().map(|text| json!(text)));
    put(
        either("shippingMethod", "shipmentMethod"),
        shipping_method.as_ref().map(|text| json!(text)),
    );
    put("paymentMethods", payment_methods.as_ref().map(|methods| json!(methods)));
    let delivery = object([
        ("expectedFrom", window.from.map(moment)),
        ("expectedTo", window.to.map(moment)),
        ("isPlanned", window.is_planned.map(Value::Bool)),
    ]);
    put("delivery", Some(delivery).filter(|_| !window.is_empty()));
    let reason = &cancel_reason.description;
    match either("cancellationReason", "cancellation") {
        "cancellation" => put(
            "cancellation",
            reason.as_ref().map(|text| json!({"slug": null, "description": text})),
        ),
        plain => put(plain, reason.as_ref().map(|text| json!(text))),
    }
    let sums = object([
        ("totalPrice", price(total.price, rng)),
        ("discountTotalPrice", price(total.discount_price, rng)),
    ]);
    let positions: Vec<Value> = lines.iter().map(|line| position(line, rng)).collect();
    payload.extend((!total.is_empty()).then(|| ("total".to_owned(), sums)));
    // No lines at all, and an empty list, both mean "not sent".
    payload.extend((!positions.is_empty() || rng.random()).then(|| ("positions".to_owned(), json!(positions))));
    payload
}

fn position(line: &LineContent, rng: &mut StdRng) -> Value {
    let amount = |amount: Option<orderhook_domain::quantity::Quantity>, rng: &mut StdRng| {
        amount.map(|amount| text_or_number(&amount.to_string(), rng))
    };
    object([
        ("id", Some(json!(line.product_id.as_str()))),
        ("quantity", amount(line.quantity, rng)),
        ("originalQuantity", amount(line.original_quantity, rng)),
        ("price", price(line.prices.price, rng)),
        ("discountPrice", price(line.prices.discount_price, rng)),
        ("totalPrice", price(line.prices.total_price, rng)),
        ("totalDiscountPrice", price(line.prices.total_discount_price, rng)),
        ("weight", line.weight_grams.as_ref().map(|grams| json!(grams))),
        ("replacedByID", line.replaced_by.as_ref().map(|by| json!(by.as_str()))),
        ("name", line.name.as_ref().map(|name| json!(name))),
    ])
}

/// An unknown price is left out, empty or null.
fn price(price: Option<Kopecks>, rng: &mut StdRng) -> Option<Value> {
    match price {
        Some(price) => Some(text_or_number(&price.to_string(), rng)),
        None => [None, Some(json!("")), Some(Value::Null)].choose(rng).unwrap().clone(),
    }
}

fn text_or_number(number: &str, rng: &mut StdRng) -> Value {
    if rng.random() {
        json!(number)
    } else {
        serde_json::from_str(number).unwrap()
    }
}

fn moment(time: DateTime<FixedOffset>) -> Value {
    json!(time.to_rfc3339())
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let known = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(known.collect())
}
