//! What operations are told in their chats.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/fake_bot_api.rs"]
mod fake_bot_api;
#[path = "support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use fake_bot_api::{FakeBotApi, Fault, Scope, TOKEN, Times};
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
    let app = start(&database, &bot, &["--repeat-horizon", "0s"]).await;

    app.accepted(hook("order.created", "H-CONFLICT", "1")).await;
    app.accepted(hook("order.created", "H-CONFLICT", "2")).await;
    app.accepted(hook("order.paid", "H-ANNOUNCED", "1")).await;
    let (status, _) = app.send(hook("order.created", "H-REJECTED", "-1")).await;
    assert_eq!(status, 400);
    // A created whose answer never reached SM.
    let unanswered = "WITH order_row AS (UPDATE orders SET order_id = 'H-UNANSWERED' WHERE order_id = 'H-U'), answer AS ( \
                          DELETE FROM order_answers WHERE delivery_id IN ( \
                              SELECT delivery_id FROM order_arrivals WHERE order_id = 'H-U')) \
                      UPDATE order_arrivals SET order_id = 'H-UNANSWERED', received_at = now() WHERE order_id = 'H-U'";
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
        "данные заказа расходятся, у сборщиков может быть неверный список. Заказы: H-CONFLICT",
        "сам заказ не пришёл. Заказы: H-ANNOUNCED",
        "Вебхуки отвергнуты (orderhook journal list --outcome rejected): H-REJECTED",
        "не получил ответа и, вероятно, отменил его; его собирают. Заказы: H-UNANSWERED",
        "нет чата: магазин 8001, сборщики",
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
    for once in [
        "H-CONFLICT",
        "H-ANNOUNCED",
        "H-REJECTED",
        "H-UNANSWERED",
        "8001, сборщики",
    ] {
        assert_eq!(told.matches(once).count(), 1, "{once} in {told}");
    }
    assert_eq!(bot.limit_violations(), 0);
}

#[actix_rt::test]
async fn without_a_chat_for_operations_nothing_is_marked_as_told() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start();
    let app = start_looking_every("100ms", &database, &bot, &[]).await;
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

async fn start(database: &TestDatabase, bot: &FakeBotApi, flags: &[&str]) -> TestApp {
    start_looking_every("200ms", database, bot, flags).await
}

async fn start_looking_every(interval: &str, database: &TestDatabase, bot: &FakeBotApi, flags: &[&str]) -> TestApp {
    let url = bot.url();
    let mut all = vec![
        "--telegram-token",
        TOKEN,
        "--telegram-api-url",
        &url,
        "--alarm-interval",
        interval,
    ];
    all.extend(flags);
    TestApp::start(database.url(), &all).await
}

async fn subscribe(database: &TestDatabase, store: &str, chat_id: i64) {
    let add = "INSERT INTO chats (store_id, role, chat_id) VALUES ($1, 'ops', $2)";
    database.client().await.execute(add, &[&store, &chat_id]).await.unwrap();
}

/// Waits until this chat has read so often of that.
async fn reads(bot: &FakeBotApi, chat_id: i64, word: &str, times: usize) {
    let (what, word) = (format!("{times} times {word}"), word.to_owned());
    bot.seen(BOUND, &what, move |accepted, _| {
        let is_told = |message: &&fake_bot_api::Accepted| message.chat_id == chat_id && message.visible.contains(&word);
        accepted.iter().filter(is_told).count() >= times
    })
    .await;
}

async fn conflict(app: &TestApp, order_id: &str) {
    app.accepted(hook("order.created", order_id, "1")).await;
    app.accepted(hook("order.created", order_id, "2")).await;
}

