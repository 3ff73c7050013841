//! All nodes restarted one after the other under a steady load.

use std::time::Instant;

use crate::load::{Load, check, rate_or, tell};
use crate::pool::Pool;

/// Hooks per second, of which none may be refused.
const RATE: u32 = 500;

#[tokio::test]
async fn a_rolling_restart_under_load_is_not_seen_by_sm() {
    let mut pool = Pool::start(3).await;
    let load = Load::start(&pool.nginx, "rolling", rate_or(RATE));
    load.lasts(2).await;
    for index in 0..3 {
        let drained = pool.drain(index).await;
        let started = Instant::now();
        pool.restart(index).await;
        println!(
            "{}: ended {drained:?} after SIGTERM, ready {:?} after its start",
            pool.places[index].name,
            started.elapsed()
        );
        load.lasts(1).await;
    }
    let attempts = load.stop().await;
    let refused = tell("rolling restart", &attempts);
    assert!(refused.is_empty(), "{refused:?}");
    check(&pool.database.client().await, &attempts).await;
}
