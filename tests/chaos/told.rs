//! What staff were told: the Bot API's log, taken apart into what each message says of which order.

use std::net::IpAddr;
use std::time::Instant;

use crate::fake_bot_api::Accepted;
use crate::schedule::NODES;
use crate::stage::telegram_source;

/// What a piece of a message says happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Said {
    New,
    Changed,
    Cancelled,
    /// An order came and was cancelled before anybody was told: one line for all that waited.
    CameAndWent,
}

impl Said {
    /// Whether this tells a notice of that kind.
    pub(crate) fn tells(self, kind: &str) -> bool {
        match self {
            Self::New => kind == "new",
            Self::Changed => kind == "changed",
            Self::Cancelled => kind == "cancelled",
            Self::CameAndWent => true,
        }
    }
}

/// One message has told one chat one thing of one order.
#[derive(Debug, Clone)]
pub(crate) struct Telling {
    pub(crate) chat_id: i64,
    pub(crate) message_id: i64,
    /// The order's number, without which no notice is written.
    pub(crate) number: String,
    pub(crate) said: Said,
    /// When Telegram took the message.
    pub(crate) at: Instant,
    /// The node that has sent it.
    pub(crate) sender: Option<usize>,
    pub(crate) is_answer_lost: bool,
}

/// Everything that was told, and the messages that tell of no order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) tellings: Vec<Telling>,
    pub(crate) strange: Vec<String>,
}

impl Told {
    pub(crate) fn of(messages: &[Accepted]) -> Self {
        let mut told = Self::default();
        for message in messages {
            let said: Vec<_> = message.visible.lines().filter_map(title).collect();
            if said.is_empty() {
                told.strange.push(message.visible.clone());
            }
            told.tellings.extend(said.into_iter().map(|(number, said)| Telling {
                chat_id: message.chat_id,
                message_id: message.message_id,
                number: number.to_owned(),
                said,
                at: message.at,
                sender: message.from.and_then(node),
                is_answer_lost: message.is_answer_lost,
            }));
        }
        told
    }
}

fn node(source: IpAddr) -> Option<usize> {
    (0..NODES).find(|node| telegram_source(*node) == source)
}

/// The number and the news, if this line is the first one of an order's text.
fn title(line: &str) -> Option<(&str, Said)> {
    let (number, news) = line.strip_prefix("№ ")?.split_once(' ')?;
    let beginnings = [
        ("🆕 новый заказ", Said::New),
        ("✏️ заказ изменён", Said::Changed),
        ("❌ заказ отменён, не собирать", Said::CameAndWent),
        ("❌ поступил и уже отменён", Said::CameAndWent),
        ("❌ заказ отменён", Said::Cancelled),
    ];
    let known = beginnings
        .into_iter()
        .find(|(beginning, _)| news.starts_with(beginning));
    known.map(|(_, said)| (number, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_told_from_everything_else() {
        for (line, expected) in [
            ("№ 1042 🆕 новый заказ", Some(("1042", Said::New))),
            ("№ 7 🆕 новый заказ · возможно, повтор", Some(("7", Said::New))),
            ("№ 1042 ✏️ заказ изменён", Some(("1042", Said::Changed))),
            ("№ 1042 ❌ заказ отменён", Some(("1042", Said::Cancelled))),
            (
                "№ 9 ❌ поступил и уже отменён · SM H1 · магазин 57",
                Some(("9", Said::CameAndWent)),
            ),
            (
                "№ 9 ❌ заказ отменён, не собирать · SM H1",
                Some(("9", Said::CameAndWent)),
            ),
            ("SM H1-0001 · магазин 8001", None),
            ("1. 4100017 — 2 × 89,90 ₽", None),
        ] {
            assert_eq!(title(line), expected, "{line}");
        }
    }
}
