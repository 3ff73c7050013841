//! The order store port: documents, history, stock ledger and the writing side of the outbox.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use orderhook_domain::apply::{Note, Outcome, StockMovement};
use orderhook_domain::event::EventKind;
use orderhook_domain::ids::{DeliveryId, OrderId, OrderNumber};
use orderhook_domain::notice::Notice;
use orderhook_domain::order::Order;
use orderhook_domain::protocol::FieldError;

/// The order documents, their history, the stock ledger and the writing side of the outbox.
pub trait OrderStore: Send + Sync + 'static {
    /// The order as last committed; `None` when it has no row.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Transient`].
    fn load(&self, order_id: &OrderId) -> BoxFuture<'static, Result<Option<Order>, StoreError>>;

    /// The store as one persistence actor uses it: it is called on that actor's thread only, with at most
    /// `under_way` batches at a time beside those whose end it has given up, and may keep connections there. A batch
    /// may wait for those before it.
    fn for_writer(self: Arc<Self>, under_way: usize) -> Arc<dyn OrderStore>;

    /// Commits all of them in one transaction and says for each, in the given order, what became of
    /// it. At most one commit of an order may be in the batch. A commit whose version is stale or
    /// whose delivery is stored already leaves no row at all and harms no other.
    ///
    /// The future runs to its end even when it is dropped: a transaction that was sent is never
    /// cancelled.
    ///
    /// # Errors
    /// The whole batch has failed and nothing of it is stored, except after
    /// [`StoreError::Transient`]: then the outcome may be unknown, and committing the same batch
    /// again settles it, because what was stored answers [`Committed::AlreadyStored`].
    fn commit(&self, batch: Vec<Arc<Commit>>) -> BoxFuture<'static, Result<Vec<Committed>, StoreError>>;

    /// Which of these deliveries were answered, as far as it is recorded (protocol section 5, rule 5).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Transient`].
    fn answered(&self, deliveries: Vec<DeliveryId>) -> BoxFuture<'static, Result<HashSet<DeliveryId>, StoreError>>;

    /// Records when these deliveries were answered.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Transient`]; nothing may have been recorded.
    fn record_answers(&self, answers: Vec<Answered>) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// The moment at which a created or changed was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Which arrival.
    pub delivery_id: DeliveryId,
    /// When its 2xx was handed to the connection.
    pub at: DateTime<Utc>,
}

/// One event with everything that becomes durable together with it.
#[derive(Debug, Clone)]
pub struct Commit {
    /// What arrived.
    pub arrival: Arc<Arrival>,
    /// What was decided on it.
    pub outcome: Outcome,
    /// What the history says beside the outcome.
    pub notes: Vec<Note>,
    /// Why it was rejected; empty unless it was.
    pub errors: Vec<FieldError>,
    /// The state that it leads to. The row must still have the version before it
    /// (`order.version - 1`, no row for 0). `None` when the event changes no order row.
    pub order: Option<Arc<Order>>,
    /// Whether the document is the one that the row has already: it is not written again then.
    pub keeps_document: bool,
    /// Goods that leave the store.
    pub stock: Vec<StockMovement>,
    /// What staff are told.
    pub notice: Option<Notice>,
    /// A commit that was not sent by then is dropped (invariant 5).
    pub deadline: Instant,
}

/// The raw hook, as the journal keeps it.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Unique, given on arrival.
    pub delivery_id: DeliveryId,
    /// The order, as far as the body was readable.
    pub order_id: Option<OrderId>,
    /// The canonical event; `None` when the body was not readable that far.
    pub kind: Option<EventKind>,
    /// The name as SM sent it.
    pub event_type: Option<String>,
    /// When it arrived at the HTTP listener.
    pub received_at: DateTime<Utc>,
    /// SM's own time.
    pub sm_timestamp: Option<DateTime<Utc>>,
    /// The id that nginx gave the request, for the logs of all nodes.
    pub request_id: Option<String>,
    /// Set when an operator played a stored body again.
    pub replay: Option<Replay>,
    /// Byte for byte.
    pub body: Bytes,
}

impl Arrival {
    /// What lines of the log about it carry. No span carries it there: making one for every hook costs more than
    /// the few lines beside its answer are worth.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

/// Who played which delivery again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The delivery whose body this is.
    pub of: DeliveryId,
    /// Who asked for it.
    pub by: String,
}

/// What became of one commit of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// It is durable. The number is that of the order after it.
    Stored {
        /// `None` for an order without a document.
        number: Option<OrderNumber>,
    },
    /// The row has another version; load it and judge again.
    Stale,
    /// This very delivery is stored already (nginx's second try, or a commit whose outcome was
    /// unknown); load the order and answer from it.
    AlreadyStored,
}

/// Why the store did not do it, by the reaction it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Something in the batch cannot be stored, ever. Split the batch to find it.
    #[error("a row cannot be stored: {0}")]
    Data(String),
    /// A deadlock, a lost connection, a time limit: try again while the deadline allows.
    #[error("the database did not finish: {0}")]
    Transient(String),
    /// There is no database to write to now: refuse at once, another node may do better.
    #[error("the database is away: {0}")]
    Unavailable(String),
}
