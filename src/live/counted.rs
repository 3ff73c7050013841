//! What only the database knows, counted by one task per node, so that whoever asks for it asks no database.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::db::Database;
use crate::db::attention::{Attention, attention};
use crate::db::outbox::{OutboxState, outbox_state};

/// How often the outbox is counted.
const OUTBOX_EVERY: Duration = Duration::from_secs(2);
/// How often is looked for what needs a person.
const ATTENTION_EVERY: Duration = Duration::from_secs(15);

/// Where the figures arrive.
pub struct Counted {
    /// How full the outbox is.
    pub outbox: watch::Receiver<OutboxState>,
    /// What needs a person.
    pub attention: watch::Receiver<Arc<Attention>>,
    /// Has everything counted again at once.
    pub look_now: Arc<Notify>,
}

impl Counted {
    /// Counts until nobody holds the figures any more.
    #[must_use]
    pub fn start(database: &Database) -> Self {
        let (outbox_found, outbox) = watch::channel(OutboxState::default());
        let (attention_found, needed) = watch::channel(Arc::new(Attention::default()));
        let look_now = Arc::new(Notify::new());
        let wanted = Arc::clone(&look_now);
        let database = database.clone();
        database.io().clone().spawn(async move {
            let mut every = tokio::time::interval(OUTBOX_EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut looked: Option<Instant> = None;
            while !outbox_found.is_closed() {
                let asked = tokio::select! {
                    _ = every.tick() => false,
                    () = wanted.notified() => true,
                };
                // While the database is away the last figures stay; that it is away is told elsewhere.
                if let Ok(counted) = outbox_state(&database).await {
                    outbox_found.send_replace(counted);
                }
                if asked || looked.is_none_or(|looked| looked.elapsed() >= ATTENTION_EVERY) {
                    match attention(&database).await {
                        Ok(found) => {
                            looked = Some(Instant::now());
                            attention_found.send_replace(Arc::new(found));
                        }
                        Err(error) => tracing::debug!(%error, "what needs a person could not be read"),
                    }
                }
            }
        });
        Self {
            outbox,
            attention: needed,
            look_now,
        }
    }

    /// Nothing is counted.
    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        Self {
            outbox: watch::channel(OutboxState::default()).1,
            attention: watch::channel(Arc::new(Attention::default())).1,
            look_now: Arc::new(Notify::new()),
        }
    }
}
