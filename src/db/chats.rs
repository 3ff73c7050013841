//! Who is told about which store.

use chrono::{DateTime, Utc};
use orderhook_actors::ports::StoreError;
use serde::Serialize;
use tokio_postgres::Transaction;

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
    /// How many notices of open orders had waited for such a chat and are sent to it now.
    pub waiting: u64,
}

/// Subscribes a chat. Adding it again enables it again. What waits of orders that are still open, because
/// nobody was subscribed, goes to it; what waits of orders that are over is history and stays.
///
/// # Errors
/// [`StoreError`]; nothing has changed then.
pub async fn add(database: &Database, store_id: &str, role: Role, chat_id: i64) -> Result<Added, StoreError> {
    let mut client = database.connection().await?;
    let transaction = client.transaction().await.map_err(|error| store_error(&error))?;
    let added = add_in(&transaction, store_id, role, chat_id)
        .await
        .map_err(|error| store_error(&error))?;
    transaction.commit().await.map_err(|error| store_error(&error))?;
    Ok(added)
}

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
    // A chat with both roles is told once: a notice that it has already is not told to it again, and the
    // row that waited for somebody has found him.
    let told_already = "DELETE FROM notices w USING orders o \
         WHERE w.state = 'no_chat' AND w.role = $2 AND ($1 = '*' OR w.store_id = $1) \
           AND o.order_id = w.order_id AND o.status IN ('new', 'paid') \
           AND EXISTS (SELECT FROM notices t WHERE t.delivery_id = w.delivery_id AND t.chat_id = $3)";
    transaction
        .execute(told_already, &[&store_id, &role.as_str(), &chat_id])
        .await?;
    let give = "UPDATE notices w SET chat_id = $3, state = 'pending' FROM orders o \
         WHERE w.state = 'no_chat' AND w.role = $2 AND ($1 = '*' OR w.store_id = $1) \
           AND o.order_id = w.order_id AND o.status IN ('new', 'paid')";
    let waiting = transaction
        .execute(give, &[&store_id, &role.as_str(), &chat_id])
        .await?;
    Ok(Added { is_new, waiting })
}

/// Ends a subscription and returns whether there was one. What still waits for the chat goes back to
/// waiting for a chat where nobody else of the role is subscribed, and is dropped where others are told.
///
/// # Errors
/// [`StoreError`]; nothing has changed then.
pub async fn remove(database: &Database, store_id: &str, role: Role, chat_id: i64) -> Result<bool, StoreError> {
    let mut client = database.connection().await?;
    let transaction = client.transaction().await.map_err(|error| store_error(&error))?;
    let removed = remove_in(&transaction, store_id, role, chat_id)
        .await
        .map_err(|error| store_error(&error))?;
    transaction.commit().await.map_err(|error| store_error(&error))?;
    Ok(removed)
}

/// Rows that still wait for the chat although none of its subscriptions covers them any more. A row that is
/// being sent at this moment is not touched.
const NOT_COVERED: &str = "n.state = 'pending' AND n.chat_id = $1 AND n.claimed_at IS NULL AND NOT EXISTS ( \
     SELECT FROM chats c WHERE c.chat_id = $1 AND c.role <> 'ops' AND c.store_id IN (n.store_id, '*'))";

async fn remove_in(
    transaction: &Transaction<'_>,
    store_id: &str,
    role: Role,
    chat_id: i64,
) -> Result<bool, tokio_postgres::Error> {
    transaction.batch_execute(ONE_AT_A_TIME).await?;
    let delete = "DELETE FROM chats WHERE store_id = $1 AND role = $2 AND chat_id = $3";
    let removed = transaction
        .execute(delete, &[&store_id, &role.as_str(), &chat_id])
        .await?
        > 0;
    give_back(transaction, chat_id).await?;
    Ok(removed)
}

/// Another chat of the row's store and role has this very event, or will have it: that one is subscribed is
/// not enough, it may have come later.
pub(super) const OTHERS_ARE_TOLD: &str = "EXISTS ( \
     SELECT FROM chats c JOIN notices t ON t.chat_id = c.chat_id \
     WHERE c.role = n.role AND c.store_id IN (n.store_id, '*') AND c.disabled_at IS NULL \
       AND t.delivery_id = n.delivery_id AND t.state IN ('pending', 'sent'))";

/// Two chats that leave at the same moment must not each count on the other one.
pub(super) const ONE_AT_A_TIME: &str = "LOCK TABLE chats IN SHARE ROW EXCLUSIVE MODE";

/// What waits for a chat that no subscription covers any more.
async fn give_back(transaction: &Transaction<'_>, chat_id: i64) -> Result<(), tokio_postgres::Error> {
    let others_are_told = format!("DELETE FROM notices n WHERE {NOT_COVERED} AND {OTHERS_ARE_TOLD}");
    transaction.execute(&others_are_told, &[&chat_id]).await?;
    let waits_again = format!("UPDATE notices n SET chat_id = NULL, state = 'no_chat' WHERE {NOT_COVERED}");
    transaction.execute(&waits_again, &[&chat_id]).await?;
    Ok(())
}

/// Ends all subscriptions of a chat and returns how many there were.
///
/// # Errors
/// [`StoreError`]; nothing has changed then.
pub async fn remove_all(database: &Database, chat_id: i64) -> Result<u64, StoreError> {
    let mut client = database.connection().await?;
    let transaction = client.transaction().await.map_err(|error| store_error(&error))?;
    transaction
        .batch_execute(ONE_AT_A_TIME)
        .await
        .map_err(|error| store_error(&error))?;
    let removed = transaction
        .execute("DELETE FROM chats WHERE chat_id = $1", &[&chat_id])
        .await
        .map_err(|error| store_error(&error))?;
    give_back(&transaction, chat_id)
        .await
        .map_err(|error| store_error(&error))?;
    transaction.commit().await.map_err(|error| store_error(&error))?;
    Ok(removed)
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
