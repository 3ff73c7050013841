//! What staff say to the bot, and what comes of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/fake_bot_api.rs"]
mod fake_bot_api;
#[path = "support/mod.rs"]
mod support;

use std::process::Command;
use std::time::Duration;

use fake_bot_api::{Accepted, FakeBotApi, Fault, Scope, TOKEN, Times};
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

async fn subscriptions(database: &TestDatabase) -> i64 {
    let count = "SELECT count(*) FROM chats";
    database.client().await.query_one(count, &[]).await.unwrap().get(0)
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
        answer.contains("магазин 8001, сборщики") && answer.contains("ожидавшие сообщения: 1"),
        "{answer}"
    );
    let told = move |accepted: &[Accepted], _: &[fake_bot_api::Refused]| {
        accepted
            .iter()
            .any(|message| message.visible.contains(&format!("№ {number}")))
    };
    bot.seen(BOUND, "the order that waited", told).await;

    // Telegram repeats what a leader that died could not confirm.
    let again = ask(&bot, CHAT, &format!("/start {code}")).await;
    assert!(again.contains("магазин 8001, сборщики"), "{again}");
    let other = ask(&bot, 502, &format!("/start {code}")).await;
    assert!(other.contains("Код не подошёл"), "{other}");
    let expired = invite(&database, "8001", &["--expires", "0s"]);
    assert!(
        ask(&bot, 502, &format!("/start {expired}"))
            .await
            .contains("Код не подошёл")
    );
    // As typed on a phone, in a group.
    let code = invite(&database, "*", &[]).to_lowercase();
    assert!(
        ask(&bot, -600, &format!("/start@orderhook_test_bot {code}"))
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
        shown.contains("собран и оплачен") && shown.contains("Молоко — 2 × 89,90"),
        "{shown}"
    );
    let number = app.order("H1").await["number"].as_str().unwrap().to_owned();
    for by_number in [number.clone(), format!("№{number}")] {
        let shown = ask(&bot, CHAT, &format!("/order {by_number}")).await;
        assert!(shown.contains("собран и оплачен"), "{shown}");
    }
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
    assert!(ask(&bot, CHAT, "/stop").await.contains("/stop да"));
    assert_eq!(subscriptions(&database).await, 1, "a tap does not unsubscribe");
    assert!(ask(&bot, CHAT, "/stop да").await.contains("больше не получает"));
    assert!(ask(&bot, CHAT, "/stop да").await.contains("и не был подписан"));
    let before = bot.messages(CHAT).len();
    app.accepted(created("H1", "8001")).await;
    assert_eq!(app.order("H1").await["notices"][0]["state"], "no_chat");
    ask(&bot, CHAT, "/status").await;
    assert_eq!(bot.messages(CHAT).len(), before + 1, "only the answer");
}

#[actix_rt::test]
async fn in_a_group_what_is_said_to_other_bots_is_not_heard() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start();
    let _app = start(&database, &bot).await;
    let group = -600;
    ask(&bot, group, &format!("/start {}", invite(&database, "8001", &[]))).await;
    let before = bot.messages(group).len();
    for not_ours in ["/stop@music_bot да", "/start@music_bot", "/order@music_bot H1", "/play"] {
        bot.say(group, not_ours);
    }
    // The answers come in order.
    ask(&bot, group, "/status@orderhook_test_bot").await;
    assert_eq!(bot.messages(group).len(), before + 1);
    assert_eq!(subscriptions(&database).await, 1);
}

#[actix_rt::test]
async fn a_code_is_no_way_back_for_a_chat_that_was_removed_and_is_forgotten_in_time() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start();
    let _app = start(&database, &bot).await;
    let code = invite(&database, "8001", &[]);
    ask(&bot, CHAT, &format!("/start {code}")).await;
    let client = database.client().await;
    client.batch_execute("DELETE FROM chats").await.unwrap();
    assert!(
        ask(&bot, CHAT, &format!("/start {code}"))
            .await
            .contains("Код не подошёл")
    );
    client
        .batch_execute("UPDATE chat_invites SET expires_at = now() - interval '25 hours'")
        .await
        .unwrap();
    let left = "SELECT count(*) FROM chat_invites";
    while client.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
}

#[actix_rt::test]
async fn a_poll_that_must_wait_pauses_the_whole_bot_for_exactly_that_long() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start();
    let app = start(&database, &bot).await;
    ask(&bot, CHAT, &format!("/start {}", invite(&database, "8001", &[]))).await;
    bot.fail(Scope::Updates, Fault::RetryAfter(8), Times::Next(1));
    // It ends the poll that is open, and nobody answers it.
    bot.say(-600, "/play");
    bot.seen(BOUND, "the refusal", |_, refused| {
        refused.iter().any(|refusal| refusal.code == 429)
    })
    .await;
    let refused = bot.refused().last().unwrap().at;
    while app
        .metric("orderhook_mailbox_handle_seconds_count", &["notifier", "\"pause\""])
        .await
        < 1.0
    {
        tokio::task::yield_now().await;
    }
    let before = bot.accepted().len();
    app.accepted(created("H1", "8001")).await;
    let after = bot.arrived(before + 1, BOUND).await.remove(before);
    let waited = after.at - refused;
    assert!(waited >= Duration::from_secs(8), "{waited:?}");
    assert_eq!(bot.limit_violations(), 0);
}
