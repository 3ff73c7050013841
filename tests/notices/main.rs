//! From a hook to the phone of a picker: the production app, a real PostgreSQL, a Bot API that enforces
//! Telegram's limits.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod bursts;
#[path = "../support/fake_bot_api.rs"]
mod fake_bot_api;
mod leaders;
mod repeats;
#[path = "../support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use bursts::{CHATS, PER_CHAT, burst, chat, subscribe_all};
use fake_bot_api::{FakeBotApi, Fault, Scope, TOKEN, Times};
use reqwest::StatusCode;
use serde_json::json;
use support::app::TestApp;
use support::database::TestDatabase;

/// Nothing here takes so long unless it is broken.
const BOUND: Duration = Duration::from_secs(60);

fn telegram(bot: &FakeBotApi) -> [String; 4] {
    ["--telegram-token", TOKEN, "--telegram-api-url", &bot.url()].map(str::to_owned)
}

async fn start(database: &TestDatabase, bot: &FakeBotApi) -> TestApp {
    let flags = telegram(bot);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    TestApp::start(database.url(), &flags).await
}

async fn subscribe(database: &TestDatabase, chats: &[(&str, &str, i64)]) {
    let client = database.client().await;
    for (store, role, chat_id) in chats {
        let add = "INSERT INTO chats (store_id, role, chat_id) VALUES ($1, $2, $3)";
        client.execute(add, &[store, role, chat_id]).await.unwrap();
    }
}

fn created(order_id: &str, store: &str) -> String {
    json!({"event_type": "order.created", "payload": {"originalOrderId": order_id, "store_id": store,
           "positions": [{"id": "4100017", "quantity": 2, "price": "89.90", "name": "Молоко"}]}})
    .to_string()
}

fn changed(order_id: &str, quantity: u32) -> String {
    json!({"event_type": "order.changed", "payload": {"originalOrderId": order_id,
           "positions": [{"id": "4100017", "quantity": quantity, "price": "89.90"}]}})
    .to_string()
}

fn cancelled(order_id: &str) -> String {
    json!({"event_type": "order.cancelled", "payload": {"originalOrderId": order_id,
           "cancellation": {"slug": "customer_request"}}})
    .to_string()
}

/// Waits until the database has marked what was sent.
async fn all_sent(database: &TestDatabase) {
    let client = database.client().await;
    let waiting = "SELECT count(*) FROM notices WHERE state = 'pending'";
    while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn a_new_order_is_one_message_in_each_chat_of_its_store_at_once() {
    let database = TestDatabase::create().await;
    subscribe(
        &database,
        &[
            ("8001", "pickers", 1),
            ("8001", "store", -2),
            ("*", "pickers", 3),
            ("57", "pickers", 4),
        ],
    )
    .await;
    // One chat with two subscriptions is told once.
    subscribe(&database, &[("8001", "store", 1)]).await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot).await;
    // An idle service whose sender has begun.
    subscribe(&database, &[("other", "pickers", 9), ("other", "store", 9)]).await;
    app.accepted(created("H0", "other")).await;
    bot.arrived(2, BOUND).await;
    all_sent(&database).await;
    assert_eq!(bot.messages(3).len(), 1);

    let answered = app.accepted(created("H1", "8001")).await;
    let acknowledged = Instant::now();
    bot.seen(BOUND, "the pickers of the store", |accepted, _| {
        accepted.iter().any(|message| message.chat_id == 1)
    })
    .await;
    let delay = acknowledged.elapsed();
    println!("the pickers are told {delay:?} after the answer");
    assert!(delay < Duration::from_secs(10), "{delay:?}");
    // The chat of all stores was told of the other order just before, and has its turn a second later.
    let messages: Vec<_> = bot.arrived(5, BOUND).await.split_off(2);
    let mut chats: Vec<i64> = messages.iter().map(|message| message.chat_id).collect();
    chats.sort_unstable();
    assert_eq!(chats, [-2, 1, 3]);
    for message in &messages {
        assert!(
            message.visible.contains(answered["number"].as_str().unwrap()),
            "{}",
            message.visible
        );
        assert!(message.visible.contains("Молоко"), "{}", message.visible);
    }
    all_sent(&database).await;
    assert_eq!(bot.accepted().len(), 5);
    let order = app.order("H1").await;
    assert!(
        order["notices"]
            .as_array()
            .unwrap()
            .iter()
            .all(|notice| notice["state"] == "sent")
    );
    assert!(!order["notices"][0]["sent_at"].is_null());
}

#[actix_rt::test]
async fn a_hook_is_answered_while_telegram_is_down() {
    let database = TestDatabase::create().await;
    subscribe(&database, &[("8001", "pickers", 1)]).await;
    let bot = FakeBotApi::start();
    bot.fail(Scope::All, Fault::ServerError(500), Times::Always);
    let app = start(&database, &bot).await;
    for number in 0..5 {
        app.accepted(created(&format!("H{number}"), "8001")).await;
    }
    bot.seen(BOUND, "a refused message", |_, refused| !refused.is_empty())
        .await;
    bot.heal(Scope::All);
    all_sent(&database).await;
    let told: String = bot.messages(1).iter().map(|message| message.visible.clone()).collect();
    for number in 0..5 {
        assert!(told.contains(&format!("H{number}")), "H{number} is missing in {told}");
    }
}

