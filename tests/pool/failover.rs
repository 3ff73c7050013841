//! Nodes that die, freeze, refuse and come back, as SM sees it.

use std::time::{Duration, Instant};

use orderhook_domain::protocol::answer::ErrorBody;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::load::{Attempt, Load, check, hook, rate, tell};
use crate::nginx::{SM_WAITS, until};
use crate::pool::{Pool, ended};

/// A node that is well again is sent hooks again by then: nginx tries it anew every second.
const USED_AGAIN_WITHIN: Duration = Duration::from_secs(2);

/// SM got an answer to everything, and whatever it was, a 2xx after at most a few repeats.
fn answered_in_time(attempts: &[Attempt]) {
    for attempt in attempts {
        assert!(attempt.status.is_some() && attempt.elapsed < SM_WAITS, "{attempt:?}");
    }
}

/// How many hooks a node has answered 200.
async fn answered_by(pool: &Pool, index: usize) -> f64 {
    let labels = ["outcome=\"applied\""];
    pool.nodes[index].metric("orderhook_hooks_total", &labels).await
}

#[tokio::test]
async fn a_node_killed_under_load_costs_sm_at_most_repeats() {
    let mut pool = Pool::start(3).await;
    let load = Load::start(&pool.nginx, "kill", rate());
    load.lasts(2).await;
    let killed = Instant::now();
    pool.nodes[0].kill();
    load.lasts(2).await;
    load.lasts(2).await;
    pool.restart(0).await;
    let restarted = Instant::now();
    until("the restarted node is used", async || answered_by(&pool, 0).await > 0.0).await;
    let used_again = restarted.elapsed();
    println!("used again {used_again:?} after it was ready");
    assert!(used_again < USED_AGAIN_WITHIN, "{used_again:?}");
    load.lasts(1).await;
    let attempts = load.stop().await;
    tell("killed with -9 under load", &attempts);
    let of_the_time = attempts
        .iter()
        .filter(|attempt| attempt.sent + attempt.elapsed >= killed);
    let slowest = of_the_time.map(|attempt| attempt.elapsed).max().unwrap();
    println!("slowest answer after the kill: {slowest:?}");
    answered_in_time(&attempts);
    check(&pool.database.client().await, &attempts).await;
}

#[tokio::test]
async fn a_frozen_node_is_passed_over_and_used_again_when_it_goes_on() {
    let pool = Pool::start(3).await;
    let load = Load::start(&pool.nginx, "freeze", rate());
    load.lasts(2).await;
    let frozen = Instant::now();
    pool.nodes[1].signal("STOP");
    // Until the first hooks have run into the time limit of their first try.
    load.lasts(4).await;
    let passed_over = Instant::now();
    load.lasts(4).await;
    let thawed = Instant::now();
    pool.nodes[1].signal("CONT");
    // The hooks that nginx had given up are judged first, so their number says nothing: look at what nginx
    // is answered.
    let address = pool.places[1].hook_addr.clone();
    let before = pool.nginx.log().len();
    let used = |line: &Value| line["upstream"] == address.as_str() && line["upstream_status"] == "200";
    let answered = || pool.nginx.log().iter().skip(before).filter(|line| used(line)).count();
    until("the node is used again", async || answered() > 0).await;
    let used_again = thawed.elapsed();
    println!("used again {used_again:?} after it went on");
    assert!(used_again < USED_AGAIN_WITHIN, "{used_again:?}");
    until("the node is used as before", async || answered() > 10).await;
    load.lasts(1).await;
    let attempts = load.stop().await;
    tell("frozen under load", &attempts);
    let waited = |from: Instant, to: Instant| {
        let times = attempts
            .iter()
            .filter(|attempt| attempt.sent >= from && attempt.sent < to);
        times.fold((0, 0), |(slow, all), attempt| {
            (slow + usize::from(attempt.elapsed > Duration::from_secs(2)), all + 1)
        })
    };
    let (at_first, later) = (waited(frozen, passed_over), waited(passed_over, thawed));
    println!("hooks of all that had to wait for a second try: {at_first:?} at first, {later:?} later");
    // A third of all would wait for ever if nginx had not noticed.
    assert!(later.0 * 10 < later.1, "{later:?}");
    answered_in_time(&attempts);
    check(&pool.database.client().await, &attempts).await;
}

