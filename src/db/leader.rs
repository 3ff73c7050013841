//! Who sends: one node of the pool, by a session advisory lock on a connection of its own.
//!
//! The lock ends with its session, so a node that dies is replaced at once. A node that is frozen keeps
//! its session: its sign of life gets old, and a standby ends that session and takes over. Every
//! takeover raises the epoch, which fences all claims of the old leader.

use std::sync::Arc;
use std::time::Duration;

use orderhook_actors::notifier_actor::Leadership;
use orderhook_actors::ports::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::db::{Database, store_error};

const TAKE_OVER: &str = include_str!("../../sql/queries/leader_take_over.sql");
const END_FROZEN: &str = include_str!("../../sql/queries/leader_end_frozen.sql");

/// The advisory lock of the sender. The number is "sender" in ASCII.
pub const LOCK: i64 = 0x7365_6e64_6572;
/// How often the leader renews and a standby looks.
const EVERY: Duration = Duration::from_secs(1);
/// A renewal that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(2);

/// Strives for the leadership until it is released.
pub struct LeaderElection {
    leadership: watch::Receiver<Option<Leadership>>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl LeaderElection {
    /// Starts striving, under the name of this node.
    #[must_use]
    pub fn start(database: &Database, node: Arc<str>) -> Self {
        let (publish, leadership) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let task = database.io().spawn(strive(database.clone(), node, publish, stopped));
        Self { leadership, stop, task }
    }

    /// The right to send, while this node has it.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Option<Leadership>> {
        self.leadership.clone()
    }

    /// Gives the leadership up, so that a standby takes over at once.
    pub async fn release(self) {
        self.stop.send_replace(true);
        // A task that panicked has ended its session, too.
        let _ = self.task.await;
    }
}

async fn strive(
    database: Database,
    node: Arc<str>,
    publish: watch::Sender<Option<Leadership>>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let held = tokio::select! {
            held = hold(&database, &node, &publish) => held,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        if publish.send_replace(None).is_some() {
            tracing::warn!("this node does not send to Telegram any more");
        }
        if let Err(error) = held {
            tracing::debug!(%error, "no leadership without the database");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stopped.wait_for(|stopped| *stopped) => break,
        }
    }
    publish.send_replace(None);
}

/// Waits for the lock on one session, then keeps it until the session fails.
async fn hold(database: &Database, node: &str, publish: &watch::Sender<Option<Leadership>>) -> Result<(), StoreError> {
    let client = database.dedicated_connection().await?;
    let leadership = loop {
        // The moment before asking counts: the answer may have been under way for long.
        let asked = Instant::now();
        if let Some(epoch) = within(take_over(&client, node)).await? {
            break Leadership { epoch, renewed: asked };
        }
        // An ended session has left the lock behind: who ended it takes it without another pause.
        if !within(end_frozen_leader(&client)).await? {
            tokio::time::sleep(EVERY).await;
        }
    };
    let epoch = leadership.epoch;
    publish.send_replace(Some(leadership));
    tracing::info!(epoch, "this node sends to Telegram now");
    loop {
        tokio::time::sleep(EVERY).await;
        let asked = Instant::now();
        if !within(renew(&client, epoch)).await? {
            return Ok(());
        }
        publish.send_replace(Some(Leadership { epoch, renewed: asked }));
    }
}

async fn within<T>(work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
    let done = tokio::time::timeout(LIMIT, work).await;
    let done = done.map_err(|_elapsed| StoreError::Transient("the leader's session does not answer".to_owned()))?;
    done.map_err(|error| store_error(&error))
}

/// Takes the lock and with it the next epoch; `None` while another session has the lock.
async fn take_over(client: &Client, node: &str) -> Result<Option<i64>, tokio_postgres::Error> {
    let row = client.query_opt(TAKE_OVER, &[&LOCK, &node]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Ends the session that holds the lock if its node gives no sign of life, and returns whether it did.
async fn end_frozen_leader(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let rows = client.query(END_FROZEN, &[&LOCK]).await?;
    for row in &rows {
        tracing::warn!(
            backend_pid = row.get::<_, i32>("pid"),
            "the leader is frozen; its session was ended"
        );
    }
    Ok(rows.iter().any(|row| row.get("ended")))
}

async fn renew(client: &Client, epoch: i64) -> Result<bool, tokio_postgres::Error> {
    let renew = "UPDATE sender_leader SET renewed_at = now() WHERE epoch = $1";
    Ok(client.execute(renew, &[&epoch]).await? == 1)
}
