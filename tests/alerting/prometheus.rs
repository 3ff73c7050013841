//! A Prometheus server of its own that looks at one node four times a second.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::read;

/// No alert takes so long unless it never fires.
const BOUND: Duration = Duration::from_secs(120);

/// Killed on drop, with its data.
pub(crate) struct Prometheus {
    url: String,
    http: Client,
    child: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts a server with the real alerts, whose pauses before firing are shortened to a second, and the
    /// example configuration, whose target is this operations address. Returns once it has looked at it.
    pub(crate) async fn start(ops_url: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("orderhook-prometheus-")
            .tempdir()
            .unwrap();
        let alerts = read("prometheus/alerts.yml").lines().map(quickly).collect::<Vec<_>>();
        std::fs::write(folder.path().join("alerts.yml"), alerts.join("\n")).unwrap();
        let configuration = read("prometheus/prometheus.yml")
            .replace("15s", "250ms")
            .replace("127.0.0.1:8081", ops_url.trim_start_matches("http://"));
        assert!(configuration.contains("scrape_interval: 250ms") && !configuration.contains("8081\""));
        std::fs::write(folder.path().join("prometheus.yml"), configuration).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn")
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus, of Debian's package of the same name; `make test` installs it");
        let prometheus = Self {
            url: format!("http://127.0.0.1:{port}"),
            http: Client::new(),
            child,
            _folder: folder,
        };
        // A rise is seen from the second look on.
        let looks = "count_over_time(up{job=\"orderhook\"}[1m]) >= 2";
        prometheus
            .until("a look at the node", async || {
                let found = prometheus.get(&[("query", looks)], "query").await;
                found["result"].as_array().is_some_and(|found| !found.is_empty())
            })
            .await;
        prometheus
    }

    /// `data` of the answer; null while the server is not there yet.
    async fn get(&self, query: &[(&str, &str)], path: &str) -> Value {
        let url = format!("{}/api/v1/{path}", self.url);
        let answer = self.http.get(url).query(query).send().await;
        match answer {
            Ok(answer) => answer.json::<Value>().await.unwrap_or_default()["data"].take(),
            Err(_) => Value::Null,
        }
    }

    /// The labels of the alerts of this name that fire now.
    pub(crate) async fn firing(&self, alert: &str) -> Vec<Value> {
        let alerts = self.get(&[], "alerts").await;
        let all = alerts["alerts"].as_array().cloned().unwrap_or_default();
        all.into_iter()
            .filter(|found| found["state"] == "firing" && found["labels"]["alertname"] == alert)
            .map(|found| found["labels"].clone())
            .collect()
    }

    /// Waits until an alert fires, and returns its labels.
    pub(crate) async fn fires(&self, alert: &str) -> Value {
        self.until(alert, async || !self.firing(alert).await.is_empty()).await;
        self.firing(alert).await.swap_remove(0)
    }

    /// Waits until an alert does not fire any more.
    pub(crate) async fn is_over(&self, alert: &str) {
        self.until(alert, async || self.firing(alert).await.is_empty()).await;
    }

    async fn until(&self, what: &str, seen: impl AsyncFn() -> bool) {
        let bound = Instant::now() + BOUND;
        while !seen().await {
            assert!(Instant::now() < bound, "Prometheus has not come to: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of the rules, with a short pause before firing.
fn quickly(line: &str) -> String {
    match line.split_once("for: ") {
        Some((indent, _pause)) if indent.trim().is_empty() => format!("{indent}for: 1s"),
        _ => line.to_owned(),
    }
}
