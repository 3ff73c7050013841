//! A batch of commits as the rows that `commit_batch.sql` takes.

mod statement;

use chrono::{DateTime, Utc};
use orderhook_actors::ports::{Arrival, Commit};
use orderhook_domain::event::{EventKind, KeptObject};
use orderhook_domain::ids::OrderId;
use orderhook_domain::notice::Notice;
use orderhook_domain::order::{Document, Memory, Order};
use orderhook_domain::protocol::FieldError;
use rust_decimal::Decimal;
use serde::Serialize;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use self::statement::{Column, Parts};
use crate::db::stored_json::StoredJson;

/// The word for an event whose body could not be read far enough to know it.
pub(crate) const UNREADABLE: &str = "unreadable";

type Time = Option<DateTime<Utc>>;

/// A row as a composite type of the database, which batches are sent as, and as single values.
macro_rules! row {
    ($(#[$meta:meta])* struct $name:ident { $($column:ident: $type:ty => $database_type:literal,)* }) => {
        $(#[$meta])*
        struct $name<'a> {
            $($column: $type,)*
        }

        impl $name<'_> {
            /// Its columns in their order, each with its type in the database.
            const COLUMNS: &'static [Column] = &[$((stringify!($column), $database_type),)*];

            /// What stands in the columns.
            fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
                vec![$(&self.$column,)*]
            }
        }
    };
}

row! {
    /// An arrival as the type `group_commit_event`.
    #[derive(Debug, ToSql)]
    #[postgres(name = "group_commit_event")]
    struct ArrivalRow {
        delivery_id: Uuid => "uuid",
        order_id: Option<&'a str> => "text",
        order_version: Option<i64> => "int8",
        event: &'a str => "text",
        event_type: Option<&'a str> => "text",
        received_at: DateTime<Utc> => "timestamptz",
        sm_timestamp: Time => "timestamptz",
        outcome: &'a str => "text",
        notes: Option<Vec<&'a str>> => "text[]",
        errors: Option<Json<Vec<KeptError<'a>>>> => "jsonb",
        request_id: Option<&'a str> => "text",
        replay_of: Option<Uuid> => "uuid",
        replayed_by: Option<&'a str> => "text",
        body: &'a [u8] => "bytea",
        notice: Option<StoredJson<&'a Notice>> => "text",
    }
}

/// Why a body was rejected, as the journal keeps it.
#[derive(Debug, Serialize)]
struct KeptError<'a> {
    field: &'a str,
    message: &'a str,
}

impl<'a> ArrivalRow<'a> {
    fn new(commit: &'a Commit) -> Self {
        let arrival: &Arrival = &commit.arrival;
        Self {
            delivery_id: arrival.delivery_id.0,
            order_id: arrival.order_id.as_ref().map(OrderId::as_str),
            order_version: commit.order.as_ref().map(|order| order.version),
            event: arrival.kind.map_or(UNREADABLE, EventKind::as_str),
            event_type: arrival.event_type.as_deref(),
            received_at: arrival.received_at,
            sm_timestamp: arrival.sm_timestamp,
            outcome: commit.outcome.as_str(),
            notes: (!commit.notes.is_empty()).then(|| commit.notes.iter().map(|note| note.as_str()).collect()),
            errors: (!commit.errors.is_empty()).then(|| Json(commit.errors.iter().map(KeptError::new).collect())),
            request_id: arrival.request_id.as_deref(),
            replay_of: arrival.replay.as_ref().map(|replay| replay.of.0),
            replayed_by: arrival.replay.as_ref().map(|replay| replay.by.as_str()),
            body: &arrival.body,
            notice: commit.notice.as_ref().map(StoredJson),
        }
    }
}

impl<'a> KeptError<'a> {
    fn new(error: &'a FieldError) -> Self {
        Self {
            field: &error.field,
            message: &error.message,
        }
    }
}

row! {
    /// An order's next row as the type `group_commit_order`.
    #[derive(Debug, ToSql)]
    #[postgres(name = "group_commit_order")]
    struct OrderRow {
        order_id: &'a str => "text",
        version: i64 => "int8",
        wants_number: bool => "bool",
        store_id: Option<&'a str> => "text",
        status: &'a str => "text",
        closed: bool => "bool",
        conflict: bool => "bool",
        created_at: Time => "timestamptz",
        paid_at: Time => "timestamptz",
        shipped_at: Time => "timestamptz",
        delivered_at: Time => "timestamptz",
        cancelled_at: Time => "timestamptz",
        cancel_reason: Option<&'a str> => "text",
        delivery_from: Time => "timestamptz",
        delivery_to: Time => "timestamptz",
        total_price: Option<i64> => "int8",
        total_discount_price: Option<i64> => "int8",
        comment: Option<&'a str> => "text",
        customer: Option<Json<&'a KeptObject>> => "jsonb",
        document: Option<StoredJson<&'a Document>> => "text",
        memory: StoredJson<&'a Memory> => "text",
    }
}

