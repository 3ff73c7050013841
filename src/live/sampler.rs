//! Once a second: a row of figures for the charts, and the state of the node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::{Bytes, Data};
use chrono::Utc;
use orderhook_actors::mailbox::MailboxShown;
use orderhook_actors::notifier_actor::NotifierShown;
use orderhook_actors::registry::BusyOrder;
use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::commits::CommitCounts;
use super::counted::Counted;
use super::hooks::{EVENTS, HookCounts};
use super::light::{Colour, Light, light};
use super::seen::{During, Recent, queue_refusals, seen};
use super::{EVERY, Live, Published};
use crate::app::Node;
use crate::db::PoolShown;
use crate::db::attention::Attention;
use crate::db::health::Health;
use crate::db::outbox::OutboxState;

/// How many changes of the light are remembered.
const CHANGES: usize = 20;
/// How many busy orders are shown: the deepest, and of the others those that have stood the longest.
pub(crate) const BUSY_ORDERS: (usize, usize) = (10, 5);
/// While somebody looks, the tables are read that often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a row of figures holds, in this order: whole numbers, null where there is nothing to say. Counts are
/// those of the last `ms` milliseconds, usually a second: a node that was held up tells what it missed as one
/// row, and loses none of it.
#[must_use]
pub fn columns(actors: &[MailboxShown]) -> Vec<String> {
    let mut columns = vec!["at".to_owned(), "ms".to_owned()];
    columns.extend(EVENTS.iter().map(|event| format!("hooks.{event}")));
    for name in ["rejected", "busy", "unavailable", "late", "p50_us", "p99_us"] {
        columns.push(name.to_owned());
    }
    for actor in actors {
        columns.push(format!("depth.{}", actor.actor));
        columns.push(format!("wait_us.{}", actor.actor));
    }
    for name in [
        "commits",
        "commits_failed",
        "commit_rows",
        "commit_us",
        "commit_max_us",
        "outbox_pending",
        "outbox_oldest_s",
    ] {
        columns.push(name.to_owned());
    }
    columns
}

/// The node at a moment, for the page and for `GET /api/state`.
#[derive(Serialize)]
struct State<'a> {
    at: i64,
    uptime_seconds: u64,
    light: &'a Light,
    /// The light before, newest first.
    changes: &'a VecDeque<Change>,
    notifier: NotifierShown,
    /// `None` while it is not known.
    outbox: Option<OutboxState>,
    /// When it was counted last.
    outbox_read_at: Option<i64>,
    orders_active: usize,
    mailboxes: &'a [MailboxShown],
    busiest_orders: &'a [BusyOrder],
    hooks_in_flight: usize,
    /// How long even the luckiest hook waits for its transaction.
    standing_wait_micros: u64,
    /// How long it waits for a turn on the threads that read hooks.
    turn_wait_micros: u64,
    commits_in_flight: usize,
    /// Connections to PostgreSQL: those that all share, and those of the writers.
    pools: [PoolShown; 2],
    /// Looked up only while somebody looks.
    process: Option<Process>,
    viewers: usize,
    /// Since the start.
    hooks_answered: u64,
    hooks_late: u64,
}

#[derive(Serialize)]
struct Process {
    resident_bytes: Option<u64>,
    threads: Option<u64>,
    open_files: Option<u64>,
}

/// A change of the light.
#[derive(Debug, Clone, Serialize)]
struct Change {
    at: i64,
    colour: Colour,
    /// The first reason; empty for green.
    reason: String,
}

/// What is remembered from one look to the next.
struct Memory {
    looked: Instant,
    hooks: HookCounts,
    commits: CommitCounts,
    /// Waits counted so far by actor: how many, and how long together.
    waits: Vec<(u64, u64)>,
    /// Counted so far.
    queue_refusals: u64,
    recent: Recent,
    changes: VecDeque<Change>,
    attention: Option<Arc<Counted<Attention>>>,
    attention_number: u64,
    tables_asked: Instant,
}

