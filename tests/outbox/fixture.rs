//! Orders, events and notices as the commit writes them, without the way through the hooks.

use std::time::Duration;

use orderhook::db::outbox::PostgresOutbox;
use orderhook_actors::ports::{Outbox, Peek, Settled, SettledAs, WaitingNotice};
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::support::database::TestDatabase;

pub(crate) const EPOCH: i64 = 7;

pub(crate) struct Fixture {
    pub(crate) database: TestDatabase,
    pub(crate) client: Client,
    pub(crate) outbox: PostgresOutbox,
}

/// A row of `notices` as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) chat_id: Option<i64>,
    pub(crate) state: String,
    pub(crate) attempts: i32,
    pub(crate) last_error: Option<String>,
    pub(crate) message_id: Option<i64>,
}

impl Fixture {
    /// An empty outbox whose leader has the epoch [`EPOCH`].
    pub(crate) async fn create() -> Self {
        let database = TestDatabase::create().await;
        let client = database.client().await;
        let outbox = PostgresOutbox::new(database.open());
        let fixture = Self {
            database,
            client,
            outbox,
        };
        fixture.set_epoch(EPOCH).await;
        fixture
    }

    pub(crate) async fn set_epoch(&self, epoch: i64) {
        let set = "UPDATE sender_leader SET epoch = $1";
        self.client.execute(set, &[&epoch]).await.unwrap();
    }

    pub(crate) async fn subscribe(&self, store: &str, role: &str, chat_id: i64) {
        let add = "INSERT INTO chats (store_id, role, chat_id) VALUES ($1, $2, $3)";
        self.client.execute(add, &[&store, &role, &chat_id]).await.unwrap();
    }

    pub(crate) async fn order(&self, order_id: &str, status: &str) {
        let add = "INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, memory) \
                   VALUES ($1, 1, 'N' || $1, 'S', $2, false, false, '{}')";
        self.client.execute(add, &[&order_id, &status]).await.unwrap();
    }

    /// One event with its facts, to be told to these roles and chats.
    pub(crate) async fn event(&self, order_id: &str, kind: &str, told: &[(&str, Option<i64>)]) -> Vec<i64> {
        let delivery_id = Uuid::now_v7();
        let facts = match kind {
            "new" => r#"{"kind": "new", "lines": [], "line_count": 0}"#.to_owned(),
            "changed" => r#"{"kind": "changed", "difference": {}, "line_change_count": 0}"#.to_owned(),
            other => format!(r#"{{"kind": "{other}"}}"#),
        };
        let record = "INSERT INTO order_arrivals (delivery_id, order_id, event, received_at, outcome, node, notice) \
                      VALUES ($1, $2, 'created', now(), 'applied', 'test', $3::text::jsonb)";
        self.client
            .execute(record, &[&delivery_id, &order_id, &facts])
            .await
            .unwrap();
        let mut ids = Vec::new();
        for (role, chat_id) in told {
            let tell = "INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state) \
                        VALUES ($1, $2, 'S', $3, $4, $5, CASE WHEN $4::bigint IS NULL THEN 'no_chat' ELSE 'pending' END) \
                        RETURNING notice_id";
            let values: [&(dyn ToSql + Sync); 5] = [&delivery_id, &order_id, role, chat_id, &kind];
            let row = self.client.query_one(tell, &values).await.unwrap();
            ids.push(row.get(0));
        }
        ids
    }

    /// A new, open order that one picker chat is to be told.
    pub(crate) async fn waits_for(&self, order_id: &str, chat_id: i64) -> i64 {
        self.order(order_id, "new").await;
        self.event(order_id, "new", &[("pickers", Some(chat_id))]).await[0]
    }

    pub(crate) async fn peek(&self) -> Vec<WaitingNotice> {
        self.outbox.peek(peek()).await.unwrap()
    }

    pub(crate) async fn claim(&self, chat_id: i64, ids: &[i64]) {
        self.outbox.claim(EPOCH, chat_id, ids.to_vec()).await.unwrap();
    }

    pub(crate) async fn settle(&self, chat_id: i64, ids: &[i64], result: SettledAs) {
        let settled = Settled {
            epoch: EPOCH,
            notice_ids: ids.to_vec(),
            chat_id,
            result,
        };
        self.outbox.settle(settled).await.unwrap();
    }

    pub(crate) async fn stored(&self, notice_id: i64) -> Stored {
        let find = "SELECT chat_id, state, attempts, last_error, message_id FROM notices WHERE notice_id = $1";
        let row = self.client.query_one(find, &[&notice_id]).await.unwrap();
        Stored {
            chat_id: row.get(0),
            state: row.get(1),
            attempts: row.get(2),
            last_error: row.get(3),
            message_id: row.get(4),
        }
    }

    pub(crate) async fn execute(&self, statement: &str) -> u64 {
        self.client.execute(statement, &[]).await.unwrap()
    }
}

/// Everything that waits, for up to 28 chats.
pub(crate) fn peek() -> Peek {
    Peek {
        except_chats: Vec::new(),
        served_chats: Vec::new(),
        chats: 28,
        per_chat: 60,
    }
}

pub(crate) fn sent(message_id: i64) -> SettledAs {
    SettledAs::Sent { message_id }
}

pub(crate) fn retry(after: Duration, maybe_sent: bool) -> SettledAs {
    SettledAs::Retry {
        after,
        error: "a test said so".to_owned(),
        maybe_sent,
    }
}

pub(crate) fn gone() -> SettledAs {
    SettledAs::ChatGone {
        error: "blocked".to_owned(),
    }
}

pub(crate) fn ids(waiting: &[WaitingNotice]) -> Vec<i64> {
    waiting.iter().map(|notice| notice.notice_id).collect()
}
