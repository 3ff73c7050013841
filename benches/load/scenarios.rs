//! What a node does beyond its usual day: too much work, one that takes all, very many orders, a long time.
//! Each is played once per run of the bench, after the repetitions.

use std::time::{Duration, Instant};

use crate::Bench;
use crate::client::{Answers, Closed, Counted, Open, Orders, WhenBusy, closed_loop, open_loop, play_open_loop, take};
use crate::floors;
use crate::process::Service;

/// The answer deadline of a node with default settings, in milliseconds.
const DEADLINE_MS: f64 = 2000.0;
/// Stores without chats, sixteen of them.
const OTHER_STORES: (u32, u32) = (9001, 9016);

impl Bench<'_> {
    /// All of them, as far as they are wanted.
    pub(crate) async fn scenarios(&mut self) {
        if self.wants("overload") {
            self.overload().await;
        }
        if self.wants("fairness") {
            self.fairness().await;
        }
        if self.wants("scale") {
            self.scale().await;
        }
        if self.args.soak_minutes > 0 {
            self.soak().await;
        }
    }

    async fn node(&mut self) -> Service {
        let database = self.fresh().await;
        self.start("orderhook", &database)
    }

    fn open(&self, rate: f64, time: Duration, orders: Orders) -> Open {
        Open {
            rate,
            connections: 256,
            warm_up: Duration::from_secs(1),
            time,
            orders,
            when_busy: WhenBusy::Late,
        }
    }

    /// Twice of what the node can do, for 30 s, and what comes after.
    async fn overload(&mut self) {
        let node = self.node().await;
        let capacity = closed_loop(node.hooks, self.closed(256)).await.rate();
        // Staff of no store could be told of so many orders: the outbox is left out of this.
        let others = Orders {
            stores: OTHER_STORES,
            ..Orders::USUAL
        };
        let quiet = |time| self.open(capacity / 5.0, time, others);
        let before = open_loop(node.hooks, quiet(self.time())).await;
        let flood = Open {
            rate: capacity * 2.0,
            // So many that the node, and not the number of callers, is the limit.
            connections: 6000,
            warm_up: Duration::ZERO,
            time: Duration::from_secs(30),
            orders: others,
            when_busy: WhenBusy::LeftOut,
        };
        let flooded = open_loop(node.hooks, flood).await;
        let resident = node.resident();
        // The first two seconds after it are the warm-up of the next run.
        let after = Open {
            warm_up: Duration::from_secs(2),
            ..quiet(self.time())
        };
        let after = open_loop(node.hooks, after).await;

        let refused = flooded.refused.values().sum::<u64>();
        let other: u64 = flooded
            .refused
            .iter()
            .filter(|(status, _)| **status != 429)
            .map(|(_, count)| count)
            .sum();
        let mut note = |figure: &str, value: f64| self.figures.note(format!("overload {figure}"), value);
        note("capacity hooks/s", capacity);
        note(
            "offered hooks/s",
            (flooded.accepted + refused) as f64 / flooded.elapsed.as_secs_f64(),
        );
        note("left out by the generator", flooded.left_out as f64);
        note("accepted hooks/s", flooded.rate());
        note("accepted p99 ms", flooded.millis(99.0));
        note("accepted slowest ms", flooded.millis(100.0));
        note("accepted slowest, of the deadline", flooded.millis(100.0) / DEADLINE_MS);
        note("refused 429", (refused - other) as f64);
        note("refused otherwise", other as f64);
        note("refused created", flooded.refused_created as f64);
        note("refused p50 ms", refused_millis(&flooded, 50.0));
        note("refused p99 ms", refused_millis(&flooded, 99.0));
        note("resident MiB", resident as f64 / 1024.0 / 1024.0);
        note("p99 ms before", before.millis(99.0));
        note("p99 ms two seconds after", after.millis(99.0));
    }

    /// What others feel of one that takes much: against the same number of hooks spread over everybody.
    async fn fairness(&mut self) {
        let others = Orders {
            stores: OTHER_STORES,
            ..Orders::USUAL
        };
        let hot = Orders {
            only: Some(Orders::next()),
            ..others
        };
        let long = Orders { lines: 300, ..others };
        let time = self.time() * 2;
        let beside = [
            ("nobody", None),
            ("1000/s spread", Some((1000.0, others))),
            ("1000/s of one order", Some((1000.0, hot))),
            ("3000/s spread", Some((3000.0, others))),
            ("3000/s of one store", Some((3000.0, Orders::USUAL))),
            ("40/s of 300 lines", Some((40.0, long))),
        ];
        for (who, load) in beside {
            let node = self.node().await;
            let measured = open_loop(node.hooks, self.open(1000.0, time, others));
            let answers = match load {
                None => measured.await,
                Some((rate, orders)) => {
                    let beside = Open {
                        connections: 1024,
                        when_busy: WhenBusy::LeftOut,
                        ..self.open(rate, time, orders)
                    };
                    tokio::join!(measured, open_loop(node.hooks, beside)).0
                }
            };
            assert!(answers.refused.is_empty(), "beside {who}: {:?}", answers.refused);
            self.figures
                .note(format!("fairness p50 ms beside {who}"), answers.millis(50.0));
            self.figures
                .note(format!("fairness p99 ms beside {who}"), answers.millis(99.0));
        }
    }

    /// Very many orders, first in memory, then in the table.
    async fn scale(&mut self) {
        let database = self.fresh().await;
        let node = self.start("orderhook", &database);
        let empty = closed_loop(node.hooks, self.closed(64)).await.rate();
        self.figures.note("scale closed 64 empty hooks/s", empty);
        drop(node);

        let active = Orders {
            stores: OTHER_STORES,
            ..Orders::USUAL
        };
        for lines in [1, 9] {
            let node = self.node().await;
            let orders = Orders {
                lines,
                created_only: true,
                ..active
            };
            // Without what a node takes when the first hooks come.
            let first = hold(&node, orders, ACTIVE_ORDERS / 10).await;
            let last = hold(&node, orders, ACTIVE_ORDERS).await;
            let bytes = (last.resident - first.resident) / (last.orders - first.orders);
            let document = floors::order_bytes(lines, ACTIVE_ORDERS);
            let mut note =
                |figure: &str, value: f64| self.figures.note(format!("scale {figure} of {lines} lines"), value);
            note("bytes per active order", bytes);
            note("bytes of its document", document);
            note("bytes of its actor", bytes - document);
            if lines == 9 {
                let rate = closed_loop(node.hooks, self.closed(64)).await.rate();
                self.figures.note("scale closed 64 with 100000 active hooks/s", rate);
                self.figures
                    .note("scale of the empty table, 100000 active", rate / empty);
            }
        }

        let database = self.fresh().await;
        drop(self.played(&database).await);
        let client = self.cluster.client(&database).await;
        client.batch_execute(MILLION_ORDERS).await.unwrap();
        let orders: i64 = client
            .query_one("SELECT count(*) FROM orders", &[])
            .await
            .unwrap()
            .get(0);
        client.batch_execute("CHECKPOINT").await.unwrap();
        let started = Instant::now();
        let node = self.start("orderhook", &database);
        ready(&node).await;
        self.figures.note("scale orders in the table", orders as f64);
        self.figures.note(
            "scale start-up ms with a full table",
            started.elapsed().as_secs_f64() * 1000.0,
        );
        let rate = closed_loop(node.hooks, self.closed(64)).await.rate();
        self.figures.note("scale closed 64 full table hooks/s", rate);
        self.figures.note("scale of the empty table, full", rate / empty);
    }

    /// A node that has played a few orders into this database.
    async fn played(&self, database: &str) -> Service {
        let node = self.start("orderhook", database);
        let run = Closed {
            time: Duration::from_secs(1),
            ..self.closed(16)
        };
        closed_loop(node.hooks, run).await;
        node
    }

    /// Hours in small: the memory of a node under steady traffic.
    async fn soak(&mut self) {
        let node = self.node().await;
        let counted = Counted::default();
        let played = Open {
            warm_up: Duration::ZERO,
            ..self.open(3000.0, Duration::from_mins(self.args.soak_minutes), Orders::USUAL)
        };
        let playing = play_open_loop(node.hooks, played, Counted::clone(&counted));
        let watching = async {
            let (mut accepted, mut refused, mut worst) = (0, 0, 0.0_f64);
            let mut resident = Vec::new();
            let mut looks = tokio::time::interval(Duration::from_secs(1));
            looks.tick().await;
            for minute in 1..=self.args.soak_minutes {
                // Single looks differ by what is under way.
                let mut samples = Vec::new();
                for _ in 0..60 {
                    looks.tick().await;
                    samples.push(node.resident() as f64 / 1024.0 / 1024.0);
                }
                let answers = take(&counted);
                accepted += answers.accepted;
                refused += answers.refused.values().sum::<u64>();
                worst = worst.max(answers.millis(99.9));
                let mean = samples.iter().sum::<f64>() / samples.len() as f64;
                let (least, most) = ends(&samples);
                resident.push(mean);
                eprintln!(
                    "soak {minute} min: {mean:.1} MiB ({least:.1} .. {most:.1}), p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, \
                     {} active orders, {:?} refused",
                    answers.millis(50.0),
                    answers.millis(99.0),
                    answers.millis(99.9),
                    active_orders(&node).await,
                    answers.refused,
                );
            }
            (accepted, refused, worst, resident)
        };
        let (_, (accepted, refused, worst, resident)) = tokio::join!(playing, watching);
        // What a node takes in its first fifth is its working set.
        let settled = &resident[resident.len() / 5..];
        let (least, most) = ends(settled);
        // A stall of the disk can cost some; more would be another load than the one that is measured.
        assert!(refused * 100 <= accepted, "{refused} refused, {accepted} accepted");
        self.figures.note("soak hooks", accepted as f64);
        self.figures.note("soak refused", refused as f64);
        self.figures.note("soak worst p99.9 ms of a minute", worst);
        self.figures.note("soak resident MiB of a minute, least", least);
        self.figures.note("soak resident MiB of a minute, most", most);
        self.figures.note("soak resident, most of least", most / least);
    }
}