/// Looks once a second until the node ends.
pub async fn run(node: Data<Node>) {
    let now = Instant::now();
    let mut memory = Memory {
        looked: now,
        hooks: node.live.hooks.counts(),
        commits: node.live.commits.counts(),
        waits: node.mailboxes().iter().map(waits).collect(),
        queue_refusals: queue_refusals(&node.mailboxes()),
        recent: Recent::default(),
        changes: VecDeque::new(),
        attention: None,
        attention_number: 0,
        tables_asked: now,
    };
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !node.live.ended() {
        every.tick().await;
        let busiest = busiest(&node).await;
        look(&node, &mut memory, &busiest);
    }
}

/// Walking all orders is for people only: nobody looks, or no order has anything to do, nobody walks.
/// It takes some 20 ms for 100 000 of them, which no thread that serves the database has to spare.
async fn busiest(node: &Node) -> Vec<BusyOrder> {
    let idle = node
        .mailboxes()
        .iter()
        .all(|mailbox| mailbox.actor != "order" || mailbox.depth == 0);
    if node.live.viewers.taken() == 0 || idle {
        return Vec::new();
    }
    let orders = node.actors().orders.clone();
    let walking = tokio::task::spawn_blocking(move || orders.busiest(BUSY_ORDERS.0, BUSY_ORDERS.1));
    walking.await.unwrap_or_default()
}

fn look(node: &Node, memory: &mut Memory, busiest: &[BusyOrder]) {
    let now = Instant::now();
    let live = &node.live;
    let mailboxes = node.mailboxes();
    let hooks = live.hooks.counts();
    let during = hooks.since(&memory.hooks);
    memory.hooks = hooks;
    live.hooks.tell_refused();
    let failed_before = memory.commits.failed;
    live.keep(row(live, memory, &mailboxes, &during, now));
    let refused_before = std::mem::replace(&mut memory.queue_refusals, queue_refusals(&mailboxes));
    let during = During {
        hooks: during,
        commits_failed: memory.commits.failed - failed_before,
        queue_refusals: memory.queue_refusals - refused_before,
    };
    let pools = live.count_connections(&node.database);

    let database = match node.health() {
        Health::Ready => None,
        Health::NotReady(reason) => Some(reason),
    };
    let deadline = live.limits.answer_deadline;
    memory.recent.note(now, during, database.is_none(), deadline);
    let viewers = live.viewers.taken();
    if viewers > 0 && now.duration_since(memory.tables_asked) >= LOOK_EVERY {
        memory.tables_asked = now;
        live.look_now();
    }
    let attention = live.attention.borrow().clone();
    let notifier = node.notifier.shown();
    let outbox = live.outbox.borrow().clone();
    let light = light(&seen(
        node,
        &mut memory.recent,
        database,
        &mailboxes,
        busiest,
        &attention,
    ));
    remember_change(memory, &light);
    let state = State {
        at: Utc::now().timestamp_millis(),
        uptime_seconds: live.started.elapsed().as_secs(),
        light: &light,
        changes: &memory.changes,
        notifier,
        outbox: outbox.fresh(),
        outbox_read_at: outbox.read_at.map(|read_at| read_at.timestamp_millis()),
        orders_active: node.actors().orders.active(),
        mailboxes: &mailboxes,
        busiest_orders: busiest,
        hooks_in_flight: node.hooks_in_flight(),
        standing_wait_micros: u64::try_from(node.standing_wait(&mailboxes).as_micros()).unwrap_or(u64::MAX),
        turn_wait_micros: u64::try_from(node.actors().admission.turn_wait().as_micros()).unwrap_or(u64::MAX),
        commits_in_flight: live.commits.in_flight(),
        pools,
        process: (viewers > 0).then(process),
        viewers,
        hooks_answered: hooks.answered(),
        hooks_late: hooks.late,
    };
    publish(live, memory, json(&state), attention);
}

