//! `orderhook sim`: plays SM against a running node, for a demo, and for a partner before going live.

use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::sim::{self, Progress, Settings};

/// What is played, and how it is told.
#[derive(Debug, Args)]
pub struct SimArgs {
    /// What is played.
    #[command(flatten)]
    settings: Settings,
    /// The report as JSON instead of a table
    #[arg(long)]
    json: bool,
    /// The report as JSON also into this file
    #[arg(long, value_name = "FILE")]
    report_json: Option<PathBuf>,
}

/// A person who watches sees a line that moves.
const ON_A_TERMINAL: Duration = Duration::from_millis(200);
/// A log wants few lines.
const IN_A_LOG: Duration = Duration::from_secs(5);

impl SimArgs {
    /// Does it; succeeds when every hook was acknowledged and no order differs.
    ///
    /// # Errors
    /// Nothing could be played, or the report cannot be written.
    pub async fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let progress = Arc::new(Progress::default());
        let report = tokio::select! {
            report = sim::run(&self.settings, Arc::clone(&progress)) => report,
            never = show(&progress) => match never {},
        };
        if stderr().is_terminal() {
            eprint!("{CLEAR_LINE}");
        }
        let report = report?;
        if let Some(path) = &self.report_json {
            let json = serde_json::to_string_pretty(&report)?;
            std::fs::write(path, json + "\n").with_context(|| format!("writing the report to {}", path.display()))?;
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            write!(out, "{report}")?;
        }
        Ok(if report.passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// To the start of the line, and nothing left on it.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Shows how far it is, for ever.
async fn show(progress: &Progress) -> std::convert::Infallible {
    let on_a_terminal = stderr().is_terminal();
    loop {
        // Not at once: a run that is over in a moment needs no progress.
        tokio::time::sleep(if on_a_terminal { ON_A_TERMINAL } else { IN_A_LOG }).await;
        if on_a_terminal {
            eprint!("{CLEAR_LINE}{progress}");
        } else {
            eprintln!("{progress}");
        }
    }
}
