//! The document itself, and one order's story.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bodies::{bare, with_lines};
use crate::support::app::TestApp;
use crate::support::database::TestDatabase;

#[actix_rt::test]
async fn the_page_needs_nothing_from_anywhere_else_and_runs_nothing_but_its_own() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
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
