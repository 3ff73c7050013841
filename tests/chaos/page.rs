//! The report: one page of figures.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::judge::Wrong;
use crate::notices::Notices;
use crate::stage::Done;

/// At most so many lines of each list.
const LINES: usize = 20;

/// Everything that is told in the end.
pub(crate) struct Page {
    pub(crate) seed: u64,
    pub(crate) minutes: String,
    /// Hooks per second.
    pub(crate) rate: String,
    pub(crate) lasted: Duration,
    pub(crate) done: Vec<Done>,
    pub(crate) skipped: BTreeMap<&'static str, usize>,
    /// Kinds of fault that were planned, could have been done here, and never were.
    pub(crate) never_done: Vec<String>,
    /// Where every doubled notice is listed.
    pub(crate) doubled_file: PathBuf,
    /// The simulator's own report.
    pub(crate) sim: Value,
    pub(crate) wrong: Wrong,
    pub(crate) notices: Notices,
    /// Nodes that ended without being told to, panicked, were not ready again, or did not drain in the end.
    pub(crate) nodes: Vec<String>,
    /// From the end of the faults until every node was ready and every notice sent.
    pub(crate) recovered: Duration,
    /// Answers of 429 that no fault asked for.
    pub(crate) limit_violations: usize,
}

impl Page {
    /// Everything that must be zero, with what stands behind it.
    fn zeros(&self) -> Vec<(&'static str, Vec<String>)> {
        let differing = self.sim["differences"].as_array().into_iter().flatten();
        let differing = differing.map(|it| format!("{}: {}", it["order_id"], it["explanation"]));
        vec![
            ("acknowledged and missing", self.wrong.missing.clone()),
            ("applied twice", self.wrong.twice.clone()),
            (
                "stock movements, not one set per shipped order",
                self.wrong.stock.clone(),
            ),
            ("documents of no allowed serialisation", self.wrong.documents.clone()),
            ("documents not as the simulator expects", differing.collect()),
            ("notices lost", self.notices.lost.clone()),
            ("notices doubled, unexplained", self.notices.unexplained.clone()),
            ("messages and notices of nothing", self.notices.strange.clone()),
            ("nodes that ended, panicked or did not recover", self.nodes.clone()),
            ("kinds of fault that were never done", self.never_done.clone()),
        ]
    }

    pub(crate) fn is_all_zero(&self) -> bool {
        self.zeros().iter().all(|(_, list)| list.is_empty())
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, minutes, rate) = (self.seed, &self.minutes, &self.rate);
        writeln!(f, "\nchaos with seed {seed}, {:?}", rounded(self.lasted))?;
        writeln!(
            f,
            "the same again: make chaos SEED={seed} MINUTES={minutes} RATE={rate}\n"
        )?;

        let mut faults: BTreeMap<&str, (usize, Duration)> = BTreeMap::new();
        for done in &self.done {
            let (count, time) = faults.entry(done.what).or_default();
            *count += 1;
            *time += done.to - done.from;
        }
        writeln!(f, "{:<58} {:>6} {:>10}", "faults", "times", "seconds")?;
        for (what, (count, time)) in faults {
            writeln!(f, "  {what:<56} {count:>6} {:>10.1}", time.as_secs_f64())?;
        }
        for (why, count) in &self.skipped {
            writeln!(f, "  LEFT OUT ({count}): {why}")?;
        }

        let sim = |name: &str| self.sim[name].to_string();
        let row = |f: &mut fmt::Formatter<'_>, what: &str, value: String| writeln!(f, "  {what:<56} {value:>6}");
        writeln!(f, "\nwhat SM saw")?;
        row(f, "orders", sim("orders"))?;
        row(f, "hooks", sim("hooks"))?;
        row(f, "repeats for want of an acknowledgement", sim("repeats"))?;
        row(f, "repeats although acknowledged", sim("repeats_of_acknowledged"))?;
        row(f, "tries refused, by status", sim("refused"))?;
        row(f, "tries without an answer within 5 s", sim("unanswered"))?;
        row(f, "tries whose connection failed", sim("broken"))?;
        row(f, "hooks given up after 7 repeats", sim("never_acknowledged"))?;
        row(
            f,
            "orders cancelled by SM, created never answered",
            sim("cancelled_by_sm"),
        )?;
        let millis = |name: &str| (self.sim["answer_time"][name].as_u64().unwrap_or(0) / 1000).to_string();
        let times = ["p50_us", "p99_us", "max_us"].map(millis).join(" / ");
        row(f, "answer time, ms, p50 / p99 / max", times)?;

        writeln!(f, "\nwhat is stored")?;
        row(f, "orders", self.wrong.orders.to_string())?;
        row(f, "events", self.wrong.events.to_string())?;
        row(f, "  of which SM heard nothing", self.wrong.unheard.to_string())?;
        row(f, "shipped orders", self.wrong.shipped.to_string())?;
        row(f, "notices to chats", self.notices.expected.to_string())?;
        for (why, list) in &self.notices.doubled {
            row(f, &format!("  told twice: {why}"), list.len().to_string())?;
        }
        row(
            f,
            "429 of Telegram that no fault asked for",
            self.limit_violations.to_string(),
        )?;
        row(
            f,
            "seconds until all was ready and told",
            self.recovered.as_secs().to_string(),
        )?;

        if !self.notices.doubled.is_empty() {
            writeln!(f, "  each of those: {}", self.doubled_file.display())?;
        }

        writeln!(f, "\nwhat must be zero")?;
        for (what, list) in self.zeros() {
            row(f, what, list.len().to_string())?;
        }
        for (what, list) in self.zeros().into_iter().filter(|(_, list)| !list.is_empty()) {
            writeln!(f, "\n{what}:")?;
            for entry in list.iter().take(LINES) {
                writeln!(f, "  {entry}")?;
            }
            if list.len() > LINES {
                writeln!(f, "  and {} more", list.len() - LINES)?;
            }
        }
        for story in &self.wrong.stories {
            writeln!(f, "\n{story}")?;
        }
        Ok(())
    }
}

fn rounded(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}
