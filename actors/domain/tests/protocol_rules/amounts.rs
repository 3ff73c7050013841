//! Amounts, prices, weights and names of a line.

use orderhook_domain::event::LinePrices;

use super::lines::read;
use super::{accepted, body, line, wrong_fields};

#[test]
fn quantities_of_every_shape() {
    for (sent, kept) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("0.001", "0.001"),
        ("0.742", "0.742"),
        ("5.0", "5"),
        ("2.500000", "2.5"),
        ("1e3", "1000"),
        ("1E+3", "1000"),
        ("1500e-3", "1.5"),
        ("1000000", "1000000"),
        ("1000000.000", "1000000"),
        (r#""2""#, "2"),
        (r#""2.0""#, "2"),
        (r#""007.500""#, "7.5"),
        (r#""1000000""#, "1000000"),
        (r#""\u0032""#, "2"),
    ] {
        assert_eq!(
            read(&format!(r#""quantity":{sent}"#)).quantity.unwrap().to_string(),
            kept,
            "{sent}"
        );
        assert_eq!(
            read(&format!(r#""originalQuantity":{sent}"#))
                .original_quantity
                .unwrap()
                .to_string(),
            kept,
            "{sent}"
        );
    }
    for sent in [
        "-1",
        "-0.001",
        "1000000.001",
        "1000001",
        "1e7",
        "1e308",
        "1e999999999999999999999",
        "0.0001",
        "1e-4",
        "0.7421",
        r#""-1""#,
        r#""1e3""#,
        r#""1,5""#,
        r#""""#,
        r#"" 1""#,
        r#""1 ""#,
        r#""+1""#,
        r#""NaN""#,
        r#""две""#,
        r#""1.""#,
        r#"".5""#,
        r#""0x1""#,
        r#""1\u0000""#,
        r#""1000000.001""#,
        r#""0.0001""#,
        "true",
        "[]",
        "[1]",
        "{}",
        r#"{"value":1}"#,
    ] {
        for field in ["quantity", "originalQuantity"] {
            let expected = format!("payload.positions[0].{field}");
            assert_eq!(
                wrong_fields(&line(&format!(r#""{field}":{sent}"#))),
                [expected],
                "{sent}"
            );
            let text = body("order.paid", &format!(r#""positions":[{{"id":"1","{field}":{sent}}}]"#));
            assert_eq!(wrong_fields(&text), [format!("payload.positions[0].{field}")], "{sent}");
        }
    }
    assert_eq!(read(r#""originalQuantity":null"#).original_quantity, None);
}

/// One of a line's prices, in kopecks.
type Get = fn(LinePrices) -> Option<i64>;

#[test]
fn prices_are_exact_roubles() {
    let fields: [(&str, Get); 4] = [
        ("price", |prices| prices.price.map(|price| price.get())),
        ("discountPrice", |prices| prices.discount_price.map(|price| price.get())),
        ("totalPrice", |prices| prices.total_price.map(|price| price.get())),
        ("totalDiscountPrice", |prices| {
            prices.total_discount_price.map(|price| price.get())
        }),
    ];
    for (field, get) in fields {
        for (sent, kopecks) in [
            (r#""89.90""#, Some(8990)),
            ("89.9", Some(8990)),
            ("89", Some(8900)),
            ("0", Some(0)),
            (r#""0.00""#, Some(0)),
            (r#""0.005""#, Some(1)),
            ("0.0049999999999999999999", Some(0)),
            ("1.005", Some(101)),
            (r#""007""#, Some(700)),
            ("999999999999.99", Some(99_999_999_999_999)),
            (r#""999999999999.995""#, Some(100_000_000_000_000)),
            ("null", None),
            (r#""""#, None),
        ] {
            assert_eq!(
                get(read(&format!(r#""{field}":{sent}"#)).prices),
                kopecks,
                "{field} {sent}"
            );
        }
        for sent in [
            r#""199,99""#,
            r#""1 000""#,
            r#"" 1""#,
            r#""-1""#,
            r#""+1""#,
            r#""1e2""#,
            r#""1.""#,
            r#"".5""#,
            r#""1.2.3""#,
            r#""1_000""#,
            r#""NaN""#,
            r#""free""#,
            r#""1₽""#,
            r#""1\u0000""#,
            r#""1000000000000""#,
            "-1",
            "-0",
            "-0.01",
            "1e2",
            "1E0",
            "0e0",
            "1000000000000",
            "true",
            "[]",
            "{}",
            r#"[1]"#,
            r#"{"amount":1}"#,
        ] {
            assert_eq!(
                wrong_fields(&line(&format!(r#""{field}":{sent}"#))),
                [format!("payload.positions[0].{field}")],
                "{sent}"
            );
        }
    }
}

#[test]
fn weights_and_names_are_kept_or_counted() {
    for (sent, kept, tolerated) in [
        (r#""930""#, Some("930"), 0),
        ("930", Some("930"), 0),
        (r#""0930.50""#, Some("0930.50"), 0),
        ("0", Some("0"), 0),
        (r#""12345678901234567890""#, Some("12345678901234567890"), 0),
        (r#""""#, None, 0),
        ("null", None, 0),
        (r#""123456789012345678901""#, None, 1),
        (r#""1 кг""#, None, 1),
        (r#""-1""#, None, 1),
        ("1e3", None, 1),
        ("-1", None, 1),
        (r#""1,5""#, None, 1),
        (r#"".5""#, None, 1),
        (r#""9\u0000""#, None, 1),
        ("{}", None, 1),
        ("true", None, 1),
    ] {
        assert_eq!(
            read(&format!(r#""weight":{sent}"#)).weight_grams.as_deref(),
            kept,
            "{sent}"
        );
        assert_eq!(
            accepted(&line(&format!(r#""weight":{sent}"#))).tolerated,
            tolerated,
            "{sent}"
        );
    }
    for (sent, kept, tolerated) in [
        (r#""Молоко""#, Some("Молоко"), 0),
        (r#""a\u0000b\n""#, Some("ab\n"), 0),
        (r#""""#, Some(""), 0),
        ("null", None, 0),
        ("7", None, 1),
        ("[\"a\"]", None, 1),
        ("{\"ru\":\"a\"}", None, 1),
        ("false", None, 1),
    ] {
        assert_eq!(read(&format!(r#""name":{sent}"#)).name.as_deref(), kept, "{sent}");
        assert_eq!(
            accepted(&line(&format!(r#""name":{sent}"#))).tolerated,
            tolerated,
            "{sent}"
        );
    }
}
