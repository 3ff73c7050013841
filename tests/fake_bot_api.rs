//! The fake Bot API itself: what it must be like for the other tests to mean anything.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/fake_bot_api.rs"]
mod fake_bot_api;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use teloxide::prelude::*;
use teloxide::types::UpdateKind;

use self::fake_bot_api::limits::Meter;
use self::fake_bot_api::{FakeBotApi, Fault, Limits, Refused, Scope, TOKEN, Times, html};

const SECOND: Duration = Duration::from_secs(1);

async fn call(fake: &FakeBotApi, method: &str, body: Value) -> (u16, Value) {
    let url = format!("{}/bot{TOKEN}/{method}", fake.url());
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn send(fake: &FakeBotApi, chat: i64, text: &str) -> (u16, Value) {
    call(
        fake,
        "SENDMESSAGE",
        json!({"chat_id": chat, "text": text, "parse_mode": "HTML"}),
    )
    .await
}

fn description(answer: &(u16, Value)) -> &str {
    answer.1["description"].as_str().unwrap()
}

fn bot(fake: &FakeBotApi) -> Bot {
    Bot::with_client(TOKEN, reqwest::Client::new()).set_api_url(fake.url().parse().unwrap())
}

#[tokio::test]
async fn teloxide_takes_it_for_telegram() {
    let fake = FakeBotApi::start();
    let bot = bot(&fake);
    assert_eq!(bot.get_me().await.unwrap().username(), "orderhook_test_bot");
    let sent = bot.send_message(ChatId(7), "Привет").await.unwrap();
    assert_eq!(sent.text(), Some("Привет"));
    assert_eq!(fake.wait_for(1, SECOND)[0].visible, "Привет");
    fake.say(-7, "/start ABC");
    let updates = bot.get_updates().timeout(10).await.unwrap();
    let UpdateKind::Message(message) = &updates[0].kind else {
        panic!("{updates:?}")
    };
    assert_eq!((message.chat.id, message.text()), (ChatId(-7), Some("/start ABC")));
    let next = updates[0].id.as_offset();
    assert!(bot.get_updates().offset(next).await.unwrap().is_empty());
}

#[tokio::test]
async fn long_polling_answers_as_soon_as_something_comes() {
    let fake = FakeBotApi::start();
    let polling = bot(&fake).get_updates().timeout(50).send();
    let started = Instant::now();
    let (updates, ()) = tokio::join!(polling, async {
        tokio::task::yield_now().await;
        fake.say(7, "/status");
    });
    assert_eq!(updates.unwrap().len(), 1);
    assert!(started.elapsed() < Duration::from_secs(40));
}

#[tokio::test]
async fn one_consumer_of_updates_ends_another() {
    let fake = FakeBotApi::start();
    let poll = || call(&fake, "getUpdates", json!({"timeout": 50}));
    let (first, second, ()) = tokio::join!(poll(), poll(), async {
        let conflict = |_: &[_], refused: &[Refused]| refused.iter().any(|refusal| refusal.code == 409);
        fake.seen(Duration::from_secs(20), "a conflict", conflict).await;
        fake.say(7, "/status");
    });
    let mut codes = [first.0, second.0];
    codes.sort_unstable();
    assert_eq!(codes, [200, 409]);
}

#[tokio::test]
async fn a_form_is_as_good_as_json() {
    let fake = FakeBotApi::start_with(None);
    let (_, first) = send(&fake, 7, "раз").await;
    let id = first["result"]["message_id"].as_i64().unwrap();
    let form = [
        ("chat_id", "7".to_owned()),
        ("text", "{\"a\": 1}".to_owned()),
        ("reply_parameters", json!({"message_id": id}).to_string()),
        ("link_preview_options", json!({"is_disabled": true}).to_string()),
    ];
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let request = reqwest::Client::new().post(format!("{}/bot{TOKEN}/sendMessage", fake.url()));
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    assert!(request.send().await.unwrap().status().is_success());
    let arrived = &fake.messages(7)[1];
    assert_eq!(
        (arrived.text.as_str(), arrived.reply_to, arrived.has_link_preview),
        ("{\"a\": 1}", Some(id), false)
    );
}

#[tokio::test]
async fn texts_are_held_to_telegrams_rules() {
    let fake = FakeBotApi::start_with(None);
    let fits = "😀".repeat(2048);
    assert_eq!(send(&fake, 7, &format!("<b>{fits}</b>")).await.0, 200);
    assert_eq!(
        description(&send(&fake, 7, &format!("{fits}a")).await),
        "Bad Request: message is too long"
    );
    assert_eq!(
        description(&send(&fake, 7, " <b> </b>").await),
        "Bad Request: message text is empty"
    );
    let answer = send(&fake, 7, "<b>x").await;
    assert_eq!(
        (answer.0, description(&answer)),
        (
            400,
            "Bad Request: can't parse entities: Can't find end tag corresponding to start tag \"b\""
        )
    );
    assert_eq!(fake.accepted().len(), 1);
    assert_eq!(fake.refused().len(), 3);
}

#[test]
fn markup_that_telegram_takes_and_markup_that_it_does_not() {
    for (markup, seen) in [
        ("<b>a <i>b</i></b> &lt;&#38;&#x1F600;&quot;", "a b <&😀\""),
        ("&nbsp; &; & &#xZZ;", "&nbsp; &; & &#xZZ;"),
        ("<a href=\"https://example.org\">x</a>", "x"),
    ] {
        assert_eq!(html::visible(markup).as_deref(), Ok(seen));
    }
    for markup in ["1 < 2", "<b><i></b></i>", "</b>", "<script>x</script>", "<b", "<br>"] {
        assert!(html::visible(markup).is_err(), "{markup}");
    }
}

#[test]
fn limits_hold_in_every_period() {
    let start = Instant::now();
    let at = |milliseconds| start + Duration::from_millis(milliseconds);
    let mut meter = Meter::default();
    meter.set(Some(Limits::default()));
    assert_eq!(meter.admit(1, at(0)), Ok(()));
    assert_eq!(meter.admit(1, at(999)), Err(1));
    assert_eq!(meter.admit(1, at(1000)), Ok(()));
    for chat in 2..31 {
        assert_eq!(meter.admit(chat, at(1500)), Ok(()));
    }
    assert_eq!(meter.admit(31, at(1500)), Err(1));
    for message in 0..20 {
        assert_eq!(meter.admit(-1, at(10_000 + message * 1000)), Ok(()));
    }
    assert_eq!(meter.admit(-1, at(30_500)), Err(40));
    assert_eq!(meter.admit(-1, at(70_000)), Ok(()));
}

#[tokio::test]
async fn a_chat_that_must_wait_is_closed_so_long_and_no_other() {
    let fake = FakeBotApi::start();
    fake.fail(Scope::Chat(7), Fault::RetryAfter(30), Times::Next(1));
    let answer = send(&fake, 7, "раз").await;
    assert_eq!((answer.0, &answer.1["parameters"]["retry_after"]), (429, &json!(30)));
    assert_eq!(fake.limit_violations(), 0);
    assert_eq!(send(&fake, 7, "раз").await.0, 429);
    assert_eq!(fake.limit_violations(), 1);
    assert_eq!(send(&fake, 8, "раз").await.0, 200);
    fake.heal(Scope::Chat(7));
    assert_eq!(send(&fake, 7, "раз").await.0, 200);
}

#[tokio::test]
async fn a_poll_that_must_wait_closes_every_chat() {
    let fake = FakeBotApi::start();
    fake.fail(Scope::Updates, Fault::RetryAfter(30), Times::Next(1));
    let answer = call(&fake, "getUpdates", json!({})).await;
    assert_eq!((answer.0, &answer.1["parameters"]["retry_after"]), (429, &json!(30)));
    assert_eq!(send(&fake, 7, "раз").await.0, 429);
    assert_eq!(fake.limit_violations(), 1);
    assert_eq!(call(&fake, "getUpdates", json!({})).await.0, 200);
}

#[tokio::test]
async fn repeats_are_counted_by_what_a_reader_sees() {
    let fake = FakeBotApi::start_with(None);
    for text in ["<b>раз</b>", "раз", "раз · возможно, повтор", "два"] {
        send(&fake, 7, text).await;
    }
    send(&fake, 8, "раз").await;
    assert_eq!(fake.accepted_twice(), 2);
}

#[tokio::test]
async fn an_unknown_method_or_token_is_refused() {
    let fake = FakeBotApi::start();
    assert_eq!(call(&fake, "sendDice", json!({})).await.0, 404);
    let url = format!("{}/bot1:x/getMe", fake.url());
    assert_eq!(reqwest::get(url).await.unwrap().status().as_u16(), 401);
}

#[test]
fn it_stops_at_once_whatever_hangs() {
    let fake = FakeBotApi::start();
    fake.fail(Scope::All, Fault::Hang(Duration::from_secs(3600)), Times::Always);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = format!("{}/bot{TOKEN}/sendMessage", fake.url());
    let request = reqwest::Client::new()
        .post(url)
        .json(&json!({"chat_id": 7, "text": "раз"}));
    let hanging = runtime.spawn(request.send());
    // Its answer comes after the hanging request on the same single worker.
    runtime.block_on(call(&fake, "getMe", json!({})));
    let started = Instant::now();
    drop(fake);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(runtime.block_on(hanging).unwrap().is_err());
}
