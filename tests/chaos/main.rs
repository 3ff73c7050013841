//! `make chaos`: a pool in which everything dies, freezes, is cut off and comes back, while SM plays. In the
//! end what the simulator has sent and what it was told is compared with the database and with what the Bot
//! API has taken.
//!
//! - `schedule`: which faults come when, from the seed.
//! - `stage`, `proxy`, `disk`: the pool, and the means to trouble it.
//! - `faults`: each fault, done and undone.
//! - `run`: one run from its beginning to its report.
//! - `ledger`, `judge`, `document`: what was sent against what is stored, by SQL and the reference model.
//! - `told`, `notices`: what was to be told against what Telegram has taken.
//! - `page`: the report.
//! - `falsified`: the checker finds what is wrong.
//!
//! `ORDERHOOK_CHAOS_SEED`, `ORDERHOOK_CHAOS_MINUTES` and `ORDERHOOK_CHAOS_RATE` choose another run than the
//! short one with its fixed seed. The seed repeats the schedule of the faults and the orders; what they meet
//! is decided by the machine.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "../histories/answers.rs"]
mod answers;
#[path = "../histories/check.rs"]
mod check;
mod disk;
mod document;
#[path = "../../actors/domain/tests/support/mod.rs"]
mod domain;
#[path = "../support/fake_bot_api.rs"]
mod fake_bot_api;
mod falsified;
mod faults;
mod judge;
mod ledger;
#[path = "../pool/nginx.rs"]
#[allow(dead_code, reason = "the tests of the pool use more of it")]
mod nginx;
mod notices;
mod page;
#[path = "../pool/pool.rs"]
#[allow(dead_code, reason = "the tests of the pool use more of it")]
mod pool;
mod proxy;
#[path = "../histories/replay.rs"]
mod replay;
#[path = "../histories/rows.rs"]
#[allow(dead_code, reason = "the tests of histories use more of it")]
mod rows;
mod run;
mod schedule;
#[path = "../histories/sent.rs"]
#[allow(dead_code, reason = "the tests of histories use more of it")]
mod sent;
mod stage;
#[path = "../histories/story.rs"]
mod story;
#[path = "../support/mod.rs"]
mod support;
mod told;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_in_which_everything_fails_loses_nothing() {
    let settings = run::Settings::of_environment();
    println!("seed {}, {:?}", settings.seed, settings.duration);
    let page = run::run(&settings).await;
    println!("{page}");
    assert!(page.sim["repeats"].as_u64() > Some(0), "no fault hit anything");
    assert!(page.is_all_zero(), "with seed {} not everything is zero", settings.seed);
}
