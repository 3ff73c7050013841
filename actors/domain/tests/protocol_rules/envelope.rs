//! `event_type`, `payload`, `originalOrderId`, `timestamp`, and the order of the errors.

use orderhook_domain::event::{Content, EventKind};
use orderhook_domain::protocol::ParsedEvent;

use super::{accepted, body, created, event, refused, wrong_fields};

#[test]
fn every_name_has_its_kind() {
    for (name, kind) in [
        ("order.changed", EventKind::Changed),
        ("order.updated", EventKind::Changed),
        ("order.paid", EventKind::Paid),
        ("order.received", EventKind::Received),
        ("order.delivered", EventKind::Delivered),
        ("order.cancelled", EventKind::Cancelled),
        ("order.canceled", EventKind::Cancelled),
        ("order.delivering", EventKind::Informational),
        ("courier.assigned", EventKind::Informational),
        ("courier.arrived", EventKind::Informational),
        ("order.assembled", EventKind::Informational),
        ("Order.Paid", EventKind::Unknown),
        (" order.paid", EventKind::Unknown),
        (" ", EventKind::Unknown),
        ("order.teleported", EventKind::Unknown),
    ] {
        let parsed = accepted(&body(name, ""));
        assert_eq!((parsed.name.as_str(), parsed.kind), (name, kind));
        assert_eq!(event(&body(name, "")).order_id.as_str(), "H1");
    }
    assert_eq!(accepted(&created("")).kind, EventKind::Created);
    assert_eq!(
        accepted(r#"{"\u0065vent_type":"order.\u0070aid","p\u0061yload":{"originalOrder\u0049d":"H1"}}"#).kind,
        EventKind::Paid
    );
}

#[test]
fn the_name_is_stored_without_nul_and_cut() {
    for (sent, stored) in [
        ("я".repeat(128), "я".repeat(128)),
        ("я".repeat(129), "я".repeat(128)),
        ("a\\u0000b".to_owned(), "ab".to_owned()),
        ("\\u0000".to_owned(), String::new()),
        (format!("\\u0000{}", "a".repeat(300)), "a".repeat(128)),
    ] {
        let parsed = accepted(&body(&sent, ""));
        assert_eq!((parsed.name, parsed.kind), (stored, EventKind::Unknown));
    }
    // What was sent is judged, not what is stored.
    assert_eq!(accepted(&body("order.pa\\u0000id", "")).kind, EventKind::Unknown);
}

#[test]
fn an_event_type_must_be_there_once_and_be_a_text() {
    for event_type in [
        "",
        r#""event_type":null,"#,
        r#""event_type":"","#,
        r#""event_type":1,"#,
        r#""event_type":["order.paid"],"#,
        r#""event_type":{"type":"order.paid"},"#,
        r#""event_type":true,"#,
        r#""event_type":"order.paid","event_type":"order.paid","#,
        r#""event_type":null,"event_type":"order.paid","#,
        r#""event_type":"x","event_type":"y","event_type":"z","#,
    ] {
        let rejection = refused(&format!(
            r#"{{{event_type}"payload":{{"originalOrderId":"H1","positions":7}}}}"#
        ));
        assert_eq!(rejection.errors.len(), 1, "{event_type}");
        assert_eq!(rejection.errors[0].field, "event_type");
        assert_eq!((rejection.event_name, rejection.kind), (None, None));
        assert_eq!(rejection.order_id.unwrap().as_str(), "H1");
    }
    // The partner's own direction is no hook.
    assert_eq!(
        wrong_fields(r#"{"event":{"type":"order.accepted","payload":{"order_id":"H1"}}}"#),
        ["event_type"]
    );
    assert_eq!(wrong_fields("{}"), ["event_type"]);
}

#[test]
fn a_known_event_needs_one_payload() {
    for name in ["order.created", "order.paid", "courier.assigned"] {
        for payload in [
            "",
            r#","payload":null"#,
            r#","payload":[]"#,
            r#","payload":"{}""#,
            r#","payload":1"#,
            r#","payload":false"#,
            r#","payload":{"originalOrderId":"H1"},"payload":{"originalOrderId":"H1"}"#,
            r#","payload":null,"payload":{"originalOrderId":"H1"}"#,
        ] {
            let rejection = refused(&format!(r#"{{"event_type":"{name}"{payload}}}"#));
            assert_eq!(rejection.errors.len(), 1, "{payload}");
            assert_eq!(rejection.errors[0].field, "payload", "{payload}");
            assert_eq!(rejection.event_name.as_deref(), Some(name));
            assert_eq!(
                (rejection.kind, rejection.order_id),
                (Some(EventKind::of_name(name)), None)
            );
        }
    }
}

#[test]
fn an_unknown_event_is_accepted_whatever_it_says() {
    for (payload, order_id) in [
        ("", None),
        (r#","payload":null"#, None),
        (r#","payload":"x""#, None),
        (r#","payload":{}"#, None),
        (r#","payload":{"originalOrderId":""}"#, None),
        (r#","payload":{"originalOrderId":1.5}"#, None),
        (r#","payload":{"originalOrderId":"H1","originalOrderId":"H1"}"#, None),
        (r#","payload":{"originalOrderId":"H1"},"payload":{}"#, None),
        (
            r#","payload":{"positions":"x","store_id":[],"delivery":7,"originalOrderId":"H1"}"#,
            Some("H1"),
        ),
        (r#","payload":{"originalOrderId":17}"#, Some("17")),
    ] {
        for text in [
            format!(r#"{{"event_type":"order.teleported","timestamp":"2026-11-24T11:40:05+03:00"{payload}}}"#),
            format!(r#"{{"timestamp":"2026-11-24T11:40:05+03:00"{payload},"event_type":"order.teleported"}}"#),
        ] {
            let parsed = accepted(&text);
            assert_eq!((parsed.kind, parsed.tolerated), (EventKind::Unknown, 0));
            let (id, timestamp) = match parsed.event {
                ParsedEvent::Order(event) => {
                    assert_eq!((event.kind, event.content), (EventKind::Unknown, Content::default()));
                    (Some(event.order_id), event.sm_timestamp)
                }
                ParsedEvent::Unaddressed { sm_timestamp } => (None, sm_timestamp),
            };
            assert_eq!(id.as_ref().map(|id| id.as_str()), order_id, "{text}");
            assert_eq!(timestamp.unwrap().to_rfc3339(), "2026-11-24T11:40:05+03:00");
        }
    }
}

#[test]
fn an_informational_event_needs_nothing_but_the_order_id() {
    let nonsense = r#""positions":[null,{"id":[]}],"store_id":"","storeID":"2","total":5,"delivery":{"expectedFrom":1},"comment":1"#;
    for text in [
        body("courier.arrived", nonsense),
        format!(r#"{{"payload":{{{nonsense},"originalOrderId":"H1"}},"event_type":"courier.arrived"}}"#),
    ] {
        assert_eq!(event(&text).content, Content::default());
        assert_eq!(accepted(&text).tolerated, 0);
    }
    assert_eq!(
        wrong_fields(r#"{"event_type":"courier.arrived","payload":{"positions":7}}"#),
        ["payload.originalOrderId"]
    );
}

#[test]
fn the_order_id_is_a_text_of_1_to_255_characters_given_once() {
    let longest = "я".repeat(255);
    for (sent, kept) in [
        (r#""H1234567890""#, "H1234567890"),
        (r#"" h1 ""#, " h1 "),
        (r#""\ud83c\udf00""#, "🌀"),
        ("17", "17"),
        ("-17", "-17"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        (&format!("\"{longest}\""), &longest),
    ] {
        let text = format!(r#"{{"event_type":"order.paid","payload":{{"originalOrderId":{sent}}}}}"#);
        assert_eq!(event(&text).order_id.as_str(), kept);
    }
    let too_long = format!("\"{}\"", "a".repeat(256));
    let too_long_number = "1".repeat(256);
    for sent in [
        "null",
        r#""""#,
        r#""  ""#,
        r#""\t\u00a0""#,
        "1.0",
        "1e3",
        "1.5",
        "true",
        "[]",
        r#"["H1"]"#,
        "{}",
        r#""H\u00001""#,
        &too_long,
        &too_long_number,
        r#""H1","originalOrderId":"H1""#,
        r#"null,"originalOrderId":"H1""#,
        r#""H1","originalOrderId":null"#,
        r#""H1","originalOrderId":{"a":1},"originalOrderId":"H2""#,
    ] {
        let rejection = refused(&format!(
            r#"{{"event_type":"order.paid","payload":{{"originalOrderId":{sent}}}}}"#
        ));
        assert_eq!(rejection.errors.len(), 1, "{sent}");
        assert_eq!(rejection.errors[0].field, "payload.originalOrderId", "{sent}");
        assert_eq!(rejection.order_id, None);
        assert_eq!(rejection.event_name.as_deref(), Some("order.paid"));
    }
    assert_eq!(
        wrong_fields(r#"{"event_type":"order.paid","payload":{"originalorderid":"H1"}}"#),
        ["payload.originalOrderId"]
    );
}

#[test]
fn the_timestamp_is_kept_or_counted_and_never_refused() {
    for (sent, kept, tolerated) in [
        ("\"2026-11-24T11:40:05+03:00\"", Some("2026-11-24T11:40:05+03:00"), 0),
        (
            "\"2026-11-24T08:40:05.123456Z\"",
            Some("2026-11-24T08:40:05.123456+00:00"),
            0,
        ),
        ("null", None, 0),
        ("\"2026-11-24T11:40:05\"", None, 1),
        ("\"yesterday\"", None, 1),
        ("\"\"", None, 1),
        ("1764000000", None, 1),
        ("{\"a\":1}", None, 1),
        (
            "\"yesterday\",\"timestamp\":\"2026-11-24T11:40:05+03:00\"",
            Some("2026-11-24T11:40:05+03:00"),
            1,
        ),
        ("\"2026-11-24T11:40:05+03:00\",\"timestamp\":null", None, 0),
    ] {
        let text = format!(r#"{{"event_type":"order.paid","timestamp":{sent},"payload":{{"originalOrderId":"H1"}}}}"#);
        assert_eq!(accepted(&text).tolerated, tolerated, "{sent}");
        assert_eq!(
            event(&text).sm_timestamp.map(|time| time.to_rfc3339()).as_deref(),
            kept,
            "{sent}"
        );
    }
}

#[test]
fn errors_come_in_a_fixed_order_whatever_the_order_of_the_keys() {
    let line = r#"{"replacedByID":1.5,"totalPrice":"x","quantity":-1,"price":"1,5","discountPrice":[],"totalDiscountPrice":"+1","originalQuantity":"","id":null}"#;
    let members = format!(
        r#""total":{{"discountTotalPrice":"-1","totalPrice":{{}}}},"positions":[{{"id":1}},{line},{{"id":null}}],"delivery":{{"expectedTo":"x","expectedFrom":1}},"storeID":false,"store_id":"","originalOrderId":null"#
    );
    let fields = [
        "payload.originalOrderId",
        "payload.store_id",
        "payload.storeID",
        "payload.total.discountTotalPrice",
        "payload.total.totalPrice",
        "payload.positions[0].quantity",
        "payload.positions[1].replacedByID",
        "payload.positions[1].totalPrice",
        "payload.positions[1].quantity",
        "payload.positions[1].price",
        "payload.positions[1].discountPrice",
        "payload.positions[1].totalDiscountPrice",
        "payload.positions[1].originalQuantity",
        "payload.positions[1].id",
        "payload.delivery.expectedTo",
        "payload.delivery.expectedFrom",
    ];
    for text in [
        format!(r#"{{"event_type":"order.created","payload":{{{members}}}}}"#),
        format!(r#"{{"payload":{{{members}}},"event_type":"order.created"}}"#),
    ] {
        assert_eq!(wrong_fields(&text), fields);
    }
}

#[test]
fn messages_never_echo_what_was_sent() {
    let secret = "Ж79000000001";
    let text = format!(
        r#"{{"event_type":"order.created","{secret}":1,"payload":{{"originalOrderId":["{secret}"],"store_id":"\u0000{secret}","positions":[{{"id":"\u0000{secret}","quantity":"{secret}","price":"{secret}","replacedByID":"\u0000{secret}"}}],"delivery":{{"expectedFrom":"{secret}"}},"total":"{secret}"}}}}"#
    );
    let rejection = refused(&text);
    assert_eq!(rejection.errors.len(), 8, "{rejection}");
    assert!(!rejection.to_string().contains(secret));
    assert!(!refused(&text[..text.len() - 1]).to_string().contains(secret));
}
