//! Merging: whatever waits, every message is one that Telegram takes, and every row is told once.

use std::collections::HashMap;

use orderhook_actors::ports::WaitingNotice;
use orderhook_domain::diff::{Difference, LineChange, TextDifference};
use orderhook_domain::notice::{NewOrder, Notice, NoticeKind, NoticeLine};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fake_bot_api::html;
use crate::sample::{
    amount, bare_order, cancelled, changed, line, line_change, new, new_order, of_order, render, waiting,
};

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

fn comment(text: &str) -> Notice {
    let new = Some(TextDifference {
        old: None,
        new: Some(text.to_owned()),
    });
    changed(Difference {
        comment: new,
        ..Difference::default()
    })
}

#[test]
fn nothing_is_no_message() {
    assert_eq!(render(&[]), []);
}

#[test]
fn what_waits_together_goes_together() {
    let notices = [
        waiting(1, new(new_order())),
        waiting(2, new(bare_order())),
        waiting(3, cancelled(None, None)),
    ];
    let messages = render(&notices);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].notice_ids, [1, 2, 3]);
    assert_eq!(
        messages[0].kinds,
        [NoticeKind::New, NoticeKind::New, NoticeKind::Cancelled]
    );
}

#[test]
fn only_a_change_or_a_cancellation_alone_is_a_reply() {
    let with_first = |notice: WaitingNotice| WaitingNotice {
        first_message_id: Some(7),
        ..notice
    };
    let change = with_first(waiting(1, comment("Позвоните")));
    let cancel = with_first(waiting(2, cancelled(None, None)));
    assert_eq!(render(std::slice::from_ref(&change))[0].reply_to, Some(7));
    assert_eq!(render(std::slice::from_ref(&cancel))[0].reply_to, Some(7));
    assert_eq!(render(&[change.clone(), cancel])[0].reply_to, None);
    assert_eq!(render(&[with_first(waiting(3, new(bare_order())))])[0].reply_to, None);
    assert_eq!(render(&[waiting(1, comment("Позвоните"))])[0].reply_to, None);
}

#[test]
fn orders_are_not_torn_apart_to_fill_a_message() {
    let lines: Vec<NoticeLine> = (0..40)
        .map(|index| line(&index.to_string(), Some("Сыр"), "1", None))
        .collect();
    let order = |id| {
        waiting(
            id,
            new(NewOrder {
                lines: lines.clone(),
                line_count: 40,
                ..bare_order()
            }),
        )
    };
    let messages = render(&[order(1), order(2), order(3), order(4), order(5)]);
    assert!(messages.len() > 1);
    for message in messages {
        assert!(message.html.starts_with("<b>№ "), "{}", message.html);
        assert_eq!(message.plain.matches("новый заказ").count(), message.notice_ids.len());
    }
}

#[test]
fn a_text_longer_than_a_message_goes_on_in_the_next() {
    let word = "слово<&> ";
    let notice = WaitingNotice {
        first_message_id: Some(7),
        ..waiting(1, comment(&word.repeat(455)))
    };
    let messages = render(&[notice, waiting(2, cancelled(None, None))]);
    let rows: Vec<_> = messages.iter().map(|message| message.notice_ids.clone()).collect();
    assert_eq!(rows, [vec![], vec![], vec![1, 2]]);
    assert_eq!(
        messages
            .iter()
            .map(|message| message.plain.matches("слово<&>").count())
            .sum::<usize>(),
        455
    );
    assert!(
        messages[1].plain.starts_with("№ 1001 — продолжение\n"),
        "{}",
        messages[1].plain
    );
    assert_eq!(
        messages.iter().map(|message| message.reply_to).collect::<Vec<_>>(),
        [Some(7), Some(7), None]
    );
}

#[test]
fn a_comment_of_4096_characters_arrives_whole() {
    for text in ["<", "😀", "ж"] {
        let order = NewOrder {
            comment: Some(text.repeat(4096)),
            ..new_order()
        };
        let messages = render(&[waiting(1, new(order))]);
        let seen: usize = messages.iter().map(|message| message.plain.matches(text).count()).sum();
        // The sample order itself has a few of that letter.
        assert!((4096..4110).contains(&seen), "{seen} of {text}");
        assert_eq!(messages.last().unwrap().notice_ids, [1]);
    }
}

fn outside_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[а-я ]{0,40}",
        "(<b>|</b>|&|&lt;|\"|'|😀|שלום|\u{202e}|\u{2069}|\n| |ж){0,30}",
        any::<String>(),
        (1_usize..5000, "[<ж😀 a&]").prop_map(|(count, text)| text.repeat(count)),
    ]
}

