//! A failover manager looks after the database: Patroni, with the configuration that `deploy/failover`
//! gives to operations, started by `deploy/local/patroni.sh`. Nothing here promotes, rejoins or releases
//! anything but the manager.

use std::process::Command;
use std::time::{Duration, Instant};

use orderhook::db::migrate::migrate;
use orderhook::db::{Database, DatabaseSettings};
use reqwest::StatusCode;
use serde_json::Value;
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

use crate::load::{Load, check, hook, rate, tell};
use crate::nginx::{until, until_for};
use crate::pool::Pool;

/// A manager takes its time: a primary counts as dead after 20 s, and then a busy machine does the rest.
const PATIENCE: Duration = Duration::from_secs(180);

/// The servers `pg1` and `pg2` under Patroni, with etcd. Ended and removed on drop.
struct Managed {
    folder: TempDir,
    url: String,
    http: reqwest::Client,
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/patroni.sh");

impl Managed {
    /// A primary with its synchronous standby, and the current schema.
    async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("orderhook-patroni-").tempdir().unwrap();
        let passable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), passable).unwrap();
        let mut managed = Self {
            folder,
            url: String::new(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        managed.url = managed.script("start", &[]);
        let settings = DatabaseSettings {
            url: managed.url.clone().into(),
            node: "test".to_owned(),
            pool_size: 2,
        };
        let database = Database::open(&settings, tokio::runtime::Handle::current()).unwrap();
        // The manager has only just let go of the servers: on a busy machine they do not answer at once.
        until_for(PATIENCE, "the schema is there", async || {
            migrate(&database).await.is_ok()
        })
        .await;
        managed
    }

    fn script(&self, command: &str, arguments: &[&str]) -> String {
        let output = Command::new(SCRIPT)
            .arg(command)
            .arg(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} {arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The server that the manager has in this role, if any, and runs.
    async fn with_role(&self, role: &str) -> Option<String> {
        for server in ["pg1", "pg2"] {
            let port = std::fs::read_to_string(self.folder.path().join(format!("{server}-rest.port"))).unwrap();
            let url = format!("http://127.0.0.1:{}/cluster", port.trim());
            // The one whose machine is dead does not answer.
            let Ok(answer) = self.http.get(url).send().await else {
                continue;
            };
            let list: Value = answer.json().await.unwrap();
            let members = list["members"].as_array().unwrap();
            let found = members
                .iter()
                .find(|member| member["role"] == role && member["state"] == "running");
            return Some(found?["name"].as_str().unwrap().to_owned());
        }
        None
    }

    /// The server of this role, once there is one.
    async fn one_with_role(&self, role: &str) -> String {
        let mut found = None;
        until_for(PATIENCE, "a server has the role", async || {
            found = self.with_role(role).await;
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    async fn in_role(&self, server: &str, role: &str) {
        until_for(PATIENCE, "the manager gives a server its role", async || {
            self.with_role(role).await.as_deref() == Some(server)
        })
        .await;
    }

    async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        // Whatever becomes of it, a test that has failed says why by itself.
        let _ = Command::new(SCRIPT).arg("remove").arg(self.folder.path()).status();
    }
}

async fn pool() -> Pool<Managed> {
    let managed = Managed::start().await;
    let url = managed.url.clone();
    Pool::start_on(managed, url, 2, &[], &[]).await
}

/// Waits until a hook that is sent from now on is stored.
async fn writing_again(pool: &Pool<Managed>, order_id: &str) {
    until_for(PATIENCE, "hooks are stored again", async || {
        pool.nodes[0].send(hook(0, order_id).1).await.0 == StatusCode::OK
    })
    .await;
}

/// An outage of half a minute leaves many to repeat: fewer hooks than elsewhere.
fn manager_rate() -> u32 {
    rate().div_ceil(4)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_replaces_a_dead_primary_and_the_service_goes_on_by_itself() {
    let pool = pool().await;
    let load = Load::start(&pool.nginx, "manager", manager_rate());
    load.lasts(2).await;
    // Each of them once, so that the first one, back as a standby, is proved to have all.
    for turn in ["first", "second"] {
        let old = pool.database.one_with_role("leader").await;
        let new = if old == "pg1" { "pg2" } else { "pg1" };
        pool.database.in_role(new, "sync_standby").await;
        load.lasts(1).await;
        let killed = Instant::now();
        pool.database.script("kill", &[&old]);
        for node in &pool.nodes {
            until("the node refuses", async || {
                node.send(hook(0, "nowhere").1).await.0 == StatusCode::SERVICE_UNAVAILABLE
            })
            .await;
        }
        pool.database.in_role(new, "leader").await;
        let promoted = Instant::now();
        writing_again(&pool, "after").await;
        let (since_killed, since_promoted) = (killed.elapsed(), promoted.elapsed());
        println!("{turn}: {old} killed, writing again {since_killed:?} later, {since_promoted:?} after the promotion");
        assert!(since_promoted < Duration::from_secs(15));
        pool.database.script("wake", &[&old]);
    }
    load.lasts(2).await;
    let attempts = load.stop().await;
    tell("two machines of the primary killed under load", &attempts);
    check(&pool.database.client().await, &attempts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manager_starts_a_crashed_primary_and_goes_on_without_a_lost_standby() {
    let pool = pool().await;
    let load = Load::start(&pool.nginx, "manager", manager_rate());
    load.lasts(2).await;
    let primary = pool.database.one_with_role("leader").await;
    pool.database.script("crash", &[&primary]);
    let crashed = Instant::now();
    writing_again(&pool, "after").await;
    println!("writing again {:?} after the crash", crashed.elapsed());
    load.lasts(2).await;

    // Whoever is the primary now goes on alone once the manager has given the standby up.
    let standby = pool.database.one_with_role("sync_standby").await;
    pool.database.script("kill", &[&standby]);
    let lost = Instant::now();
    let (first, _) = pool.nodes[0].send(hook(0, "first-without").1).await;
    println!(
        "the first hook without the standby was answered {first} after {:?}",
        lost.elapsed()
    );
    load.lasts(2).await;
    println!(
        "two seconds of hooks were stored {:?} after the loss of the standby",
        lost.elapsed()
    );
    pool.database.script("wake", &[&standby]);
    pool.database.in_role(&standby, "sync_standby").await;
    load.lasts(1).await;
    let attempts = load.stop().await;
    tell("a crash and a lost standby under load", &attempts);
    check(&pool.database.client().await, &attempts).await;
}
