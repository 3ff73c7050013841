//! The values that the templates show. Outside text is already one harmless line here; askama
//! escapes it on the way out.

use askama::Template;
use orderhook_domain::order::Status;

use super::words::{Amount, Late, Plural, WindowWords};

/// What every text names the order by.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// The partner's number.
    pub(super) number: Option<String>,
    /// SM's `originalOrderId`.
    pub(super) sm_id: String,
    pub(super) store: String,
    /// When it happened, if that is some minutes ago.
    pub(super) late: Option<Late>,
    /// An earlier leader may have told this already.
    pub(super) maybe_sent: bool,
}

/// What a line is about.
pub(super) struct Goods {
    pub(super) sku: String,
    pub(super) name: Option<String>,
}

#[derive(Template)]
#[template(path = "telegram/templates/new_head.html")]
pub(super) struct NewHead<'a> {
    pub(super) order: &'a Order,
    pub(super) window: Option<WindowWords>,
    pub(super) method: Option<String>,
    /// What the customer pays.
    pub(super) sum: Option<String>,
    /// What it were without discounts, if that differs.
    pub(super) full_sum: Option<String>,
    /// Of all lines, those not shown included.
    pub(super) count: usize,
}

#[derive(Template)]
#[template(path = "telegram/templates/order_now.html")]
pub(super) struct OrderNow<'a> {
    pub(super) order: &'a Order,
    pub(super) status: Status,
    /// Something contradicts something else.
    pub(super) conflict: bool,
}

#[derive(Template)]
#[template(path = "telegram/templates/new_line.html")]
pub(super) struct NewLine {
    /// From 1.
    pub(super) index: usize,
    pub(super) goods: Goods,
    pub(super) amount: Amount,
    /// Of one piece or kilogram.
    pub(super) price: Option<String>,
}

#[derive(Template)]
#[template(path = "telegram/templates/new_more.html")]
pub(super) struct NewMore {
    /// Of lines that are not shown.
    pub(super) count: usize,
}

#[derive(Template)]
#[template(path = "telegram/templates/new_foot.html")]
pub(super) struct NewFoot {
    pub(super) policy: Option<String>,
    pub(super) comment: Option<String>,
}

#[derive(Template)]
#[template(path = "telegram/templates/changed_head.html")]
pub(super) struct ChangedHead<'a> {
    pub(super) order: &'a Order,
}

#[derive(Template)]
#[template(path = "telegram/templates/changed_line.html")]
pub(super) struct ChangedLine {
    pub(super) goods: Goods,
    pub(super) change: LineWords,
}

/// What happened to a line.
pub(super) enum LineWords {
    Added {
        quantity: Amount,
        price: Option<String>,
    },
    Removed {
        quantity: Amount,
    },
    Quantity {
        old: Amount,
        new: Amount,
    },
    Price {
        old: Option<String>,
        new: String,
    },
    /// Other goods take the place of all of it.
    Replaced {
        old: Amount,
        by: Instead,
    },
    /// Other goods take the place of a part of it.
    PartlyReplaced {
        replaced: Amount,
        old: Amount,
        by: Instead,
    },
    /// Other goods shall take its place, of which nothing was taken off yet.
    ToReplace {
        old: Amount,
        by: Instead,
    },
}

/// What takes the place of something.
pub(super) struct Instead {
    pub(super) goods: Goods,
    /// How much of it, and at which price, when that is told here.
    pub(super) amount: Option<(Amount, Option<String>)>,
    /// It is told in a line of its own.
    pub(super) has_line: bool,
}

#[derive(Template)]
#[template(path = "telegram/templates/changed_more.html")]
pub(super) struct ChangedMore {
    /// Of line changes that are not shown.
    pub(super) count: usize,
}

/// Every pair is old and new.
#[derive(Template)]
#[template(path = "telegram/templates/changed_foot.html")]
pub(super) struct ChangedFoot {
    pub(super) window: Option<(Option<WindowWords>, Option<WindowWords>)>,
    pub(super) method: Option<(Option<String>, Option<String>)>,
    pub(super) policy: Option<(Option<String>, Option<String>)>,
    pub(super) comment: Option<(Option<String>, Option<String>)>,
}

#[derive(Template)]
#[template(path = "telegram/templates/cancelled.html")]
pub(super) struct CancelledText<'a> {
    pub(super) order: &'a Order,
    pub(super) slug: Option<String>,
    pub(super) description: Option<String>,
}

/// An order whose announcement and cancellation both still wait.
#[derive(Template)]
#[template(path = "telegram/templates/came_and_went.html")]
pub(super) struct CameAndWent<'a> {
    pub(super) order: &'a Order,
    pub(super) slug: Option<String>,
    pub(super) description: Option<String>,
}

/// The first line of a message that goes on with an order.
#[derive(Template)]
#[template(path = "telegram/templates/continued.html")]
pub(super) struct Continued<'a> {
    pub(super) order: &'a Order,
}
