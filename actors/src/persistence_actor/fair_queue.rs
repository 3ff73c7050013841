//! What waits for a transaction, one store after the other.
//!
//! A store that sends a thousand events at once waits for its own; the others take their turn beside it. The
//! events of one store keep their order.

use std::collections::{HashMap, VecDeque};

use orderhook_domain::ids::StoreId;

/// A queue that serves its stores in turn. What belongs to no store shares one turn.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    /// Each with how many transactions had been filled when it came.
    stores: HashMap<Option<StoreId>, VecDeque<(u64, T)>>,
    /// The stores with something to serve, each once; the next one first.
    turns: VecDeque<Option<StoreId>>,
    len: usize,
    /// Transactions so far.
    filled: u64,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            stores: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
            filled: 0,
        }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn push(&mut self, store_id: Option<StoreId>, item: T) {
        let waiting = self.stores.entry(store_id.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(store_id);
        }
        waiting.push_back((self.filled, item));
        self.len += 1;
    }

    /// What [`FairQueue::pop`] would return.
    pub(super) fn front(&self) -> Option<&T> {
        let (_, item) = self.stores.get(self.turns.front()?)?.front()?;
        Some(item)
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let store_id = self.turns.pop_front()?;
        let waiting = self.stores.get_mut(&store_id)?;
        let (_, item) = waiting.pop_front()?;
        self.len -= 1;
        if waiting.is_empty() {
            // Stores that are quiet take no memory.
            self.stores.remove(&store_id);
        } else {
            self.turns.push_back(store_id);
        }
        Some(item)
    }

    /// A transaction has taken what it takes. Returns what it left behind: of each store what waits longest, in any
    /// order.
    pub(super) fn transaction_filled(&mut self) -> impl Iterator<Item = &T> {
        self.filled += 1;
        self.stores
            .values()
            .filter_map(|waiting| waiting.front().map(|(_, item)| item))
    }

    /// What waits longest of a store, if the last transaction has left it behind.
    #[expect(clippy::ref_option, reason = "it is looked up by this key, without a copy of it")]
    pub(super) fn left_behind(&self, store_id: &Option<StoreId>) -> Option<&T> {
        let (filled_before, item) = self.stores.get(store_id)?.front()?;
        (*filled_before < self.filled).then_some(item)
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn store(number: u8) -> Option<StoreId> {
        (number > 0).then(|| StoreId::parse(&number.to_string()).unwrap())
    }

    #[test]
    fn a_quiet_store_does_not_wait_for_a_flood() {
        let mut queue = FairQueue::default();
        for event in 0..1000 {
            queue.push(store(1), (1, event));
        }
        queue.push(store(2), (2, 0));
        queue.push(None, (0, 0));
        let served: Vec<_> = std::iter::from_fn(|| queue.pop()).take(5).collect();
        assert_eq!(served, [(1, 0), (2, 0), (0, 0), (1, 1), (1, 2)]);
    }

    #[test]
    fn who_came_after_a_transaction_was_filled_is_not_left_behind_by_it() {
        let mut queue = FairQueue::default();
        queue.push(store(1), "first");
        queue.push(store(1), "second");
        assert_eq!(queue.left_behind(&store(1)), None);
        queue.pop();
        assert_eq!(queue.transaction_filled().collect::<Vec<_>>(), [&"second"]);
        queue.push(store(1), "third");
        queue.push(store(2), "other");
        assert_eq!(queue.left_behind(&store(1)), Some(&"second"));
        assert_eq!(queue.left_behind(&store(2)), None);
        queue.pop();
        queue.pop();
        assert_eq!(queue.transaction_filled().count(), 1);
        assert_eq!(queue.left_behind(&store(1)), Some(&"third"));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_every_store_keeps_its_order(pushed in prop::collection::vec((0_u8..4, 0_u8..3), 0..200)) {
            let mut queue = FairQueue::default();
            let mut served: Vec<(u8, usize)> = Vec::new();
            for (number, (from, pops)) in pushed.iter().enumerate() {
                queue.push(store(*from), (*from, number));
                for _ in 0..*pops {
                    let next = queue.front().copied();
                    prop_assert_eq!(queue.pop(), next);
                    served.extend(next);
                }
            }
            prop_assert_eq!(queue.len(), pushed.len() - served.len());
            served.extend(std::iter::from_fn(|| queue.pop()));
            prop_assert_eq!(queue.len(), 0);
            prop_assert!(queue.stores.is_empty() && queue.turns.is_empty());
            for from in 0..4 {
                let came: Vec<usize> = served.iter().filter(|item| item.0 == from).map(|item| item.1).collect();
                let sent: Vec<usize> =
                    pushed.iter().enumerate().filter(|(_, item)| item.0 == from).map(|(number, _)| number).collect();
                prop_assert_eq!(came, sent);
            }
        }
    }
}
