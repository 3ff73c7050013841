//! What only the database knows, counted by one task per node, so that whoever asks for it asks no database.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use orderhook_actors::ports::StoreError;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::db::Database;
use crate::db::attention::{Attention, attention};
use crate::db::outbox::{OutboxState, outbox_state};

/// How often the outbox is counted.
const OUTBOX_EVERY: Duration = Duration::from_secs(2);
/// How often is looked for what needs a person.
const ATTENTION_EVERY: Duration = Duration::from_secs(15);
/// An outbox that was counted longer ago may be anything by now.
const OUTBOX_FRESH: Duration = Duration::from_secs(10);
/// Whatever was counted longer ago is not known any more, also when nobody says why.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// What was counted last. While the database does not answer it stays, and says how old it is.
#[derive(Debug, Clone)]
pub struct Counted<T> {
    /// The figures; those of an empty table until they were counted for the first time.
    pub value: T,
    /// When they were counted; `None` until then.
    pub read_at: Option<DateTime<Utc>>,
    /// Why they could not be counted again since.
    pub failure: Option<String>,
    /// When they were counted, or when counting began.
    since: Instant,
}

impl<T: Default> Counted<T> {
    /// Nothing counted yet.
    fn new() -> Self {
        Self {
            value: T::default(),
            read_at: None,
            failure: None,
            since: Instant::now(),
        }
    }
}

impl<T> Counted<T> {
    /// How old the figures are; since the start of the node when there are none yet.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Why the figures must not be relied on; `None` while they may.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let age = self.age();
        let too_old = || (age > KNOWN_FOR).then(|| format!("nothing was counted for {} s", age.as_secs()));
        self.failure.clone().or_else(too_old)
    }

    fn take(&mut self, what: &str, found: Result<T, StoreError>) {
        match found {
            Ok(value) => {
                if self.failure.take().is_some() {
                    tracing::info!(what, "counted again");
                }
                self.value = value;
                self.read_at = Some(Utc::now());
                self.since = Instant::now();
            }
            Err(error) => {
                // Once: it is tried again every few seconds.
                if self.failure.is_none() {
                    tracing::warn!(what, %error, "not counted; the last figures stay");
                }
                self.failure = Some(error.to_string());
            }
        }
    }
}

impl Counted<OutboxState> {
    /// The figures, if they are from just now.
    #[must_use]
    pub fn fresh(&self) -> Option<OutboxState> {
        (self.read_at.is_some() && self.age() < OUTBOX_FRESH).then_some(self.value)
    }
}

/// Where the figures arrive.
pub struct Counts {
    /// How full the outbox is.
    pub outbox: watch::Receiver<Counted<OutboxState>>,
    /// What needs a person.
    pub attention: watch::Receiver<Arc<Counted<Attention>>>,
    /// Has everything counted again at once.
    pub look_now: Arc<Notify>,
}

impl Counts {
    /// Counts until nobody holds the figures any more.
    #[must_use]
    pub fn start(database: &Database) -> Self {
        let (outbox_found, outbox) = watch::channel(Counted::new());
        let (attention_found, needed) = watch::channel(Arc::new(Counted::new()));
        let look_now = Arc::new(Notify::new());
        let wanted = Arc::clone(&look_now);
        let database = database.clone();
        database.io().clone().spawn(async move {
            let mut pause = Duration::ZERO;
            let mut looked: Option<Instant> = None;
            while !outbox_found.is_closed() {
                let asked = tokio::select! {
                    () = tokio::time::sleep(pause) => false,
                    () = wanted.notified() => true,
                };
                let counted = outbox_state(&database).await;
                pause = OUTBOX_EVERY;
                outbox_found.send_modify(|outbox| outbox.take("outbox", counted));
                if asked || looked.is_none_or(|looked| looked.elapsed() >= ATTENTION_EVERY) {
                    let found = attention(&database).await;
                    // What could not be read is tried again with the next look at the outbox.
                    looked = found.is_ok().then(Instant::now);
                    attention_found.send_if_modified(|last| take_attention(last, found));
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
            outbox: watch::channel(Counted::new()).1,
            attention: watch::channel(Arc::new(Counted::new())).1,
            look_now: Arc::new(Notify::new()),
        }
    }
}

/// Whether that changed anything: a failure that lasts is told to viewers once.
fn take_attention(last: &mut Arc<Counted<Attention>>, found: Result<Attention, StoreError>) -> bool {
    let failure = found.as_ref().err().map(ToString::to_string);
    if failure.is_some() && failure == last.failure {
        return false;
    }
    let mut next = Counted::clone(last);
    next.take("what needs a person", found);
    *last = Arc::new(next);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_cannot_be_counted_again_stay_and_grow_old() {
        let mut outbox: Counted<OutboxState> = Counted::new();
        let later = |outbox: &mut Counted<OutboxState>, by: Duration| {
            outbox.since = outbox.since.checked_sub(by).unwrap();
        };
        assert_eq!(outbox.fresh(), None, "nothing was counted yet");
        later(&mut outbox, Duration::from_secs(3));
        assert!(outbox.age() >= Duration::from_secs(3));
        let seven = OutboxState {
            pending: 7,
            ..OutboxState::default()
        };
        outbox.take("outbox", Ok(seven));
        assert_eq!(outbox.fresh(), Some(seven));
        later(&mut outbox, OUTBOX_FRESH);
        outbox.take("outbox", Err(StoreError::Unavailable("gone".to_owned())));
        assert_eq!((outbox.fresh(), outbox.value), (None, seven));
        assert!(outbox.failure.as_ref().unwrap().contains("gone"));
        assert!(outbox.doubt().unwrap().contains("gone"));
        outbox.take("outbox", Ok(OutboxState::default()));
        assert_eq!((outbox.fresh(), &outbox.failure), (Some(OutboxState::default()), &None));
        // Whoever counts stands still, and says nothing.
        assert_eq!(outbox.doubt(), None);
        later(&mut outbox, KNOWN_FOR + Duration::from_secs(1));
        assert!(outbox.doubt().unwrap().contains("61 s"));
    }

    #[test]
    fn a_failure_that_lasts_is_told_once() {
        let mut last = Arc::new(Counted::new());
        let failed = || Err(StoreError::Unavailable("gone".to_owned()));
        assert!(take_attention(&mut last, failed()));
        assert!(!take_attention(&mut last, failed()));
        assert_eq!(last.read_at, None);
        assert!(take_attention(&mut last, Ok(Attention::default())));
        assert!(last.read_at.is_some() && last.failure.is_none());
        assert!(take_attention(&mut last, Ok(Attention::default())));
    }
}
