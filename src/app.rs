//! The composition root: settings in, a running node out. `main` and the tests start the same app.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App as WebApp, HttpServer, web};
use anyhow::Context;
use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use orderhook_actors::mailbox::MailboxShown;
use orderhook_actors::notifier_actor::NotifierHandle;
use orderhook_actors::notifier_actor::pacing::PacingSettings;
use orderhook_actors::persistence_actor::{NoticesWritten, PersistenceSettings};
use orderhook_actors::ports::StoreError;
use orderhook_actors::registry::OrderSettings;
use orderhook_actors::system::{Actors, SystemSettings};
use orderhook_domain::apply::Rules;
use orderhook_domain::ids::OrderId;
use uuid::Uuid;

use crate::alarms::{self, AlarmSettings};
use crate::config::ServeArgs;
use crate::db::health::{Health, HealthMonitor};
use crate::db::journal;
use crate::db::leader::LeaderElection;
use crate::db::order_store::PostgresOrderStore;
use crate::db::orders_view::{self, OrderView};
use crate::db::outbox::PostgresOutbox;
use crate::db::{Database, DatabaseSettings};
use crate::live::commits::MeasuredStore;
use crate::live::counted::Counts;
use crate::live::{self, Limits, Live};
use crate::routes::{self, ClientTokens, OpsAccess};
use crate::staff_bot::{POLL_TIMEOUT, StaffBot};
use crate::telegram::{self, TelegramSettings};

/// What every request of a node shares.
pub struct Node {
    /// The node's name.
    pub name: Arc<str>,
    actors: OnceLock<Actors>,
    /// Who may send hooks.
    pub tokens: ClientTokens,
    /// A hook not committed by then is answered 503.
    pub answer_deadline: Duration,
    /// Renders `/metrics`.
    pub prometheus: PrometheusHandle,
    /// The sender of this node; it sends only while this node is the leader.
    pub notifier: NotifierHandle,
    /// Whether notices go to Telegram; without a token they are rendered to the log.
    pub has_bot: bool,
    /// What the operations page shows.
    pub live: Live,
    /// Who may look, and who may act.
    pub access: OpsAccess,
    /// The pool, for what operations ask for.
    pub database: Database,
    health: HealthMonitor,
    draining: AtomicBool,
    hooks_in_flight: AtomicUsize,
}

/// Counts a hook as in flight until it is dropped.
pub struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Node {
    /// The running actors. They live on the threads that read hooks, so that a hook changes no thread on its
    /// way; for the moment between the start of the threads and that of the actors this waits.
    pub fn actors(&self) -> &Actors {
        self.actors.wait()
    }

    /// A hook has entered.
    pub fn hook_enters(&self) -> InFlight<'_> {
        self.hooks_in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(&self.hooks_in_flight)
    }

    /// Hooks that are owed an answer now.
    pub fn hooks_in_flight(&self) -> usize {
        self.hooks_in_flight.load(Ordering::Acquire)
    }

    /// What the last look at the database found.
    pub fn health(&self) -> Health {
        self.health.now()
    }

    /// Whether new hooks are refused because the node is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether the node should be sent hooks, or why not.
    ///
    /// # Errors
    /// The reason, for operations.
    pub fn readiness(&self) -> Result<(), String> {
        if self.is_draining() {
            return Err("draining".to_owned());
        }
        match self.health.now() {
            Health::Ready => Ok(()),
            Health::NotReady(reason) => Err(reason),
        }
    }

    /// What operations see of the mailboxes.
    pub fn mailboxes(&self) -> Vec<MailboxShown> {
        let mut shown = self.actors().mailboxes();
        shown.push(self.notifier.mailbox());
        shown
    }

    /// One order as operations see it, with its newest events or those before an arrival; `None` when it is
    /// unknown.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be asked.
    pub async fn order_view(&self, order_id: OrderId, before: Option<Uuid>) -> Result<Option<OrderView>, StoreError> {
        self.database
            .run(async move |database| orders_view::order_view(&database, &order_id, before).await)
            .await
    }
}

/// A running node.
pub struct App {
    /// Where hooks arrive.
    pub hook_addr: SocketAddr,
    /// Where operations look.
    pub ops_addr: SocketAddr,
    node: web::Data<Node>,
    servers: [ServerHandle; 2],
    election: LeaderElection,
    notifier_arbiter: actix_rt::Arbiter,
    drain_deadline: Duration,
}

