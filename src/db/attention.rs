//! What needs a person: stores without a chat, disabled chats, rejects, contradictions, orders that were
//! never created, and what operators did. Read for the page and the gauges by one task per node.

use chrono::{DateTime, Utc};
use orderhook_actors::ports::StoreError;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::db::Database;

const STORES: &str = include_str!("../../sql/queries/stores_without_chat.sql");
const CHATS: &str = "SELECT chat_id, min(disabled_at) AS disabled_at, max(disabled_reason) AS reason, \
            array_agg(store_id || ' ' || role ORDER BY store_id, role) AS told_about \
     FROM chats WHERE disabled_at IS NOT NULL GROUP BY chat_id ORDER BY min(disabled_at) DESC";
const REJECTS: &str = include_str!("../../sql/queries/rejects.sql");
const CONFLICTS: &str = include_str!("../../sql/queries/conflicts.sql");
const ANNOUNCED: &str = include_str!("../../sql/queries/announced.sql");
const ACTIONS: &str = "SELECT acted_at, operator, action, subject, node, result FROM ops_actions \
     ORDER BY action_id DESC LIMIT $1";
const SENDER: &str = "SELECT node, extract(epoch FROM now() - renewed_at)::bigint AS silent_seconds \
     FROM sender_leader WHERE node IS NOT NULL";

/// How many rows of each kind are shown; all are counted.
const SHOWN: usize = 20;

/// What needs a person.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Attention {
    /// Stores that [`Attention::stores_without_chat`] would list without its limit.
    pub stores_without_chat_count: usize,
    /// Stores and roles whose open orders nobody is told about.
    pub stores_without_chat: Vec<StoreWithoutChat>,
    /// Chats that [`Attention::chats_disabled`] would list without its limit.
    pub chats_disabled_count: usize,
    /// Chats that Telegram refuses.
    pub chats_disabled: Vec<DisabledChat>,
    /// Bodies of the last hour that can never be read: their repeats are rejected, too.
    pub fresh_rejects_count: usize,
    /// The newest bodies of the last day that can never be read.
    pub rejects: Vec<Reject>,
    /// Contradictions of the last hour in orders that are still being picked: staff may hold a wrong list.
    pub fresh_conflicts_count: usize,
    /// The newest contradictions of the last day.
    pub conflicts: Vec<ConflictingOrder>,
    /// Orders that [`Attention::announced`] would list without its limit.
    pub announced_count: usize,
    /// Orders of which only later events came, ten minutes to one day ago.
    pub announced: Vec<AnnouncedOrder>,
    /// What operators did last.
    pub actions: Vec<Action>,
    /// Who sends to Telegram, or did last; `None` when nobody ever has.
    pub sender: Option<Sender>,
}

/// The node that sends to Telegram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sender {
    /// Its name.
    pub node: String,
    /// How old its sign of life was; it gives one a second.
    pub silent_seconds: i64,
}

/// A store and role without a chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreWithoutChat {
    /// The store.
    pub store_id: String,
    /// `pickers` or `store`.
    pub role: String,
    /// Notices of open orders that wait, of the newest hundred.
    pub notices: i64,
    /// Since when the oldest of them has.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// A chat that Telegram refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DisabledChat {
    /// Telegram's id of the chat, as text: it does not fit into every reader's numbers.
    pub chat_id: String,
    /// Since when.
    pub disabled_at: DateTime<Utc>,
    /// What Telegram said.
    pub reason: Option<String>,
    /// Its subscriptions: store and role.
    pub told_about: Vec<String>,
}

/// A body that can never be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reject {
    /// Names the arrival.
    pub delivery_id: Uuid,
    /// The order, if that was readable.
    pub order_id: Option<String>,
    /// The canonical event, or `unreadable`.
    pub event: String,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Why: `[{"field": …, "message": …}]`.
    pub errors: Option<Value>,
}

/// An order that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictingOrder {
    /// Which one.
    pub order_id: String,
    /// Its store.
    pub store_id: Option<String>,
    /// Its status.
    pub status: String,
    /// When it came to contradict itself last.
    pub found_at: DateTime<Utc>,
}

/// An order of which created has not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnouncedOrder {
    /// Which one.
    pub order_id: String,
    /// When something last came of it.
    pub updated_at: DateTime<Utc>,
}

