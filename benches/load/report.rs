//! The table and the JSON: medians over the repetitions with their spread, and the ratios of each.

use std::collections::BTreeMap;

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

    /// The figure of the repetition that ran last.
    fn median(&self, name: &str) -> Option<Spread> {
        Spread::of(self.values.get(name)?)
    }

    /// One figure in terms of another, repetition by repetition.
    fn ratio(&self, of: &str, to: &str) -> Option<Spread> {
        let (of, to) = (self.values.get(of)?, self.values.get(to)?);
        let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
        Spread::of(&ratios)
    }

    /// Prints everything that was measured, and the ratios that matter.
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
            "\n{:<52} {:>12} {:>26} {:>10}",
            "ratio", "median", "least .. most", "to hold"
        );
        for (name, of, to, hold) in RATIOS {
            if let Some(spread) = self.ratio(of, to) {
                println!(
                    "{name:<52} {:>12.3} {:>12.3} .. {:<10.3} {hold:>10}",
                    spread.median, spread.least, spread.most
                );
            }
        }
    }
}

/// What is asked of the service: its figure, in terms of which other one, and the bound.
const RATIOS: [(&str, &str, &str, &str); 14] = [
    (
        "64 connections, of the PostgreSQL floor",
        "orderhook closed 64 hooks/s",
        "floor beside closed 64 hooks/s",
        ">= 0.45",
    ),
    (
        "256 connections, of the PostgreSQL floor",
        "orderhook closed 256 hooks/s",
        "floor beside closed 256 hooks/s",
        ">= 0.5",
    ),
    (
        "64 connections, of the baseline",
        "orderhook closed 64 hooks/s",
        "baseline closed 64 hooks/s",
        ">= 2.5",
    ),
    (
        "64 connections, p99 of the baseline's",
        "orderhook closed 64 p99 ms",
        "baseline closed 64 p99 ms",
        "<= 0.5",
    ),
    (
        "one connection, of single statements of an event",
        "orderhook closed 1 hooks/s",
        "floor beside closed 1 hooks/s",
        ">= 0.5",
    ),
    (
        "one connection, of single commits of a short row",
        "orderhook closed 1 hooks/s",
        "floor single short rows/s",
        "",
    ),
    (
        "500 hooks/s, p50 of the baseline's",
        "orderhook open 500 p50 ms",
        "baseline open 500 p50 ms",
        "<= 1",
    ),
    (
        "500 hooks/s, p99 of the baseline's",
        "orderhook open 500 p99 ms",
        "baseline open 500 p99 ms",
        "<= 1",
    ),
    (
        "3000 hooks/s, p50 of the baseline's",
        "orderhook open 3000 p50 ms",
        "baseline open 3000 p50 ms",
        "<= 0.7",
    ),
    (
        "3000 hooks/s, p99 of the baseline's",
        "orderhook open 3000 p99 ms",
        "baseline open 3000 p99 ms",
        "<= 0.55",
    ),
    (
        "64 connections, service CPU of the baseline's",
        "orderhook closed 64 service cpu us/hook",
        "baseline closed 64 service cpu us/hook",
        "",
    ),
    (
        "64 connections, PostgreSQL CPU of the baseline's",
        "orderhook closed 64 postgres cpu us/hook",
        "baseline closed 64 postgres cpu us/hook",
        "",
    ),
    (
        "p99 beside one hot order, of the same load spread",
        "fairness p99 ms beside 1000/s of one order",
        "fairness p99 ms beside 1000/s spread",
        "<= 1.25",
    ),
    (
        "p99 beside one store's flood, of the same load spread",
        "fairness p99 ms beside 3000/s of one store",
        "fairness p99 ms beside 3000/s spread",
        "<= 1.25",
    ),
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
