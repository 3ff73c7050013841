//! What operations are told in their chats. Pure: the words are in `templates/ops.html`.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use orderhook_actors::ports::Rendered;

use super::markup::plain;
use crate::db::chats::Role;

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
    /// Telegram refuses a chat's message again and again, in a way that nobody has foreseen.
    ChatStuck,
    /// Notices wait too long.
    OutboxOld,
}

impl AlarmKind {
    /// Every kind.
    const ALL: [Self; 8] = [
        Self::UnansweredCreated,
        Self::Conflict,
        Self::Announced,
        Self::Rejected,
        Self::NoChat,
        Self::ChatDisabled,
        Self::ChatStuck,
        Self::OutboxOld,
    ];

    /// The word of `ops_alarms.sql`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnansweredCreated => "unanswered_created",
            Self::Conflict => "conflict",
            Self::Announced => "announced",
            Self::Rejected => "rejected",
            Self::NoChat => "no_chat",
            Self::ChatDisabled => "chat_disabled",
            Self::ChatStuck => "chat_stuck",
            Self::OutboxOld => "outbox_old",
        }
    }

    /// The kind that a word of `ops_alarms.sql` stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What an alarm is about, as a reader knows it.
struct Subject {
    /// An order, or a store.
    id: String,
    /// Whose chat it is, or would be.
    role: Option<Role>,
    chat_id: Option<String>,
}

impl Subject {
    /// `8001 pickers` for a chat that is lacking, `501 8001 pickers` for one that is there, else an id.
    fn of(kind: AlarmKind, subject: &str) -> Self {
        let (chat_id, whose) = match kind {
            AlarmKind::NoChat => (None, subject),
            AlarmKind::ChatDisabled | AlarmKind::ChatStuck => match subject.split_once(' ') {
                Some((chat_id, whose)) => (Some(chat_id.to_owned()), whose),
                None => (None, subject),
            },
            _ => (None, ""),
        };
        let (id, role) = whose.rsplit_once(' ').unwrap_or((subject, ""));
        Self {
            id: id.to_owned(),
            role: Role::parse(role),
            chat_id,
        }
    }
}

/// One kind of alarm with what it is about.
struct Alarm {
    kind: AlarmKind,
    named: Vec<Subject>,
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
            named: subjects
                .iter()
                .take(MAX_NAMED)
                .map(|subject| Subject::of(kind, subject))
                .collect(),
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
        use AlarmKind::{Announced, ChatDisabled, ChatStuck, Conflict, NoChat, OutboxOld, Rejected, UnansweredCreated};
        let mut alarms: Vec<(AlarmKind, String)> = [
            (Conflict, "H2"),
            (Conflict, "<H1>"),
            (UnansweredCreated, "H3"),
            (Announced, "H4"),
            (NoChat, "8001 pickers"),
            (NoChat, "57 store"),
            (ChatDisabled, "-100123 8001 pickers"),
            (ChatStuck, "501 * ops"),
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
