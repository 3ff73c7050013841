//! Bodies of hooks: the fixtures, and small ones made for a test.

use serde_json::{Value, json};

/// A fixture, byte for byte.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/actors/domain/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A hook with only an order id.
pub(crate) fn bare(event: &str, order_id: &str) -> String {
    json!({"event_type": event, "payload": {"originalOrderId": order_id}}).to_string()
}

/// A hook with lines of (SKU, amount) at 10 roubles each, for the store 8001.
pub(crate) fn with_lines(event: &str, order_id: &str, lines: &[(&str, &str)]) -> String {
    with_lines_at(event, order_id, lines, None)
}

/// The same with SM's own time of the event.
pub(crate) fn with_lines_at(event: &str, order_id: &str, lines: &[(&str, &str)], timestamp: Option<&str>) -> String {
    let positions: Vec<Value> = lines
        .iter()
        .map(|(product_id, quantity)| json!({"id": product_id, "quantity": quantity, "price": "10.00"}))
        .collect();
    let mut body = json!({
        "event_type": event,
        "payload": {"originalOrderId": order_id, "store_id": "8001", "positions": positions},
    });
    if let Some(timestamp) = timestamp {
        body["timestamp"] = json!(timestamp);
    }
    body.to_string()
}

/// What is to be picked, by SKU: `[("A", "2")]`, removed lines left out.
pub(crate) fn composition(order: &Value) -> Vec<(String, String)> {
    order["positions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["id"].as_str().unwrap().to_owned(),
                line["quantity"].as_str().unwrap().to_owned(),
            )
        })
        .filter(|(_, quantity)| quantity != "0")
        .collect()
}
