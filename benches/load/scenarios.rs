//! What a node does beyond its usual day: too much work, one that takes all, a long time.
//! They are played in rounds of their own, after the repetitions.

use std::time::Duration;

use crate::Bench;
use crate::client::{Answers, Closed, closed_loop};
use crate::open_loop::{Callers, Counted, Open, WhenBusy, open_loop, play_open_loop, take};
use crate::play::Orders;
use crate::process::Service;

/// The answer deadline of a node with default settings, in milliseconds.
const DEADLINE_MS: f64 = 2000.0;
/// How long more is offered than the node can do.
const FLOOD: Duration = Duration::from_secs(30);
/// Stores without chats, sixteen of them.
pub(crate) const OTHER_STORES: (u32, u32) = (9001, 9016);

/// A p99 is one hook in a hundred: in a round of seconds one flush of the disk that takes long decides it.
const ROUNDS_OF_FAIRNESS: usize = 5;
const LEAST_TIME_OF_FAIRNESS: Duration = Duration::from_secs(6);
const ROUNDS_OF_OVERLOAD: usize = 3;

impl Bench<'_> {
    /// All of them, as far as they are wanted.
    pub(crate) async fn scenarios(&mut self) {
        if self.wants("overload") {
            for round in 1..=ROUNDS_OF_OVERLOAD {
                eprintln!("overload, round {round} of {ROUNDS_OF_OVERLOAD}");
                self.overload().await;
                self.save();
            }
        }
        if self.wants("fairness") {
            for round in 1..=ROUNDS_OF_FAIRNESS {
                eprintln!("fairness, round {round} of {ROUNDS_OF_FAIRNESS}");
                self.fairness().await;
                self.save();
            }
        }
        if self.wants("scale") {
            self.scale().await;
            self.save();
        }
        if self.args.soak_minutes > 0 {
            self.soak().await;
        }
    }

    /// A node on a fresh database.
    pub(crate) async fn node(&mut self) -> Service {
        let database = self.fresh().await;
        self.start("orderhook", &database)
    }

    /// With the 64 callers of the closed loop in which everybody is compared.
    pub(crate) fn open(&self, rate: f64, time: Duration, orders: Orders) -> Open {
        Open {
            rate,
            connections: 64,
            warm_up: Duration::from_secs(2),
            time,
            orders,
            when_busy: WhenBusy::Late,
            gathers: false,
        }
    }

    /// Twice of what the node can do, for 30 s, and what comes after.
    async fn overload(&mut self) {
        let node = self.node().await;
        // Staff of no store could be told of so many orders: the outbox is left out of this.
        let others = Orders {
            stores: OTHER_STORES,
            ..Orders::USUAL
        };
        let all_it_can = Closed {
            orders: others,
            ..self.closed(256)
        };
        let capacity = closed_loop(node.hooks, all_it_can).await.rate();
        let quiet = |time| self.open(capacity / 5.0, time, others);
        let before = open_loop(node.hooks, quiet(self.time())).await;
        let flood = Open {
            rate: capacity * 2.0,
            // So many that the node, and not the number of callers, is the limit.
            connections: 6000,
            warm_up: Duration::ZERO,
            time: FLOOD,
            orders: others,
            when_busy: WhenBusy::LeftOut,
            gathers: true,
        };
        let flood = Callers::connect(node.hooks, flood).on_their_way().await;
        // The last requests of the flood wait for their answers while the first ones after it are sent already, and
        // those of the first two seconds are not measured.
        let after = async {
            tokio::time::sleep(FLOOD).await;
            let resident = node.resident();
            let after = Open {
                warm_up: Duration::from_secs(2),
                ..quiet(self.time())
            };
            (open_loop(node.hooks, after).await, resident)
        };
        let (flooded, (after, resident)) = tokio::join!(flood.play(), after);

        let refused = flooded.refused.values().sum::<u64>();
        let other: u64 = flooded
            .refused
            .iter()
            .filter(|(status, _)| **status != 429)
            .map(|(_, count)| count)
            .sum();
        let mut note = |figure: &str, value: f64| self.figures.note(format!("overload {figure}"), value);
        let sent = flooded.accepted + refused + flooded.unanswered;
        let rate = |hooks: u64| hooks as f64 / FLOOD.as_secs_f64();
        note("capacity hooks/s", capacity);
        note("due, of the capacity", rate(sent + flooded.left_out) / capacity);
        note("sent, of the capacity", rate(sent) / capacity);
        note("sent hooks/s", rate(sent));
        note("unanswered", flooded.unanswered as f64);
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

    /// One round: what others feel of one that takes much, against the same number of hooks spread over
    /// everybody.
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
        self.beside("nobody", None).await;
        self.beside("3000/s spread", Some((3000.0, 1024, others))).await;
        // More than one order takes, whose events come one after the other: its mailbox is full all the time.
        let taken = self.beside("3000/s of one order", Some((3000.0, 1024, hot))).await;
        self.beside("what that order takes, spread", Some((taken, 1024, others)))
            .await;
        self.beside("3000/s of one store", Some((3000.0, 1024, Orders::USUAL)))
            .await;
        self.beside("40/s of 300 lines", Some((40.0, 80, long))).await;
    }

    /// What others feel of so many hooks a second, on so many connections, of such orders; returns how many of them
    /// were taken a second. Connections are so few that none is without a request for the five seconds after which
    /// the node gives it up.
    async fn beside(&mut self, who: &str, load: Option<(f64, usize, Orders)>) -> f64 {
        let others = Orders {
            stores: OTHER_STORES,
            ..Orders::USUAL
        };
        let time = (self.time() * 2).max(LEAST_TIME_OF_FAIRNESS);
        let node = self.node().await;
        let measured = open_loop(node.hooks, self.open(1000.0, time, others));
        let (answers, taken) = match load {
            None => (measured.await, 0.0),
            Some((rate, connections, orders)) => {
                let beside = Open {
                    connections,
                    when_busy: WhenBusy::LeftOut,
                    ..self.open(rate, time, orders)
                };
                let (answers, taken) = tokio::join!(measured, open_loop(node.hooks, beside));
                (answers, taken.rate())
            }
        };
        let refused = answers.refused.values().sum::<u64>() + answers.unanswered;
        let mut note = |figure: &str, value: f64| self.figures.note(format!("fairness {figure} {who}"), value);
        note("hooks/s taken of", taken);
        note("refused beside", refused as f64);
        note("p50 ms beside", answers.millis(50.0));
        note("p99 ms beside", answers.millis(99.0));
        taken
    }

    /// Hours in small: the memory of a node under steady traffic, of which every eighth order never ends.
    async fn soak(&mut self) {
        let database = self.fresh().await;
        // With the 10 minutes of the default settings idle orders would only pile up for a third of the half hour.
        let node = self.start_node(&database, &["--order-idle", "1m"]);
        let counted = Counted::default();
        let orders = Orders {
            one_is_left_of: Some(8),
            ..Orders::USUAL
        };
        let played = Open {
            warm_up: Duration::ZERO,
            ..self.open(3000.0, Duration::from_mins(self.args.soak_minutes), orders)
        };
        let playing = play_open_loop(Callers::connect(node.hooks, played), Counted::clone(&counted));
        let watching = async {
            let (mut accepted, mut refused, mut worst) = (0, 0, 0.0_f64);
            let (mut resident, mut active) = (Vec::new(), Vec::new());
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
                let orders = active_orders(&node).await;
                active.push(orders as f64);
                eprintln!(
                    "soak {minute} min: {mean:.1} MiB ({least:.1} .. {most:.1}), p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, \
                     {orders} active orders, {:?} refused",
                    answers.millis(50.0),
                    answers.millis(99.0),
                    answers.millis(99.9),
                    answers.refused,
                );
            }
            (accepted, refused, worst, resident, active)
        };
        let (_, (accepted, refused, worst, resident, active)) = tokio::join!(playing, watching);
        // What a node takes in its first fifth is its working set.
        let settled = resident.len() / 5;
        let (least, most) = ends(&resident[settled..]);
        let (fewest, all) = ends(&active[settled..]);
        // A stall of the disk can cost some; more would be another load than the one that is measured.
        assert!(refused * 100 <= accepted, "{refused} refused, {accepted} accepted");
        self.figures.note("soak hooks", accepted as f64);
        self.figures.note("soak refused", refused as f64);
        self.figures.note("soak worst p99.9 ms of a minute", worst);
        self.figures.note("soak active orders, least", fewest);
        self.figures.note("soak active orders, most", all);
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

fn refused_millis(answers: &Answers, percentile: f64) -> f64 {
    answers.refused_latency.value_at_percentile(percentile) as f64 / 1000.0
}

/// How many orders a node holds.
pub(crate) async fn active_orders(node: &Service) -> usize {
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
