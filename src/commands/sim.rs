//! `orderhook sim`: plays SM against a running node, for a demo, and for a partner before going live.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use clap::Args;
use secrecy::SecretString;
use url::Url;

use crate::sim::{self, Progress, Settings, Spelling};

/// What is played against which node.
#[derive(Debug, Args)]
pub struct SimArgs {
    /// How many orders, six events each
    #[arg(long, default_value = "20")]
    orders: u32,
    /// Orders under way at a time
    #[arg(long, default_value = "16")]
    concurrency: usize,
    /// The hook listener
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    hook_url: Url,
    /// The operations listener; orders are read back there
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    ops_url: Url,
    /// The Client-Token that the node accepts
    #[arg(long, env = "ORDERHOOK_SIM_TOKEN", hide_env_values = true)]
    token: SecretString,
    /// Plays the same orders again [default: from the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// Order ids begin with it [default: unique for every run]
    #[arg(long)]
    prefix: Option<String>,
    /// Which spelling of the protocol
    #[arg(long, value_enum, default_value = "both")]
    spelling: Spelling,
    /// Orders that are cancelled instead of delivered, in percent
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(0..=100))]
    cancel: u32,
    /// Events that are sent before the previous one of the order was answered, in percent
    #[arg(long, default_value = "0", value_parser = clap::value_parser!(u32).range(0..=100))]
    overlap: u32,
    /// Hooks that are sent once more although they were acknowledged, in percent
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(0..=100))]
    repeats: u32,
    /// SM's pauses between repeats (1 s to 60 s) are divided by it
    #[arg(long, default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    time_scale: u32,
    /// The report as JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// SM's limit for an answer (protocol section 1).
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

impl SimArgs {
    /// Plays, reports, and says by the exit code whether all is well.
    ///
    /// # Errors
    /// Nothing could be sent at all.
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let now = Utc::now();
        let settings = Settings {
            orders: self.orders,
            concurrency: self.concurrency,
            hook_url: self.hook_url,
            ops_url: self.ops_url,
            token: self.token,
            seed: self.seed.unwrap_or_else(|| now.timestamp_micros().unsigned_abs()),
            prefix: self
                .prefix
                .unwrap_or_else(|| format!("H-SIM-{}-", now.timestamp_millis())),
            spelling: self.spelling,
            cancel_percent: self.cancel,
            overlap_percent: self.overlap,
            repeat_percent: self.repeats,
            time_scale: self.time_scale,
            answer_limit: ANSWER_LIMIT,
        };
        let progress = Progress::default();
        let report = tokio::select! {
            report = sim::run(&settings, &progress) => report?,
            never = show(&progress) => match never {},
        };
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            write!(out, "{report}")?;
        }
        Ok(if report.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Keeps one line up to date on a terminal; elsewhere writes one now and then.
async fn show(progress: &Progress) -> std::convert::Infallible {
    let terminal = std::io::stderr().is_terminal();
    let mut every = tokio::time::interval(Duration::from_millis(if terminal { 200 } else { 3000 }));
    loop {
        every.tick().await;
        if terminal {
            eprint!("\r{progress}\x1b[K");
        } else {
            eprintln!("{progress}");
        }
    }
}
