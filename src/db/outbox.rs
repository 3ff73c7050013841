//! The outbox port on PostgreSQL.

pub(super) mod settle;
mod told;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Object;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orderhook_actors::metrics::NOTICES_TOTAL;
use orderhook_actors::ports::{Outbox, OutboxError, Peek, RecentSend, Settled, StoreError, WaitingNotice};
use orderhook_domain::ids::{OrderId, OrderNumber, StoreId};
use orderhook_domain::notice::{Notice, NoticeKind};
use tokio_postgres::Row;

use crate::db::Database;
use crate::db::stored_json::StoredJson;

use settle::House;
use told::Told;

const PEEK: &str = include_str!("../../sql/queries/outbox_peek.sql");
const CLAIM: &str = include_str!("../../sql/queries/outbox_claim.sql");
const RECENT: &str = include_str!("../../sql/queries/outbox_recent.sql");
/// What this build cannot read waits so long for a node that can; others of its chat are told meanwhile.
const UNREADABLE_WAITS: TimeDelta = TimeDelta::hours(1);
/// Beyond so many of one chat no further ones are asked for.
const MOST_OF_A_CHAT: i64 = 1000;
/// What is left by then is for the next time: meanwhile chats can hardly come or leave.
const HOUSE_KEPT_FOR: Duration = Duration::from_secs(3);
const STATE: &str = include_str!("../../sql/queries/outbox_state.sql");

/// [`Outbox`] on the tables of `sql/migrations`.
#[derive(Debug, Clone)]
pub struct PostgresOutbox {
    database: Database,
    house: Arc<Mutex<House>>,
}

impl PostgresOutbox {
    /// An outbox on this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            database,
            house: Arc::new(Mutex::new(House::NEW)),
        }
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
        self.run(async move |database| database.limited(async |client| peek(client, &request).await).await)
    }

    fn claim(&self, epoch: i64, chat_id: i64, notice_ids: Vec<i64>) -> BoxFuture<'static, Result<(), OutboxError>> {
        let expected = notice_ids.len() as u64;
        let claimed = self.run(async move |database| {
            database
                .limited(async |client| {
                    let claim = client.prepare_cached(CLAIM).await?;
                    client.execute(&claim, &[&epoch, &chat_id, &notice_ids]).await
                })
                .await
        });
        async move {
            let claimed = claimed.await?;
            if claimed == expected {
                Ok(())
            } else {
                Err(OutboxError::NotMine)
            }
        }
        .boxed()
    }

    fn settle(&self, settled: Settled) -> BoxFuture<'static, Result<(), OutboxError>> {
        self.run(async move |database| {
            let told = database
                .limited(async |client| {
                    let told = Told::find(client, &settled.notice_ids).await?;
                    settle::settle(client, &settled).await?;
                    Ok(told)
                })
                .await?;
            told.log(&settled);
            Ok(())
        })
    }

    fn recent(&self) -> BoxFuture<'static, Result<Vec<RecentSend>, OutboxError>> {
        self.run(async |database| {
            let rows = database.limited(async |client| client.query(RECENT, &[]).await).await?;
            let recent = |row: &Row| RecentSend {
                chat_id: row.get("chat_id"),
                ago: Duration::from_millis(u64::try_from(row.get::<_, i64>("ago_millis")).unwrap_or_default()),
            };
            Ok(rows.iter().map(recent).collect())
        })
    }

    fn keep_house(&self) -> BoxFuture<'static, Result<u64, OutboxError>> {
        let house = Arc::clone(&self.house);
        self.run(async move |database| {
            let began = Instant::now();
            let mut adopted = 0;
            loop {
                let from = *house.lock().unwrap_or_else(PoisonError::into_inner);
                let kept = database
                    .limited(async |client| settle::keep_house(client, from).await)
                    .await?;
                adopted += kept.adopted;
                *house.lock().unwrap_or_else(PoisonError::into_inner) = kept.house;
                if !kept.leaves_some || began.elapsed() >= HOUSE_KEPT_FOR {
                    break;
                }
            }
            Ok(adopted)
        })
    }
}

/// What is left to a newer build takes no place of what can be told: as many more are asked for as the chat has
/// that has the most of it.
async fn peek(client: &Object, request: &Peek) -> Result<Vec<WaitingNotice>, tokio_postgres::Error> {
    let mut left_out = 0;
    loop {
        let per_chat = request.per_chat + left_out;
        let (waiting, left) = readable(client, request, per_chat).await?;
        let mut by_chat = HashMap::<i64, i64>::new();
        for (chat_id, ..) in &left {
            *by_chat.entry(*chat_id).or_default() += 1;
        }
        let left_now = by_chat.into_values().max().unwrap_or_default();
        if left_now <= left_out || per_chat >= MOST_OF_A_CHAT {
            for (_, notice_id, untold) in left {
                tracing::warn!(notice_id, %untold, "a notice is left to a newer build");
            }
            return Ok(waiting);
        }
        left_out = left_now;
    }
}