#[tokio::test]
async fn a_hook_inside_a_node_that_dies_is_answered_by_another_and_stored_once() {
    let mut pool = Pool::start(3).await;
    let client = pool.database.client().await;
    assert_eq!(
        pool.nginx.hook(hook(0, "H1").1).send().await.unwrap().status(),
        StatusCode::OK
    );
    let index = pool.index_of(&Pool::node_of(&client, "H1").await);
    client
        .batch_execute("BEGIN; SELECT FROM orders FOR UPDATE")
        .await
        .unwrap();
    let inside = tokio::spawn(pool.nginx.hook(hook(1, "H1").1).send());
    let watcher = pool.database.client().await;
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE application_name LIKE 'orderhook node-%' AND wait_event_type = 'Lock' \
                 AND datname = current_database()";
    let waiting = async || watcher.query_one(waits, &[]).await.unwrap().get::<_, i64>(0);
    until("the hook is being stored", async || waiting().await == 1).await;
    // PostgreSQL does not know yet that nobody waits for the first statement any more: both commit.
    pool.nodes[index].kill();
    until("another node stores it as well", async || waiting().await == 2).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(inside.await.unwrap().unwrap().status(), StatusCode::OK);
    let query = "SELECT count(*), count(DISTINCT delivery_id) FROM order_events WHERE event = 'paid'";
    let stored = client.query_one(query, &[]).await.unwrap();
    assert_eq!((stored.get::<_, i64>(0), stored.get::<_, i64>(1)), (1, 1));
    let log = pool.nginx.logged(2).await;
    assert_eq!(log[1]["upstream_status"], "502, 200");
}

#[tokio::test]
async fn when_all_nodes_refuse_nginx_adds_no_outage_of_its_own() {
    let mut pool = Pool::start_with(3, &["--drain-deadline", "40s", "--answer-deadline", "4s"], &[]).await;
    // Every node is asked to end while a hook is inside that cannot be committed: it drains, and refuses.
    let held = pool.database.client().await;
    for (index, node) in pool.nodes.iter().enumerate() {
        let (_, created) = hook(0, &format!("held-{index}"));
        node.accepted(created).await;
    }
    held.batch_execute("BEGIN; SELECT FROM orders FOR UPDATE")
        .await
        .unwrap();
    let inside: Vec<_> = pool
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| tokio::spawn(node.hook(hook(1, &format!("held-{index}")).1).send()))
        .collect();
    for node in &pool.nodes {
        until("the hook is inside", async || {
            node.metric("orderhook_mailbox_depth", &["order"]).await >= 1.0
        })
        .await;
        node.signal("TERM");
        until("the node refuses", async || node.ops("/readyz").await.status() == 503).await;
    }
    for number in 0..30 {
        let response = pool.nginx.hook(hook(0, &format!("H{number}")).1).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
    }
    for line in pool.nginx.logged(30).await {
        let by_a_node = line["upstream_status"].as_str().unwrap().ends_with("503");
        assert!(by_a_node, "nginx refused by itself: {line}");
    }
    // One comes back, and every order has a node again.
    pool.nodes[2].kill();
    pool.restart(2).await;
    let back = Instant::now();
    let (mut first, mut refused) = (None, 0);
    for number in 0..30 {
        let (_, body) = hook(0, &format!("H{number}"));
        until("the node that is back is used", async || {
            let taken = pool.nginx.hook(body.clone()).send().await.unwrap().status() == StatusCode::OK;
            refused += usize::from(!taken);
            taken
        })
        .await;
        first.get_or_insert_with(|| back.elapsed());
    }
    let (first, all) = (first.unwrap(), back.elapsed());
    println!("one of three is back: the first order taken after {first:?}, all 30 after {all:?}, {refused} refusals");
    held.batch_execute("COMMIT").await.unwrap();
    for hook in inside {
        // Answered while draining, or cut off with the node that was killed.
        drop(hook.await.unwrap());
    }
    for index in [0, 1] {
        assert_eq!(ended(&mut pool.nodes[index]).await, Some(0));
    }
}

#[tokio::test]
async fn when_no_node_is_there_sm_is_refused_at_once_until_one_is() {
    let mut pool = Pool::start(2).await;
    for node in &mut pool.nodes {
        node.kill();
    }
    for number in 0..20 {
        let response = pool.nginx.hook(hook(0, &format!("H{number}")).1).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer, json!(ErrorBody::unavailable()));
    }
    pool.restart(1).await;
    // The very next hook finds it.
    for number in 0..20 {
        let response = pool.nginx.hook(hook(0, &format!("H{number}")).1).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}
