//! What a change changes in the lines: the document, and what staff must know of it (protocol section 2).

#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod support;

use orderhook_domain::diff::changed;
use orderhook_domain::event::Content;
use orderhook_domain::ids::StoreId;
use orderhook_domain::notice::{Changed, MAX_NOTICE_LINES};
use orderhook_domain::order::Document;

use support::build::{RULES, at, list};
use support::show;

/// The document of a created with these lines.
fn ordered(lines: &[&str]) -> Document {
    Document::from_created(StoreId::parse("77").unwrap(), &list(lines), at(0), RULES.assembly_time)
}

/// What staff are told, then the lines that the document has.
fn told(document: &Document, content: &Content) -> String {
    let (next, difference) = changed(document, content);
    let same = if next == *document { " (the same document)" } else { "" };
    let lines = show::listed(next.lines.iter().map(|line| {
        let price = line.prices.price.map(|price| format!(" @{price}")).unwrap_or_default();
        let by = line
            .replaced_by
            .as_ref()
            .map(|by| format!(" >{by}"))
            .unwrap_or_default();
        format!("{} {}{price}{by}", line.product_id, line.quantity)
    }));
    format!("{}=> {lines}{same}\n", show::difference(&difference))
}

/// Cases on an order of two lines, each `name: the new full list`.
fn cases(before: &[&str], cases: &[(&str, &[&str])]) -> String {
    let document = ordered(before);
    let shown = cases
        .iter()
        .map(|(name, lines)| format!("# {name}\n{}", told(&document, &list(lines))));
    shown.collect()
}

