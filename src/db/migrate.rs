//! Brings the database to the current schema; safe when several nodes do it at once.

use orderhook_actors::ports::StoreError;

use crate::db::{Database, store_error};

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

/// Guards the migrations; refinery has no lock of its own. The number is "orderhoo" in ASCII.
const MIGRATION_LOCK: i64 = 0x6f72_6465_7268_6f6f;

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database is away or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed, or one that was applied before has been edited since.
    #[error("a migration failed: {0}")]
    Migration(#[from] refinery::Error),
}

/// The schema version that this build needs.
#[must_use]
pub fn expected_version() -> i32 {
    embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(refinery::Migration::version)
        .max()
        .unwrap_or(0)
}

/// Applies what is missing and returns how many migrations that were. A second caller waits until
/// the first is done and then finds nothing to do.
///
/// # Errors
/// [`MigrateError`]; every migration is a transaction, so a failed one leaves nothing behind.
pub async fn migrate(database: &Database) -> Result<usize, MigrateError> {
    let mut client = database.dedicated_connection().await?;
    let failed = |error: tokio_postgres::Error| MigrateError::Store(store_error(&error));
    // This session may wait for the other node's migrations, and may take its time for its own.
    client
        .batch_execute("SET lock_timeout = 0; SET statement_timeout = 0")
        .await
        .map_err(failed)?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await
        .map_err(failed)?;
    let report = embedded::migrations::runner().run_async(&mut client).await?;
    // Dropping the client ends the session, and with it the lock.
    Ok(report.applied_migrations().len())
}

/// The schema version that the database has; `None` when it was never migrated.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn current_version(database: &Database) -> Result<Option<i32>, StoreError> {
    database
        .limited(async |client| {
            let statement = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
            let exists: bool = client.query_one(statement, &[]).await?.get(0);
            if !exists {
                return Ok(None);
            }
            let newest = "SELECT max(version) FROM refinery_schema_history";
            let row = client.query_one(newest, &[]).await?;
            Ok(row.get(0))
        })
        .await
}
