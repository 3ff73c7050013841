//! People, places and texts: kept or counted, never refused.

use orderhook_domain::event::Content;
use serde_json::json;

use super::payload::paid;
use super::{accepted, body, content, wrong_fields};

#[test]
fn people_and_places_are_kept_whole() {
    for (sent, kept, tolerated) in [
        ("null", None, 0),
        ("{}", Some(json!({})), 0),
        (
            r#"{"name":null,"phone":"no phone"}"#,
            Some(json!({"name": null, "phone": "no phone"})),
            0,
        ),
        (
            r#"{"a":[1,-0,2.5,1e3,{"b":[[]]}],"c":true}"#,
            Some(json!({"a": [1, 0, "2.5", "1e3", {"b": [[]]}], "c": true})),
            0,
        ),
        (
            "{\"a\":9223372036854775807,\"b\":9223372036854775808}",
            Some(json!({"a": 9_223_372_036_854_775_807_i64, "b": "9223372036854775808"})),
            0,
        ),
        (
            r#"{"a\u0000b":"c\u0000d","e":["\u0000"]}"#,
            Some(json!({"ab": "cd", "e": [""]})),
            0,
        ),
        (
            r#"{"a":1,"\u0000a":2,"a\u0000":3,"\u0000":4,"":5}"#,
            Some(json!({"a": 3, "": 5})),
            0,
        ),
        (r#"{"a":1,"a":2}"#, Some(json!({"a": 2})), 0),
        (r#""Иван""#, None, 1),
        ("[]", None, 1),
        ("7", None, 1),
        ("true", None, 1),
        (r#"{"a":1},"@":7"#, None, 1),
        (r#"7,"@":{"a":1}"#, Some(json!({"a": 1})), 1),
    ] {
        for field in ["customer", "address"] {
            let text = paid(&format!(r#""{field}":{}"#, sent.replace('@', field)));
            let content = content(&text);
            let read = if field == "customer" {
                content.customer
            } else {
                content.address
            };
            assert_eq!(read.map(serde_json::Value::Object), kept, "{sent}");
            assert_eq!(accepted(&text).tolerated, tolerated, "{sent}");
        }
    }
}

#[test]
fn a_kept_object_has_a_bounded_size() {
    let address =
        |element: &str, count: usize| paid(&format!(r#""address":{{"a":[{}]}}"#, vec![element; count].join(",")));
    for (element, most) in [("0", 511), ("[]", 511), ("{}", 56), (r#"{"a":1}"#, 51)] {
        assert!(content(&address(element, most)).address.is_some(), "{element}");
        assert_eq!(accepted(&address(element, most)).tolerated, 0, "{element}");
        for too_many in [most + 1, 2_000] {
            assert!(content(&address(element, too_many)).address.is_none(), "{element}");
            assert_eq!(accepted(&address(element, too_many)).tolerated, 1, "{element}");
        }
    }
    assert_eq!(wrong_fields(&address("0", 600).replace("0]", "01]")), ["body"]);
    assert_eq!(
        wrong_fields(&address("{}", 600).replace("{}]", "{\"a\":01}]")),
        ["body"]
    );
}

/// One of the texts of a payload.
type Get = fn(Content) -> Option<String>;

#[test]
fn texts_are_kept_or_counted_and_never_refused() {
    let fields: [(&str, Get); 7] = [
        ("orderUUID", |content| content.order_uuid),
        ("comment", |content| content.comment),
        ("replacementPolicy", |content| content.replacement_policy),
        ("shippingMethod", |content| content.shipping_method),
        ("shipmentMethod", |content| content.shipping_method),
        ("cancellationReason", |content| content.cancel_reason.description),
        ("kind", |_| None),
    ];
    for (field, get) in fields {
        for (sent, kept, tolerated) in [
            (r#""a""#, Some("a"), 0),
            (r#""""#, Some(""), 0),
            (r#""\u0000<b>'\"\u0000""#, Some("<b>'\""), 0),
            ("null", None, 0),
            ("1", None, 1),
            ("false", None, 1),
            ("{}", None, 1),
            (r#"["a"]"#, None, 1),
            (r#""a","@":1"#, None, 1),
            (r#"1,"@":"b""#, Some("b"), 1),
            (r#""a","@":null"#, None, 0),
        ] {
            let text = paid(&format!(r#""{field}":{}"#, sent.replace('@', field)));
            let kept = kept.filter(|_| field != "kind");
            assert_eq!(get(content(&text)).as_deref(), kept, "{field} {sent}");
            assert_eq!(accepted(&text).tolerated, tolerated, "{field} {sent}");
        }
    }
}

#[test]
fn the_shipping_method_has_two_names() {
    for (members, method) in [
        (r#""shippingMethod":"a","shipmentMethod":"b""#, "a"),
        (r#""shipmentMethod":"b","shippingMethod":"a""#, "a"),
        (r#""shippingMethod":null,"shipmentMethod":"b""#, "b"),
        (r#""shippingMethod":7,"shipmentMethod":"b""#, "b"),
    ] {
        assert_eq!(
            content(&paid(members)).shipping_method.as_deref(),
            Some(method),
            "{members}"
        );
    }
}

#[test]
fn payment_methods_are_a_list_of_texts() {
    for (sent, kept, tolerated) in [
        (r#"["CashDesk","a\u0000b"]"#, Some(vec!["CashDesk", "ab"]), 0),
        ("[]", Some(vec![]), 0),
        ("null", None, 0),
        (r#"["a",null,7,"b"]"#, None, 1),
        ("[[]]", None, 1),
        (r#""CashDesk""#, None, 1),
        ("{}", None, 1),
        (r#"7,"paymentMethods":["a"]"#, Some(vec!["a"]), 1),
    ] {
        let text = paid(&format!(r#""paymentMethods":{sent}"#));
        let kept = kept.map(|methods| methods.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(
            (content(&text).payment_methods, accepted(&text).tolerated),
            (kept, tolerated),
            "{sent}"
        );
    }
}

#[test]
fn a_cancellation_has_a_slug_and_words() {
    for (members, slug, description, tolerated) in [
        (
            r#""cancellation":{"slug":"s","description":"d"},"cancellationReason":"r""#,
            Some("s"),
            Some("d"),
            0,
        ),
        (
            r#""cancellationReason":"r","cancellation":{"slug":"s"}"#,
            Some("s"),
            Some("r"),
            0,
        ),
        (
            r#""cancellationReason":"r","cancellation":{"description":null}"#,
            None,
            Some("r"),
            0,
        ),
        (
            r#""cancellationReason":"r","cancellation":{"slug":7,"description":[]}"#,
            None,
            Some("r"),
            2,
        ),
        (r#""cancellation":"customer_request""#, None, None, 1),
        (
            r#""cancellation":{"slug":"s"},"cancellation":{"description":"d"}"#,
            None,
            Some("d"),
            0,
        ),
        (
            r#""cancellation":{"slug":"\u0000s"},"cancellationReason":false"#,
            Some("s"),
            None,
            1,
        ),
    ] {
        let text = body("order.canceled", members);
        let reason = content(&text).cancel_reason;
        assert_eq!(
            (reason.slug.as_deref(), reason.description.as_deref()),
            (slug, description),
            "{members}"
        );
        assert_eq!(accepted(&text).tolerated, tolerated, "{members}");
    }
}