/// The least and the most.
fn ends(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    (least, values.iter().copied().fold(0.0, f64::max))
}

/// How many are held at once.
const ACTIVE_ORDERS: usize = 100_000;

/// What a node holds.
struct Held {
    orders: f64,
    /// In bytes.
    resident: f64,
}

/// Sends hooks of new orders until a node holds so many of them.
async fn hold(node: &Service, orders: Orders, count: usize) -> Held {
    loop {
        let run = Closed {
            connections: 256,
            warm_up: Duration::ZERO,
            time: Duration::from_millis(500),
            orders,
        };
        closed_loop(node.hooks, run).await;
        let held = active_orders(node).await;
        if held >= count {
            return Held {
                orders: held as f64,
                resident: node.resident() as f64,
            };
        }
    }
}

/// Copies of the orders that the node itself has written, with one arrival, one answer and one stock movement
/// each, until there are a million.
const MILLION_ORDERS: &str = "
    CREATE TEMPORARY TABLE copies AS
    SELECT source.order_id, 'C' || copy || '-' || source.order_id AS copied_id
    FROM (SELECT order_id FROM orders WHERE version = 6 LIMIT 1000) AS source, generate_series(1, 1000) AS copy;
    INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, created_at, paid_at, shipped_at,
        delivered_at, cancelled_at, cancel_reason, delivery_from, delivery_to, total_price, total_discount_price,
        comment, customer, document, memory)
    SELECT copied_id, version, nextval('order_numbers')::text, store_id, status, closed, conflict, created_at, paid_at,
        shipped_at, delivered_at, cancelled_at, cancel_reason, delivery_from, delivery_to, total_price,
        total_discount_price, comment, customer, document, memory
    FROM copies JOIN orders USING (order_id);
    CREATE TEMPORARY TABLE copied_arrivals AS
    SELECT gen_random_uuid() AS delivery_id, copies.order_id, copied_id, order_version
    FROM copies JOIN order_arrivals USING (order_id) WHERE order_version = 1;
    INSERT INTO order_arrivals (delivery_id, order_id, order_version, event, event_type, received_at, outcome, node,
        request_id, body)
    SELECT copied.delivery_id, copied_id, order_version, event, event_type, received_at, outcome, node, request_id, body
    FROM copied_arrivals AS copied JOIN order_arrivals AS arrival USING (order_id, order_version);
    INSERT INTO order_answers SELECT delivery_id, now() FROM copied_arrivals;
    INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity, moved_at)
    SELECT copied_id, line, store_id, product_id, quantity, moved_at
    FROM copies JOIN stock_movements USING (order_id) WHERE line = 1;
    ANALYZE";

fn refused_millis(answers: &Answers, percentile: f64) -> f64 {
    answers.refused_latency.value_at_percentile(percentile) as f64 / 1000.0
}

async fn active_orders(node: &Service) -> usize {
    let metrics = reqwest::get(format!("http://{}/metrics", node.operations))
        .await
        .unwrap();
    let text = metrics.text().await.unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("orderhook_orders_active "))
        .unwrap();
    line.trim().parse().unwrap()
}

async fn ready(node: &Service) {
    let url = format!("http://{}/readyz", node.operations);
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return;
        }
        assert!(Instant::now() < limit, "the node does not get ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
