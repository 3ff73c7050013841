//! `positions` and their fields.

use orderhook_domain::event::LineContent;
use orderhook_domain::protocol::parse;

use super::{body, content, created, line, refused, wrong_fields};

/// The only line of an accepted order.created with `members` added to the line.
#[track_caller]
pub(super) fn read(members: &str) -> LineContent {
    let mut lines = content(&line(members)).lines;
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

const EVENTS_WITH_CONTENT: [&str; 6] = [
    "order.created",
    "order.changed",
    "order.paid",
    "order.received",
    "order.delivered",
    "order.cancelled",
];

#[test]
fn positions_are_an_array_of_objects_or_not_sent() {
    for event in EVENTS_WITH_CONTENT {
        for not_sent in ["", r#","positions":null"#, r#","positions":[]"#, r#","positions":[ ]"#] {
            let text = body(event, &format!(r#""store_id":"1"{not_sent}"#));
            if event == "order.created" {
                assert_eq!(wrong_fields(&text), ["payload.positions"], "{not_sent}");
            } else {
                assert_eq!(content(&text).lines, [], "{event} {not_sent}");
            }
        }
        for (positions, field) in [
            ("{}", "payload.positions"),
            (r#"{"0":{"id":"1","quantity":1}}"#, "payload.positions"),
            (r#""[]""#, "payload.positions"),
            ("0", "payload.positions"),
            ("false", "payload.positions"),
            ("[null]", "payload.positions[0]"),
            (r#"[{"id":"1","quantity":1},null]"#, "payload.positions[1]"),
            (r#"[{"id":"1","quantity":1},[]]"#, "payload.positions[1]"),
            (
                r#"[{"id":"1","quantity":1},{"id":"1","quantity":1},"x",null,7]"#,
                "payload.positions[2]",
            ),
        ] {
            let text = body(event, &format!(r#""store_id":"1","positions":{positions}"#));
            assert_eq!(wrong_fields(&text), [field], "{event} {positions}");
        }
    }
}

#[test]
fn lines_keep_their_order_and_their_twins() {
    let positions = r#"[{"id":"b","quantity":1},{"id":"a","quantity":2},{"id":"b","quantity":3}]"#;
    let lines = content(&body("order.updated", &format!(r#""positions":{positions}"#))).lines;
    let shown: Vec<String> = lines
        .iter()
        .map(|line| format!("{}={}", line.product_id, line.quantity.unwrap()))
        .collect();
    assert_eq!(shown, ["b=1", "a=2", "b=3"]);
}

#[test]
fn a_sku_is_a_text_or_an_integer() {
    let longest = "я".repeat(255);
    let longest = format!("\"{longest}\"");
    for (sent, kept) in [
        (r#""007""#, "007"),
        (r#"" 7 ""#, " 7 "),
        ("7", "7"),
        ("-0", "-0"),
        (&longest, longest.trim_matches('"')),
    ] {
        let lines = content(&body("order.paid", &format!(r#""positions":[{{"id":{sent}}}]"#))).lines;
        assert_eq!(lines[0].product_id.as_str(), kept);
    }
    let too_long = format!("\"{}\"", "я".repeat(256));
    for sent in [
        "null",
        r#""""#,
        r#"" ""#,
        "1.0",
        "1e0",
        "1.5",
        "true",
        "[1]",
        "{}",
        r#""a\u0000""#,
        &too_long,
    ] {
        for event in EVENTS_WITH_CONTENT {
            let text = body(
                event,
                &format!(r#""store_id":1,"positions":[{{"quantity":1,"id":{sent}}}]"#),
            );
            assert_eq!(wrong_fields(&text), ["payload.positions[0].id"], "{event} {sent}");
        }
    }
    assert_eq!(
        wrong_fields(&body("order.paid", r#""positions":[{"ID":"1"}]"#)),
        ["payload.positions[0].id"]
    );
}

#[test]
fn a_quantity_is_required_on_created_and_changed_only() {
    let positions =
        r#""store_id":1,"positions":[{"id":"1","quantity":1},{"id":"2"},{"id":"3","quantity":null},{"id":"4"}]"#;
    for event in EVENTS_WITH_CONTENT {
        let members_first = format!(r#"{{"payload":{{"originalOrderId":1,{positions}}},"event_type":"{event}"}}"#);
        for text in [body(event, positions), members_first] {
            if ["order.created", "order.changed"].contains(&event) {
                assert_eq!(wrong_fields(&text), ["payload.positions[1].quantity"], "{event}");
            } else {
                let quantities: Vec<bool> = content(&text)
                    .lines
                    .iter()
                    .map(|line| line.quantity.is_some())
                    .collect();
                assert_eq!(quantities, [true, false, false, false], "{event}");
            }
        }
    }
}

#[test]
fn a_replacement_is_kept_and_never_followed() {
    for (sent, kept) in [
        (r#""2""#, Some("2")),
        ("2", Some("2")),
        (r#""1""#, Some("1")),
        (r#""""#, None),
        (r#""  ""#, None),
        ("null", None),
    ] {
        let replaced_by = read(&format!(r#""replacedByID":{sent}"#)).replaced_by;
        assert_eq!(replaced_by.as_ref().map(|id| id.as_str()), kept, "{sent}");
    }
    let too_long = format!("\"{}\"", "a".repeat(256));
    for sent in [
        "1.5",
        "true",
        "[]",
        "{}",
        r#"["2"]"#,
        r#""\u0000""#,
        r#""2\u0000""#,
        &too_long,
    ] {
        assert_eq!(
            wrong_fields(&line(&format!(r#""replacedByID":{sent}"#))),
            ["payload.positions[0].replacedByID"],
            "{sent}"
        );
    }
}

#[test]
fn of_repeated_keys_the_last_one_wins() {
    let twice =
        read(r#""price":"x","quantity":"x","id":[],"price":"1","price":"2","quantity":3,"id":"2","name":1,"name":"a""#);
    assert_eq!(
        (twice.product_id.as_str(), twice.quantity.unwrap().to_string().as_str()),
        ("2", "3")
    );
    assert_eq!(
        (twice.prices.price.unwrap().get(), twice.name.as_deref()),
        (200, Some("a"))
    );
    assert_eq!(
        wrong_fields(&line(r#""price":"2","price":"x""#)),
        ["payload.positions[0].price"]
    );
    assert_eq!(wrong_fields(&line(r#""id":null"#)), ["payload.positions[0].id"]);
    assert_eq!(
        wrong_fields(&line(r#""quantity":null"#)),
        ["payload.positions[0].quantity"]
    );

    let again = created(r#""positions":[null],"positions":[{"id":"9","quantity":9}]"#);
    assert_eq!(content(&again).lines[0].product_id.as_str(), "9");
    assert_eq!(
        content(&created(r#""positions":{},"positions":[{"id":"9","quantity":9}]"#))
            .lines
            .len(),
        1
    );
    assert_eq!(wrong_fields(&created(r#""positions":null"#)), ["payload.positions"]);
    assert_eq!(
        wrong_fields(&created(r#""positions":[{"id":1}],"positions":{}"#)),
        ["payload.positions"]
    );
}

#[test]
fn after_a_wrong_line_the_rest_is_only_checked_for_its_grammar() {
    let positions = |rest: &str| created(&format!(r#""positions":[{{"id":1,"quantity":-1}},{rest}]"#));
    assert_eq!(
        wrong_fields(&positions(r#"null,{"id":[]},7"#)),
        ["payload.positions[0].quantity"]
    );
    assert_eq!(wrong_fields(&positions(r#"{"id":01}"#)), ["body"]);
    let many = positions(&vec!["null"; 60_000].join(","));
    assert_eq!(refused(&many).errors.len(), 1);
    assert!(parse(many.as_bytes()).is_err());
}
