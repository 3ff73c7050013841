//! One leader at a time, whatever happens to the one before.

use std::sync::Arc;
use std::time::Duration;

use orderhook::db::leader::{LOCK, LeaderElection};
use orderhook_actors::notifier_actor::Leadership;
use orderhook_actors::ports::Outbox;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::fixture::{EPOCH, Fixture};

/// Nothing here takes so long unless it is broken.
const BOUND: Duration = Duration::from_secs(30);

const END_FROZEN: &str = include_str!("../../sql/queries/leader_end_frozen.sql");

fn candidate(fixture: &Fixture, node: &str) -> LeaderElection {
    LeaderElection::start(&fixture.database.open(), Arc::from(node))
}

/// Waits until this candidate leads with a later epoch than that, and returns the epoch.
async fn leads_after(leadership: &mut watch::Receiver<Option<Leadership>>, epoch: i64) -> i64 {
    let leads = leadership.wait_for(|leadership| leadership.is_some_and(|leadership| leadership.epoch > epoch));
    tokio::time::timeout(BOUND, leads)
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .epoch
}

async fn leads_no_more(leadership: &mut watch::Receiver<Option<Leadership>>) {
    let ends = leadership.wait_for(Option::is_none);
    tokio::time::timeout(BOUND, ends).await.unwrap().unwrap();
}

/// A session that holds the lock, as a frozen node's would.
async fn frozen(fixture: &Fixture, application: &str) -> Client {
    let client = fixture.database.client().await;
    let set = format!("SET application_name = '{application}'");
    client.batch_execute(&set).await.unwrap();
    let lock = "SELECT pg_try_advisory_lock($1)";
    assert!(client.query_one(lock, &[&LOCK]).await.unwrap().get::<_, bool>(0));
    let sign = "UPDATE sender_leader SET backend_pid = pg_backend_pid(), renewed_at = now() - interval '1 hour'";
    client.execute(sign, &[]).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_leads_and_the_other_takes_over_when_it_is_released() {
    let fixture = Fixture::create().await;
    let first = candidate(&fixture, "first");
    let mut of_first = first.leadership();
    let epoch = leads_after(&mut of_first, EPOCH).await;
    assert_eq!(epoch, EPOCH + 1);
    let second = candidate(&fixture, "second");
    let mut of_second = second.leadership();
    // The sign of life is renewed by the one who leads.
    let renewed = of_first.borrow().unwrap().renewed;
    let later = of_first.wait_for(|leadership| leadership.is_some_and(|leadership| leadership.renewed > renewed));
    tokio::time::timeout(BOUND, later).await.unwrap().unwrap();
    assert!(of_second.borrow().is_none());
    first.release().await;
    assert!(of_first.borrow().is_none());
    assert_eq!(leads_after(&mut of_second, EPOCH).await, EPOCH + 2);
    let node = "SELECT node FROM sender_leader";
    let node: String = fixture.client.query_one(node, &[]).await.unwrap().get(0);
    assert_eq!(node, "second");
    second.release().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_is_ended_and_replaced_and_can_claim_nothing() {
    let fixture = Fixture::create().await;
    let notice = fixture.waits_for("H1", 1).await;
    let frozen = frozen(&fixture, "orderhook frozen").await;
    let standby = candidate(&fixture, "standby");
    let mut leadership = standby.leadership();
    let epoch = leads_after(&mut leadership, EPOCH).await;
    assert!(frozen.query("SELECT 1", &[]).await.is_err(), "its session was ended");
    assert!(fixture.outbox.claim(EPOCH, 1, vec![notice]).await.is_err());
    assert_eq!(fixture.outbox.claim(epoch, 1, vec![notice]).await, Ok(()));
    standby.release().await;
}

#[tokio::test]
async fn only_a_silent_session_of_this_service_is_ended() {
    let fixture = Fixture::create().await;
    let statement = |age: &str| END_FROZEN.replace("interval '5 seconds'", &format!("interval '{age}'"));
    let end = async |age: &str| {
        let ended = fixture.client.query(&statement(age), &[&LOCK]).await.unwrap();
        ended.iter().filter(|row| row.get::<_, bool>("ended")).count()
    };
    let stranger = frozen(&fixture, "psql").await;
    assert_eq!(end("0 seconds").await, 0);
    drop(stranger);
    let locks = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = \
                 (SELECT oid FROM pg_database WHERE datname = current_database())";
    while fixture.client.query_opt(locks, &[]).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    let node = frozen(&fixture, "orderhook node").await;
    // It has taken the lock just now, and is about to sign.
    assert_eq!(end("1 minute").await, 0);
    fixture.execute("UPDATE sender_leader SET renewed_at = now()").await;
    assert_eq!(end("1 minute").await, 0);
    fixture
        .execute("UPDATE sender_leader SET renewed_at = now() - interval '1 hour'")
        .await;
    assert_eq!(end("0 seconds").await, 1);
    assert!(node.query("SELECT 1", &[]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_session_ends_stops_and_strives_again() {
    let fixture = Fixture::create().await;
    let node = candidate(&fixture, "node");
    let mut leadership = node.leadership();
    let epoch = leads_after(&mut leadership, EPOCH).await;
    fixture
        .execute("SELECT pg_terminate_backend(backend_pid) FROM sender_leader")
        .await;
    leads_no_more(&mut leadership).await;
    assert_eq!(leads_after(&mut leadership, epoch).await, epoch + 1);
    node.release().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_finds_another_epoch_gives_up() {
    let fixture = Fixture::create().await;
    let node = candidate(&fixture, "node");
    let mut leadership = node.leadership();
    let epoch = leads_after(&mut leadership, EPOCH).await;
    fixture.set_epoch(epoch + 10).await;
    leads_no_more(&mut leadership).await;
    assert_eq!(leads_after(&mut leadership, epoch).await, epoch + 11);
    node.release().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_candidates_make_one_leader() {
    let fixture = Fixture::create().await;
    let candidates: Vec<LeaderElection> = (0..8)
        .map(|number| candidate(&fixture, &format!("node {number}")))
        .collect();
    for round in 1..=3 {
        let epoch = async {
            loop {
                let epoch: i64 = fixture
                    .client
                    .query_one("SELECT epoch FROM sender_leader", &[])
                    .await
                    .unwrap()
                    .get(0);
                if epoch == EPOCH + round {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(BOUND, epoch).await.unwrap();
        fixture
            .execute("SELECT pg_terminate_backend(backend_pid) FROM sender_leader")
            .await;
    }
    for candidate in candidates {
        candidate.release().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_sender_is_dead_gives_way_to_another_one() {
    let fixture = Fixture::create().await;
    let first = candidate(&fixture, "first");
    let (beat, pulse) = watch::channel(Instant::now());
    first.depends_on(pulse);
    let mut of_first = first.leadership();
    let epoch = leads_after(&mut of_first, EPOCH).await;
    let second = candidate(&fixture, "second");
    let mut of_second = second.leadership();
    // As when the actor panics: what it owned is dropped.
    drop(beat);
    leads_no_more(&mut of_first).await;
    let later = leads_after(&mut of_second, epoch).await;
    // It does not come back, although it could.
    second.release().await;
    let third = candidate(&fixture, "third");
    leads_after(&mut third.leadership(), later).await;
    assert_eq!(*of_first.borrow(), None);
    // Nor does one that hangs.
    let (_beat, stopped) = watch::channel(Instant::now() - Duration::from_secs(60));
    let mut of_third = third.leadership();
    third.depends_on(stopped);
    leads_no_more(&mut of_third).await;
}