fn any_line() -> impl Strategy<Value = NoticeLine> {
    let sku = outside_text().prop_map(|text| {
        let text: String = text.chars().filter(|char| *char != '\0').take(255).collect();
        if text.trim().is_empty() { "0".to_owned() } else { text }
    });
    let parts = (
        sku,
        proptest::option::of(outside_text()),
        1_u32..3_000_000,
        proptest::option::of(0_i64..100_000_000),
    );
    parts.prop_map(|(sku, name, thousandths, price)| {
        line(
            &sku,
            name.as_deref(),
            &format!("{}.{:03}", thousandths / 1000, thousandths % 1000),
            price,
        )
    })
}

fn any_notice() -> impl Strategy<Value = Notice> {
    let order = (
        vec(any_line(), 0..60),
        0_usize..300,
        proptest::option::of(outside_text()),
        outside_text(),
    )
        .prop_map(|(lines, more, comment, policy)| {
            let line_count = lines.len() + more;
            new(NewOrder {
                lines,
                line_count,
                comment,
                replacement_policy: Some(policy),
                ..new_order()
            })
        });
    let change = (vec(any_line(), 0..60), outside_text(), outside_text()).prop_map(|(lines, old, new)| {
        let removed = |line: NoticeLine| {
            line_change(
                line.product_id.as_str(),
                line.name.as_deref(),
                LineChange::Removed { quantity: amount("1") },
            )
        };
        changed(Difference {
            lines: lines.into_iter().map(removed).collect(),
            comment: Some(TextDifference {
                old: Some(old),
                new: Some(new),
            }),
            ..Difference::default()
        })
    });
    let cancel = (
        proptest::option::of(outside_text()),
        proptest::option::of(outside_text()),
    )
        .prop_map(|(slug, description)| cancelled(slug.as_deref(), description.as_deref()));
    prop_oneof![2 => order, 2 => change, 1 => cancel, 4 => Just(new(bare_order())), 4 => Just(cancelled(None, None))]
}

fn any_notices() -> impl Strategy<Value = Vec<WaitingNotice>> {
    vec((any_notice(), 0_i64..8, any::<bool>()), 0..20).prop_map(|parts| {
        let notices = parts
            .into_iter()
            .enumerate()
            .map(|(index, (notice, order, maybe_sent))| WaitingNotice {
                maybe_sent,
                first_message_id: Some(7),
                ..of_order(i64::try_from(index).unwrap() + 1, &format!("H{order}"), notice)
            });
        notices.collect()
    })
}

/// The row at whose place a row is told: its own, or the first of an order that came and went.
fn place(notices: &[WaitingNotice], row: i64) -> i64 {
    let mut kinds: HashMap<&str, Vec<(i64, NoticeKind)>> = HashMap::new();
    for notice in notices {
        kinds
            .entry(notice.order_id.as_str())
            .or_default()
            .push((notice.notice_id, notice.notice.kind()));
    }
    let of_order = kinds
        .values()
        .find(|rows| rows.iter().any(|(id, _)| *id == row))
        .unwrap();
    let has = |kind| of_order.iter().any(|(_, other)| *other == kind);
    if has(NoticeKind::New) && has(NoticeKind::Cancelled) {
        of_order[0].0
    } else {
        row
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn every_message_is_one_that_telegram_takes(notices in any_notices()) {
        let messages = render(&notices);
        prop_assert_eq!(messages.is_empty(), notices.is_empty());
        for message in &messages {
            prop_assert!(units(&message.html) <= 4096, "{} units", units(&message.html));
            prop_assert!(units(&message.plain) <= 4096);
            prop_assert_eq!(message.notice_ids.len(), message.kinds.len());
            let visible = html::visible(&message.html);
            prop_assert_eq!(visible.as_deref(), Ok(message.plain.trim()));
            prop_assert!(!message.plain.trim().is_empty());
        }
        prop_assert!(messages.last().is_none_or(|message| !message.notice_ids.is_empty()));
    }

    #[test]
    fn every_row_is_told_once_and_in_order(notices in any_notices()) {
        let told: Vec<i64> = render(&notices).into_iter().flat_map(|message| message.notice_ids).collect();
        let mut expected: Vec<i64> = notices.iter().map(|notice| notice.notice_id).collect();
        expected.sort_by_key(|row| (place(&notices, *row), *row));
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn an_order_that_came_and_went_takes_one_line(notices in any_notices()) {
        let seen: String = render(&notices).into_iter().map(|message| message.plain + "\n").collect();
        let places: std::collections::HashSet<i64> = notices.iter()
            .map(|notice| (notice.notice_id, place(&notices, notice.notice_id)))
            .filter(|(row, place)| row != place)
            .map(|(_, place)| place)
            .collect();
        let lines = seen.matches("поступил и уже отменён").count() + seen.matches("не собирать").count();
        prop_assert_eq!(lines, places.len());
    }
}
