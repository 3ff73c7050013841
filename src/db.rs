//! PostgreSQL: connections, and the adapters that the actors use through their ports.
//!
//! Connections are driven by the runtime given in [`Database::open`]: one driven by an HTTP worker would
//! stall with it. Only the persistence actors have connections of their own, each driven on its actor's thread:
//! their answers wake nobody else. Every other call of an adapter runs as a task of that runtime,
//! so that a caller who goes away never cancels a statement that was sent.

pub mod attention;
mod batch;
pub mod chats;
mod connect;
pub mod health;
pub mod invites;
pub mod journal;
pub mod leader;
pub mod migrate;
pub mod ops_actions;
pub mod order_store;
pub mod orders_view;
pub mod outbox;
mod pipeline;
pub mod stock;
mod stored_json;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Object, Pool, PoolError};
use futures_util::future::BoxFuture;
use orderhook_actors::ports::StoreError;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::db::connect::{CONNECT, Demoted, Servers};
use crate::db::pipeline::Pipeline;

/// How to reach PostgreSQL.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// A URL or key-value string; of several hosts the writable one is used.
    pub url: SecretString,
    /// Shown in `pg_stat_activity`.
    pub node: String,
    /// The most pooled connections.
    pub pool_size: usize,
}

/// Why a database cannot be used at all: a fault of the settings, not of the moment.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseSettingsError {
    /// The URL cannot be parsed. Its text is not repeated: it may hold a password.
    #[error("DATABASE_URL is no PostgreSQL connection string: {0}")]
    Url(#[source] tokio_postgres::Error),
    /// The pool cannot be built.
    #[error("the connection pool cannot be built: {0}")]
    Pool(#[source] deadpool_postgres::BuildError),
}

/// A pool of connections to the writable server.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    /// The pools made by [`Database::with_own_pool`], for whoever counts connections.
    writers: Arc<Mutex<Vec<Pool>>>,
    servers: Servers,
    demoted: Demoted,
    /// What [`Database::pipelined`] uses.
    pipeline: Pipeline,
    io: tokio::runtime::Handle,
}

/// What operations see of a pool, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct PoolShown {
    /// `shared`, or `writers` for those of the persistence actors.
    pub pool: &'static str,
    /// Connections that are open.
    pub open: usize,
    /// Those of them that nobody uses now.
    pub available: usize,
    /// How many may be open.
    pub bound: usize,
    /// Who waits for one.
    pub waited_for: usize,
}

impl PoolShown {
    fn of(pool: &'static str, pools: &[Pool]) -> Self {
        let mut shown = Self {
            pool,
            open: 0,
            available: 0,
            bound: 0,
            waited_for: 0,
        };
        for status in pools.iter().map(Pool::status) {
            shown.open += status.size;
            shown.available += status.available;
            shown.bound += status.max_size;
            shown.waited_for += status.waiting;
        }
        shown
    }
}

