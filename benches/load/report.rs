//! The table and the JSON: medians over the repetitions with their spread, and the ratios of each.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

/// Every figure of every repetition, by name.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// The machine and the commit.
    pub(crate) about: BTreeMap<&'static str, String>,
    /// One value per run: of what is run more than once in a repetition, several.
    pub(crate) values: BTreeMap<String, Vec<f64>>,
}

impl Figures {
    /// Notes a figure of the repetition that runs.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: f64) {
        self.values.entry(name.into()).or_default().push(value);
    }

    /// A figure over all repetitions.
    fn median(&self, name: &str) -> Option<Spread> {
        Spread::of(self.values.get(name)?)
    }

    /// One figure in terms of another, repetition by repetition.
    fn ratio(&self, of: &str, to: &str) -> Option<Spread> {
        let (of, to) = (self.values.get(of)?, self.values.get(to)?);
        let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
        Spread::of(&ratios)
    }

    /// Writes everything that was measured as JSON.
    pub(crate) fn save(&self, path: &Path) {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(path, serde_json::to_string_pretty(self).unwrap()).unwrap();
    }

    /// Prints everything that was measured, and what is asked of it.
    pub(crate) fn print(&self) {
        println!();
        for (name, value) in &self.about {
            println!("{name:>12}: {value}");
        }
        println!("\n{:<52} {:>12} {:>26}", "figure", "median", "least .. most");
        for name in self.values.keys() {
            if let Some(spread) = self.median(name) {
                println!(
                    "{name:<52} {:>12.3} {:>12.3} .. {:<10.3}",
                    spread.median, spread.least, spread.most
                );
            }
        }
        println!(
            "\n{:<54} {:>10} {:>26} {:>10} {:>8}",
            "ratio", "median", "least .. most", "to hold", "target"
        );
        let line = |name, spread: &Spread, hold, target| {
            println!(
                "{name:<54} {:>10.3} {:>12.3} .. {:<10.3} {hold:>10} {target:>8}",
                spread.median, spread.least, spread.most
            );
        };
        for (name, of, to, hold, target) in RATIOS {
            match self.ratio(of, to) {
                Some(spread) => line(name, &spread, hold, target),
                None => println!("{name:<54} {:>10} {:>26} {hold:>10} {target:>8}", "not run", ""),
            }
        }
        for (name, hold) in BOUNDS {
            match self.median(name) {
                Some(spread) => line(name, &spread, hold, ""),
                None => println!("{name:<54} {:>10} {:>26} {hold:>10}", "not run", ""),
            }
        }
        println!("\n{:<54} {:>10} {:>37}", "in every round", "worst", "to hold");
        for (name, hold) in NEVER {
            match self.median(name) {
                Some(spread) => println!("{name:<54} {:>10.3} {hold:>37}", spread.most),
                None => println!("{name:<54} {:>10} {hold:>37}", "not run"),
            }
        }
    }
}

