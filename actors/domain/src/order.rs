//! The order: its document, its marks, and what the rules must remember of the past.
//!
//! Fields are readable by everybody; only [`apply`](crate::apply::apply) makes a next state.

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::event::{
    CancelReason, Content, ContentDigest, EventKind, KeptObject, LineContent, LinePrices, Total, Window,
};
use crate::ids::{DeliveryId, OrderId, OrderNumber, ProductId, StoreId};
use crate::moment;
use crate::quantity::Quantity;

/// One order as one row keeps it.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// SM's id of the order.
    pub id: OrderId,
    /// How many judged events the row has committed; 0 when there is no row yet.
    pub version: i64,
    /// The partner's number; the database gives it when it stores the document.
    pub number: Option<OrderNumber>,
    /// What is to be picked, by whom it was ordered; `None` while only later events are known. Shared with the
    /// state before, so that an event that only sets a mark copies none of it.
    pub document: Option<Arc<Document>>,
    /// What has happened to it.
    pub marks: Marks,
    /// Something contradicts something else (protocol section 5, rule 6). Never cleared.
    pub conflict: bool,
    /// What the rules of repeats and disorder must remember.
    pub memory: Memory,
}

/// How an order is shown; derived from document and marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Only later events are known; created has not come.
    Announced,
    /// Waits to be picked.
    New,
    /// Paid, and with that closed to changes.
    Paid,
    /// The goods have left the store.
    Shipped,
    /// The customer has the goods.
    Delivered,
    /// Cancelled.
    Cancelled,
}

impl Status {
    /// The word that the API and the database show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::New => "new",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Order {
    /// An order of which nothing is known yet.
    #[must_use]
    pub fn unknown(id: OrderId) -> Self {
        Self {
            id,
            version: 0,
            number: None,
            document: None,
            marks: Marks::default(),
            conflict: false,
            memory: Memory::default(),
        }
    }

    /// Whether changes are no longer applied.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.marks.any()
    }

    /// Shown status: delivered, else cancelled, else shipped, else paid, else new
    /// (protocol section 5, rule 6); announced while there is no document.
    #[must_use]
    pub fn status(&self) -> Status {
        let marks = &self.marks;
        if self.document.is_none() {
            Status::Announced
        } else if marks.delivered_at.is_some() {
            Status::Delivered
        } else if marks.cancelled_at.is_some() {
            Status::Cancelled
        } else if marks.shipped_at.is_some() {
            Status::Shipped
        } else if marks.paid_at.is_some() {
            Status::Paid
        } else {
            Status::New
        }
    }

    /// Whether nothing more is expected for this order: its actor may retire at once.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.document.is_some() && (self.marks.delivered_at.is_some() || self.marks.cancelled_at.is_some())
    }
}

/// The marks: each is set once, with the arrival time of the event that set it, and never cleared.
/// Any of them closes the order to changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// `order.paid`
    pub paid_at: Option<DateTime<Utc>>,
    /// `order.received` or `order.delivered`, whichever came first.
    pub shipped_at: Option<DateTime<Utc>>,
    /// `order.delivered`
    pub delivered_at: Option<DateTime<Utc>>,
    /// `order.cancelled`
    pub cancelled_at: Option<DateTime<Utc>>,
}

impl Marks {
    /// Whether any mark is set.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.paid_at.is_some()
            || self.shipped_at.is_some()
            || self.delivered_at.is_some()
            || self.cancelled_at.is_some()
    }

    /// Cancelled, yet the goods left the store: a contradiction whatever came first.
    #[must_use]
    pub const fn contradict(&self) -> bool {
        self.cancelled_at.is_some() && (self.shipped_at.is_some() || self.delivered_at.is_some())
    }
}

/// What was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The store that picks the order; given by created, never changed.
    pub store_id: StoreId,
    /// The arrival of created.
    #[serde(serialize_with = "moment::serialize")]
    pub created_at: DateTime<Utc>,
    /// When the store will have picked the order; told to SM, the same in every repeat.
    #[serde(serialize_with = "moment::serialize")]
    pub assembly_due_at: DateTime<Utc>,
    /// SM's second identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_uuid: Option<String>,
    /// Who ordered. Personal data. Stored in a column of its own, not with the rest.
    #[serde(skip)]
    pub customer: Option<KeptObject>,
    /// Where to. Personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<KeptObject>,
    /// The delivery window.
    #[serde(default, skip_serializing_if = "Window::is_empty")]
    pub window: Window,
    /// Every line that was ever ordered; a removed one stays with the amount 0.
    pub lines: Vec<Line>,
    /// Totals as SM gave them.
    #[serde(default, skip_serializing_if = "Total::is_empty")]
    pub total: Total,
    /// The customer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What to do when goods are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replacement_policy: Option<String>,
    /// How the order leaves the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<String>,
    /// How it is paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_methods: Option<Vec<String>>,
    /// Why it was cancelled, as the first cancelled said.
    #[serde(default, skip_serializing_if = "CancelReason::is_empty")]
    pub cancel_reason: CancelReason,
}

