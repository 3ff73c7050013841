//! A fake Bot API: a real HTTP server on a port of its own that enforces Telegram's rules and fails
//! on demand.
//!
//! It runs in threads of its own, so that any test runtime can use it, and stops when dropped.
//! Include it in a test binary with `#[path = "support/fake_bot_api.rs"] mod fake_bot_api;`.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: every test binary uses another part of it, and a panic is its way to fail"
)]

#[path = "fake_bot_api/faults.rs"]
pub(crate) mod faults;
#[path = "fake_bot_api/html.rs"]
pub(crate) mod html;
#[path = "fake_bot_api/limits.rs"]
pub(crate) mod limits;
#[path = "fake_bot_api/rules.rs"]
pub(crate) mod rules;
#[path = "fake_bot_api/server.rs"]
mod server;
#[path = "fake_bot_api/state.rs"]
pub(crate) mod state;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) use self::faults::{Fault, Scope, Times};
pub(crate) use self::limits::Limits;
use self::server::Server;
use self::state::Shared;
pub(crate) use self::state::{Accepted, Refused};

/// The only token that the fake accepts. Shaped like a real one, so that what hides tokens hides it.
pub(crate) const TOKEN: &str = "123456789:AAFakeFakeFakeFakeFakeFakeFakeFakeFak";

/// A running fake.
pub(crate) struct FakeBotApi {
    shared: Arc<Shared>,
    server: Server,
}

impl FakeBotApi {
    /// With Telegram's limits.
    pub(crate) fn start() -> Self {
        Self::start_with(Some(Limits::default()))
    }

    /// With other limits, or with none.
    pub(crate) fn start_with(limits: Option<Limits>) -> Self {
        let shared = Arc::new(Shared::new(limits));
        let server = Server::start(Arc::clone(&shared));
        Self { shared, server }
    }

    /// The address to configure as the Bot API's.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Switches limits on or off; what was sent before counts as well.
    pub(crate) fn set_limits(&self, limits: Option<Limits>) {
        self.shared.lock().limits.set(limits);
    }

    /// From now on `scope` fails in this way. A later fault goes before an earlier one.
    pub(crate) fn fail(&self, scope: Scope, fault: Fault, times: Times) {
        self.shared.lock().faults.add(scope, fault, times);
    }

    /// Takes back every fault of `scope`, pauses that it was told to make included.
    pub(crate) fn heal(&self, scope: Scope) {
        let mut state = self.shared.lock();
        state.faults.remove(scope);
        state.closed_until.remove(&scope);
    }

    /// What was accepted for a chat, oldest first.
    pub(crate) fn messages(&self, chat_id: i64) -> Vec<Accepted> {
        self.shared
            .lock()
            .accepted
            .iter()
            .filter(|message| message.chat_id == chat_id)
            .cloned()
            .collect()
    }

    /// Everything that was accepted, oldest first.
    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        self.shared.lock().accepted.clone()
    }

    /// Everything that was refused, oldest first.
    pub(crate) fn refused(&self) -> Vec<Refused> {
        self.shared.lock().refused.clone()
    }

    /// How often a limit was exceeded that no fault asked for.
    pub(crate) fn limit_violations(&self) -> usize {
        self.shared
            .lock()
            .refused
            .iter()
            .filter(|refusal| refusal.code == 429 && !refusal.injected)
            .count()
    }

    /// How many accepted messages repeat one that the same chat already has, by visible text.
    pub(crate) fn accepted_twice(&self) -> usize {
        state::repeats(&self.shared.lock().accepted)
    }

    /// Blocks until `count` messages were accepted in all, and returns them. Fails the test after
    /// `bound`. In an async test on a single thread use [`Self::arrived`].
    pub(crate) fn wait_for(&self, count: usize, bound: Duration) -> Vec<Accepted> {
        self.shared.wait_until(bound, &format!("{count} messages"), |state| {
            state.accepted.len() >= count
        });
        self.accepted()
    }

    /// Blocks until the fake has seen what `seen` looks for. Fails the test after `bound`.
    pub(crate) fn wait_until(&self, bound: Duration, what: &str, seen: impl Fn(&[Accepted], &[Refused]) -> bool) {
        self.shared
            .wait_until(bound, what, |state| seen(&state.accepted, &state.refused));
    }

    /// [`Self::wait_for`] without blocking the caller's runtime.
    pub(crate) async fn arrived(&self, count: usize, bound: Duration) -> Vec<Accepted> {
        self.seen(bound, &format!("{count} messages"), move |accepted, _| {
            accepted.len() >= count
        })
        .await;
        self.accepted()
    }

    /// [`Self::wait_until`] without blocking the caller's runtime.
    pub(crate) async fn seen(
        &self,
        bound: Duration,
        what: &str,
        seen: impl Fn(&[Accepted], &[Refused]) -> bool + Send + 'static,
    ) {
        let (shared, what) = (Arc::clone(&self.shared), what.to_owned());
        let wait = move || shared.wait_until(bound, &what, |state| seen(&state.accepted, &state.refused));
        if let Err(failed) = tokio::task::spawn_blocking(wait).await {
            std::panic::resume_unwind(failed.into_panic());
        }
    }

    /// Feeds getUpdates with one update; the fake numbers it.
    pub(crate) fn push_update(&self, update: Value) {
        self.shared.push_update(update);
    }

    /// Feeds getUpdates with a text message that somebody writes in a chat; a negative id is a group.
    pub(crate) fn say(&self, chat_id: i64, text: &str) {
        let chat = if chat_id < 0 {
            json!({"id": chat_id, "type": "group", "title": "Сборка"})
        } else {
            json!({"id": chat_id, "type": "private", "first_name": "Вымышленный"})
        };
        let from = json!({"id": chat_id.abs(), "is_bot": false, "first_name": "Вымышленный"});
        // Clients that look for commands look at the entities.
        let command = text.split_whitespace().next().filter(|word| word.starts_with('/'));
        let entities: Vec<Value> = command
            .map(|word| json!({"type": "bot_command", "offset": 0, "length": word.encode_utf16().count()}))
            .into_iter()
            .collect();
        let message_id = self.shared.lock().next_message_id();
        self.push_update(json!({"message": {
            "message_id": message_id, "date": 1_700_000_000, "chat": chat, "from": from, "text": text, "entities": entities
        }}));
    }
}
