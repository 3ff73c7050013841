//! What a look of Prometheus costs a node.

use std::time::Duration;

use crate::bodies::with_lines;
use crate::support::app::TestProcess;
use crate::support::database::TestDatabase;

const SCRAPES: u32 = 200;

/// Fifty orders each. `ORDERHOOK_TEST_ORDERS` asks for more of them, for whoever wants the figure of a large node.
fn rounds() -> usize {
    let orders = std::env::var("ORDERHOOK_TEST_ORDERS").ok();
    let orders = orders.map_or(2500, |orders| orders.parse::<usize>().unwrap());
    orders.div_ceil(50)
}

/// The processor's time of all threads of a process so far. What belongs to a thread that has ended is missing;
/// a node ends none.
fn cpu(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos = threads.map(|thread| {
        let schedstat = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        schedstat.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanos.sum())
}

/// The processor's time and the bytes of one scrape, everything included.
async fn scrape(node: &TestProcess) -> (Duration, usize) {
    let before = cpu(node.pid());
    let mut bytes = 0;
    for _ in 0..SCRAPES {
        bytes = node.ops("/metrics").await.bytes().await.unwrap().len();
    }
    ((cpu(node.pid()) - before) / SCRAPES, bytes)
}

#[actix_rt::test]
async fn a_scrape_costs_the_same_however_many_orders_are_active() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &["--log", "warn,orderhook::app=info"]).await;
    node.accepted(with_lines("order.created", "H0", &[("A", "1")])).await;
    let (one, bytes_of_one) = scrape(&node).await;
    for round in 0..rounds() {
        let sent = (1..=50).map(|number| {
            node.accepted(with_lines(
                "order.created",
                &format!("H{}", round * 50 + number),
                &[("A", "1")],
            ))
        });
        futures_util::future::join_all(sent).await;
    }
    let orders = node.metric("orderhook_orders_active", &[]).await.to_string();
    assert_eq!(orders, (50 * rounds() + 1).to_string());
    let (many, bytes_of_many) = scrape(&node).await;
    eprintln!(
        "a scrape takes {one:?} of a processor with 1 active order and {many:?} with {orders} ({bytes_of_many} bytes)"
    );
    // The same series, whose figures are a few digits longer; a series for each order would be a megabyte.
    assert!(bytes_of_many < bytes_of_one * 11 / 10, "{bytes_of_one} {bytes_of_many}");
    // Measured without optimisation, beside other tests: only what grows with the orders is so much more.
    assert!(many < one * 4 + Duration::from_millis(5), "{one:?} {many:?}");
}
