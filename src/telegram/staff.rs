//! What staff may say to the bot, and what it answers. Pure: the words are in `templates/`.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use orderhook_actors::ports::{Rendered, WaitingNotice};
use orderhook_domain::notice::{NewOrder, Notice};
use orderhook_domain::order::Order;

use super::markup::plain;
use super::texts::Texts;
use crate::db::chats::Role;

/// What staff may say to the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaffCommand {
    /// `/start CODE`: subscribe; without a code: say how.
    Start(Option<String>),
    /// `/stop`: ask whether to unsubscribe. A finger may have slipped, or a customer may have written it
    /// into a comment, where it can be tapped.
    AskStop,
    /// `/stop да`: unsubscribe.
    Stop,
    /// `/order ID`: the order as it is now, by SM's id or by our number.
    Order(String),
    /// `/status`: is the bot alive, how old is the oldest notice that waits.
    Status,
    /// Any other command.
    Help,
}

impl StaffCommand {
    /// Reads a message. A command that carries a bot's name (`/stop@bot`) is for that bot, in groups an
    /// unknown one is for another, and what is no command is for nobody here: `None`.
    #[must_use]
    pub fn parse(text: &str, bot_name: &str, is_group: bool) -> Option<Self> {
        let mut words = text.split_whitespace();
        let command = words.next()?.strip_prefix('/')?;
        let command = match command.split_once('@') {
            Some((_, name)) if !name.eq_ignore_ascii_case(bot_name) => return None,
            Some((command, _)) => command,
            None => command,
        };
        let argument = words.next().map(str::to_owned);
        Some(match (command.to_ascii_lowercase().as_str(), argument) {
            ("start", code) => Self::Start(code),
            ("stop", Some(word)) if word.to_lowercase() == "да" => Self::Stop,
            ("stop", _) => Self::AskStop,
            ("order", Some(order_id)) => Self::Order(order_id),
            ("status", _) => Self::Status,
            ("order" | "help", _) => Self::Help,
            _ if is_group => return None,
            _ => Self::Help,
        })
    }
}

/// What the bot answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The chat is subscribed.
    Subscribed {
        /// `None` for every store.
        store: Option<String>,
        /// As what.
        role: Role,
        /// Notices of open orders that had waited for it.
        waiting: u64,
    },
    /// The code is unknown, used or expired.
    BadCode,
    /// Whether the chat shall be unsubscribed is to be said in words.
    SureToStop,
    /// The chat is not subscribed any more.
    Stopped {
        /// How many subscriptions there were.
        subscriptions: u64,
    },
    /// There is no such order, or it is none of this chat's business.
    UnknownOrder {
        /// As asked for.
        order_id: String,
    },
    /// The bot is alive.
    Status {
        /// Notices that wait to be sent.
        pending: i64,
        /// Whether more may wait than were counted.
        is_at_least: bool,
        /// The age of the oldest.
        oldest_minutes: i64,
    },
    /// The database cannot be asked.
    Trouble,
    /// How to use the bot.
    Help,
}

#[derive(Template)]
#[template(path = "telegram/templates/staff.html")]
struct StaffText<'a> {
    said: &'a Said,
}

impl Said {
    /// As a reply to the message with this id.
    #[must_use]
    pub fn reply(&self, to: i64) -> Rendered {
        // Writing our own values into memory cannot fail.
        reply(StaffText { said: self }.render().unwrap_or_default(), to)
    }
}

/// An order as it is now, as a reply; `None` for one whose document has not come.
#[must_use]
pub fn order_now(order: &Order, time_zone: Tz, now: DateTime<Utc>, to: i64) -> Option<Rendered> {
    let document = order.document.as_ref()?;
    // The text of a new order with what it is now in the place of "new".
    let as_new = WaitingNotice {
        notice_id: 0,
        chat_id: 0,
        order_id: order.id.clone(),
        number: order.number.clone(),
        store_id: document.store_id.clone(),
        notice: Notice::New(NewOrder::of(document)),
        created_at: now,
        waited: Duration::ZERO,
        attempts: 0,
        maybe_sent: false,
        first_message_id: None,
    };
    let html = Texts { time_zone }.order_now(&as_new, order.status(), order.conflict);
    Some(reply(html, to))
}

