//! Every state × every kind of event, in one table to be read line by line against the protocol.

mod support;

use std::fmt::Write as _;

use orderhook_domain::event::{Content, Event, EventKind};
use orderhook_domain::ids::StoreId;

use support::build::{bare, cancelled, changed, created, list, paid, stamped};
use support::drive::Story;
use support::show;

fn at_another_store() -> Event {
    let mut event = created(&["milk 2", "bread 1"]);
    event.content.store_id = StoreId::parse("78").ok();
    event
}

/// The events that make a state; every change has a timestamp, so that older ones exist.
fn states() -> Vec<(&'static str, Vec<Event>)> {
    let received = || bare(EventKind::Received);
    let delivered = || bare(EventKind::Delivered);
    let change = || stamped(changed(list(&["milk 3", "bread 1"])), 50);
    let known = |events: Vec<Event>| [vec![created(&["milk 2", "bread 1"])], events].concat();
    vec![
        ("unknown", vec![]),
        ("announced by changed", vec![change()]),
        ("announced by paid", vec![paid("100")]),
        ("announced by received", vec![received()]),
        ("announced by delivered", vec![delivered()]),
        ("announced by cancelled", vec![cancelled("no milk")]),
        ("announced by paid twice", vec![paid("100"), paid("200")]),
        (
            "announced by received, cancelled, changed",
            vec![received(), cancelled("no milk"), change()],
        ),
        ("new", known(vec![])),
        ("new, changed", known(vec![change()])),
        ("paid", known(vec![paid("100")])),
        ("changed, paid", known(vec![change(), paid("100")])),
        ("shipped", known(vec![received()])),
        ("paid, shipped", known(vec![paid("100"), received()])),
        ("delivered", known(vec![delivered()])),
        (
            "changed, paid, shipped, delivered",
            known(vec![change(), paid("100"), received(), delivered()]),
        ),
        ("cancelled", known(vec![cancelled("no milk")])),
        ("paid, cancelled", known(vec![paid("100"), cancelled("no milk")])),
        ("shipped, cancelled", known(vec![received(), cancelled("no milk")])),
        ("cancelled, shipped", known(vec![cancelled("no milk"), received()])),
        ("delivered, cancelled", known(vec![delivered(), cancelled("no milk")])),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("created", created(&["milk 2", "bread 1"])),
        ("created, other amounts", created(&["milk 5", "bread 1"])),
        ("created, other store", at_another_store()),
        ("changed", stamped(changed(list(&["milk 4", "bread 1"])), 60)),
        ("changed, no timestamp", changed(list(&["milk 4", "bread 1"]))),
        (
            "changed, the change again",
            stamped(changed(list(&["milk 3", "bread 1"])), 50),
        ),
        ("changed, older", stamped(changed(list(&["milk 1", "bread 1"])), 40)),
        (
            "changed, back to created",
            stamped(changed(list(&["milk 2", "bread 1"])), 60),
        ),
        ("changed, nothing sent", changed(Content::default())),
        ("paid", paid("100")),
        ("paid, bare", bare(EventKind::Paid)),
        ("paid, another total", paid("200")),
        ("received", bare(EventKind::Received)),
        ("delivered", bare(EventKind::Delivered)),
        ("cancelled", cancelled("no milk")),
        ("informational", bare(EventKind::Informational)),
        ("unknown name", bare(EventKind::Unknown)),
    ]
}

fn row(state: &[Event], event: Event) -> String {
    let mut story = Story::of(state);
    let transition = story.tell(event);
    let order = &story.order;
    let status = if order.version == 0 {
        "no row"
    } else {
        order.status().as_str()
    };
    format!(
        "{:<9} | {:<9} | {:<6} | {:<8} | {:<30} | {:<15} | {:<17} | {}",
        transition.outcome.as_str(),
        status,
        if order.closed() { "closed" } else { "-" },
        if order.conflict { "conflict" } else { "-" },
        show::notes(&transition.notes),
        show::lines(order),
        show::stock(&transition.stock),
        show::notice(transition.notice.as_ref()),
    )
}

#[test]
fn every_state_and_every_event() {
    let mut table = String::new();
    for (state, before) in states() {
        let _ = writeln!(table, "== {state}; lines {} ==", show::lines(&Story::of(&before).order));
        for (name, event) in events() {
            let _ = writeln!(table, "{name:<25} | {}", row(&before, event));
        }
        table.push('\n');
    }
    let head = format!(
        "{:<25} | {:<9} | {:<9} | {:<6} | {:<8} | {:<30} | {:<15} | {:<17} | notice",
        "event", "outcome", "status", "closed", "conflict", "notes", "lines", "stock"
    );
    insta::assert_snapshot!("transition_table", format!("{head}\n\n{table}"));
}
