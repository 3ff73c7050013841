//! The proofs: two nodes at work, and two of which one is killed again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join;
use orderhook_domain::apply::{Conflict, Note, Outcome};
use orderhook_domain::event::EventKind;
use orderhook_domain::notice::NoticeKind;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::sync::watch;

use crate::check::Case;
use crate::nodes::Pair;
use crate::plan::{self, Plan};
use crate::report::report;
use crate::rows::Stored;
use crate::sent::{Attempt, Sent};
use crate::stored;
use crate::support::database::TestDatabase;
use crate::traffic::{Repeats, send};
use crate::verdict::{CHATS, complaints};

#[actix_rt::test]
async fn one_thousand_random_orders_on_two_nodes() {
    let plan = Plan::of_seed(plan::seed(), 1000);
    let database = database().await;
    let pair = Pair::start(database.url()).await;
    let started = Instant::now();
    let sent = send(
        &plan.hooks,
        &pair.addresses,
        Repeats::Never,
        plan.seed,
        &watch::Sender::new(0),
    )
    .await;
    let attempts = || sent.iter().flat_map(|sent| &sent.attempts);
    let slowest = attempts().map(|attempt| attempt.ended - attempt.sent).max();
    let took = started.elapsed();
    println!("{} hooks in {took:?}, the slowest in {slowest:?}", sent.len());

    let refused: Vec<_> = attempts().filter(|attempt| attempt.acknowledged().is_none()).collect();
    assert!(
        refused.is_empty(),
        "{} answers are not 200, among them {:#?}",
        refused.len(),
        &refused[..refused.len().min(5)]
    );
    let mut lost_versions = 0.0_f64;
    for node in pair.addresses.now() {
        lost_versions = lost_versions.max(node.client.metric("orderhook_version_conflicts_total", &[]).await);
    }
    assert!(lost_versions > 0.0, "the nodes never met at one order");

    let stored = settled(&plan, pair, &database).await;
    let rows: usize = stored.iter().map(|order| order.events.len()).sum();
    assert_eq!(rows, sent.len(), "one row for each acknowledged event");
    judge(&plan, started, &sent, &stored);
    answers_are_on_record(&sent, &stored);
    everything_happened(&stored, 5);
}

#[actix_rt::test]
async fn one_hundred_random_orders_on_two_nodes_that_are_killed() {
    const KILLS: usize = 6;
    let plan = Plan::of_seed(plan::seed(), 100);
    let database = database().await;
    let mut pair = Pair::start(database.url()).await;
    let started = Instant::now();
    let mut sent = Vec::new();
    for (part, hooks) in plan.hooks.chunks(plan.hooks.len().div_ceil(KILLS)).enumerate() {
        let (acknowledged, mut progress) = watch::channel(0);
        let addresses = pair.addresses.clone();
        let seed = plan.seed.wrapping_add(part as u64);
        let sending = send(hooks, &addresses, Repeats::UntilAcknowledged, seed, &acknowledged);
        let killing = async {
            progress.wait_for(|count| *count >= hooks.len() / 2).await.unwrap();
            pair.replace(part % 2).await;
        };
        sent.extend(join(sending, killing).await.0);
    }
    let attempts = || sent.iter().flat_map(|sent| &sent.attempts);
    let unanswered = attempts().filter(|attempt| attempt.acknowledged().is_none()).count();
    println!(
        "{} deliveries, {unanswered} unanswered tries, in {:?}",
        sent.len(),
        started.elapsed()
    );
    assert!(unanswered > 0, "no kill hit anything");

    let stored = settled(&plan, pair, &database).await;
    judge(&plan, started, &sent, &stored);
    let unheard = sent.iter().filter(|sent| sent.acknowledged().is_none());
    let unheard: BTreeSet<&str> = unheard.map(|sent| &*sent.request_id).collect();
    let events = stored.iter().flat_map(|stored| &stored.events);
    let unheard = events.filter(|event| unheard.contains(&*event.request_id)).count();
    println!("{unheard} events were committed without an answer");
}

async fn database() -> TestDatabase {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    for (role, chat_id, store) in CHATS {
        let subscribe = "INSERT INTO chats (store_id, role, chat_id) VALUES ($1, $2, $3)";
        client.execute(subscribe, &[&store, &role, &chat_id]).await.unwrap();
    }
    database
}

