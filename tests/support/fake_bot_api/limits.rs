//! Telegram's limits on sending ("My bot is hitting limits", Bots FAQ). Pure: time is an argument.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What may be sent, in any period of that length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Messages in all in a second.
    pub(crate) overall_per_second: usize,
    /// Messages to one chat in a second.
    pub(crate) chat_per_second: usize,
    /// Messages to one group (a negative id) in a minute.
    pub(crate) group_per_minute: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            overall_per_second: 30,
            chat_per_second: 1,
            group_per_minute: 20,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Holds messages to the limits. Only accepted ones count.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    limits: Option<Limits>,
    overall: VecDeque<Instant>,
    chats: HashMap<i64, VecDeque<Instant>>,
}

impl Meter {
    pub(crate) fn set(&mut self, limits: Option<Limits>) {
        self.limits = limits;
    }

    /// Counts a message, or says after how many whole seconds it may come again.
    pub(crate) fn admit(&mut self, chat_id: i64, now: Instant) -> Result<(), u64> {
        let chat = self.chats.entry(chat_id).or_default();
        forget(&mut self.overall, SECOND, now);
        forget(chat, MINUTE, now);
        if let Some(limits) = self.limits {
            let mut wait = room(&self.overall, limits.overall_per_second, SECOND, now);
            wait = wait.max(room(chat, limits.chat_per_second, SECOND, now));
            if chat_id < 0 {
                wait = wait.max(room(chat, limits.group_per_minute, MINUTE, now));
            }
            if !wait.is_zero() {
                return Err(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
            }
        }
        self.overall.push_back(now);
        chat.push_back(now);
        Ok(())
    }
}

fn forget(sent: &mut VecDeque<Instant>, period: Duration, now: Instant) {
    while sent.front().is_some_and(|at| now.duration_since(*at) >= period) {
        sent.pop_front();
    }
}

/// How long until fewer than `most` were sent in the last `period`.
fn room(sent: &VecDeque<Instant>, most: usize, period: Duration, now: Instant) -> Duration {
    let Some(oldest) = sent.len().checked_sub(most).and_then(|index| sent.get(index)) else {
        return Duration::ZERO;
    };
    period.saturating_sub(now.duration_since(*oldest))
}
