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
use teloxide::payloads::GetUpdatesSetters;
use teloxide::requests::Requester;
use teloxide::types::{AllowedUpdate, Message, UpdateKind};
use teloxide::{Bot, RequestError};
use tokio::sync::watch;

use crate::db::order_store::PostgresOrderStore;
use crate::db::outbox::{COUNTED, outbox_state};
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
        // Commands in groups name the bot that they are for.
        let mut name: Option<String> = None;
        while self.leadership.has_changed().is_ok() {
            let leads = self
                .leadership
                .borrow()
                .is_some_and(|leadership| leadership.is_fresh(Instant::now()));
            if !leads {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let Some(own_name) = &name else {
                match self.bot.get_me().await {
                    Ok(me) => name = Some(me.username().to_owned()),
                    Err(error) => self.failed(&error).await,
                }
                continue;
            };
            let poll = self
                .bot
                .get_updates()
                .offset(offset)
                .timeout(POLL_SECONDS)
                .allowed_updates(vec![AllowedUpdate::Message]);
            let updates = match poll.await {
                Ok(updates) => updates,
                Err(error) => {
                    self.failed(&error).await;
                    continue;
                }
            };
            for update in updates {
                // Telegram repeats what was not confirmed by a higher offset.
                offset = offset.max(update.id.as_offset());
                if let UpdateKind::Message(message) = &update.kind {
                    self.answer(message, own_name).await;
                }
            }
        }
    }

    /// A pause, as long as Telegram asks for: then it asks the whole bot, and nothing is sent either.
    async fn failed(&self, error: &RequestError) {
        tracing::warn!(%error, "what staff say cannot be read now");
        if let RequestError::RetryAfter(pause) = error {
            self.notifier.pause(pause.duration());
            tokio::time::sleep(pause.duration()).await;
        } else {
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn answer(&self, message: &Message, own_name: &str) {
        let is_group = message.chat.is_group() || message.chat.is_supergroup();
        let Some(command) = message
            .text()
            .and_then(|text| StaffCommand::parse(text, own_name, is_group))
        else {
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
            StaffCommand::AskStop => Said::SureToStop,
            StaffCommand::Stop => Said::Stopped {
                subscriptions: chats::remove_all(&self.database, chat_id).await?,
            },
            StaffCommand::Status => {
                let state = outbox_state(&self.database).await?;
                Said::Status {
                    pending: state.pending,
                    is_at_least: state.pending >= COUNTED,
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
        let mut order = None;
        if let Ok(order_id) = OrderId::parse(order_id) {
            order = self.orders.load(&order_id).await?;
        }
        if order.is_none()
            && let Some(order_id) = order_of_number(&self.database, order_id.trim_start_matches('№')).await?
        {
            order = self.orders.load(&order_id).await?;
        }
        let Some(order) = order else { return Ok(None) };
        let Some(document) = &order.document else {
            return Ok(None);
        };
        if !chats::is_told_about(&self.database, chat_id, document.store_id.as_str()).await? {
            return Ok(None);
        }
        Ok(order_now(&order, self.time_zone, Utc::now(), to))
    }
}

/// The order that has our number, if any.
async fn order_of_number(database: &Database, number: &str) -> Result<Option<OrderId>, StoreError> {
    let find = "SELECT order_id FROM orders WHERE number = $1";
    let row = database
        .limited(async |client| client.query_opt(find, &[&number]).await)
        .await?;
    Ok(row.and_then(|row| OrderId::parse(row.get(0)).ok()))
}
