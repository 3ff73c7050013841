//! The log lines of messages to staff, which say of which hooks they tell.

use deadpool_postgres::Object;
use orderhook_actors::ports::{Settled, SettledAs};
use tokio_postgres::Error;

/// The orders and requests that one message tells of.
pub(super) struct Told {
    order_ids: Vec<String>,
    request_ids: Vec<String>,
}

impl Told {
    /// Looks them up, in the order of the notices.
    pub(super) async fn find(client: &Object, notice_ids: &[i64]) -> Result<Self, Error> {
        let mut told = Self {
            order_ids: Vec::new(),
            request_ids: Vec::new(),
        };
        // An answer to somebody, or news of a chat.
        if notice_ids.is_empty() {
            return Ok(told);
        }
        // As in the lines of commits, the arrival stands for a request that got no id from nginx.
        let statement = "SELECT n.order_id, COALESCE(e.request_id, n.delivery_id::text) \
                         FROM notices n LEFT JOIN order_events e ON e.delivery_id = n.delivery_id \
                         WHERE n.notice_id = ANY($1) ORDER BY n.notice_id";
        let statement = client.prepare_cached(statement).await?;
        for row in client.query(&statement, &[&notice_ids]).await? {
            let order_id: String = row.get(0);
            // One order's notices stand side by side.
            if told.order_ids.last() != Some(&order_id) {
                told.order_ids.push(order_id);
            }
            told.request_ids.push(row.get(1));
        }
        Ok(told)
    }

    /// One line for the message, once its end is recorded.
    pub(super) fn log(&self, settled: &Settled) {
        let (chat_id, notices) = (settled.chat_id, settled.notice_ids.len());
        let (order_ids, request_ids) = (self.order_ids.join(" "), self.request_ids.join(" "));
        match &settled.result {
            SettledAs::Sent { message_id } => {
                tracing::info!(chat_id, notices, order_ids, request_ids, message_id, "staff were told");
            }
            SettledAs::ProbablySent { error } => {
                tracing::warn!(
                    chat_id,
                    notices,
                    order_ids,
                    request_ids,
                    error,
                    "staff were probably told"
                );
            }
            SettledAs::Retry {
                after,
                error,
                maybe_sent,
            } => {
                let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(
                    chat_id,
                    notices,
                    order_ids,
                    request_ids,
                    error,
                    after_ms,
                    maybe_sent,
                    "a message was not sent and is tried again"
                );
            }
            SettledAs::ChatGone { error } => {
                tracing::warn!(
                    chat_id,
                    notices,
                    order_ids,
                    request_ids,
                    error,
                    "a chat takes no messages and was disabled"
                );
            }
            SettledAs::ChatMoved { to } => {
                tracing::warn!(chat_id, to, notices, order_ids, request_ids, "a chat has moved");
            }
        }
    }
}
