//! Operational alarms to the chats with the role `ops`: looked for by the leader, each thing told once and
//! again after a day, everything of one round in one message.

use std::time::{Duration, Instant};

use orderhook_actors::notifier_actor::{Leadership, NotifierHandle};
use orderhook_actors::ports::StoreError;
use tokio::sync::watch;

use crate::db::Database;
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

/// How long a node that is no leader remembers an outage that is over: by then a leader has told it.
const REMEMBER: Duration = Duration::from_secs(60);
/// A message that is not taken by then is told again.
const TAKEN: Duration = Duration::from_secs(60);

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
    // How long it lasted, and when it ended.
    let mut outage: Option<(Duration, Instant)> = None;
    while leadership.has_changed().is_ok() {
        every.tick().await;
        // Whether the database is away every node sees for itself, the leader of before and of after.
        if let Err(error) = database.connection().await {
            tracing::debug!(%error, "no alarms without the database");
            away_since.get_or_insert_with(Instant::now);
            continue;
        }
        if let Some(since) = away_since.take().filter(|since| since.elapsed() >= OUTAGE) {
            outage = Some((since.elapsed(), Instant::now()));
        }
        outage = outage.filter(|(_, over)| over.elapsed() < REMEMBER);
        if !leadership
            .borrow()
            .is_some_and(|leadership| leadership.is_fresh(Instant::now()))
        {
            continue;
        }
        match tell(settings, &database, &notifier, outage.map(|(lasted, _)| lasted)).await {
            Ok(()) => outage = None,
            Err(error) => tracing::warn!(%error, "operations could not be told yet"),
        }
    }
}

/// One round. What Telegram has not taken counts as not told and comes again with the next one.
async fn tell(
    settings: AlarmSettings,
    database: &Database,
    notifier: &NotifierHandle,
    outage: Option<Duration>,
) -> Result<(), StoreError> {
    let (chats, mut alarms) = database.limited(async |client| found(settings, client).await).await?;
    alarms.sort_unstable();
    let known: Vec<(AlarmKind, String)> = alarms
        .iter()
        .filter_map(|(kind, subject)| Some((AlarmKind::parse(kind)?, subject.clone())))
        .collect();
    let Some(message) = alarm_message(&known, outage, settings.outbox_limit) else {
        return Ok(());
    };
    if chats.is_empty() {
        return Ok(());
    }
    let waiting: Vec<_> = chats
        .iter()
        .filter_map(|chat_id| notifier.reply(*chat_id, message.clone()))
        .collect();
    let taken = tokio::time::timeout(TAKEN, futures_util::future::join_all(waiting))
        .await
        .unwrap_or_default();
    if !taken.iter().any(|taken| matches!(taken, Ok(true))) {
        return Err(StoreError::Transient("Telegram has not taken the message".to_owned()));
    }
    tracing::warn!(alarms = known.len(), "operations were told");
    let (kinds, subjects): (Vec<String>, Vec<String>) = alarms.into_iter().unzip();
    let told = "UPDATE ops_alarms a SET told_at = now() FROM unnest($1::text[], $2::text[]) AS t(kind, subject) \
                WHERE a.kind = t.kind AND a.subject = t.subject";
    database
        .limited(async |client| client.execute(told, &[&kinds, &subjects]).await)
        .await?;
    Ok(())
}

/// The chats of operations, and what they were not told yet by kind and subject.
async fn found(
    settings: AlarmSettings,
    client: &deadpool_postgres::Object,
) -> Result<(Vec<i64>, Vec<(String, String)>), tokio_postgres::Error> {
    let chats = "SELECT DISTINCT chat_id FROM chats WHERE role = 'ops' AND disabled_at IS NULL";
    let chats: Vec<i64> = client.query(chats, &[]).await?.iter().map(|row| row.get(0)).collect();
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let limits = (seconds(settings.repeat_horizon), seconds(settings.outbox_limit));
    let statement = client.prepare_cached(ALARMS).await?;
    let rows = client.query(&statement, &[&limits.0, &limits.1]).await?;
    Ok((chats, rows.iter().map(|row| (row.get(0), row.get(1))).collect()))
}
