//! A change that tells a part leaves the rest as it is (protocol section 2).

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use orderhook_domain::diff::changed;
use orderhook_domain::event::{CancelReason, Content, LineContent, LinePrices, Total, Window};
use orderhook_domain::ids::StoreId;
use orderhook_domain::order::Document;

use support::build::{RULES, at, line, list, roubles, stamp};
use support::show;

/// The document of a created with these lines.
fn ordered(lines: &[&str]) -> Document {
    let content = Content {
        window: window(Some(0), Some(3600)),
        comment: Some("call".to_owned()),
        replacement_policy: Some("replace".to_owned()),
        shipping_method: Some("pickup".to_owned()),
        ..list(lines)
    };
    Document::from_created(StoreId::parse("77").unwrap(), &content, at(0), RULES.assembly_time)
}

fn window(from: Option<i64>, to: Option<i64>) -> Window {
    Window {
        from: from.map(stamp),
        to: to.map(stamp),
        is_planned: None,
    }
}

#[test]
fn a_part_changes_and_the_rest_stays() {
    let text = |text: &str| Some(text.to_owned());
    let document = ordered(&["milk 2"]);
    let part =
        |name: &str, content: Content| format!("# {name}\n{}", show::difference(&changed(&document, &content).1));
    let all = Content {
        window: window(Some(60), Some(120)),
        comment: text("ring"),
        replacement_policy: text("call_or_cancel"),
        shipping_method: text("by_courier"),
        ..list(&["milk 1"])
    };
    let shown = [
        part("nothing", Content::default()),
        part(
            "the window",
            Content {
                window: window(Some(7200), Some(9000)),
                ..Content::default()
            },
        ),
        part(
            "one end of the window",
            Content {
                window: window(None, Some(1800)),
                ..Content::default()
            },
        ),
        part(
            "the method",
            Content {
                shipping_method: text("by_courier"),
                ..Content::default()
            },
        ),
        part(
            "the comment",
            Content {
                comment: text("ring"),
                ..Content::default()
            },
        ),
        part(
            "the comment taken back",
            Content {
                comment: text(""),
                ..Content::default()
            },
        ),
        part("everything", all),
    ];
    insta::assert_snapshot!(shown.concat(), @r#"
    # nothing
    nothing for staff
    # the window
    window: 15:00-16:00 -> 17:00-17:30
    # one end of the window
    window: 15:00-16:00 -> 15:00-15:30
    # the method
    shipping method: Some("pickup") -> Some("by_courier")
    # the comment
    comment: Some("call") -> Some("ring")
    # the comment taken back
    comment: Some("call") -> None
    # everything
    milk: 2 -> 1
    window: 15:00-16:00 -> 15:01-15:02
    comment: Some("call") -> Some("ring")
    replacement policy: Some("replace") -> Some("call_or_cancel")
    shipping method: Some("pickup") -> Some("by_courier")
    "#);
}

#[test]
fn what_staff_need_not_know_is_written_all_the_same() {
    let document = ordered(&["milk 2"]);
    let person = serde_json::Map::from_iter([("name".to_owned(), "Anna".into())]);
    let total = Total {
        price: Some(roubles("100")),
        discount_price: None,
    };
    let weighed = LineContent {
        weight_grams: Some("742".into()),
        name: Some("Milk".into()),
        prices: LinePrices {
            total_price: Some(roubles("179.80")),
            ..LinePrices::default()
        },
        ..line("milk 2")
    };
    let planned = Window {
        is_planned: Some(true),
        ..Window::default()
    };
    for content in [
        Content {
            customer: Some(person.clone()),
            ..Content::default()
        },
        Content {
            address: Some(person),
            ..Content::default()
        },
        Content {
            total,
            ..Content::default()
        },
        Content {
            lines: vec![weighed],
            ..Content::default()
        },
        Content {
            window: planned,
            ..Content::default()
        },
        Content {
            order_uuid: Some("u1".to_owned()),
            ..Content::default()
        },
        Content {
            payment_methods: Some(vec!["card".to_owned()]),
            ..Content::default()
        },
    ] {
        let (next, difference) = changed(&document, &content);
        assert_ne!(next, document, "{content:?}");
        assert!(difference.is_empty(), "{difference:?}");
        // Told again, it is no news.
        assert_eq!(changed(&next, &content), (next.clone(), difference));
    }
}

#[test]
fn store_and_reason_are_not_for_a_change_to_tell() {
    let document = ordered(&["milk 2"]);
    let content = Content {
        store_id: StoreId::parse("78").ok(),
        cancel_reason: CancelReason {
            slug: Some("other".to_owned()),
            description: None,
        },
        ..Content::default()
    };
    assert_eq!(changed(&document, &content).0, document);
}

#[test]
fn a_window_that_moves_by_seconds_is_stored_and_no_news_to_staff() {
    let document = ordered(&["milk 2"]);
    let moved = Content {
        window: window(Some(30), Some(3630)),
        ..Content::default()
    };
    let (next, difference) = changed(&document, &moved);
    assert_eq!(next.window, moved.window);
    assert!(difference.is_empty(), "{}", show::difference(&difference));
}
