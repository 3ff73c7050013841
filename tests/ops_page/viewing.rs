//! The stream that keeps the page alive.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bodies::{bare, fixture, with_lines};
use crate::stream::{Viewer, ask, rest};
use crate::support::app::{TestApp, TestProcess};
use crate::support::database::TestDatabase;

#[actix_rt::test]
async fn a_viewer_is_told_what_is_known_and_then_what_every_second_brings() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let mut viewer = Viewer::open(&app, None).await;
    for number in 0..5 {
        app.accepted(with_lines("order.created", &format!("H{number}"), &[("A", "1")]))
            .await;
    }
    app.accepted(bare("order.paid", "H0")).await;
    let (refused, _) = app.send(fixture("n16-negative-quantity.json")).await;
    assert_eq!(refused, StatusCode::BAD_REQUEST);
    while viewer.sum("hooks.created") < 6 || viewer.sum("commit_rows") < 7 {
        viewer.next().await.unwrap();
    }
    assert_eq!(viewer.sum("hooks.paid"), 1);
    assert_eq!(viewer.sum("rejected"), 1);
    assert_eq!(viewer.sum("late"), 0);
    let (p50, p99) = (viewer.column("p50_us"), viewer.column("p99_us"));
    let slowest = p99.iter().flatten().max().unwrap();
    assert!(p50.iter().flatten().all(|time| *time > 0 && time <= slowest));
    assert!(viewer.column("commit_us").iter().flatten().all(|time| *time > 0));
    // One row a second, each with everything in it.
    for row in &viewer.rows {
        assert_eq!(row.len(), viewer.columns.len());
    }
    let times: Vec<u64> = viewer.column("at").into_iter().flatten().collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{times:?}");

    // Whoever comes later sees the same.
    let mut second = Viewer::open(&app, None).await;
    let state = second.until("state", |state| state["viewers"] == 2).await;
    assert_eq!(second.sum("hooks.created"), 6);
    assert_eq!(second.rows[..viewer.rows.len()], viewer.rows[..]);
    assert_eq!(state["orders_active"], 5);
    assert!(state["process"]["resident_bytes"].as_u64().unwrap() > 1_000_000);
}

#[actix_rt::test]
async fn viewers_are_bounded_and_the_next_one_is_told_so() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let mut viewers = Vec::new();
    for _ in 0..orderhook::live::MAX_VIEWERS {
        viewers.push(Viewer::open(&app, None).await);
    }
    let refused = ask(&app, None).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["errors"][0]["type"], "too_many_viewers");
    // The others see on, and a seat that is left is free again.
    viewers[0].until("rows", |_| true).await;
    drop(viewers.pop());
    while ask(&app, None).await.status() != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn a_viewer_that_reads_nothing_any_more_loses_its_connection() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    // It takes a few kilobytes and no more.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    let address: std::net::SocketAddr = app.ops.trim_start_matches("http://").parse().unwrap();
    socket.connect(&address.into()).unwrap();
    let mut silent = std::net::TcpStream::from(socket);
    silent
        .write_all(b"GET /api/live HTTP/1.1\r\nHost: node\r\n\r\n")
        .unwrap();
    let viewers = async || {
        let state: Value = app.ops("/api/state").await.json().await.unwrap_or_default();
        state["viewers"].as_u64()
    };
    let wait_until = async |wanted: u64| {
        let bound = Instant::now() + Duration::from_secs(90);
        while viewers().await != Some(wanted) {
            assert!(Instant::now() < bound, "there are never {wanted} viewers");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    wait_until(1).await;
    // Nobody else comes to take its seat: the node gives it up by itself.
    wait_until(0).await;
    // It was cut off, not ended: what it was sent stops in the middle.
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("event: end"));
}

#[actix_rt::test]
async fn what_cannot_be_counted_is_not_shown_as_a_fact() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &[]).await;
    let client = database.client().await;
    let subscribe = "INSERT INTO chats (store_id, role, chat_id, disabled_at) VALUES ('57', 'store', 1, now())";
    client.execute(subscribe, &[]).await.unwrap();
    let mut viewer = Viewer::open(&node, None).await;
    let found = viewer
        .until("attention", |found| found["chats_disabled_count"] == 1)
        .await;
    assert!(found["read_at"].is_number() && found["failure"].is_null(), "{found}");
    // The database is ready, and this cannot be read.
    client.batch_execute("ALTER TABLE chats RENAME TO away").await.unwrap();
    let failed = viewer.until("attention", |found| !found["failure"].is_null()).await;
    assert_eq!(failed["chats_disabled_count"], 1, "the last figures stay");
    let state = viewer
        .until("state", |state| state["light"]["colour"] == "yellow")
        .await;
    let reasons = state["light"]["reasons"].to_string();
    assert!(reasons.contains("What needs a person is not known"), "{reasons}");
    let state = viewer.until("state", |state| state["outbox"].is_null()).await;
    assert!(state["outbox_read_at"].is_number());
    assert_eq!(*viewer.column("outbox_pending").last().unwrap(), None);
    for counts in ["outbox", "attention"] {
        let age = node.metric("orderhook_counts_age_seconds", &[counts]).await;
        assert!(age > 5.0, "{counts} {age}");
    }
    client.batch_execute("ALTER TABLE away RENAME TO chats").await.unwrap();
    viewer.until("attention", |found| found["failure"].is_null()).await;
    viewer.until("state", |state| !state["outbox"].is_null()).await;
    node.logs("counted again").await;
    // Told once, however often it was tried.
    let told = node.log().matches("not counted; the last figures stay").count();
    assert_eq!(told, 2, "{}", node.log());
}

