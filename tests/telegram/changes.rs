//! The texts of changes and cancellations, to be read as a picker reads them.

use std::time::Duration;

use orderhook_actors::ports::WaitingNotice;
use orderhook_domain::diff::{Difference, LineChange, LineDifference, TextDifference, WindowDifference};
use orderhook_domain::event::Window;
use orderhook_domain::money::Kopecks;
use orderhook_domain::notice::{MAX_NOTICE_LINES, NewOrder, NoticeLine};

use crate::sample::{
    amount, bare_order, cancelled, changed, line, line_change, new, new_order, of_order, product, render, waiting,
    window,
};
use crate::texts::messages;

fn text(old: Option<&str>, new: Option<&str>) -> Option<TextDifference> {
    Some(TextDifference {
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    })
}

#[test]
fn a_change_of_lines() {
    let milk = Some("Молоко");
    let lines = vec![
        line_change(
            "4100017",
            milk,
            LineChange::Quantity {
                old: amount("2"),
                new: amount("1"),
            },
        ),
        line_change(
            "4100017",
            milk,
            LineChange::Price {
                old: Some(Kopecks::new(8990)),
                new: Kopecks::new(7990),
            },
        ),
        line_change(
            "4100018",
            Some("Бананы"),
            LineChange::Quantity {
                old: amount("1"),
                new: amount("0.742"),
            },
        ),
        line_change(
            "4100019",
            None,
            LineChange::Added {
                quantity: amount("3"),
                price: Some(Kopecks::new(123_450)),
            },
        ),
        line_change("4100020", Some("Хлеб"), LineChange::Removed { quantity: amount("1") }),
        line_change(
            "4100021",
            None,
            LineChange::Price {
                old: None,
                new: Kopecks::new(100),
            },
        ),
        line_change(
            "4100022",
            Some("Кефир"),
            LineChange::Replaced {
                by: product("4100023"),
                old: amount("2"),
                new: amount("0"),
            },
        ),
        line_change(
            "4100024",
            None,
            LineChange::Replaced {
                by: product("4100025"),
                old: amount("5"),
                new: amount("3"),
            },
        ),
    ];
    let difference = Difference {
        lines,
        ..Difference::default()
    };
    let notice = WaitingNotice {
        first_message_id: Some(77),
        ..waiting(42, changed(difference))
    };
    insta::assert_snapshot!(messages(&[notice]));
}

#[test]
fn a_change_of_everything_else() {
    let difference = Difference {
        window: Some(WindowDifference {
            old: window("2026-11-24T15:00:00+03:00", "2026-11-24T16:00:00+03:00"),
            new: window("2026-11-24T17:00:00+03:00", "2026-11-24T18:00:00+03:00"),
        }),
        comment: text(Some("Позвоните"), Some("Не звоните")),
        replacement_policy: text(Some("callOrReplace"), Some("remove")),
        shipping_method: text(Some("byCourier"), Some("pickup")),
        lines: Vec::new(),
    };
    insta::assert_snapshot!(messages(&[waiting(42, changed(difference))]));
}

#[test]
fn a_change_from_or_to_nothing() {
    let gains = Difference {
        window: Some(WindowDifference {
            old: Window::default(),
            new: window("2026-11-24T15:00:00+03:00", ""),
        }),
        comment: text(None, Some("Позвоните")),
        replacement_policy: text(None, Some("replace")),
        shipping_method: text(None, Some("drone")),
        lines: Vec::new(),
    };
    let loses = Difference {
        comment: text(Some("Позвоните"), None),
        ..Difference::default()
    };
    insta::assert_snapshot!(messages(&[waiting(42, changed(gains)), waiting(43, changed(loses))]));
}

#[test]
fn more_changes_than_a_notice_carries() {
    let one = line_change("1", None, LineChange::Removed { quantity: amount("1") });
    let difference = Difference {
        lines: vec![one; MAX_NOTICE_LINES + 21],
        ..Difference::default()
    };
    let messages = render(&[waiting(42, changed(difference))]);
    assert!(messages.last().unwrap().plain.ends_with("… и ещё 21 изменение"));
}

#[test]
fn a_cancellation() {
    let notice = waiting(42, cancelled(Some("customer_request"), Some("Клиент передумал")));
    insta::assert_snapshot!(messages(&[WaitingNotice {
        first_message_id: Some(77),
        ..notice
    }]));
}

