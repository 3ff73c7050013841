//! What SM said, after parsing: the kind of event and the content of its payload.
//!
//! Absent means "not sent" everywhere: a field that is `None` here changes nothing
//! (protocol section 2), and an empty list of lines is no list at all.

use std::fmt;

use chrono::{DateTime, FixedOffset, Utc};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::ids::{DeliveryId, OrderId, ProductId, StoreId};
use crate::moment;
use crate::money::Kopecks;
use crate::quantity::Quantity;

/// The canonical events (protocol section 2). A closed list: it is also a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// `order.created`
    Created,
    /// `order.changed`, `order.updated`
    Changed,
    /// `order.paid`
    Paid,
    /// `order.received`: the courier has the goods.
    Received,
    /// `order.delivered`
    Delivered,
    /// `order.cancelled`, `order.canceled`
    Cancelled,
    /// `order.delivering`, `courier.assigned`, `courier.arrived`, `order.assembled`
    Informational,
    /// Any other name.
    Unknown,
}

impl EventKind {
    /// Every kind, in the order of the protocol's table.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Changed,
        Self::Paid,
        Self::Received,
        Self::Delivered,
        Self::Cancelled,
        Self::Informational,
        Self::Unknown,
    ];

    /// The kind that a name of the wire stands for; any other name is [`EventKind::Unknown`].
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        match name {
            "order.created" => Self::Created,
            "order.changed" | "order.updated" => Self::Changed,
            "order.paid" => Self::Paid,
            "order.received" => Self::Received,
            "order.delivered" => Self::Delivered,
            "order.cancelled" | "order.canceled" => Self::Cancelled,
            "order.delivering" | "courier.assigned" | "courier.arrived" | "order.assembled" => Self::Informational,
            _ => Self::Unknown,
        }
    }

    /// The canonical name: in the history, in metrics and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Paid => "paid",
            Self::Received => "received",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Informational => "informational",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One accepted event of one order.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What it means.
    pub kind: EventKind,
    /// The order it is about.
    pub order_id: OrderId,
    /// SM's own time of the event, where sent. Used by the rule of late repeats only.
    pub sm_timestamp: Option<DateTime<FixedOffset>>,
    /// What the payload said. Empty for informational and unknown events, whose payload is not read.
    pub content: Content,
}

/// An event together with the circumstances of its arrival; what `apply` judges.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Names this arrival for ever.
    pub id: DeliveryId,
    /// The time of arrival at the HTTP listener, in whole microseconds as PostgreSQL keeps them.
    pub received_at: DateTime<Utc>,
    /// What arrived.
    pub event: Event,
}

/// What a payload said about the order. `None`, or no lines: not sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Content {
    /// SM's second identifier, kept for reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_uuid: Option<String>,
    /// The store; always there on created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_id: Option<StoreId>,
    /// Who ordered. Personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<KeptObject>,
    /// Where to. Personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<KeptObject>,
    /// The delivery window.
    #[serde(skip_serializing_if = "Window::is_empty")]
    pub window: Window,
    /// The full list of lines, in SM's order; empty when not sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineContent>,
    /// The totals.
    #[serde(skip_serializing_if = "Total::is_empty")]
    pub total: Total,
    /// The customer's words. An empty text means that the comment was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What to do when goods are missing (open list).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement_policy: Option<String>,
    /// How the order leaves the store (open list; `shippingMethod` or `shipmentMethod`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<String>,
    /// How it is paid (open list).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_methods: Option<Vec<String>>,
    /// Why it was cancelled.
    #[serde(skip_serializing_if = "CancelReason::is_empty")]
    pub cancel_reason: CancelReason,
}

/// An object of which SM decides the keys: kept as sent, without U+0000, unknown shapes included.
pub type KeptObject = serde_json::Map<String, serde_json::Value>;

/// When the order is to be delivered. Reversed and past windows are legal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Window {
    /// `expectedFrom`
    #[serde(
        serialize_with = "moment::serialize_optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub from: Option<DateTime<FixedOffset>>,
    /// `expectedTo`
    #[serde(
        serialize_with = "moment::serialize_optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub to: Option<DateTime<FixedOffset>>,
    /// `isPlanned`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_planned: Option<bool>,
}

