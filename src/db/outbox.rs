//! The outbox port on PostgreSQL.

use std::time::Duration;

use deadpool_postgres::Transaction;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orderhook_actors::ports::{Outbox, OutboxError, Peek, RecentSend, Settled, SettledAs, StoreError, WaitingNotice};
use orderhook_domain::ids::{OrderId, OrderNumber, StoreId};
use orderhook_domain::notice::Notice;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use crate::db::{Database, store_error};

const PEEK: &str = include_str!("../../sql/queries/outbox_peek.sql");

/// [`Outbox`] on the tables of `sql/migrations`.
#[derive(Debug, Clone)]
pub struct PostgresOutbox {
    database: Database,
}

impl PostgresOutbox {
    /// An outbox on this database.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Database work whose every failure asks for the same: try again soon.
    fn run<T, F, Work>(&self, work: F) -> BoxFuture<'static, Result<T, OutboxError>>
    where
        F: FnOnce(Database) -> Work,
        Work: Future<Output = Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        let work = self.database.run(work);
        async move { work.await.map_err(|error| OutboxError::Unavailable(error.to_string())) }.boxed()
    }
}

impl Outbox for PostgresOutbox {
    fn peek(&self, request: Peek) -> BoxFuture<'static, Result<Vec<WaitingNotice>, OutboxError>> {
        self.run(async move |database| {
            let client = database.connection().await?;
            let statement = client.prepare_cached(PEEK).await.map_err(|error| store_error(&error))?;
            let rows = client
                .query(&statement, &[&request.except_chats, &request.chats, &request.per_chat])
                .await
                .map_err(|error| store_error(&error))?;
            let mut waiting = Vec::with_capacity(rows.len());
            let mut without_facts = Vec::new();
            for row in &rows {
                match waiting_notice(row) {
                    Ok(notice) => waiting.push(notice),
                    Err(reason) => {
                        without_facts.push(row.get::<_, i64>("notice_id"));
                        tracing::error!(%reason, "a notice cannot be told: its facts are gone");
                    }
                }
            }
            // Such a row would stand before its chat for ever.
            let give_up =
                "UPDATE notices SET state = 'failed', last_error = 'the facts are gone' WHERE notice_id = ANY($1)";
            if !without_facts.is_empty() {
                client
                    .execute(give_up, &[&without_facts])
                    .await
                    .map_err(|error| store_error(&error))?;
            }
            Ok(waiting)
        })
    }

    fn claim(&self, epoch: i64, notice_ids: Vec<i64>) -> BoxFuture<'static, Result<(), OutboxError>> {
        let expected = notice_ids.len() as u64;
        let claimed = self.run(async move |database| {
            let mut client = database.connection().await?;
            let transaction = client.transaction().await.map_err(|error| store_error(&error))?;
            let claim = "UPDATE notices SET claimed_by = $1, claimed_at = now(), attempts = attempts + 1 \
                         WHERE notice_id = ANY($2) AND state = 'pending' \
                           AND EXISTS (SELECT FROM sender_leader WHERE epoch = $1)";
            let claim = transaction
                .prepare_cached(claim)
                .await
                .map_err(|error| store_error(&error))?;
            let rows = transaction
                .execute(&claim, &[&epoch, &notice_ids])
                .await
                .map_err(|error| store_error(&error))?;
            if rows == expected {
                transaction.commit().await.map_err(|error| store_error(&error))?;
            }
            Ok(rows == expected)
        });
        async move {
            claimed
                .await
                .and_then(|all| if all { Ok(()) } else { Err(OutboxError::NotLeader) })
        }
        .boxed()
    }

    fn settle(&self, settled: Settled) -> BoxFuture<'static, Result<(), OutboxError>> {
        self.run(async move |database| {
            let mut client = database.connection().await?;
            let transaction = client.transaction().await.map_err(|error| store_error(&error))?;
            settle(&transaction, &settled)
                .await
                .map_err(|error| store_error(&error))?;
            transaction.commit().await.map_err(|error| store_error(&error))
        })
    }

    fn recent(&self) -> BoxFuture<'static, Result<Vec<RecentSend>, OutboxError>> {
        self.run(async |database| {
            let client = database.connection().await?;
            // One message may have told several notices.
            let statement = "SELECT DISTINCT chat_id, message_id, \
                                    (extract(epoch FROM now() - sent_at) * 1000)::bigint AS ago_millis \
                             FROM notices WHERE state = 'sent' AND sent_at > now() - interval '1 minute'";
            let rows = client
                .query(statement, &[])
                .await
                .map_err(|error| store_error(&error))?;
            let recent = |row: &Row| RecentSend {
                chat_id: row.get("chat_id"),
                ago: Duration::from_millis(u64::try_from(row.get::<_, i64>("ago_millis")).unwrap_or_default()),
            };
            Ok(rows.iter().map(recent).collect())
        })
    }

    fn adopt(&self) -> BoxFuture<'static, Result<u64, OutboxError>> {
        self.run(async |database| {
            let client = database.connection().await?;
            let statement = "UPDATE notices n SET chat_id = c.chat_id, state = 'pending' FROM chats c, orders o \
                 WHERE n.state = 'no_chat' AND c.role = n.role AND c.store_id IN (n.store_id, '*') \
                   AND c.disabled_at IS NULL AND o.order_id = n.order_id AND o.status IN ('new', 'paid') \
                   AND NOT EXISTS (SELECT FROM notices t WHERE t.delivery_id = n.delivery_id AND t.chat_id = c.chat_id)";
            client.execute(statement, &[]).await.map_err(|error| store_error(&error))
        })
    }
}

