//! The two nodes, and what replaces one that was killed.

use std::sync::{Arc, Mutex};

use crate::support::app::{NodeClient, TestProcess};

/// One process. The one that replaces it has another name, so that the journal tells them apart.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    pub(crate) client: NodeClient,
}

/// Where the nodes are now.
#[derive(Clone)]
pub(crate) struct Addresses(Arc<Mutex<[Node; 2]>>);

impl Addresses {
    pub(crate) fn now(&self) -> [Node; 2] {
        self.0.lock().unwrap().clone()
    }
}

/// Two processes of the production binary on one database.
pub(crate) struct Pair {
    database_url: String,
    processes: [TestProcess; 2],
    started: usize,
    pub(crate) addresses: Addresses,
}

impl Pair {
    pub(crate) async fn start(database_url: &str) -> Self {
        let (one, first) = start(database_url, 1).await;
        let (two, second) = start(database_url, 2).await;
        Self {
            database_url: database_url.to_owned(),
            processes: [first, second],
            started: 2,
            addresses: Addresses(Arc::new(Mutex::new([one, two]))),
        }
    }

    /// SIGKILL, and another node in its place.
    pub(crate) async fn replace(&mut self, index: usize) {
        self.processes[index].kill();
        self.started += 1;
        let (node, process) = start(&self.database_url, self.started).await;
        self.processes[index] = process;
        self.addresses.0.lock().unwrap()[index] = node;
    }

    /// Drains both: then every answer that is ever recorded is recorded.
    pub(crate) fn stop(mut self) {
        for process in &mut self.processes {
            process.signal("TERM");
        }
        for process in &mut self.processes {
            assert_eq!(process.wait(), Some(0), "a node did not drain");
        }
    }
}

async fn start(database_url: &str, number: usize) -> (Node, TestProcess) {
    let name = format!("node-{number}");
    // A line per hook would be most of what a development build does.
    let quiet = "warn,orderhook::app=info";
    // Right answers are what is looked at, on machines that may be slow.
    let patient = "4s";
    let flags = ["--node", &name, "--log", quiet, "--answer-deadline", patient];
    let process = TestProcess::start(database_url, &flags).await;
    let node = Node {
        name: name.into(),
        client: process.client.clone(),
    };
    (node, process)
}
