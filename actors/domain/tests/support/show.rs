//! Orders and transitions in the words of the model, and in those of a table.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use orderhook_domain::apply::{Note, StockMovement, Transition};
use orderhook_domain::diff::{Difference, LineChange};
use orderhook_domain::notice::Notice;
use orderhook_domain::order::{Document, Line, Order};

use super::model::document::{Row, Sheet, json, person_facts, price_facts, told, total_facts, window_facts};
use super::model::{Movement, Step, View};

/// The order as the model describes one.
pub fn view(order: &Order) -> Option<View> {
    let document = order.document.as_deref();
    let sheet = document.map(sheet);
    (order.version > 0).then(|| View {
        version: order.version,
        status: order.status(),
        closed: order.closed(),
        conflict: order.conflict,
        marks: order.marks,
        composition: sheet.as_ref().map(Sheet::composition).unwrap_or_default(),
        sheet,
        created_at: document.map(|document| document.created_at),
        assembly_due_at: document.map(|document| document.assembly_due_at),
        cancel_reason: document
            .map(|document| document.cancel_reason.clone())
            .unwrap_or_default(),
        parked: order.memory.parked.iter().map(|parked| parked.delivery_id).collect(),
    })
}

/// The transition as the model describes one.
pub fn step(transition: &Transition) -> Step {
    Step {
        outcome: transition.outcome,
        notes: transition.notes.iter().copied().collect::<BTreeSet<Note>>(),
        notice: transition.notice.as_ref().map(Notice::kind),
        stock: transition.stock.iter().map(movement).collect(),
    }
}

fn movement(movement: &StockMovement) -> Movement {
    Movement {
        line: movement.line as usize,
        store: movement.store_id.to_string(),
        sku: movement.product_id.to_string(),
        quantity: movement.quantity,
    }
}

fn sheet(document: &Document) -> Sheet {
    let mut facts = told([
        ("order uuid", document.order_uuid.clone()),
        ("comment", document.comment.clone()),
        ("replacement policy", document.replacement_policy.clone()),
        ("shipping method", document.shipping_method.clone()),
        ("payment methods", document.payment_methods.as_ref().map(json)),
    ]);
    facts.extend(person_facts(document.customer.as_ref(), document.address.as_ref()));
    facts.extend(window_facts(&document.window));
    facts.extend(total_facts(&document.total));
    let numbers = document.lines.iter().map(|line| line.line);
    assert!(
        numbers.eq((1..).take(document.lines.len())),
        "lines are numbered through"
    );
    Sheet {
        store: document.store_id.to_string(),
        facts,
        rows: document.lines.iter().map(row).collect(),
    }
}

fn row(line: &Line) -> Row {
    let mut facts = told([
        (
            "original quantity",
            line.original_quantity.map(|quantity| quantity.to_string()),
        ),
        ("grams", line.weight_grams.as_deref().map(str::to_owned)),
        ("name", line.name.as_deref().map(str::to_owned)),
    ]);
    facts.extend(price_facts(&line.prices));
    Row {
        sku: line.product_id.to_string(),
        quantity: line.quantity,
        replaced_by: line.replaced_by.as_ref().map(ToString::to_string),
        facts,
    }
}

/// `milk 2, bread 1`, in the order of lines; a removed line stands with 0.
pub fn lines(order: &Order) -> String {
    let lines = order.document.iter().flat_map(|document| &document.lines);
    listed(lines.map(|line| format!("{} {}", line.product_id, line.quantity)))
}

pub fn stock(movements: &[StockMovement]) -> String {
    listed(
        movements
            .iter()
            .map(|moved| format!("{} -{}", moved.product_id, moved.quantity)),
    )
}

pub fn notes(notes: &[Note]) -> String {
    listed(notes.iter().map(|note| note.as_str().to_owned()))
}

pub fn notice(notice: Option<&Notice>) -> &'static str {
    notice.map_or("-", |notice| notice.kind().as_str())
}

pub fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        "-".to_owned()
    } else {
        items.join(", ")
    }
}

/// What staff must know, one thing a line.
pub fn difference(difference: &Difference) -> String {
    let mut text = String::new();
    for line in &difference.lines {
        let sku = &line.product_id;
        let price = |price: &Option<_>| {
            price.map_or("?".to_owned(), |known: orderhook_domain::money::Kopecks| {
                known.to_string()
            })
        };
        let _ = match &line.change {
            LineChange::Added { quantity, price: of } => writeln!(text, "{sku}: added {quantity} @{}", price(of)),
            LineChange::Removed { quantity } => writeln!(text, "{sku}: removed, was {quantity}"),
            LineChange::Quantity { old, new } => writeln!(text, "{sku}: {old} -> {new}"),
            LineChange::Price { old, new } => writeln!(text, "{sku}: @{} -> @{new}", price(old)),
            LineChange::Replaced { by, old, new } => writeln!(text, "{sku}: {old} -> {new}, replaced by {by}"),
        };
    }
    if let Some(window) = &difference.window {
        let time = |time: Option<chrono::DateTime<chrono::FixedOffset>>| {
            time.map_or("?".to_owned(), |time| time.format("%H:%M").to_string())
        };
        let (old, new) = (window.old, window.new);
        let (old_from, old_to, from, to) = (time(old.from), time(old.to), time(new.from), time(new.to));
        let _ = writeln!(text, "window: {old_from}-{old_to} -> {from}-{to}");
    }
    let texts = [
        ("comment", &difference.comment),
        ("replacement policy", &difference.replacement_policy),
        ("shipping method", &difference.shipping_method),
    ];
    for (name, change) in texts {
        if let Some(change) = change {
            let _ = writeln!(text, "{name}: {:?} -> {:?}", change.old, change.new);
        }
    }
    if text.is_empty() {
        text.push_str("nothing for staff\n");
    }
    text
}
