//! `make bench`: durable hooks per second and their answer times, against what cannot be beaten and against
//! what most would write, in one run on one machine.
//!
//! Everything is measured in turn, several times, with the same bodies, rows and PostgreSQL settings
//! (`fsync` on). The services run as processes of their own, orderhook as in production: JSON log to a file,
//! a Bot API that takes the notices, its default settings. The figures are those of this machine; only the
//! ratios say something about others.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::float_arithmetic,
    clippy::disallowed_methods,
    reason = "a measurement that cannot go on says so by panicking, and its figures are no money"
)]

mod baseline;
mod bodies;
mod client;
mod cluster;
mod costs;
#[path = "../../tests/support/fake_bot_api.rs"]
mod fake_bot_api;
mod floors;
mod open_loop;
mod play;
mod process;
mod repetition;
mod report;
mod rows;
mod scale;
mod scenarios;
mod single;
mod store;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use clap::{Parser, Subcommand};
use client::{Closed, WARM_UP};
use cluster::Cluster;
use fake_bot_api::FakeBotApi;
use orderhook::config::{LogArgs, LogFormat};
use orderhook::db::migrate::migrate;
use orderhook::db::{Database, DatabaseSettings};
use play::Orders;
use process::{Service, free_addr};
use report::Figures;

/// That of the service: an order in memory takes the same here.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures durable hooks per second and answer times.
#[derive(Debug, Parser)]
struct Args {
    /// What to be, when started by the bench itself.
    #[command(subcommand)]
    role: Option<Role>,
    /// Measured seconds of every run; fairness: twice as many and at least 6; open loops: at least 10 000 hooks
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often everything is measured; open loops twice as often
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// Only runs whose name contains this, for example "orderhook closed 64"
    #[arg(long, default_value = "")]
    only: String,
    /// Where the JSON goes
    #[arg(long, default_value = "target/bench.json")]
    json: std::path::PathBuf,
    /// Also so many minutes of 3000 hooks/s, watching the memory
    #[arg(long, default_value_t = 0)]
    soak_minutes: u64,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The HTTP floor.
    Http { addr: SocketAddr },
    /// The row-lock baseline.
    Baseline { addr: SocketAddr, url: String },
}

fn main() {
    let args = Args::parse();
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    match &args.role {
        None => {
            // One thread: the generator must be cheap, and its answers are counted without contention.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .on_thread_park(client::gather)
                .build()
                .unwrap();
            runtime.block_on(measure(&args));
        }
        Some(Role::Http { addr }) => actix_rt::System::new().block_on(floors::serve_http(*addr)).unwrap(),
        Some(Role::Baseline { addr, url }) => {
            let log = LogArgs {
                log: "info".to_owned(),
                log_format: LogFormat::Json,
            };
            orderhook::telemetry::start(&log).unwrap();
            actix_rt::System::new()
                .block_on(baseline::serve(*addr, url, io.handle()))
                .unwrap();
        }
    }
}

/// Runs one after the other on one cluster.
struct Bench<'a> {
    args: &'a Args,
    cluster: Cluster,
    bot: FakeBotApi,
    databases: usize,
    figures: Figures,
}

async fn measure(args: &Args) {
    let mut bench = Bench {
        args,
        cluster: Cluster::start(),
        bot: FakeBotApi::start(),
        databases: 0,
        figures: Figures::default(),
    };
    bench.figures.about = about(args, &bench.cluster);
    bench.cluster.age().await;
    bench.make_template().await;
    for repetition in 1..=args.repetitions {
        eprintln!("repetition {repetition} of {}", args.repetitions);
        bench.repetition(repetition).await;
        bench.save();
    }
    bench.scenarios().await;
    bench.figures.print();
    bench.save();
    println!("\nall figures: {}", args.json.display());
}

