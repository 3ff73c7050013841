//! The figures of a run, while it goes on and at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;

use super::Settings;
use super::sender::{Answers, Sender};

/// What has been played so far; read while the run goes on.
#[derive(Debug, Default)]
pub struct Progress {
    expected_hooks: AtomicUsize,
    hooks: AtomicU64,
    refused: AtomicU64,
    orders: AtomicU64,
}

impl Progress {
    pub(super) fn expect(&self, hooks: usize) {
        self.expected_hooks.store(hooks, Ordering::Relaxed);
    }

    pub(super) fn hook_done(&self) {
        self.hooks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn order_done(&self) {
        self.orders.fetch_add(1, Ordering::Relaxed);
    }
}

/// One line, like `sim: 54 of 120 hooks, 9 orders checked, 0 tries refused`.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: &AtomicU64| value.load(Ordering::Relaxed);
        write!(
            f,
            "sim: {} of {} hooks, {} orders checked, {} tries refused",
            number(&self.hooks),
            self.expected_hooks.load(Ordering::Relaxed),
            number(&self.orders),
            number(&self.refused)
        )
    }
}

/// One order that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which order.
    pub order_id: String,
    /// Where it differs, one line each.
    pub differences: Vec<String>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Plays the same orders again.
    pub seed: u64,
    /// Orders played.
    pub orders: usize,
    /// Hooks sent, SM's repeats not counted.
    pub hooks: u64,
    /// Tries after the first one.
    pub repeats: u64,
    /// Answers other than 2xx by status; 0 stands for none within the limit.
    pub refused: BTreeMap<u16, u64>,
    /// Hooks that were never acknowledged, after all repeats.
    pub never_acknowledged: usize,
    /// Median of the answer times of acknowledged tries, in microseconds.
    pub answer_p50_micros: u64,
    /// 99 of 100 were quicker.
    pub answer_p99_micros: u64,
    /// The slowest.
    pub answer_max_micros: u64,
    /// Orders that are not what they must be.
    pub differing: Vec<Difference>,
}

impl Report {
    pub(super) fn of(settings: &Settings, sender: &Sender, played: Vec<(String, Answers, Vec<String>)>) -> Self {
        let figures = sender.figures.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            seed: settings.seed,
            orders: played.len(),
            hooks: played.iter().map(|(_, answers, _)| answers.hooks).sum(),
            repeats: figures.repeats,
            refused: figures.refused.clone(),
            never_acknowledged: played.iter().map(|(_, answers, _)| answers.lost.len()).sum(),
            answer_p50_micros: figures.answer_micros.value_at_quantile(0.5),
            answer_p99_micros: figures.answer_micros.value_at_quantile(0.99),
            answer_max_micros: figures.answer_micros.max(),
            differing: played
                .into_iter()
                .filter(|(_, _, differences)| !differences.is_empty())
                .map(|(order_id, _, differences)| Difference { order_id, differences })
                .collect(),
        }
    }

    /// Whether everything is as SM and the partner need it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.differing.is_empty() && self.never_acknowledged == 0
    }
}

/// Milliseconds with two decimals.
fn milliseconds(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused: Vec<String> = self
            .refused
            .iter()
            .map(|(status, count)| match status {
                0 => format!("{count} × no answer"),
                status => format!("{count} × {status}"),
            })
            .collect();
        let rows = [
            ("orders", self.orders.to_string()),
            ("hooks", self.hooks.to_string()),
            ("repeats by SM", self.repeats.to_string()),
            (
                "refused",
                if refused.is_empty() {
                    "0".to_owned()
                } else {
                    refused.join(", ")
                },
            ),
            ("never acknowledged", self.never_acknowledged.to_string()),
            ("answer time p50", milliseconds(self.answer_p50_micros)),
            ("answer time p99", milliseconds(self.answer_p99_micros)),
            ("answer time max", milliseconds(self.answer_max_micros)),
            ("differing documents", self.differing.len().to_string()),
        ];
        writeln!(f, "┌{:─<22}┬{:─<24}┐", "", "")?;
        for (name, value) in rows {
            writeln!(f, "│ {name:<20} │ {value:>22} │")?;
        }
        writeln!(f, "└{:─<22}┴{:─<24}┘", "", "")?;
        for difference in &self.differing {
            for line in &difference.differences {
                writeln!(f, "{}: {line}", difference.order_id)?;
            }
        }
        Ok(())
    }
}