fn reply(html: String, to: i64) -> Rendered {
    Rendered {
        notice_ids: Vec::new(),
        kinds: Vec::new(),
        plain: plain(&html),
        html,
        reply_to: Some(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_and_without_the_bots_own_name() {
        let start = |code: &str| Some(StaffCommand::Start(Some(code.to_owned())));
        for (text, in_private, in_group) in [
            ("/start ABC", start("ABC"), start("ABC")),
            ("/start@Orderhook_Bot  ABC ", start("ABC"), start("ABC")),
            (
                "/START",
                Some(StaffCommand::Start(None)),
                Some(StaffCommand::Start(None)),
            ),
            ("/stop", Some(StaffCommand::AskStop), Some(StaffCommand::AskStop)),
            ("/stop нет", Some(StaffCommand::AskStop), Some(StaffCommand::AskStop)),
            ("/stop ДА", Some(StaffCommand::Stop), Some(StaffCommand::Stop)),
            ("/stop@music_bot да", None, None),
            ("/order@music_bot H1", None, None),
            (
                "/order H1",
                Some(StaffCommand::Order("H1".to_owned())),
                Some(StaffCommand::Order("H1".to_owned())),
            ),
            ("/order", Some(StaffCommand::Help), Some(StaffCommand::Help)),
            ("/status", Some(StaffCommand::Status), Some(StaffCommand::Status)),
            ("/dance", Some(StaffCommand::Help), None),
            ("hello /stop", None, None),
            ("", None, None),
        ] {
            assert_eq!(
                StaffCommand::parse(text, "orderhook_bot", false),
                in_private,
                "{text:?}"
            );
            assert_eq!(StaffCommand::parse(text, "orderhook_bot", true), in_group, "{text:?}");
        }
    }

    #[test]
    fn every_answer_is_a_text_that_staff_understand() {
        let subscribed = |store: Option<&str>, role, waiting| Said::Subscribed {
            store: store.map(str::to_owned),
            role,
            waiting,
        };
        let all = [
            subscribed(Some("8001"), Role::Pickers, 0),
            subscribed(None, Role::Store, 3),
            Said::BadCode,
            Said::SureToStop,
            Said::Stopped { subscriptions: 2 },
            Said::Stopped { subscriptions: 0 },
            Said::UnknownOrder {
                order_id: "<b>H1".to_owned(),
            },
            Said::Status {
                pending: 0,
                is_at_least: false,
                oldest_minutes: 0,
            },
            Said::Status {
                pending: 7,
                is_at_least: false,
                oldest_minutes: 12,
            },
            Said::Status {
                pending: 20_000,
                is_at_least: true,
                oldest_minutes: 95,
            },
            Said::Trouble,
            Said::Help,
        ];
        let texts: Vec<String> = all.iter().map(|said| said.reply(1).html).collect();
        insta::assert_snapshot!(texts.join("\n---\n"));
    }

    #[test]
    fn an_order_is_shown_as_it_is_now() {
        use orderhook_domain::event::{Content, LineContent, LinePrices};
        use orderhook_domain::ids::{OrderId, OrderNumber, ProductId, StoreId};
        use orderhook_domain::money::Kopecks;
        use orderhook_domain::order::Document;
        use orderhook_domain::quantity::Quantity;

        let line = LineContent {
            product_id: ProductId::parse("2200015").unwrap(),
            quantity: Some(Quantity::parse_text("0.742").unwrap()),
            original_quantity: None,
            prices: LinePrices {
                price: Some(Kopecks::new(14_900)),
                ..LinePrices::default()
            },
            weight_grams: None,
            replaced_by: None,
            name: Some("Бананы <спелые>".into()),
        };
        let content = Content {
            lines: vec![line],
            ..Content::default()
        };
        let now = DateTime::UNIX_EPOCH;
        let store = StoreId::parse("8001").unwrap();
        let mut order = Order::unknown(OrderId::parse("H1").unwrap());
        assert_eq!(
            order_now(&order, Tz::Europe__Moscow, now, 1),
            None,
            "created has not come"
        );
        order.number = Some(OrderNumber("1042".into()));
        order.document = Some(Document::from_created(store, &content, now, chrono::TimeDelta::hours(1)).into());
        let mut texts = vec![order_now(&order, Tz::Europe__Moscow, now, 1).unwrap().html];
        order.marks.paid_at = Some(now);
        texts.push(order_now(&order, Tz::Europe__Moscow, now, 1).unwrap().html);
        order.marks.shipped_at = Some(now);
        texts.push(order_now(&order, Tz::Europe__Moscow, now, 1).unwrap().html);
        order.marks.cancelled_at = Some(now);
        order.conflict = true;
        texts.push(order_now(&order, Tz::Europe__Moscow, now, 1).unwrap().html);
        order.marks.delivered_at = Some(now);
        texts.push(order_now(&order, Tz::Europe__Moscow, now, 1).unwrap().html);
        insta::assert_snapshot!(texts.join("\n---\n"));
    }
}
