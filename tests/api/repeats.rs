//! Hooks that come twice, at once, late, or in the wrong order (protocol section 5).

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::bodies::{bare, composition, fixture, with_lines, with_lines_at};
use crate::support::app::TestApp;
use crate::support::database::TestDatabase;

async fn count(database: &TestDatabase, query: &str) -> i64 {
    database.client().await.query_one(query, &[]).await.unwrap().get(0)
}

#[actix_rt::test]
async fn a_repeated_created_gets_the_same_number_and_time() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let first = app.accepted(fixture("d01-order-created-full.json")).await;
    app.accepted(fixture("d04-order-paid-prices-corrected.json")).await;
    let repeat = app.accepted(fixture("s01-created-retry-other-whitespace.json")).await;
    assert_eq!(first, repeat);
    let order = app.order("H0000000101").await;
    assert_eq!(order["events"][2]["outcome"], "duplicate");
    assert_eq!(order["conflict"], false);
}

#[actix_rt::test]
async fn two_hundred_overlapping_created_make_one_document_and_one_notice_per_chat() {
    let database = TestDatabase::create().await;
    database
        .client()
        .await
        .batch_execute(
            "INSERT INTO chats (store_id, role, chat_id) VALUES ('8001', 'pickers', 100), ('*', 'store', 200)",
        )
        .await
        .unwrap();
    let app = TestApp::start(database.url(), &[]).await;
    let body = fixture("d01-order-created-full.json");
    let answers: Vec<Value> = futures_util::stream::iter(0..200)
        .map(|_| app.accepted(body.clone()))
        .buffer_unordered(50)
        .collect()
        .await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(count(&database, "SELECT count(*) FROM orders").await, 1);
    assert_eq!(count(&database, "SELECT count(*) FROM order_events").await, 200);
    assert_eq!(
        count(&database, "SELECT count(*) FROM order_events WHERE outcome = 'applied'").await,
        1
    );
    assert_eq!(
        count(&database, "SELECT count(*) FROM notices WHERE chat_id = 100").await,
        1
    );
    assert_eq!(
        count(&database, "SELECT count(*) FROM notices WHERE chat_id = 200").await,
        1
    );
    assert_eq!(count(&database, "SELECT count(*) FROM notices").await, 2);
}

#[actix_rt::test]
async fn a_created_with_another_composition_is_a_conflict_and_changes_nothing() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1"), ("B", "2")]))
        .await;
    app.accepted(with_lines("order.created", "H1", &[("B", "2"), ("A", "1")]))
        .await;
    assert_eq!(
        app.order("H1").await["conflict"],
        false,
        "the order of lines is no composition"
    );
    app.accepted(with_lines("order.created", "H1", &[("A", "3")])).await;
    let order = app.order("H1").await;
    assert_eq!(order["conflict"], true);
    assert_eq!(
        composition(&order),
        [("A".into(), "1".into()), ("B".into(), "2".into())]
    );
    assert!(app.metric("orderhook_conflicts_total", &["created_composition"]).await >= 1.0);
}

