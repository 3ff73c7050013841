//! Delivery against a Bot API that enforces Telegram's rules and fails in every way it can.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orderhook::telegram::{TelegramSettings, messenger};
use orderhook_actors::ports::{Messenger, Rendered, SendError};
use secrecy::SecretString;

use crate::fake_bot_api::{FakeBotApi, Fault, Scope, TOKEN, Times};
use crate::sample::{new, new_order, waiting};

const CHAT: i64 = 501;
const GROUP: i64 = -100_500;
const MINUTE: Duration = Duration::from_secs(60);

fn messenger_for(url: &str, token: &str, request_timeout: Duration) -> Arc<dyn Messenger> {
    let settings = TelegramSettings {
        token: Some(SecretString::from(token)),
        api_url: Some(url.parse().unwrap()),
        request_timeout,
        ..TelegramSettings::default()
    };
    messenger(&settings, tokio::runtime::Handle::current()).unwrap()
}

fn client(fake: &FakeBotApi) -> Arc<dyn Messenger> {
    messenger_for(&fake.url(), TOKEN, Duration::from_secs(10))
}

fn message(messenger: &Arc<dyn Messenger>) -> Rendered {
    messenger.render(&[waiting(42, new(new_order()))]).next().unwrap()
}

/// Sends once to a chat that fails once.
async fn after(fault: Fault) -> (FakeBotApi, Result<i64, SendError>) {
    let fake = FakeBotApi::start_with(None);
    fake.fail(Scope::Chat(CHAT), fault, Times::Next(1));
    let messenger = client(&fake);
    let result = messenger.send(CHAT, message(&messenger)).await;
    (fake, result)
}

#[tokio::test]
async fn a_message_arrives_as_it_was_meant() {
    let fake = FakeBotApi::start();
    let messenger = client(&fake);
    let message = message(&messenger);
    let id = messenger.send(GROUP, message.clone()).await.unwrap();
    let arrived = fake.arrived(1, MINUTE).await.remove(0);
    assert_eq!((arrived.message_id, arrived.chat_id), (id, GROUP));
    assert_eq!((arrived.text, arrived.visible), (message.html, message.plain));
    assert!(arrived.is_html && !arrived.has_link_preview);
    assert_eq!(arrived.reply_to, None);
}

#[tokio::test]
async fn a_reply_is_a_reply_and_a_lost_original_loses_nothing() {
    let fake = FakeBotApi::start_with(None);
    let messenger = client(&fake);
    let first = messenger.send(CHAT, message(&messenger)).await.unwrap();
    for reply_to in [first, 999_999, i64::MAX] {
        let message = Rendered {
            reply_to: Some(reply_to),
            ..message(&messenger)
        };
        messenger.send(CHAT, message).await.unwrap();
    }
    let replies: Vec<_> = fake.messages(CHAT).iter().map(|message| message.reply_to).collect();
    assert_eq!(replies, [None, Some(first), None, None]);
}

#[tokio::test]
async fn requests_run_on_the_runtime_they_were_given() {
    let fake = FakeBotApi::start();
    let messenger = client(&fake);
    let message = message(&messenger);
    // A runtime without I/O and timers could not send anything itself.
    let elsewhere = std::thread::spawn(move || {
        let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
        bare.block_on(messenger.send(CHAT, message))
    });
    fake.arrived(1, MINUTE).await;
    let sent = tokio::task::spawn_blocking(|| elsewhere.join().unwrap()).await.unwrap();
    assert!(sent.is_ok(), "{sent:?}");
}

#[tokio::test]
async fn a_limit_says_how_long_to_wait() {
    let fake = FakeBotApi::start();
    let messenger = client(&fake);
    messenger.send(CHAT, message(&messenger)).await.unwrap();
    let again = messenger.send(CHAT, message(&messenger)).await;
    assert_eq!(again, Err(SendError::RetryAfter(Duration::from_secs(1))));
    assert_eq!(fake.limit_violations(), 1);
    let (fake, result) = after(Fault::RetryAfter(30)).await;
    assert_eq!(result, Err(SendError::RetryAfter(Duration::from_secs(30))));
    assert_eq!(fake.limit_violations(), 0);
}

#[tokio::test]
async fn a_chat_that_is_gone_is_known_as_gone() {
    for fault in [Fault::Blocked, Fault::Kicked, Fault::NoRights, Fault::ChatNotFound] {
        let (_fake, result) = after(fault).await;
        assert!(matches!(result, Err(SendError::ChatGone(_))), "{fault:?}: {result:?}");
    }
}

#[tokio::test]
async fn a_moved_group_says_where_it_is() {
    let (_fake, result) = after(Fault::MigratedTo(-1_001_234)).await;
    assert_eq!(result, Err(SendError::ChatMoved(-1_001_234)));
}

#[tokio::test]
async fn a_bad_token_is_known_as_such() {
    let (fake, result) = after(Fault::Unauthorized).await;
    assert_eq!(result, Err(SendError::InvalidToken));
    let wrong = messenger_for(&fake.url(), "1:wrong", MINUTE);
    assert_eq!(wrong.send(CHAT, message(&wrong)).await, Err(SendError::InvalidToken));
}