impl Document {
    /// The document that a created makes.
    #[must_use]
    pub fn from_created(store_id: StoreId, content: &Content, received_at: DateTime<Utc>, assembly: Duration) -> Self {
        Self {
            store_id,
            created_at: received_at,
            assembly_due_at: received_at + assembly,
            order_uuid: content.order_uuid.clone(),
            customer: content.customer.clone(),
            address: content.address.clone(),
            window: content.window,
            lines: (1_u32..)
                .zip(&content.lines)
                .map(|(line, sent)| Line::of(line, sent))
                .collect(),
            total: content.total,
            comment: content.comment.clone().filter(|comment| !comment.is_empty()),
            replacement_policy: content.replacement_policy.clone(),
            shipping_method: content.shipping_method.clone(),
            payment_methods: content.payment_methods.clone(),
            cancel_reason: CancelReason::default(),
        }
    }

    /// What is to be picked, as a fingerprint: amounts by SKU and occurrence, without the removed
    /// lines, whatever the order of the lines. Prices and texts are no part of it.
    #[must_use]
    pub fn composition(&self) -> ContentDigest {
        ContentDigest::of(&self.picked())
    }

    /// What [`Document::composition`] is the fingerprint of.
    pub(crate) fn picked(&self) -> Vec<(&str, Quantity)> {
        let mut picked: Vec<(&str, Quantity)> = self
            .lines
            .iter()
            .filter(|line| !line.quantity.is_zero())
            .map(|line| (line.product_id.as_str(), line.quantity))
            .collect();
        // A stable sort by SKU alone keeps the occurrences of one SKU in their order.
        picked.sort_by_key(|(product_id, _)| *product_id);
        picked
    }
}

/// One line of the document. Its number never changes: stock movements refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// 1, 2, 3 … in the order of first appearance.
    pub line: u32,
    /// The partner's own SKU.
    pub product_id: ProductId,
    /// The amount now; 0 when the line was removed.
    pub quantity: Quantity,
    /// The amount that was first ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_quantity: Option<Quantity>,
    /// What the line costs.
    #[serde(default)]
    pub prices: LinePrices,
    /// Grams of the whole line, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_grams: Option<SmolStr>,
    /// The SKU that replaces this line; never followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<ProductId>,
    /// What staff call the goods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
}

impl Line {
    /// A line as it first appears.
    pub(crate) fn of(line: u32, sent: &LineContent) -> Self {
        Self {
            line,
            product_id: sent.product_id.clone(),
            quantity: sent.quantity.unwrap_or(Quantity::ZERO),
            original_quantity: sent.original_quantity.or(sent.quantity),
            prices: sent.prices,
            weight_grams: sent.weight_grams.clone(),
            replaced_by: sent.replaced_by.clone(),
            name: sent.name.clone(),
        }
    }
}

/// What judging a later event needs to know of the earlier ones (protocol section 5).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The composition and store of the first created: a repeat that differs is a conflict (rule 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_as: Option<ContentDigest>,
    /// The totals of the first paid: a second paid with others is a conflict (rule 6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_total: Option<Total>,
    /// The newest of the timestamps that applied changes carried (rule 5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change_timestamp: Option<DateTime<Utc>>,
    /// How many changes were applied that really changed the document (rule 5).
    #[serde(skip_serializing_if = "is_zero")]
    pub changes_applied: u32,
    /// Changes that were judged, oldest first; at most [`MAX_JUDGED_CHANGES`] (rule 5).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub judged_changes: Vec<JudgedChange>,
    /// Compositions that the order once had and has no longer, at most [`MAX_JUDGED_CHANGES`]
    /// (rule 5: bringing one back is noted).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub past_compositions: Vec<ContentDigest>,
    /// Events that wait for created, by commit; at most [`MAX_PARKED`] (rule 4).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<ParkedEvent>,
}

/// The bound of the judged changes that are remembered. SM repeats within minutes; by then an older
/// change than this many is out of its reach.
pub const MAX_JUDGED_CHANGES: usize = 256;

/// The bound of the events that wait for a created. More than this is no order but a fault.
pub const MAX_PARKED: usize = 64;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Memory {
    /// Remembers a judged change and forgets the oldest beyond the bound.
    pub(crate) fn remember_change(&mut self, change: JudgedChange) {
        if self.judged_changes.len() == MAX_JUDGED_CHANGES {
            self.judged_changes.remove(0);
        }
        self.judged_changes.push(change);
    }

    /// Remembers a composition that a change replaced and forgets the oldest beyond the bound.
    pub(crate) fn remember_composition(&mut self, composition: ContentDigest) {
        if self.past_compositions.contains(&composition) {
            return;
        }
        if self.past_compositions.len() == MAX_JUDGED_CHANGES {
            self.past_compositions.remove(0);
        }
        self.past_compositions.push(composition);
    }
}

/// A change that was judged on its way to the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedChange {
    /// The arrival, to ask whether its answer was given.
    pub delivery_id: DeliveryId,
    /// What it said.
    pub digest: ContentDigest,
    /// SM's time of it, where sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<DateTime<Utc>>,
    /// [`Memory::changes_applied`] right after it was judged.
    pub after: u32,
}

/// An event that came before created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// Its arrival.
    pub delivery_id: DeliveryId,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// What it is: changed, paid, received, delivered or cancelled.
    pub kind: EventKind,
    /// SM's time of it, where sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<DateTime<Utc>>,
    /// What it said.
    #[serde(default)]
    pub content: Content,
}
