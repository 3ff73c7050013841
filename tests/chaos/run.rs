//! One run: the simulator plays SM, the faults are played against the pool, and in the end what is stored and
//! what was told is compared with what was sent.

use std::fmt::Write as _;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::faults;
use crate::judge::judge;
use crate::ledger::Ledger;
use crate::notices::{self, Notices};
use crate::page::Page;
use crate::schedule::{Fault, Schedule};
use crate::stage::{Stage, chats};
use crate::support::app::TOKEN;
use crate::told::Told;

/// SM's pauses are divided by it: 7 repeats within a minute, so that an outage costs no order its created.
const TIME_SCALE: &str = "20";
/// From one event of an order to the next; divided by the scale.
const EVENT_GAP: &str = "50s";
/// The last orders that begin are played to their end among faults.
const LAST_ORDERS: Duration = Duration::from_secs(20);
/// What is given back or sent in the end takes hardly more than a few seconds, on a busy machine a minute.
const PATIENCE: Duration = Duration::from_secs(240);

/// What is asked for.
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) duration: Duration,
    /// Hooks per second.
    pub(crate) rate: String,
}

impl Settings {
    /// From `ORDERHOOK_CHAOS_SEED`, `ORDERHOOK_CHAOS_MINUTES` and `ORDERHOOK_CHAOS_RATE`; without them the
    /// short form with its seed that never changes.
    pub(crate) fn of_environment() -> Self {
        let given = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let number = |name: &str, default: u64| {
            given(name).map_or(default, |text| {
                text.parse()
                    .unwrap_or_else(|_| panic!("{name} is no whole number: {text}"))
            })
        };
        let seed = match given("ORDERHOOK_CHAOS_SEED").as_deref() {
            Some("random") => rand::random::<u32>().into(),
            _ => number("ORDERHOOK_CHAOS_SEED", 8),
        };
        Self {
            seed,
            duration: Duration::from_secs(60 * number("ORDERHOOK_CHAOS_MINUTES", 2)),
            rate: number("ORDERHOOK_CHAOS_RATE", 40).to_string(),
        }
    }
}

/// Plays everything and tells what came of it.
pub(crate) async fn run(settings: &Settings) -> Page {
    let schedule = Schedule::of_seed(settings.seed, settings.duration);
    let stage = Stage::set(settings.duration).await;
    let started = Instant::now();
    let mut sim = Sim::start(&stage, settings);
    faults::play(&stage, &schedule, started, settings.duration).await;
    tokio::time::sleep_until((started + settings.duration).into()).await;
    let healed = Instant::now();
    let mut nodes = Vec::new();
    for node in &stage.nodes {
        if node.has_ended().await {
            nodes.push(format!("{} has ended", node.place.name));
        }
    }
    sim.end().await;
    let client = stage.cluster.client().await;
    let waiting = "SELECT count(*) FROM notices WHERE state NOT IN ('sent', 'failed')";
    let is_settled = async || {
        let mut all_ready = true;
        for node in &stage.nodes {
            all_ready &= node.is_ready().await;
        }
        all_ready && client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0
    };
    let given_up = Instant::now() + PATIENCE;
    while Instant::now() < given_up && !is_settled().await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let recovered = healed.elapsed();
    for node in &stage.nodes {
        if !node.is_ready().await {
            nodes.push(format!("{} was not ready again in the end", node.place.name));
        }
    }
    for node in &stage.nodes {
        let code = node.drain(Duration::from_secs(30)).await;
        if code != Some(Some(0)) {
            nodes.push(format!("{} did not drain in the end: {code:?}", node.place.name));
        }
        let panics = node.log().lines().filter(|line| line.contains("panicked at")).count();
        if panics > 0 {
            nodes.push(format!("{} panicked {panics} times", node.place.name));
        }
    }
    let told = Told::of(&stage.bot.accepted());
    let done = stage.done();
    let mut never_done: Vec<String> = schedule.kinds().difference(&stage.kinds()).cloned().collect();
    // Not everybody may mount a disk; the page says that it was left out.
    never_done.retain(|kind| stage.disk.is_some() || *kind != Fault::FillDisk.kind());
    let notices = notices::judge(&client, &chats(), &told, &done).await;
    let page = Page {
        seed: settings.seed,
        minutes: (settings.duration.as_secs() / 60).to_string(),
        rate: settings.rate.clone(),
        lasted: started.elapsed(),
        doubled_file: list_doubled(settings.seed, &notices),
        notices,
        done,
        skipped: stage.skipped(),
        never_done,
        sim: sim.report(),
        wrong: judge(&client, Ledger::read(&sim.ledger())).await,
        nodes,
        recovered,
        limit_violations: limit_violations(&stage),
    };
    if !page.is_all_zero() {
        sim.keep(&stage);
    }
    page
}

