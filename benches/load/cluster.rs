//! A PostgreSQL of its own, with `fsync` on, and what it costs.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{cpu_of, cpu_of_children};

/// Settings beyond the defaults, the same for everybody who is measured.
const SETTINGS: [&str; 9] = [
    "listen_addresses=127.0.0.1",
    "max_connections=200",
    "shared_buffers=512MB",
    "min_wal_size=4GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=15min",
    "wal_compression=lz4",
    "wal_buffers=16MB",
    "synchronous_commit=on",
];

/// Stopped and removed on drop.
pub(crate) struct Cluster {
    folder: TempDir,
    port: u16,
}

impl Cluster {
    /// Starts a fresh cluster on a free port. The folder must be on a disk, not in memory.
    pub(crate) fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("orderhook-bench-").tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let port = crate::process::free_port();
        let cluster = Self { folder, port };
        run(cluster
            .tool("initdb")
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--username=postgres",
                "-D",
            ])
            .arg(cluster.data()));
        let settings: String = SETTINGS.iter().map(|setting| format!(" -c {setting}")).collect();
        let options = format!("-p {port} -k {}{settings}", cluster.folder.path().display());
        run(cluster
            .tool("pg_ctl")
            .args(["start", "-w", "-s", "-o", &options, "-D"])
            .arg(cluster.data())
            .arg("-l")
            .arg(cluster.folder.path().join("log")));
        cluster
    }

    /// For `DATABASE_URL`.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A plain connection.
    pub(crate) async fn client(&self, database: &str) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(database), tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    /// Brings the log of the server to where that of an older one is: it writes over files of its past. A fresh one
    /// makes each of them, 16 MB of zeros, while somebody's commit waits for it. The 4 GB are more than a flood of 30
    /// seconds writes.
    pub(crate) async fn age(&self) {
        let fill = "DO $$ BEGIN FOR file IN 1..256 LOOP \
             PERFORM pg_logical_emit_message(false, '', ''); PERFORM pg_switch_wal(); END LOOP; END $$";
        let client = self.client("postgres").await;
        client.batch_execute(fill).await.unwrap();
        client.batch_execute("CHECKPOINT").await.unwrap();
    }

    /// Leaves the kernel with a gigabyte of free memory that was in use a moment ago. A virtual machine gives memory
    /// that stays free back to its host, and each page then costs as much as several rows when a table grows into
    /// it. A fresh database takes what the one before has just freed; one that has grown by much would be measured
    /// with its host.
    pub(crate) fn have_memory_at_hand(&self) {
        let mut file = tempfile::tempfile_in(self.folder.path()).unwrap();
        std::io::copy(&mut std::io::repeat(0).take(1 << 30), &mut file).unwrap();
    }

    /// CPU time of the server and of all its processes, those that have ended included.
    pub(crate) fn cpu(&self) -> Duration {
        let pid = self.pid();
        cpu_of(pid) + cpu_of_children(pid)
    }

    /// What the server calls itself.
    pub(crate) fn version(&self) -> String {
        let output = self.tool("postgres").arg("--version").output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn pid(&self) -> u32 {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn tool(&self, name: &str) -> Command {
        let bin = std::env::var("ORDERHOOK_TEST_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned());
        let tool = Path::new(&bin).join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(tool);
            command
        } else {
            Command::new(tool)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopping = self
            .tool("pg_ctl")
            .args(["stop", "-m", "immediate", "-w", "-s", "-D"])
            .arg(self.data())
            .output();
        drop(stopping);
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
