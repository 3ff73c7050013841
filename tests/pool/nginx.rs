//! An nginx of the test's own, configured by the same script as everybody's.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::app::TOKEN;

/// SM hears no answer that comes later.
pub(crate) const SM_WAITS: Duration = Duration::from_secs(5);

/// A port that is free now, below the range from which the kernel serves outgoing connections: a node
/// that is started again must find it free again.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run at once begin at different places.
    let start = u16::try_from(std::process::id().wrapping_mul(131) % u32::from(COUNT)).unwrap();
    (0..COUNT)
        .map(|_| FIRST + (start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .unwrap()
}

/// Runs `nginx/render.sh` with nothing but these settings.
pub(crate) fn render(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/nginx/render.sh"))
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

/// Stopped on drop, or when the test process ends in any other way.
pub(crate) struct Nginx {
    /// `http://127.0.0.1:port`, or `https`.
    pub(crate) url: String,
    /// Keeps connections alive, as SM does.
    pub(crate) http: Client,
    listen: String,
    folder: TempDir,
    master: Child,
}

impl Nginx {
    /// In front of these hook listeners, with more settings of the script, or others.
    pub(crate) async fn start(nodes: &[String], settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("orderhook-nginx-").tempdir().unwrap();
        // nginx gives up root in its workers, which must be able to enter.
        set_mode(folder.path(), 0o755);
        let listen = format!("127.0.0.1:{}", free_port());
        let configuration = configure(folder.path(), &listen, nodes, settings);
        let encrypted = settings.iter().any(|(name, _)| *name == "ORDERHOOK_NGINX_CERTIFICATE");
        // Whatever happens to this process, nginx ends with it.
        let master = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(nginx_program())
            .arg("-c")
            .arg(&configuration)
            .args(["-g", "daemon off;"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let started = Self {
            url: format!("{}://{listen}", if encrypted { "https" } else { "http" }),
            http: Client::new(),
            listen: listen.clone(),
            folder,
            master,
        };
        until("nginx listens", async || {
            tokio::net::TcpStream::connect(&listen).await.is_ok()
        })
        .await;
        started
    }

    /// Gives it another list of nodes, and waits until nobody works by the old one any more.
    pub(crate) async fn reload(&self, nodes: &[&str]) {
        let nodes: Vec<String> = nodes.iter().map(|&node| node.to_owned()).collect();
        configure(self.folder.path(), &self.listen, &nodes, &[]);
        let old = self.workers();
        let asked = Command::new("kill")
            .args(["-HUP", &self.master.id().to_string()])
            .status();
        assert!(asked.unwrap().success());
        until("nginx works by the new list", async || {
            let now = self.workers();
            !now.is_empty() && now.iter().all(|worker| !old.contains(worker))
        })
        .await;
    }

    /// A hook with the right token, ready for more headers; SM's own patience.
    pub(crate) fn hook(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post("/sbermarket/orders/hook/", body)
    }

    /// The same at another path.
    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.http
            .post(format!("{}{path}", self.url))
            .header("Client-Token", TOKEN)
            .timeout(SM_WAITS)
            .body(body)
    }

    /// Every line of the access log so far. nginx writes it after the answer, so the last may be missing.
    pub(crate) fn log(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.folder.path().join("orderhook.log")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The log lines of hooks, once there are so many.
    pub(crate) async fn logged(&self, lines: usize) -> Vec<Value> {
        until("the hooks are logged", async || self.log().len() >= lines).await;
        self.log()
    }

    /// The processes that serve connections; the master replaces one that ends.
    pub(crate) fn workers(&self) -> Vec<u32> {
        let master = self.master.id();
        let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    /// Everything that nginx has written: both logs, and bodies, if any went to a file.
    pub(crate) fn written(&self) -> String {
        let mut written = String::new();
        read_all(self.folder.path(), &mut written);
        written
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended already. The workers end with the master.
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("error.log"));
            eprintln!("nginx said:\n{}", log.unwrap_or_default());
        }
    }
}

/// Renders the configuration into this folder and has nginx check it; returns the file.
fn configure(folder: &Path, listen: &str, nodes: &[String], settings: &[(&str, &str)]) -> PathBuf {
    let nodes = nodes.join(" ");
    let mut all = vec![
        ("ORDERHOOK_NGINX_NODES", nodes.as_str()),
        ("ORDERHOOK_NGINX_ALLOW", "127.0.0.1"),
        ("ORDERHOOK_NGINX_LISTEN", listen),
        ("ORDERHOOK_NGINX_WORKERS", "2"),
    ];
    all.extend(settings);
    let rendered = render(&["--prefix", folder.to_str().unwrap()], &all);
    assert!(rendered.status.success(), "{}", said(&rendered));
    let configuration = folder.join("nginx.conf");
    let checked = nginx(&configuration).arg("-t").output();
    let checked = checked.expect("nginx is not installed; `make test` installs it (Debian)");
    assert!(checked.status.success(), "{}", said(&checked));
    configuration
}

/// Where Debian has it; an ordinary user's `PATH` often lacks it.
fn nginx_program() -> &'static str {
    let debian = "/usr/sbin/nginx";
    if Path::new(debian).exists() { debian } else { "nginx" }
}

fn nginx(configuration: &Path) -> Command {
    let mut command = Command::new(nginx_program());
    command.arg("-c").arg(configuration);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn read_all(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, text);
        } else {
            text.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
        }
    }
}

/// Waits for a condition, with a bound that only something broken reaches.
pub(crate) async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    until_for(Duration::from_secs(60), what, holds).await;
}

/// The same with another bound.
pub(crate) async fn until_for(bound: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(bound, waiting).await;
    assert!(waited.is_ok(), "never: {what}");
}
