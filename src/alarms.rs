//! Operational alarms to the chats with the role `ops`: looked for by the leader, each thing told once, again
//! after a day or when it has come back, and everything of one round in one message to each chat.

mod frequency;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orderhook_actors::notifier_actor::{Leadership, NotifierHandle};
use orderhook_actors::ports::StoreError;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::db::leader::Outage;
use crate::db::{Database, chats};
use crate::telegram::ops::{AlarmKind, alarm_message};
use frequency::Frequency;

const UNANSWERED: &str = include_str!("../sql/queries/unanswered_created.sql");
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
/// What no chat has taken by then is told again; the sender has given it up, too.
const TAKEN: Duration = Duration::from_secs(65);

/// How many arrivals are looked at with one statement for a created without an answer: a few tenths of a second.
const ARRIVALS: i64 = 20_000;
/// So many arrivals with a contradiction, without an order or rejected are remembered for an alarm: a hundred a
/// second for the quarter of an hour in which [`Frequency`] may hold a kind back.
const NEWEST: i64 = 100_000;
/// With so many such statements, and what has come meanwhile, alarms of other kinds are not kept waiting.
const STATEMENTS_PER_ROUND: usize = 25;

/// A kind and a subject.
type Alarm = (AlarmKind, String);

/// Looks and tells until the election ends.
pub async fn watch(
    settings: AlarmSettings,
    database: Database,
    notifier: NotifierHandle,
    leadership: watch::Receiver<Option<Leadership>>,
    outages: watch::Receiver<Option<Outage>>,
) {
    let mut every = tokio::time::interval(settings.every);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut alarms = Alarms {
        settings,
        database,
        notifier,
        frequency: Frequency::default(),
        telling: JoinSet::new(),
        under_way: HashSet::new(),
        outages,
        told_outage: None,
    };
    while leadership.has_changed().is_ok() {
        every.tick().await;
        alarms.forget_what_is_told();
        let leads = |leadership: Leadership| leadership.is_fresh(Instant::now());
        if !leadership.borrow().is_some_and(leads) {
            continue;
        }
        match alarms.look().await {
            Ok(Looked::AtAll) => {}
            Ok(Looked::AtSome) => every.reset_immediately(),
            Err(error) => tracing::warn!(%error, "it is not known what operations should be told"),
        }
    }
}

/// How far a round came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    AtAll,
    /// More arrivals wait to be looked at than one round takes.
    AtSome,
}

struct Alarms {
    settings: AlarmSettings,
    database: Database,
    notifier: NotifierHandle,
    frequency: Frequency,
    /// Messages that no chat has taken yet, each with what it tells.
    telling: JoinSet<Telling>,
    /// What they tell: it is not told beside them.
    under_way: HashSet<Alarm>,
    outages: watch::Receiver<Option<Outage>>,
    /// When the last outage ended that was told, or is being told.
    told_outage: Option<Instant>,
}

/// What became of the messages of one round.
struct Telling {
    alarms: Vec<Alarm>,
    outage: Option<Outage>,
    outage_is_told: bool,
}

impl Alarms {
    /// One round. What no chat takes counts as not told and comes again.
    async fn look(&mut self) -> Result<Looked, StoreError> {
        let settings = self.settings;
        let looked = self.look_at_arrivals().await?;
        let (chats, found) = self
            .database
            .limited(async |client| found(settings, client).await)
            .await?;
        let outage = self.outages.borrow().filter(|outage| {
            outage.lasted >= OUTAGE && outage.over.elapsed() < REMEMBER && Some(outage.over) != self.told_outage
        });
        let now = Instant::now();
        let kinds: HashSet<AlarmKind> = found.keys().map(|(kind, _)| *kind).collect();
        let allowed: HashSet<AlarmKind> = kinds
            .into_iter()
            .filter(|kind| self.frequency.allows(*kind, now))
            .collect();
        let mut messages = Vec::new();
        for (chat_id, stores) in chats {
            let concerns = |about: &HashSet<Option<String>>| {
                stores.contains(chats::EVERY_STORE)
                    || about
                        .iter()
                        .any(|about| about.as_ref().is_none_or(|store| stores.contains(store)))
            };
            let told: Vec<Alarm> = found
                .iter()
                .filter(|(alarm, about)| {
                    allowed.contains(&alarm.0) && !self.under_way.contains(*alarm) && concerns(about)
                })
                .map(|(alarm, _)| alarm.clone())
                .collect();
            let outage_lasted = outage.map(|outage| outage.lasted);
            let message = alarm_message(&told, outage_lasted, settings.outbox_limit);
            let taken = message.and_then(|message| self.notifier.reply(chat_id, message));
            messages.extend(taken.map(|taken| (told, taken)));
        }
        if messages.is_empty() {
            return Ok(looked);
        }
        let alarms: HashSet<Alarm> = messages.iter().flat_map(|(told, _)| told.iter().cloned()).collect();
        let told_kinds: HashSet<AlarmKind> = alarms.iter().map(|(kind, _)| *kind).collect();
        told_kinds.into_iter().for_each(|kind| self.frequency.tell(kind, now));
        self.under_way.extend(alarms.iter().cloned());
        self.told_outage = outage.map(|outage| outage.over).or(self.told_outage);
        let (database, alarms) = (self.database.clone(), alarms.into_iter().collect());
        self.telling.spawn(tell(database, messages, alarms, outage));
        Ok(looked)
    }

