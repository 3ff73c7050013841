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

use crate::db::chats::{ONE_AT_A_TIME, OTHERS_ARE_TOLD};
use crate::db::{Database, store_error};

mod told;

use told::Told;

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
            for row in &rows {
                let notice_id: i64 = row.get("notice_id");
                match waiting_notice(row) {
                    Ok(notice) => waiting.push(notice),
                    // Such a row would stand before its chat for ever.
                    Err(Untold::Pruned) => {
                        tracing::error!(notice_id, "a notice cannot be told: its facts were pruned");
                        let give_up = "UPDATE notices SET state = 'failed', last_error = 'the facts were pruned' \
                                       WHERE notice_id = $1 AND state = 'pending'";
                        client
                            .execute(give_up, &[&notice_id])
                            .await
                            .map_err(|error| store_error(&error))?;
                    }
                    // A newer node may have written it, and will tell it when it leads.
                    Err(Untold::Unreadable(reason)) => {
                        tracing::error!(notice_id, reason, "a notice cannot be read by this build");
                        let later = "UPDATE notices SET last_error = $2, not_before = now() + interval '1 minute' \
                                     WHERE notice_id = $1 AND state = 'pending'";
                        client
                            .execute(later, &[&notice_id, &reason])
                            .await
                            .map_err(|error| store_error(&error))?;
                    }
                }
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
            let told = Told::find(&transaction, &settled.notice_ids)
                .await
                .map_err(|error| store_error(&error))?;
            settle(&transaction, &settled)
                .await
                .map_err(|error| store_error(&error))?;
            transaction.commit().await.map_err(|error| store_error(&error))?;
            told.log(&settled);
            Ok(())
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
            database
                .limited(async |client| {
                    let transaction = client.transaction().await?;
                    let adopted = adopt(&transaction).await?;
                    transaction.commit().await?;
                    Ok(adopted)
                })
                .await
        })
    }
}

/// Puts right what was committed at the same moment as somebody subscribed, left, or was refused.
async fn adopt(transaction: &Transaction<'_>) -> Result<u64, tokio_postgres::Error> {
    // What waits for a chat that nobody reads any more is told to the others of its role or waits for the
    // next one, like everything else of a chat that leaves.
    let covered = "SELECT FROM chats c WHERE c.chat_id = n.chat_id AND c.role <> 'ops' \
                   AND c.store_id IN (n.store_id, '*') AND c.disabled_at IS NULL";
    let orphan = format!("n.state = 'pending' AND n.claimed_at IS NULL AND NOT EXISTS ({covered})");
    let told_by_others = format!("DELETE FROM notices n WHERE {orphan} AND {OTHERS_ARE_TOLD}");
    transaction.execute(&told_by_others, &[]).await?;
    let waits_again = format!("UPDATE notices n SET state = 'no_chat', chat_id = NULL WHERE {orphan}");
    transaction.execute(&waits_again, &[]).await?;
    // One row per event and chat, whatever the roles.
    let give = "UPDATE notices n SET chat_id = given.chat_id, state = 'pending' FROM ( \
             SELECT DISTINCT ON (w.delivery_id, c.chat_id) w.notice_id, c.chat_id \
             FROM notices w \
             JOIN orders o ON o.order_id = w.order_id AND o.status IN ('new', 'paid') \
             JOIN chats c ON c.role = w.role AND c.store_id IN (w.store_id, '*') AND c.disabled_at IS NULL \
             WHERE w.state = 'no_chat' \
               AND NOT EXISTS (SELECT FROM notices t WHERE t.delivery_id = w.delivery_id AND t.chat_id = c.chat_id) \
             ORDER BY w.delivery_id, c.chat_id, w.notice_id \
         ) AS given WHERE n.notice_id = given.notice_id";
    let adopted = transaction.execute(give, &[]).await?;
    // A chat that was told in its other role has been told.
    let told_already = "DELETE FROM notices n USING chats c, notices t \
         WHERE n.state = 'no_chat' AND c.role = n.role AND c.store_id IN (n.store_id, '*') AND c.disabled_at IS NULL \
           AND t.delivery_id = n.delivery_id AND t.chat_id = c.chat_id";
    transaction.execute(told_already, &[]).await?;
    Ok(adopted)
}

/// Why a row of the outbox tells nothing.
enum Untold {
    /// Its facts are older than the raw bodies are kept.
    Pruned,
    /// This build does not understand them.
    Unreadable(String),
}

/// A row of `outbox_peek.sql`.
fn waiting_notice(row: &Row) -> Result<WaitingNotice, Untold> {
    let unreadable = |error: &dyn std::error::Error| Untold::Unreadable(error.to_string());
    let facts: Option<Json<Notice>> = row.try_get("notice").map_err(|error| unreadable(&error))?;
    let Json(notice) = facts.ok_or(Untold::Pruned)?;
    let number: Option<&str> = row.get("number");
    Ok(WaitingNotice {
        notice_id: row.get("notice_id"),
        chat_id: row.get("chat_id"),
        order_id: OrderId::parse(row.get("order_id")).map_err(|error| unreadable(&error))?,
        number: number.map(|number| OrderNumber(number.into())),
        store_id: StoreId::parse(row.get("store_id")).map_err(|error| unreadable(&error))?,
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
            transaction.batch_execute(ONE_AT_A_TIME).await?;
            let disable =
                "UPDATE chats SET disabled_at = now(), disabled_reason = $2 WHERE chat_id = $1 AND disabled_at IS NULL";
            transaction.execute(disable, &[chat_id, error]).await?;
            let wait_again = format!(
                "UPDATE notices n SET state = 'no_chat', chat_id = NULL, claimed_by = NULL, claimed_at = NULL, last_error = $2 \
                 FROM orders o WHERE n.chat_id = $1 AND n.state = 'pending' AND o.order_id = n.order_id \
                   AND o.status IN ('new', 'paid') AND NOT {OTHERS_ARE_TOLD}"
            );
            transaction.execute(&wait_again, &[chat_id, error]).await?;
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
}

/// Counts the outbox. Only waiting rows are touched.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn outbox_state(database: &Database) -> Result<OutboxState, StoreError> {
    let statement = "SELECT count(*) AS pending, \
                            COALESCE(extract(epoch FROM now() - min(created_at)), 0)::bigint AS oldest_seconds \
                     FROM notices WHERE state = 'pending'";
    database
        .limited(async |client| {
            let statement = client.prepare_cached(statement).await?;
            let row = client.query_one(&statement, &[]).await?;
            Ok(OutboxState {
                pending: row.get("pending"),
                oldest_seconds: row.get("oldest_seconds"),
            })
        })
        .await
}
