//! What a connection plays: the events of one order after the other.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::bodies::{EVENTS, STORE, Script};

/// The next order that nobody has played yet; every run gets orders of its own.
static NEXT_ORDER: AtomicU64 = AtomicU64::new(1);

/// What a connection plays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Orders {
    /// Lines of every order.
    pub(crate) lines: usize,
    /// Connections take these stores in turn.
    pub(crate) stores: (u32, u32),
    /// All connections play this one order, which is created and then changed again and again.
    pub(crate) only: Option<u64>,
    /// Only the first event of every order.
    pub(crate) created_only: bool,
    /// Of so many orders one is left in the middle, and nothing comes of it any more.
    pub(crate) one_is_left_of: Option<u64>,
}

impl Orders {
    /// Orders of eight lines in the store that has chats.
    pub(crate) const USUAL: Self = Self {
        lines: 8,
        stores: (STORE, STORE),
        only: None,
        created_only: false,
        one_is_left_of: None,
    };

    /// How many events of an order come.
    fn events_of(self, order: u64) -> usize {
        if self.created_only {
            return 1;
        }
        let is_left = self.one_is_left_of.is_some_and(|orders| order.is_multiple_of(orders));
        if is_left { EVENTS.len() / 2 } else { EVENTS.len() }
    }

    /// A number for something that was never sent before.
    pub(crate) fn next() -> u64 {
        NEXT_ORDER.fetch_add(1, Ordering::Relaxed)
    }

    /// What the connection with this number plays.
    pub(crate) fn play(self, connection: usize) -> Play {
        let (first, last) = self.stores;
        let store = first + u32::try_from(connection).unwrap() % (last - first + 1);
        Play {
            script: Script::of_store(self.lines, store),
            order: self.only.unwrap_or_else(Self::next),
            // One order of all: the first connection, which has the first turn, creates it.
            event: usize::from(self.only.is_some() && connection > 0),
            orders: self,
        }
    }
}

/// Where a connection stands: which event of which order comes next.
pub(crate) struct Play {
    script: Script,
    order: u64,
    /// Its place in [`EVENTS`].
    pub(crate) event: usize,
    orders: Orders,
}

impl Play {
    /// The request that is due.
    pub(crate) fn request(&mut self) -> &[u8] {
        match self.orders.only {
            Some(order) => self.script.request_again(Orders::next(), order, self.event),
            None => self.script.request(self.order, self.event),
        }
    }

    /// The next event of the order once this one was accepted; a refused one is repeated.
    pub(crate) fn answered(&mut self, status: u16) {
        if status != 200 {
            return;
        }
        if self.orders.only.is_some() {
            // The two changes in turn.
            self.event = if self.event == 1 { 2 } else { 1 };
            return;
        }
        self.event += 1;
        if self.event == self.orders.events_of(self.order) {
            self.event = 0;
            self.order = Orders::next();
        }
    }
}