/// A row of `outbox_peek.sql`, or why it tells nothing.
fn waiting_notice(row: &Row) -> Result<WaitingNotice, String> {
    let facts: Option<Json<Notice>> = row.try_get("notice").map_err(|error| error.to_string())?;
    let Json(notice) = facts.ok_or("they were pruned")?;
    let id = |column: &str| row.try_get::<_, &str>(column).map_err(|error| error.to_string());
    let number: Option<&str> = row.get("number");
    Ok(WaitingNotice {
        notice_id: row.get("notice_id"),
        chat_id: row.get("chat_id"),
        order_id: OrderId::parse(id("order_id")?).map_err(|error| error.to_string())?,
        number: number.map(|number| OrderNumber(number.into())),
        store_id: StoreId::parse(id("store_id")?).map_err(|error| error.to_string())?,
        notice,
        created_at: row.get("created_at"),
        attempts: row.get("attempts"),
        maybe_sent: row.get("maybe_sent"),
        first_message_id: row.get("first_message_id"),
    })
}

/// Every change is fenced by the claim: what a newer leader has claimed is its own.
async fn settle(transaction: &Transaction<'_>, settled: &Settled) -> Result<(), tokio_postgres::Error> {
    let (epoch, ids, chat_id) = (&settled.epoch, &settled.notice_ids, &settled.chat_id);
    match &settled.result {
        SettledAs::Sent { message_id } => {
            let sent = "UPDATE notices SET state = 'sent', sent_at = now(), message_id = $3, not_before = NULL, last_error = NULL \
                        WHERE notice_id = ANY($2) AND claimed_by = $1 AND state = 'pending'";
            transaction.execute(sent, &[epoch, ids, message_id]).await?;
        }
        SettledAs::ProbablySent { error } => {
            let sent = "UPDATE notices SET state = 'sent', sent_at = now(), not_before = NULL, last_error = $3 \
                        WHERE notice_id = ANY($2) AND claimed_by = $1 AND state = 'pending'";
            transaction.execute(sent, &[epoch, ids, error]).await?;
        }
        SettledAs::Retry { after, error } => {
            let millis = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
            let retry = "UPDATE notices SET claimed_by = NULL, claimed_at = NULL, last_error = $3, \
                                            not_before = now() + $4::bigint * interval '1 millisecond' \
                         WHERE notice_id = ANY($2) AND claimed_by = $1 AND state = 'pending'";
            transaction.execute(retry, &[epoch, ids, error, &millis]).await?;
        }
        SettledAs::ChatGone { error } => {
            let disable =
                "UPDATE chats SET disabled_at = now(), disabled_reason = $2 WHERE chat_id = $1 AND disabled_at IS NULL";
            transaction.execute(disable, &[chat_id, error]).await?;
            let wait_again = "UPDATE notices n SET state = 'no_chat', chat_id = NULL, claimed_by = NULL, claimed_at = NULL, last_error = $2 \
                 FROM orders o WHERE n.chat_id = $1 AND n.state = 'pending' AND o.order_id = n.order_id \
                   AND o.status IN ('new', 'paid') AND NOT EXISTS ( \
                     SELECT FROM chats c WHERE c.role = n.role AND c.store_id IN (n.store_id, '*') AND c.disabled_at IS NULL)";
            transaction.execute(wait_again, &[chat_id, error]).await?;
            let fail = "UPDATE notices SET state = 'failed', last_error = $2 WHERE chat_id = $1 AND state = 'pending'";
            transaction.execute(fail, &[chat_id, error]).await?;
        }
        SettledAs::ChatMoved { to } => {
            let known = "DELETE FROM chats old USING chats new WHERE old.chat_id = $1 AND new.chat_id = $2 \
                           AND new.store_id = old.store_id AND new.role = old.role";
            transaction.execute(known, &[chat_id, to]).await?;
            transaction
                .execute("UPDATE chats SET chat_id = $2 WHERE chat_id = $1", &[chat_id, to])
                .await?;
            let told = "DELETE FROM notices old USING notices new WHERE old.chat_id = $1 AND new.chat_id = $2 \
                          AND new.delivery_id = old.delivery_id AND old.state = 'pending'";
            transaction.execute(told, &[chat_id, to]).await?;
            let move_on = "UPDATE notices SET chat_id = $2, claimed_by = NULL, claimed_at = NULL, not_before = NULL \
                           WHERE chat_id = $1 AND state = 'pending'";
            transaction.execute(move_on, &[chat_id, to]).await?;
        }
    }
    Ok(())
}