#[actix_rt::test]
async fn a_chat_that_fails_makes_no_other_hear_an_alarm_twice_or_late() {
    let database = TestDatabase::create().await;
    subscribe(&database, "*", OPS).await;
    subscribe(&database, "*", -901).await;
    let bot = FakeBotApi::start();
    bot.fail(Scope::Chat(-901), Fault::ServerError(500), Times::Always);
    let app = start(&database, &bot, &[]).await;
    let begun = Instant::now();
    for order in ["H-FIRST", "H-SECOND", "H-THIRD"] {
        conflict(&app, order).await;
        reads(&bot, OPS, order, 1).await;
    }
    // The one that fails is given up after a minute.
    assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
    let told: String = bot
        .messages(OPS)
        .iter()
        .map(|message| message.visible.clone())
        .collect();
    for order in ["H-FIRST", "H-SECOND", "H-THIRD"] {
        assert_eq!(told.matches(order).count(), 1, "{told}");
    }
}

#[actix_rt::test]
async fn what_came_while_nobody_led_is_looked_at_in_one_round() {
    let database = TestDatabase::create().await;
    subscribe(&database, "*", OPS).await;
    // More than ten rounds would be needed if one looked at a part of it only.
    let missed = "INSERT INTO order_arrivals (delivery_id, order_id, event, received_at, outcome, node, body) \
                  SELECT gen_random_uuid(), 'H1', CASE n WHEN 200001 THEN 'created' ELSE 'paid' END, \
                         now() - interval '1 hour' + n * interval '14 milliseconds', \
                         CASE n WHEN 200001 THEN 'applied' ELSE 'duplicate' END, 'test', 'x' \
                  FROM generate_series(1, 200001) AS n; \
                  INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, memory) \
                  VALUES ('H1', 1, 'N1', '8001', 'new', false, false, '{}')";
    database.client().await.batch_execute(missed).await.unwrap();
    let bot = FakeBotApi::start();
    let _app = start_looking_every("10s", &database, &bot, &[]).await;
    reads(&bot, OPS, "H1", 1).await;
}

