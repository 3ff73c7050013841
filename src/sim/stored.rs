//! `GET /api/orders/{order_id}`, as far as the simulator looks at it.
//!
//! Written down here once more on purpose: a reader of the service's own types would not notice when
//! the contract changes.

use std::fmt;

use serde::Deserialize;

/// One order as operations see it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StoredOrder {
    pub(super) number: Option<String>,
    pub(super) store_id: Option<String>,
    pub(super) status: String,
    pub(super) closed: bool,
    pub(super) conflict: bool,
    pub(super) paid_at: Option<String>,
    pub(super) shipped_at: Option<String>,
    pub(super) delivered_at: Option<String>,
    pub(super) cancelled_at: Option<String>,
    pub(super) positions: Vec<StoredLine>,
    pub(super) total: StoredTotal,
    pub(super) comment: Option<String>,
    pub(super) events: Vec<StoredEvent>,
}

/// One line of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct StoredLine {
    pub(super) id: String,
    pub(super) quantity: String,
    pub(super) price: Option<String>,
    pub(super) discount_price: Option<String>,
    pub(super) replaced_by: Option<String>,
}

/// Its totals.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct StoredTotal {
    pub(super) price: Option<String>,
    pub(super) discount_price: Option<String>,
}

/// One event of its history.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StoredEvent {
    pub(super) event: String,
    pub(super) outcome: String,
}

impl fmt::Display for StoredLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (price, discount) = (known(self.price.as_ref()), known(self.discount_price.as_ref()));
        write!(f, "{} × {} at {price} / {discount}", self.id, self.quantity)?;
        match &self.replaced_by {
            Some(by) => write!(f, " replaced by {by}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for StoredTotal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (price, discount) = (known(self.price.as_ref()), known(self.discount_price.as_ref()));
        write!(f, "{price} / {discount}")
    }
}

fn known(price: Option<&String>) -> &str {
    price.map_or("?", String::as_str)
}