impl<'a> OrderRow<'a> {
    fn new(order: &'a Order, keeps_document: bool) -> Self {
        let document = order.document.as_deref();
        let written = document.filter(|_| !keeps_document);
        let window = document.map(|document| &document.window);
        let total = document.map(|document| &document.total);
        Self {
            order_id: order.id.as_str(),
            version: order.version,
            wants_number: document.is_some() && order.number.is_none(),
            store_id: document.map(|document| document.store_id.as_str()),
            status: order.status().as_str(),
            // An announced order has no document yet, and its marks are not set (protocol section 5, rule 4).
            closed: order.closed(),
            conflict: order.conflict,
            created_at: document.map(|document| document.created_at),
            paid_at: order.marks.paid_at,
            shipped_at: order.marks.shipped_at,
            delivered_at: order.marks.delivered_at,
            cancelled_at: order.marks.cancelled_at,
            cancel_reason: document.and_then(|document| document.cancel_reason.text()),
            delivery_from: window.and_then(|window| window.from).map(|time| time.to_utc()),
            delivery_to: window.and_then(|window| window.to).map(|time| time.to_utc()),
            total_price: total.and_then(|total| total.price).map(|price| price.get()),
            total_discount_price: total.and_then(|total| total.discount_price).map(|price| price.get()),
            comment: document.and_then(|document| document.comment.as_deref()),
            customer: written.and_then(|document| document.customer.as_ref()).map(Json),
            document: written.map(StoredJson),
            memory: StoredJson(&order.memory),
        }
    }
}

/// Goods that leave a store as the type `group_commit_stock`.
#[derive(Debug, ToSql)]
#[postgres(name = "group_commit_stock")]
struct StockRow<'a> {
    order_id: &'a str,
    line: i32,
    store_id: &'a str,
    product_id: &'a str,
    quantity: Decimal,
    moved_at: DateTime<Utc>,
}

/// What staff are told as the type `group_commit_notice`; the statement finds the chats.
#[derive(Debug, ToSql)]
#[postgres(name = "group_commit_notice")]
struct NoticeRow<'a> {
    delivery_id: Uuid,
    order_id: &'a str,
    store_id: &'a str,
    kind: &'a str,
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub(crate) struct BatchRows<'a> {
    arrivals: Vec<ArrivalRow<'a>>,
    new_orders: Vec<OrderRow<'a>>,
    known_orders: Vec<OrderRow<'a>>,
    stock: Vec<StockRow<'a>>,
    notices: Vec<NoticeRow<'a>>,
    /// The stores of which staff are told something, each once.
    told_stores: Vec<&'a str>,
}

impl<'a> BatchRows<'a> {
    /// No rows, and room for those of so many commits, most of which are about known orders.
    pub(crate) fn with_capacity(commits: usize) -> Self {
        Self {
            arrivals: Vec::with_capacity(commits),
            known_orders: Vec::with_capacity(commits),
            ..Self::default()
        }
    }

    /// Appends one commit. They come sorted by order id, and at most one of each order.
    pub(crate) fn push(&mut self, commit: &'a Commit) {
        self.arrivals.push(ArrivalRow::new(commit));
        let Some(order) = &commit.order else { return };
        let orders = match order.version {
            1 => &mut self.new_orders,
            _ => &mut self.known_orders,
        };
        orders.push(OrderRow::new(order, commit.keeps_document));
        self.stock.extend(commit.stock.iter().map(|movement| StockRow {
            order_id: order.id.as_str(),
            // A body of 256 KiB cannot hold so many lines that their numbers would not fit.
            line: i32::try_from(movement.line).unwrap_or(i32::MAX),
            store_id: movement.store_id.as_str(),
            product_id: movement.product_id.as_str(),
            quantity: movement.quantity.decimal(),
            moved_at: commit.arrival.received_at,
        }));
        let (Some(notice), Some(document)) = (&commit.notice, &order.document) else {
            return;
        };
        let store_id = document.store_id.as_str();
        self.notices.push(NoticeRow {
            delivery_id: commit.arrival.delivery_id.0,
            order_id: order.id.as_str(),
            store_id,
            kind: notice.kind().as_str(),
        });
        if !self.told_stores.contains(&store_id) {
            self.told_stores.push(store_id);
        }
    }

    /// What its statement must be able to do.
    fn parts(&self) -> Parts {
        let new_orders = !self.new_orders.is_empty();
        Parts {
            new_orders,
            // A batch that changes no order takes the statement of known ones, and finds none.
            known_orders: !self.known_orders.is_empty() || !new_orders,
            stock: !self.stock.is_empty(),
            notices: !self.notices.is_empty(),
        }
    }

    /// The statement with only the parts that this batch needs.
    pub(crate) fn statement(&self) -> &'static str {
        match self.alone() {
            Some(_) => self.parts().statement_for_one(),
            None => self.parts().statement(),
        }
    }

    /// A lone commit is sent as single values: the database takes rows apart at a price that only several of them
    /// are worth.
    fn alone(&self) -> Option<(&ArrivalRow<'a>, &OrderRow<'a>)> {
        match (&self.arrivals[..], &self.new_orders[..], &self.known_orders[..]) {
            ([arrival], [order], []) | ([arrival], [], [order]) => Some((arrival, order)),
            _ => None,
        }
    }

    /// The parameters of [`BatchRows::statement`].
    pub(crate) fn parameters<'b>(&'b self, node: &'b &'b str) -> Vec<&'b (dyn ToSql + Sync)> {
        let parts = self.parts();
        let mut parameters: Vec<&'b (dyn ToSql + Sync)>;
        if let Some((arrival, order)) = self.alone() {
            parameters = arrival.values().into_iter().chain(order.values()).collect();
            parameters.push(node);
        } else {
            parameters = vec![&self.arrivals, node];
            if parts.new_orders {
                parameters.push(&self.new_orders);
            }
            if parts.known_orders {
                parameters.push(&self.known_orders);
            }
        }
        if parts.stock {
            parameters.push(&self.stock);
        }
        if parts.notices {
            match (self.alone(), &self.notices[..]) {
                (Some(_), [notice]) => parameters.push(&notice.kind),
                _ => parameters.extend([&self.notices as &(dyn ToSql + Sync), &self.told_stores]),
            }
        }
        parameters
    }
}
