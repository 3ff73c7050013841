//! The most important alerts, by the real app in the real state and a real Prometheus.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake_bot_api::{self, FakeBotApi, Fault, Scope, Times};
use crate::prometheus::Prometheus;
use crate::support::app::TestProcess;
use crate::support::cluster::TestCluster;
use crate::support::database::TestDatabase;

/// Nothing here takes so long unless it is broken.
const BOUND: Duration = Duration::from_secs(60);

fn created(order_id: &str, product_id: &str) -> String {
    json!({"event_type": "order.created", "payload": {"originalOrderId": order_id, "store_id": "8001",
           "positions": [{"id": product_id, "quantity": 1, "price": "89.90"}]}})
    .to_string()
}

#[actix_rt::test]
async fn an_order_that_contradicts_itself_fires() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &[]).await;
    let prometheus = Prometheus::start(&node.ops).await;
    node.accepted(created("H1", "A")).await;
    assert_eq!(prometheus.firing("OrderhookOrderConflict").await, Vec::<Value>::new());
    node.accepted(created("H1", "B")).await;
    let labels = prometheus.fires("OrderhookOrderConflict").await;
    assert_eq!(labels["conflict"], "created_composition");
}

#[actix_rt::test]
async fn a_database_that_is_away_fires_with_the_hooks_that_are_refused_and_is_over_when_it_is_back() {
    let cluster = TestCluster::migrated().await;
    let node = TestProcess::start(&cluster.url(), &[]).await;
    let prometheus = Prometheus::start(&node.ops).await;
    node.accepted(created("H0", "A")).await;
    let expected = [
        "OrderhookHooksRefused",
        "OrderhookCreatedRefused",
        "OrderhookDatabaseAway",
    ];
    for alert in expected {
        assert_eq!(prometheus.firing(alert).await, Vec::<Value>::new());
    }
    cluster.crash_server();
    // As SM does: every hook again and again.
    let client = node.client.clone();
    let sender = tokio::spawn(async move {
        for number in 1.. {
            let (status, _) = client.send(created(&format!("H{number}"), "A")).await;
            assert!(status == 503 || status == 200, "{status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    for alert in expected {
        prometheus.fires(alert).await;
    }
    cluster.start_server();
    prometheus.is_over("OrderhookDatabaseAway").await;
    sender.abort();
    assert!(sender.await.unwrap_err().is_cancelled(), "a hook had another answer");
}

#[actix_rt::test]
async fn a_notice_that_telegram_does_not_take_for_minutes_fires() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start_with(None);
    bot.fail(Scope::All, Fault::ServerError(500), Times::Always);
    let subscribe = "INSERT INTO chats (store_id, role, chat_id) VALUES ('*', 'pickers', 7), ('*', 'store', 7)";
    database.client().await.execute(subscribe, &[]).await.unwrap();
    let url = bot.url();
    let flags = ["--telegram-token", fake_bot_api::TOKEN, "--telegram-api-url", &url];
    let node = TestProcess::start(database.url(), &flags).await;
    let prometheus = Prometheus::start(&node.ops).await;
    node.accepted(created("H1", "A")).await;
    bot.seen(BOUND, "a try to send", |_, refused| !refused.is_empty()).await;
    assert_eq!(prometheus.firing("OrderhookNoticesOld").await, Vec::<Value>::new());
    // Minutes go by.
    let age = "UPDATE notices SET created_at = created_at - interval '6 minutes'";
    assert_eq!(database.client().await.execute(age, &[]).await.unwrap(), 1);
    prometheus.fires("OrderhookNoticesOld").await;
    // Telegram is back, and so is silence.
    bot.heal(Scope::All);
    prometheus.is_over("OrderhookNoticesOld").await;
    assert_eq!(bot.messages(7).len(), 1);
}

#[actix_rt::test]
async fn a_store_with_orders_and_without_a_chat_fires() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &[]).await;
    let prometheus = Prometheus::start(&node.ops).await;
    assert_eq!(
        prometheus.firing("OrderhookStoresWithoutChat").await,
        Vec::<Value>::new()
    );
    node.accepted(created("H1", "A")).await;
    prometheus.fires("OrderhookStoresWithoutChat").await;
}

#[actix_rt::test]
async fn commits_that_a_lock_holds_fire_although_none_stands_still_for_long() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &[]).await;
    let prometheus = Prometheus::start(&node.ops).await;
    node.accepted(created("H0", "A")).await;
    let holder = database.client().await;
    holder
        .batch_execute("BEGIN; LOCK TABLE orders IN EXCLUSIVE MODE")
        .await
        .unwrap();
    let client = node.client.clone();
    let sender = tokio::spawn(async move {
        for number in 1.. {
            let (status, _) = client.send(created(&format!("H{number}"), "A")).await;
            assert!(status == 503 || status == 200, "{status}");
        }
    });
    prometheus.fires("OrderhookCommitsStuck").await;
    holder.batch_execute("COMMIT").await.unwrap();
    prometheus.is_over("OrderhookCommitsStuck").await;
    sender.abort();
    assert!(sender.await.unwrap_err().is_cancelled(), "a hook had another answer");
}

#[actix_rt::test]
async fn an_order_whose_queue_is_half_full_fires_among_others_that_are_empty() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &["--order-queue", "8", "--answer-deadline", "4s"]).await;
    let prometheus = Prometheus::start(&node.ops).await;
    let others = (0..50).map(|number| node.accepted(created(&format!("O{number}"), "A")));
    futures_util::future::join_all(others).await;
    node.accepted(created("H1", "A")).await;
    let holder = database.client().await;
    holder
        .batch_execute("BEGIN; SELECT FROM orders WHERE order_id = 'H1' FOR UPDATE")
        .await
        .unwrap();
    // As SM does: whatever is not accepted comes again.
    let senders: Vec<_> = (0..6)
        .map(|_| {
            let client = node.client.clone();
            tokio::spawn(async move {
                loop {
                    client.send(created("H1", "A")).await;
                }
            })
        })
        .collect();
    let labels = prometheus.fires("OrderhookMailboxNearBound").await;
    assert_eq!(labels["actor"], "order");
    for sender in &senders {
        sender.abort();
    }
    holder.batch_execute("COMMIT").await.unwrap();
    prometheus.is_over("OrderhookMailboxNearBound").await;
}
