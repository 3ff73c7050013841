//! Events by plain constructors, as short as a table of cases wants them.

use chrono::{DateTime, Duration, FixedOffset, TimeZone as _, Utc};
use orderhook_domain::apply::Rules;
use orderhook_domain::event::{CancelReason, Content, Delivery, Event, EventKind, LineContent, LinePrices, Total};
use orderhook_domain::ids::{DeliveryId, OrderId, ProductId, StoreId};
use orderhook_domain::money::Kopecks;
use orderhook_domain::quantity::Quantity;
use uuid::Uuid;

pub const RULES: Rules = Rules {
    assembly_time: Duration::minutes(40),
};

pub fn order_id() -> OrderId {
    OrderId::parse("H1234567890").unwrap()
}

/// A time of arrival: seconds after noon.
pub fn at(second: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap() + Duration::seconds(second)
}

/// SM's own time: seconds after noon as well, told in Moscow.
pub fn stamp(second: i64) -> DateTime<FixedOffset> {
    at(second).with_timezone(&FixedOffset::east_opt(3 * 3600).unwrap())
}

pub fn sku(text: &str) -> ProductId {
    ProductId::parse(text).unwrap()
}

pub fn quantity(text: &str) -> Quantity {
    Quantity::parse_text(text).unwrap()
}

pub fn roubles(text: &str) -> Kopecks {
    Kopecks::parse_roubles(text).unwrap()
}

pub fn delivery_id(number: usize) -> DeliveryId {
    DeliveryId(Uuid::from_u128(number as u128))
}

pub fn delivery(number: usize, second: i64, event: Event) -> Delivery {
    Delivery {
        id: delivery_id(number),
        received_at: at(second),
        event,
    }
}

pub fn event(kind: EventKind, content: Content) -> Event {
    Event {
        kind,
        order_id: order_id(),
        sm_timestamp: None,
        content,
    }
}

/// An event that carries nothing but the order's id.
pub fn bare(kind: EventKind) -> Event {
    event(kind, Content::default())
}

pub fn created(lines: &[&str]) -> Event {
    let content = Content {
        store_id: Some(StoreId::parse("77").unwrap()),
        ..list(lines)
    };
    event(EventKind::Created, content)
}

pub fn changed(content: Content) -> Event {
    event(EventKind::Changed, content)
}

pub fn stamped(event: Event, second: i64) -> Event {
    Event {
        sm_timestamp: Some(stamp(second)),
        ..event
    }
}

pub fn paid(total: &str) -> Event {
    let content = Content {
        total: Total {
            price: Some(roubles(total)),
            discount_price: None,
        },
        ..Content::default()
    };
    event(EventKind::Paid, content)
}

pub fn cancelled(description: &str) -> Event {
    let content = Content {
        cancel_reason: CancelReason {
            slug: None,
            description: Some(description.to_owned()),
        },
        ..Content::default()
    };
    event(EventKind::Cancelled, content)
}

/// Lines as a payload lists them; see [`line`].
pub fn list(lines: &[&str]) -> Content {
    Content {
        lines: lines.iter().map(|text| line(text)).collect(),
        ..Content::default()
    }
}

/// `SKU quantity [@price] [>SKU that replaces it]`, for example `milk 2 @89.90 >kefir`.
pub fn line(text: &str) -> LineContent {
    let mut words = text.split(' ');
    let mut line = LineContent {
        product_id: sku(words.next().unwrap()),
        quantity: Some(quantity(words.next().unwrap())),
        original_quantity: None,
        prices: LinePrices::default(),
        weight_grams: None,
        replaced_by: None,
        name: None,
    };
    for word in words {
        match word.split_at(1) {
            ("@", price) => line.prices.price = Some(roubles(price)),
            (">", by) => line.replaced_by = Some(sku(by)),
            _ => unreachable!("{text}"),
        }
    }
    line
}
