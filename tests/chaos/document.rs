//! The whole document of every order in the words of the reference model: the columns by SQL, and the stored
//! JSON read as JSON, by none of the service's types.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use orderhook_domain::event::CancelReason;
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::order::{Marks, Status};
use orderhook_domain::quantity::Quantity;
use serde_json::Value;
use tokio_postgres::{Client, Row};

use crate::domain::model::View;
use crate::domain::model::document::{Facts, Row as Line, Sheet};
use crate::rows::Loaded;

/// Every order that has a row, by its id.
pub(crate) async fn read(client: &Client) -> HashMap<String, Loaded> {
    let orders = "SELECT order_id, version, status, closed, conflict, paid_at, shipped_at, delivered_at, cancelled_at, \
                  customer, document::jsonb AS document, memory::jsonb AS memory FROM orders";
    let rows = client.query(orders, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get("order_id"), Loaded(Some(view(row)))))
        .collect()
}

/// Orders of which a column says something else than the document, which is where the model is compared.
pub(crate) async fn contradicted(client: &Client) -> BTreeMap<String, Vec<String>> {
    let mut contradicted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (column, in_document) in [
        ("store_id", "document ->> 'store_id'"),
        ("created_at", "(document ->> 'created_at')::timestamptz"),
        ("delivery_from", "(document #>> '{window,from}')::timestamptz"),
        ("delivery_to", "(document #>> '{window,to}')::timestamptz"),
        ("total_price", "(document #>> '{total,price}')::bigint"),
        (
            "total_discount_price",
            "(document #>> '{total,discount_price}')::bigint",
        ),
        ("comment", "document ->> 'comment'"),
        (
            "cancel_reason",
            "coalesce(document #>> '{cancel_reason,description}', document #>> '{cancel_reason,slug}')",
        ),
    ] {
        let differing = format!(
            "SELECT order_id, {column}::text AS told FROM \
             (SELECT order_id, {column}, document::jsonb AS document FROM orders WHERE document IS NOT NULL) AS orders \
             WHERE {column} IS DISTINCT FROM {in_document}"
        );
        for row in client.query(&differing, &[]).await.unwrap() {
            let told: Option<String> = row.get("told");
            let complaint = format!("the column {column} says {told:?}, the document something else");
            contradicted.entry(row.get("order_id")).or_default().push(complaint);
        }
    }
    contradicted
}

fn view(row: &Row) -> View {
    let document: Option<Value> = row.get("document");
    let document = document.as_ref();
    let sheet = document.map(|document| sheet(document, row.get("customer")));
    let memory: Value = row.get("memory");
    let parked = memory["parked"].as_array().into_iter().flatten();
    View {
        version: row.get("version"),
        status: status(row.get("status")),
        closed: row.get("closed"),
        conflict: row.get("conflict"),
        marks: Marks {
            paid_at: row.get("paid_at"),
            shipped_at: row.get("shipped_at"),
            delivered_at: row.get("delivered_at"),
            cancelled_at: row.get("cancelled_at"),
        },
        composition: sheet.as_ref().map(Sheet::composition).unwrap_or_default(),
        sheet,
        created_at: document.and_then(|document| time(&document["created_at"])),
        assembly_due_at: document.and_then(|document| time(&document["assembly_due_at"])),
        cancel_reason: document.map_or_else(CancelReason::default, |document| {
            let reason = &document["cancel_reason"];
            CancelReason {
                slug: text(&reason["slug"]),
                description: text(&reason["description"]),
            }
        }),
        parked: parked
            .map(|event| DeliveryId(event["delivery_id"].as_str().unwrap().parse().unwrap()))
            .collect(),
    }
}

fn status(word: &str) -> Status {
    let all = [
        Status::Announced,
        Status::New,
        Status::Paid,
        Status::Shipped,
        Status::Delivered,
        Status::Cancelled,
    ];
    all.into_iter().find(|status| status.as_str() == word).unwrap()
}

fn sheet(document: &Value, customer: Option<Value>) -> Sheet {
    let mut facts = Facts::new();
    for (name, key) in [
        ("order uuid", "order_uuid"),
        ("comment", "comment"),
        ("replacement policy", "replacement_policy"),
        ("shipping method", "shipping_method"),
    ] {
        tell(&mut facts, name, text(&document[key]));
    }
    let methods = document.get("payment_methods");
    tell(&mut facts, "payment methods", methods.map(Value::to_string));
    for (object, keys) in [("customer", customer.as_ref()), ("address", document.get("address"))] {
        for (key, value) in keys.and_then(Value::as_object).into_iter().flatten() {
            tell(&mut facts, &format!("{object}.{key}"), Some(value.to_string()));
        }
    }
    let window = &document["window"];
    tell(
        &mut facts,
        "window.from",
        time(&window["from"]).map(|time| time.to_string()),
    );
    tell(
        &mut facts,
        "window.to",
        time(&window["to"]).map(|time| time.to_string()),
    );
    let planned = window["is_planned"].as_bool();
    tell(&mut facts, "window.planned", planned.map(|planned| planned.to_string()));
    let total = &document["total"];
    tell(&mut facts, "total", roubles(&total["price"]));
    tell(&mut facts, "discount total", roubles(&total["discount_price"]));
    let lines = document["lines"].as_array().unwrap();
    let is_numbered_through = (1..).zip(lines).all(|(number, line)| line["line"] == number);
    assert!(is_numbered_through, "lines are numbered through: {document}");
    Sheet {
        store: text(&document["store_id"]).unwrap(),
        facts,
        rows: lines.iter().map(line).collect(),
    }
}

fn line(line: &Value) -> Line {
    let mut facts = Facts::new();
    for (name, key) in [
        ("original quantity", "original_quantity"),
        ("grams", "weight_grams"),
        ("name", "name"),
    ] {
        tell(&mut facts, name, text(&line[key]));
    }
    for (name, key) in [
        ("price", "price"),
        ("discount price", "discount_price"),
        ("line total", "total_price"),
        ("discount line total", "total_discount_price"),
    ] {
        tell(&mut facts, name, roubles(&line["prices"][key]));
    }
    Line {
        sku: text(&line["product_id"]).unwrap(),
        quantity: Quantity::parse_text(line["quantity"].as_str().unwrap()).unwrap(),
        replaced_by: text(&line["replaced_by"]),
        facts,
    }
}

/// A fact that was never told is not there.
fn tell(facts: &mut Facts, name: &str, fact: Option<String>) {
    facts.extend(fact.map(|fact| (name.to_owned(), fact)));
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(value.as_str()?).unwrap();
    Some(time.to_utc())
}

fn roubles(kopecks: &Value) -> Option<String> {
    kopecks.as_i64().map(super::judge::roubles)
}
