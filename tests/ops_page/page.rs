//! The document itself, and one order's story.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::access::OPS_TOKEN;
use crate::bodies::{bare, with_lines};
use crate::support::app::TestApp;
use crate::support::cluster::TestCluster;
use crate::support::database::TestDatabase;

#[actix_rt::test]
async fn the_page_needs_nothing_from_anywhere_else_and_runs_nothing_but_its_own() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &["--node", "<node> 1"]).await;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let response = app.ops("/").await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        let nonce = policy
            .split("script-src 'nonce-")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        let page = response.text().await.unwrap();
        // Which of several nodes it is stands in the title before anything has run.
        assert!(
            page.contains("<title>&lt;node&gt; 1 · orderhook</title>"),
            "{page:.600}"
        );
        assert!(page.contains("<b id=\"node\">&lt;node&gt; 1</b>") && !page.contains("<node>"));
        assert_eq!(page.matches(&format!("nonce=\"{nonce}\"")).count(), 4);
        assert_eq!(page.matches("nonce=\"").count(), 4);
        for outside in [
            "<script src",
            "<link rel=\"stylesheet\"",
            "@import",
            "src=\"http",
            "href=\"http",
            "url(http",
            "innerHTML",
        ] {
            assert!(!page.contains(outside), "{outside}");
        }
        for inside in ["uPlot", "class LiveStream", ".tiles", "const orderView"] {
            assert!(page.contains(inside), "{inside}");
        }
        nonces.push(nonce.to_owned());
    }
    assert_ne!(nonces[0], nonces[1], "a nonce is for one response");
    let posted = app.http.post(format!("{}/", app.ops)).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}

/// What SM repeats for ever: a new arrival of it each second.
const REPEATS: &str = "
UPDATE order_arrivals SET received_at = now() - interval '1 day';
INSERT INTO order_arrivals (delivery_id, order_id, order_version, event, received_at, outcome, node, body)
SELECT md5('repeat ' || n)::uuid, 'H1', CASE WHEN n % 3 > 0 THEN n + 1 END, 'changed', now() - (500 - n) * interval '1 second',
       CASE WHEN n % 3 > 0 THEN 'duplicate' ELSE 'rejected' END, 'test', 'x'
FROM generate_series(1, 450) AS n;
INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state)
SELECT md5('repeat ' || n)::uuid, 'H1', '8001', 'pickers', n, 'changed', 'sent' FROM generate_series(1, 300) AS n";

