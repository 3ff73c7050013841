//! Alerts, dashboard and runbook: correct, complete, about names that are really served, and the most
//! important alerts fired by the real app.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod documents;
#[path = "../support/fake_bot_api.rs"]
mod fake_bot_api;
mod fires;
mod names;
mod prometheus;
mod promql;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use serde::Deserialize;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap()
}

/// `alerts.yml`.
#[derive(Deserialize)]
struct RulesFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    labels: RuleLabels,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct RuleLabels {
    severity: String,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    description: String,
    runbook_url: String,
}

/// All alerts.
fn alerts() -> Vec<Rule> {
    let file: RulesFile = serde_saphyr::from_str(&read("prometheus/alerts.yml")).unwrap();
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}
