//! Notices to render, and a messenger to render them with.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use orderhook::telegram::{TelegramSettings, messenger};
use orderhook_actors::ports::{Messenger, Rendered, WaitingNotice};
use orderhook_domain::diff::{Difference, LineChange, LineDifference};
use orderhook_domain::event::{CancelReason, Total, Window};
use orderhook_domain::ids::{OrderId, OrderNumber, ProductId, StoreId};
use orderhook_domain::money::Kopecks;
use orderhook_domain::notice::{Cancelled, Changed, NewOrder, Notice, NoticeLine};
use orderhook_domain::quantity::Quantity;

/// A messenger that needs no token. Rendering does not depend on the way of delivery.
pub(crate) fn renderer() -> Arc<dyn Messenger> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    messenger(&TelegramSettings::default(), runtime.handle().clone()).unwrap()
}

pub(crate) fn render(notices: &[WaitingNotice]) -> Vec<Rendered> {
    renderer().render(notices).collect()
}

/// The notice of order `H<id>`, number `<1000 + id>`, store 8001.
pub(crate) fn waiting(id: i64, notice: impl Into<Notice>) -> WaitingNotice {
    WaitingNotice {
        notice_id: id,
        chat_id: -100_500,
        order_id: OrderId::parse(&format!("H{id}")).unwrap(),
        number: Some(OrderNumber((1000 + id).to_string().into())),
        store_id: StoreId::parse("8001").unwrap(),
        notice: notice.into(),
        created_at: DateTime::parse_from_rfc3339("2026-11-24T09:00:00Z").unwrap().to_utc(),
        waited: Duration::ZERO,
        attempts: 0,
        maybe_sent: false,
        first_message_id: None,
    }
}

pub(crate) fn of_order(id: i64, order_id: &str, notice: impl Into<Notice>) -> WaitingNotice {
    WaitingNotice {
        order_id: OrderId::parse(order_id).unwrap(),
        ..waiting(id, notice)
    }
}

pub(crate) fn new_order() -> NewOrder {
    NewOrder {
        window: window("2026-11-24T15:00:00+03:00", "2026-11-24T16:00:00+03:00"),
        total: Total {
            price: Some(Kopecks::new(129_450)),
            discount_price: Some(Kopecks::new(123_450)),
        },
        lines: vec![
            line("4100017", Some("Молоко 3,2 % 930 мл"), "2", Some(8990)),
            line("4100018", Some("Бананы"), "0.742", Some(14_900)),
            line("0070", None, "10", None),
        ],
        line_count: 3,
        comment: Some("Бананы позеленее, домофон не работает".to_owned()),
        replacement_policy: Some("callOrRemove".to_owned()),
        shipping_method: Some("byCourier".to_owned()),
    }
}

/// Nothing but what SM must send.
pub(crate) fn bare_order() -> NewOrder {
    NewOrder {
        window: Window::default(),
        total: Total::default(),
        lines: vec![line("1", None, "1", None)],
        line_count: 1,
        comment: None,
        replacement_policy: None,
        shipping_method: None,
    }
}

pub(crate) fn line(sku: &str, name: Option<&str>, quantity: &str, price: Option<i64>) -> NoticeLine {
    NoticeLine {
        product_id: product(sku),
        name: name.map(Into::into),
        quantity: amount(quantity),
        by_weight: false,
        price: price.map(Kopecks::new),
    }
}

pub(crate) fn changed(difference: Difference) -> Notice {
    Notice::Changed(Changed::of(difference))
}

pub(crate) fn line_change(sku: &str, name: Option<&str>, change: LineChange) -> LineDifference {
    LineDifference {
        product_id: product(sku),
        name: name.map(Into::into),
        change,
    }
}

pub(crate) fn cancelled(slug: Option<&str>, description: Option<&str>) -> Notice {
    Notice::Cancelled(Cancelled {
        reason: CancelReason {
            slug: slug.map(str::to_owned),
            description: description.map(str::to_owned),
        },
    })
}

pub(crate) fn new(order: NewOrder) -> Notice {
    Notice::New(order)
}

pub(crate) fn amount(text: &str) -> Quantity {
    Quantity::parse_text(text).unwrap()
}

pub(crate) fn product(sku: &str) -> ProductId {
    ProductId::parse(sku).unwrap()
}

pub(crate) fn window(from: &str, to: &str) -> Window {
    let time = |text: &str| (!text.is_empty()).then(|| DateTime::parse_from_rfc3339(text).unwrap());
    Window {
        from: time(from),
        to: time(to),
        is_planned: None,
    }
}