impl App {
    /// Starts everything and returns once both listeners accept connections. Must be called inside an
    /// actix system; database and Telegram work runs on `io`.
    ///
    /// # Errors
    /// Settings that cannot work, or an address that cannot be bound. A database that is away is no
    /// error: the node starts, is not ready, and refuses hooks until it comes.
    pub async fn start(args: &ServeArgs, io: &tokio::runtime::Handle) -> anyhow::Result<Self> {
        args.validate()?;
        let prometheus = crate::metrics::start().context("starting the metrics recorder")?;
        io.spawn(crate::metrics::upkeep(prometheus.clone()));
        let name: Arc<str> = args.node_name().into();
        let database = Database::open(
            &DatabaseSettings {
                url: args.database.database_url.clone(),
                node: name.to_string(),
                pool_size: args.pool_size.get(),
            },
            io.clone(),
        )?;
        let health = HealthMonitor::start(database.clone()).await;
        io.spawn(prune_bodies(database.clone(), args.raw_body_days));
        let commits = Arc::default();
        let store = Arc::new(PostgresOrderStore::new(database.clone(), Arc::clone(&name)));
        let store = Arc::new(MeasuredStore::new(store, Arc::clone(&commits)));
        let threads = args.threads();
        let system = SystemSettings {
            orders: OrderSettings {
                queue: args.order_queue.get(),
                idle: args.order_idle,
            },
            persistence: PersistenceSettings {
                actors: threads,
                ..PersistenceSettings::default()
            },
            answer_time: args.answer_deadline,
            rules: Rules {
                assembly_time: TimeDelta::from_std(args.assembly_time)?,
            },
        };
        let messenger = telegram::messenger(&telegram_settings(args), io.clone())?;
        let election = LeaderElection::start(&database, Arc::clone(&name));
        // A thread of its own: texts are rendered on it, and hooks shall not wait for that.
        let notifier_arbiter = actix_rt::Arbiter::new();
        let notifier = NotifierHandle::start(
            &notifier_arbiter.handle(),
            PacingSettings {
                overall_per_second: args.telegram_per_second.get(),
                chat_pause: args.telegram_chat_pause,
                group_per_minute: args.telegram_group_per_minute.get(),
            },
            Arc::new(PostgresOutbox::new(database.clone())),
            messenger,
            election.leadership(),
        );
        election.depends_on(notifier.pulse());
        let alarms = AlarmSettings {
            every: args.alarm_interval,
            repeat_horizon: args.repeat_horizon,
            outbox_limit: args.outbox_limit,
        };
        io.spawn(alarms::watch(
            alarms,
            database.clone(),
            notifier.clone(),
            election.leadership(),
            election.outages(),
        ));
        let bot = telegram::bot(&telegram_settings(args), POLL_TIMEOUT)?;
        let has_bot = bot.is_some();
        if let Some(bot) = bot {
            let staff_bot = StaffBot {
                bot,
                database: database.clone(),
                orders: PostgresOrderStore::new(database.clone(), Arc::clone(&name)),
                notifier: notifier.clone(),
                leadership: election.leadership(),
                time_zone: args.time_zone,
            };
            io.spawn(staff_bot.run());
        }
        let wake = {
            let notifier = notifier.clone();
            Arc::new(move || notifier.wake())
        };
        let limits = Limits {
            answer_deadline: args.answer_deadline,
            outbox_limit: args.outbox_limit,
            order_queue: system.orders.queue,
            commit_queue: system.persistence.queue * system.persistence.actors,
        };
        let node = web::Data::new(Node {
            name,
            actors: OnceLock::new(),
            tokens: ClientTokens::new(&args.client_tokens),
            answer_deadline: args.answer_deadline,
            prometheus,
            notifier,
            has_bot,
            live: Live::new(limits, commits, Counts::start(&database), database.connections()),
            access: OpsAccess::new(&args.ops_token),
            database,
            health,
            draining: AtomicBool::new(false),
            hooks_in_flight: AtomicUsize::new(0),
        });
        let (thread, mut started) = tokio::sync::mpsc::unbounded_channel();
        let hook_node = node.clone();
        let hook_server = HttpServer::new(move || {
            // Called by each thread as it starts. One that replaces a thread that died finds nobody here.
            let _ = thread.send(actix_rt::Arbiter::current());
            WebApp::new()
                .app_data(hook_node.clone())
                .configure(routes::hook::configure)
        })
        .workers(threads)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(Duration::from_secs(5))
        .shutdown_timeout(args.drain_deadline.as_secs().max(1))
        .disable_signals()
        .bind(args.hook_addr)
        .with_context(|| format!("binding ORDERHOOK_HOOK_ADDR {}", args.hook_addr))?;
        let ops_node = node.clone();
        let ops_server = HttpServer::new(move || {
            WebApp::new()
                .app_data(ops_node.clone())
                .configure(routes::ops::configure)
        })
        .workers(1)
        .keep_alive(KEEP_ALIVE)
        .on_connect(live::give_up_silent_readers)
        .shutdown_timeout(1)
        .disable_signals()
        .bind(args.ops_addr)
        .with_context(|| format!("binding ORDERHOOK_OPS_ADDR {}", args.ops_addr))?;
        let hook_addr = bound(&hook_server.addrs(), args.hook_addr);
        let ops_addr = bound(&ops_server.addrs(), args.ops_addr);

        let hook_server = hook_server.run();
        let hook_handle = hook_server.handle();
        actix_rt::spawn(hook_server);
        let mut arbiters = Vec::with_capacity(threads);
        while arbiters.len() < threads {
            arbiters.push(started.recv().await.context("a thread for hooks did not start")?);
        }
        let actors = Actors::start(system, &arbiters, store, &(wake as NoticesWritten));
        // Set once, here.
        let _ = node.actors.set(actors);
        io.spawn(live::sampler::run(node.clone()));
        let ops_server = ops_server.run();
        let servers = [hook_handle, ops_server.handle()];
        actix_rt::spawn(ops_server);
        tracing::info!(node = %node.name, hooks = %hook_addr, operations = %ops_addr, "serving");
        Ok(Self {
            hook_addr,
            ops_addr,
            node,
            servers,
            election,
            notifier_arbiter,
            drain_deadline: args.drain_deadline,
        })
    }

