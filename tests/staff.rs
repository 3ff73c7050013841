//! What staff say to the bot, and what comes of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/fake_bot_api.rs"]
mod fake_bot_api;
#[path = "support/mod.rs"]
mod support;

use std::process::Command;
use std::time::Duration;

use fake_bot_api::{Accepted, FakeBotApi, TOKEN};
use serde_json::json;
use support::app::TestApp;
use support::database::TestDatabase;

/// Nothing here takes so long unless it is broken.
const BOUND: Duration = Duration::from_secs(60);
const CHAT: i64 = 501;

fn created(order_id: &str, store: &str) -> String {
    json!({"event_type": "order.created", "payload": {"originalOrderId": order_id, "store_id": store,
           "positions": [{"id": "4100017", "quantity": 2, "price": "89.90", "name": "Молоко"}]}})
    .to_string()
}

fn invite(database: &TestDatabase, store: &str, flags: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_orderhook"))
        .args(["chat", "invite", "--role", "pickers", "--store", store])
        .args(flags)
        .env("DATABASE_URL", database.url())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("/start "), "{said}");
    said.lines().next().unwrap().to_owned()
}

/// What the bot answered, without the notices of orders.
fn is_answer(message: &Accepted) -> bool {
    !message.visible.contains("новый заказ")
}

/// Says something and returns the bot's answer to it.
async fn ask(bot: &FakeBotApi, chat_id: i64, text: &str) -> String {
    let before = bot.accepted().iter().filter(|message| is_answer(message)).count();
    bot.say(chat_id, text);
    let what = format!("an answer to {text}");
    bot.seen(BOUND, &what, move |accepted, _| {
        accepted.iter().filter(|message| is_answer(message)).count() > before
    })
    .await;
    let answers = bot.accepted();
    let answer = answers.iter().rfind(|message| is_answer(message)).unwrap();
    assert_eq!(answer.chat_id, chat_id);
    answer.visible.clone()
}

async fn start(database: &TestDatabase, bot: &FakeBotApi) -> TestApp {
    TestApp::start(
        database.url(),
        &["--telegram-token", TOKEN, "--telegram-api-url", &bot.url()],
    )
    .await
}

#[actix_rt::test]
async fn a_chat_subscribes_with_a_code_once_and_receives_what_waited() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot).await;
    let number = app.accepted(created("H1", "8001")).await["number"]
        .as_str()
        .unwrap()
        .to_owned();
    let code = invite(&database, "8001", &[]);
    let answer = ask(&bot, CHAT, &format!("/start {code}")).await;
    assert!(
        answer.contains("магазин 8001, сборщики") && answer.contains("ждало подписчика: 1"),
        "{answer}"
    );
    let told = move |accepted: &[Accepted], _: &[fake_bot_api::Refused]| {
        accepted
            .iter()
            .any(|message| message.visible.contains(&format!("№ {number}")))
    };
    bot.seen(BOUND, "the order that waited", told).await;

    let other = ask(&bot, 502, &format!("/start {code}")).await;
    assert!(other.contains("Код не подходит"), "{other}");
    let expired = invite(&database, "8001", &["--expires", "0s"]);
    assert!(
        ask(&bot, 502, &format!("/start {expired}"))
            .await
            .contains("Код не подходит")
    );
    // As typed on a phone, in a group.
    let code = invite(&database, "*", &[]).to_lowercase();
    assert!(
        ask(&bot, -600, &format!("/start@orderhook_bot {code}"))
            .await
            .contains("все магазины")
    );
}

#[actix_rt::test]
async fn an_order_is_shown_to_chats_of_its_store_only() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot).await;
    app.accepted(created("H1", "8001")).await;
    app.accepted(created("H2", "57")).await;
    ask(&bot, CHAT, &format!("/start {}", invite(&database, "8001", &[]))).await;
    app.accepted(r#"{"event_type":"order.paid","payload":{"originalOrderId":"H1"}}"#)
        .await;
    let shown = ask(&bot, CHAT, "/order H1").await;
    assert!(
        shown.contains("собран и оплачен") && shown.contains("Молоко — 2\u{a0}шт"),
        "{shown}"
    );
    for unknown in ["H2", "H404", "<b>"] {
        let answer = ask(&bot, CHAT, &format!("/order {unknown}")).await;
        assert!(answer.contains(&format!("Заказа {unknown} нет")), "{answer}");
    }
    assert!(
        ask(&bot, 502, "/order H1").await.contains("Заказа H1 нет"),
        "a chat without a subscription"
    );
}

#[actix_rt::test]
async fn a_chat_asks_for_the_state_unsubscribes_and_is_told_no_more() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot).await;
    ask(&bot, CHAT, &format!("/start {}", invite(&database, "8001", &[]))).await;
    assert!(ask(&bot, CHAT, "/status").await.contains("Бот работает"));
    assert!(ask(&bot, CHAT, "/help").await.contains("/start КОД"));
    assert!(ask(&bot, CHAT, "/stop").await.contains("больше не получает"));
    assert!(ask(&bot, CHAT, "/stop").await.contains("и не был подписан"));
    let before = bot.messages(CHAT).len();
    app.accepted(created("H1", "8001")).await;
    assert_eq!(app.order("H1").await["notices"][0]["state"], "no_chat");
    ask(&bot, CHAT, "/status").await;
    assert_eq!(bot.messages(CHAT).len(), before + 1, "only the answer");
}