#[tokio::test]
async fn a_server_in_trouble_is_tried_again_soon_and_may_have_taken_it() {
    for fault in [
        Fault::ServerError(500),
        Fault::TakeThenError(502),
        Fault::ProxyError(502),
    ] {
        let started = Instant::now();
        let (_fake, result) = after(fault).await;
        assert!(matches!(result, Err(SendError::Unanswered(_))), "{fault:?}: {result:?}");
        // teloxide itself would sleep 10 s first.
        assert!(started.elapsed() < Duration::from_secs(8));
    }
}

#[tokio::test]
async fn a_lost_answer_is_tried_again_and_a_broken_one_is_not() {
    let (fake, result) = after(Fault::LoseAnswer).await;
    assert!(matches!(result, Err(SendError::Unanswered(_))), "{result:?}");
    assert_eq!(fake.messages(CHAT).len(), 1);
    let (fake, result) = after(Fault::CloseConnection).await;
    assert!(matches!(result, Err(SendError::Unanswered(_))), "{result:?}");
    assert_eq!(fake.messages(CHAT).len(), 0);
    let (fake, result) = after(Fault::BadJson).await;
    assert!(matches!(result, Err(SendError::ProbablySent(_))), "{result:?}");
    assert_eq!(fake.messages(CHAT).len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_left_after_the_time_limit() {
    let fake = FakeBotApi::start();
    fake.fail(Scope::Chat(CHAT), Fault::Hang(MINUTE), Times::Always);
    let messenger = messenger_for(&fake.url(), TOKEN, Duration::from_millis(300));
    let hanging = messenger.send(CHAT, message(&messenger));
    let other = messenger.send(GROUP, message(&messenger));
    let (hanging, other) = tokio::join!(hanging, other);
    assert_eq!(other, Ok(1));
    match hanging {
        Err(SendError::Unanswered(words)) => assert!(words.starts_with("no answer in time"), "{words}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_at_home_is_temporary() {
    let messenger = messenger_for("http://127.0.0.1:1/", TOKEN, MINUTE);
    let result = messenger.send(CHAT, message(&messenger)).await;
    assert!(matches!(result, Err(SendError::Temporary(_))), "{result:?}");
}

/// Sends a message in whatever form is taken, and returns what was taken.
async fn send_all(messenger: &Arc<dyn Messenger>, message: Rendered) -> Vec<Rendered> {
    let (mut waiting, mut taken) = (VecDeque::from([message]), Vec::new());
    while let Some(message) = waiting.pop_front() {
        match messenger.send(CHAT, message.clone()).await {
            Ok(_) => taken.push(message),
            Err(SendError::Refused { instead, .. }) => {
                instead.into_iter().rev().for_each(|piece| waiting.push_front(piece));
            }
            Err(error) => panic!("{error}"),
        }
    }
    taken
}

#[tokio::test]
async fn markup_that_telegram_cannot_parse_is_sent_as_plain_text() {
    let fake = FakeBotApi::start_with(None);
    let messenger = client(&fake);
    let broken = Rendered {
        html: "<b>не закрыто & <x>".to_owned(),
        ..message(&messenger)
    };
    send_all(&messenger, broken.clone()).await;
    fake.fail(Scope::Chat(CHAT), Fault::CannotParse, Times::Always);
    send_all(&messenger, message(&messenger)).await;
    for arrived in fake.messages(CHAT) {
        assert_eq!((arrived.is_html, &arrived.visible), (false, &broken.plain));
        assert!(!arrived.has_link_preview);
    }
    assert_eq!(fake.messages(CHAT).len(), 2);
    assert!(fake.refused()[0].description.contains("can't parse entities"));
}

#[tokio::test]
async fn text_that_telegram_finds_too_long_comes_back_in_pieces_of_which_the_last_has_the_rows() {
    let fake = FakeBotApi::start_with(None);
    fake.fail(Scope::Chat(CHAT), Fault::TooLongOver(400), Times::Always);
    let messenger = client(&fake);
    let lines: Vec<String> = (0..9)
        .map(|index| format!("{index} & <строка> {}", "ж".repeat(50)))
        .collect();
    let text = lines.join("\n");
    let long = Rendered {
        html: text.replace('&', "&amp;").replace('<', "&lt;"),
        plain: text,
        ..message(&messenger)
    };
    let sent = send_all(&messenger, long).await;
    let arrived = fake.messages(CHAT);
    assert!(arrived.len() >= 2);
    let rows: Vec<Vec<i64>> = sent.iter().map(|piece| piece.notice_ids.clone()).collect();
    assert_eq!(rows.concat(), [42]);
    assert_eq!(rows.last().unwrap(), &[42]);
    let told: Vec<&str> = arrived.iter().flat_map(|message| message.visible.lines()).collect();
    assert_eq!(told, lines);
}

#[tokio::test]
async fn who_stops_waiting_does_not_stop_the_sending() {
    let fake = FakeBotApi::start();
    fake.fail(Scope::All, Fault::AnswerLate(Duration::from_secs(60)), Times::Always);
    let messenger = client(&fake);
    let mut sending = messenger.send(CHAT, message(&messenger));
    // Once polled it runs by itself.
    assert!(futures_util::poll!(&mut sending).is_pending());
    drop(sending);
    assert_eq!(fake.arrived(1, MINUTE).await.len(), 1);
}