/// A server that has not answered by then stands still: its own limit of a statement has passed.
const STATEMENT_LIMIT: Duration = Duration::from_secs(6);

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database")
            .field("pool", &self.pool.status())
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Prepares the pool; the first connection is made when it is needed.
    ///
    /// # Errors
    /// [`DatabaseSettingsError`].
    pub fn open(settings: &DatabaseSettings, io: tokio::runtime::Handle) -> Result<Self, DatabaseSettingsError> {
        let given: tokio_postgres::Config = settings
            .url
            .expose_secret()
            .parse()
            .map_err(DatabaseSettingsError::Url)?;
        // A lock is waited for shortly: whoever holds it is a batch of another node. The limit of a
        // statement ends before its commit begins, so that it can never cancel a COMMIT.
        let limits = "-c lock_timeout=500 -c statement_timeout=5000 -c idle_in_transaction_session_timeout=5000";
        // The statements are few, prepared once and look rows up by key: one plan fits every call,
        // and a plan made while a table was still empty must not scan it when it has grown, nor gather all in a
        // bitmap for the first of them. None of them may take more than one core from those that hooks wait for.
        let plans = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off \
             -c jit=off -c max_parallel_workers_per_gather=0";
        let options = format!("{limits} {plans} {}", given.get_options().unwrap_or_default());
        let name = format!("orderhook {}", settings.node);
        let servers = Servers::new(&given, &options, &name, tls());
        let demoted = Demoted::default();
        let pool = connect::pool(&servers, &demoted, settings.pool_size).map_err(DatabaseSettingsError::Pool)?;
        Ok(Self {
            pool,
            writers: Arc::default(),
            servers,
            demoted,
            pipeline: Pipeline::default(),
            io,
        })
    }

    /// A pooled connection. Call it from a task of [`Database::run`] only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn connection(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| pool_error(&error))
    }

    /// Does something on a pooled connection, for at most six seconds. Call it from a task of
    /// [`Database::run`] only.
    ///
    /// # Errors
    /// What the failed statement asks for; [`StoreError::Transient`] when the server stands still. It goes on
    /// with what it was sent; only the connection is given up, so that nobody waits behind it.
    pub async fn limited<T>(
        &self,
        work: impl AsyncFnOnce(&mut Object) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let mut client = self.connection().await?;
        let Ok(worked) = tokio::time::timeout(STATEMENT_LIMIT, work(&mut client)).await else {
            drop(Object::take(client));
            return Err(stands_still());
        };
        worked.map_err(|error| self.failed(&error))
    }

    /// [`Database::limited`] on the connection that other such calls have statements under way on: what is sent
    /// now follows them there, and has its answer after theirs.
    ///
    /// # Errors
    /// Those of [`Database::limited`]; they may come of a statement that was sent before.
    pub async fn pipelined<T>(
        &self,
        work: impl AsyncFnOnce(&Object) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let shared = self.pipeline.join(self.connection()).await?;
        let result = match tokio::time::timeout(STATEMENT_LIMIT, work(shared.client())).await {
            Ok(worked) => worked.map_err(|error| {
                if is_read_only(&error) {
                    shared.give_up();
                }
                self.failed(&error)
            }),
            Err(_elapsed) => {
                shared.give_up();
                Err(stands_still())
            }
        };
        shared.leave();
        result
    }

    /// What a failed statement asks for.
    fn failed(&self, error: &tokio_postgres::Error) -> StoreError {
        if is_read_only(error) {
            // It was the primary once. Somewhere there may be another one by now.
            self.demoted.now();
        }
        store_error(error)
    }

    /// A connection of its own, for what a pool must not hold: session locks and migrations.
    /// It ends when the client is dropped.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn dedicated_connection(&self) -> Result<tokio_postgres::Client, StoreError> {
        // Time for TCP, TLS and authentication together.
        let connecting = tokio::time::timeout(CONNECT, self.servers.connect());
        let (client, connection) = connecting
            .await
            .map_err(|_| StoreError::Unavailable("connecting takes too long".to_owned()))?
            .map_err(|error| store_error(&error))?;
        self.io.spawn(connect::drive(connection));
        Ok(client)
    }

    /// Runs database work as an own task, to its end, whatever becomes of the returned future.
    pub fn run<T, F, Work>(&self, work: F) -> BoxFuture<'static, Result<T, StoreError>>
    where
        F: FnOnce(Self) -> Work,
        Work: Future<Output = Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        finished(self.io.spawn(work(self.clone())))
    }

    /// The same database behind a pool of its own, of so many connections, driven by whoever uses them.
    ///
    /// # Errors
    /// [`DatabaseSettingsError::Pool`].
    pub fn with_own_pool(&self, size: usize) -> Result<Self, DatabaseSettingsError> {
        let pool = connect::pool(&self.servers, &self.demoted, size).map_err(DatabaseSettingsError::Pool)?;
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        writers.push(pool.clone());
        drop(writers);
        Ok(Self {
            pool,
            pipeline: Pipeline::default(),
            ..self.clone()
        })
    }

    /// [`Database::run`] on the caller's own runtime: the answer wakes no other thread.
    pub fn run_here<T, F, Work>(&self, work: F) -> BoxFuture<'static, Result<T, StoreError>>
    where
        F: FnOnce(Self) -> Work,
        Work: Future<Output = Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        finished(tokio::spawn(work(self.clone())))
    }

    /// The connections of the pool that all share, and those of the pools that writers have for themselves,
    /// together. Each pool counts under its own lock, which whoever takes or returns a connection takes as well.
    #[must_use]
    pub fn connections(&self) -> [PoolShown; 2] {
        let writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        [
            PoolShown::of("shared", std::slice::from_ref(&self.pool)),
            PoolShown::of("writers", &writers),
        ]
    }

    /// The runtime that drives the connections.
    #[must_use]
    pub const fn io(&self) -> &tokio::runtime::Handle {
        &self.io
    }
}