impl Window {
    /// Whether nothing was said of the window.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One line as sent. Matched to the document's lines by SKU and occurrence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineContent {
    /// The partner's own SKU; the same may stand on two lines.
    pub product_id: ProductId,
    /// The amount; always there on created and changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// The amount that was first ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_quantity: Option<Quantity>,
    /// What the line costs.
    #[serde(default)]
    pub prices: LinePrices,
    /// Grams of the whole line, as sent, when numeric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_grams: Option<SmolStr>,
    /// The line that replaces this one; may point nowhere or in a circle and is never followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<ProductId>,
    /// What staff call the goods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<SmolStr>,
}

/// The four prices of a line in kopecks; `None` means unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinePrices {
    /// Of one unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Kopecks>,
    /// Of one unit, after discounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount_price: Option<Kopecks>,
    /// Of the line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_price: Option<Kopecks>,
    /// Of the line, after discounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_discount_price: Option<Kopecks>,
}

impl LinePrices {
    /// These prices with every known one of `newer` in its place.
    #[must_use]
    pub fn corrected_by(self, newer: Self) -> Self {
        Self {
            price: newer.price.or(self.price),
            discount_price: newer.discount_price.or(self.discount_price),
            total_price: newer.total_price.or(self.total_price),
            total_discount_price: newer.total_discount_price.or(self.total_discount_price),
        }
    }
}

/// The order's totals in kopecks. They need not equal the sum of the lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Total {
    /// `total.totalPrice`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Kopecks>,
    /// `total.discountTotalPrice`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount_price: Option<Kopecks>,
}

impl Total {
    /// Whether no total was sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// This total with every known figure of `newer` in its place.
    #[must_use]
    pub fn corrected_by(self, newer: Self) -> Self {
        Self {
            price: newer.price.or(self.price),
            discount_price: newer.discount_price.or(self.discount_price),
        }
    }
}

/// Why an order was cancelled; the slug is an open list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CancelReason {
    /// `cancellation.slug`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// `cancellation.description`, else `cancellationReason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl CancelReason {
    /// Whether no reason was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The best words there are: the description, else the slug.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.description.as_deref().or(self.slug.as_deref())
    }
}

/// A fingerprint of content: equal for bodies that differ in whitespace, key order or unknown keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct ContentDigest([u8; 16]);

impl ContentDigest {
    /// The first half of the SHA-256 of what `value` serialises to.
    #[must_use]
    pub fn of<T: Serialize>(value: &T) -> Self {
        // Serialising our own plain structs into memory cannot fail; a failure would have to be a
        // map with a key that is no text, and there is none. The empty input keeps this total.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        let mut half = [0; 16];
        half.copy_from_slice(&digest(&SHA256, &bytes).as_ref()[..16]);
        Self(half)
    }
}

/// 32 hexadecimal digits, the simple form of a UUID.
impl Serialize for ContentDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = Uuid::encode_buffer();
        serializer.serialize_str(Uuid::from_bytes(self.0).simple().encode_lower(&mut digits))
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(|number| Self(number.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders in the database carry digests: whatever makes them, they must stay the same.
    #[test]
    fn a_digest_is_half_of_the_sha_256_of_the_json() {
        let content = Content {
            window: Window {
                from: Some("2026-03-01T15:00:00+03:00".parse().unwrap()),
                ..Window::default()
            },
            lines: vec![LineContent {
                product_id: ProductId::parse("41").unwrap(),
                quantity: Some(Quantity::parse_text("0.7420").unwrap()),
                original_quantity: None,
                prices: LinePrices {
                    price: Some(Kopecks::new(8990)),
                    ..LinePrices::default()
                },
                weight_grams: None,
                replaced_by: None,
                name: None,
            }],
            ..Content::default()
        };
        let json = r#"{"window":{"from":"2026-03-01T15:00:00+03:00"},"lines":[{"product_id":"41","quantity":"0.742","prices":{"price":8990}}]}"#;
        assert_eq!(serde_json::to_string(&content).unwrap(), json);
        let stored = serde_json::to_string(&ContentDigest::of(&content)).unwrap();
        assert_eq!(stored, "\"202463d4ba6d79e7afe112796cffae83\"");
        assert_eq!(
            serde_json::from_str::<ContentDigest>(&stored).unwrap(),
            ContentDigest::of(&content)
        );
    }
}
