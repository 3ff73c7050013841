//! What the fake remembers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::faults::{Faults, Scope};
use super::limits::{Limits, Meter};

/// A message that the fake took.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) chat_id: i64,
    pub(crate) message_id: i64,
    /// As sent.
    pub(crate) text: String,
    /// As a reader sees it.
    pub(crate) visible: String,
    /// The text had markup.
    pub(crate) is_html: bool,
    /// The message of this chat that it replies to.
    pub(crate) reply_to: Option<i64>,
    pub(crate) has_link_preview: bool,
    pub(crate) at: Instant,
    /// From where the request came.
    pub(crate) from: Option<IpAddr>,
    /// A fault keeps the answer from the sender, or says that the message was not taken.
    pub(crate) is_answer_lost: bool,
}

/// A request that the fake did not grant.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    /// `None` when the request named no chat.
    pub(crate) chat_id: Option<i64>,
    /// The HTTP status; 0 when the connection was closed or the client left first.
    pub(crate) code: u16,
    pub(crate) description: String,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
    /// A fault asked for it.
    pub(crate) injected: bool,
    pub(crate) at: Instant,
}

/// Everything behind the lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) accepted: Vec<Accepted>,
    pub(crate) refused: Vec<Refused>,
    pub(crate) limits: Meter,
    pub(crate) faults: Faults,
    /// Pauses that a 429 has asked for.
    pub(crate) closed_until: HashMap<Scope, Instant>,
    /// What getUpdates has not been told to forget.
    pub(crate) updates: VecDeque<Value>,
    last_update_id: i64,
    last_message_id: i64,
    /// Every getUpdates ends the one before it.
    pub(crate) poll: u64,
}

impl State {
    pub(crate) fn next_message_id(&mut self) -> i64 {
        self.last_message_id += 1;
        self.last_message_id
    }
}

/// The state, with ways to wait for it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) updates_changed: tokio::sync::Notify,
}

impl Shared {
    pub(crate) fn new(limits: Option<Limits>) -> Self {
        let shared = Self::default();
        shared.lock().limits.set(limits);
        shared
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn accept(&self, message: Accepted) {
        self.lock().accepted.push(message);
        self.changed.notify_all();
    }

    pub(crate) fn refuse(&self, refusal: Refused) {
        self.lock().refused.push(refusal);
        self.changed.notify_all();
    }

    pub(crate) fn push_update(&self, mut update: Value) {
        let mut state = self.lock();
        state.last_update_id += 1;
        update["update_id"] = state.last_update_id.into();
        state.updates.push_back(update);
        drop(state);
        self.updates_changed.notify_waiters();
    }

    /// Blocks until `reached`, at most for `bound`; then fails the test.
    pub(crate) fn wait_until(&self, bound: Duration, what: &str, reached: impl Fn(&State) -> bool) {
        let (state, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), bound, |state| !reached(state))
            .unwrap_or_else(PoisonError::into_inner);
        let (accepted, refused) = (state.accepted.len(), state.refused.len());
        drop(state);
        assert!(
            !timeout.timed_out(),
            "waited {bound:?} for {what}; accepted {accepted}, refused {refused}"
        );
    }
}

/// How many messages repeat one that the same chat already has. The words by which a text admits that
/// it may be a repeat do not make it another text.
pub(crate) fn repeats(accepted: &[Accepted]) -> usize {
    let mut seen = HashSet::new();
    let is_new =
        |message: &&Accepted| seen.insert((message.chat_id, message.visible.replace(" · возможно, повтор", "")));
    accepted.len() - accepted.iter().filter(is_new).count()
}
