//! The fixtures: what working integrations have seen, and what must be refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use orderhook_domain::event::{Content, EventKind};
use orderhook_domain::protocol::{Parsed, ParsedEvent, parse};
use serde_json::value::RawValue;

/// The field that the 400 of each refused fixture must name first.
const REFUSED_FIELDS: &[(&str, &str)] = &[
    ("b02-trailing-garbage.json", "body"),
    ("b05-truncated.json", "body"),
    ("b06-empty-body.json", "body"),
    ("b09-invalid-utf8.json", "body"),
    ("b11-deep-nesting-10000.json", "body"),
    ("c04-time-not-a-date.json", "payload.delivery.expectedFrom"),
    ("e04-payload-null.json", "payload"),
    ("e08-event-type-missing.json", "event_type"),
    ("e12-top-level-array.json", "body"),
    ("e13-duplicate-key-event-type.json", "event_type"),
    ("i03-order-id-256-chars.json", "payload.originalOrderId"),
    ("i04-order-id-missing.json", "payload.originalOrderId"),
    ("m05-store-id-and-storeid-differ.json", "payload.store_id"),
    ("m08-store-missing.json", "payload.store_id"),
    ("n12-price-comma.json", "payload.positions[0].price"),
    ("n16-negative-quantity.json", "payload.positions[0].quantity"),
    ("n20-quantity-1e308.json", "payload.positions[0].quantity"),
    ("p06-positions-object.json", "payload.positions"),
    ("p08-positions-empty.json", "payload.positions"),
    ("t09-lone-surrogate.json", "body"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap()
}

/// File name and whether it must be accepted, from `index.tsv`.
fn index() -> BTreeMap<String, bool> {
    let index = String::from_utf8(fixture("index.tsv")).unwrap();
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns[2] {
            "accept" => (columns[0].to_owned(), true),
            "reject" => (columns[0].to_owned(), false),
            other => panic!("{other}"),
        }
    };
    index.lines().skip(1).map(row).collect()
}

fn content(parsed: &Parsed) -> &Content {
    match &parsed.event {
        ParsedEvent::Order(event) => &event.content,
        ParsedEvent::Unaddressed { .. } => panic!("no order"),
    }
}

#[test]
fn the_index_and_the_folder_name_the_same_files() {
    let files = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(|name| name.ends_with(".json")).collect();
    let indexed: BTreeSet<String> = index().into_keys().collect();
    assert_eq!(files, indexed);
    assert_eq!(files.len(), 69);
}

#[test]
fn every_fixture_gets_its_verdict() {
    let fields: BTreeMap<&str, &str> = REFUSED_FIELDS.iter().copied().collect();
    for (name, accepted) in index() {
        match (parse(&fixture(&name)), accepted) {
            (Ok(parsed), true) => assert_eq!(parsed.tolerated, 0, "{name}"),
            (Err(rejection), false) => {
                assert_eq!(
                    Some(&rejection.errors[0].field.as_str()),
                    fields.get(name.as_str()),
                    "{name}: {rejection}"
                );
                assert_eq!(rejection.errors.len(), 1, "{name}: {rejection}");
            }
            (Ok(_), false) => panic!("{name} was accepted"),
            (Err(rejection), true) => panic!("{name} was refused: {rejection}"),
        }
    }
    assert_eq!(fields.len(), index().values().filter(|accepted| !**accepted).count());
}

#[test]
fn every_accepted_fixture_has_the_kind_of_its_name() {
    for (name, _) in index().into_iter().filter(|(_, accepted)| *accepted) {
        let parsed = parse(&fixture(&name)).unwrap();
        assert_eq!(parsed.kind, EventKind::of_name(&parsed.name), "{name}");
        match parsed.event {
            ParsedEvent::Order(event) => {
                assert_eq!(event.kind, parsed.kind, "{name}");
                assert!(event.order_id.as_str().starts_with('H'), "{name}");
                if matches!(event.kind, EventKind::Informational | EventKind::Unknown) {
                    assert_eq!(event.content, Content::default(), "{name}");
                }
            }
            ParsedEvent::Unaddressed { .. } => panic!("{name} has an order"),
        }
    }
}

