//! What a change changes: the next document and the difference as a value.
//!
//! An absent field means "not changed"; the lines, when sent, are the full new list
//! (protocol section 2). Lines are matched by SKU and, where a SKU stands on several lines, by its
//! occurrence.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, FixedOffset};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::event::{Content, KeptObject, LineContent, LinePrices, Window};
use crate::ids::ProductId;
use crate::money::Kopecks;
use crate::order::{Document, Line};
use crate::quantity::Quantity;

/// What staff must know of a change. What only accounting or the courier cares about (totals,
/// address, weights, names) is written into the document without being listed here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Difference {
    /// Lines in the order of the document; a line whose amount and price changed stands twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineDifference>,
    /// The delivery window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowDifference>,
    /// The customer's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<TextDifference>,
    /// What to do when goods are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement_policy: Option<TextDifference>,
    /// How the order leaves the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<TextDifference>,
}

impl Difference {
    /// Whether there is nothing that staff must know.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One thing that happened to one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineDifference {
    /// The SKU of the line.
    pub product_id: ProductId,
    /// What staff call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// What happened.
    pub change: LineChange,
}

/// What can happen to a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LineChange {
    /// New, or back with an amount.
    Added {
        /// How much to pick.
        quantity: Quantity,
        /// What a unit costs the customer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        price: Option<Kopecks>,
    },
    /// Not wanted any more.
    Removed {
        /// How much it was.
        quantity: Quantity,
    },
    /// Another amount.
    Quantity {
        /// Before.
        old: Quantity,
        /// Now.
        new: Quantity,
    },
    /// Another price of a unit for the customer.
    Price {
        /// Before; `None` when it was not known.
        old: Option<Kopecks>,
        /// Now.
        new: Kopecks,
    },
    /// Another line takes its place.
    Replaced {
        /// The SKU of that line.
        by: ProductId,
        /// The amount before.
        old: Quantity,
        /// The amount that is left; 0 when wholly replaced.
        new: Quantity,
    },
}

/// Another delivery window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowDifference {
    /// Before.
    pub old: Window,
    /// Now.
    pub new: Window,
}

/// Another text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextDifference {
    /// Before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// Now; `None` when it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// The document after a change, and what staff must know of it. The change made no difference at all
/// when the returned document equals the given one.
#[must_use]
pub fn changed(document: &Document, content: &Content) -> (Document, Difference) {
    let mut next = document.clone();
    keep_newer(&mut next.order_uuid, content.order_uuid.as_ref());
    merge(&mut next.customer, content.customer.as_ref());
    merge(&mut next.address, content.address.as_ref());
    keep_newer(&mut next.payment_methods, content.payment_methods.as_ref());
    keep_newer(&mut next.replacement_policy, content.replacement_policy.as_ref());
    keep_newer(&mut next.shipping_method, content.shipping_method.as_ref());
    if let Some(comment) = &content.comment {
        next.comment = Some(comment.clone()).filter(|text| !text.is_empty());
    }
    next.window = Window {
        from: content.window.from.or(document.window.from),
        to: content.window.to.or(document.window.to),
        is_planned: content.window.is_planned.or(document.window.is_planned),
    };
    next.total = document.total.corrected_by(content.total);
    let lines = if content.lines.is_empty() {
        Vec::new()
    } else {
        change_lines(&document.lines, &mut next.lines, &content.lines)
    };

    // Staff read minutes; a window that moved by seconds is no news to them.
    let minute = |time: DateTime<FixedOffset>| time.timestamp().div_euclid(60);
    let times = |window: &Window| (window.from.map(minute), window.to.map(minute));
    let difference = Difference {
        lines,
        window: (times(&next.window) != times(&document.window)).then_some(WindowDifference {
            old: document.window,
            new: next.window,
        }),
        comment: text_difference(document.comment.as_ref(), next.comment.as_ref()),
        replacement_policy: text_difference(document.replacement_policy.as_ref(), next.replacement_policy.as_ref()),
        shipping_method: text_difference(document.shipping_method.as_ref(), next.shipping_method.as_ref()),
    };
    (next, difference)
}

/// Gives the document the prices and totals of a paid; amounts stay (protocol section 2). A paid line that the
/// document does not have is left out. A document that has all of them already stays the shared one.
pub(crate) fn correct_prices(document: &mut Arc<Document>, content: &Content) {
    let mut lines = LineIndex::of(&document.lines);
    let corrected: Vec<(usize, LinePrices)> = content
        .lines
        .iter()
        .filter_map(|sent| Some((lines.next_occurrence(&sent.product_id)?, sent.prices)))
        .map(|(index, newer)| (index, document.lines[index].prices.corrected_by(newer)))
        .filter(|(index, prices)| document.lines[*index].prices != *prices)
        .collect();
    let total = document.total.corrected_by(content.total);
    if corrected.is_empty() && document.total == total {
        return;
    }
    let next = Arc::make_mut(document);
    for (index, prices) in corrected {
        next.lines[index].prices = prices;
    }
    next.total = total;
}

