//! The same order to the same node, whatever its hooks look like.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::load::hook;
use crate::pool::Pool;

const ORDERS: usize = 2_000;

#[tokio::test]
async fn the_hooks_of_one_order_meet_the_same_node() {
    let pool = Pool::start(3).await;
    let playing = (0..ORDERS).map(|number| {
        let nginx = &pool.nginx;
        async move {
            for stage in 0..3 {
                let (_, body) = hook(stage, &format!("H{number}"));
                let response = nginx.hook(body).send().await.unwrap();
                assert_eq!(response.status(), StatusCode::OK);
            }
        }
    });
    futures_util::stream::iter(playing)
        .buffer_unordered(16)
        .collect::<Vec<()>>()
        .await;

    let client = pool.database.client().await;
    let query = "SELECT order_id, count(*), count(DISTINCT node), min(node) FROM order_events GROUP BY order_id";
    let orders = client.query(query, &[]).await.unwrap();
    assert_eq!(orders.len(), ORDERS);
    let mut of_node: BTreeMap<String, usize> = BTreeMap::new();
    let mut faithful = 0;
    for order in &orders {
        assert_eq!(order.get::<_, i64>(1), 3);
        faithful += usize::from(order.get::<_, i64>(2) == 1);
        *of_node.entry(order.get(3)).or_default() += 1;
    }
    println!("all hooks of {faithful} of {ORDERS} orders met one node; orders by node: {of_node:?}");
    assert!(faithful * 1000 >= ORDERS * 999, "{faithful} of {ORDERS}");
    // Each has its share.
    assert_eq!(of_node.len(), 3);
    assert!(of_node.values().all(|orders| *orders > ORDERS / 6), "{of_node:?}");
}

/// A body of about this size that says the same.
fn padded(order_id: &str, bytes: usize) -> String {
    let mut body: Value = serde_json::from_str(&hook(0, order_id).1).unwrap();
    body["payload"]["comment"] = json!("x".repeat(bytes - 300));
    body.to_string()
}

#[tokio::test]
async fn large_chunked_and_oddly_written_bodies_meet_the_node_of_their_order() {
    let pool = Pool::start(3).await;
    let client = pool.database.client().await;
    for number in 0..8 {
        let id = format!("Заказ {number} <&>");
        let (_, body) = hook(0, &id);
        assert_eq!(
            pool.nginx.hook(body.clone()).send().await.unwrap().status(),
            StatusCode::OK
        );
        let node = Pool::node_of(&client, &id).await;
        // In pieces of a length that is not told before.
        let in_chunks = |body: String, size: usize| {
            let pieces: Vec<Result<Vec<u8>, std::io::Error>> =
                body.into_bytes().chunks(size).map(|piece| Ok(piece.to_vec())).collect();
            reqwest::Body::wrap_stream(futures_util::stream::iter(pieces))
        };
        let escaped = id.chars().map(|c| format!("\\u{:04x}", c as u32)).collect::<String>();
        let bodies: Vec<(&str, reqwest::Body)> = vec![
            ("100 kB", padded(&id, 100_000).into()),
            ("the limit", padded(&id, 256 * 1024).into()),
            ("small chunks", in_chunks(body.clone(), 7)),
            ("large chunks", in_chunks(padded(&id, 200_000), 8_000)),
            ("a byte order mark", format!("\u{feff}{body}").into()),
            ("escapes", body.replace(&id, &escaped).into()),
        ];
        for (what, body) in bodies {
            let response = pool.nginx.post("/sbermarket/orders/hook", body).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{what}");
            assert_eq!(Pool::node_of(&client, &id).await, node, "{what}");
        }
    }
    assert!(
        !pool.nginx.written().contains("is not known"),
        "a body went into a file"
    );
}

#[tokio::test]
async fn a_number_and_its_text_are_one_order() {
    let pool = Pool::start(3).await;
    let client = pool.database.client().await;
    for id in 1_000..1_012 {
        let text = id.to_string();
        for written in [json!(id), json!(text)] {
            let body = json!({"event_type": "order.paid", "payload": {"originalOrderId": written}});
            let response = pool.nginx.hook(body.to_string()).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
        }
        let query = "SELECT count(DISTINCT node) FROM order_events WHERE order_id = $1";
        assert_eq!(client.query_one(query, &[&text]).await.unwrap().get::<_, i64>(0), 1);
    }
}

#[tokio::test]
async fn bodies_without_an_order_are_judged_by_a_node() {
    let pool = Pool::start(2).await;
    for body in ["", "{", "[]", r#"{"event_type":"order.paid","payload":{}}"#] {
        let response = pool.nginx.hook(body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
    }
    let client = pool.database.client().await;
    let rejected = "SELECT count(*) FROM order_events WHERE outcome = 'rejected'";
    assert_eq!(client.query_one(rejected, &[]).await.unwrap().get::<_, i64>(0), 4);
    let asked = pool
        .nginx
        .http
        .get(format!("{}/sbermarket/orders/hook/", pool.nginx.url));
    assert_eq!(asked.send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_callers_own_request_id_makes_no_two_hooks_one() {
    let pool = Pool::start(2).await;
    let change = |quantity: u32| {
        json!({"event_type": "order.changed", "payload": {
            "originalOrderId": "H1", "positions": [{"id": "A", "quantity": quantity}]}})
    };
    let created = hook(0, "H1").1;
    let mut given = Vec::new();
    for body in [
        created,
        change(2).to_string(),
        change(3).to_string(),
        change(2).to_string(),
    ] {
        let response = pool
            .nginx
            .hook(body)
            .header("X-Request-Id", "one for all")
            .header("X-Request-Start", "t=1000000000.000")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        given.push(response.headers()["x-request-id"].to_str().unwrap().to_owned());
    }
    let client = pool.database.client().await;
    let query = "SELECT request_id, outcome, delivery_id, received_at FROM order_events ORDER BY order_version";
    let rows = client.query(query, &[]).await.unwrap();
    let stored: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(stored, given, "every hook has the id that nginx gave it and told");
    let outcomes: Vec<&str> = rows.iter().map(|row| row.get(1)).collect();
    assert_eq!(outcomes, ["applied"; 4], "the change that came back was applied");
    for row in &rows {
        let (name, received_at): (Uuid, DateTime<Utc>) = (row.get(2), row.get(3));
        let named_at = i64::try_from(name.as_u128() >> 80).unwrap();
        let apart = (received_at.timestamp_millis() - named_at).abs();
        assert!(apart < 60_000, "{name} begins with the time that nginx told");
    }
    for line in pool.nginx.logged(4).await {
        assert_eq!(line["caller_request_id"], "one for all");
        assert!(given.contains(&line["request_id"].as_str().unwrap().to_owned()));
    }
}
