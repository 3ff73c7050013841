//! A PostgreSQL primary with synchronous standbys, for tests that lose one of them. All of it is done by
//! `deploy/local/replicated.sh`, so that what is tested is what people try by hand.

use std::path::Path;
use std::process::Command;

use orderhook::db::migrate::migrate;
use orderhook::db::{Database, DatabaseSettings};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/replicated.sh");

/// The servers `pg1`, `pg2`..., of which `pg1` begins as the primary. Stopped and removed on drop.
///
/// A commit waits until one standby has it on its disk (of a machine that does not crash: `fsync` is
/// off). With two servers a promoted one waits for nobody until the other has joined again.
///
/// The steps of a failover block their caller for as long as they take, which is up to a second or two: who
/// sends hooks meanwhile does it on another thread.
pub struct ReplicatedCluster {
    folder: TempDir,
}

impl ReplicatedCluster {
    /// Starts so many servers, with the current schema.
    pub async fn migrated(servers: usize) -> Self {
        Self::migrated_in(&std::env::temp_dir(), servers).await
    }

    /// The same with all data inside this folder.
    pub async fn migrated_in(parent: &Path, servers: usize) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("orderhook-replicated-")
            .tempdir_in(parent)
            .unwrap();
        // The servers do not run as root, and must be able to pass.
        let passable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), passable).unwrap();
        let cluster = Self { folder };
        cluster.script("start", &["--throw-away", "--servers", &servers.to_string()]);
        let settings = DatabaseSettings {
            url: cluster.url().into(),
            node: "test".to_owned(),
            pool_size: 2,
        };
        let database = Database::open(&settings, tokio::runtime::Handle::current()).unwrap();
        migrate(&database).await.unwrap();
        cluster
    }

    /// For `DATABASE_URL`: all servers, of which the writable one is used.
    pub fn url(&self) -> String {
        self.script("url", &[])
    }

    /// A plain connection to the writable server, to look at what is stored.
    pub async fn client(&self) -> Client {
        let url = self.url();
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// One server alone.
    pub fn url_of(&self, server: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port(server))
    }

    /// A plain connection to this server, whether it is writable or not.
    pub async fn client_of(&self, server: &str) -> Client {
        let url = self.url_of(server);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// The port of a server; it never changes.
    pub fn port(&self, server: &str) -> u16 {
        let file = self.folder.path().join(server).join("port");
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }

    /// What a server is now: `primary`, `standby` or `down`. An old primary that was woken believes to be
    /// one still.
    pub fn role(&self, server: &str) -> String {
        let status = self.script("status", &[]);
        let line = status.lines().find(|line| line.split(' ').next() == Some(server));
        line.unwrap().split(' ').nth(2).unwrap().to_owned()
    }

    /// The server that was started or promoted as the primary last, whatever became of it.
    pub fn primary(&self) -> String {
        let name = std::fs::read_to_string(self.folder.path().join("primary")).unwrap();
        name.trim().to_owned()
    }

    /// SIGKILL to the primary and all its processes.
    pub fn kill_primary(&self) {
        self.script("kill", &[]);
    }

    /// SIGKILL to a server and all its processes.
    pub fn kill(&self, server: &str) {
        self.script("kill", &[server]);
    }

    /// The standby that has received most becomes the primary, once the old one is dead: it is killed if it
    /// still runs.
    pub fn promote(&self) {
        self.script("promote", &[]);
    }

    /// Makes a server that is no primary, whatever became of it, a standby with a new copy of the data. From
    /// then on commits wait for a standby again.
    pub fn rejoin(&self, server: &str) {
        self.script("rejoin", &[server]);
    }

    /// Stops a server in good order.
    pub fn stop(&self, server: &str) {
        self.script("stop", &[server]);
    }

    /// Starts a server that was stopped or killed as it is, which may be an old primary.
    pub fn wake(&self, server: &str) {
        self.script("wake", &[server]);
    }

    /// Sends a signal to a server and all its processes: `STOP` has it stand still, `CONT` go on.
    pub fn signal(&self, server: &str, signal: &str) {
        self.script("signal", &[server, signal]);
    }

    /// The primary goes on without a standby, and so do the commits that wait for one now.
    pub fn release(&self) {
        self.script("release", &[]);
    }

    fn script(&self, command: &str, arguments: &[&str]) -> String {
        let output = Command::new(SCRIPT)
            .arg(command)
            .arg(self.folder.path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for ReplicatedCluster {
    fn drop(&mut self) {
        // Whatever becomes of it, a test that has failed says why by itself.
        let _ = Command::new(SCRIPT).arg("remove").arg(self.folder.path()).status();
    }
}
