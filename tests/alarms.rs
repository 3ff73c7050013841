//! What operations are told in their chats.

#[path = "support/fake_bot_api.rs"]
mod fake_bot_api;
#[path = "support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use fake_bot_api::{FakeBotApi, TOKEN};
use serde_json::json;
use support::app::TestApp;
use support::cluster::TestCluster;
use support::database::TestDatabase;

/// Nothing here takes so long unless it is broken.
const BOUND: Duration = Duration::from_secs(60);
const OPS: i64 = -900;

fn hook(event: &str, order_id: &str, quantity: &str) -> String {
    json!({"event_type": event, "payload": {"originalOrderId": order_id, "store_id": "8001",
           "positions": [{"id": "4100017", "quantity": quantity}]}})
    .to_string()
}

#[actix_rt::test]
async fn everything_that_needs_a_person_is_told_once() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    client
        .execute(
            "INSERT INTO chats (store_id, role, chat_id) VALUES ('*', 'ops', $1)",
            &[&OPS],
        )
        .await
        .unwrap();
    let bot = FakeBotApi::start();
    let flags = [
        "--telegram-token",
        TOKEN,
        "--telegram-api-url",
        &bot.url(),
        "--alarm-interval",
        "200ms",
        "--repeat-horizon",
        "0s",
    ];
    let app = TestApp::start(database.url(), &flags).await;

    app.accepted(hook("order.created", "H-CONFLICT", "1")).await;
    app.accepted(hook("order.created", "H-CONFLICT", "2")).await;
    app.accepted(hook("order.paid", "H-ANNOUNCED", "1")).await;
    let (status, _) = app.send(hook("order.created", "H-REJECTED", "-1")).await;
    assert_eq!(status, 400);
    // A created whose answer never reached SM.
    let unanswered = "WITH order_row AS (UPDATE orders SET order_id = 'H-UNANSWERED' WHERE order_id = 'H-U'), answer AS ( \
                          DELETE FROM order_answers WHERE delivery_id IN ( \
                              SELECT delivery_id FROM order_arrivals WHERE order_id = 'H-U')) \
                      UPDATE order_arrivals SET order_id = 'H-UNANSWERED' WHERE order_id = 'H-U'";
    app.accepted(hook("order.created", "H-U", "1")).await;
    while client
        .execute(
            "SELECT FROM order_events WHERE order_id = 'H-U' AND answered_at IS NOT NULL",
            &[],
        )
        .await
        .unwrap()
        == 0
    {
        tokio::task::yield_now().await;
    }
    client.execute(unanswered, &[]).await.unwrap();

    for part in [
        "противоречивые данные, у сборщиков может быть неверный список. Заказы: H-CONFLICT",
        "сам заказ не пришёл. Заказы: H-ANNOUNCED",
        "Вебхуки отвергнуты (orderhook journal list --outcome rejected): H-REJECTED",
        "не получил ответа и, вероятно, отменил его; его собирают. Заказы: H-UNANSWERED",
        "8001 pickers",
    ] {
        let part = part.to_lowercase();
        let what = part.clone();
        bot.seen(BOUND, &what, move |accepted, _| {
            accepted
                .iter()
                .any(|message| message.chat_id == OPS && message.visible.to_lowercase().contains(&part))
        })
        .await;
    }
    // Each thing once, although it lasts: a later round tells only what is new.
    app.accepted(hook("order.created", "H-LATER", "1")).await;
    app.accepted(hook("order.created", "H-LATER", "2")).await;
    bot.seen(BOUND, "the later conflict", |accepted, _| {
        accepted.iter().any(|message| message.visible.contains("H-LATER"))
    })
    .await;
    let told: String = bot
        .messages(OPS)
        .iter()
        .map(|message| message.visible.clone())
        .collect();
    for once in ["H-CONFLICT", "H-ANNOUNCED", "H-REJECTED", "8001 pickers"] {
        assert_eq!(told.matches(once).count(), 1, "{once} in {told}");
    }
    assert_eq!(bot.limit_violations(), 0);
}

#[actix_rt::test]
async fn without_a_chat_for_operations_nothing_is_marked_as_told() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start();
    let flags = [
        "--telegram-token",
        TOKEN,
        "--telegram-api-url",
        &bot.url(),
        "--alarm-interval",
        "100ms",
    ];
    let app = TestApp::start(database.url(), &flags).await;
    app.accepted(hook("order.created", "H1", "1")).await;
    app.accepted(hook("order.created", "H1", "2")).await;
    while app.metric("orderhook_leader", &[]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    let client = database.client().await;
    client
        .execute(
            "INSERT INTO chats (store_id, role, chat_id) VALUES ('*', 'ops', $1)",
            &[&OPS],
        )
        .await
        .unwrap();
    bot.seen(BOUND, "the conflict from before", |accepted, _| {
        accepted
            .iter()
            .any(|message| message.chat_id == OPS && message.visible.contains("H1"))
    })
    .await;
}

#[actix_rt::test]
async fn an_outage_of_the_database_is_told_when_it_is_over() {
    let cluster = TestCluster::migrated().await;
    let add = "INSERT INTO chats (store_id, role, chat_id) VALUES ('*', 'ops', $1)";
    cluster.client().await.execute(add, &[&OPS]).await.unwrap();
    let bot = FakeBotApi::start();
    let flags = [
        "--telegram-token",
        TOKEN,
        "--telegram-api-url",
        &bot.url(),
        "--alarm-interval",
        "200ms",
    ];
    let app = TestApp::start(&cluster.url(), &flags).await;
    while app.metric("orderhook_leader", &[]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    cluster.crash_server();
    // Long enough to be an outage and not a hiccup; meanwhile the node says what is wrong.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(7) {
        app.ops("/readyz").await;
    }
    cluster.start_server();
    bot.seen(BOUND, "the outage", |accepted, _| {
        accepted
            .iter()
            .any(|message| message.chat_id == OPS && message.visible.contains("База данных была недоступна"))
    })
    .await;
}
