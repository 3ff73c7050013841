//! Plays a stored body again, through the same code as a hook; for the command line and for the page.

use std::time::{Duration, Instant};

use chrono::{SubsecRound, Utc};
use orderhook_actors::ports::{Replay, StoreError};
use orderhook_actors::system::Actors;
use orderhook_domain::ids::DeliveryId;
use uuid::Uuid;

use crate::db::Database;
use crate::db::journal;
use crate::intake::{self, Incoming, ReplayedArrival, Taken};

/// How long one replay may take; nobody but the operator waits for it.
pub const REPLAY_DEADLINE: Duration = Duration::from_secs(10);

/// Why nothing was played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Nothing with this name ever arrived.
    #[error("there is no such arrival")]
    Unknown,
    /// It is older than raw bodies are kept.
    #[error("its body has been pruned")]
    Pruned,
    /// The database cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Plays an arrival again in the name of `by`. The replay is recorded as an arrival of its own.
///
/// # Errors
/// [`ReplayError`]; nothing was played then.
pub async fn replay(database: &Database, actors: &Actors, delivery_id: Uuid, by: &str) -> Result<Taken, ReplayError> {
    let found = database
        .run(async move |database| journal::show(&database, delivery_id).await)
        .await?;
    let (entry, body) = found.ok_or(ReplayError::Unknown)?;
    let incoming = Incoming {
        body: body.ok_or(ReplayError::Pruned)?,
        received_at: Utc::now().trunc_subsecs(6),
        request_id: None,
        request_started: None,
        replay: Some(ReplayedArrival {
            replay: Replay {
                of: DeliveryId(delivery_id),
                by: by.to_owned(),
            },
            first_received_at: entry.received_at,
        }),
        deadline: Instant::now() + REPLAY_DEADLINE,
    };
    Ok(intake::take(actors, incoming).await)
}
