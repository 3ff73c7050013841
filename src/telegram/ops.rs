//! What operations are told in their chats. Pure: the words are in `templates/ops.html`.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use orderhook_actors::ports::Rendered;

use super::markup::plain;

/// The most subjects that are named of one kind; the rest is counted.
const MAX_NAMED: usize = 10;

/// What can be wrong, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// Created was stored, but SM never got its answer (protocol section 5, rule 9).
    UnansweredCreated,
    /// An order contradicts itself (protocol section 5, rule 6).
    Conflict,
    /// Later events came, created did not.
    Announced,
    /// Bodies that can never be read.
    Rejected,
    /// A store with orders has nobody to tell.
    NoChat,
    /// Telegram refuses a chat.
    ChatDisabled,
    /// Notices wait too long.
    OutboxOld,
}

impl AlarmKind {
    /// The kind that a word of `ops_alarms.sql` stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "unanswered_created" => Self::UnansweredCreated,
            "conflict" => Self::Conflict,
            "announced" => Self::Announced,
            "rejected" => Self::Rejected,
            "no_chat" => Self::NoChat,
            "chat_disabled" => Self::ChatDisabled,
            "outbox_old" => Self::OutboxOld,
            _ => return None,
        })
    }
}

/// One kind of alarm with what it is about.
struct Alarm {
    kind: AlarmKind,
    shown: String,
    more: usize,
}

#[derive(Template)]
#[template(path = "telegram/templates/ops.html")]
struct OpsText {
    alarms: Vec<Alarm>,
    outage_seconds: Option<u64>,
    outbox_minutes: u64,
}

/// All alarms of one round in one message; `None` when there are none.
#[must_use]
pub fn alarm_message(
    alarms: &[(AlarmKind, String)],
    outage: Option<Duration>,
    outbox_limit: Duration,
) -> Option<Rendered> {
    if alarms.is_empty() && outage.is_none() {
        return None;
    }
    let mut by_kind = BTreeMap::<AlarmKind, Vec<&str>>::new();
    for (kind, subject) in alarms {
        by_kind.entry(*kind).or_default().push(subject);
    }
    let alarms = by_kind
        .into_iter()
        .map(|(kind, subjects)| Alarm {
            kind,
            shown: subjects.iter().take(MAX_NAMED).copied().collect::<Vec<_>>().join(", "),
            more: subjects.len().saturating_sub(MAX_NAMED),
        })
        .collect();
    let text = OpsText {
        alarms,
        outage_seconds: outage.map(|outage| outage.as_secs()),
        outbox_minutes: outbox_limit.as_secs() / 60,
    };
    // Writing our own values into memory cannot fail.
    let html = text.render().unwrap_or_default().trim_end().to_owned();
    Some(Rendered {
        notice_ids: Vec::new(),
        kinds: Vec::new(),
        plain: plain(&html),
        html,
        reply_to: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alarm_says_what_is_wrong_and_about_what() {
        use AlarmKind::{Announced, ChatDisabled, Conflict, NoChat, OutboxOld, Rejected, UnansweredCreated};
        let mut alarms: Vec<(AlarmKind, String)> = [
            (Conflict, "H2"),
            (Conflict, "<H1>"),
            (UnansweredCreated, "H3"),
            (Announced, "H4"),
            (NoChat, "8001 pickers"),
            (ChatDisabled, "-100123"),
            (OutboxOld, ""),
        ]
        .map(|(kind, subject)| (kind, subject.to_owned()))
        .into();
        alarms.extend((0..13).map(|number| (Rejected, format!("H-R{number}"))));
        let message = alarm_message(&alarms, Some(Duration::from_secs(42)), Duration::from_secs(300)).unwrap();
        insta::assert_snapshot!(message.html);
        assert_eq!(alarm_message(&[], None, Duration::from_secs(300)), None);
    }
}
