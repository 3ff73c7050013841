//! Everybody who is compared, in turn, a few seconds each.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::client::{Answers, WARM_UP, closed_loop};
use crate::costs::batches;
use crate::open_loop::{Open, open_loop};
use crate::play::Orders;
use crate::process::{Service, free_addr};
use crate::{Bench, bodies, floors, single, store};

/// Those who are compared, once in this order and once in that: a machine pays for what was before.
const IN_TURN: [[&str; 2]; 2] = [["baseline", "orderhook"], ["orderhook", "baseline"]];

/// The runs of a service, in this order.
const CLOSED: [usize; 3] = [1, 64, 256];
const OPEN: [u32; 3] = [500, 3000, 10_000];

impl Bench<'_> {
    /// One repetition, of which this is the number.
    pub(crate) async fn repetition(&mut self, number: usize) {
        if self.wants("floor http") {
            let addr = free_addr();
            let mut command = Command::new(std::env::current_exe().unwrap());
            let service = Service::start(command.arg("http").arg(addr.to_string()), addr, addr);
            let answers = closed_loop(service.hooks, self.closed(64)).await;
            self.figures.note("floor http hooks/s", answers.rate());
            self.figures.note("floor http p99 ms", answers.millis(99.0));
        }
        if self.wants("floor postgres") {
            self.postgres_floor().await;
        }
        if self.wants("floor single short rows") {
            let database = self.fresh().await;
            let rate = single::short_rows(&self.cluster, &database, self.time() / 2).await;
            self.figures.note("floor single short rows/s", rate);
        }
        if self.wants("group commit") {
            for rows in [1, 16, 64] {
                let database = self.fresh().await;
                let before = self.cluster.cpu();
                let micros = store::batches(&self.cluster, &database, rows, self.time() / 2).await;
                let name = format!("group commit of {rows:>2}");
                self.figures.note(format!("{name} us"), micros);
                let cpu = (self.cluster.cpu() - before).as_secs_f64() / (self.time() / 2).as_secs_f64();
                self.figures.note(format!("{name} postgres cpu us"), micros * cpu);
            }
        }
        for connections in CLOSED {
            for who in IN_TURN[number % IN_TURN.len()] {
                let name = format!("{who} closed {connections}");
                if !self.wants(&name) {
                    continue;
                }
                let run = self.closed(connections);
                let play = async |addr| closed_loop(addr, run).await;
                // A machine can be half as fast a minute later: what is compared is measured side by side.
                let mut before = None;
                if who == "orderhook" {
                    before = Some(self.floor(connections).await);
                }
                self.run(who, &name, play).await;
                if let Some(before) = before {
                    let floor = f64::midpoint(before, self.floor(connections).await);
                    self.figures
                        .note(format!("floor beside closed {connections} hooks/s"), floor);
                }
            }
        }
        for rate in OPEN {
            // Both orders in each repetition: a p99 is that of a few moments, and needs more rounds than a mean.
            for who in IN_TURN.into_iter().flatten() {
                let name = format!("{who} open {rate}");
                if self.wants(&name) {
                    let run = self.open_run(f64::from(rate));
                    self.run(who, &name, async |addr| open_loop(addr, run).await).await;
                }
            }
        }
    }

    /// What so many connections of a service are compared with; the events a second.
    async fn floor(&mut self, connections: usize) -> f64 {
        if connections == 1 {
            return self.single_floor().await;
        }
        self.postgres_floor().await
    }

    /// One event after the other on one connection, on a fresh database; the events a second.
    async fn single_floor(&mut self) -> f64 {
        let database = self.fresh().await;
        let before = self.cluster.cpu();
        let rate = single::events(&self.cluster, &database, self.time()).await;
        self.figures.note("floor single events/s", rate);
        let micros = (self.cluster.cpu() - before).as_secs_f64() * 1e6;
        let events = rate * (WARM_UP + self.time()).as_secs_f64();
        self.figures
            .note("floor single events postgres cpu us", micros / events);
        rate
    }

    /// One run of the PostgreSQL floor on a fresh database; the events a second.
    async fn postgres_floor(&mut self) -> f64 {
        let database = self.fresh().await;
        let rate = floors::postgres(&self.cluster, &database, self.time()).await;
        self.figures.note("floor postgres hooks/s", rate);
        self.note_rows_per_event(&database, "floor postgres").await;
        rate
    }

    /// Counted from when every connection has played every event, so long that the slowest hundredth is at least a
    /// hundred hooks.
    fn open_run(&self, rate: f64) -> Open {
        let time = self.time().max(Duration::from_secs_f64(10_000.0 / rate));
        let run = self.open(rate, time, Orders::USUAL);
        let every_event = Duration::from_secs_f64((run.connections * bodies::EVENTS.len()) as f64 / rate);
        Open {
            warm_up: run.warm_up.max(every_event),
            ..run
        }
    }

    /// One run of one service on a fresh database, with what it cost.
    async fn run(&mut self, who: &str, name: &str, play: impl AsyncFnOnce(SocketAddr) -> Answers) {
        let database = self.fresh().await;
        let service = self.start(who, &database);
        let answers = self.costs(&service, &database, name, play).await;
        if who == "orderhook" {
            let (rows, batches) = batches(service.operations).await;
            self.figures.note(format!("{name} commit rows"), rows / batches);
        }
        eprintln!(
            "{name}: {:.0} hooks/s, p99 {:.2} ms",
            answers.rate(),
            answers.millis(99.0)
        );
    }
}
