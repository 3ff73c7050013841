//! Operational alarms to the chats with the role `ops`: looked for by the leader, each thing told once and
//! again after a day, everything of one round in one message.

use std::time::{Duration, Instant};

use orderhook_actors::notifier_actor::{Leadership, NotifierHandle};
use orderhook_actors::ports::StoreError;
use tokio::sync::watch;

use crate::db::{Database, store_error};
use crate::telegram::ops::{AlarmKind, alarm_message};

const ALARMS: &str = include_str!("../sql/queries/ops_alarms.sql");

/// An outage shorter than this is told by the metrics only.
const OUTAGE: Duration = Duration::from_secs(5);

/// When what is told.
#[derive(Debug, Clone, Copy)]
pub struct AlarmSettings {
    /// How often is looked.
    pub every: Duration,
    /// How long SM repeats a hook.
    pub repeat_horizon: Duration,
    /// How long a notice may wait.
    pub outbox_limit: Duration,
}

/// Looks and tells until the election ends.
pub async fn watch(
    settings: AlarmSettings,
    database: Database,
    notifier: NotifierHandle,
    leadership: watch::Receiver<Option<Leadership>>,
) {
    let mut every = tokio::time::interval(settings.every);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut away_since: Option<Instant> = None;
    while leadership.has_changed().is_ok() {
        every.tick().await;
        // Whether the database is away every node sees for itself, the leader of before and of after.
        if let Err(error) = database.connection().await {
            tracing::debug!(%error, "no alarms without the database");
            away_since.get_or_insert_with(Instant::now);
            continue;
        }
        if !leadership
            .borrow()
            .is_some_and(|leadership| leadership.is_fresh(Instant::now()))
        {
            // Somebody else tells; but whoever becomes the leader after an outage tells of that.
            continue;
        }
        let outage = away_since
            .map(|since| since.elapsed())
            .filter(|outage| *outage >= OUTAGE);
        match tell(settings, &database, &notifier, outage).await {
            Ok(()) => away_since = None,
            Err(error) => tracing::warn!(%error, "operations could not be told yet"),
        }
    }
}

/// One round. What cannot be handed to the notifier counts as not told.
async fn tell(
    settings: AlarmSettings,
    database: &Database,
    notifier: &NotifierHandle,
    outage: Option<Duration>,
) -> Result<(), StoreError> {
    let mut client = database.connection().await?;
    let failed = |error: tokio_postgres::Error| store_error(&error);
    let transaction = client.transaction().await.map_err(failed)?;
    let chats = "SELECT DISTINCT chat_id FROM chats WHERE role = 'ops' AND disabled_at IS NULL";
    let chats = transaction.query(chats, &[]).await.map_err(failed)?;
    if chats.is_empty() {
        return Ok(());
    }
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let limits = (seconds(settings.repeat_horizon), seconds(settings.outbox_limit));
    let statement = transaction.prepare_cached(ALARMS).await.map_err(failed)?;
    let rows = transaction
        .query(&statement, &[&limits.0, &limits.1])
        .await
        .map_err(failed)?;
    let mut alarms: Vec<(AlarmKind, String)> = rows
        .iter()
        .filter_map(|row| Some((AlarmKind::parse(row.get(0))?, row.get(1))))
        .collect();
    alarms.sort_unstable();
    let Some(message) = alarm_message(&alarms, outage, settings.outbox_limit) else {
        return Ok(());
    };
    let handed_over = chats
        .iter()
        .all(|row| notifier.reply(row.get(0), message.clone()).is_some());
    if !handed_over {
        return Err(StoreError::Transient("too much waits for the sender".to_owned()));
    }
    tracing::warn!(alarms = alarms.len(), "operations are told");
    transaction.commit().await.map_err(failed)
}
