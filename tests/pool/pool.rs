//! Nodes at addresses that stay, on one database, behind nginx.

use std::time::Duration;

use tokio_postgres::Client;

use crate::nginx::{Nginx, free_port, until};
use crate::support::app::TestProcess;
use crate::support::database::TestDatabase;

/// A node's place in the pool: whoever is started there has the same name and the same addresses.
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) hook_addr: String,
    pub(crate) ops_addr: String,
    flags: Vec<String>,
}

impl Place {
    pub(crate) fn new(number: usize, flags: &[&str]) -> Self {
        Self {
            name: format!("node-{number}"),
            hook_addr: format!("127.0.0.1:{}", free_port()),
            ops_addr: format!("127.0.0.1:{}", free_port()),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        }
    }

    /// Starts a process here and waits until it is ready.
    async fn start(&self, database_url: &str) -> TestProcess {
        let process = self.launch(database_url).await;
        until("a node is ready", async || process.ops("/readyz").await.status() == 200).await;
        process
    }

    /// Starts a process here and waits until it listens: it need not find the database.
    pub(crate) async fn launch(&self, database_url: &str) -> TestProcess {
        // A line per hook would be most of what a development build does.
        let quiet = "warn,orderhook::app=info";
        let mut flags = vec![
            "--node",
            &self.name,
            "--hook-addr",
            &self.hook_addr,
            "--ops-addr",
            &self.ops_addr,
        ];
        flags.extend(["--log", quiet]);
        flags.extend(self.flags.iter().map(String::as_str));
        TestProcess::start(database_url, &flags).await
    }
}

/// Dropped in this order: nginx, the nodes, the database.
pub(crate) struct Pool<D = TestDatabase> {
    pub(crate) nginx: Nginx,
    pub(crate) nodes: Vec<TestProcess>,
    pub(crate) places: Vec<Place>,
    pub(crate) database: D,
    database_url: String,
}

impl Pool {
    /// So many ready nodes behind nginx.
    pub(crate) async fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[], &[]).await
    }

    /// The same with flags of `serve` and settings of nginx.
    pub(crate) async fn start_with(nodes: usize, flags: &[&str], settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let url = database.url().to_owned();
        Self::start_on(database, url, nodes, flags, settings).await
    }

    /// Which node took the order's last hook, and how many it has.
    pub(crate) async fn node_of(client: &Client, order_id: &str) -> String {
        let query = "SELECT node FROM order_events WHERE order_id = $1 ORDER BY delivery_id DESC LIMIT 1";
        client.query_one(query, &[&order_id]).await.unwrap().get(0)
    }
}

impl<D> Pool<D> {
    /// The same on another database.
    pub(crate) async fn start_on(
        database: D,
        database_url: String,
        nodes: usize,
        flags: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let places: Vec<Place> = (1..=nodes).map(|number| Place::new(number, flags)).collect();
        let starting = places.iter().map(|place| place.start(&database_url));
        let nodes = futures_util::future::join_all(starting).await;
        let addresses: Vec<String> = places.iter().map(|place| place.hook_addr.clone()).collect();
        Self {
            nginx: Nginx::start(&addresses, settings).await,
            nodes,
            places,
            database,
            database_url,
        }
    }

    /// Starts a node anew where one has ended, and waits until it is ready.
    pub(crate) async fn restart(&mut self, index: usize) {
        self.nodes[index] = self.places[index].start(&self.database_url).await;
    }

    /// SIGTERM, and how long it took to the end, which must be with exit code 0.
    pub(crate) async fn drain(&mut self, index: usize) -> Duration {
        let asked = std::time::Instant::now();
        self.nodes[index].signal("TERM");
        let node = &mut self.nodes[index];
        let code = ended(node).await;
        assert_eq!(code, Some(0), "the node did not drain");
        asked.elapsed()
    }

    /// The index of a node by its name.
    pub(crate) fn index_of(&self, name: &str) -> usize {
        self.places.iter().position(|place| place.name == name).unwrap()
    }
}

/// Waits for the end of a process without standing still, and returns its exit code.
pub(crate) async fn ended(node: &mut TestProcess) -> Option<i32> {
    let mut code = None;
    until("the node ends", async || {
        code = node.try_wait();
        code.is_some()
    })
    .await;
    code.flatten()
}