    /// Finds created that SM never had an answer to, among what arrived since the last round.
    async fn look_at_arrivals(&self) -> Result<Looked, StoreError> {
        let horizon = seconds(self.settings.repeat_horizon);
        for _ in 0..STATEMENTS_PER_ROUND {
            let row = self
                .database
                .limited(async |client| {
                    let statement = client.prepare_cached(UNANSWERED).await?;
                    client.query_one(&statement, &[&horizon, &ARRIVALS]).await
                })
                .await?;
            if row.get("has_left_out") {
                tracing::warn!(
                    "for an hour no leader has looked for created without an answer: older ones are not told"
                );
            }
            if row.get::<_, i64>("looked_at") < ARRIVALS {
                return Ok(Looked::AtAll);
            }
        }
        Ok(Looked::AtSome)
    }

    /// What is told, or was not taken by anybody, is under way no more.
    fn forget_what_is_told(&mut self) {
        while let Some(told) = self.telling.try_join_next() {
            let Ok(told) = told else {
                // It panicked: nobody knows what it told, and nothing may stay under way for ever.
                self.under_way.clear();
                continue;
            };
            for alarm in &told.alarms {
                self.under_way.remove(alarm);
            }
            if told.outage.is_some() && !told.outage_is_told {
                self.told_outage = None;
            }
        }
    }
}

type Messages = Vec<(Vec<Alarm>, tokio::sync::oneshot::Receiver<bool>)>;

/// Marks what is told as soon as one chat has taken it: others that are slow or fail make nobody hear it
/// twice.
async fn tell(database: Database, messages: Messages, alarms: Vec<Alarm>, outage: Option<Outage>) -> Telling {
    let mut untold: HashSet<Alarm> = alarms.iter().cloned().collect();
    let mut outage_is_told = false;
    let mut waiting: FuturesUnordered<_> = messages
        .into_iter()
        .map(async |(told, taken)| (told, matches!(taken.await, Ok(true))))
        .collect();
    let telling = async {
        while !untold.is_empty() || (outage.is_some() && !outage_is_told) {
            let Some((told, is_taken)) = waiting.next().await else {
                break;
            };
            if !is_taken {
                continue;
            }
            outage_is_told = true;
            let news: Vec<Alarm> = told.into_iter().filter(|alarm| untold.remove(alarm)).collect();
            if let Err(error) = mark(&database, &news).await {
                tracing::warn!(%error, "operations were told, and will be told again");
            }
            tracing::warn!(alarms = news.len(), "operations were told");
        }
    };
    // The sender gives answers up after a minute.
    if tokio::time::timeout(TAKEN, telling).await.is_err() || !untold.is_empty() {
        tracing::warn!(alarms = untold.len(), "operations could not be told yet");
    }
    Telling {
        alarms,
        outage,
        outage_is_told,
    }
}

async fn mark(database: &Database, told: &[Alarm]) -> Result<(), StoreError> {
    let kinds: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    let subjects: Vec<&str> = told.iter().map(|(_, subject)| subject.as_str()).collect();
    let told = "UPDATE ops_alarms a SET told_at = now() FROM unnest($1::text[], $2::text[]) AS t(kind, subject) \
                WHERE a.kind = t.kind AND a.subject = t.subject";
    database
        .limited(async |client| client.execute(told, &[&kinds, &subjects]).await)
        .await?;
    Ok(())
}

/// The chats of operations with their stores, and what they were not told yet with the stores it is about.
type Found = (BTreeMap<i64, HashSet<String>>, BTreeMap<Alarm, HashSet<Option<String>>>);

async fn found(settings: AlarmSettings, client: &deadpool_postgres::Object) -> Result<Found, tokio_postgres::Error> {
    let mut chats = BTreeMap::<i64, HashSet<String>>::new();
    let subscribed = "SELECT chat_id, store_id FROM chats WHERE role = 'ops' AND disabled_at IS NULL";
    for row in client.query(subscribed, &[]).await? {
        chats.entry(row.get(0)).or_default().insert(row.get(1));
    }
    let limits = (seconds(settings.repeat_horizon), seconds(settings.outbox_limit));
    let statement = client.prepare_cached(ALARMS).await?;
    let mut alarms = BTreeMap::<Alarm, HashSet<Option<String>>>::new();
    for row in client.query(&statement, &[&limits.0, &limits.1, &NEWEST]).await? {
        if let Some(kind) = AlarmKind::parse(row.get(0)) {
            alarms.entry((kind, row.get(1))).or_default().insert(row.get(2));
        }
    }
    Ok((chats, alarms))
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
