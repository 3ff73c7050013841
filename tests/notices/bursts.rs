//! Many orders at once: complete, in order, within every limit, and nearly as fast as the limits allow.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;

use crate::fake_bot_api::{FakeBotApi, Limits};
use crate::support::app::{NodeClient, TestApp};
use crate::support::database::TestDatabase;
use crate::{all_sent, created, subscribe, telegram};

pub(crate) const CHATS: usize = 40;
pub(crate) const PER_CHAT: usize = 75;

/// Every fourth chat is a group.
pub(crate) fn chat(number: usize) -> i64 {
    let number = i64::try_from(number).unwrap();
    if number % 4 == 0 { -100 - number } else { 100 + number }
}

/// A chat for each of forty stores. One role without a chat would leave rows that nobody sends.
pub(crate) async fn subscribe_all(database: &TestDatabase) {
    for number in 0..CHATS {
        let store = format!("S{number}");
        let both = ["pickers", "store"].map(|role| (store.as_str(), role, chat(number)));
        subscribe(database, &both).await;
    }
}

/// Sends so many orders of each store, in turn.
pub(crate) async fn burst(client: &NodeClient, stores: usize, orders: usize) {
    let hooks = (0..stores * orders).map(|number| {
        let body = created(&format!("H{number}"), &format!("S{}", number % stores));
        client.accepted(body)
    });
    futures_util::stream::iter(hooks)
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
}

/// The orders of each chat were told in the order of their rows.
async fn assert_in_order(database: &TestDatabase, bot: &FakeBotApi, chats: &[i64], per_chat: usize) {
    let client = database.client().await;
    let rows = client
        .query("SELECT chat_id, order_id FROM notices ORDER BY notice_id", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), chats.len() * per_chat);
    for chat_id in chats {
        let told: String = bot
            .messages(*chat_id)
            .iter()
            .map(|message| message.visible.clone())
            .collect();
        let of_chat = rows.iter().filter(|row| row.get::<_, i64>(0) == *chat_id);
        let places: Vec<usize> = of_chat
            .map(|row| told.find(&format!("SM {} ", row.get::<_, &str>(1))).unwrap())
            .collect();
        assert_eq!(places.len(), per_chat);
        assert!(places.is_sorted(), "chat {chat_id}");
    }
}

/// The shortest time in which the limits allow so many messages to one group.
fn time_of_group(messages: usize) -> Duration {
    let Limits {
        chat_per_second,
        group_per_minute,
        ..
    } = Limits::default();
    let before = messages.saturating_sub(1);
    let seconds = before / group_per_minute * 60 + before % group_per_minute / chat_per_second;
    Duration::from_secs(u64::try_from(seconds).unwrap())
}

#[actix_rt::test]
async fn a_burst_arrives_complete_in_order_and_within_every_limit() {
    let database = TestDatabase::create().await;
    subscribe_all(&database).await;
    let bot = FakeBotApi::start();
    let flags = telegram(&bot);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let app = TestApp::start(database.url(), &flags).await;
    let begun = Instant::now();
    burst(&app.client, CHATS, PER_CHAT).await;
    let stored = begun.elapsed();
    all_sent(&database).await;
    let took = begun.elapsed();
    let messages = bot.accepted().len();
    println!("3000 notices stored in {stored:?}, told in {messages} messages after {took:?}");
    let chats: Vec<i64> = (0..CHATS).map(chat).collect();
    assert_in_order(&database, &bot, &chats, PER_CHAT).await;
    assert_eq!(bot.limit_violations(), 0);
    assert_eq!(bot.accepted_twice(), 0);
    // Nearly what thirty a second allow, once all was stored.
    let allowed = Duration::from_millis(u64::try_from(messages * 1000 / Limits::default().overall_per_second).unwrap());
    let bound = stored + allowed.mul_f32(1.3);
    assert!(took < bound + Duration::from_secs(3), "{took:?} instead of {bound:?}");
}

#[actix_rt::test]
async fn groups_whose_minute_is_full_wait_and_nobody_waits_for_them() {
    // About forty of them fit into one message, so that a minute's share does not do.
    const ORDERS: usize = 950;
    let database = TestDatabase::create().await;
    let groups = [-100, -101];
    let chats = [-100, -101, 100];
    for (number, chat_id) in chats.iter().enumerate() {
        let store = format!("S{number}");
        let both = ["pickers", "store"].map(|role| (store.as_str(), role, *chat_id));
        subscribe(&database, &both).await;
    }
    let bot = FakeBotApi::start();
    let flags = telegram(&bot);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let app = TestApp::start(database.url(), &flags).await;
    let begun = Instant::now();
    burst(&app.client, chats.len(), ORDERS).await;
    let stored = begun.elapsed();
    all_sent(&database).await;
    let took = begun.elapsed();
    assert_in_order(&database, &bot, &chats, ORDERS).await;
    assert_eq!(bot.limit_violations(), 0);
    assert_eq!(bot.accepted_twice(), 0);
    let most = groups.map(|group| bot.messages(group).len()).into_iter().max().unwrap();
    let allowed = time_of_group(most);
    println!("stored in {stored:?}; {most} messages to a group after {took:?}, the limits allow {allowed:?}");
    assert!(most > Limits::default().group_per_minute, "the limit was not reached");
    assert!(took < stored + allowed.mul_f32(1.3), "{took:?} instead of {allowed:?}");
    // The private chat had everything long before.
    let at = |chat_id: i64| bot.messages(chat_id).last().unwrap().at;
    assert!(groups.iter().all(|group| at(100) < at(*group)));
}