/// How full the outbox is, for the gauges and for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct OutboxState {
    /// Notices that wait to be sent.
    pub pending: i64,
    /// The age of the oldest of them, in seconds.
    pub oldest_seconds: i64,
    /// Notices of open orders that wait for a chat.
    pub without_chat: i64,
    /// Chats that Telegram refuses.
    pub disabled_chats: i64,
}

/// Counts the outbox. Only waiting rows are touched.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn outbox_state(database: &Database) -> Result<OutboxState, StoreError> {
    let client = database.connection().await?;
    let statement = "SELECT count(*) FILTER (WHERE state = 'pending') AS pending, \
               COALESCE(extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'pending')), 0)::bigint AS oldest_seconds, \
               count(*) FILTER (WHERE state = 'no_chat') AS without_chat, \
               (SELECT count(DISTINCT chat_id) FROM chats WHERE disabled_at IS NOT NULL) AS disabled_chats \
         FROM notices WHERE state IN ('pending', 'no_chat')";
    let statement = client
        .prepare_cached(statement)
        .await
        .map_err(|error| store_error(&error))?;
    let row = client
        .query_one(&statement, &[])
        .await
        .map_err(|error| store_error(&error))?;
    Ok(OutboxState {
        pending: row.get("pending"),
        oldest_seconds: row.get("oldest_seconds"),
        without_chat: row.get("without_chat"),
        disabled_chats: row.get("disabled_chats"),
    })
}
