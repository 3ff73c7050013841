//! The standby is lost, or waiting for it is cut short: nothing is answered 200 that it does not have.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio_postgres::Client;

use crate::load::{Load, check, hook, rate, tell};
use crate::nginx::{SM_WAITS, until};
use crate::primary::pool;
use crate::support::app::TestProcess;
use crate::support::replicated::ReplicatedCluster;

/// Sessions of nodes whose commit waits for the standby.
const WAITING: &str = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
                       AND application_name LIKE 'orderhook%' AND query LIKE '/* group commit */%'";

async fn waiting(client: &Client) -> usize {
    client.query(WAITING, &[]).await.unwrap().len()
}

/// How many arrivals of an order are visible.
async fn arrivals(client: &Client, order_id: &str) -> i64 {
    let query = "SELECT count(*) FROM order_events WHERE order_id = $1";
    client.query_one(query, &[&order_id]).await.unwrap().get(0)
}

/// One node on a primary whose standby has just been lost, and a connection to look.
async fn without_standby() -> (ReplicatedCluster, TestProcess, Client) {
    let cluster = ReplicatedCluster::migrated(2).await;
    // What the notifier writes waits as well; here only hooks shall.
    let node = TestProcess::start(&cluster.url(), &["--log", "warn,orderhook::app=info"]).await;
    node.accepted(hook(0, "before").1).await;
    let client = cluster.client_of("pg1").await;
    cluster.kill("pg2");
    (cluster, node, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_standby_nothing_is_answered_200_and_with_it_all_goes_on() {
    let pool = pool(2, 2).await;
    let load = Load::start(&pool.nginx, "standby", rate());
    load.lasts(2).await;
    pool.database.kill("pg2");
    // Of what was under way some may have reached it; from now on nothing does.
    let client = pool.database.client_of("pg1").await;
    until("commits wait", async || waiting(&client).await >= 2).await;
    let lost = Instant::now();
    let (mut asked, mut at_the_deadline) = (0, 0);
    // Longer than the limit of a statement, so that a commit that it could end would have been.
    while lost.elapsed() < Duration::from_secs(13) {
        asked += 1;
        let sent = Instant::now();
        let (status, _) = pool.nodes[asked % 2].send(hook(0, &format!("lost-{asked}")).1).await;
        // Refused at the deadline, or at the door while too many wait already.
        let is_refused = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        assert!(is_refused, "{status}");
        at_the_deadline += usize::from(status == StatusCode::SERVICE_UNAVAILABLE);
        assert!(sent.elapsed() < SM_WAITS, "{:?}", sent.elapsed());
    }
    assert!(at_the_deadline > 0, "nothing got past the door in 13 s");
    println!("{} commits wait for the standby after 13 s", waiting(&client).await);
    let back = Instant::now();
    pool.database.wake("pg2");
    let before = load.acknowledged();
    until("hooks are stored again", async || load.acknowledged() > before).await;
    println!("writing again {:?} after the standby was started", back.elapsed());
    until("nothing waits", async || waiting(&client).await == 0).await;
    load.lasts(2).await;
    let attempts = load.stop().await;
    tell("the standby lost for 13 s under load", &attempts);
    let wrong = attempts
        .iter()
        .find(|attempt| attempt.acknowledged() && attempt.sent > lost && attempt.sent + attempt.elapsed < back);
    assert!(wrong.is_none(), "{wrong:?}");
    check(&client, &attempts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_waiting_for_the_standby_is_stored_once_and_a_repeat_is_answered() {
    let (cluster, node, client) = without_standby().await;
    let (status, _) = node.send(hook(0, "H1").1).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((waiting(&client).await, arrivals(&client, "H1").await), (1, 0));
    // A repeat waits for the order that waits, and is refused in its turn.
    let (status, _) = node.send(hook(0, "H1").1).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    cluster.wake("pg2");
    until("the first one is stored", async || arrivals(&client, "H1").await >= 1).await;
    node.accepted(hook(0, "H1").1).await;
    let applied =
        "SELECT count(*) FILTER (WHERE outcome = 'applied'), count(*) FROM order_events WHERE order_id = 'H1'";
    let row = client.query_one(applied, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 2));
    let standby = cluster.client_of("pg2").await;
    until("the standby has it, too", async || arrivals(&standby, "H1").await == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_released_by_the_policy_is_stored_and_hooks_flow_without_a_standby() {
    let (cluster, node, client) = without_standby().await;
    let (status, _) = node.send(hook(0, "H1").1).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    cluster.release();
    until("the first one is stored", async || arrivals(&client, "H1").await == 1).await;
    node.accepted(hook(0, "H1").1).await;
    node.accepted(hook(0, "H2").1).await;
    // The standby catches up, and is waited for again.
    cluster.rejoin("pg2");
    node.accepted(hook(0, "H3").1).await;
    let standby = cluster.client_of("pg2").await;
    until("the standby has all", async || arrivals(&standby, "H3").await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_standbys_one_may_be_lost_without_a_refusal() {
    let cluster = ReplicatedCluster::migrated(3).await;
    let node = TestProcess::start(&cluster.url(), &[]).await;
    node.accepted(hook(0, "H1").1).await;
    cluster.kill("pg3");
    for number in 0..50 {
        node.accepted(hook(0, &format!("one-{number}")).1).await;
    }
    // The other one has it all, and takes over; the first comes back as its standby.
    cluster.kill_primary();
    cluster.wake("pg3");
    cluster.promote();
    assert_eq!(cluster.role("pg2"), "primary");
    let client = cluster.client_of("pg2").await;
    assert_eq!(arrivals(&client, "one-49").await, 1);
    until("hooks are stored again", async || {
        node.send(hook(0, "H2").1).await.0 == StatusCode::OK
    })
    .await;
    let waits = client.query_one("SHOW synchronous_standby_names", &[]).await.unwrap();
    assert_eq!(waits.get::<_, &str>(0), "ANY 1 (pg1,pg3)");
}

/// Cuts the waiting of a commit short in the middle of its hook, which must not be answered 200.
async fn cut_short(how: &str) {
    let (cluster, node, client) = without_standby().await;
    // A second try by nginx carries the same id.
    let send = || {
        node.hook(hook(0, "H1").1)
            .header("X-Request-Id", "0123456789abcdef")
            .send()
    };
    let sending = tokio::spawn(send());
    until("the commit waits", async || waiting(&client).await == 1).await;
    let cut = format!("SELECT {how}(pid) FROM ({WAITING}) AS waiting");
    client.query(&cut, &[]).await.unwrap();
    assert_eq!(
        sending.await.unwrap().unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    // The primary has it and shows it: that is not enough.
    assert_eq!(arrivals(&client, "H1").await, 1);
    assert_eq!(send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    cluster.wake("pg2");
    until("the second try is answered", async || {
        send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    let standby = cluster.client_of("pg2").await;
    until("the standby has it", async || arrivals(&standby, "H1").await == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_while_it_waits_for_the_standby_acknowledges_nothing() {
    cut_short("pg_terminate_backend").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_the_standby_cancelled_by_somebody_acknowledges_nothing() {
    cut_short("pg_cancel_backend").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_ends_no_wait_for_the_standby() {
    let (cluster, node, client) = without_standby().await;
    let gone = node
        .hook(hook(0, "H1").1)
        .timeout(Duration::from_millis(300))
        .send()
        .await;
    assert!(gone.unwrap_err().is_timeout());
    until("the commit waits", async || waiting(&client).await == 1).await;
    let since = Instant::now();
    // Beyond the limit of a statement and the node's own.
    while since.elapsed() < Duration::from_secs(8) {
        assert_eq!((waiting(&client).await, arrivals(&client, "H1").await), (1, 0));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.wake("pg2");
    until("it is stored", async || arrivals(&client, "H1").await == 1).await;
}