/// Writes every doubled notice with what explains it into a file that stays: one page has no room for all.
fn list_doubled(seed: u64, notices: &Notices) -> PathBuf {
    let kept = kept_folder().join(format!("told-twice-{seed}.txt"));
    let mut text = String::new();
    for (why, list) in &notices.doubled {
        for line in list {
            let _ = writeln!(text, "{why}: {line}");
        }
    }
    std::fs::write(&kept, text).unwrap();
    kept
}

/// What is to be looked at after the run is here.
fn kept_folder() -> PathBuf {
    let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("chaos");
    std::fs::create_dir_all(&kept).unwrap();
    kept
}

/// Answers of 429 although nobody had asked to wait: the nodes are to keep Telegram's limits, also those that
/// the sender before them has used up.
fn limit_violations(stage: &Stage) -> usize {
    let done = stage.done();
    let asked_to_wait = |at: Instant| {
        let mut asked = done.iter().filter(|done| done.what == faults::TOO_MANY_REQUESTS);
        asked.any(|done| done.from <= at && at <= done.to)
    };
    let refused = stage.bot.refused();
    let violations = refused
        .iter()
        .filter(|refused| refused.code == 429 && !asked_to_wait(refused.at));
    violations.count()
}

/// `orderhook sim` in a process of its own. Killed on drop.
struct Sim {
    folder: TempDir,
    process: Child,
}

impl Sim {
    fn start(stage: &Stage, settings: &Settings) -> Self {
        let folder = tempfile::Builder::new().prefix("orderhook-chaos-").tempdir().unwrap();
        let ops: Vec<String> = stage
            .nodes
            .iter()
            .map(|node| format!("http://{}", node.place.ops_addr))
            .collect();
        let begins = settings.duration.saturating_sub(LAST_ORDERS);
        let process = Command::new(env!("CARGO_BIN_EXE_orderhook"))
            .arg("sim")
            .args(["--hook-url", &stage.nginx.url, "--ops-url", &ops.join(",")])
            .args(["--token", TOKEN, "--prefix", "H-"])
            .args(["--seed", &settings.seed.to_string(), "--rate", &settings.rate])
            .args(["--duration", &format!("{}s", begins.as_secs())])
            .args(["--time-scale", TIME_SCALE, "--event-gap", EVENT_GAP])
            .args(["--stores", &crate::stage::STORES.to_string()])
            .args([
                "--overlap",
                "15",
                "--disorder",
                "10",
                "--repeats",
                "10",
                "--cancel",
                "15",
            ])
            .arg("--ledger")
            .arg(folder.path().join("ledger.jsonl"))
            .arg("--report-json")
            .arg(folder.path().join("report.json"))
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("sim.log")).unwrap())
            .spawn()
            .unwrap();
        Self { folder, process }
    }

    /// Waits until every order is played.
    async fn end(&mut self) {
        let given_up = Instant::now() + PATIENCE;
        while self.process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < given_up, "the simulator does not end");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn ledger(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("ledger.jsonl")).unwrap()
    }

    fn report(&self) -> Value {
        let text = std::fs::read(self.folder.path().join("report.json"));
        let text = text.unwrap_or_else(|_| panic!("the simulator made no report: {}", self.log()));
        serde_json::from_slice(&text).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("sim.log")).unwrap()
    }

    /// What was sent and logged, for whoever looks for the reason.
    fn keep(&self, stage: &Stage) {
        let kept = kept_folder();
        std::fs::copy(self.folder.path().join("ledger.jsonl"), kept.join("ledger.jsonl")).unwrap();
        for node in &stage.nodes {
            std::fs::write(kept.join(format!("{}.log", node.place.name)), node.log()).unwrap();
        }
        println!("ledger and logs are kept in {}", kept.display());
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