#[test]
fn lines_come_go_and_change() {
    let cases = cases(
        &["milk 2 @89.90", "bread 1 @40", "salt 0 @10"],
        &[
            ("added", &["milk 2 @89.90", "bread 1 @40", "salt 0 @10", "eggs 3 @120"]),
            ("added without a price", &["milk 2", "bread 1", "salt 0", "eggs 3"]),
            ("added with the amount 0", &["milk 2", "bread 1", "salt 0", "eggs 0"]),
            ("removed by absence", &["milk 2"]),
            ("removed by the amount 0", &["milk 2", "bread 0"]),
            ("back again with an amount", &["milk 2", "bread 1", "salt 1 @10"]),
            ("another amount", &["milk 0.742", "bread 1"]),
            ("another price", &["milk 2 @99.90", "bread 1 @40"]),
            ("another amount and price", &["milk 3 @99.90", "bread 1 @40"]),
            ("an unknown price keeps the old one", &["milk 2", "bread 1"]),
            ("another price of a line that goes", &["milk 0 @99.90", "bread 1 @40"]),
            ("another order of lines", &["bread 1 @40", "milk 2 @89.90"]),
        ],
    );
    insta::assert_snapshot!(cases, @r#"
    # added
    eggs: added 3 @120.00
    => milk 2 @89.90, bread 1 @40.00, salt 0 @10.00, eggs 3 @120.00
    # added without a price
    eggs: added 3 @?
    => milk 2 @89.90, bread 1 @40.00, salt 0 @10.00, eggs 3
    # added with the amount 0
    nothing for staff
    => milk 2 @89.90, bread 1 @40.00, salt 0 @10.00, eggs 0
    # removed by absence
    bread: removed, was 1
    => milk 2 @89.90, bread 0 @40.00, salt 0 @10.00
    # removed by the amount 0
    bread: removed, was 1
    => milk 2 @89.90, bread 0 @40.00, salt 0 @10.00
    # back again with an amount
    salt: added 1 @10.00
    => milk 2 @89.90, bread 1 @40.00, salt 1 @10.00
    # another amount
    milk: 2 -> 0.742
    => milk 0.742 @89.90, bread 1 @40.00, salt 0 @10.00
    # another price
    milk: @89.90 -> @99.90
    => milk 2 @99.90, bread 1 @40.00, salt 0 @10.00
    # another amount and price
    milk: 2 -> 3
    milk: @89.90 -> @99.90
    => milk 3 @99.90, bread 1 @40.00, salt 0 @10.00
    # an unknown price keeps the old one
    nothing for staff
    => milk 2 @89.90, bread 1 @40.00, salt 0 @10.00 (the same document)
    # another price of a line that goes
    milk: removed, was 2
    => milk 0 @99.90, bread 1 @40.00, salt 0 @10.00
    # another order of lines
    nothing for staff
    => milk 2 @89.90, bread 1 @40.00, salt 0 @10.00 (the same document)
    "#);
}

#[test]
fn lines_replace_each_other() {
    let cases = cases(
        &["milk 2", "bread 1 >rolls", "salt 0"],
        &[
            ("wholly", &["milk 0 >kefir", "bread 1 >rolls", "kefir 2"]),
            ("partly", &["milk 1 >kefir", "bread 1 >rolls", "kefir 1"]),
            ("by nothing that is there", &["milk 0 >nowhere", "bread 1 >rolls"]),
            ("in a circle", &["milk 1 >bread", "bread 2 >milk"]),
            ("by itself", &["milk 2 >milk", "bread 1 >rolls"]),
            ("replaced before, gone now", &["milk 2", "bread 0 >rolls"]),
            ("no longer", &["milk 2", "bread 1"]),
            ("what nobody wants", &["milk 2", "bread 1 >rolls", "salt 0 >pepper"]),
            ("what comes back", &["milk 2", "bread 1 >rolls", "salt 1 >pepper"]),
        ],
    );
    insta::assert_snapshot!(cases, @r#"
    # wholly
    milk: 2 -> 0, replaced by kefir
    kefir: added 2 @?
    => milk 0 >kefir, bread 1 >rolls, salt 0, kefir 2
    # partly
    milk: 2 -> 1, replaced by kefir
    kefir: added 1 @?
    => milk 1 >kefir, bread 1 >rolls, salt 0, kefir 1
    # by nothing that is there
    milk: 2 -> 0, replaced by nowhere
    => milk 0 >nowhere, bread 1 >rolls, salt 0
    # in a circle
    milk: 2 -> 1, replaced by bread
    bread: 1 -> 2, replaced by milk
    => milk 1 >bread, bread 2 >milk, salt 0
    # by itself
    milk: 2 -> 2, replaced by milk
    => milk 2 >milk, bread 1 >rolls, salt 0
    # replaced before, gone now
    bread: removed, was 1
    => milk 2, bread 0 >rolls, salt 0
    # no longer
    nothing for staff
    => milk 2, bread 1, salt 0
    # what nobody wants
    nothing for staff
    => milk 2, bread 1 >rolls, salt 0 >pepper
    # what comes back
    salt: added 1 @?
    => milk 2, bread 1 >rolls, salt 1 >pepper
    "#);
}

#[test]
fn two_lines_of_one_sku_are_told_apart_by_occurrence() {
    let cases = cases(
        &["milk 2 @89.90", "bread 1", "milk 1 @79.90"],
        &[
            ("the first changes", &["milk 3", "bread 1", "milk 1"]),
            ("the second changes", &["milk 2", "bread 1", "milk 5"]),
            ("one of them is sent", &["milk 2", "bread 1"]),
            ("the first by the amount 0", &["milk 0", "bread 1", "milk 1"]),
            ("a third", &["milk 2", "milk 1", "bread 1", "milk 4"]),
            ("they change places", &["milk 1 @79.90", "bread 1", "milk 2 @89.90"]),
        ],
    );
    insta::assert_snapshot!(cases, @r#"
    # the first changes
    milk: 2 -> 3
    => milk 3 @89.90, bread 1, milk 1 @79.90
    # the second changes
    milk: 1 -> 5
    => milk 2 @89.90, bread 1, milk 5 @79.90
    # one of them is sent
    milk: removed, was 1
    => milk 2 @89.90, bread 1, milk 0 @79.90
    # the first by the amount 0
    milk: removed, was 2
    => milk 0 @89.90, bread 1, milk 1 @79.90
    # a third
    milk: added 4 @?
    => milk 2 @89.90, bread 1, milk 1 @79.90, milk 4
    # they change places
    milk: 2 -> 1
    milk: @89.90 -> @79.90
    milk: 1 -> 2
    milk: @79.90 -> @89.90
    => milk 1 @79.90, bread 1, milk 2 @89.90
    "#);
}

#[test]
fn a_notice_of_three_hundred_lines_carries_some_and_counts_all() {
    let names: Vec<_> = (0..300).map(|number| format!("sku{number} 1")).collect();
    let more: Vec<_> = (0..300).map(|number| format!("sku{number} 2")).collect();
    let lines = |names: &[String]| list(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let document = ordered(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let (next, difference) = changed(&document, &lines(&more));
    assert!(next.lines.iter().all(|line| line.quantity.to_string() == "2"));
    let notice = Changed::of(difference);
    assert_eq!(
        (notice.difference.lines.len(), notice.line_change_count),
        (MAX_NOTICE_LINES, 300)
    );
    // A list of one line removes the 299 others.
    let (next, difference) = changed(&document, &lines(&names[..1]));
    assert_eq!(difference.lines.len(), 299);
    assert_eq!(next.lines.iter().filter(|line| line.quantity.is_zero()).count(), 299);
}