fn is_read_only(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
}

fn stands_still() -> StoreError {
    StoreError::Transient("the database does not answer".to_owned())
}

/// The end of a task of its own, which goes on whatever becomes of the returned future.
fn finished<T: Send + 'static>(
    task: tokio::task::JoinHandle<Result<T, StoreError>>,
) -> BoxFuture<'static, Result<T, StoreError>> {
    Box::pin(async move {
        // A task ends without a result only by a panic or the end of the runtime; in both cases
        // nothing is known of what the database did.
        task.await
            .unwrap_or_else(|error| Err(StoreError::Transient(error.to_string())))
    })
}

/// rustls with the system's trusted certificates. Whether it is used is said by `sslmode`; set
/// `sslmode=require` wherever the network is not your own.
fn tls() -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    MakeRustlsConnect::new(
        ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

fn pool_error(error: &PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => match store_error(error) {
            StoreError::Transient(cause) => StoreError::Unavailable(cause),
            other => other,
        },
        other => StoreError::Unavailable(other.to_string()),
    }
}

/// Whether a statement failed because a delivery of it is stored already.
pub(crate) fn is_stored_already(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|refused| {
        *refused.code() == SqlState::UNIQUE_VIOLATION && refused.constraint() == Some("order_arrivals_pkey")
    })
}

/// What a failed statement asks for.
pub(crate) fn store_error(error: &tokio_postgres::Error) -> StoreError {
    let text = with_causes(error);
    let Some(state) = error.code() else {
        // No answer of the server: the connection is gone, or was never there.
        return StoreError::Transient(text);
    };
    let class = &state.code()[..2];
    if class == "22" || class == "23" {
        StoreError::Data(text)
    } else if *state == SqlState::READ_ONLY_SQL_TRANSACTION
        || *state == SqlState::CANNOT_CONNECT_NOW
        || *state == SqlState::TOO_MANY_CONNECTIONS
        || *state == SqlState::DISK_FULL
        || class == "28"
        || class == "3D"
        || class == "42"
    {
        StoreError::Unavailable(text)
    } else {
        StoreError::Transient(text)
    }
}

/// An error with its causes, without what they quote of the data: it ends in the log (invariant 7).
pub(crate) fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = without_data(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&without_data(error));
        cause = error.source();
    }
    text
}

/// PostgreSQL's DETAIL shows the whole row that it refuses, with the customer and the body; an error of
/// JSON shows the value that it did not expect.
fn without_data(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(refused) = error.downcast_ref::<DbError>() {
        let (severity, message) = (refused.severity(), refused.message());
        return format!("{severity}: {message} (SQLSTATE {})", refused.code().code());
    }
    if let Some(json) = error.downcast_ref::<serde_json::Error>() {
        return format!(
            "{:?} error in JSON at line {} column {}",
            json.classify(),
            json.line(),
            json.column()
        );
    }
    error.to_string()
}
