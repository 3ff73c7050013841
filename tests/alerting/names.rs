//! Every name in alerts, their tests and the dashboard is one that the running app serves.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::promql::{Selector, named};
use crate::support::app::TestProcess;
use crate::support::database::TestDatabase;
use crate::{alerts, read};

/// Labels that Prometheus itself gives to every series, and series that it makes itself.
const OF_THE_TARGET: [&str; 2] = ["job", "instance"];
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// What a node serves: by the name of the series its labels, with all their values.
type Served = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

async fn served() -> Served {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &[]).await;
    let text = node.ops("/metrics").await.text().await.unwrap();
    let mut served = Served::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, _value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let of_series = served.entry(name.to_owned()).or_default();
        for label in labels
            .trim_end_matches('}')
            .split("\",")
            .filter(|label| !label.is_empty())
        {
            let (label, value) = label.split_once("=\"").unwrap();
            let value = value.trim_end_matches('"').to_owned();
            of_series.entry(label.to_owned()).or_default().insert(value);
        }
    }
    served
}

/// What is wrong with the names of an expression, in words.
fn wrong_names(served: &Served, expression: &str) -> Vec<String> {
    let named = named(expression);
    let mut wrong = Vec::new();
    let mut known_labels = BTreeSet::from(OF_THE_TARGET.map(str::to_owned));
    for Selector { metric, matchers } in &named.selectors {
        if OF_PROMETHEUS.contains(&metric.as_str()) {
            continue;
        }
        let Some(labels) = served.get(metric) else {
            wrong.push(format!("{metric} is not served"));
            continue;
        };
        known_labels.extend(labels.keys().cloned());
        for (label, pattern) in matchers {
            if OF_THE_TARGET.contains(&label.as_str()) {
                continue;
            }
            let values = labels.get(label).cloned().unwrap_or_default();
            let missing = pattern.split('|').filter(|value| !values.contains(*value));
            wrong.extend(missing.map(|value| format!("{metric} has no {label}={value:?}")));
        }
    }
    let unknown = named.grouped_by.iter().filter(|label| !known_labels.contains(*label));
    wrong.extend(unknown.map(|label| format!("nothing has the label {label}")));
    wrong
}

/// Every expression of the dashboard, with where it stands.
fn of_dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let of_panels = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets
            .into_iter()
            .map(|target| (panel["title"].clone(), target["expr"].clone()))
    });
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter();
    let of_annotations = annotations
        .filter(|annotation| annotation.get("expr").is_some())
        .map(|annotation| (annotation["name"].clone(), annotation["expr"].clone()));
    let text = |value: Value| value.as_str().unwrap().to_owned();
    of_panels
        .chain(of_annotations)
        .map(|(title, expression)| (text(title), text(expression)))
        .collect()
}

#[actix_rt::test]
async fn every_name_in_alerts_and_dashboard_is_served() {
    let served = served().await;
    let of_alerts = alerts().into_iter().map(|rule| (rule.alert, rule.expr));
    let expressions: Vec<_> = of_alerts.chain(of_dashboard()).collect();
    assert!(expressions.len() > 60, "{} expressions", expressions.len());
    let wrong: Vec<String> = expressions
        .iter()
        .flat_map(|(place, expression)| {
            let wrong = wrong_names(&served, expression);
            wrong.into_iter().map(move |wrong| format!("{place}: {wrong}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What this test rests on.
    assert_eq!(
        wrong_names(
            &served,
            r#"orderhook_mailbox_depth{actor="nobody"} / orderhook_mailbox"#
        ),
        [
            r#"orderhook_mailbox_depth has no actor="nobody""#,
            "orderhook_mailbox is not served"
        ]
    );
    assert_eq!(
        wrong_names(&served, "sum by (acter) (orderhook_mailbox_depth)"),
        ["nothing has the label acter"]
    );
}

#[actix_rt::test]
async fn the_dashboard_shows_every_family_of_the_service() {
    let shown: BTreeSet<String> = of_dashboard()
        .iter()
        .flat_map(|(_, expression)| named(expression).selectors)
        .map(|selector| selector.metric)
        .collect();
    let served = served().await;
    let missing: Vec<&String> = served
        .keys()
        // What is our own. A histogram is shown by its buckets.
        .filter(|series| series.starts_with("orderhook_"))
        .filter(|series| !series.ends_with("_sum") && !series.ends_with("_count"))
        .filter(|series| !shown.contains(*series))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
