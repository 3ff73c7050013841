//! What waits for a transaction, one store after the other.
//!
//! A store that sends a thousand events at once waits for its own; the others take their turn beside it. The
//! events of one store keep their order.

use std::collections::{HashMap, VecDeque};

use orderhook_domain::ids::StoreId;

/// A queue that serves its stores in turn. What belongs to no store shares one turn.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    stores: HashMap<Option<StoreId>, VecDeque<T>>,
    /// The stores with something to serve, each once; the next one first.
    turns: VecDeque<Option<StoreId>>,
    len: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            stores: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn push(&mut self, store_id: Option<StoreId>, item: T) {
        let waiting = self.stores.entry(store_id.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(store_id);
        }
        waiting.push_back(item);
        self.len += 1;
    }

    /// What [`FairQueue::pop`] would return.
    pub(super) fn front(&self) -> Option<&T> {
        self.stores.get(self.turns.front()?)?.front()
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let store_id = self.turns.pop_front()?;
        let waiting = self.stores.get_mut(&store_id)?;
        let item = waiting.pop_front()?;
        self.len -= 1;
        if waiting.is_empty() {
            // Stores that are quiet take no memory.
            self.stores.remove(&store_id);
        } else {
            self.turns.push_back(store_id);
        }
        Some(item)
    }

    /// What has waited longest of a store.
    #[expect(clippy::ref_option, reason = "it is looked up by this key, without a copy of it")]
    pub(super) fn oldest(&self, store_id: &Option<StoreId>) -> Option<&T> {
        self.stores.get(store_id)?.front()
    }

    /// What has waited longest of each store that waits, in any order.
    pub(super) fn oldest_of_each(&self) -> impl Iterator<Item = &T> {
        self.stores.values().filter_map(VecDeque::front)
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
