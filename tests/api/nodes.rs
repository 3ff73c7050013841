//! Several nodes on one database, without any routing: the version decides.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::bodies::{bare, composition, with_lines};
use crate::support::app::{TestApp, TestProcess};
use crate::support::database::TestDatabase;

#[actix_rt::test]
async fn created_races_on_two_nodes_give_one_number() {
    let database = TestDatabase::create().await;
    let nodes = [
        TestApp::start(database.url(), &[]).await,
        TestApp::start(database.url(), &[]).await,
    ];
    for round in 0..20 {
        let body = with_lines("order.created", &format!("H{round}"), &[("A", "1")]);
        let answers = join_all((0..8).map(|index| nodes[index % 2].accepted(body.clone()))).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    let client = database.client().await;
    let row = client
        .query_one("SELECT count(*), count(DISTINCT number) FROM orders", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (20, 20));
    let notices: i64 = client
        .query_one("SELECT count(*) FROM notices", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(notices, 40, "one per role and order");
}

#[actix_rt::test]
async fn a_node_with_an_old_state_in_memory_loses_its_version_and_judges_again() {
    let database = TestDatabase::create().await;
    let one = TestApp::start(database.url(), &[]).await;
    let other = TestApp::start(database.url(), &[]).await;
    one.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    for quantity in ["2", "3", "4"] {
        other
            .accepted(with_lines("order.changed", "H1", &[("A", quantity)]))
            .await;
        one.accepted(bare("courier.assigned", "H1")).await;
    }
    one.accepted(bare("order.received", "H1")).await;
    other.accepted(bare("order.delivered", "H1")).await;
    let order = other.order("H1").await;
    assert_eq!(order["version"], 9);
    assert_eq!(composition(&order), [("A".into(), "4".into())]);
    let client = database.client().await;
    let moved = client
        .query("SELECT (-quantity)::text FROM stock_movements", &[])
        .await
        .unwrap();
    assert_eq!(moved.iter().map(|row| row.get(0)).collect::<Vec<String>>(), ["4.000"]);
    assert!(one.metric("orderhook_version_conflicts_total", &[]).await > 0.0);
}

#[actix_rt::test]
async fn a_node_that_once_found_an_order_unknown_asks_again() {
    let database = TestDatabase::create().await;
    let one = TestApp::start(database.url(), &[]).await;
    let other = TestApp::start(database.url(), &[]).await;
    assert_eq!(
        one.accepted(bare("courier.assigned", "H1")).await,
        json!({"status": "ok"})
    );
    let created = other.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let answer = one.accepted(bare("courier.arrived", "H1")).await;
    assert_eq!(answer, json!({"status": "ok", "number": created["number"]}));
    let order = other.order("H1").await;
    assert_eq!(order["version"], 2, "what changes nothing is judged by the row as well");
}

/// Waits until a statement of the given node waits for a lock.
async fn waits_for_lock(client: &Client, node: &str) {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE application_name = $1 AND wait_event_type = 'Lock' AND datname = current_database()";
    while client
        .query_one(waiting, &[&format!("orderhook {node}")])
        .await
        .unwrap()
        .get::<_, i64>(0)
        == 0
    {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn a_late_repeat_of_a_change_whose_answer_was_lost_does_not_undo_a_newer_one() {
    let database = TestDatabase::create().await;
    let mut frozen = TestProcess::start(database.url(), &["--node", "frozen"]).await;
    let other = TestApp::start(database.url(), &[]).await;
    other.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let change = |quantity| with_lines("order.changed", "H1", &[("A", quantity)]);

    // The node is frozen with its statement sent, PostgreSQL commits it, and the node is killed before
    // it can answer.
    let client = database.client().await;
    client
        .batch_execute("BEGIN; SELECT FROM orders WHERE order_id = 'H1' FOR UPDATE")
        .await
        .unwrap();
    let unanswered = tokio::spawn(frozen.hook(change("2")).send());
    let watcher = database.client().await;
    waits_for_lock(&watcher, "frozen").await;
    frozen.signal("STOP");
    client.batch_execute("COMMIT").await.unwrap();
    while watcher
        .query_one("SELECT version FROM orders", &[])
        .await
        .unwrap()
        .get::<_, i64>(0)
        < 2
    {
        tokio::task::yield_now().await;
    }
    frozen.kill();
    assert!(unanswered.await.unwrap().is_err());

    other.accepted(change("3")).await;
    other.accepted(change("2")).await;
    let order = other.order("H1").await;
    assert_eq!(
        composition(&order),
        [("A".into(), "3".into())],
        "the newer change stands"
    );
    let outcomes: Vec<&Value> = order["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["outcome"])
        .collect();
    assert_eq!(outcomes, ["applied", "applied", "applied", "duplicate"]);
    assert_eq!(order["events"][3]["notes"][0], "late_repeat");
}

#[actix_rt::test]
async fn a_node_that_wakes_up_after_its_hook_was_taken_over_changes_nothing() {
    let database = TestDatabase::create().await;
    let frozen = TestProcess::start(database.url(), &["--node", "frozen", "--answer-deadline", "4s"]).await;
    let other = TestApp::start(database.url(), &[]).await;
    other.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let send = |client: &crate::support::app::NodeClient, quantity: &str, request_id: &str| {
        let hook = client.hook(with_lines("order.changed", "H1", &[("A", quantity)]));
        tokio::spawn(hook.header("X-Request-Id", request_id).send())
    };

    // The statement waits; the node is frozen; its connections are cut, so that nothing of it commits.
    let client = database.client().await;
    client
        .batch_execute("BEGIN; SELECT FROM orders WHERE order_id = 'H1' FOR UPDATE")
        .await
        .unwrap();
    let taken_over = send(&frozen.client, "2", "first");
    let watcher = database.client().await;
    waits_for_lock(&watcher, "frozen").await;
    frozen.signal("STOP");
    let cut =
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'orderhook frozen'";
    watcher.execute(cut, &[]).await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();

    // nginx gives the same request to the other node, and a newer change follows.
    assert_eq!(send(&other.client, "2", "first").await.unwrap().unwrap().status(), 200);
    assert_eq!(send(&other.client, "3", "second").await.unwrap().unwrap().status(), 200);
    frozen.signal("CONT");
    // Whatever the first node answers now, nothing moves.
    let _ = taken_over.await.unwrap();
    let order = other.order("H1").await;
    assert_eq!(composition(&order), [("A".into(), "3".into())]);
    assert_eq!(order["version"], 3);
    assert_eq!(order["events"].as_array().unwrap().len(), 3);
}
