//! An order store in memory that keeps the port's promises, and breaks them when told to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orderhook_domain::apply::StockMovement;
use orderhook_domain::ids::{DeliveryId, OrderId, OrderNumber};
use orderhook_domain::order::Order;
use tokio::sync::watch;

use crate::ports::{Answered, Commit, Committed, OrderStore, StoreError};

/// See the module. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct MemoryOrderStore {
    state: Arc<Mutex<State>>,
    /// How many transactions have begun, and whether they may go on.
    begun: Arc<watch::Sender<usize>>,
    open: Arc<watch::Sender<bool>>,
}

#[derive(Default)]
struct State {
    orders: HashMap<OrderId, Order>,
    events: Vec<Arc<Commit>>,
    stock: Vec<StockMovement>,
    answered: HashSet<DeliveryId>,
    batches: Vec<usize>,
    failures: VecDeque<StoreError>,
    lost_replies: VecDeque<StoreError>,
    unstorable: HashSet<DeliveryId>,
    panic_on_load: HashSet<OrderId>,
    panic_on_commit: bool,
    loads: usize,
    last_number: u32,
}

impl Default for MemoryOrderStore {
    fn default() -> Self {
        Self {
            state: Arc::default(),
            begun: Arc::new(watch::channel(0).0),
            open: Arc::new(watch::channel(true).0),
        }
    }
}

impl MemoryOrderStore {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on transactions begin and then wait for [`MemoryOrderStore::release`].
    pub fn hold(&self) {
        self.open.send_replace(false);
    }

    /// Lets the transactions that wait, and all later ones, go on.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many transactions have begun since the start.
    pub async fn transactions_begun(&self, count: usize) {
        // The sender lives as long as this store.
        let _ = self.begun.subscribe().wait_for(|begun| *begun >= count).await;
    }

    /// The next transaction fails with this and leaves nothing behind.
    pub fn fail_next(&self, error: StoreError) {
        self.state().failures.push_back(error);
    }

    /// The next transaction commits, but its answer is lost and this error comes instead.
    pub fn lose_next_reply(&self, error: StoreError) {
        self.state().lost_replies.push_back(error);
    }

    /// Every transaction that holds this delivery fails with [`StoreError::Data`].
    pub fn cannot_store(&self, delivery_id: DeliveryId) {
        self.state().unstorable.insert(delivery_id);
    }

    /// Loading this order panics, once.
    pub fn panic_on_load(&self, order_id: OrderId) {
        self.state().panic_on_load.insert(order_id);
    }

    /// The next transaction panics.
    pub fn panic_on_commit(&self) {
        self.state().panic_on_commit = true;
    }

    /// Another node has written this order.
    pub fn overwrite(&self, order: Order) {
        self.state().orders.insert(order.id.clone(), order);
    }

    /// The order as committed.
    #[must_use]
    pub fn order(&self, order_id: &OrderId) -> Option<Order> {
        self.state().orders.get(order_id).cloned()
    }

    /// Every committed event, in commit order.
    #[must_use]
    pub fn events(&self) -> Vec<Arc<Commit>> {
        self.state().events.clone()
    }

    /// Every committed stock movement.
    #[must_use]
    pub fn stock(&self) -> Vec<StockMovement> {
        self.state().stock.clone()
    }

    /// How many events each transaction held that was asked for, failed ones included.
    #[must_use]
    pub fn batches(&self) -> Vec<usize> {
        self.state().batches.clone()
    }

    /// How often an order was loaded.
    #[must_use]
    pub fn loads(&self) -> usize {
        self.state().loads
    }
}

impl State {
    fn commit(&mut self, batch: &[Arc<Commit>]) -> Result<Vec<Committed>, StoreError> {
        self.batches.push(batch.len());
        if let Some(error) = self.failures.pop_front() {
            return Err(error);
        }
        if batch
            .iter()
            .any(|commit| self.unstorable.contains(&commit.arrival.delivery_id))
        {
            return Err(StoreError::Data("a value that no column holds".to_owned()));
        }
        let committed = batch.iter().map(|commit| self.commit_one(commit)).collect();
        match self.lost_replies.pop_front() {
            Some(error) => Err(error),
            None => Ok(committed),
        }
    }

    fn commit_one(&mut self, commit: &Arc<Commit>) -> Committed {
        let delivery_id = commit.arrival.delivery_id;
        if self
            .events
            .iter()
            .any(|stored| stored.arrival.delivery_id == delivery_id)
        {
            return Committed::AlreadyStored;
        }
        let mut number = None;
        if let Some(order) = &commit.order {
            let version = self.orders.get(&order.id).map_or(0, |stored| stored.version);
            if version != order.version - 1 {
                return Committed::Stale;
            }
            let mut order = Order::clone(order);
            if order.document.is_some() && order.number.is_none() {
                self.last_number += 1;
                order.number = Some(OrderNumber(self.last_number.to_string().into()));
            }
            number.clone_from(&order.number);
            self.orders.insert(order.id.clone(), order);
        }
        self.stock.extend(commit.stock.iter().cloned());
        self.events.push(Arc::clone(commit));
        Committed::Stored { number }
    }
}

impl OrderStore for MemoryOrderStore {
    fn load(&self, order_id: &OrderId) -> BoxFuture<'static, Result<Option<Order>, StoreError>> {
        let store = self.clone();
        let order_id = order_id.clone();
        async move {
            let mut state = store.state();
            state.loads += 1;
            let panics = state.panic_on_load.remove(&order_id);
            let order = state.orders.get(&order_id).cloned();
            drop(state);
            assert!(!panics, "a test asked for this panic");
            Ok(order)
        }
        .boxed()
    }

    fn for_writer(self: Arc<Self>, _under_way: usize) -> Arc<dyn OrderStore> {
        self
    }

    fn commit(&self, batch: Vec<Arc<Commit>>) -> BoxFuture<'static, Result<Vec<Committed>, StoreError>> {
        let store = self.clone();
        // A task of its own: it runs to its end whatever becomes of the returned future.
        let committing = tokio::spawn(async move {
            store.begun.send_modify(|begun| *begun += 1);
            // The sender lives as long as this store.
            let _ = store.open.subscribe().wait_for(|open| *open).await;
            let panics = mem::take(&mut store.state().panic_on_commit);
            assert!(!panics, "a test asked for this panic");
            store.state().commit(&batch)
        });
        async move {
            let committed = committing.await;
            committed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
        .boxed()
    }

    fn answered(&self, deliveries: Vec<DeliveryId>) -> BoxFuture<'static, Result<HashSet<DeliveryId>, StoreError>> {
        let answered = deliveries
            .into_iter()
            .filter(|delivery| self.state().answered.contains(delivery))
            .collect();
        async move { Ok(answered) }.boxed()
    }

    fn record_answers(&self, answers: Vec<Answered>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.state()
            .answered
            .extend(answers.into_iter().map(|answered| answered.delivery_id));
        async { Ok(()) }.boxed()
    }
}
