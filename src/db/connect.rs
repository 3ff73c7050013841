//! How a connection is made: to whichever of the servers is writable, and never to one that is not any more.
//!
//! The servers of `DATABASE_URL` are asked all at once. One after the other, as the driver does it, a
//! server that is frozen or behind a dead cable would cost the whole time that connecting may take, and the
//! writable one would never be asked. That only one is writable is the failover manager's promise; of
//! two, whichever answers first would be taken.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    BuildError, Connect, Hook, HookError, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime,
};
use futures_util::future::{BoxFuture, select_ok};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::error::DbError;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Error, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a TCP connection may take.
pub(super) const CONNECT: Duration = Duration::from_secs(1);
/// A connection that is not there at once is refused by another node sooner than by waiting.
const WAIT_FOR_CONNECTION: Duration = Duration::from_millis(500);
/// A connection on which nothing has come for so long is probed.
const PROBE_AFTER: Duration = Duration::from_secs(10);
/// The pause between probes; a peer that leaves the first ones unanswered for [`UNRECEIVED`] is gone.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// What was sent and is not received by then ends the connection: the machine is gone.
const UNRECEIVED: Duration = Duration::from_secs(3);

/// The servers, and how to reach each of them.
#[derive(Clone)]
pub(super) struct Servers {
    servers: Arc<[Config]>,
    tls: MakeRustlsConnect,
}

impl Servers {
    /// The servers of a connection string, to be connected to with these options and under this name.
    pub(super) fn new(given: &Config, options: &str, name: &str, tls: MakeRustlsConnect) -> Self {
        let (hosts, addresses, ports) = (
            given.get_hosts().len(),
            given.get_hostaddrs().len(),
            given.get_ports().len(),
        );
        let count = hosts.max(addresses);
        let fits = |number: usize, fewest: usize| number <= fewest || number == count;
        let servers = if count > 0 && fits(hosts, 0) && fits(addresses, 0) && fits(ports, 1) {
            (0..count).map(|index| server(given, index, options, name)).collect()
        } else {
            // Nobody can connect with that; the driver says why.
            Arc::from([given.clone()])
        };
        Self { servers, tls }
    }

    /// A connection to the first server that says it is writable. Whoever is given it spawns [`drive`].
    pub(super) async fn connect(
        &self,
    ) -> Result<
        (
            Client,
            Connection<Socket, impl AsyncRead + AsyncWrite + Unpin + Send + use<>>,
        ),
        Error,
    > {
        let asked = self
            .servers
            .iter()
            .map(|server| Box::pin(server.connect(self.tls.clone())));
        // The others are closed once one is found.
        let (found, _others) = select_ok(asked).await?;
        Ok(found)
    }
}

impl Connect for Servers {
    /// The pool's own settings are those of [`Servers::new`], so nothing of them is used.
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        Box::pin(async move {
            let (client, connection) = self.connect().await?;
            Ok((client, tokio::spawn(drive(connection))))
        })
    }
}

/// One of the servers, which must be writable.
fn server(given: &Config, index: usize, options: &str, name: &str) -> Config {
    let mut server = Config::new();
    match given.get_hosts().get(index) {
        Some(Host::Tcp(host)) => server.host(host),
        Some(Host::Unix(folder)) => server.host_path(folder),
        None => &mut server,
    };
    if let Some(address) = given.get_hostaddrs().get(index) {
        server.hostaddr(*address);
    }
    let ports = given.get_ports();
    if let Some(port) = ports.get(index).or_else(|| ports.first()) {
        server.port(*port);
    }
    if let Some(user) = given.get_user() {
        server.user(user);
    }
    if let Some(password) = given.get_password() {
        server.password(password);
    }
    if let Some(database) = given.get_dbname() {
        server.dbname(database);
    }
    server
        .ssl_mode(given.get_ssl_mode())
        .ssl_negotiation(given.get_ssl_negotiation())
        .channel_binding(given.get_channel_binding())
        .load_balance_hosts(given.get_load_balance_hosts())
        .keepalives(given.get_keepalives())
        .keepalives_idle(PROBE_AFTER)
        .keepalives_interval(PROBE_EVERY)
        .tcp_user_timeout(UNRECEIVED)
        .connect_timeout(CONNECT)
        .application_name(name)
        .options(options)
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    server
}

/// Drives a connection to its end.
pub(super) async fn drive<S>(mut connection: Connection<Socket, S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match std::future::poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) if is_commit_without_standby(&notice) => {
                tracing::error!("somebody cancelled a commit that waited for its standby: it is sent again");
                // The server is about to say that all went well, which nobody must hear.
                return;
            }
            Some(Ok(AsyncMessage::Notice(notice))) => {
                tracing::info!(
                    severity = notice.severity(),
                    message = notice.message(),
                    "PostgreSQL says"
                );
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::warn!(%error, "a connection to the database broke");
                return;
            }
            None => return,
        }
    }
}

/// A commit whose waiting for the standby was cancelled is reported as a success with a warning. Its words
/// are translated; where it comes from is not.
fn is_commit_without_standby(notice: &DbError) -> bool {
    notice.routine() == Some("SyncRepWaitForLSN")
}

/// When a server last refused a write as read-only. Whoever was connected before that may be connected to
/// a primary of the past, also for reading: all pools of the node connect anew.
#[derive(Clone, Default)]
pub(super) struct Demoted(Arc<Mutex<Option<Instant>>>);

impl Demoted {
    /// A server that is connected to has refused a write.
    pub(super) fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn since(&self, connected: Instant) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| connected <= last)
    }

    /// Has a pool close what was connected before, when it would be handed out.
    fn hook(&self) -> Hook {
        let demoted = self.clone();
        Hook::sync_fn(move |_, metrics| {
            if demoted.since(metrics.created) {
                return Err(HookError::message("connected to a server that was writable once"));
            }
            Ok(())
        })
    }
}

/// A pool of such connections, at most so many.
///
/// # Errors
/// The pool cannot be built.
pub(super) fn pool(servers: &Servers, demoted: &Demoted, size: usize) -> Result<Pool, BuildError> {
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    Pool::builder(Manager::from_connect(Config::new(), servers.clone(), recycling))
        .pre_recycle(demoted.hook())
        .max_size(size)
        // The one that was used last knows most statements: on another one a hook would wait some milliseconds,
        // more than for all else, until its statement is planned there, too.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(WAIT_FOR_CONNECTION))
        .create_timeout(Some(CONNECT))
        .recycle_timeout(Some(WAIT_FOR_CONNECTION))
        .build()
}