/// The figures since the last look.
fn row(live: &Live, memory: &mut Memory, mailboxes: &[MailboxShown], during: &HookCounts, now: Instant) -> String {
    let millis = now.duration_since(memory.looked).as_millis();
    memory.looked = now;
    let times = live.hooks.take_times();
    let mut row: Vec<Option<u64>> = vec![
        u64::try_from(Utc::now().timestamp_millis()).ok(),
        u64::try_from(millis).ok(),
    ];
    row.extend(during.by_event.map(Some));
    row.extend([during.rejected, during.busy, during.unavailable, during.late].map(Some));
    row.extend([times.percentile(50), times.percentile(99)]);
    for (mailbox, before) in mailboxes.iter().zip(&mut memory.waits) {
        let after = waits(mailbox);
        row.push(Some(mailbox.depth as u64));
        row.push((after.1 - before.1).checked_div(after.0 - before.0));
        *before = after;
    }
    let commits = live.commits.counts();
    let count = commits.commits - memory.commits.commits;
    row.push(Some(count));
    row.push(Some(commits.failed - memory.commits.failed));
    row.push(Some(commits.rows - memory.commits.rows));
    row.push((commits.micros - memory.commits.micros).checked_div(count));
    row.push(Some(live.commits.take_longest()).filter(|_| count > 0));
    memory.commits = commits;
    let outbox = live.outbox.borrow().fresh();
    row.push(outbox.and_then(|outbox| u64::try_from(outbox.pending).ok()));
    row.push(outbox.and_then(|outbox| u64::try_from(outbox.oldest_seconds).ok()));
    serde_json::to_string(&row).unwrap_or_default()
}

/// Waits of all messages of a mailbox: how many, and how long together in microseconds.
fn waits(mailbox: &MailboxShown) -> (u64, u64) {
    mailbox.messages.iter().fold((0, 0), |(count, micros), message| {
        (count + message.wait.count, micros + message.wait.total_micros)
    })
}

fn remember_change(memory: &mut Memory, light: &Light) {
    if memory.changes.front().map(|change| change.colour) == Some(light.colour) {
        return;
    }
    memory.changes.push_front(Change {
        at: Utc::now().timestamp_millis(),
        colour: light.colour,
        reason: light
            .reasons
            .first()
            .map(|reason| reason.text.clone())
            .unwrap_or_default(),
    });
    memory.changes.truncate(CHANGES);
}

fn process() -> Process {
    let process = metrics_process::collector::collect();
    Process {
        resident_bytes: process.resident_memory_bytes,
        threads: process.threads,
        open_files: process.open_fds,
    }
}

/// What needs a person, and whether that is still so.
#[derive(Serialize)]
struct AttentionShown<'a> {
    /// When it was read; `None` until the first time.
    read_at: Option<i64>,
    /// Why it could not be read again since.
    failure: Option<&'a str>,
    #[serde(flatten)]
    found: &'a Attention,
}

fn publish(live: &Live, memory: &mut Memory, state: Bytes, attention: Arc<Counted<Attention>>) {
    let changed = !memory
        .attention
        .as_ref()
        .is_some_and(|before| Arc::ptr_eq(before, &attention));
    let tables = changed.then(|| {
        json(&AttentionShown {
            read_at: attention.read_at.map(|read_at| read_at.timestamp_millis()),
            failure: attention.failure.as_deref(),
            found: &attention.value,
        })
    });
    if changed {
        memory.attention_number += 1;
        memory.attention = Some(attention);
    }
    live.published.send_modify(|published| {
        *published = Arc::new(Published {
            state,
            attention: tables.unwrap_or_else(|| published.attention.clone()),
            attention_number: memory.attention_number,
            ended: published.ended,
        });
    });
}

/// Serialising our own plain structs into memory cannot fail; a viewer would see the second before.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}
