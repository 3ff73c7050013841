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
/// A sender that gives no sign of life for so long is dead; it gives four in a second.
const PULSE: Duration = Duration::from_secs(10);
/// A renewal that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(2);

/// An outage of the database, as one node has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// From the first failure to the first answer.
    pub lasted: Duration,
    /// When the first answer came.
    pub over: Instant,
}

/// Strives for the leadership until it is released.
pub struct LeaderElection {
    leadership: watch::Receiver<Option<Leadership>>,
    outages: watch::Receiver<Option<Outage>>,
    pulses: watch::Sender<Option<watch::Receiver<Instant>>>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl LeaderElection {
    /// Starts striving, under the name of this node.
    #[must_use]
    pub fn start(database: &Database, node: Arc<str>) -> Self {
        let (publish, leadership) = watch::channel(None);
        let (publish_outage, outages) = watch::channel(None);
        let (pulses, pulse) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let candidate = Candidate {
            database: database.clone(),
            node,
            publish,
            publish_outage,
            pulse,
            away_since: None,
        };
        let task = database.io().spawn(candidate.strive(stopped));
        Self {
            leadership,
            outages,
            pulses,
            stop,
            task,
        }
    }

    /// The right to send, while this node has it.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Option<Leadership>> {
        self.leadership.clone()
    }

    /// The last outage of the database that is over. Whether it leads or not, a node asks the database
    /// every second on a connection of its own: what it sees is no matter of a pool that is used up.
    #[must_use]
    pub fn outages(&self) -> watch::Receiver<Option<Outage>> {
        self.outages.clone()
    }

    /// From now on this node leads only while its sender shows that it lives: one that has died or hangs
    /// would else keep the others from sending.
    pub fn depends_on(&self, pulse: watch::Receiver<Instant>) {
        self.pulses.send_replace(Some(pulse));
    }

    /// Gives the leadership up, so that a standby takes over at once.
    pub async fn release(self) {
        self.stop.send_replace(true);
        // A task that panicked has ended its session, too.
        let _ = self.task.await;
    }
}

struct Candidate {
    database: Database,
    node: Arc<str>,
    publish: watch::Sender<Option<Leadership>>,
    publish_outage: watch::Sender<Option<Outage>>,
    pulse: watch::Receiver<Option<watch::Receiver<Instant>>>,
    /// Since when the database gives no answer.
    away_since: Option<Instant>,
}

impl Candidate {
    async fn strive(mut self, mut stopped: watch::Receiver<bool>) {
        let mut was_alive = true;
        loop {
            let is_alive = self.sender_is_alive();
            if was_alive && !is_alive {
                tracing::error!("the sender of this node is dead or hangs; another node must send to Telegram");
            }
            was_alive = is_alive;
            let held = tokio::select! {
                held = self.hold() => held,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            if self.publish.send_replace(None).is_some() {
                tracing::warn!("this node does not send to Telegram any more");
            }
            if let Err(error) = held {
                tracing::debug!(%error, "no leadership without the database");
                self.away_since.get_or_insert_with(Instant::now);
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        self.publish.send_replace(None);
    }

    /// Waits for the lock on one session, then keeps it until the session fails.
    async fn hold(&mut self) -> Result<(), StoreError> {
        let client = self.database.dedicated_connection().await?;
        let leadership = loop {
            if !self.sender_is_alive() {
                within(client.simple_query("SELECT")).await?;
                self.has_answered();
                return Ok(());
            }
            // The moment before asking counts: the answer may have been under way for long.
            let asked = Instant::now();
            let epoch = within(take_over(&client, &self.node)).await?;
            self.has_answered();
            if let Some(epoch) = epoch {
                break Leadership { epoch, renewed: asked };
            }
            // An ended session has left the lock behind: who ended it takes it without another pause.
            if !within(end_frozen_leader(&client)).await? {
                tokio::time::sleep(EVERY).await;
            }
        };
        let epoch = leadership.epoch;
        self.publish.send_replace(Some(leadership));
        tracing::info!(epoch, "this node sends to Telegram now");
        loop {
            tokio::time::sleep(EVERY).await;
            let asked = Instant::now();
            if !self.sender_is_alive() || !within(renew(&client, epoch)).await? {
                return Ok(());
            }
            self.publish.send_replace(Some(Leadership { epoch, renewed: asked }));
        }
    }

    fn sender_is_alive(&self) -> bool {
        let pulse = self.pulse.borrow();
        pulse
            .as_ref()
            .is_none_or(|pulse| pulse.has_changed().is_ok() && pulse.borrow().elapsed() < PULSE)
    }

    fn has_answered(&mut self) {
        if let Some(since) = self.away_since.take() {
            let over = Instant::now();
            self.publish_outage.send_replace(Some(Outage {
                lasted: over - since,
                over,
            }));
        }
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
