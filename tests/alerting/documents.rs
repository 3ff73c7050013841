//! The rules, their unit tests, the dashboard and the runbook agree with each other.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::promql::named;
use crate::support::app::TestApp;
use crate::support::database::TestDatabase;
use crate::{alerts, deploy, read};

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(deploy("prometheus"))
        .output()
        .expect("promtool, of Debian's package prometheus; `make test` installs it");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn promtool_accepts_the_rules_and_the_example_configuration() {
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["check", "config", "prometheus.yml"]);
}

#[test]
fn every_alert_fires_as_its_unit_test_says_and_a_quiet_system_fires_none() {
    promtool(&["test", "rules", "alerts_test.yml"]);
}

/// `alerts_test.yml`.
#[derive(Deserialize)]
struct TestFile {
    tests: Vec<RuleTest>,
}

#[derive(Deserialize)]
struct RuleTest {
    name: String,
    input_series: Vec<InputSeries>,
    #[serde(default)]
    alert_rule_test: Vec<AlertTest>,
    #[serde(default)]
    promql_expr_test: Vec<ExpressionTest>,
}

#[derive(Deserialize)]
struct InputSeries {
    series: String,
}

#[derive(Deserialize)]
struct AlertTest {
    alertname: String,
    exp_alerts: Vec<Value>,
}

#[derive(Deserialize)]
struct ExpressionTest {
    expr: String,
    exp_samples: Vec<Value>,
}

fn rule_tests() -> Vec<RuleTest> {
    let file: TestFile = serde_saphyr::from_str(&read("prometheus/alerts_test.yml")).unwrap();
    file.tests
}

#[test]
fn every_alert_has_a_unit_test_in_which_it_is_silent_and_then_fires() {
    let tests = rule_tests();
    let tested: BTreeMap<&str, Vec<&AlertTest>> =
        tests
            .iter()
            .flat_map(|test| &test.alert_rule_test)
            .fold(BTreeMap::new(), |mut tested, test| {
                tested
                    .entry(test.alertname.as_str())
                    .or_insert_with(Vec::new)
                    .push(test);
                tested
            });
    let names: BTreeSet<String> = alerts().into_iter().map(|rule| rule.alert).collect();
    for name in &names {
        let tests = tested.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        assert!(
            tests.iter().any(|test| !test.exp_alerts.is_empty()),
            "{name} never fires"
        );
        assert!(
            tests.iter().any(|test| test.exp_alerts.is_empty()),
            "{name} is never silent"
        );
    }
    for name in tested.keys() {
        assert!(names.contains(*name), "{name} is tested, and is no alert");
    }
}

#[test]
fn the_quiet_and_the_busy_system_have_every_series_that_an_alert_looks_at() {
    let tests = rule_tests();
    // They expect no series of the alerts themselves, whichever.
    let healthy: Vec<&RuleTest> = tests
        .iter()
        .filter(|test| {
            let mut expressions = test.promql_expr_test.iter();
            expressions.any(|test| test.expr.contains("ALERTS") && test.exp_samples.is_empty())
        })
        .collect();
    assert_eq!(healthy.len(), 2);
    for test in healthy {
        let given: BTreeSet<&str> = test
            .input_series
            .iter()
            .map(|input| input.series.split('{').next().unwrap())
            .collect();
        for rule in alerts() {
            for selector in named(&rule.expr).selectors {
                let (name, alert) = (&selector.metric, &rule.alert);
                assert!(given.contains(name.as_str()), "{}: no {name} for {alert}", test.name);
            }
        }
    }
}

/// The sections of the runbook by their anchors, as GitHub makes them of the headings.
fn sections() -> BTreeMap<String, (String, String)> {
    let runbook = read("runbook.md");
    let mut sections = BTreeMap::new();
    for section in runbook.split("\n### ").skip(1) {
        let (heading, text) = section.split_once('\n').unwrap();
        let text = text.split("\n## ").next().unwrap();
        let anchor: String = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let known = sections.insert(anchor, (heading.to_owned(), text.to_owned()));
        assert!(known.is_none(), "{heading} stands twice");
    }
    sections
}

#[test]
fn every_alert_leads_to_its_section_of_the_runbook() {
    let sections = sections();
    let mut of_alerts = BTreeSet::new();
    for rule in alerts() {
        let anchor = rule.annotations.runbook_url.strip_prefix("deploy/runbook.md#");
        let (heading, _) = sections
            .get(anchor.unwrap())
            .unwrap_or_else(|| panic!("{}", rule.alert));
        assert_eq!(*heading, rule.alert);
        assert!(matches!(rule.labels.severity.as_str(), "critical" | "warning"));
        assert!(!rule.annotations.summary.is_empty() && !rule.annotations.description.is_empty());
        of_alerts.insert(rule.alert);
    }
    for (heading, text) in sections.values() {
        let is_error = heading.starts_with(|c: char| c.is_ascii_digit());
        assert!(is_error || of_alerts.contains(heading), "{heading} is no alert");
        for part in ["**Meaning.** ", "**First check.** ", "**Action.** "] {
            assert!(text.contains(&format!("\n{part}")), "{heading} has no {part}");
        }
    }
    // Links from section to section.
    for link in read("runbook.md").split("](#").skip(1) {
        let anchor = link.split(')').next().unwrap();
        assert!(sections.contains_key(anchor), "#{anchor} leads nowhere");
    }
}

#[actix_rt::test]
async fn every_error_that_a_caller_can_be_answered_has_its_section() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let described: Value = app.ops("/openapi.json").await.json().await.unwrap();
    let mut codes: BTreeSet<String> = described["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .flat_map(|operation| operation["responses"].as_object().unwrap().keys())
        .filter(|code| !code.starts_with('2'))
        .cloned()
        .collect();
    assert!(codes.contains("429"), "{codes:?}");
    // What is answered outside of the described routes.
    codes.extend(["404".to_owned(), "405".to_owned()]);
    let in_runbook: BTreeSet<String> = sections()
        .values()
        .filter_map(|(heading, _)| Some(heading.split_once(' ')?.0.to_owned()))
        .collect();
    let missing: Vec<&String> = codes.difference(&in_runbook).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_dashboard_is_one_that_grafana_can_draw() {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboard.json")).unwrap();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title} has the id of another panel"
        );
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is too wide");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} covers another panel");
            }
        }
        if panel["type"] != "row" {
            assert!(!panel["description"].as_str().unwrap().is_empty(), "{title}");
            // Whatever data source the reader has.
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        }
    }
    assert!(ids.len() > 30);
}
