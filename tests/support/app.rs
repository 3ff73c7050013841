//! The production app, started as `main` starts it, on free ports and a database of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Parser;
use orderhook::app::App;
use orderhook::cli::{Cli, Command as CliCommand};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;

/// The token that every test node accepts.
pub const TOKEN: &str = "test-token";

/// How to reach a node, in this process or in another one.
#[derive(Clone)]
pub struct NodeClient {
    /// `http://127.0.0.1:port` of the hook listener.
    pub hooks: String,
    /// `http://127.0.0.1:port` of the operations listener.
    pub ops: String,
    /// Keeps connections alive, as SM and nginx do.
    pub http: Client,
}

impl NodeClient {
    fn new(hook_addr: &str, ops_addr: &str) -> Self {
        Self {
            hooks: format!("http://{hook_addr}"),
            ops: format!("http://{ops_addr}"),
            http: Client::new(),
        }
    }

    /// A hook with the right token, ready for more headers.
    pub fn hook(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http
            .post(format!("{}/sbermarket/orders/hook/", self.hooks))
            .header("Client-Token", TOKEN)
            .body(body)
    }

    /// Sends a hook and returns status and JSON body.
    pub async fn send(&self, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        let response = self.hook(body).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Sends a hook that must be accepted, and returns the JSON body.
    pub async fn accepted(&self, body: impl Into<reqwest::Body>) -> Value {
        let (status, answer) = self.send(body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// `GET` on the operations listener.
    pub async fn ops(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.ops)).send().await.unwrap()
    }

    /// `GET /api/orders/{order_id}`, which must know the order.
    pub async fn order(&self, order_id: &str) -> Value {
        let mut url = reqwest::Url::parse(&self.ops).unwrap();
        url.path_segments_mut().unwrap().extend(["api", "orders", order_id]);
        let response = self.http.get(url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{order_id}");
        response.json().await.unwrap()
    }

    /// `GET /metrics`: the sum over all series of a family whose labels contain every given text.
    pub async fn metric(&self, family: &str, labels: &[&str]) -> f64 {
        let text = self.ops("/metrics").await.text().await.unwrap();
        text.lines()
            .filter(|line| line.split(['{', ' ']).next() == Some(family))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }
}

/// A node in this process. It is drained and stopped on drop.
pub struct TestApp {
    /// How to reach it.
    pub client: NodeClient,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<bool>>,
}

impl std::ops::Deref for TestApp {
    type Target = NodeClient;

    fn deref(&self) -> &NodeClient {
        &self.client
    }
}

impl TestApp {
    /// Starts a node on this database, with more settings as flags of `serve`.
    pub async fn start(database_url: &str, flags: &[&str]) -> Self {
        let command_line: Vec<String> = serve_command_line(database_url, flags);
        let cli = Cli::try_parse_from(command_line).unwrap();
        let CliCommand::Serve(args) = cli.command else {
            panic!("not serve")
        };
        let (stop, stopped) = oneshot::channel();
        let (started, addrs) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let io = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            actix_rt::System::new().block_on(async {
                let app = App::start(&args, io.handle()).await.unwrap();
                started
                    .send((app.hook_addr.to_string(), app.ops_addr.to_string()))
                    .unwrap();
                // The test has ended either way.
                let _ = stopped.await;
                app.stop().await
            })
        });
        let (hook_addr, ops_addr) = addrs.await.unwrap();
        Self {
            client: NodeClient::new(&hook_addr, &ops_addr),
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        drop(self.stop.take());
        let drained = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(drained, Some(Ok(true))), "the node did not drain");
        }
    }
}

/// A node in a process of its own, for what only a process can do: be killed, or frozen.
pub struct TestProcess {
    /// How to reach it.
    pub client: NodeClient,
    child: Child,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl std::ops::Deref for TestProcess {
    type Target = NodeClient;

    fn deref(&self) -> &NodeClient {
        &self.client
    }
}

impl TestProcess {
    /// Starts the binary with its log in JSON and waits until it serves.
    pub async fn start(database_url: &str, flags: &[&str]) -> Self {
        Self::start_with_log(database_url, flags, "json").await
    }

    /// Starts the binary with its log in this format and waits until it serves.
    pub async fn start_with_log(database_url: &str, flags: &[&str], format: &str) -> Self {
        let command_line = serve_command_line(database_url, flags);
        let mut child = Command::new(env!("CARGO_BIN_EXE_orderhook"))
            .args(&command_line[1..])
            .args(["--log-format", format])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (started, addrs) = mpsc::channel();
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        // The pipe is read to its end: a process that cannot write its log keeps what it can, and loses the rest.
        let reading = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some(addrs) = serving(&line) {
                    // Nobody waits for a second one.
                    let _ = started.send(addrs);
                }
                let mut written = written.lock().unwrap();
                written.push_str(&line);
                written.push('\n');
            }
        });
        let addrs = tokio::task::spawn_blocking(move || addrs.recv()).await.unwrap();
        let (hook_addr, ops_addr) = addrs.expect("the node ended before it served");
        Self {
            client: NodeClient::new(&hook_addr, &ops_addr),
            child,
            log,
            reading: Some(reading),
        }
    }

    /// The process id, to send signals to.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, now.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name, like `TERM` or `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Has the process end by itself and returns everything that it logged.
    pub fn ended_log(&mut self) -> String {
        self.signal("TERM");
        self.wait();
        self.whole_log()
    }

    /// Kills the process and returns what it logged until a moment before.
    pub fn killed_log(&mut self) -> String {
        self.kill();
        self.whole_log()
    }

    /// Read to the end of the pipe.
    fn whole_log(&mut self) -> String {
        self.reading.take().unwrap().join().unwrap();
        self.log()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Nobody reads the log until this is dropped: the pipe is soon full.
    pub fn unread_log(&self) -> MutexGuard<'_, String> {
        self.log.lock().unwrap()
    }

    /// Waits until it has logged this text.
    pub async fn logs(&self, text: &str) {
        let bound = Instant::now() + Duration::from_secs(60);
        while !self.log().contains(text) {
            assert!(Instant::now() < bound, "{text:?} was not logged:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The exit code, once the process has ended; `Some(None)` when a signal ended it.
    pub fn try_wait(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    /// Waits for the end of the process and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for TestProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The addresses of both listeners, from the line that a node logs when it serves.
fn serving(line: &str) -> Option<(String, String)> {
    let log: Value = serde_json::from_str(line).unwrap_or_default();
    if log["message"] == "serving" {
        let addr = |name: &str| log[name].as_str().unwrap().to_owned();
        return Some((addr("hooks"), addr("operations")));
    }
    let (_, fields) = line.split_once(" serving ")?;
    let addr = |name: &str| {
        fields
            .split(' ')
            .find_map(|field| Some(field.strip_prefix(name)?.to_owned()))
    };
    Some((addr("hooks=")?, addr("operations=")?))
}

fn serve_command_line(database_url: &str, flags: &[&str]) -> Vec<String> {
    let own = [
        "orderhook",
        "serve",
        "--database-url",
        database_url,
        "--client-tokens",
        TOKEN,
    ];
    // On free ports, unless the test has chosen.
    let free_ports = ["--hook-addr", "--ops-addr"]
        .into_iter()
        .filter(|flag| !flags.contains(flag))
        .flat_map(|flag| [flag, "127.0.0.1:0"]);
    own.into_iter()
        .chain(free_ports)
        .chain(flags.iter().copied())
        .map(str::to_owned)
        .collect()
}
