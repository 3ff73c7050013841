//! What happened to the lines of an order, as a picker acts on it: other goods that take the place of some are
//! told in one line with them, so that nobody picks them twice.

use orderhook_domain::diff::{LineChange, LineDifference};
use orderhook_domain::ids::ProductId;
use orderhook_domain::money::Kopecks;
use orderhook_domain::quantity::Quantity;

use super::goods;
use super::view::{ChangedLine, Instead, LineWords};
use super::words::{Amount, amount, amounts, roubles};

/// The lines to be told, without those of which another one tells.
pub(super) fn changed_lines(lines: &[LineDifference]) -> Vec<ChangedLine> {
    let told_elsewhere =
        |line: &&LineDifference| replacements_by(lines, &line.product_id) == 1 && added(line).is_some();
    lines
        .iter()
        .filter(|line| !told_elsewhere(line) || additions_of(lines, &line.product_id) != 1)
        .map(|line| ChangedLine {
            goods: goods(&line.product_id, line.name.as_deref()),
            change: words(lines, &line.change),
        })
        .collect()
}

fn words(lines: &[LineDifference], change: &LineChange) -> LineWords {
    match change {
        LineChange::Added { quantity, price } => LineWords::Added {
            quantity: amount(*quantity),
            price: price.map(roubles),
        },
        LineChange::Removed { quantity } => LineWords::Removed {
            quantity: amount(*quantity),
        },
        LineChange::Quantity { old, new } => {
            let (old, new) = amounts(*old, *new);
            LineWords::Quantity { old, new }
        }
        LineChange::Price { old, new } => LineWords::Price {
            old: old.map(roubles),
            new: roubles(*new),
        },
        LineChange::Replaced { by, old, new } => replaced(*old, *new, instead(lines, by)),
    }
}

fn replaced(old: Quantity, new: Quantity, by: Instead) -> LineWords {
    if new.is_zero() {
        return LineWords::Replaced { old: amount(old), by };
    }
    let replaced = old.decimal() - new.decimal();
    let Some(replaced) = Quantity::parse_text(&replaced.to_string())
        .ok()
        .filter(|replaced| !replaced.is_zero())
    else {
        return LineWords::ToReplace { old: amount(old), by };
    };
    let (old, replaced) = amounts(old, replaced);
    let by_weight = old.by_weight || new.is_fractional();
    let both = |shown: Amount| Amount { by_weight, ..shown };
    LineWords::PartlyReplaced {
        replaced: both(replaced),
        old: both(old),
        by,
    }
}

/// What takes the place, with its amount when it came for that alone.
fn instead(lines: &[LineDifference], by: &ProductId) -> Instead {
    let mut own = lines.iter().filter(|line| line.product_id == *by);
    let is_told_here = replacements_by(lines, by) == 1 && additions_of(lines, by) == 1;
    let amount_here = own
        .clone()
        .find_map(added)
        .filter(|_| is_told_here)
        .map(|(quantity, price)| (amount(quantity), price.map(roubles)));
    Instead {
        goods: goods(by, own.clone().find_map(|line| line.name.as_deref())),
        has_line: amount_here.is_none() && own.next().is_some(),
        amount: amount_here,
    }
}

fn added(line: &LineDifference) -> Option<(Quantity, Option<Kopecks>)> {
    match line.change {
        LineChange::Added { quantity, price } => Some((quantity, price)),
        _ => None,
    }
}

fn additions_of(lines: &[LineDifference], product: &ProductId) -> usize {
    let is_added = |line: &&LineDifference| line.product_id == *product && added(line).is_some();
    lines.iter().filter(is_added).count()
}

fn replacements_by(lines: &[LineDifference], product: &ProductId) -> usize {
    let is_replaced = |line: &&LineDifference| matches!(&line.change, LineChange::Replaced { by, .. } if by == product);
    lines.iter().filter(is_replaced).count()
}
