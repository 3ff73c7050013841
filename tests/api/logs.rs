//! What is logged, and what never is (invariant 7).

use serde_json::{Value, json};

use crate::bodies::{bare, fixture};
use crate::support::app::{TOKEN, TestProcess};
use crate::support::database::TestDatabase;

#[actix_rt::test]
async fn nothing_personal_and_no_secret_is_ever_logged() {
    let database = TestDatabase::create().await;
    // With everything that our own code can say.
    let flags = [
        "--log",
        "orderhook=trace,orderhook_actors=trace,orderhook_domain=trace,info",
    ];
    let mut node = TestProcess::start(database.url(), &flags).await;
    node.accepted(fixture("k01-order-created-full.json")).await;
    node.accepted(fixture("k02-order-updated-positions.json")).await;
    node.accepted(fixture("k11-order-canceled-reason.json")).await;
    node.accepted(fixture("d01-order-created-full.json")).await;
    let (status, _) = node.send(fixture("n12-price-comma.json")).await;
    assert_eq!(status, 400);
    let wrong = node
        .http
        .post(format!("{}/sbermarket/orders/hook/", node.hooks))
        .header("Client-Token", "wrong-token");
    assert_eq!(wrong.body(bare("order.paid", "H1")).send().await.unwrap().status(), 403);
    let log = node.killed_log();

    assert!(log.contains("hook answered"), "{log}");
    for (what, secret) in [
        ("a token", TOKEN),
        ("a wrong token", "wrong-token"),
        ("a name", "Пробирка"),
        ("a phone", "79000000002"),
        ("an address", "Вымышленск"),
        ("a body", "originalOrderId\\\""),
        ("a part of a price that was refused", "199,99"),
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what} was logged");
    }
}

#[actix_rt::test]
async fn every_hook_is_one_line_with_order_event_outcome_and_duration() {
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start(database.url(), &[]).await;
    let hook = node.hook(fixture("d01-order-created-full.json"));
    hook.header("X-Request-Id", "0123456789abcdef").send().await.unwrap();
    node.accepted(bare("order.paid", "H0000000101")).await;
    let log = node.killed_log();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == "hook answered")
        .collect();
    assert_eq!(lines.len(), 2);
    let told = |line: &Value| ["order_id", "event", "outcome", "status"].map(|key| line[key].clone());
    assert_eq!(
        told(&lines[0]),
        [json!("H0000000101"), json!("created"), json!("applied"), json!(200)]
    );
    assert_eq!(
        told(&lines[1]),
        [json!("H0000000101"), json!("paid"), json!("applied"), json!(200)]
    );
    assert!(
        lines
            .iter()
            .all(|line| line["duration_us"].as_u64().is_some_and(|micros| micros > 0))
    );
    assert_eq!(lines[0]["span"]["request_id"], "0123456789abcdef");
}
