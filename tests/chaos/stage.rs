//! What the faults are done to: a primary with its synchronous standby, nodes behind nginx, the fake Bot API,
//! and a proxy on every way between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;

use crate::disk::Disk;
use crate::fake_bot_api::{self, FakeBotApi};
use crate::nginx::{Nginx, free_port};
use crate::pool::Place;
use crate::proxy::Proxy;
use crate::schedule::NODES;
use crate::support::app::TestProcess;
use crate::support::replicated::ReplicatedCluster;

/// Stores of each spelling. Each has a chat per role, or Telegram's limit per chat would be all there is.
pub(crate) const STORES: u32 = 10;

/// The longest that a node waits for the Bot API: shorter than the faults that keep it waiting.
const TELEGRAM_TIMEOUT: &str = "2s";

/// From where a node's requests come to the Bot API, so that it knows which node has sent a message.
pub(crate) fn telegram_source(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, u8::try_from(node + 1).unwrap()))
}

/// The chats: role, chat and store. Every fourth one is a group, to which less may be sent.
pub(crate) fn chats() -> Vec<(&'static str, i64, String)> {
    let stores = (0..STORES).flat_map(|number| [8001 + number, 57 + number]);
    let of_store = |(place, store): (usize, u32)| {
        let id = i64::from(store);
        let group = if place.is_multiple_of(4) { -1 } else { 1 };
        [
            ("pickers", group * (100_000 + id), store.to_string()),
            ("store", 200_000 + id, store.to_string()),
        ]
    };
    stores.enumerate().flat_map(of_store).collect()
}

/// Whose doing it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// The node was killed, when the fault began; what runs there later is another process.
    Kill(usize),
    /// The node ended while it drained, before it had recorded what it had sent.
    CutShort(usize),
    /// The node stood still.
    Freeze(usize),
    /// The node reached no database, and the others did: to them it stands still.
    CutOff(usize),
    /// Answers of the Bot API were on their way when its connections were reset, as the fault began.
    TelegramCut,
    /// Nothing that a notice could be doubled by.
    Other,
}

/// A fault that was done.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) from: Instant,
    /// When it was over.
    pub(crate) to: Instant,
    pub(crate) what: &'static str,
    pub(crate) cause: Cause,
}

/// Everything under test. Dropped in this order.
pub(crate) struct Stage {
    pub(crate) nginx: Nginx,
    pub(crate) nodes: Vec<Node>,
    pub(crate) hook_proxies: Vec<Proxy>,
    /// Of every node, to `pg1` and to `pg2`.
    pub(crate) database_proxies: Vec<[Proxy; 2]>,
    pub(crate) telegram_proxies: Vec<Proxy>,
    pub(crate) bot: FakeBotApi,
    /// One at a time changes the cluster.
    pub(crate) cluster: Arc<ReplicatedCluster>,
    pub(crate) disk: Option<Disk>,
    done: Mutex<Vec<Done>>,
    /// Kinds of fault that were done at least once.
    kinds: Mutex<BTreeSet<String>>,
    skipped: Mutex<BTreeMap<&'static str, usize>>,
}

/// A place in the pool and who stands there.
pub(crate) struct Node {
    pub(crate) place: Place,
    database_url: String,
    process: AsyncMutex<Option<TestProcess>>,
    /// What its processes have logged, those that were killed included.
    log: Mutex<String>,
}

impl Stage {
    pub(crate) async fn set(duration: Duration) -> Self {
        // Room for the data of both servers and what a standby that is away keeps them from forgetting.
        let disk = Disk::mount(1200 + 4 * duration.as_secs());
        let cluster = match &disk {
            Some(disk) => ReplicatedCluster::migrated_in(disk.path(), 2).await,
            None => ReplicatedCluster::migrated(2).await,
        };
        prepare(&cluster).await;
        let bot = FakeBotApi::start();
        let (mut nodes, mut hook_proxies) = (Vec::new(), Vec::new());
        let (mut database_proxies, mut telegram_proxies) = (Vec::new(), Vec::new());
        for node in 0..NODES {
            let telegram: SocketAddr = bot.url().strip_prefix("http://").unwrap().parse().unwrap();
            let telegram = Proxy::start(free_port(), telegram, telegram_source(node)).await;
            let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let mut servers = Vec::new();
            for server in ["pg1", "pg2"] {
                let target = SocketAddr::new(here, cluster.port(server));
                servers.push(Proxy::start(free_port(), target, here).await);
            }
            let servers: [Proxy; 2] = servers.try_into().unwrap_or_else(|_| unreachable!());
            let api_url = format!("http://{}", telegram.address());
            let place = Place::new(
                node + 1,
                &[
                    "--telegram-token",
                    fake_bot_api::TOKEN,
                    "--telegram-api-url",
                    &api_url,
                    "--telegram-timeout",
                    TELEGRAM_TIMEOUT,
                ],
            );
            hook_proxies.push(Proxy::start(free_port(), place.hook_addr.parse().unwrap(), here).await);
            nodes.push(Node {
                place,
                database_url: format!(
                    "postgres://postgres@{},{}/postgres?target_session_attrs=read-write",
                    servers[0].address(),
                    servers[1].address()
                ),
                process: AsyncMutex::new(None),
                log: Mutex::default(),
            });
            database_proxies.push(servers);
            telegram_proxies.push(telegram);
        }
        for node in &nodes {
            node.start().await;
        }
        let addresses: Vec<String> = hook_proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        Self {
            nginx: Nginx::start(&addresses, &[]).await,
            nodes,
            hook_proxies,
            database_proxies,
            telegram_proxies,
            bot,
            cluster: Arc::new(cluster),
            disk,
            done: Mutex::default(),
            kinds: Mutex::default(),
            skipped: Mutex::default(),
        }
    }

