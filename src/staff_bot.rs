//! Staff subscribe and ask by themselves: the bot's commands, read by long polling.
//!
//! Only the leader polls: Telegram allows one consumer per token. Answers go out through the notifier, so
//! that they keep to Telegram's limits and to the order of the chat.

use std::time::{Duration, Instant};

use chrono::Utc;
use chrono_tz::Tz;
use orderhook_actors::notifier_actor::{Leadership, NotifierHandle};
use orderhook_actors::ports::{OrderStore, Rendered, StoreError};
use orderhook_domain::ids::OrderId;
use teloxide::Bot;
use teloxide::payloads::GetUpdatesSetters;
use teloxide::requests::Requester;
use teloxide::types::{AllowedUpdate, Message, UpdateKind};
use tokio::sync::watch;

use crate::db::order_store::PostgresOrderStore;
use crate::db::outbox::outbox_state;
use crate::db::{Database, chats, invites};
use crate::telegram::staff::{Said, StaffCommand, order_now};

/// How long Telegram keeps a poll open when nothing was said.
const POLL_SECONDS: u32 = 20;
/// A request of long polling takes at most so long.
pub const POLL_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a poll that failed.
const PAUSE: Duration = Duration::from_secs(3);
/// How often a node that is no leader looks whether it has become one.
const LOOK: Duration = Duration::from_secs(1);

/// Answers what staff say.
pub struct StaffBot {
    /// With a client that waits for [`POLL_TIMEOUT`].
    pub bot: Bot,
    /// Subscriptions and orders.
    pub database: Database,
    /// Reads orders as they are now.
    pub orders: PostgresOrderStore,
    /// Sends the answers.
    pub notifier: NotifierHandle,
    /// Whether this node polls.
    pub leadership: watch::Receiver<Option<Leadership>>,
    /// For delivery windows.
    pub time_zone: Tz,
}

impl StaffBot {
    /// Polls while this node is the leader, until the election ends.
    pub async fn run(self) {
        let mut offset = 0;
        while self.leadership.has_changed().is_ok() {
            let leads = self
                .leadership
                .borrow()
                .is_some_and(|leadership| leadership.is_fresh(Instant::now()));
            if !leads {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let poll = self
                .bot
                .get_updates()
                .offset(offset)
                .timeout(POLL_SECONDS)
                .allowed_updates(vec![AllowedUpdate::Message]);
            let updates = match poll.await {
                Ok(updates) => updates,
                Err(error) => {
                    tracing::warn!(%error, "what staff say cannot be read now");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            for update in updates {
                // Telegram repeats what was not confirmed by a higher offset.
                offset = offset.max(update.id.as_offset());
                if let UpdateKind::Message(message) = &update.kind {
                    self.answer(message).await;
                }
            }
        }
    }

    async fn answer(&self, message: &Message) {
        let Some(command) = message.text().and_then(StaffCommand::parse) else {
            return;
        };
        let (chat_id, to) = (message.chat.id.0, i64::from(message.id.0));
        let reply = match self.reply(command, chat_id, to).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(%error, "a question of staff could not be answered");
                Said::Trouble.reply(to)
            }
        };
        if self.notifier.reply(chat_id, reply).is_none() {
            tracing::warn!("too many answers to staff wait; one was dropped");
        }
    }

    async fn reply(&self, command: StaffCommand, chat_id: i64, to: i64) -> Result<Rendered, StoreError> {
        let said = match command {
            StaffCommand::Start(None) | StaffCommand::Help => Said::Help,
            StaffCommand::Start(Some(code)) => match invites::redeem(&self.database, &code, chat_id).await? {
                None => Said::BadCode,
                Some(redeemed) => {
                    self.notifier.wake();
                    let store = Some(redeemed.store_id).filter(|store| store != chats::EVERY_STORE);
                    Said::Subscribed {
                        store,
                        role: redeemed.role,
                        waiting: redeemed.added.waiting,
                    }
                }
            },
            StaffCommand::Stop => Said::Stopped {
                subscriptions: chats::remove_all(&self.database, chat_id).await?,
            },
            StaffCommand::Status => {
                let state = outbox_state(&self.database).await?;
                Said::Status {
                    pending: state.pending,
                    oldest_minutes: state.oldest_seconds / 60,
                }
            }
            StaffCommand::Order(order_id) => match self.order(&order_id, chat_id, to).await? {
                Some(reply) => return Ok(reply),
                None => Said::UnknownOrder { order_id },
            },
        };
        Ok(said.reply(to))
    }

    /// An order as it is now, if this chat is told about its store.
    async fn order(&self, order_id: &str, chat_id: i64, to: i64) -> Result<Option<Rendered>, StoreError> {
        let Ok(order_id) = OrderId::parse(order_id) else {
            return Ok(None);
        };
        let Some(order) = self.orders.load(&order_id).await? else {
            return Ok(None);
        };
        let Some(document) = &order.document else {
            return Ok(None);
        };
        if !chats::is_told_about(&self.database, chat_id, document.store_id.as_str()).await? {
            return Ok(None);
        }
        Ok(order_now(&order, self.time_zone, Utc::now(), to))
    }
}