impl Bench<'_> {
    /// Whatever may yet fail, what was measured so far is in the file.
    pub(crate) fn save(&self) {
        self.figures.save(&self.args.json);
    }

    /// A part of a run's name asks for it, and the whole name for what its part is in.
    fn wants(&self, name: &str) -> bool {
        name.contains(&self.args.only) || self.args.only.contains(name)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.args.seconds)
    }

    /// A database with the schema and two chats of a store.
    async fn make_template(&mut self) {
        let admin = self.cluster.client("postgres").await;
        admin.batch_execute("CREATE DATABASE template_bench").await.unwrap();
        let settings = DatabaseSettings {
            url: self.cluster.url("template_bench").into(),
            node: "bench".to_owned(),
            pool_size: 1,
        };
        let database = Database::open(&settings, tokio::runtime::Handle::current()).unwrap();
        migrate(&database).await.unwrap();
        drop(database);
        let client = self.cluster.client("template_bench").await;
        client
            .batch_execute(
                "INSERT INTO chats (store_id, role, chat_id) VALUES ('8001', 'pickers', 1), ('8001', 'store', 2)",
            )
            .await
            .unwrap();
        drop(client);
        admin
            .batch_execute("ALTER DATABASE template_bench WITH ALLOW_CONNECTIONS false IS_TEMPLATE true")
            .await
            .unwrap();
        let others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'template_bench'";
        admin.query(others, &[]).await.unwrap();
    }

    /// A fresh database, with everything before it written to disk.
    async fn fresh(&mut self) -> String {
        self.databases += 1;
        let name = format!("bench_{}", self.databases);
        let admin = self.cluster.client("postgres").await;
        let old = format!("DROP DATABASE IF EXISTS bench_{} WITH (FORCE)", self.databases - 1);
        admin.batch_execute(&old).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE template_bench");
        admin.batch_execute(&create).await.unwrap();
        admin.batch_execute("CHECKPOINT").await.unwrap();
        name
    }

    /// Has a fresh database stay under this name when the next one is made.
    async fn keep(&self, database: &str, name: &str) -> String {
        let admin = self.cluster.client("postgres").await;
        let rename = format!("ALTER DATABASE {database} RENAME TO {name}");
        let others =
            format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'");
        admin.query(&others, &[]).await.unwrap();
        admin.batch_execute(&rename).await.unwrap();
        name.to_owned()
    }

    fn closed(&self, connections: usize) -> Closed {
        Closed {
            connections,
            warm_up: WARM_UP,
            time: self.time(),
            orders: Orders::USUAL,
        }
    }

    fn start(&self, who: &str, database: &str) -> Service {
        if who == "orderhook" {
            return self.start_node(database, &[]);
        }
        let hooks = free_addr();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["baseline", &hooks.to_string(), &self.cluster.url(database)]);
        Service::start(&mut command, hooks, hooks)
    }

    /// With its default settings but these.
    fn start_node(&self, database: &str, settings: &[&str]) -> Service {
        let (hooks, operations) = (free_addr(), free_addr());
        let mut command = Command::new(env!("CARGO_BIN_EXE_orderhook"));
        command
            .arg("serve")
            .args(["--hook-addr", &hooks.to_string(), "--ops-addr", &operations.to_string()])
            .args([
                "--telegram-token",
                fake_bot_api::TOKEN,
                "--telegram-api-url",
                &self.bot.url(),
            ])
            .args(["--log-format", "json"])
            .args(settings)
            .env("DATABASE_URL", self.cluster.url(database))
            .env("ORDERHOOK_CLIENT_TOKENS", bodies::token());
        Service::start(&mut command, hooks, operations)
    }
}

/// The machine and the commit.
fn about(args: &Args, cluster: &Cluster) -> std::collections::BTreeMap<&'static str, String> {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    };
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |rest| rest.trim_start_matches([':', '\t', ' ']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    [
        ("commit", output("git", &["describe", "--always", "--dirty"])),
        ("machine", format!("{cores} cores, {model}")),
        ("kernel", output("uname", &["-sr"])),
        ("postgres", cluster.version()),
        ("run", format!("{} repetitions of {} s", args.repetitions, args.seconds)),
    ]
    .into()
}
