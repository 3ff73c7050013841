//! What nginx keeps away from the nodes, and what it passes on untouched.

use orderhook_domain::protocol::answer::ErrorBody;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::load::hook;
use crate::nginx::until;
use crate::pool::Pool;
use crate::support::app::TOKEN;

/// How many hooks have arrived at each node, whatever became of them; the fewest first.
async fn arrivals(pool: &Pool) -> Vec<String> {
    let mut arrivals = Vec::new();
    for node in &pool.nodes {
        arrivals.push(node.metric("orderhook_hooks_total", &[]).await.to_string());
    }
    arrivals.sort_unstable();
    arrivals
}

async fn json_body(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_foreign_address_is_403_and_no_node_hears_of_it() {
    let pool = Pool::start_with(2, &[], &[("ORDERHOOK_NGINX_ALLOW", "203.0.113.0/24 2001:db8::/32")]).await;
    for number in 0..10 {
        let response = pool.nginx.hook(hook(0, &format!("H{number}")).1).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(json_body(response).await["code"], 403);
    }
    assert_eq!(arrivals(&pool).await, ["0", "0"]);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_as_the_service_itself_says_it() {
    let pool = Pool::start(1).await;
    let over = "x".repeat(256 * 1024 + 1);
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(
        over.as_bytes()
            .chunks(10_000)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect::<Vec<_>>(),
    ));
    for body in [over.into(), chunked] {
        let response = pool.nginx.hook(body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(json_body(response).await, json!(ErrorBody::too_large()));
    }
    assert_eq!(arrivals(&pool).await, ["0"]);
    // At the limit it is the service that judges.
    let response = pool.nginx.hook("x".repeat(256 * 1024)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nothing_of_operations_is_reachable() {
    let pool = Pool::start(1).await;
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/api/mailboxes",
        "/api/orders/H1",
        "/sbermarket/orders/hook/metrics",
        "/sbermarket/orders/hook//",
        "/sbermarket/orders/hook/%2e%2e/metrics",
        "/sbermarket/orders",
        "/sbermarket",
    ] {
        let response = pool.nginx.post(path, "{}").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(json_body(response).await, json!(ErrorBody::not_found()), "{path}");
    }
    // Paths that a client library would tidy up itself.
    let address = pool.nginx.url.strip_prefix("http://").unwrap();
    for path in [
        "/sbermarket/orders/hook/../../../metrics",
        "/./metrics",
        "//metrics",
        "http://127.0.0.1/metrics",
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: pool\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert_eq!(arrivals(&pool).await, ["0"]);
}

#[tokio::test]
async fn a_source_over_its_rate_is_429_with_retry_after() {
    let pool = Pool::start_with(1, &[], &[("ORDERHOOK_NGINX_RATE", "1")]).await;
    let mut statuses = Vec::new();
    for number in 0..20 {
        let response = pool.nginx.hook(hook(0, &format!("H{number}")).1).send().await.unwrap();
        statuses.push(response.status());
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(response.headers()["retry-after"], "1");
            assert!(response.headers().contains_key("x-request-id"));
            assert_eq!(json_body(response).await, json!(ErrorBody::overload()));
        }
    }
    assert_eq!(statuses[..3], [StatusCode::OK; 3], "a burst is taken");
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
}

#[tokio::test]
async fn a_full_order_queue_is_429_to_sm_and_is_not_tried_elsewhere() {
    let pool = Pool::start_with(3, &["--order-queue", "2", "--answer-deadline", "2s"], &[]).await;
    let client = pool.database.client().await;
    assert_eq!(
        pool.nginx.hook(hook(0, "H1").1).send().await.unwrap().status(),
        StatusCode::OK
    );
    let node = &pool.nodes[pool.index_of(&Pool::node_of(&client, "H1").await)];
    // Somebody holds the row, so that the queue behind it fills.
    client
        .batch_execute("BEGIN; SELECT FROM orders FOR UPDATE")
        .await
        .unwrap();
    let hooks = futures_util::future::join_all((0..6).map(|_| pool.nginx.hook(hook(1, "H1").1).send()));
    let release = async {
        until("the queue is full", async || {
            node.metric("orderhook_mailbox_refused_total", &["order"]).await >= 4.0
        })
        .await;
        client.batch_execute("COMMIT").await.unwrap();
    };
    let (responses, ()) = tokio::join!(hooks, release);
    let mut statuses = Vec::new();
    for response in responses {
        let response = response.unwrap();
        statuses.push(response.status().as_u16());
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(response.headers()["retry-after"], "1");
            assert_eq!(json_body(response).await, json!(ErrorBody::overload()));
        }
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429]);
    assert_eq!(arrivals(&pool).await, ["0", "0", "7"], "each hook met one node");
    for line in pool.nginx.logged(7).await {
        assert_eq!(line["upstream_status"], line["status"].to_string(), "one try: {line}");
    }
}

#[tokio::test]
async fn neither_token_nor_body_is_ever_written_down() {
    let pool = Pool::start(1).await;
    let body = json!({"event_type": "order.created", "payload": {
        "originalOrderId": "H1", "store_id": "8001", "customer": {"name": "Анна Примерова", "phone": "+79000000042"},
        "comment": "x".repeat(200_000), "positions": [{"id": "SKU-SECRET", "quantity": 1}]}});
    assert_eq!(
        pool.nginx.hook(body.to_string()).send().await.unwrap().status(),
        StatusCode::OK
    );
    for body in [
        "SKU-SECRET is no JSON".to_owned(),
        format!("SKU-SECRET{}", "x".repeat(300_000)),
    ] {
        assert!(pool.nginx.hook(body).send().await.unwrap().status().is_client_error());
    }
    pool.nginx.logged(3).await;
    let written = pool.nginx.written();
    for secret in [TOKEN, "SKU-SECRET", "+7900", "Примерова", "xxxxxxxx"] {
        assert!(!written.contains(secret), "{secret} was written");
    }
}