#[actix_rt::test]
async fn a_node_that_never_had_a_database_knows_nothing() {
    let node = TestProcess::start("postgres://postgres@127.0.0.1:1/none", &[]).await;
    let mut viewer = Viewer::open(&node, None).await;
    let found = viewer.until("attention", |found| !found["failure"].is_null()).await;
    assert!(found["read_at"].is_null());
    let state = viewer.until("state", |state| state["light"]["colour"] == "red").await;
    assert!(state["outbox"].is_null() && state["outbox_read_at"].is_null());
}

#[actix_rt::test]
async fn a_node_that_ends_says_so_and_is_not_held_by_whoever_looks() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let viewer = Viewer::open(&app, None).await;
    // Fails the test when the node does not drain.
    let ending = tokio::task::spawn_blocking(move || drop(app));
    let names = rest(viewer).await;
    assert_eq!(names.last().unwrap(), "end");
    ending.await.unwrap();
}

#[actix_rt::test]
async fn what_needs_a_person_is_shown_and_counted() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &[]).await;
    // Nobody is subscribed for this store.
    node.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    // Another composition of an order that is there already.
    node.accepted(with_lines("order.created", "H1", &[("B", "1")])).await;
    node.accepted(bare("order.paid", "H2")).await;
    node.send(fixture("n16-negative-quantity.json")).await;
    database
        .client()
        .await
        .batch_execute(
            "UPDATE order_arrivals SET received_at = now() - interval '11 minutes' WHERE order_id = 'H2'; \
             INSERT INTO chats (store_id, role, chat_id, disabled_at, disabled_reason) VALUES \
                 ('57', 'store', -100200, now(), 'bot was blocked'), ('57', 'pickers', -100200, now(), 'bot was blocked')",
        )
        .await
        .unwrap();
    let mut viewer = Viewer::open(&node, None).await;
    let found = viewer.until("attention", |found| found["announced_count"] == 1).await;
    let stores: Vec<_> = found["stores_without_chat"].as_array().unwrap().iter().collect();
    assert_eq!(stores.len(), 2, "one for each role: {found}");
    assert_eq!(
        (&stores[0]["store_id"], &stores[0]["role"]),
        (&json!("8001"), &json!("pickers"))
    );
    assert_eq!(found["stores_without_chat_count"], 1);
    assert_eq!(found["chats_disabled_count"], 1);
    assert_eq!(found["chats_disabled"][0]["chat_id"], "-100200");
    assert_eq!(
        found["chats_disabled"][0]["told_about"],
        json!(["57 pickers", "57 store"])
    );
    assert_eq!(found["conflicts"][0]["order_id"], "H1");
    assert_eq!(
        found["rejects"][0]["errors"][0]["field"],
        "payload.positions[0].quantity"
    );
    assert_eq!(found["announced"][0]["order_id"], "H2");
    let state = viewer
        .until("state", |state| state["light"]["colour"] == "yellow")
        .await;
    assert_eq!(found["fresh_rejects_count"], 1);
    assert_eq!(state["light"]["reasons"].as_array().unwrap().len(), 5, "{state}");
    for gauge in [
        "orderhook_stores_without_chat",
        "orderhook_chats_disabled",
        "orderhook_orders_announced",
        "orderhook_database_ready",
    ] {
        assert_eq!(node.metric(gauge, &[]).await.to_string(), "1", "{gauge}");
    }

    // An order that is over waits for nobody.
    node.accepted(bare("order.cancelled", "H1")).await;
    viewer
        .until("attention", |found| found["stores_without_chat_count"] == 0)
        .await;
}

#[actix_rt::test]
async fn a_pool_in_which_nobody_sends_is_red_and_says_who_sends_when_somebody_does() {
    let database = TestDatabase::create().await;
    // Somebody who is no node of ours holds the sender's lock.
    let holder = database.client().await;
    let lock = orderhook::db::leader::LOCK;
    holder.execute("SELECT pg_advisory_lock($1)", &[&lock]).await.unwrap();
    let node = TestProcess::start(database.url(), &["--node", "orders-1"]).await;
    let mut viewer = Viewer::open(&node, None).await;
    let found = viewer.until("attention", |found| !found["read_at"].is_null()).await;
    assert_eq!(found["sender"], Value::Null);
    let state = viewer
        .until("state", |state| state["uptime_seconds"].as_u64() >= Some(20))
        .await;
    assert_eq!(
        state["light"]["colour"], "green",
        "a takeover may take a while: {}",
        state["light"]
    );
    let state = viewer.until("state", |state| state["light"]["colour"] == "red").await;
    assert!(
        state["light"]["reasons"]
            .to_string()
            .contains("No node has sent to Telegram")
    );
    holder.execute("SELECT pg_advisory_unlock($1)", &[&lock]).await.unwrap();
    viewer.until("state", |state| state["light"]["colour"] == "green").await;
    let found = viewer.until("attention", |found| !found["sender"].is_null()).await;
    assert_eq!(found["sender"]["node"], "orders-1");
    assert!(found["sender"]["silent_seconds"].as_i64().unwrap() <= 10);
}
