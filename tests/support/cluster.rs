//! A PostgreSQL cluster of its own, for tests that restart or kill the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use orderhook::db::migrate::migrate;
use orderhook::db::{Database, DatabaseSettings};
use tempfile::TempDir;

/// Stopped and removed on drop. Commits are durable against a crash of the server (not of the
/// machine: `fsync` is off).
pub struct TestCluster {
    folder: TempDir,
    port: u16,
}

impl TestCluster {
    /// Starts a fresh cluster on a free port.
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("orderhook-pg-").tempdir().unwrap();
        // The server refuses to run as root and gives itself up to the user `postgres` then.
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let cluster = Self { folder, port };
        run(cluster
            .server_tool("initdb")
            .args([
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--username=postgres",
                "-D",
            ])
            .arg(cluster.data()));
        cluster.start_server();
        cluster
    }

    /// Starts a fresh cluster with the current schema.
    pub async fn migrated() -> Self {
        let cluster = Self::start();
        let settings = DatabaseSettings {
            url: cluster.url().into(),
            node: "test".to_owned(),
            pool_size: 2,
        };
        let database = Database::open(&settings, tokio::runtime::Handle::current()).unwrap();
        migrate(&database).await.unwrap();
        cluster
    }

    /// A plain connection, to look at what is stored.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    /// For `DATABASE_URL`; the database `postgres` of this cluster.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server and waits until it accepts connections.
    pub fn start_server(&self) {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=100",
            self.port,
            self.folder.path().display()
        );
        run(self
            .server_tool("pg_ctl")
            .args(["start", "-w", "-s", "-o", &options, "-D"])
            .arg(self.data())
            .arg("-l")
            .arg(self.folder.path().join("log")));
    }

    /// Stops the server as `kill -9` would: no checkpoint, no goodbye.
    pub fn crash_server(&self) {
        run(self
            .server_tool("pg_ctl")
            .args(["stop", "-m", "immediate", "-w", "-s", "-D"])
            .arg(self.data()));
    }

    /// Sends a signal to the server and all its processes: `STOP` has it stand still, `CONT` go on.
    pub fn signal(&self, name: &str) {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let server = file.lines().next().unwrap().to_owned();
        let children = Command::new("ps")
            .args(["-o", "pid=", "--ppid", &server])
            .output()
            .unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        // The server first, so that it starts no further process.
        for pid in std::iter::once(server.as_str()).chain(children.split_whitespace()) {
            // A process may have ended meanwhile.
            let _ = Command::new("kill").arg(format!("-{name}")).arg(pid).status();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn server_tool(&self, name: &str) -> Command {
        let bin = std::env::var("ORDERHOOK_TEST_PG_BIN").unwrap_or_else(|_| "/usr/lib/postgresql/15/bin".to_owned());
        let tool = Path::new(&bin).join(name);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(tool);
            command
        } else {
            Command::new(tool)
        };
        // A folder that both users may stand in.
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        // It may be stopped already.
        let _ = self
            .server_tool("pg_ctl")
            .args(["stop", "-m", "immediate", "-w", "-s", "-D"])
            .arg(self.data())
            .output();
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
