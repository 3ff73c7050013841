//! One node sends. When it dies or freezes another one takes over, and nothing is lost.

use std::time::{Duration, Instant};

use crate::fake_bot_api::FakeBotApi;
use crate::support::app::TestProcess;
use crate::support::database::TestDatabase;
use crate::{BOUND, all_sent, burst, created, subscribe, telegram};

#[actix_rt::test]
async fn a_killed_leader_is_replaced_and_nothing_is_lost() {
    let database = TestDatabase::create().await;
    for number in 0..6_i64 {
        subscribe(
            &database,
            &[
                (&format!("S{number}"), "pickers", 100 + number),
                (&format!("S{number}"), "store", 100 + number),
            ],
        )
        .await;
    }
    let bot = FakeBotApi::start();
    let flags = telegram(&bot);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut leader = TestProcess::start(database.url(), &flags).await;
    while leader.metric("orderhook_leader", &[]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    let standby = TestProcess::start(database.url(), &flags).await;
    burst(&standby.client, 6, 80).await;
    bot.arrived(8, BOUND).await;
    leader.kill();
    let killed = Instant::now();
    while standby.metric("orderhook_leader", &[]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    println!("a standby took over {:?} after the leader was killed", killed.elapsed());
    all_sent(&database).await;
    let told: String = bot.accepted().iter().map(|message| message.visible.clone()).collect();
    for number in 0..480 {
        assert!(told.contains(&format!("SM H{number} ")), "H{number} is missing");
    }
    // Only what was on its way when the leader died may have come twice, one message per chat at most.
    assert!(bot.accepted_twice() <= 6, "{} came twice", bot.accepted_twice());
}

#[actix_rt::test]
async fn a_frozen_leader_is_replaced_in_mid_burst_and_stays_silent_when_it_wakes() {
    let database = TestDatabase::create().await;
    for number in 0..6_i64 {
        let store = format!("S{number}");
        subscribe(
            &database,
            &[(&store, "pickers", 100 + number), (&store, "store", 100 + number)],
        )
        .await;
    }
    let bot = FakeBotApi::start();
    let flags = telegram(&bot);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let leader = TestProcess::start(database.url(), &flags).await;
    while leader.metric("orderhook_leader", &[]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    let standby = TestProcess::start(database.url(), &flags).await;
    burst(&standby.client, 6, 80).await;
    bot.arrived(8, BOUND).await;
    leader.signal("STOP");
    let frozen = Instant::now();
    while standby.metric("orderhook_leader", &[]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    println!("a standby took over {:?} after the leader froze", frozen.elapsed());
    all_sent(&database).await;
    // Long after everything was sent by the other one.
    while frozen.elapsed() < Duration::from_secs(20) {
        standby.ops("/livez").await;
    }
    leader.signal("CONT");
    while leader.metric("orderhook_leader", &[]).await > 0.0 {
        tokio::task::yield_now().await;
    }
    standby.accepted(created("H-LAST", "S0")).await;
    all_sent(&database).await;
    let told: String = bot.accepted().iter().map(|message| message.visible.clone()).collect();
    for number in 0..480 {
        assert!(told.contains(&format!("SM H{number} ")), "H{number} is missing");
    }
    assert!(told.contains("SM H-LAST "));
    // Only what was on its way when the leader froze may have come twice, one message per chat at most.
    assert!(bot.accepted_twice() <= 6, "{} came twice", bot.accepted_twice());
}
