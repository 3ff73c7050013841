//! The primary database dies while hooks flow, and a synchronous standby takes its place.

use std::time::{Duration, Instant};

use reqwest::StatusCode;

use crate::load::{Load, check, hook, rate, tell};
use crate::nginx::{SM_WAITS, until};
use crate::pool::Pool;
use crate::support::replicated::ReplicatedCluster;

/// So many nodes on so many servers.
pub(crate) async fn pool(nodes: usize, servers: usize) -> Pool<ReplicatedCluster> {
    let cluster = ReplicatedCluster::migrated(servers).await;
    let url = cluster.url();
    Pool::start_on(cluster, url, nodes, &[], &[]).await
}

/// How many nodes lead; a node without the database knows that it does not.
pub(crate) async fn leaders(pool: &Pool<ReplicatedCluster>) -> usize {
    let mut leaders = 0;
    for node in &pool.nodes {
        leaders += usize::from(node.metric("orderhook_leader", &[]).await > 0.0);
    }
    leaders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_killed_under_load_and_a_standby_promoted_cost_no_acknowledged_hook() {
    let pool = pool(2, 2).await;
    until("a node leads", async || leaders(&pool).await == 1).await;
    let load = Load::start(&pool.nginx, "primary", rate());
    load.lasts(2).await;
    let killed = Instant::now();
    pool.database.kill_primary();

    // Nobody is writable now. Every answer comes while SM waits for it, and says so.
    let mut slowest = Duration::ZERO;
    for number in 0..10 {
        for node in &pool.nodes {
            let asked = Instant::now();
            let (status, _) = node.send(hook(0, &format!("no-primary-{number}")).1).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            slowest = slowest.max(asked.elapsed());
        }
    }
    println!("refused within {slowest:?}");
    assert!(slowest < SM_WAITS);
    for node in &pool.nodes {
        until("the node says why", async || node.ops("/readyz").await.status() == 503).await;
    }
    until("nobody leads", async || leaders(&pool).await == 0).await;

    pool.database.promote();
    let promoted = Instant::now();
    let before = load.acknowledged();
    until("hooks are stored again", async || load.acknowledged() > before).await;
    println!("writing again {:?} after the promotion", promoted.elapsed());
    assert!(promoted.elapsed() < Duration::from_secs(15));
    for node in &pool.nodes {
        until("the node is ready", async || node.ops("/readyz").await.status() == 200).await;
    }
    until("a node leads again", async || leaders(&pool).await == 1).await;
    println!("led again {:?} after the promotion", promoted.elapsed());

    // The old primary becomes the standby while hooks flow, and takes over in its turn.
    load.lasts(1).await;
    pool.database.rejoin("pg1");
    load.lasts(1).await;
    pool.database.kill_primary();
    pool.database.promote();
    assert_eq!(pool.database.role("pg1"), "primary");
    load.lasts(1).await;
    let attempts = load.stop().await;
    tell("two primaries killed under load", &attempts);
    for attempt in attempts.iter().filter(|attempt| attempt.sent > killed) {
        assert!(attempt.status.is_some() && attempt.elapsed < SM_WAITS, "{attempt:?}");
    }
    check(&pool.database.client().await, &attempts).await;
}
