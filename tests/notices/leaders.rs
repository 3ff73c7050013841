//! One node sends. When it dies or freezes in the middle of a burst another one takes over, and nothing is
//! lost; what comes twice is at most what was on its way, and says so.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::fake_bot_api::{FakeBotApi, Fault, Scope, Times};
use crate::support::app::TestProcess;
use crate::support::database::TestDatabase;
use crate::{BOUND, CHATS, PER_CHAT, all_sent, burst, chat, created, subscribe_all, telegram};

/// Once: the burst is in the middle, and the leader has sent so much of it.
const SENT_BEFORE: usize = 60;
/// The takeover that the service promises, and what a busy test machine may add.
const TAKEOVER: Duration = Duration::from_secs(8 + 12);

struct Pool {
    database: TestDatabase,
    bot: FakeBotApi,
    leader: TestProcess,
    standby: TestProcess,
}

impl Pool {
    /// Two nodes, of which the first leads, with forty chats.
    async fn start() -> Self {
        let database = TestDatabase::create().await;
        subscribe_all(&database).await;
        let bot = FakeBotApi::start();
        let flags = telegram(&bot);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let leader = TestProcess::start(database.url(), &flags).await;
        while leader.metric("orderhook_leader", &[]).await < 1.0 {
            tokio::task::yield_now().await;
        }
        let standby = TestProcess::start(database.url(), &flags).await;
        Self {
            database,
            bot,
            leader,
            standby,
        }
    }

    /// Waits until the other node leads.
    async fn taken_over(&self, since: Instant) {
        while self.standby.metric("orderhook_leader", &[]).await < 1.0 {
            tokio::task::yield_now().await;
        }
        println!("a standby took over after {:?}", since.elapsed());
        assert!(since.elapsed() < TAKEOVER, "{:?}", since.elapsed());
    }

    /// Every order was told; those that were told twice were on their way when the leader fell, at most one
    /// message to each chat, and whatever repeats one says so and is counted.
    async fn assert_nothing_is_lost(&self, orders: &[String]) {
        // The messages that tell of an order, and whether they say that it may be a repeat.
        let mut told = HashMap::<String, Vec<(i64, i64, bool)>>::new();
        for message in self.bot.accepted() {
            // One block after another, each with its own title.
            for block in message.visible.split("\n\n") {
                if let Some(line) = block.lines().find_map(|line| line.strip_prefix("SM ")) {
                    let order = line.split(' ').next().unwrap().to_owned();
                    let is_marked = block.contains("возможно, повтор");
                    let telling = (message.chat_id, message.message_id, is_marked);
                    told.entry(order).or_default().push(telling);
                }
            }
        }
        let mut was_under_way = HashMap::<i64, HashSet<i64>>::new();
        let mut twice = 0_u32;
        for order in orders {
            let times = told.get(order).map_or(&[][..], Vec::as_slice);
            assert!(!times.is_empty(), "{order} is missing");
            assert!(times.len() <= 2, "{order} came {} times", times.len());
            if let [(chat_id, first, _), (_, _, is_marked)] = times[..] {
                twice += 1;
                was_under_way.entry(chat_id).or_default().insert(first);
                assert!(is_marked, "the repeat of {order} does not say so");
            }
        }
        assert_eq!(told.len(), orders.len());
        assert!(
            was_under_way.values().all(|messages| messages.len() == 1),
            "{was_under_way:?}"
        );
        let counted = self.standby.metric("orderhook_notices_total", &["\"repeated\""]).await;
        println!("{twice} orders came twice, {counted} were sent as possible repeats");
        assert!(counted >= f64::from(twice), "{counted} of {twice}");
        assert_eq!(self.bot.limit_violations(), 0);
    }
}

fn orders() -> Vec<String> {
    (0..CHATS * PER_CHAT).map(|number| format!("H{number}")).collect()
}

#[actix_rt::test]
async fn a_killed_leader_is_replaced_in_mid_burst_and_nothing_is_lost() {
    let mut pool = Pool::start().await;
    let client = pool.standby.client.clone();
    let sending = actix_rt::spawn(async move { burst(&client, CHATS, PER_CHAT).await });
    pool.bot.arrived(SENT_BEFORE, BOUND).await;
    pool.leader.kill();
    pool.taken_over(Instant::now()).await;
    sending.await.unwrap();
    all_sent(&pool.database).await;
    pool.assert_nothing_is_lost(&orders()).await;
}

#[actix_rt::test]
async fn a_leader_that_is_asked_to_end_leads_until_what_is_on_its_way_is_recorded() {
    let mut pool = Pool::start().await;
    // Telegram takes it, and is longer about its answer than a standby needs to take over.
    let slow = Fault::AnswerSlowly(Duration::from_secs(3));
    pool.bot.fail(Scope::All, slow, Times::Next(1));
    pool.standby.accepted(created("H1", "S0")).await;
    pool.bot.arrived(1, BOUND).await;
    pool.leader.signal("TERM");
    let asked = Instant::now();
    // What comes meanwhile waits for the next leader.
    pool.standby.accepted(created("H2", "S0")).await;
    pool.taken_over(asked).await;
    all_sent(&pool.database).await;
    assert_eq!(pool.leader.wait(), Some(0));
    let told: Vec<String> = pool.bot.accepted().into_iter().map(|message| message.visible).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    for (message, order) in told.iter().zip(["SM H1 ", "SM H2 "]) {
        assert!(
            message.contains(order) && !message.contains("возможно, повтор"),
            "{told:#?}"
        );
    }
}

#[actix_rt::test]
async fn a_frozen_leader_is_replaced_in_mid_burst_and_stays_silent_when_it_wakes() {
    let pool = Pool::start().await;
    let client = pool.standby.client.clone();
    let sending = actix_rt::spawn(async move { burst(&client, CHATS, PER_CHAT).await });
    pool.bot.arrived(SENT_BEFORE, BOUND).await;
    pool.leader.signal("STOP");
    let frozen = Instant::now();
    pool.taken_over(frozen).await;
    while frozen.elapsed() < Duration::from_secs(20) {
        pool.standby.ops("/livez").await;
    }
    // What it had under way when it froze ends now.
    pool.leader.signal("CONT");
    while pool.leader.metric("orderhook_leader", &[]).await > 0.0 {
        tokio::task::yield_now().await;
    }
    sending.await.unwrap();
    all_sent(&pool.database).await;
    pool.standby.accepted(created("H-LAST", "S0")).await;
    all_sent(&pool.database).await;
    assert!(pool.bot.messages(chat(0)).last().unwrap().visible.contains("H-LAST"));
    let mut orders = orders();
    orders.push("H-LAST".to_owned());
    pool.assert_nothing_is_lost(&orders).await;
}