/// What an operator did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// When.
    pub acted_at: DateTime<Utc>,
    /// Who.
    pub operator: String,
    /// `replay` or `enable_chat`.
    pub action: String,
    /// The arrival or the chat.
    pub subject: String,
    /// On which node.
    pub node: String,
    /// What came of it; `None` while it is under way.
    pub result: Option<String>,
}

/// Reads it. Every statement has an index of its own and reads what is new, whatever there ever was.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn attention(database: &Database) -> Result<Attention, StoreError> {
    database.limited(async |client| read(client).await).await
}

async fn read(client: &deadpool_postgres::Object) -> Result<Attention, tokio_postgres::Error> {
    let limit = i64::try_from(SHOWN).unwrap_or(i64::MAX);
    let find = async |statement: &str| {
        let statement = client.prepare_cached(statement).await?;
        client.query(&statement, &[&limit]).await
    };
    let find_all = async |statement: &str| {
        let statement = client.prepare_cached(statement).await?;
        client.query(&statement, &[]).await
    };
    let stores = each(&find_all(STORES).await?, |row| {
        Ok(StoreWithoutChat {
            store_id: row.try_get("store_id")?,
            role: row.try_get("role")?,
            notices: row.try_get("notices")?,
            oldest_at: row.try_get("oldest_at")?,
        })
    })?;
    let chats = each(&find_all(CHATS).await?, |row| {
        Ok(DisabledChat {
            chat_id: row.try_get::<_, i64>("chat_id")?.to_string(),
            disabled_at: row.try_get("disabled_at")?,
            reason: row.try_get("reason")?,
            told_about: row.try_get("told_about")?,
        })
    })?;
    let rejected = find(REJECTS).await?;
    let rejects = each(&rejected, |row| {
        Ok(Reject {
            delivery_id: row.try_get("delivery_id")?,
            order_id: row.try_get("order_id")?,
            event: row.try_get("event")?,
            received_at: row.try_get("received_at")?,
            errors: row.try_get("errors")?,
        })
    })?;
    let conflicting = find(CONFLICTS).await?;
    let conflicts = each(&conflicting, |row| {
        Ok(ConflictingOrder {
            order_id: row.try_get("order_id")?,
            store_id: row.try_get("store_id")?,
            status: row.try_get("status")?,
            found_at: row.try_get("found_at")?,
        })
    })?;
    let unannounced = find(ANNOUNCED).await?;
    let announced = each(&unannounced, |row| {
        Ok(AnnouncedOrder {
            order_id: row.try_get("order_id")?,
            updated_at: row.try_get("updated_at")?,
        })
    })?;
    let actions = each(&find(ACTIONS).await?, |row| {
        Ok(Action {
            acted_at: row.try_get("acted_at")?,
            operator: row.try_get("operator")?,
            action: row.try_get("action")?,
            subject: row.try_get("subject")?,
            node: row.try_get("node")?,
            result: row.try_get("result")?,
        })
    })?;
    let sender = each(&find_all(SENDER).await?, |row| {
        Ok(Sender {
            node: row.try_get("node")?,
            silent_seconds: row.try_get("silent_seconds")?,
        })
    })?;
    let mut stores_by_id: Vec<&str> = stores.iter().map(|store| store.store_id.as_str()).collect();
    stores_by_id.dedup();
    Ok(Attention {
        stores_without_chat_count: stores_by_id.len(),
        chats_disabled_count: chats.len(),
        stores_without_chat: shown(stores),
        chats_disabled: shown(chats),
        fresh_rejects_count: counted(&rejected, "fresh")?,
        rejects,
        fresh_conflicts_count: counted(&conflicting, "fresh")?,
        conflicts,
        announced_count: counted(&unannounced, "all")?,
        announced,
        actions,
        sender: sender.into_iter().next(),
    })
}

fn each<T>(
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
) -> Result<Vec<T>, tokio_postgres::Error> {
    rows.iter().map(read).collect()
}

fn shown<T>(mut rows: Vec<T>) -> Vec<T> {
    rows.truncate(SHOWN);
    rows
}

/// A count that every row carries; none without rows.
fn counted(rows: &[Row], column: &str) -> Result<usize, tokio_postgres::Error> {
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(column))?;
    Ok(usize::try_from(count).unwrap_or_default())
}
