//! What SM is answered (protocol section 3), and that everything it sent is kept.

use std::convert::Infallible;

use futures_util::stream;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::bodies::{bare, fixture, with_lines};
use crate::support::app::{TOKEN, TestApp};
use crate::support::database::TestDatabase;

/// The field that a rejected fixture must be refused for.
const REFUSED_FIELDS: [(&str, &str); 20] = [
    ("m05-store-id-and-storeid-differ.json", "payload.store_id"),
    ("m08-store-missing.json", "payload.store_id"),
    ("n12-price-comma.json", "payload.positions[0].price"),
    ("n16-negative-quantity.json", "payload.positions[0].quantity"),
    ("n20-quantity-1e308.json", "payload.positions[0].quantity"),
    ("p06-positions-object.json", "payload.positions"),
    ("p08-positions-empty.json", "payload.positions"),
    ("t09-lone-surrogate.json", "body"),
    ("i03-order-id-256-chars.json", "payload.originalOrderId"),
    ("i04-order-id-missing.json", "payload.originalOrderId"),
    ("c04-time-not-a-date.json", "payload.delivery.expectedFrom"),
    ("e04-payload-null.json", "payload"),
    ("e08-event-type-missing.json", "event_type"),
    ("e12-top-level-array.json", "body"),
    ("e13-duplicate-key-event-type.json", "event_type"),
    ("b02-trailing-garbage.json", "body"),
    ("b05-truncated.json", "body"),
    ("b06-empty-body.json", "body"),
    ("b09-invalid-utf8.json", "body"),
    ("b11-deep-nesting-10000.json", "body"),
];

#[actix_rt::test]
async fn every_fixture_gets_the_answer_its_index_names() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let index = String::from_utf8(fixture("index.tsv")).unwrap();
    let mut sent = 0;
    for row in index.lines().skip(1) {
        let [name, _case, expected, ..] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{row}")
        };
        let (status, answer) = app.send(fixture(name)).await;
        match expected {
            "accept" => {
                assert_eq!(status, StatusCode::OK, "{name}: {answer}");
                let created = name.contains("created") && !name.contains("before-created");
                assert_eq!(
                    answer["status"] == json!("created"),
                    created || answer["status"] == "created",
                    "{name}"
                );
            }
            "reject" => {
                assert_eq!(status, StatusCode::BAD_REQUEST, "{name}: {answer}");
                let (_, field) = REFUSED_FIELDS.iter().find(|(refused, _)| *refused == name).unwrap();
                assert_eq!(answer["code"], 400, "{name}");
                assert_eq!(answer["errors"][0]["type"], "validation", "{name}");
                assert_eq!(answer["errors"][0]["field"], *field, "{name}");
                assert!(!answer["errors"][0]["message"].as_str().unwrap().is_empty(), "{name}");
            }
            other => panic!("{name}: {other}"),
        }
        sent += 1;
    }
    assert_eq!(sent, 69);

    // Byte for byte, with the outcome.
    let client = database.client().await;
    let kept = client
        .query("SELECT body, outcome FROM order_events", &[])
        .await
        .unwrap();
    assert_eq!(kept.len(), sent);
    let rejected = kept.iter().filter(|row| row.get::<_, &str>(1) == "rejected").count();
    assert_eq!(rejected, REFUSED_FIELDS.len());
    for (name, _) in REFUSED_FIELDS {
        let body = fixture(name);
        assert!(kept.iter().any(|row| row.get::<_, &[u8]>(0) == body), "{name}");
    }
}

#[actix_rt::test]
async fn created_answers_with_number_and_assembly_time() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &["--assembly-time", "90m"]).await;
    let answer = app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    assert_eq!(answer["status"], "created");
    let due = chrono::DateTime::parse_from_rfc3339(answer["expectedAssemblyTime"].as_str().unwrap()).unwrap();
    let order = app.order("H1").await;
    assert_eq!(order["number"], answer["number"]);
    let created = chrono::DateTime::parse_from_rfc3339(order["created_at"].as_str().unwrap()).unwrap();
    let promised = (due - created).num_seconds();
    assert!((90 * 60 - 1..=90 * 60).contains(&promised), "{promised} s");

    let paid = app.accepted(bare("order.paid", "H1")).await;
    assert_eq!(paid, json!({"status": "ok", "number": answer["number"]}));
    let unknown = app.accepted(bare("order.teleported", "H2")).await;
    assert_eq!(unknown, json!({"status": "ok"}));
}

#[actix_rt::test]
async fn both_addresses_take_hooks_and_the_header_has_any_case() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for (path, header) in [
        ("/sbermarket/orders/hook/", "client-token"),
        ("/sbermarket/orders/hook", "CLIENT-TOKEN"),
    ] {
        let request = app.http.post(format!("{}{path}", app.hooks)).header(header, TOKEN);
        let response = request.body(bare("order.paid", "H1")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path} {header}");
    }
}

