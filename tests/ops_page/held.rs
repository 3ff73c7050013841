//! An order that does not move: operations see it, and are not kept waiting by it.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

use crate::bodies::{bare, with_lines};
use crate::stream::Viewer;
use crate::support::app::TestProcess;
use crate::support::database::TestDatabase;

/// The quickest of several answers: a busy machine may delay some of them, a held order would delay all.
async fn quickest(node: &TestProcess, path: &str) -> Duration {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let asked = Instant::now();
        let response = node.ops(path).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap();
        quickest = quickest.min(asked.elapsed());
    }
    quickest
}

#[actix_rt::test]
async fn a_held_order_shows_its_depth_and_how_long_and_the_page_answers_all_the_while() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &["--order-queue", "4", "--answer-deadline", "4s"]).await;
    node.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let mut viewer = Viewer::open(&node, None).await;
    let client = database.client().await;
    client
        .batch_execute("BEGIN; SELECT FROM orders WHERE order_id = 'H1' FOR UPDATE")
        .await
        .unwrap();
    let hooks = futures_util::future::join_all((0..6).map(|_| node.hook(bare("order.paid", "H1")).send()));
    let look = async {
        while node.metric("orderhook_mailbox_refused_total", &["order"]).await < 2.0 {
            tokio::task::yield_now().await;
        }
        for path in ["/api/mailboxes", "/", "/api/state", "/metrics"] {
            let quickest = quickest(&node, path).await;
            eprintln!("{path} answers in {quickest:?} while the order is held");
            assert!(quickest < Duration::from_millis(200), "{path}: {quickest:?}");
        }
        let shown: Value = node.ops("/api/mailboxes").await.json().await.unwrap();
        let order = shown["mailboxes"].as_array().unwrap();
        let order = order.iter().find(|mailbox| mailbox["actor"] == "order").unwrap();
        assert_eq!((order["depth"].as_u64(), order["refused"].as_u64()), (Some(4), Some(2)));
        assert_eq!(shown["busiest_orders"][0]["order_id"], "H1");
        assert_eq!(shown["busiest_orders"][0]["depth"], 4);
        // The same on the page, which also says how long nothing has moved.
        let state = viewer
            .until("state", |state| {
                state["busiest_orders"][0]["standing_millis"].as_u64() > Some(500)
            })
            .await;
        assert_eq!(state["busiest_orders"][0]["order_id"], "H1");
        assert_eq!(state["busiest_orders"][0]["depth"], 4);
        assert_eq!(state["light"]["colour"], "yellow", "{}", state["light"]);
        let reasons = state["light"]["reasons"].to_string();
        assert!(
            reasons.contains("2 of 3 hooks were refused with 429") && reasons.contains("a queue is full"),
            "{reasons}"
        );
        assert!(!reasons.contains("over capacity"), "{reasons}");
        assert!(viewer.column("depth.order").contains(&Some(4)));
        assert_eq!(viewer.sum("busy"), 2);
        client.batch_execute("COMMIT").await.unwrap();
    };
    let (responses, ()) = tokio::join!(hooks, look);
    let accepted = responses
        .iter()
        .filter(|response| response.as_ref().unwrap().status() == StatusCode::OK);
    assert_eq!(accepted.count(), 4);
    viewer
        .until("state", |state| state["busiest_orders"] == Value::Array(Vec::new()))
        .await;
}
