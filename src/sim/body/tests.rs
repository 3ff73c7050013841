//! The bodies have the keys of the fixtures, and the service's own parser reads what was meant.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::catalogue::{Amount, COMMENTS, CUSTOMERS, POLICIES};
use super::super::plan::Line;
use super::*;

fn facts(spelling: Spelling) -> Facts {
    Facts {
        order_id: "H0000000101".to_owned(),
        index: 1,
        spelling,
        store_id: spelling.store_id(0),
        created_at: "2026-11-24T12:00:05Z".parse().unwrap(),
        customer: CUSTOMERS[0],
        replacement_policy: POLICIES[0],
        lists_removed: true,
    }
}

fn version(spelling: Spelling) -> Version {
    let lines = spelling.store().products.iter().map(|product| Line {
        product,
        original: Amount(2000),
        quantity: Amount(2000),
        price: product.price,
        discount: product.discount,
        replaced_by: None,
    });
    Version {
        lines: lines.collect(),
        comment: Some(COMMENTS[0]),
    }
}

fn body(spelling: Spelling, event: Event) -> Value {
    let facts = facts(spelling);
    serde_json::from_str(&write(&facts, event, &version(spelling), facts.created_at).unwrap()).unwrap()
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/actors/domain/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Every path of keys with the type of its value; items of an array are one. A text may be null.
fn shape(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    walk(value, &format!("{path}.{key}"), found);
                }
            }
            Value::Array(items) => {
                for item in items {
                    walk(item, &format!("{path}[]"), found);
                }
            }
            Value::String(_) | Value::Null => {
                found.insert(format!("{path}: text"));
            }
            Value::Number(_) => {
                found.insert(format!("{path}: number"));
            }
            Value::Bool(_) => {
                found.insert(format!("{path}: bool"));
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(value, "", &mut found);
    found
}

#[test]
fn every_body_has_the_keys_and_types_of_its_fixture() {
    let whole_change = Event::Changed(Change::Composition(1));
    let cases = [
        (Spelling::D, Event::Created, "d01-order-created-full.json"),
        (Spelling::D, whole_change, "d03-order-changed.json"),
        (
            Spelling::D,
            Event::Paid { bare: false },
            "d04-order-paid-prices-corrected.json",
        ),
        (Spelling::D, Event::Received, "d05-order-received.json"),
        (Spelling::D, Event::Delivered, "d06-order-delivered.json"),
        (
            Spelling::D,
            Event::Cancelled(CancelForm::Whole),
            "d07-order-cancelled.json",
        ),
        (Spelling::D, Event::Paid { bare: true }, "d08-order-paid-id-only.json"),
        (Spelling::K, Event::Created, "k01-order-created-full.json"),
        (Spelling::K, whole_change, "k02-order-updated-positions.json"),
        (
            Spelling::K,
            Event::Changed(Change::Window),
            "k03-order-updated-delivery.json",
        ),
        (
            Spelling::K,
            Event::Changed(Change::Method),
            "k04-order-updated-shipment-method.json",
        ),
        (
            Spelling::K,
            Event::Informational(Informational::CourierAssigned),
            "k05-courier-assigned.json",
        ),
        (
            Spelling::K,
            Event::Informational(Informational::CourierArrived),
            "k06-courier-arrived.json",
        ),
        (Spelling::K, Event::Paid { bare: false }, "k07-order-paid.json"),
        (Spelling::K, Event::Received, "k08-order-received.json"),
        (
            Spelling::K,
            Event::Informational(Informational::Delivering),
            "k09-order-delivering.json",
        ),
        (Spelling::K, Event::Delivered, "k10-order-delivered.json"),
        (
            Spelling::K,
            Event::Cancelled(CancelForm::Reason),
            "k11-order-canceled-reason.json",
        ),
        (
            Spelling::K,
            Event::Cancelled(CancelForm::Bare),
            "k12-order-canceled-id-only.json",
        ),
        (
            Spelling::K,
            Event::Cancelled(CancelForm::UnknownSlug),
            "k13-order-canceled-unknown-slug.json",
        ),
        (
            Spelling::K,
            Event::Informational(Informational::Assembled),
            "k14-order-assembled-sm-picked.json",
        ),
    ];
    for (spelling, event, name) in cases {
        let (body, fixture) = (body(spelling, event), fixture(name));
        assert_eq!(body["event_type"], fixture["event_type"], "{name}");
        assert_eq!(shape(&body), shape(&fixture), "{name}");
    }
}

#[test]
fn amounts_and_prices_are_written_as_sm_writes_them() {
    let facts = facts(Spelling::D);
    let mut said = version(Spelling::D);
    said.lines[1].quantity = Amount(742);
    let body = write(&facts, Event::Created, &said, facts.created_at).unwrap();
    assert!(
        body.contains(r#""originalQuantity":2.0,"quantity":2.0,"price":"89.90""#),
        "{body}"
    );
    assert!(body.contains(r#""originalQuantity":2.0,"quantity":0.742"#), "{body}");
    assert!(body.contains(r#""weight":"742","totalPrice":"258.96""#), "{body}");
    assert!(body.contains(r#""expectedFrom":"2026-11-24T18:00:05+03:00""#), "{body}");
}

#[test]
fn a_replaced_line_is_sent_even_where_removed_ones_are_left_out() {
    let facts = Facts {
        lists_removed: false,
        ..facts(Spelling::K)
    };
    let mut said = version(Spelling::K);
    said.lines[0].quantity = Amount::ZERO;
    assert_eq!(said.sent(&facts).count(), 1, "a removed line is left out");
    said.lines[0].replaced_by = Some("ART-00077");
    let body: Value =
        serde_json::from_str(&write(&facts, Event::Changed(Change::Composition(1)), &said, facts.created_at).unwrap())
            .unwrap();
    assert_eq!(body["payload"]["positions"][0]["replacedByID"], "ART-00077");
    assert_eq!(body["payload"]["positions"][0]["quantity"], 0);
    assert_eq!(body["payload"]["positions"][0]["weight"], "");
}
