//! The operations listener: health, metrics, mailboxes, orders.

use reqwest::StatusCode;
use serde_json::Value;

use crate::bodies::{bare, fixture, with_lines};
use crate::support::app::{TestApp, TestProcess};
use crate::support::database::TestDatabase;

#[actix_rt::test]
async fn a_node_without_a_schema_is_alive_but_not_ready_and_refuses_hooks() {
    let database = TestDatabase::create().await;
    let empty = database.client().await;
    empty
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await
        .unwrap();
    let app = TestApp::start(database.url(), &[]).await;
    assert_eq!(app.ops("/livez").await.status(), StatusCode::OK);
    let ready = app.ops("/readyz").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready.text().await.unwrap().contains("orderhook migrate"));
    let response = app.hook(bare("order.paid", "H1")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers().contains_key("retry-after"));
}

#[actix_rt::test]
async fn every_family_of_the_contract_is_exposed_from_the_start() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    assert_eq!(app.ops("/readyz").await.status(), StatusCode::OK);
    let text = app.ops("/metrics").await.text().await.unwrap();
    for family in [
        "orderhook_hooks_total",
        "orderhook_hook_seconds_bucket",
        "orderhook_mailbox_depth",
        "orderhook_mailbox_wait_seconds_bucket",
        "orderhook_mailbox_handle_seconds_bucket",
        "orderhook_mailbox_refused_total",
        "orderhook_orders_active",
        "orderhook_commit_seconds_bucket",
        "orderhook_commit_rows_bucket",
        "orderhook_version_conflicts_total",
        "orderhook_notices_pending",
        "orderhook_notices_oldest_seconds",
        "orderhook_notices_total",
        "orderhook_leader",
        "orderhook_mailbox_high_water",
        "orderhook_order_actors_total",
        "orderhook_commit_bytes_bucket",
        "orderhook_commits_in_flight",
        "orderhook_commit_rows_isolated_total",
        "orderhook_answers_late_total",
        "orderhook_hooks_in_flight",
        "orderhook_notifier_pauses_total",
        "orderhook_telegram_token_refused",
        "orderhook_database_ready",
        "orderhook_chats_disabled",
        "orderhook_stores_without_chat",
        "orderhook_orders_announced",
        "orderhook_build_info",
        "orderhook_mailbox_deepest",
        "orderhook_mailbox_half_full",
        "orderhook_mailbox_message_depth",
        "orderhook_mailbox_message_high_water",
        "orderhook_mailbox_message_refused_total",
        "orderhook_commits_total",
        "orderhook_pool_connections",
        "orderhook_counts_age_seconds",
        "process_resident_memory_bytes",
        "process_threads",
        "process_open_fds",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
    ] {
        let help = format!("# HELP {} ", family.trim_end_matches("_bucket"));
        assert!(text.contains(&help), "{family} is not described");
        assert!(
            text.lines().any(|line| line.split(['{', ' ']).next() == Some(family)),
            "{family} is missing"
        );
    }
    // A unit stands in the name and in the description.
    for line in text.lines().filter(|line| line.starts_with("# HELP ")) {
        let (family, help) = line["# HELP ".len()..].split_once(' ').unwrap();
        let family = family.trim_end_matches("_total");
        for unit in ["seconds", "bytes"] {
            assert!(!family.ends_with(unit) || help.to_lowercase().contains(unit), "{line}");
        }
    }
    // A writer's connections are counted as well.
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let bound = async |pool: &str| {
        let labels = [pool, "state=\"bound\""];
        app.metric("orderhook_pool_connections", &labels).await.to_string()
    };
    assert_eq!(bound("pool=\"shared\"").await, "8");
    while bound("pool=\"writers\"").await == "0" {
        tokio::task::yield_now().await;
    }
    // Counted once a second: a look of Prometheus takes no lock with which a commit takes its connection.
    let open = ["pool=\"writers\"", "state=\"open\""];
    while app.metric("orderhook_pool_connections", &open).await < 1.0 {
        tokio::task::yield_now().await;
    }
    // Each family of a mailbox by message adds up to that of the actor.
    let handled = app.metric("orderhook_mailbox_message_high_water", &["answers"]).await;
    assert!(handled >= 1.0, "{handled}");
}

#[actix_rt::test]
async fn mailboxes_show_what_passed_through_them() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for number in 0..5 {
        app.accepted(with_lines("order.created", &format!("H{number}"), &[("A", "1")]))
            .await;
    }
    let shown: Value = app.ops("/api/mailboxes").await.json().await.unwrap();
    assert_eq!(shown["orders_active"], 5);
    let actors: Vec<_> = shown["mailboxes"].as_array().unwrap().iter().collect();
    for actor in ["order", "persistence", "answers", "notifier"] {
        assert!(actors.iter().any(|mailbox| mailbox["actor"] == actor), "{actor}");
    }
    let order = actors.iter().find(|mailbox| mailbox["actor"] == "order").unwrap();
    assert_eq!(order["depth"], 0);
    assert_eq!(order["bound"], 5 * 128, "five orders, each with a queue of its own");
    assert!(order["high_water"].as_u64().unwrap() >= 1);
    assert_eq!(order["messages"][0]["handle"]["count"], 5);
}

#[actix_rt::test]
async fn no_order_id_ever_is_a_metric_label() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H-LABEL-1", &[("SKU-LABEL", "1")]))
        .await;
    app.accepted(bare("order.some-made-up-event", "H-LABEL-1")).await;
    let text = app.ops("/metrics").await.text().await.unwrap();
    for secret in ["H-LABEL-1", "SKU-LABEL", "made-up"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[actix_rt::test]
async fn an_unknown_order_is_404() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let response = app.ops("/api/orders/H404").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], 404);
}

#[actix_rt::test]
async fn an_order_id_that_looks_like_an_address_is_found() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for id in ["/api/orders/H1", "a/b", "%2F"] {
        app.accepted(with_lines("order.created", id, &[("A", "1")])).await;
        assert_eq!(app.order(id).await["order_id"], id);
    }
    // The same without escapes, as a person may type it.
    let typed: Value = app.ops("/api/orders//api/orders/H1").await.json().await.unwrap();
    assert_eq!(typed["order_id"], "/api/orders/H1");
}

#[actix_rt::test]
async fn sigterm_answers_what_is_inside_and_ends_with_0() {
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start(database.url(), &[]).await;
    node.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    // A hook is held inside by its row.
    let client = database.client().await;
    client
        .batch_execute("BEGIN; SELECT FROM orders WHERE order_id = 'H1' FOR UPDATE")
        .await
        .unwrap();
    let inside = tokio::spawn(node.hook(fixture("d08-order-paid-id-only.json")).send());
    inside.await.unwrap().unwrap();
    let inside = tokio::spawn(node.hook(bare("order.paid", "H1")).send());
    while node.metric("orderhook_mailbox_depth", &["persistence"]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    node.signal("TERM");
    while node.ops("/readyz").await.status() == StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let refused = node.hook(bare("order.paid", "H2")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(inside.await.unwrap().unwrap().status(), StatusCode::OK);
    let code = tokio::task::spawn_blocking(move || node.wait()).await.unwrap();
    assert_eq!(code, Some(0));
    let paid: bool = client
        .query_one("SELECT paid_at IS NOT NULL FROM orders WHERE order_id = 'H1'", &[])
        .await
        .unwrap()
        .get(0);
    assert!(paid);
}