    /// Notes a fault that has just ended.
    pub(crate) fn note(&self, what: &'static str, cause: Cause, from: Instant) {
        let to = Instant::now();
        self.done
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Done { from, to, what, cause });
    }

    /// Notes that a fault could not be done, and why.
    pub(crate) fn skip(&self, why: &'static str) {
        *self.skipped.lock().unwrap().entry(why).or_default() += 1;
    }

    /// Notes that this kind of fault was done.
    pub(crate) fn did(&self, kind: String) {
        self.kinds.lock().unwrap().insert(kind);
    }

    pub(crate) fn kinds(&self) -> BTreeSet<String> {
        self.kinds.lock().unwrap().clone()
    }

    pub(crate) fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap().clone()
    }

    pub(crate) fn skipped(&self) -> BTreeMap<&'static str, usize> {
        self.skipped.lock().unwrap().clone()
    }

    /// Does something with the cluster, which blocks.
    pub(crate) async fn with_cluster(&self, work: impl FnOnce(&ReplicatedCluster) + Send + 'static) {
        let cluster = Arc::clone(&self.cluster);
        tokio::task::spawn_blocking(move || work(&cluster)).await.unwrap();
    }

    /// The index of the node that sends to Telegram, once one does; `None` when none does within `patience`.
    pub(crate) async fn next_leader(&self, patience: Duration) -> Option<usize> {
        let given_up = Instant::now() + patience;
        loop {
            let leader = self.leader().await;
            if leader.is_some() || Instant::now() > given_up {
                return leader;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The index of the node that says that it sends to Telegram.
    async fn leader(&self) -> Option<usize> {
        let patience = Duration::from_secs(1);
        let http = reqwest::Client::builder().timeout(patience).build().unwrap();
        for (index, node) in self.nodes.iter().enumerate() {
            let url = format!("http://{}/metrics", node.place.ops_addr);
            let Ok(response) = http.get(url).send().await else {
                continue;
            };
            let metrics = response.text().await.unwrap_or_default();
            if metrics.lines().any(|line| line == "orderhook_leader 1") {
                return Some(index);
            }
        }
        None
    }
}

impl Node {
    /// Starts a process here. It need not find the database.
    pub(crate) async fn start(&self) {
        *self.process.lock().await = Some(self.place.launch(&self.database_url).await);
    }

    /// SIGKILL. Returns whether it was alive until now.
    pub(crate) async fn kill(&self) -> bool {
        let mut process = self.process.lock().await;
        let Some(mut process) = process.take() else {
            return false;
        };
        let was_alive = process.try_wait().is_none();
        self.keep(&process.killed_log());
        was_alive
    }

    pub(crate) async fn signal(&self, name: &str) {
        if let Some(process) = &*self.process.lock().await {
            process.signal(name);
        }
    }

    /// SIGTERM, and the exit code; `None` when it has not ended after `patience`.
    pub(crate) async fn drain(&self, patience: Duration) -> Option<Option<i32>> {
        let mut process = self.process.lock().await;
        let mut process = process.take()?;
        process.signal("TERM");
        let until = Instant::now() + patience;
        let code = loop {
            if let Some(code) = process.try_wait() {
                break Some(code);
            }
            if Instant::now() > until {
                break None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        self.keep(&process.killed_log());
        code
    }

    /// Whether its process has ended by itself.
    pub(crate) async fn has_ended(&self) -> bool {
        let mut process = self.process.lock().await;
        process.as_mut().is_some_and(|process| process.try_wait().is_some())
    }

    pub(crate) async fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.place.ops_addr);
        let answer = reqwest::get(url).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    fn keep(&self, log: &str) {
        let _ = writeln!(self.log.lock().unwrap(), "{log}");
    }

    /// What all processes here have logged, once they have ended.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

/// Subscribes the chats, and keeps the servers from taking more disk than they need.
async fn prepare(cluster: &ReplicatedCluster) {
    let client = cluster.client().await;
    for (role, chat_id, store) in chats() {
        let subscribe = "INSERT INTO chats (store_id, role, chat_id) VALUES ($1, $2, $3)";
        client.execute(subscribe, &[&store, &role, &chat_id]).await.unwrap();
    }
    // The standby copies these settings when it joins.
    for setting in ["max_wal_size = '128MB'", "min_wal_size = '32MB'"] {
        client
            .batch_execute(&format!("ALTER SYSTEM SET {setting}"))
            .await
            .unwrap();
    }
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}
