//! Who is told about which store.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use orderhook_actors::ports::StoreError;
use serde::Serialize;
use tokio_postgres::types::ToSql;

use crate::db::outbox::settle::{Whose, adopt, give_removed_back, while_chats_stand_still};
use crate::db::{Database, store_error};

/// The store that stands for every store.
pub const EVERY_STORE: &str = "*";

/// What a chat is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// They pick the orders.
    Pickers,
    /// They hand them out.
    Store,
    /// They are told when something is wrong with the service.
    Ops,
}

impl Role {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pickers => "pickers",
            Self::Store => "store",
            Self::Ops => "ops",
        }
    }

    /// The role that a word in the database stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Pickers, Self::Store, Self::Ops]
            .into_iter()
            .find(|role| role.as_str() == word)
    }
}

/// One subscription of a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subscription {
    /// The store, or [`EVERY_STORE`].
    pub store_id: String,
    /// `pickers`, `store` or `ops`.
    pub role: String,
    /// Telegram's id of the chat; negative for groups.
    pub chat_id: i64,
    /// When it was added.
    pub added_at: DateTime<Utc>,
    /// When Telegram said that the bot may not write there any more.
    pub disabled_at: Option<DateTime<Utc>>,
    /// What Telegram said.
    pub disabled_reason: Option<String>,
}

/// What adding a chat did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// Whether it was new, or disabled before.
    pub is_new: bool,
    /// How many notices of open orders had waited for such a chat and are sent to it now; of a flood, the first
    /// of them.
    pub waiting: u64,
}

/// Subscribes a chat. Adding it again enables it again. What waits of orders that are still open, because
/// nobody was subscribed, goes to it; of orders that are over nobody is told any more. The sender goes on with
/// what is left of a flood, long before all of the first part is sent.
///
/// # Errors
/// [`StoreError`]; nothing has changed then.
pub async fn add(database: &Database, store_id: &str, role: Role, chat_id: i64) -> Result<Added, StoreError> {
    database
        .limited(async |client| {
            let transaction = while_chats_stand_still(client).await?;
            let added = add_in(&transaction, store_id, role, chat_id).await?;
            transaction.commit().await?;
            Ok(added)
        })
        .await
}

/// [`add`] in a transaction in which the chats stand still.
pub(super) async fn add_in(
    transaction: &Transaction<'_>,
    store_id: &str,
    role: Role,
    chat_id: i64,
) -> Result<Added, tokio_postgres::Error> {
    let upsert = "INSERT INTO chats AS c (store_id, role, chat_id) VALUES ($1, $2, $3) \
         ON CONFLICT (store_id, role, chat_id) DO UPDATE SET disabled_at = NULL, disabled_reason = NULL \
         WHERE c.disabled_at IS NOT NULL";
    let is_new = transaction
        .execute(upsert, &[&store_id, &role.as_str(), &chat_id])
        .await?
        > 0;
    let role = role.as_str();
    let waiting = adopt(transaction, Whose::Subscriber { store_id, role }).await?.notices;
    Ok(Added { is_new, waiting })
}

/// Ends a subscription and returns whether there was one. What still waits for the chat waits for the next
/// one where nobody else of the role is told the same; the sender goes on with what is left of a flood.
///
/// # Errors
/// [`StoreError`]; nothing has changed then.
pub async fn remove(database: &Database, store_id: &str, role: Role, chat_id: i64) -> Result<bool, StoreError> {
    let delete = "DELETE FROM chats WHERE store_id = $1 AND role = $2 AND chat_id = $3";
    let removed = remove_where(database, chat_id, delete, &[&store_id, &role.as_str(), &chat_id]).await?;
    Ok(removed > 0)
}

/// Ends all subscriptions of a chat and returns how many there were.
///
/// # Errors
/// [`StoreError`]; nothing has changed then.
pub async fn remove_all(database: &Database, chat_id: i64) -> Result<u64, StoreError> {
    remove_where(database, chat_id, "DELETE FROM chats WHERE chat_id = $1", &[&chat_id]).await
}

async fn remove_where(
    database: &Database,
    chat_id: i64,
    delete: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<u64, StoreError> {
    database
        .limited(async |client| {
            let transaction = while_chats_stand_still(client).await?;
            let removed = transaction.execute(delete, parameters).await?;
            give_removed_back(&transaction, chat_id).await?;
            transaction.commit().await?;
            Ok(removed)
        })
        .await
}

/// Whether a chat is told about a store.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn is_told_about(database: &Database, chat_id: i64, store_id: &str) -> Result<bool, StoreError> {
    let client = database.connection().await?;
    let statement =
        "SELECT EXISTS (SELECT FROM chats WHERE chat_id = $1 AND store_id IN ($2, '*') AND disabled_at IS NULL)";
    let row = client
        .query_one(statement, &[&chat_id, &store_id])
        .await
        .map_err(|error| store_error(&error))?;
    Ok(row.get(0))
}

/// Every subscription, by store, role and chat.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn list(database: &Database) -> Result<Vec<Subscription>, StoreError> {
    let client = database.connection().await?;
    let statement = "SELECT store_id, role, chat_id, added_at, disabled_at, disabled_reason \
                     FROM chats ORDER BY store_id, role, chat_id";
    let rows = client
        .query(statement, &[])
        .await
        .map_err(|error| store_error(&error))?;
    Ok(rows
        .iter()
        .map(|row| Subscription {
            store_id: row.get(0),
            role: row.get(1),
            chat_id: row.get(2),
            added_at: row.get(3),
            disabled_at: row.get(4),
            disabled_reason: row.get(5),
        })
        .collect())
}