/// One look: the rows that tell something, and those that a newer build may be able to read, by chat and id.
async fn readable(
    client: &Object,
    request: &Peek,
    per_chat: i64,
) -> Result<(Vec<WaitingNotice>, Vec<(i64, i64, Untold)>), tokio_postgres::Error> {
    let statement = client.prepare_cached(PEEK).await?;
    let rows = client
        .query(
            &statement,
            &[&request.except_chats, &request.chats, &per_chat, &request.served_chats],
        )
        .await?;
    let mut waiting = Vec::with_capacity(rows.len());
    let mut left = Vec::new();
    for row in &rows {
        let untold = match waiting_notice(row) {
            Ok(notice) => {
                waiting.push(notice);
                continue;
            }
            Err(untold) => untold,
        };
        let notice_id: i64 = row.get("notice_id");
        let age = Utc::now() - row.get::<_, DateTime<Utc>>("created_at");
        if matches!(untold, Untold::Unreadable(_)) && age < UNREADABLE_WAITS {
            left.push((row.get("chat_id"), notice_id, untold));
            continue;
        }
        // Such a row would stand before its chat for ever.
        tracing::error!(notice_id, %untold, "a notice cannot be told");
        let give_up = "UPDATE notices SET state = 'failed', last_error = $2 WHERE notice_id = $1 AND state = 'pending'";
        if client.execute(give_up, &[&notice_id, &untold.to_string()]).await? > 0 {
            count(row, "failed");
        }
    }
    Ok((waiting, left))
}

/// Why a row tells nothing.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error("the facts were pruned")]
    Pruned,
    /// A newer node may have written it, and will tell it when it leads.
    #[error("the facts cannot be read: {0}")]
    Unreadable(String),
}

/// A row of `outbox_peek.sql`.
fn waiting_notice(row: &Row) -> Result<WaitingNotice, Untold> {
    let unreadable = |error: &dyn std::error::Error| Untold::Unreadable(error.to_string());
    let facts: Option<StoredJson<Notice>> = row.try_get("notice").map_err(|error| unreadable(&error))?;
    let StoredJson(notice) = facts.ok_or(Untold::Pruned)?;
    let number: Option<&str> = row.get("number");
    Ok(WaitingNotice {
        notice_id: row.get("notice_id"),
        chat_id: row.get("chat_id"),
        order_id: OrderId::parse(row.get("order_id")).map_err(|error| unreadable(&error))?,
        number: number.map(|number| OrderNumber(number.into())),
        store_id: StoreId::parse(row.get("store_id")).map_err(|error| unreadable(&error))?,
        notice,
        created_at: row.get("created_at"),
        waited: Duration::from_millis(u64::try_from(row.get::<_, i64>("waited_millis")).unwrap_or_default()),
        attempts: row.get("attempts"),
        maybe_sent: row.get("maybe_sent"),
        first_message_id: row.get("first_message_id"),
    })
}

/// Counts what became of a row, by its kind; the sender counts what it does by itself.
fn count(row: &Row, outcome: &'static str) {
    let kind: &str = row.get("kind");
    if let Some(kind) = NoticeKind::ALL.into_iter().find(|known| known.as_str() == kind) {
        metrics::counter!(NOTICES_TOTAL, "kind" => kind.as_str(), "outcome" => outcome).increment(1);
    }
}

/// No more than so many waiting notices are counted: an outbox with more of them is in trouble, and its age
/// says how much.
pub const COUNTED: i64 = 20_000;

/// How full the outbox is, for the gauges and for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct OutboxState {
    /// Notices that wait to be sent, at most [`COUNTED`].
    pub pending: i64,
    /// The age of the oldest of them, in seconds.
    pub oldest_seconds: i64,
    /// Notices that wait for a chat, at most [`COUNTED`]; those of orders that are over are dropped after a day.
    pub without_chat: i64,
    /// Chats that Telegram refuses.
    pub disabled_chats: i64,
}

/// Counts the outbox. Only waiting rows are touched, and not more than [`COUNTED`] of each state.
///
/// # Errors
/// [`StoreError`] when the database cannot be asked.
pub async fn outbox_state(database: &Database) -> Result<OutboxState, StoreError> {
    let row = database
        .limited(async |client| {
            let statement = client.prepare_cached(STATE).await?;
            client.query_one(&statement, &[&COUNTED]).await
        })
        .await?;
    Ok(OutboxState {
        pending: row.get("pending"),
        oldest_seconds: row.get("oldest_seconds"),
        without_chat: row.get("without_chat"),
        disabled_chats: row.get("disabled_chats"),
    })
}
