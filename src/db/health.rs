//! Whether the database can be written to, looked at once a second and not by whoever asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::db::Database;
use crate::db::migrate::{current_version, expected_version};

/// What the last look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The database answers and has the schema that this build needs.
    Ready,
    /// Why hooks cannot be stored now.
    NotReady(String),
}

/// Looks after the database until it is dropped.
#[derive(Debug)]
pub struct HealthMonitor {
    last: watch::Receiver<Health>,
    task: Arc<tokio::task::JoinHandle<()>>,
}

const EVERY: Duration = Duration::from_secs(1);
/// A database that does not answer this quickly is no database to SM.
const LIMIT: Duration = Duration::from_secs(2);

impl HealthMonitor {
    /// Looks once, then goes on in the background.
    pub async fn start(database: Database) -> Self {
        let (publish, last) = watch::channel(look(&database).await);
        let io = database.io().clone();
        let task = io.spawn(async move {
            let mut every = tokio::time::interval(EVERY);
            every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                let found = look(&database).await;
                publish.send_if_modified(|last| {
                    let changed = *last != found;
                    if changed {
                        match &found {
                            Health::Ready => tracing::info!("the database is ready"),
                            Health::NotReady(reason) => tracing::error!(reason, "hooks cannot be stored"),
                        }
                        *last = found;
                    }
                    changed
                });
            }
        });
        Self {
            last,
            task: Arc::new(task),
        }
    }

    /// What the last look found.
    #[must_use]
    pub fn now(&self) -> Health {
        self.last.borrow().clone()
    }
}

impl Drop for HealthMonitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(database: &Database) -> Health {
    let expected = expected_version();
    let version = database.run(async move |database| current_version(&database).await);
    match tokio::time::timeout(LIMIT, version).await {
        Ok(Ok(Some(version))) if version >= expected => Health::Ready,
        Ok(Ok(Some(version))) => Health::NotReady(format!(
            "the schema is version {version}, this build needs {expected}: run `orderhook migrate`"
        )),
        Ok(Ok(None)) => Health::NotReady("the database has no schema: run `orderhook migrate`".to_owned()),
        Ok(Err(error)) => Health::NotReady(error.to_string()),
        Err(_elapsed) => Health::NotReady("the database does not answer".to_owned()),
    }
}
