//! The other fields of the payload.

use orderhook_domain::event::Content;

use super::{accepted, body, content, created, wrong_fields};

/// An order.paid with these members.
pub(super) fn paid(members: &str) -> String {
    body("order.paid", members)
}

#[test]
fn an_event_may_carry_nothing_but_its_order_id() {
    for event in [
        "order.changed",
        "order.paid",
        "order.received",
        "order.delivered",
        "order.canceled",
    ] {
        assert_eq!(content(&body(event, "")), Content::default());
        let nulls = [
            "orderUUID",
            "store_id",
            "storeID",
            "customer",
            "address",
            "delivery",
            "positions",
            "total",
            "comment",
            "replacementPolicy",
            "shippingMethod",
            "shipmentMethod",
            "kind",
            "paymentMethods",
            "cancellation",
            "cancellationReason",
        ];
        let nulls: Vec<String> = nulls.iter().map(|key| format!(r#""{key}":null"#)).collect();
        assert_eq!(content(&body(event, &nulls.join(","))), Content::default());
        assert_eq!(accepted(&body(event, &nulls.join(","))).tolerated, 0);
    }
}

#[test]
fn the_store_has_two_names_and_one_value() {
    for (members, store) in [
        (r#""store_id":"8001""#, Some("8001")),
        (r#""storeID":"8001""#, Some("8001")),
        (r#""store_id":8001"#, Some("8001")),
        (r#""store_id":"8001","storeID":8001"#, Some("8001")),
        (r#""store_id":null,"storeID":"57""#, Some("57")),
        (r#""store_id":"57","storeID":null"#, Some("57")),
        (r#""store_id":"","store_id":"57""#, Some("57")),
        (r#""store_id":"57","store_id":null"#, None),
        (r#""store_id":null"#, None),
        ("\"a\":1", None),
    ] {
        assert_eq!(
            content(&paid(members)).store_id.as_ref().map(|store| store.as_str()),
            store,
            "{members}"
        );
        let text = body(
            "order.created",
            &format!(r#""positions":[{{"id":1,"quantity":1}}],{members}"#),
        );
        match store {
            Some(store) => assert_eq!(content(&text).store_id.unwrap().as_str(), store),
            None => assert_eq!(wrong_fields(&text), ["payload.store_id"], "{members}"),
        }
    }
    for (members, fields) in [
        (r#""store_id":"1","storeID":"2""#, &["payload.store_id"][..]),
        (r#""store_id":"1","storeID":"01""#, &["payload.store_id"]),
        (r#""store_id":"""#, &["payload.store_id"]),
        (r#""storeID":" ""#, &["payload.storeID"]),
        (r#""store_id":"1","storeID":"""#, &["payload.storeID"]),
        (r#""store_id":1.5"#, &["payload.store_id"]),
        (
            r#""store_id":{},"storeID":[]"#,
            &["payload.store_id", "payload.storeID"],
        ),
        (r#""store_id":"1\u0000""#, &["payload.store_id"]),
        (r#""storeID":false"#, &["payload.storeID"]),
    ] {
        for event in ["order.created", "order.updated", "order.paid", "order.cancelled"] {
            let text = body(event, &format!(r#""positions":[{{"id":1,"quantity":1}}],{members}"#));
            assert_eq!(wrong_fields(&text), fields, "{event} {members}");
        }
    }
    let long = format!(r#""store_id":"{}""#, "9".repeat(256));
    assert_eq!(wrong_fields(&paid(&long)), ["payload.store_id"]);
}

#[test]
fn totals_are_prices() {
    for (sent, price, discount) in [
        (
            r#"{"totalPrice":"855.80","discountTotalPrice":802.8}"#,
            Some(85580),
            Some(80280),
        ),
        (r#"{"totalPrice":null,"discountTotalPrice":""}"#, None, None),
        (r#"{"totalPrice":"x","totalPrice":1,"more":[]}"#, Some(100), None),
        (r#"[],"total":{"totalPrice":1}"#, Some(100), None),
        (
            r#"{"totalPrice":"x"},"total":{"discountTotalPrice":1}"#,
            None,
            Some(100),
        ),
        (r#"{"totalPrice":1},"total":null"#, None, None),
        ("{}", None, None),
    ] {
        let total = content(&paid(&format!(r#""total":{sent}"#))).total;
        assert_eq!(
            (
                total.price.map(|price| price.get()),
                total.discount_price.map(|price| price.get())
            ),
            (price, discount)
        );
    }
    for (sent, field) in [
        ("[]", "payload.total"),
        ("100", "payload.total"),
        (r#""100""#, "payload.total"),
        ("true", "payload.total"),
        (r#"{"totalPrice":"1,5"}"#, "payload.total.totalPrice"),
        (r#"{"discountTotalPrice":-1}"#, "payload.total.discountTotalPrice"),
        (r#"{"discountTotalPrice":{}}"#, "payload.total.discountTotalPrice"),
        (r#"{"totalPrice":1},"total":7"#, "payload.total"),
    ] {
        assert_eq!(wrong_fields(&paid(&format!(r#""total":{sent}"#))), [field], "{sent}");
    }
}

#[test]
fn the_window_is_two_moments_with_offsets() {
    for (sent, kept) in [
        ("2026-11-24T15:00:00+03:00", "2026-11-24T15:00:00+03:00"),
        ("2026-11-24T15:00:00Z", "2026-11-24T15:00:00+00:00"),
        ("2026-11-24T15:00:00.5-11:30", "2026-11-24T15:00:00.500-11:30"),
        ("1970-01-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00"),
    ] {
        let window = content(&paid(&format!(
            r#""delivery":{{"expectedFrom":"{sent}","expectedTo":"{sent}"}}"#
        )))
        .window;
        assert_eq!(
            (window.from.unwrap().to_rfc3339(), window.to.unwrap().to_rfc3339()),
            (kept.to_owned(), kept.to_owned())
        );
    }
    // Reversed and long past.
    accepted(&paid(
        r#""delivery":{"expectedFrom":"2026-11-24T15:00:00Z","expectedTo":"2001-01-01T00:00:00Z"}"#,
    ));
    for sent in [
        r#""завтра""#,
        r#""""#,
        r#""2026-11-24""#,
        r#""2026-11-24T15:00:00""#,
        r#""2026-11-24T15:00""#,
        r#""2026-02-30T15:00:00Z""#,
        r#""2026-11-24T25:00:00Z""#,
        r#""15:00""#,
        r#"" 2026-11-24T15:00:00Z""#,
        r#""2026-11-24T15:00:00Z\u0000""#,
        "1764000000",
        "true",
        "{}",
        "[]",
    ] {
        for field in ["expectedFrom", "expectedTo"] {
            let text = paid(&format!(r#""delivery":{{"{field}":{sent}}}"#));
            assert_eq!(wrong_fields(&text), [format!("payload.delivery.{field}")], "{sent}");
        }
    }
    for sent in ["[]", "1", r#""завтра""#, "false", r#"{"expectedTo":null},"delivery":1"#] {
        assert_eq!(
            wrong_fields(&paid(&format!(r#""delivery":{sent}"#))),
            ["payload.delivery"],
            "{sent}"
        );
    }
    for (sent, planned, tolerated) in [
        ("true", Some(true), 0),
        ("false", Some(false), 0),
        ("null", None, 0),
        ("1", None, 1),
        (r#""true""#, None, 1),
        ("[]", None, 1),
    ] {
        let text = paid(&format!(r#""delivery":{{"isPlanned":{sent},"expectedFrom":null}}"#));
        assert_eq!(
            (content(&text).window.is_planned, accepted(&text).tolerated),
            (planned, tolerated),
            "{sent}"
        );
    }
    let again = paid(r#""delivery":{"expectedFrom":"x"},"delivery":{"isPlanned":true}"#);
    assert!(content(&again).window.from.is_none());
}

#[test]
fn unknown_keys_are_ignored_at_every_level() {
    let text = created(
        r#""x":{"originalOrderId":"H2","positions":7},"STORE_ID":"9","event_type":"order.paid","payload":null"#,
    );
    assert_eq!(content(&text), content(&created("")));
    assert_eq!(
        content(&paid(r#""total":{"price":"x"},"delivery":{"from":"x"}"#)),
        Content::default()
    );
}
