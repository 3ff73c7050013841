//! What operators did through the operations listener: who, when, what, and what came of it.

use orderhook_actors::ports::StoreError;

use crate::db::Database;
use crate::db::chats::{self, Role};

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionKind {
    /// A stored body was played again.
    Replay,
    /// A chat that Telegram had refused is told again.
    EnableChat,
}

impl ActionKind {
    /// The word in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::EnableChat => "enable_chat",
        }
    }
}

const BEGIN: &str =
    "INSERT INTO ops_actions (operator, action, subject, node) VALUES ($1, $2, $3, $4) RETURNING action_id";
const END: &str = "UPDATE ops_actions SET result = $2 WHERE action_id = $1";

/// Records that somebody is about to do something, before it is done, and returns the number of the record.
///
/// # Errors
/// [`StoreError`]; then it must not be done.
pub async fn begin(
    database: &Database,
    kind: ActionKind,
    operator: &str,
    subject: &str,
    node: &str,
) -> Result<i64, StoreError> {
    let (operator, subject, node) = (operator.to_owned(), subject.to_owned(), node.to_owned());
    database
        .run(async move |database| {
            let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [&operator, &kind.as_str(), &subject, &node];
            let row = database
                .limited(async |client| client.query_one(BEGIN, &values).await)
                .await?;
            Ok(row.get(0))
        })
        .await
}

/// Records what came of it.
///
/// # Errors
/// [`StoreError`]; the record then says nothing of its end.
pub async fn end(database: &Database, action_id: i64, result: &str) -> Result<(), StoreError> {
    let result = result.to_owned();
    database
        .run(async move |database| {
            database
                .limited(async |client| client.execute(END, &[&action_id, &result]).await)
                .await?;
            Ok(())
        })
        .await
}

/// What enabling a chat did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnabledChat {
    /// Subscriptions that work again.
    pub subscriptions: usize,
    /// Notices of open orders that had waited and go to the chat now.
    pub waiting: u64,
}

/// Enables all subscriptions of a chat that Telegram had refused and records who did it, in one
/// transaction; `None` when none of them is disabled.
///
/// # Errors
/// [`StoreError`]; nothing has changed then.
pub async fn enable_chat(
    database: &Database,
    chat_id: i64,
    operator: &str,
    node: &str,
) -> Result<Option<EnabledChat>, StoreError> {
    database
        .limited(async |client| {
            let transaction = client.transaction().await?;
            let disabled = "SELECT store_id, role FROM chats WHERE chat_id = $1 AND disabled_at IS NOT NULL \
                            ORDER BY store_id, role FOR UPDATE";
            let mut enabled = EnabledChat {
                subscriptions: 0,
                waiting: 0,
            };
            for row in transaction.query(disabled, &[&chat_id]).await? {
                // The words come from a column that holds no others.
                if let Some(role) = Role::parse(row.get("role")) {
                    let added = chats::add_in(&transaction, row.get("store_id"), role, chat_id).await?;
                    enabled.subscriptions += 1;
                    enabled.waiting += added.waiting;
                }
            }
            if enabled.subscriptions == 0 {
                return Ok(None);
            }
            let action = ActionKind::EnableChat.as_str();
            let subject = chat_id.to_string();
            let row = transaction
                .query_one(BEGIN, &[&operator, &action, &subject, &node])
                .await?;
            let action_id: i64 = row.get(0);
            let result = format!("{} subscriptions, {} notices", enabled.subscriptions, enabled.waiting);
            transaction.execute(END, &[&action_id, &result]).await?;
            transaction.commit().await?;
            Ok(Some(enabled))
        })
        .await
}
