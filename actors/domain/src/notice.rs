//! The facts that staff are told. No formatting and no Telegram here: the service renders them.
//!
//! A notice keeps what was true when it was committed, so that a text that waits does not tell a
//! change twice. It holds no name, phone or address.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::diff::{Difference, unit_price};
use crate::event::{CancelReason, Total, Window};
use crate::ids::ProductId;
use crate::money::Kopecks;
use crate::order::Document;
use crate::quantity::Quantity;

/// The most lines that a notice carries; a text shows fewer. The rest is counted.
pub const MAX_NOTICE_LINES: usize = 100;

/// One thing that staff are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// An order is to be picked.
    New(NewOrder),
    /// A known order changed.
    Changed(Changed),
    /// A known order is not wanted any more.
    Cancelled(Cancelled),
}

/// What a notice is about; the `kind` of the `notices` table and of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// See [`Notice::New`].
    New,
    /// See [`Notice::Changed`].
    Changed,
    /// See [`Notice::Cancelled`].
    Cancelled,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::New, Self::Changed, Self::Cancelled];

    /// The word in the database, the API and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Changed => "changed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Notice {
    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> NoticeKind {
        match self {
            Self::New(_) => NoticeKind::New,
            Self::Changed(_) => NoticeKind::Changed,
            Self::Cancelled(_) => NoticeKind::Cancelled,
        }
    }
}

/// A new order, as the document was when it was announced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewOrder {
    /// The delivery window.
    #[serde(default, skip_serializing_if = "Window::is_empty")]
    pub window: Window,
    /// The totals.
    #[serde(default, skip_serializing_if = "Total::is_empty")]
    pub total: Total,
    /// What is to be picked, at most [`MAX_NOTICE_LINES`].
    pub lines: Vec<NoticeLine>,
    /// How many lines there are to pick, those left out included.
    pub line_count: usize,
    /// The customer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What to do when goods are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement_policy: Option<String>,
    /// How the order leaves the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<String>,
}

impl NewOrder {
    /// The facts of a document as it is now. Removed lines are nothing to pick and left out.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        let to_pick = || document.lines.iter().filter(|line| !line.quantity.is_zero());
        Self {
            window: document.window,
            total: document.total,
            lines: to_pick()
                .take(MAX_NOTICE_LINES)
                .map(|line| NoticeLine {
                    product_id: line.product_id.clone(),
                    name: line.name.clone(),
                    quantity: line.quantity,
                    by_weight: line.original_quantity.is_some_and(Quantity::is_fractional),
                    price: unit_price(line),
                })
                .collect(),
            line_count: to_pick().count(),
            comment: document.comment.clone(),
            replacement_policy: document.replacement_policy.clone(),
            shipping_method: document.shipping_method.clone(),
        }
    }
}

/// One line to pick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeLine {
    /// The SKU.
    pub product_id: ProductId,
    /// What staff call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
    /// How much.
    pub quantity: Quantity,
    /// It is sold by weight although the quantity happens to be whole: another amount of it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_weight: bool,
    /// What a unit costs the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Kopecks>,
}

/// What changed, at most [`MAX_NOTICE_LINES`] lines of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// What changed.
    pub difference: Difference,
    /// How many line changes there are, those left out included.
    pub line_change_count: usize,
}

impl Changed {
    /// The facts of a change.
    #[must_use]
    pub fn of(mut difference: Difference) -> Self {
        let line_change_count = difference.lines.len();
        difference.lines.truncate(MAX_NOTICE_LINES);
        Self {
            difference,
            line_change_count,
        }
    }
}

/// Why an order is not wanted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// As SM gave it.
    #[serde(default, skip_serializing_if = "CancelReason::is_empty")]
    pub reason: CancelReason,
}