#[actix_rt::test]
async fn what_comes_before_created_is_parked_and_applied_when_it_comes() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for event in ["order.paid", "order.delivered"] {
        assert_eq!(app.accepted(bare(event, "H1")).await, json!({"status": "ok"}));
    }
    let announced = app.order("H1").await;
    assert_eq!(announced["status"], "announced");
    assert_eq!(
        (&announced["number"], &announced["paid_at"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(announced["closed"], false);

    let created = app
        .accepted(with_lines("order.created", "H1", &[("A", "2"), ("B", "0"), ("A", "1")]))
        .await;
    assert_eq!(created["status"], "created");
    let order = app.order("H1").await;
    assert_eq!(
        (&order["status"], &order["closed"]),
        (&json!("delivered"), &json!(true))
    );
    assert!(
        ["paid_at", "shipped_at", "delivered_at"]
            .iter()
            .all(|mark| !order[mark].is_null())
    );
    app.accepted(bare("order.received", "H1")).await;
    assert_eq!(
        count(&database, "SELECT count(*) FROM stock_movements").await,
        2,
        "a line without goods moves none"
    );
    assert_eq!(
        count(&database, "SELECT count(*) FROM notices").await,
        0,
        "nothing is left to pick"
    );
}

#[actix_rt::test]
async fn a_created_does_not_revive_a_cancelled_order() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(fixture("s04-cancelled-before-created.json")).await;
    let created = app.accepted(fixture("s05-created-after-cancelled.json")).await;
    assert!(created["number"].is_string());
    let again = app.accepted(fixture("s05-created-after-cancelled.json")).await;
    assert_eq!(again, created);
    let id = created_id();
    let order = app.order(&id).await;
    assert_eq!(order["status"], "cancelled");
    assert_eq!(order["notices"], json!([]));
}

fn created_id() -> String {
    let sent: Value = serde_json::from_slice(&fixture("s05-created-after-cancelled.json")).unwrap();
    sent["payload"]["originalOrderId"].as_str().unwrap().to_owned()
}

#[actix_rt::test]
async fn contradictions_set_the_flag_in_either_order() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for (id, events) in [
        ("H1", ["order.cancelled", "order.received"]),
        ("H2", ["order.received", "order.cancelled"]),
    ] {
        app.accepted(with_lines("order.created", id, &[("A", "1")])).await;
        for event in events {
            app.accepted(bare(event, id)).await;
        }
        let order = app.order(id).await;
        assert_eq!(
            (&order["conflict"], &order["status"]),
            (&json!(true), &json!("cancelled")),
            "{id}"
        );
        assert!(!order["shipped_at"].is_null(), "{id}");
    }
    let cancelled = "SELECT count(*) FROM notices WHERE kind = 'cancelled' AND order_id = ";
    assert_eq!(count(&database, &format!("{cancelled}'H1'")).await, 2);
    assert_eq!(
        count(&database, &format!("{cancelled}'H2'")).await,
        0,
        "already shipped: nothing to tell"
    );
    assert_eq!(count(&database, "SELECT count(*) FROM stock_movements").await, 2);
}

#[actix_rt::test]
async fn a_changed_after_closing_changes_nothing_and_is_a_conflict() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    app.accepted(bare("order.paid", "H1")).await;
    app.accepted(with_lines("order.changed", "H1", &[("A", "1")])).await;
    assert_eq!(app.order("H1").await["conflict"], false, "it says what is so already");
    app.accepted(with_lines("order.changed", "H1", &[("A", "5")])).await;
    let order = app.order("H1").await;
    assert_eq!(order["conflict"], true);
    assert_eq!(composition(&order), [("A".into(), "1".into())]);
}

#[actix_rt::test]
async fn a_genuine_return_to_an_earlier_composition_stands_and_is_noted() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let change = |quantity, timestamp| with_lines_at("order.changed", "H1", &[("A", quantity)], timestamp);
    app.accepted(change("2", Some("2026-11-24T10:00:00+03:00"))).await;
    app.accepted(change("3", Some("2026-11-24T10:01:00+03:00"))).await;
    // A late repeat has the old time.
    app.accepted(change("2", Some("2026-11-24T10:00:00+03:00"))).await;
    assert_eq!(composition(&app.order("H1").await), [("A".into(), "3".into())]);
    // A return has a newer one.
    app.accepted(change("2", Some("2026-11-24T10:02:00+03:00"))).await;
    let order = app.order("H1").await;
    assert_eq!(composition(&order), [("A".into(), "2".into())]);
    assert_eq!(order["events"][4]["notes"], json!(["composition_restored"]));
    // Without times: the first answer was given, so this is no late repeat.
    app.accepted(change("4", None)).await;
    app.accepted(change("5", None)).await;
    app.accepted(change("4", None)).await;
    assert_eq!(composition(&app.order("H1").await), [("A".into(), "4".into())]);
}