/// What operations see of every order, and then, when the nodes have ended, what is stored.
async fn settled(plan: &Plan, pair: Pair, database: &TestDatabase) -> Vec<Stored> {
    let [one, two] = pair.addresses.now();
    let asking = (0..plan.orders).map(|order| {
        let node = if order % 2 == 0 { &one } else { &two };
        async move {
            let path = format!("/api/orders/{}", plan::order_id(order));
            let response = node.client.ops(&path).await;
            match response.status() {
                StatusCode::OK => Some(response.json::<Value>().await.unwrap()),
                StatusCode::NOT_FOUND => None,
                other => panic!("{path}: {other}"),
            }
        }
    });
    let shown = futures_util::stream::iter(asking).buffered(8).collect().await;
    pair.stop();
    stored::quiet(database).await;
    stored::read(database, shown).await
}

/// Checks every order by itself, and the numbers of all.
fn judge(plan: &Plan, started: Instant, sent: &[Sent<'_>], stored: &[Stored]) {
    let mut of_order: HashMap<usize, Vec<&Sent<'_>>> = HashMap::new();
    for sent in sent {
        of_order.entry(sent.hook.order).or_default().push(sent);
    }
    let mut failed = Vec::new();
    for (order, stored) in stored.iter().enumerate() {
        let sent = of_order.remove(&order).unwrap_or_default();
        let case = Case { sent, stored };
        let complaints = complaints(&case);
        if !complaints.is_empty() {
            failed.push((case, complaints));
        }
    }
    report(plan, started, &failed);
    let numbers: Vec<_> = stored
        .iter()
        .filter_map(|stored| stored.row.as_ref()?.number.as_ref())
        .collect();
    let distinct: BTreeSet<_> = numbers.iter().collect();
    assert_eq!(distinct.len(), numbers.len(), "a number was given twice");
    println!(
        "{} orders judged, {:?} since the first hook",
        stored.len(),
        started.elapsed()
    );
}

/// Rule 5 needs the answers to created and changed. One that took long may have been given too late.
fn answers_are_on_record(sent: &[Sent<'_>], stored: &[Stored]) {
    let slow = Duration::from_secs(1);
    let in_time = |attempt: &Attempt| attempt.ended - attempt.sent < slow;
    let in_time: BTreeSet<&str> = sent
        .iter()
        .filter(|sent| matches!(sent.hook.event.kind, EventKind::Created | EventKind::Changed))
        .filter(|sent| sent.attempts.iter().any(in_time))
        .map(|sent| &*sent.request_id)
        .collect();
    let events = stored.iter().flat_map(|stored| &stored.events);
    let lost: Vec<_> = events
        .filter(|event| event.answered_at.is_none() && in_time.contains(&*event.request_id))
        .map(|event| (&event.request_id, &event.node))
        .collect();
    assert!(lost.is_empty(), "answers that are not on record: {lost:?}");
}

/// Agreement means nothing where nothing happens.
fn everything_happened(stored: &[Stored], least: usize) {
    let mut seen = BTreeMap::<&str, usize>::new();
    for event in stored.iter().flat_map(|stored| &stored.events) {
        let words = event.notes.iter().chain(&event.notice).map(String::as_str);
        for word in words.chain([&*event.outcome]) {
            *seen.entry(word).or_default() += 1;
        }
    }
    let shipped = stored.iter().filter(|stored| !stored.moved.is_empty()).count();
    println!("{seen:?}, shipped: {shipped}");
    let conflicts = Conflict::ALL.map(|conflict| Note::Conflict(conflict).as_str());
    let notes = [
        Note::LateRepeat,
        Note::OlderTimestamp,
        Note::CompositionRestored,
        Note::ParkedStale,
    ];
    let outcomes = Outcome::ALL
        .map(Outcome::as_str)
        .into_iter()
        .filter(|outcome| *outcome != "rejected");
    let expected = outcomes
        .chain(NoticeKind::ALL.map(NoticeKind::as_str))
        .chain(notes.map(Note::as_str))
        .chain(conflicts);
    let missed: Vec<_> = expected
        .filter(|word| seen.get(word).is_none_or(|count| *count < least))
        .collect();
    assert!(
        missed.is_empty() && shipped >= least,
        "{missed:?} hardly happened in {seen:?}"
    );
}