#[actix_rt::test]
async fn a_wrong_or_missing_token_is_403_and_leaves_nothing() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &["--client-tokens", "second-token"]).await;
    let body = || bare("order.paid", "H1");
    let request = || {
        app.http
            .post(format!("{}/sbermarket/orders/hook/", app.hooks))
            .body(body())
    };
    for refused in [
        request(),
        request().header("Client-Token", "wrong"),
        request().header("Client-Token", ""),
    ] {
        let response = refused.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let answer: serde_json::Value = response.json().await.unwrap();
        assert_eq!(
            (&answer["code"], &answer["errors"][0]["type"]),
            (&json!(403), &json!("authentication"))
        );
    }
    // Two tokens are accepted during a change.
    for token in [TOKEN, "second-token"] {
        let response = request().header("Client-Token", token).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    let client = database.client().await;
    let stored: i64 = client
        .query_one("SELECT count(*) FROM order_events", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, 2);
}

#[actix_rt::test]
async fn anything_but_a_hook_is_405_404_or_413() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let hook_url = format!("{}/sbermarket/orders/hook/", app.hooks);
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let response = app
            .http
            .request(method.clone(), &hook_url)
            .header("Client-Token", TOKEN)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()["allow"], "POST");
        assert_eq!(response.json::<serde_json::Value>().await.unwrap()["code"], 405);
    }
    for path in [
        "/",
        "/sbermarket/orders",
        "/metrics",
        "/api/mailboxes",
        "/sbermarket/orders/hook/x",
    ] {
        let response = app
            .http
            .post(format!("{}{path}", app.hooks))
            .header("Client-Token", TOKEN)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(response.json::<serde_json::Value>().await.unwrap()["code"], 404);
    }
    let limit = 256 * 1024;
    let mut body = bare("order.paid", "H1");
    body.push_str(&" ".repeat(limit - body.len()));
    app.accepted(body.clone()).await;
    body.push(' ');
    let (status, answer) = app.send(body.clone()).await;
    assert_eq!((status, &answer["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(413)));
    // Without a length in front, too.
    let chunks = body
        .into_bytes()
        .chunks(10_000)
        .map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()))
        .collect::<Vec<_>>();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let response = app.hook(stream).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[actix_rt::test]
async fn a_full_order_queue_is_429_with_retry_after() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &["--order-queue", "2"]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    // Somebody holds the row, so that the queue behind it fills.
    let client = database.client().await;
    client
        .batch_execute("BEGIN; SELECT FROM orders WHERE order_id = 'H1' FOR UPDATE")
        .await
        .unwrap();
    let hooks = futures_util::future::join_all((0..6).map(|_| app.hook(bare("order.paid", "H1")).send()));
    let release = async {
        while app.metric("orderhook_mailbox_refused_total", &["order"]).await < 4.0 {
            tokio::task::yield_now().await;
        }
        client.batch_execute("COMMIT").await.unwrap();
    };
    let (responses, ()) = tokio::join!(hooks, release);
    let mut statuses = Vec::new();
    for response in responses {
        let response = response.unwrap();
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(response.headers().contains_key("retry-after"));
        }
        statuses.push(response.status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429]);
}

/// Sends a body without a length, in pieces of this many bytes, and returns the status.
async fn send_in_pieces(app: &TestApp, body: &str, size: usize) -> u16 {
    let pieces: Vec<Result<_, Infallible>> = body.as_bytes().chunks(size).map(|piece| Ok(piece.to_vec())).collect();
    let request = reqwest::Client::new()
        .post(format!("{}/sbermarket/orders/hook/", app.hooks))
        .header("client-token", TOKEN)
        .body(reqwest::Body::wrap_stream(stream::iter(pieces)));
    request.send().await.unwrap().status().as_u16()
}

#[actix_rt::test]
async fn a_body_that_comes_in_pieces_is_kept_byte_for_byte() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let mut sent = Vec::new();
    for (order_id, size) in [("H1", usize::MAX), ("H2", 100), ("H3", 1)] {
        let body = with_lines("order.created", order_id, &[("A", "1"), ("B", "2"), ("C", "3")]);
        assert_eq!(send_in_pieces(&app, &body, size).await, 200, "pieces of {size}");
        sent.push(body.into_bytes());
    }
    let kept = "SELECT body FROM order_arrivals ORDER BY order_id";
    let kept = database.client().await.query(kept, &[]).await.unwrap();
    let kept: Vec<Vec<u8>> = kept.iter().map(|row| row.get(0)).collect();
    assert!(kept == sent);
}