#[actix_rt::test]
async fn what_gathers_is_merged_in_order_and_a_change_replies_to_its_order() {
    let database = TestDatabase::create().await;
    subscribe(&database, &[("8001", "pickers", 1)]).await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot).await;
    app.accepted(created("H1", "8001")).await;
    let first = bot.arrived(1, BOUND).await.remove(0);
    all_sent(&database).await;
    app.accepted(changed("H1", 5)).await;
    let change = bot.arrived(2, BOUND).await.remove(1);
    assert_eq!(change.reply_to, Some(first.message_id));
    // All of this waits for the chat's next turn.
    for number in 2..12 {
        app.accepted(created(&format!("H{number}"), "8001")).await;
    }
    app.accepted(cancelled("H5")).await;
    all_sent(&database).await;
    let messages = bot.messages(1);
    assert!(messages.len() < 9, "{} messages", messages.len());
    let told: String = messages.iter().map(|message| message.visible.clone()).collect();
    let places: Vec<usize> = (2..12)
        .map(|number| told.find(&format!("SM H{number} ")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{told}");
    assert_eq!(bot.limit_violations(), 0);
    assert_eq!(bot.accepted_twice(), 0);
}

#[actix_rt::test]
async fn an_order_that_comes_and_goes_while_its_chat_must_wait_is_one_line() {
    let database = TestDatabase::create().await;
    subscribe(&database, &[("8001", "pickers", 1), ("8001", "store", 1)]).await;
    let bot = FakeBotApi::start();
    bot.fail(Scope::All, Fault::RetryAfter(15), Times::Next(1));
    let app = start(&database, &bot).await;
    app.accepted(created("H-PAIR", "8001")).await;
    bot.seen(BOUND, "the refusal", |_, refused| !refused.is_empty()).await;
    for number in 0..70 {
        app.accepted(created(&format!("H{number}"), "8001")).await;
    }
    app.accepted(cancelled("H-PAIR")).await;
    all_sent(&database).await;
    let told: String = bot.messages(1).iter().map(|message| message.visible.clone()).collect();
    assert_eq!(told.matches("H-PAIR").count(), 1, "{told}");
    assert!(told.contains("поступил и уже отменён"));
    assert_eq!(bot.limit_violations(), 0);
}

#[actix_rt::test]
async fn a_slow_chat_and_a_refused_one_delay_nobody_else() {
    let database = TestDatabase::create().await;
    subscribe(
        &database,
        &[("8001", "pickers", 1), ("8001", "store", 2), ("57", "pickers", 3)],
    )
    .await;
    let bot = FakeBotApi::start();
    bot.fail(Scope::Chat(1), Fault::RetryAfter(30), Times::Next(1));
    bot.fail(Scope::Chat(2), Fault::Hang(Duration::from_secs(60)), Times::Next(1));
    let app = start(&database, &bot).await;
    app.accepted(created("H1", "8001")).await;
    bot.seen(BOUND, "the refusal", |_, refused| !refused.is_empty()).await;
    let begun = Instant::now();
    for number in 2..5 {
        app.accepted(created(&format!("H{number}"), "57")).await;
    }
    bot.seen(BOUND, "the other chat's orders", |accepted, _| {
        let told: String = accepted
            .iter()
            .filter(|message| message.chat_id == 3)
            .map(|message| message.visible.clone())
            .collect();
        (2..5).all(|number| told.contains(&format!("H{number}")))
    })
    .await;
    println!(
        "the other chat had its orders {:?} after they were sent",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(bot.messages(1).is_empty(), "the refused chat waits what Telegram said");
}

#[actix_rt::test]
async fn a_chat_that_refuses_the_bot_is_disabled_and_a_moved_group_is_followed() {
    let database = TestDatabase::create().await;
    subscribe(&database, &[("8001", "pickers", 1), ("8001", "store", -2)]).await;
    let bot = FakeBotApi::start();
    bot.fail(Scope::Chat(1), Fault::Blocked, Times::Always);
    bot.fail(Scope::Chat(-2), Fault::MigratedTo(-1002), Times::Always);
    let app = start(&database, &bot).await;
    app.accepted(created("H1", "8001")).await;
    bot.seen(BOUND, "the moved group", |accepted, _| {
        accepted.iter().any(|message| message.chat_id == -1002)
    })
    .await;
    all_sent(&database).await;
    let client = database.client().await;
    let chats = client
        .query(
            "SELECT chat_id, disabled_at IS NOT NULL FROM chats ORDER BY chat_id",
            &[],
        )
        .await
        .unwrap();
    let chats: Vec<(i64, bool)> = chats.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(chats, [(-1002, false), (1, true)]);
    // Nobody else picks for this store: the notice waits for whoever subscribes next.
    let order = app.order("H1").await;
    let pickers = order["notices"]
        .as_array()
        .unwrap()
        .iter()
        .find(|notice| notice["role"] == "pickers")
        .unwrap();
    assert_eq!(
        (&pickers["state"], &pickers["chat_id"]),
        (&json!("no_chat"), &json!(null))
    );
    subscribe(&database, &[("8001", "pickers", 5)]).await;
    bot.seen(BOUND, "the next chat", |accepted, _| {
        accepted.iter().any(|message| message.chat_id == 5)
    })
    .await;
}

#[actix_rt::test]
async fn a_refused_token_is_shown_and_hooks_go_on() {
    let database = TestDatabase::create().await;
    subscribe(&database, &[("8001", "pickers", 1)]).await;
    let bot = FakeBotApi::start();
    bot.fail(Scope::All, Fault::Unauthorized, Times::Always);
    let app = start(&database, &bot).await;
    app.accepted(created("H1", "8001")).await;
    loop {
        let ready = app.ops("/readyz").await;
        assert_eq!(ready.status(), StatusCode::OK);
        if ready.text().await.unwrap().contains("token") {
            break;
        }
    }
    app.accepted(created("H2", "8001")).await;
    bot.heal(Scope::All);
    all_sent(&database).await;
    assert!(app.order("H1").await["notices"][0]["state"] == "sent");
}
