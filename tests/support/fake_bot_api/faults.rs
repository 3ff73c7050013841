//! Failures on demand.

use std::time::Duration;

/// What fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Every chat.
    All,
    /// One chat.
    Chat(i64),
    /// getUpdates; only [`Fault::RetryAfter`], which closes every chat.
    Updates,
}

/// How often it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// Until it is healed.
    Always,
    /// So many requests.
    Next(u32),
}

/// How sendMessage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 429 with `retry_after` in seconds; until then every further request is answered 429 as well,
    /// which counts as a violation of a limit.
    RetryAfter(u64),
    /// Nothing happens for so long, then it goes on as usual; not if the client left meanwhile.
    Hang(Duration),
    /// Takes the message at once and answers after so long, which is longer than its sender waits.
    AnswerLate(Duration),
    /// Takes the message at once and answers after so long, for which its sender waits.
    AnswerSlowly(Duration),
    /// Takes the message and closes the connection instead of answering.
    LoseAnswer,
    /// Takes the message and answers with this status of the Bot API.
    TakeThenError(u16),
    /// Closes the connection without taking the message.
    CloseConnection,
    /// Takes the message and breaks off in the middle of a 200.
    BadJson,
    /// This status with the Bot API's JSON.
    ServerError(u16),
    /// This status with the HTML page of a proxy.
    ProxyError(u16),
    /// 403: the user blocked the bot.
    Blocked,
    /// 403: the bot was removed from the group.
    Kicked,
    /// 400: the bot may not write in the group.
    NoRights,
    /// 400: chat not found.
    ChatNotFound,
    /// 400 with a description that no list knows.
    Unknown400,
    /// 400 with `migrate_to_chat_id`.
    MigratedTo(i64),
    /// 401, as for a token that was revoked.
    Unauthorized,
    /// 400: can't parse entities, for every text with markup.
    CannotParse,
    /// 400: message is too long, for every text longer than so many UTF-16 units.
    TooLongOver(usize),
}

/// The failures that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    wanted: Vec<(Scope, Fault, Times)>,
}

impl Faults {
    pub(crate) fn add(&mut self, scope: Scope, fault: Fault, times: Times) {
        self.wanted.push((scope, fault, times));
    }

    pub(crate) fn remove(&mut self, scope: Scope) {
        self.wanted.retain(|(other, ..)| *other != scope);
    }

    /// The failure of the next request to this chat.
    pub(crate) fn take(&mut self, chat_id: i64) -> Option<(Scope, Fault)> {
        self.take_where(|scope| scope == Scope::All || scope == Scope::Chat(chat_id))
    }

    /// The failure of the next getUpdates.
    pub(crate) fn take_of_updates(&mut self) -> Option<Fault> {
        self.take_where(|scope| scope == Scope::Updates).map(|(_, fault)| fault)
    }

    fn take_where(&mut self, matches: impl Fn(Scope) -> bool) -> Option<(Scope, Fault)> {
        let index = self.wanted.iter().rposition(|(scope, ..)| matches(*scope))?;
        let (scope, fault, times) = &mut self.wanted[index];
        let taken = (*scope, *fault);
        if let Times::Next(left) = times {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.wanted.remove(index);
            }
        }
        Some(taken)
    }
}