#[actix_rt::test]
async fn what_is_over_and_comes_again_is_told_again() {
    let database = TestDatabase::create().await;
    subscribe(&database, "*", OPS).await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot, &["--outbox-limit", "1s"]).await;
    let client = database.client().await;
    app.accepted(hook("order.created", "H1", "1")).await;
    let wait = "UPDATE notices SET chat_id = notice_id, state = 'pending', created_at = now() - interval '1 hour'";
    let settle = "UPDATE notices SET state = 'sent'";
    let remembered = "SELECT count(*) FROM ops_alarms WHERE kind = 'outbox_old'";
    for times in 1..3 {
        // Nobody sends it: no such chat is subscribed, and what is being sent is left alone.
        client
            .batch_execute(&format!(
                "{wait}, claimed_at = now(), claimed_by = (SELECT epoch FROM sender_leader)"
            ))
            .await
            .unwrap();
        reads(&bot, OPS, "ждут отправки", times).await;
        client.batch_execute(settle).await.unwrap();
        while client.query_one(remembered, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[actix_rt::test]
async fn a_store_that_nobody_is_told_about_is_told_once_and_not_with_each_order() {
    let database = TestDatabase::create().await;
    subscribe(&database, "*", OPS).await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot, &[]).await;
    for number in 0..3 {
        app.accepted(hook("order.created", &format!("H{number}"), "1")).await;
        reads(&bot, OPS, "магазин 8001, сборщики", 1).await;
        app.accepted(hook("order.cancelled", &format!("H{number}"), "1")).await;
        // A round without an open order.
        let (status, _) = app
            .send(hook("order.created", &format!("H-WRONG-{number}"), "-1"))
            .await;
        assert_eq!(status, 400);
        reads(&bot, OPS, &format!("H-WRONG-{number}"), 1).await;
    }
    let told: String = bot
        .messages(OPS)
        .iter()
        .map(|message| message.visible.clone())
        .collect();
    assert_eq!(told.matches("магазин 8001, сборщики").count(), 1, "{told}");
    // With a chat it is over, and without one it is news.
    let client = database.client().await;
    let pickers = "INSERT INTO chats (store_id, role, chat_id) VALUES ('*', 'pickers', 5)";
    client.batch_execute(pickers).await.unwrap();
    let remembered = "SELECT count(*) FROM ops_alarms WHERE kind = 'no_chat' AND subject = '8001 pickers'";
    while client.query_one(remembered, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
    client
        .batch_execute("DELETE FROM chats WHERE chat_id = 5")
        .await
        .unwrap();
    app.accepted(hook("order.created", "H-NEWS", "1")).await;
    reads(&bot, OPS, "магазин 8001, сборщики", 2).await;
}

#[actix_rt::test]
async fn a_flood_of_wrong_hooks_is_a_few_messages_with_examples_and_a_count() {
    let database = TestDatabase::create().await;
    subscribe(&database, "*", OPS).await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot, &[]).await;
    for number in 0..6 {
        for part in 0..15 {
            let (status, _) = app
                .send(hook("order.created", &format!("H-{number}-{part}"), "-1"))
                .await;
            assert_eq!(status, 400);
        }
        // Something else is still told at once.
        conflict(&app, &format!("H-CONFLICT-{number}")).await;
        if number < 3 {
            reads(&bot, OPS, &format!("H-CONFLICT-{number}"), 1).await;
        }
    }
    let client = database.client().await;
    let waiting = "SELECT count(*) FROM ops_alarms WHERE kind = 'rejected' AND told_at IS NULL";
    while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < 30 {
        tokio::task::yield_now().await;
    }
    let told = bot.messages(OPS);
    let rejected: Vec<_> = told
        .iter()
        .filter(|message| message.visible.contains("Вебхуки отвергнуты"))
        .collect();
    assert!((1..=3).contains(&rejected.len()), "{} messages", rejected.len());
    assert_eq!(bot.limit_violations(), 0);
}

#[actix_rt::test]
async fn the_chat_of_one_store_hears_of_that_store_and_of_what_concerns_all() {
    let database = TestDatabase::create().await;
    for (store, chat_id) in [("*", OPS), ("8001", -901), ("57", -902)] {
        subscribe(&database, store, chat_id).await;
    }
    let bot = FakeBotApi::start();
    let app = start(&database, &bot, &[]).await;
    conflict(&app, "H1").await;
    let (status, _) = app.send(hook("order.created", "H-WRONG", "-1")).await;
    assert_eq!(status, 400);
    for (chat_id, word) in [
        (OPS, "H1"),
        (-901, "H1"),
        (OPS, "H-WRONG"),
        (-901, "H-WRONG"),
        (-902, "H-WRONG"),
    ] {
        reads(&bot, chat_id, word, 1).await;
    }
    let told: String = bot
        .messages(-902)
        .iter()
        .map(|message| message.visible.clone())
        .collect();
    assert!(!told.contains("H1") && !told.contains("8001"), "{told}");
}

#[actix_rt::test]
async fn a_chat_that_is_refused_again_and_again_is_told() {
    let database = TestDatabase::create().await;
    subscribe(&database, "*", OPS).await;
    let client = database.client().await;
    let pickers = "INSERT INTO chats (store_id, role, chat_id) VALUES ('8001', 'pickers', -5)";
    client.batch_execute(pickers).await.unwrap();
    let bot = FakeBotApi::start();
    bot.fail(Scope::Chat(-5), Fault::Unknown400, Times::Always);
    let app = start(&database, &bot, &[]).await;
    app.accepted(hook("order.created", "H1", "1")).await;
    bot.seen(BOUND, "a refusal", |_, refused| !refused.is_empty()).await;
    // As after some minutes of it.
    client.batch_execute("UPDATE notices SET attempts = 10").await.unwrap();
    reads(&bot, OPS, "Чат: -5 (магазин 8001, сборщики)", 1).await;
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
        // Longer than the outage: it is over when alarms are looked for.
        "12s",
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