#[test]
fn the_order_of_keys_carries_no_meaning() {
    /// The same object with its keys in reverse; values keep their text.
    fn reversed(object: &str) -> String {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(object).unwrap();
        let members = members.iter().rev().map(|(key, value)| {
            let value = if key == "payload" {
                reversed(value.get())
            } else {
                value.get().to_owned()
            };
            format!("{}:{value}", serde_json::to_string(key).unwrap())
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
    for (name, _) in index()
        .into_iter()
        .filter(|(name, accepted)| *accepted && !name.starts_with('b'))
    {
        let body = String::from_utf8(fixture(&name)).unwrap();
        let parsed = parse(body.as_bytes());
        let reversed = reversed(&body);
        assert!(
            reversed.starts_with("{\"timestamp") || reversed.starts_with("{\"payload"),
            "{reversed}"
        );
        assert_eq!(parse(reversed.as_bytes()), parsed, "{name}");
    }
}

#[test]
fn what_the_index_says_of_single_values_holds() {
    let read = |name: &str| parse(&fixture(name)).unwrap();
    let line = |name: &str, index: usize| content(&read(name)).lines[index].clone();
    let quantity = |name: &str| line(name, 0).quantity.unwrap().to_string();

    assert_eq!(quantity("n02-quantity-float.json"), "5");
    assert_eq!(quantity("n04-weighed-fractional-quantity.json"), "0.742");
    assert_eq!(
        line("n04-weighed-fractional-quantity.json", 0).weight_grams.as_deref(),
        Some("742")
    );
    assert_eq!(
        line("n05-weighed-packs-and-grams.json", 0).weight_grams.as_deref(),
        Some("1380")
    );
    assert_eq!(
        line("n07-prices-as-numbers.json", 0).prices.price.unwrap().to_string(),
        "89.90"
    );
    assert!(line("n18-quantity-zero.json", 0).quantity.unwrap().is_zero());
    assert_eq!(
        line("n18-quantity-zero.json", 0).original_quantity.unwrap().to_string(),
        "2"
    );
    assert_eq!(line("p03-replaced-by-null.json", 0).replaced_by, None);

    let replaced = content(&read("p01-replaced-position.json")).lines.clone();
    let link = replaced.iter().find_map(|line| line.replaced_by.clone()).unwrap();
    assert!(replaced.iter().any(|line| line.product_id == link));

    let twins = content(&read("p05-duplicate-position-ids.json")).lines.clone();
    assert_eq!(twins[0].product_id, twins[1].product_id);
    assert_ne!(twins[0].prices, twins[1].prices);

    assert_eq!(
        content(&read("m06-store-id-integer.json"))
            .store_id
            .as_ref()
            .unwrap()
            .as_str(),
        "8001"
    );
    assert_eq!(content(&read("p14-300-positions.json")).lines.len(), 300);
    assert!(content(&read("p09-positions-empty-on-paid.json")).lines.is_empty());
    assert_eq!(content(&read("t01-comment-null.json")).comment, None);
    assert_eq!(content(&read("t04-customer-absent.json")).customer, None);
    assert!(
        !content(&read("t14-nul-in-comment.json"))
            .comment
            .as_ref()
            .unwrap()
            .contains('\0')
    );
    assert!(content(&read("c02-delivery-absent.json")).window.is_empty());
    assert_eq!(content(&read("k03-order-updated-delivery.json")).lines, []);
    assert!(!content(&read("k03-order-updated-delivery.json")).window.is_empty());
    assert_eq!(
        content(&read("k04-order-updated-shipment-method.json"))
            .shipping_method
            .as_deref(),
        Some("pickup")
    );
    assert_eq!(
        content(&read("k11-order-canceled-reason.json"))
            .cancel_reason
            .slug
            .as_deref(),
        Some("customer_request")
    );
    assert_eq!(
        parse(&fixture("s01-created-retry-other-whitespace.json")),
        parse(&fixture("d01-order-created-full.json"))
    );
}

/// One full body of each dialect, field by field.
#[test]
fn a_full_body_of_each_dialect() {
    insta::assert_debug_snapshot!(
        "dialect_d_created",
        parse(&fixture("d01-order-created-full.json")).unwrap()
    );
    insta::assert_debug_snapshot!(
        "dialect_k_created",
        parse(&fixture("k01-order-created-full.json")).unwrap()
    );
}
