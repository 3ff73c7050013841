//! The texts of new orders, to be read as a picker reads them: on a phone, between shelves.

use chrono_tz::Tz;
use orderhook::telegram::{TelegramSettings, messenger};
use orderhook_actors::ports::WaitingNotice;
use orderhook_domain::notice::{MAX_NOTICE_LINES, NewOrder};

use crate::fake_bot_api::html;
use crate::sample::{bare_order, line, new, new_order, of_order, render, waiting, window};

/// Every message: what is sent, and what is seen.
pub(crate) fn messages(notices: &[WaitingNotice]) -> String {
    let shown = render(notices).into_iter().map(|message| {
        assert_eq!(html::visible(&message.html), Ok(message.plain.trim().to_owned()));
        let reply = message
            .reply_to
            .map(|id| format!(", reply to {id}"))
            .unwrap_or_default();
        format!(
            "=== rows {:?}{reply}\n{}\n--- seen\n{}\n",
            message.notice_ids, message.html, message.plain
        )
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_new_order() {
    insta::assert_snapshot!(messages(&[waiting(42, new(new_order()))]));
}

#[test]
fn a_new_order_of_which_little_is_known() {
    let notice = WaitingNotice {
        number: None,
        ..waiting(42, new(bare_order()))
    };
    insta::assert_snapshot!(messages(&[notice]));
}

#[test]
fn a_new_order_that_may_have_been_told_before() {
    let notice = WaitingNotice {
        maybe_sent: true,
        ..waiting(42, new(bare_order()))
    };
    insta::assert_snapshot!(messages(&[notice]));
}

#[test]
fn delivery_windows_of_every_shape() {
    let shapes = [
        window("2026-11-24T12:00:00Z", "2026-11-24T13:00:00Z"),
        window("2026-11-24T23:00:00+03:00", "2026-11-25T01:00:00+03:00"),
        window("2026-11-24T15:00:00+03:00", ""),
        window("", "2026-11-24T16:00:00+03:00"),
        window("2026-11-24T16:00:00+03:00", "2026-11-24T15:00:00+03:00"),
        window("2027-01-01T10:00:00+03:00", "2027-01-01T12:00:00+03:00"),
        window("2026-12-31T23:00:00+03:00", "2027-01-01T01:00:00+03:00"),
    ];
    let lines = shapes.map(|window| {
        let message = render(&[waiting(1, new(NewOrder { window, ..bare_order() }))]).remove(0);
        message
            .plain
            .lines()
            .find(|line| line.starts_with("Доставка"))
            .unwrap()
            .to_owned()
    });
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn hours_are_those_of_the_shop() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let settings = TelegramSettings {
        time_zone: Tz::Asia__Vladivostok,
        ..TelegramSettings::default()
    };
    let messenger = messenger(&settings, runtime.handle().clone()).unwrap();
    let message = messenger.render(&[waiting(1, new(new_order()))]).next().unwrap();
    assert!(
        message.plain.contains("Доставка: 24 ноября, 22:00–23:00"),
        "{}",
        message.plain
    );
}

#[test]
fn replacement_policies_in_words() {
    let lines = ["callOrRemove", "callOrReplace", "replace", "remove", "askTheCat"].map(|slug| {
        let order = NewOrder {
            replacement_policy: Some(slug.to_owned()),
            ..bare_order()
        };
        render(&[waiting(1, new(order))])
            .remove(0)
            .plain
            .lines()
            .last()
            .unwrap()
            .to_owned()
    });
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn outside_text_arrives_as_text() {
    let hostile = "<b>жирно</b> & \"кавычки\" 'и' 😀 שלום \u{202e}наоборот\nвторая строка &lt;";
    let order = NewOrder {
        lines: vec![line("<i>7</i>", Some("Сыр «Rock&Roll» <50 %>"), "1", Some(100))],
        comment: Some(hostile.to_owned()),
        replacement_policy: Some("<script>".to_owned()),
        shipping_method: Some("a&b".to_owned()),
        ..bare_order()
    };
    insta::assert_snapshot!(messages(&[of_order(42, "H<&>1", new(order))]));
}

#[test]
fn a_big_order_fits_and_says_how_much_is_left_out() {
    let lines = (0..MAX_NOTICE_LINES)
        .map(|index| {
            line(
                &(4_100_000 + index).to_string(),
                Some("Молоко ультрапастеризованное 3,2 %"),
                "2",
                Some(8990),
            )
        })
        .collect();
    let messages = render(&[waiting(
        42,
        new(NewOrder {
            lines,
            line_count: 300,
            ..new_order()
        }),
    )]);
    assert_eq!(messages.len(), 1);
    let plain = &messages[0].plain;
    let shown = plain.lines().filter(|line| line.contains(". 41000")).count();
    assert!(shown > 30, "{shown} lines");
    assert!(plain.contains(&format!("\n… и ещё {} позиц", 300 - shown)), "{plain}");
    assert!(plain.ends_with("домофон не работает"), "{plain}");
}
