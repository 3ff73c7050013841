//! A primary of the past is still there: frozen, read-only, or believing to be the primary. What is
//! answered 200 is on the new one.

use std::time::Instant;

use reqwest::StatusCode;

use crate::load::{Load, check, hook, rate, tell};
use crate::nginx::{SM_WAITS, until};
use crate::primary::{leaders, pool};
use crate::support::app::TestProcess;
use crate::support::replicated::ReplicatedCluster;

/// Makes `pg2` the primary without a word to `pg1`, as a manager would that cannot reach it.
async fn promote_unfenced(cluster: &ReplicatedCluster) {
    let standby = cluster.client_of("pg2").await;
    let promoted = standby.query_one("SELECT pg_promote()", &[]).await.unwrap();
    assert!(promoted.get::<_, bool>(0));
}

/// What a server says that it is: whether it takes writes, as far as it knows.
async fn set_read_only(cluster: &ReplicatedCluster, server: &str, read_only: bool) {
    let client = cluster.client_of(server).await;
    let set = format!("ALTER SYSTEM SET default_transaction_read_only = {read_only}");
    client.batch_execute(&set).await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_becomes_read_only_is_left_for_the_writable_one() {
    let pool = pool(2, 2).await;
    let load = Load::start(&pool.nginx, "read-only", rate());
    load.lasts(2).await;
    // Its sessions go on, and no connection breaks.
    set_read_only(&pool.database, "pg1", true).await;
    for node in &pool.nodes {
        until("the node says why", async || node.ops("/readyz").await.status() == 503).await;
        let (status, _) = node.send(hook(0, "nowhere").1).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    promote_unfenced(&pool.database).await;
    let promoted = Instant::now();
    let before = load.acknowledged();
    until("hooks are stored again", async || load.acknowledged() > before).await;
    println!("writing again {:?} after the promotion", promoted.elapsed());
    load.lasts(2).await;
    for node in &pool.nodes {
        until("the node is ready", async || node.ops("/readyz").await.status() == 200).await;
    }
    until("a node leads again", async || leaders(&pool).await == 1).await;
    let attempts = load.stop().await;
    tell("a primary that became read-only under load", &attempts);
    check(&pool.database.client_of("pg2").await, &attempts).await;
    // Nobody is connected to it any more, not even to read.
    let old = pool.database.client_of("pg1").await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'orderhook node-%'";
    until("nobody asks the old primary", async || {
        old.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_primary_is_left_for_the_promoted_standby_and_loses_nothing_when_it_goes_on() {
    let pool = pool(2, 2).await;
    let load = Load::start(&pool.nginx, "frozen", rate());
    load.lasts(2).await;
    // It takes connections and never answers, as a server behind a dead disk does; it is asked first.
    pool.database.signal("pg1", "STOP");
    promote_unfenced(&pool.database).await;
    let promoted = Instant::now();
    let before = load.acknowledged();
    until("hooks are stored again", async || load.acknowledged() > before).await;
    println!("writing again {:?} after the promotion", promoted.elapsed());
    // Until what hangs in it is given up.
    load.lasts(8).await;
    // Two primaries. What the old one still stores waits for a standby that it has no more.
    pool.database.signal("pg1", "CONT");
    load.lasts(2).await;
    pool.database.kill("pg1");
    load.lasts(2).await;
    let attempts = load.stop().await;
    tell("a frozen primary under load", &attempts);
    check(&pool.database.client_of("pg2").await, &attempts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_primary_that_comes_back_writable_acknowledges_nothing() {
    let cluster = ReplicatedCluster::migrated(2).await;
    cluster.kill_primary();
    cluster.promote();
    cluster.wake("pg1");
    assert_eq!(cluster.role("pg1"), "primary");
    // A node that reaches nobody else stores what it can, and says that it is not safe.
    let lost = TestProcess::start(&cluster.url_of("pg1"), &[]).await;
    for _ in 0..2 {
        let (status, _) = lost.send(hook(0, "H1").1).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    // Whichever server a node of the pool has found, what it acknowledges is on the new primary.
    let node = TestProcess::start(&cluster.url(), &[]).await;
    let mut acknowledged = Vec::new();
    for number in 0..10 {
        let order_id = format!("two-primaries-{number}");
        if node.send(hook(0, &order_id).1).await.0 == StatusCode::OK {
            acknowledged.push(order_id);
        }
    }
    println!("{} of 10 hooks acknowledged between two primaries", acknowledged.len());
    // A standby that is made of it has lost only what nobody was told of.
    cluster.rejoin("pg1");
    until("the node finds the primary", async || {
        node.send(hook(0, "H2").1).await.0 == StatusCode::OK
    })
    .await;
    let client = cluster.client().await;
    let stored = "SELECT count(*) FROM orders WHERE order_id = ANY($1)";
    let stored: i64 = client.query_one(stored, &[&acknowledged]).await.unwrap().get(0);
    assert_eq!(usize::try_from(stored).unwrap(), acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_alone_is_no_database_to_write_to() {
    let cluster = ReplicatedCluster::migrated(2).await;
    cluster.kill_primary();
    let node = TestProcess::start(&cluster.url(), &[]).await;
    assert_eq!(node.ops("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let asked = Instant::now();
    let (status, _) = node.send(hook(0, "H1").1).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(asked.elapsed() < SM_WAITS);
    cluster.promote();
    until("hooks are stored", async || {
        node.send(hook(0, "H1").1).await.0 == StatusCode::OK
    })
    .await;
}