#[actix_rt::test]
async fn the_second_try_of_nginx_is_the_same_delivery() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let send = async |quantity: &'static str, request_id: &'static str| {
        let hook = app.hook(with_lines("order.changed", "H1", &[("A", quantity)]));
        assert_eq!(
            hook.header("X-Request-Id", request_id).send().await.unwrap().status(),
            200
        );
    };
    send("2", "0123456789abcdef0123456789abcdef").await;
    send("3", "fedcba9876543210fedcba9876543210").await;
    send("2", "0123456789abcdef0123456789abcdef").await;
    let order = app.order("H1").await;
    assert_eq!(composition(&order), [("A".into(), "3".into())]);
    assert_eq!(order["events"].as_array().unwrap().len(), 3);
    // One id for everything must not make different hooks one.
    send("7", "always-the-same").await;
    send("8", "always-the-same").await;
    assert_eq!(composition(&app.order("H1").await), [("A".into(), "8".into())]);
}

#[actix_rt::test]
async fn a_delivery_is_named_by_the_time_of_its_request_and_what_is_no_time_is_left_out() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let client = database.client().await;
    let send = async |start: &str| {
        let hook = app
            .hook(bare("order.paid", "H1"))
            .header("X-Request-Id", "0123456789abcdef");
        let answer = hook.header("X-Request-Start", start).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    };
    let named = async || -> Vec<String> {
        let names = "SELECT delivery_id::text FROM order_events ORDER BY received_at";
        let rows = client.query(names, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    // 1 795 766 400 123 ms are 0x01a21c04b47b.
    send("t=1795766400.123").await;
    send("t=1795766400.123").await;
    let names = named().await;
    assert_eq!(names.len(), 1, "both tries of nginx are one delivery");
    assert!(names[0].starts_with("01a21c04-b47b-8"), "{names:?}");
    send("t=1795766400.124").await;
    assert_eq!(
        named().await.len(),
        2,
        "the same request at another time is another delivery"
    );
    for nonsense in [
        "t=1795766400",
        "1795766400.123",
        "t=1795766400.12",
        "t=1795766400.1234",
        "t=99999999999.123",
        "t=18446744073709551615.123",
        "t=-795766400.123",
        "t=+795766400.123",
        "t=1795766400.+12",
        "t=now",
        "",
    ] {
        send(nonsense).await;
    }
    assert_eq!(
        named().await.len(),
        3,
        "those without a time are named by the digest alone"
    );
}

#[actix_rt::test]
async fn a_delivery_that_another_node_is_storing_at_this_moment_moves_no_order_without_its_event() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let hook = || app.hook(bare("order.delivering", "H1")).header("X-Request-Id", "twice");
    assert_eq!(hook().send().await.unwrap().status(), 200);
    // As if the other node had not committed it yet: it was about an order that it did not know.
    let mut client = database.client().await;
    let take_back = "CREATE TEMP TABLE taken AS SELECT * FROM order_arrivals WHERE request_id = 'twice'; \
                     DELETE FROM order_arrivals WHERE request_id = 'twice'; \
                     UPDATE orders SET version = version - 1; UPDATE taken SET order_version = NULL";
    client.batch_execute(take_back).await.unwrap();
    let other_node = client.transaction().await.unwrap();
    let store = "INSERT INTO order_arrivals SELECT * FROM taken";
    other_node.execute(store, &[]).await.unwrap();
    let sending = actix_rt::spawn(hook().send());
    let onlooker = database.client().await;
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
    while onlooker.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    other_node.commit().await.unwrap();
    assert_eq!(sending.await.unwrap().unwrap().status(), 200);
    assert_eq!(count(&database, "SELECT version FROM orders").await, 1);
    assert_eq!(count(&database, "SELECT count(*) FROM order_events").await, 2);
}
