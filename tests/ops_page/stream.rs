//! A viewer without a browser: reads the server-sent events.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::support::app::NodeClient;

/// Something comes every second; a test that waits longer waits for nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// An open stream.
pub(crate) struct Viewer {
    response: Response,
    text: String,
    /// Names of what a row holds.
    pub(crate) columns: Vec<String>,
    /// The row of every second so far.
    pub(crate) rows: Vec<Vec<Option<u64>>>,
}

/// `GET /api/live`, whatever is answered.
pub(crate) async fn ask(client: &NodeClient, token: Option<&str>) -> Response {
    let request = client.http.get(format!("{}/api/live", client.ops));
    let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
    request.send().await.unwrap()
}

impl Viewer {
    /// Opens a stream and reads what is said first.
    pub(crate) async fn open(client: &NodeClient, token: Option<&str>) -> Self {
        let response = ask(client, token).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        let mut viewer = Self {
            response,
            text: String::new(),
            columns: Vec::new(),
            rows: Vec::new(),
        };
        let (name, hello) = viewer.next().await.unwrap();
        assert_eq!(name, "hello");
        viewer.columns = serde_json::from_value(hello["columns"].clone()).unwrap();
        viewer
    }

    /// The next event; `None` when the stream is over.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let Some((name, data)) = block
                    .strip_prefix("event: ")
                    .and_then(|block| block.split_once("\ndata: "))
                else {
                    assert!(block.starts_with(": "), "{block}");
                    continue;
                };
                let data: Value = serde_json::from_str(data).unwrap();
                if matches!(name, "rows" | "history") {
                    let rows: Vec<Vec<Option<u64>>> = serde_json::from_value(data.clone()).unwrap();
                    self.rows.extend(rows);
                }
                return Some((name.to_owned(), data));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("nothing came").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Reads on until an event with this name is as wanted, and returns it.
    pub(crate) async fn until(&mut self, wanted: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let reading = async {
            loop {
                let (name, data) = self.next().await.expect("the stream is over");
                if name == wanted && fits(&data) {
                    return data;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, reading).await;
        found.unwrap_or_else(|_| panic!("no such {wanted} came"))
    }

    /// The values of a column so far.
    pub(crate) fn column(&self, name: &str) -> Vec<Option<u64>> {
        let index = self.columns.iter().position(|column| column == name).unwrap();
        self.rows.iter().map(|row| row[index]).collect()
    }

    /// The sum of a column so far.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        self.column(name).into_iter().flatten().sum()
    }
}

/// Reads the rest of a stream and returns the names of its events.
pub(crate) async fn rest(mut viewer: Viewer) -> Vec<String> {
    futures_util::stream::unfold(&mut viewer, async |viewer| {
        let (name, _) = viewer.next().await?;
        Some((name, viewer))
    })
    .collect()
    .await
}