    /// Drains and ends: new hooks get 503 at once, hooks in flight are answered, then actors and
    /// batches run empty. Returns whether all of that was done by the deadline; it takes hardly longer.
    pub async fn stop(self) -> bool {
        let deadline = Instant::now() + self.drain_deadline;
        tracing::info!("draining");
        self.node.draining.store(true, Ordering::Release);
        while self.node.hooks_in_flight.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let drained = self.node.actors().drain(deadline).await;
        // What is on its way to Telegram arrives and is recorded while this node still leads, or the next
        // leader would send it again; the rest waits for that one.
        let silent = self.node.notifier.finish(deadline).await;
        self.election.release().await;
        // Whoever looks at the page has seen the node drain; an open stream would hold its listener.
        self.node.live.end();
        // Answers are written to their end and idle connections closed. A caller that does not read its
        // answer has until the deadline as well, and is cut off then: that is its own doing.
        let closed = join_all(self.servers.iter().map(|server| server.stop(true)));
        let last_answers = deadline.max(Instant::now() + LAST_ANSWERS);
        if tokio::time::timeout_at(last_answers.into(), closed).await.is_err() {
            tracing::warn!("connections whose callers read nothing were cut off");
        }
        self.notifier_arbiter.stop();
        self.node.live.hooks.tell_refused();
        tracing::info!(drained, silent, "stopped");
        drained && silent
    }
}

/// Longer than nginx and others keep their side open, so that nobody writes into a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Even when the deadline has passed, answers that are ready are written.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

fn telegram_settings(args: &ServeArgs) -> TelegramSettings {
    TelegramSettings {
        token: Some(args.telegram_token.clone()),
        api_url: args.telegram_api_url.clone(),
        time_zone: args.time_zone,
        request_timeout: args.telegram_timeout,
    }
}

/// How often raw bodies that are too old are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);

/// Forgets raw bodies that are older than the configured time. Every node does it; what one has pruned
/// the others do not find any more.
async fn prune_bodies(database: Database, days: u32) {
    let mut every = tokio::time::interval(PRUNE_EVERY);
    loop {
        every.tick().await;
        let before = Utc::now() - TimeDelta::days(i64::from(days));
        match journal::prune(&database, before).await {
            Ok(0) => {}
            Ok(pruned) => tracing::info!(pruned, days, "old raw bodies were forgotten"),
            Err(error) => tracing::warn!(%error, "old raw bodies could not be forgotten yet"),
        }
    }
}

/// The address that was really bound: port 0 means any.
fn bound(addrs: &[SocketAddr], asked: SocketAddr) -> SocketAddr {
    addrs.first().copied().unwrap_or(asked)
}