fn keep_newer<T: Clone>(kept: &mut Option<T>, sent: Option<&T>) {
    if let Some(sent) = sent {
        *kept = Some(sent.clone());
    }
}

/// Takes the keys that were sent; an absent or null one is no news.
fn merge(kept: &mut Option<KeptObject>, sent: Option<&KeptObject>) {
    let news = sent.into_iter().flatten().filter(|(_, value)| !value.is_null());
    for (key, value) in news {
        kept.get_or_insert_default().insert(key.clone(), value.clone());
    }
}

fn text_difference(old: Option<&String>, new: Option<&String>) -> Option<TextDifference> {
    (old != new).then(|| TextDifference {
        old: old.cloned(),
        new: new.cloned(),
    })
}

/// Finds the first, second, … line of a SKU.
struct LineIndex<'a> {
    /// The next line of each SKU that has not been asked for yet; `None` after the last.
    next: HashMap<&'a ProductId, Option<usize>>,
    /// The line of the same SKU that follows each line.
    following: Vec<Option<usize>>,
}

impl<'a> LineIndex<'a> {
    fn of(lines: &'a [Line]) -> Self {
        let mut next = HashMap::with_capacity(lines.len());
        let mut following = vec![None; lines.len()];
        for (index, line) in lines.iter().enumerate().rev() {
            following[index] = next.insert(&line.product_id, Some(index)).flatten();
        }
        Self { next, following }
    }

    /// The next line of this SKU that has not been asked for yet.
    fn next_occurrence(&mut self, product_id: &ProductId) -> Option<usize> {
        let next = self.next.get_mut(product_id)?;
        let found = (*next)?;
        *next = self.following[found];
        Some(found)
    }
}

/// Makes `lines`, which are those of `before`, what the full list `sent` says, and returns what staff must know
/// of that.
fn change_lines(before: &[Line], lines: &mut Vec<Line>, sent: &[LineContent]) -> Vec<LineDifference> {
    let mut known = LineIndex::of(before);
    let mut is_sent = vec![false; before.len()];
    for sent in sent {
        if let Some(index) = known.next_occurrence(&sent.product_id) {
            is_sent[index] = true;
            change_line(&mut lines[index], sent);
        } else {
            let line = u32::try_from(lines.len()).unwrap_or(u32::MAX).saturating_add(1);
            lines.push(Line::of(line, sent));
        }
    }
    for (index, _) in is_sent.iter().enumerate().filter(|(_, sent)| !**sent) {
        lines[index].quantity = Quantity::ZERO;
    }
    lines
        .iter()
        .enumerate()
        .flat_map(|(index, line)| line_differences(before.get(index), line))
        .collect()
}

/// A known line takes what was sent of it; an unknown price, weight or name is no news.
fn change_line(line: &mut Line, sent: &LineContent) {
    line.quantity = sent.quantity.unwrap_or(line.quantity);
    line.original_quantity = sent.original_quantity.or(line.original_quantity);
    line.prices = line.prices.corrected_by(sent.prices);
    keep_newer(&mut line.weight_grams, sent.weight_grams.as_ref());
    keep_newer(&mut line.name, sent.name.as_ref());
    // Absent and empty both mean "none" here (protocol section 4).
    line.replaced_by.clone_from(&sent.replaced_by);
}

/// What a unit of the line costs the customer, as far as it is known.
#[must_use]
pub fn unit_price(line: &Line) -> Option<Kopecks> {
    line.prices.discount_price.or(line.prices.price)
}

fn line_differences(old: Option<&Line>, new: &Line) -> Vec<LineDifference> {
    let old_quantity = old.map_or(Quantity::ZERO, |line| line.quantity);
    let mut changes = Vec::new();
    let newly_replaced = new
        .replaced_by
        .as_ref()
        .filter(|by| old.and_then(|line| line.replaced_by.as_ref()) != Some(by));
    if let (Some(by), false) = (newly_replaced, old_quantity.is_zero()) {
        changes.push(LineChange::Replaced {
            by: by.clone(),
            old: old_quantity,
            new: new.quantity,
        });
    } else if old_quantity.is_zero() && !new.quantity.is_zero() {
        changes.push(LineChange::Added {
            quantity: new.quantity,
            price: unit_price(new),
        });
    } else if !old_quantity.is_zero() && new.quantity.is_zero() {
        changes.push(LineChange::Removed { quantity: old_quantity });
    } else if old_quantity != new.quantity {
        changes.push(LineChange::Quantity {
            old: old_quantity,
            new: new.quantity,
        });
    }
    let stays = !old_quantity.is_zero() && !new.quantity.is_zero();
    let old_price = old.and_then(unit_price);
    if let Some(price) = unit_price(new).filter(|price| stays && Some(*price) != old_price) {
        changes.push(LineChange::Price {
            old: old_price,
            new: price,
        });
    }
    changes
        .into_iter()
        .map(|change| LineDifference {
            product_id: new.product_id.clone(),
            name: new.name.clone(),
            change,
        })
        .collect()
}
