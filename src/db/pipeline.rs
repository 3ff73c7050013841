//! One connection for all statements that a writer has under way.
//!
//! PostgreSQL answers the statements of a connection in their order, and finds the next one waiting when it
//! has committed the last (PostgreSQL documentation, "Pipelining"). Two connections would commit side by side,
//! but they wait for each other's flush and then both for new work; one that is never without work carries a
//! quarter more, and costs less of the processor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use deadpool_postgres::Object;

use super::StoreError;

/// The connection that statements are under way on, while there are any. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Pipeline(Arc<Mutex<Weak<Shared>>>);

/// A connection that several statements use.
pub(super) struct Shared {
    client: Object,
    given_up: AtomicBool,
}

impl Pipeline {
    /// The connection that is in use, if a statement may follow on it; else a new one from `connect`. Who finds none
    /// while another one still connects does not wait for it: the connection that was there last is used on. Give it
    /// back with [`Shared::leave`].
    ///
    /// # Errors
    /// Those of `connect`.
    pub(super) async fn join(
        &self,
        connect: impl Future<Output = Result<Object, StoreError>>,
    ) -> Result<Arc<Shared>, StoreError> {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(shared) = used.filter(|shared| shared.takes_more()) {
            return Ok(shared);
        }
        let shared = Arc::new(Shared {
            client: connect.await?,
            given_up: AtomicBool::new(false),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&shared);
        Ok(shared)
    }
}

impl Shared {
    /// The connection.
    pub(super) const fn client(&self) -> &Object {
        &self.client
    }

    fn takes_more(&self) -> bool {
        !self.given_up.load(Ordering::Relaxed) && !self.client.is_closed()
    }

    /// Nobody shall use it any more: the server stands still, or is the wrong one.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// A statement has ended. With the last one the connection goes back to its pool, or is closed when it was
    /// given up.
    pub(super) fn leave(self: Arc<Self>) {
        if let Some(shared) = Arc::into_inner(self)
            && shared.given_up.into_inner()
        {
            drop(Object::take(shared.client));
        }
    }
}
