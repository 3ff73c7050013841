//! Section 2 of the protocol for the reference model: what an event does to the order document.
//!
//! A document is a heap of facts, each a text under a name, and rows in the order of their first
//! appearance. "Absent means not changed" is then nothing but overwriting by name.

use std::collections::BTreeMap;

use orderhook_domain::event::{Content, KeptObject, LineContent, LinePrices, Total, Window};
use orderhook_domain::quantity::Quantity;
use serde::Serialize;

/// Facts by name. A fact that was never told is not there.
pub type Facts = BTreeMap<String, String>;

/// What is to be picked: the amounts of a SKU by occurrence, removed rows left out.
pub type Composition = BTreeMap<String, Vec<Quantity>>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    pub store: String,
    pub facts: Facts,
    pub rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub sku: String,
    pub quantity: Quantity,
    pub replaced_by: Option<String>,
    pub facts: Facts,
}

impl Sheet {
    /// The document that a created makes: everything it tells, written on an empty sheet.
    pub fn created(content: &Content) -> Self {
        let empty = Self {
            store: content.store_id.as_ref().unwrap().to_string(),
            ..Self::default()
        };
        empty.changed(content)
    }

    /// An absent fact is not changed; an empty comment was taken back; the rows, when sent, are the
    /// full new list, matched by SKU and occurrence, and a row that is not in it has the amount 0.
    pub fn changed(&self, content: &Content) -> Self {
        let mut next = self.clone();
        next.facts.extend(facts(content));
        next.facts.retain(|name, text| *name != "comment" || !text.is_empty());
        if content.lines.is_empty() {
            return next;
        }
        for row in &mut next.rows {
            row.quantity = Quantity::ZERO;
        }
        for (index, sent) in content.lines.iter().enumerate() {
            let row = match self.row_of(&content.lines, index) {
                Some(known) => &mut next.rows[known],
                None => {
                    next.rows.push(Row::empty(sent));
                    next.rows.last_mut().unwrap()
                }
            };
            row.quantity = sent.quantity.unwrap();
            row.replaced_by = sent.replaced_by.as_ref().map(ToString::to_string);
            row.facts.extend(line_facts(sent));
        }
        next
    }

    /// A paid corrects prices and totals of what is there, and nothing else.
    pub fn with_prices_of(&self, content: &Content) -> Self {
        let mut next = self.clone();
        next.facts.extend(total_facts(&content.total));
        for (index, sent) in content.lines.iter().enumerate() {
            if let Some(known) = self.row_of(&content.lines, index) {
                next.rows[known].facts.extend(price_facts(&sent.prices));
            }
        }
        next
    }

    pub fn composition(&self) -> Composition {
        let mut composition = Composition::new();
        for row in self.rows.iter().filter(|row| !row.quantity.is_zero()) {
            composition.entry(row.sku.clone()).or_default().push(row.quantity);
        }
        composition
    }

    /// Whether staff have to be told that this became `next`: rows, window by the minute, or one of three texts.
    pub fn staff_must_know(&self, next: &Self) -> bool {
        let told = [
            "window.from",
            "window.to",
            "comment",
            "replacement policy",
            "shipping method",
        ];
        let fact_differs = told.iter().any(|name| self.as_told(name) != next.as_told(name));
        let row_differs = |(index, new): (usize, &Row)| match self.rows.get(index) {
            Some(old) => old.staff_must_know(new),
            None => !new.quantity.is_zero(),
        };
        fact_differs || next.rows.iter().enumerate().any(row_differs)
    }

    /// A fact as staff read it: of a time without its seconds ("2026-03-01 12:00:01 UTC" up to the minute).
    fn as_told(&self, name: &str) -> Option<&str> {
        let fact = self.facts.get(name)?;
        Some(if name.starts_with("window.") { &fact[..16] } else { fact })
    }