#[actix_rt::test]
async fn an_order_to_which_something_is_repeated_for_ever_is_read_page_by_page() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    database.client().await.batch_execute(REPEATS).await.unwrap();
    let mut order = app.order("H1").await;
    assert_eq!(order["notices"].as_array().unwrap().len(), 200);
    assert_eq!(order["notices_left_out"], true);
    assert_eq!(order["notices"][199]["chat_id"], 300, "the newest");
    let mut pages = Vec::new();
    let mut events = Vec::new();
    loop {
        let page: Vec<Value> = order["events"].as_array().unwrap().clone();
        pages.push(page.len());
        events.splice(0..0, page);
        let Some(before) = order["events_before"].as_str() else {
            break;
        };
        let earlier = app.ops(&format!("/api/orders/H1?before={before}")).await;
        assert_eq!(earlier.status(), StatusCode::OK);
        order = earlier.json().await.unwrap();
    }
    assert_eq!(pages, [200, 200, 51]);
    // Each once, in order, created first.
    let ids: std::collections::BTreeSet<&str> = events
        .iter()
        .map(|event| event["delivery_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 451);
    assert_eq!(events[0]["event"], "created");
    let versions: Vec<i64> = events
        .iter()
        .filter_map(|event| event["order_version"].as_i64())
        .collect();
    assert_eq!(versions.len(), 301);
    assert!(versions.is_sorted());
    let times: Vec<&str> = events
        .iter()
        .map(|event| event["received_at"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted());
    let refused = app.ops("/api/orders/H1?before=1").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
}

#[actix_rt::test]
async fn nobody_waits_for_ever_for_a_database_that_stands_still() {
    let cluster = TestCluster::migrated().await;
    let app = TestApp::start(&cluster.url(), &["--ops-token", OPS_TOKEN]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let ask = async |path: &str| {
        let asked = app.http.get(format!("{}{path}", app.ops)).bearer_auth(OPS_TOKEN);
        // Twice the limit of a statement.
        let answer = tokio::time::timeout(Duration::from_secs(12), asked.send()).await;
        answer.expect("no answer").unwrap()
    };
    let order: Value = ask("/api/orders/H1").await.json().await.unwrap();
    let arrival = order["events"][0]["delivery_id"].as_str().unwrap().to_owned();
    cluster.signal("STOP");
    let body = format!("/api/journal/{arrival}/body");
    let (order, body) = tokio::join!(ask("/api/orders/H1"), ask(&body));
    assert_eq!([order.status(), body.status()], [StatusCode::SERVICE_UNAVAILABLE; 2]);
    cluster.signal("CONT");
    while ask("/api/orders/H1").await.status() != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn a_rejected_event_stands_in_the_history_where_it_arrived() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let (status, _) = app.send(with_lines("order.changed", "H1", &[("A", "-1")])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    app.accepted(bare("order.paid", "H1")).await;
    // The answer of created is recorded a moment later.
    let mut order = app.order("H1").await;
    while order["events"][0]["answered_at"].is_null() {
        tokio::task::yield_now().await;
        order = app.order("H1").await;
    }
    let events: Vec<(&Value, &Value, &Value)> = order["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (&event["event"], &event["outcome"], &event["order_version"]))
        .collect();
    let expected = [
        (&json!("created"), &json!("applied"), &json!(1)),
        (&json!("changed"), &json!("rejected"), &Value::Null),
        (&json!("paid"), &json!("applied"), &json!(2)),
    ];
    assert_eq!(events, expected);
    assert_eq!(
        order["events"][1]["errors"][0]["field"],
        "payload.positions[0].quantity"
    );
    assert!(order["events"][0]["answer_ms"].as_i64().unwrap() >= 0);
    assert!(order["events"][0]["body_bytes"].as_i64().unwrap() > 50);
    assert_eq!(order["notices"][0]["attempts"], 0);
}

#[actix_rt::test]
async fn an_order_of_which_nothing_could_be_accepted_has_its_story_all_the_same() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for quantity in ["-1", "-2"] {
        let (status, _) = app.send(with_lines("order.created", "H1/#?", &[("A", quantity)])).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    // There is no order.
    assert_eq!(app.ops("/api/orders/H1%2F%23%3F").await.status(), StatusCode::NOT_FOUND);
    let arrivals = app.ops("/api/journal?order_id=H1%2F%23%3F").await;
    assert_eq!(arrivals.status(), StatusCode::OK);
    let arrivals: Value = arrivals.json().await.unwrap();
    let events = arrivals["events"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{arrivals}");
    for event in events {
        assert_eq!(
            (&event["event"], &event["outcome"]),
            (&json!("created"), &json!("rejected"))
        );
        assert_eq!(event["errors"][0]["field"], "payload.positions[0].quantity");
    }
    assert_eq!(arrivals["events_before"], Value::Null);
    let before = events[1]["delivery_id"].as_str().unwrap();
    let earlier: Value = app
        .ops(&format!("/api/journal?order_id=H1%2F%23%3F&before={before}"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(earlier["events"][0]["delivery_id"], events[0]["delivery_id"]);
    assert_eq!(earlier["events"].as_array().unwrap().len(), 1);
    // Nothing ever came of this one.
    let none: Value = app.ops("/api/journal?order_id=H2").await.json().await.unwrap();
    assert_eq!(none["events"], json!([]));
    for wrong in ["", "?order_id=", "?order_id=H1&before=1"] {
        let refused = app.ops(&format!("/api/journal{wrong}")).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
}