/// What is asked of the service: its figure, in terms of which other one, the bound, and what would be better yet.
const RATIOS: [(&str, &str, &str, &str, &str); 18] = [
    (
        "64 connections, of the PostgreSQL floor",
        "orderhook closed 64 hooks/s",
        "floor beside closed 64 hooks/s",
        ">= 0.45",
        "0.55",
    ),
    (
        "256 connections, of the PostgreSQL floor",
        "orderhook closed 256 hooks/s",
        "floor beside closed 256 hooks/s",
        ">= 0.5",
        "0.65",
    ),
    (
        "64 connections, of the baseline",
        "orderhook closed 64 hooks/s",
        "baseline closed 64 hooks/s",
        ">= 2.5",
        "3",
    ),
    (
        "64 connections, p99 of the baseline's",
        "orderhook closed 64 p99 ms",
        "baseline closed 64 p99 ms",
        "<= 0.5",
        "",
    ),
    (
        "one connection, of single statements of an event",
        "orderhook closed 1 hooks/s",
        "floor beside closed 1 hooks/s",
        ">= 0.5",
        "",
    ),
    (
        "one connection, of single commits of a short row",
        "orderhook closed 1 hooks/s",
        "floor single short rows/s",
        "",
        "",
    ),
    (
        "500 hooks/s, p50 of the baseline's",
        "orderhook open 500 p50 ms",
        "baseline open 500 p50 ms",
        "<= 1",
        "0.7",
    ),
    (
        "500 hooks/s, p99 of the baseline's",
        "orderhook open 500 p99 ms",
        "baseline open 500 p99 ms",
        "<= 1",
        "",
    ),
    (
        "3000 hooks/s, p50 of the baseline's",
        "orderhook open 3000 p50 ms",
        "baseline open 3000 p50 ms",
        "<= 0.7",
        "0.5",
    ),
    (
        "3000 hooks/s, p99 of the baseline's",
        "orderhook open 3000 p99 ms",
        "baseline open 3000 p99 ms",
        "<= 0.55",
        "0.4",
    ),
    (
        "64 connections, service CPU of the baseline's",
        "orderhook closed 64 service cpu us/hook",
        "baseline closed 64 service cpu us/hook",
        "",
        "",
    ),
    (
        "64 connections, PostgreSQL CPU of the baseline's",
        "orderhook closed 64 postgres cpu us/hook",
        "baseline closed 64 postgres cpu us/hook",
        "",
        "",
    ),
    (
        "p99 beside one hot order, of the same load spread",
        "fairness p99 ms beside 3000/s of one order",
        "fairness p99 ms beside 3000/s spread",
        "<= 1.25",
        "",
    ),
    (
        "p99 beside one hot order, of what it takes spread",
        "fairness p99 ms beside 3000/s of one order",
        "fairness p99 ms beside what that order takes, spread",
        "",
        "",
    ),
    (
        "p99 beside one store's flood, of the same load spread",
        "fairness p99 ms beside 3000/s of one store",
        "fairness p99 ms beside 3000/s spread",
        "<= 1.25",
        "",
    ),
    (
        "p99 beside one hot order, of beside nobody",
        "fairness p99 ms beside 3000/s of one order",
        "fairness p99 ms beside nobody",
        "",
        "",
    ),
    (
        "p99 beside 300-line orders, of beside nobody",
        "fairness p99 ms beside 40/s of 300 lines",
        "fairness p99 ms beside nobody",
        "",
        "",
    ),
    (
        "p99 two seconds after the flood, of before",
        "overload p99 ms two seconds after",
        "overload p99 ms before",
        "<= 2",
        "",
    ),
];

/// Figures that have a bound of their own.
const BOUNDS: [(&str, &str); 8] = [
    ("overload sent, of the capacity", ""),
    ("overload refused p50 ms", "<= 50"),
    ("overload refused p99 ms", "<= 50"),
    ("scale of the empty table, 100000 active", ">= 0.85"),
    ("scale of the empty table, full", ">= 0.85"),
    ("scale start-up ms with a full table", "<= 1000"),
    ("scale bytes of its actor of 9 lines", "<= 2048"),
    ("soak resident, most of least", "<= 1.05"),
];

/// What must not happen in any round: the worst of them is shown.
const NEVER: [(&str, &str); 9] = [
    ("overload accepted slowest, of the deadline", "<= 1"),
    ("overload refused created", "0"),
    // Those that were admitted and could not be answered by the deadline are among them.
    ("overload refused otherwise", "0"),
    ("overload unanswered", "0"),
    ("fairness refused beside 3000/s of one order", "0"),
    ("fairness refused beside 3000/s spread", "0"),
    ("fairness refused beside what that order takes, spread", "0"),
    ("fairness refused beside 3000/s of one store", "0"),
    ("fairness refused beside 40/s of 300 lines", "0"),
];

struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            median: *sorted.get(sorted.len() / 2)?,
            least: *sorted.first()?,
            most: *sorted.last()?,
        })
    }
}