    /// Where the n-th line of a SKU in `sent` stands on this sheet: it is the n-th row of that SKU.
    fn row_of(&self, sent: &[LineContent], index: usize) -> Option<usize> {
        let sku = sent[index].product_id.as_str();
        let occurrence = sent[..index]
            .iter()
            .filter(|line| line.product_id.as_str() == sku)
            .count();
        let mut rows = (0..self.rows.len()).filter(|row| self.rows[*row].sku == sku);
        rows.nth(occurrence)
    }
}

impl Row {
    fn empty(sent: &LineContent) -> Self {
        let first_ordered = sent
            .quantity
            .map(|quantity| ("original quantity".to_owned(), quantity.to_string()));
        Self {
            sku: sent.product_id.to_string(),
            quantity: Quantity::ZERO,
            replaced_by: None,
            facts: first_ordered.into_iter().collect(),
        }
    }

    fn staff_must_know(&self, new: &Self) -> bool {
        let (was_wanted, is_wanted) = (!self.quantity.is_zero(), !new.quantity.is_zero());
        let unit_price = |row: &Self| row.facts.get("discount price").or(row.facts.get("price")).cloned();
        self.quantity != new.quantity
            || (was_wanted && is_wanted && unit_price(self) != unit_price(new))
            || (was_wanted && new.replaced_by.is_some() && self.replaced_by != new.replaced_by)
    }
}

/// Everything that a payload tells about the order as a whole.
pub fn facts(content: &Content) -> Facts {
    let mut facts = told([
        ("order uuid", content.order_uuid.clone()),
        ("comment", content.comment.clone()),
        ("replacement policy", content.replacement_policy.clone()),
        ("shipping method", content.shipping_method.clone()),
        ("payment methods", content.payment_methods.as_ref().map(json)),
    ]);
    facts.extend(person_facts(content.customer.as_ref(), content.address.as_ref()));
    facts.extend(window_facts(&content.window));
    facts.extend(total_facts(&content.total));
    facts
}

/// Every key of the customer and the address is a fact of its own: an absent one is not changed.
pub fn person_facts(customer: Option<&KeptObject>, address: Option<&KeptObject>) -> Facts {
    let facts = |object: &str, kept: Option<&KeptObject>| -> Facts {
        let fact = |(key, value): (&String, &serde_json::Value)| (format!("{object}.{key}"), json(value));
        kept.into_iter().flatten().map(fact).collect()
    };
    let mut all = facts("customer", customer);
    all.extend(facts("address", address));
    all
}

pub fn window_facts(window: &Window) -> Facts {
    told([
        ("window.from", window.from.map(|time| time.to_utc().to_string())),
        ("window.to", window.to.map(|time| time.to_utc().to_string())),
        ("window.planned", window.is_planned.map(|planned| planned.to_string())),
    ])
}

pub fn total_facts(total: &Total) -> Facts {
    told([
        ("total", total.price.map(|money| money.to_string())),
        ("discount total", total.discount_price.map(|money| money.to_string())),
    ])
}

pub fn price_facts(prices: &LinePrices) -> Facts {
    told([
        ("price", prices.price.map(|money| money.to_string())),
        ("discount price", prices.discount_price.map(|money| money.to_string())),
        ("line total", prices.total_price.map(|money| money.to_string())),
        (
            "discount line total",
            prices.total_discount_price.map(|money| money.to_string()),
        ),
    ])
}

fn line_facts(sent: &LineContent) -> Facts {
    let mut facts = told([
        (
            "original quantity",
            sent.original_quantity.map(|quantity| quantity.to_string()),
        ),
        ("grams", sent.weight_grams.as_deref().map(str::to_owned)),
        ("name", sent.name.as_deref().map(str::to_owned)),
    ]);
    facts.extend(price_facts(&sent.prices));
    facts
}

/// The facts that were told at all.
pub fn told<const N: usize>(facts: [(&'static str, Option<String>); N]) -> Facts {
    let known = facts
        .into_iter()
        .filter_map(|(name, text)| Some((name.to_owned(), text?)));
    known.collect()
}

pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}