#[test]
fn reasons_in_words() {
    let slugs = [
        "customer_request",
        "customer_unavailable",
        "out_of_stock",
        "store_closed",
        "payment_failed",
        "courier_not_found",
        "duplicate_order",
        "test_order",
        "meteorite",
    ];
    let known = slugs.map(|slug| (Some(slug), None));
    let others = [
        (None, Some("Клиент передумал")),
        (Some("meteorite"), Some("meteorite")),
        (None, None),
    ];
    let lines = known.into_iter().chain(others).map(|(slug, description)| {
        render(&[waiting(1, cancelled(slug, description))])
            .remove(0)
            .plain
            .lines()
            .last()
            .unwrap()
            .to_owned()
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn an_order_that_came_and_went_is_one_line() {
    let notices = [
        of_order(1, "H1", new(new_order())),
        of_order(2, "H2", new(bare_order())),
        of_order(
            3,
            "H1",
            changed(Difference {
                comment: text(None, Some("Позвоните")),
                ..Difference::default()
            }),
        ),
        of_order(4, "H1", cancelled(Some("customer_request"), None)),
    ];
    insta::assert_snapshot!(messages(&notices));
}

fn replaced(sku: &str, name: &str, by: &str, old: &str, new: &str) -> LineDifference {
    let change = LineChange::Replaced {
        by: product(by),
        old: amount(old),
        new: amount(new),
    };
    line_change(sku, Some(name), change)
}

fn added(sku: &str, name: &str, quantity: &str) -> LineDifference {
    let change = LineChange::Added {
        quantity: amount(quantity),
        price: Some(Kopecks::new(8990)),
    };
    line_change(sku, Some(name), change)
}

#[test]
fn what_takes_the_place_of_something_is_told_once_with_it() {
    let differences = [
        vec![replaced("22", "Кефир", "23", "2", "0"), added("23", "Ряженка", "2")],
        vec![replaced("24", "Сыр", "25", "5", "3"), added("25", "Творог", "2")],
        vec![
            replaced("26", "Груши", "27", "1", "0.4"),
            added("27", "Яблоки", "0.612"),
        ],
        // Replaced by the same goods twice: how much is told once.
        vec![
            replaced("22", "Кефир", "23", "2", "0"),
            replaced("28", "Айран", "23", "1", "0"),
            added("23", "Ряженка", "3"),
        ],
        // Replaced by goods that were there before.
        vec![
            replaced("22", "Кефир", "23", "2", "0"),
            line_change(
                "23",
                Some("Ряженка"),
                LineChange::Quantity {
                    old: amount("1"),
                    new: amount("3"),
                },
            ),
        ],
        vec![replaced("22", "Кефир", "23", "2", "2")],
    ];
    let notices: Vec<WaitingNotice> = differences
        .into_iter()
        .zip(1..)
        .map(|(lines, id)| {
            let difference = Difference {
                lines,
                ..Difference::default()
            };
            waiting(id, changed(difference))
        })
        .collect();
    insta::assert_snapshot!(messages(&notices));
}

#[test]
fn lines_that_are_told_with_others_are_not_counted_as_left_out() {
    let mut lines = vec![replaced("22", "Кефир", "23", "2", "0"), added("23", "Ряженка", "2")];
    let one = line_change("1", None, LineChange::Removed { quantity: amount("1") });
    let text = |lines: &[LineDifference]| {
        let difference = Difference {
            lines: lines.to_vec(),
            ..Difference::default()
        };
        render(&[waiting(42, changed(difference))]).pop().unwrap().plain
    };
    assert!(!text(&lines).contains("и ещё"));
    lines.extend(vec![one; MAX_NOTICE_LINES]);
    assert!(text(&lines).ends_with("… и ещё 2 изменения"));
}

#[test]
fn what_is_told_late_says_when_it_happened() {
    let late = |id, minutes, notice| WaitingNotice {
        waited: Duration::from_secs(60) * minutes,
        ..waiting(id, notice)
    };
    let comment = || Difference {
        comment: text(None, Some("Позвоните")),
        ..Difference::default()
    };
    insta::assert_snapshot!(messages(&[
        late(1, 2, new(bare_order())),
        late(2, 3, new(bare_order())),
        late(3, 12, changed(comment())),
        late(4, 60 * 14, cancelled(None, None)),
        late(5, 60 * 24 * 50, cancelled(None, None)),
    ]));
}

#[test]
fn an_order_that_may_have_been_told_and_was_cancelled_is_not_to_be_picked() {
    let notices = [
        WaitingNotice {
            maybe_sent: true,
            ..of_order(1, "H1", new(new_order()))
        },
        of_order(4, "H1", cancelled(Some("customer_request"), None)),
    ];
    insta::assert_snapshot!(messages(&notices));
}

#[test]
fn kilograms_are_known_by_any_amount_and_pieces_never() {
    let lines = vec![
        NoticeLine {
            by_weight: true,
            ..line("1", Some("Бананы"), "1", Some(14_900))
        },
        line("2", Some("Молоко"), "1", Some(8990)),
    ];
    let order = NewOrder {
        lines,
        shipping_method: Some("pickup".to_owned()),
        ..new_order()
    };
    insta::assert_snapshot!(messages(&[waiting(42, new(order))]));
}
