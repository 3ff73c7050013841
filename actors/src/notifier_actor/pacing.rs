//! When which chat may be written to. Pure: time and chance are arguments.
//!
//! Telegram counts messages as they arrive there, somewhere between the begin and the end of a call.
//! So a chat waits from the end of its last call on, and the windows count every call that is under way
//! or ended within them: whatever the arrival times were, no limit is exceeded.

mod chat;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use chat::{Chat, State, forget_before, insert, is_group};

/// Telegram's limits (Bot API FAQ, "My bot is hitting limits"), a little below them.
#[derive(Debug, Clone, Copy)]
pub struct PacingSettings {
    /// Messages to all chats together in any second.
    pub overall_per_second: usize,
    /// From the end of one message to the begin of the next in the same chat.
    pub chat_pause: Duration,
    /// Messages to one group in any minute.
    pub group_per_minute: usize,
}

impl Default for PacingSettings {
    fn default() -> Self {
        Self {
            overall_per_second: 28,
            chat_pause: Duration::from_millis(1020),
            group_per_minute: 20,
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// A message that takes longer than this arrived long ago or never will; it holds no place of the others.
const SLOW_CALL: Duration = Duration::from_secs(3);
/// The pause after the first failure, doubled up to the last. The last one is what staff wait at worst
/// after Telegram has come back.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// No wait that Telegram asks for is longer in practice; an absurd one must not stop the sender.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// How a call ended, as far as pacing is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Telegram took it, or will never take it: the chat goes on as usual.
    Done,
    /// 429: this chat waits exactly so long.
    RetryAfter(Duration),
    /// It failed in passing: the chat waits ever longer.
    Failed,
}

/// How many chats may not be written to now, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// They had their share of the limits.
    pub by_limits: usize,
    /// Telegram told them to wait.
    pub by_telegram: usize,
    /// Sending to them failed.
    pub by_failures: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Pacing {
    settings: PacingSettings,
    /// Ends of calls within the last second.
    recent: VecDeque<Instant>,
    chats: HashMap<i64, Chat>,
    /// Nothing at all is sent before.
    all_paused_until: Option<Instant>,
    /// How often in a row nothing could be sent to anybody.
    all_failures: u32,
}

impl Pacing {
    /// Nothing was sent yet.
    #[must_use]
    pub fn new(settings: PacingSettings) -> Self {
        Self {
            settings,
            recent: VecDeque::new(),
            chats: HashMap::new(),
            all_paused_until: None,
            all_failures: 0,
        }
    }

    /// How many calls may begin now, over all chats.
    #[must_use]
    pub fn places(&mut self, now: Instant) -> usize {
        if self.all_paused_until.is_some_and(|until| now < until) {
            return 0;
        }
        // After the token was refused one message tries whether it is accepted again.
        if self.all_failures > 0 {
            return 1_usize.saturating_sub(self.under_way());
        }
        forget_before(&mut self.recent, now, SECOND);
        let counts = |chat: &&Chat| matches!(chat.state, State::UnderWay { counts_until } if now < counts_until);
        let counted = self.chats.values().filter(counts).count();
        self.settings
            .overall_per_second
            .saturating_sub(self.recent.len() + counted)
    }

    /// Chats that may not be written to now. Idle ones are forgotten on the way.
    pub fn closed_chats(&mut self, now: Instant) -> Vec<i64> {
        for chat in self.chats.values_mut() {
            forget_before(&mut chat.minute, now, MINUTE);
        }
        self.chats.retain(|_, chat| chat.is_worth_keeping(now));
        self.chats
            .iter()
            .filter(|(chat_id, chat)| !chat.is_open(**chat_id, &self.settings, now))
            .map(|(chat_id, _)| *chat_id)
            .collect()
    }

    /// Chats that had a turn lately, the one whose turn is longest ago first. They come after all others:
    /// however much waits for them, a chat that was silent gets its message at once.
    #[must_use]
    pub fn served(&self) -> Vec<i64> {
        let turn = |(chat_id, chat): (&i64, &Chat)| Some((chat.last_turn?, *chat_id));
        let mut served: Vec<(Instant, i64)> = self.chats.iter().filter_map(turn).collect();
        served.sort_unstable();
        served.into_iter().map(|(_, chat_id)| chat_id).collect()
    }

    /// Whether so many messages, one after the other, fit into what is left of a group's minute. If not,
    /// the group waits until they do. A text that never fits goes when nothing else was sent.
    pub fn has_room(&mut self, chat_id: i64, messages: usize, now: Instant) -> bool {
        let most = self.settings.group_per_minute;
        let Some(chat) = self.chats.get_mut(&chat_id).filter(|_| is_group(chat_id)) else {
            return true;
        };
        forget_before(&mut chat.minute, now, MINUTE);
        let surplus = (chat.minute.len() + messages)
            .saturating_sub(most)
            .min(chat.minute.len());
        let Some(last) = surplus.checked_sub(1).and_then(|index| chat.minute.get(index)) else {
            return true;
        };
        chat.not_before = chat.not_before.max(Some(*last + MINUTE));
        false
    }

    /// The pause between messages to this chat that any number of them can keep.
    #[must_use]
    pub fn even_pause(&self, chat_id: i64) -> Duration {
        let most = u32::try_from(self.settings.group_per_minute.max(1)).unwrap_or(u32::MAX);
        let of_group = if is_group(chat_id) {
            MINUTE / most
        } else {
            Duration::ZERO
        };
        self.settings.chat_pause.max(of_group)
    }

    /// A call to this chat begins, of so many messages one after the other.
    pub fn begin(&mut self, chat_id: i64, messages: usize, now: Instant) {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        let counts_until =
            now + SLOW_CALL + (SLOW_CALL + self.settings.chat_pause) * messages.saturating_sub(1).min(60);
        let chat = self.chats.entry(chat_id).or_default();
        chat.state = State::UnderWay { counts_until };
        chat.last_turn = Some(now);
    }

    /// The call to this chat ended after so many messages. The chat stays closed until that is recorded,
    /// see [`Pacing::free`]. `chance` from 0 to 999 spreads the pauses after failures.
    pub fn end(&mut self, chat_id: i64, now: Instant, messages: usize, ending: Ending, chance: u32) {
        let chat = self.chats.entry(chat_id).or_default();
        chat.state = State::Settling;
        for _ in 0..messages {
            insert(&mut self.recent, now);
            if is_group(chat_id) {
                insert(&mut chat.minute, now);
            }
        }
        chat.told_to_wait = matches!(ending, Ending::RetryAfter(_));
        let pause = match ending {
            Ending::Done => {
                chat.failures = 0;
                let share = chat.share_of_minute(self.settings.group_per_minute, now);
                self.settings.chat_pause.max(share)
            }
            // Whatever is asked for, a clock must be able to hold it.
            Ending::RetryAfter(pause) => pause.min(LONGEST_WAIT).max(self.settings.chat_pause),
            Ending::Failed => {
                chat.failures = chat.failures.saturating_add(1);
                // It may have been taken all the same, and counts there.
                growing_pause(chat.failures, chance).max(self.settings.chat_pause)
            }
        };
        chat.not_before = chat.not_before.max(Some(now + pause));
    }

    /// Nothing is under way to this chat any more, and nothing is left to be recorded.
    pub fn free(&mut self, chat_id: i64) {
        if let Some(chat) = self.chats.get_mut(&chat_id) {
            chat.state = State::Free;
        }
    }

    /// This chat is not written to before the pause is over, whatever else is said of it.
    pub fn hold(&mut self, chat_id: i64, pause: Duration, now: Instant) {
        let chat = self.chats.entry(chat_id).or_default();
        chat.not_before = chat.not_before.max(Some(now + pause));
    }

    /// Nothing can be sent to anybody (the token is refused): all wait, ever longer. What was under way at
    /// the same time and failed for the same reason makes it no longer.
    pub fn pause_all(&mut self, now: Instant, chance: u32) {
        if self.all_paused_until.is_none_or(|until| until <= now) {
            self.all_failures = self.all_failures.saturating_add(1);
            self.all_paused_until = Some(now + growing_pause(self.all_failures, chance));
        }
    }

    /// Telegram asks the whole bot to wait: nothing at all is sent for exactly so long.
    pub fn pause_all_for(&mut self, pause: Duration, now: Instant) {
        // Whatever is asked for, a clock must be able to hold it.
        let until = now + pause.min(LONGEST_WAIT);
        self.all_paused_until = self.all_paused_until.max(Some(until));
    }

    /// Telegram has answered: the token is accepted.
    pub fn resume_all(&mut self) {
        self.all_failures = 0;
    }

    /// The pause that this chat keeps from now on, if any.
    #[must_use]
    pub fn pause_of(&self, chat_id: i64, now: Instant) -> Duration {
        let until = self.chats.get(&chat_id).and_then(|chat| chat.not_before);
        until
            .max(self.all_paused_until)
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// This node has become the leader: what was sent before is told by [`Pacing::seed`], by itself and by
    /// others alike. Answers and alarms of others have no rows and are not known: at worst Telegram says 429
    /// to one group, which then waits as long as it says. Calls of this node that are still under way, and pauses,
    /// stay. Others may have had messages under way, too: nothing is sent for one second.
    pub fn begin_epoch(&mut self, now: Instant) {
        self.recent.clear();
        for chat in self.chats.values_mut().filter(|chat| chat.state == State::Free) {
            chat.minute.clear();
        }
        self.all_paused_until = self.all_paused_until.max(Some(now + SECOND));
    }

    /// A message that was sent so long ago counts.
    pub fn seed(&mut self, chat_id: i64, ago: Duration, now: Instant) {
        let Some(then) = now.checked_sub(ago) else { return };
        let chat = self.chats.entry(chat_id).or_default();
        chat.not_before = chat.not_before.max(Some(then + self.settings.chat_pause));
        if is_group(chat_id) && ago < MINUTE {
            insert(&mut chat.minute, then);
        }
        if ago < SECOND {
            insert(&mut self.recent, then);
        }
    }

    /// Calls under way, or ended and not yet recorded.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.chats.values().filter(|chat| chat.state != State::Free).count()
    }

    /// Chats that may not be written to now although nothing is under way to them.
    #[must_use]
    pub fn paused(&self, now: Instant) -> Paused {
        let mut paused = Paused::default();
        for (chat_id, chat) in &self.chats {
            if chat.state != State::Free || chat.is_open(*chat_id, &self.settings, now) {
                continue;
            }
            let waits = chat.waits(now);
            if waits && chat.told_to_wait {
                paused.by_telegram += 1;
            } else if waits && chat.failures > 0 {
                paused.by_failures += 1;
            } else {
                paused.by_limits += 1;
            }
        }
        paused
    }

    /// Chats that something is known of.
    #[must_use]
    pub fn known(&self) -> usize {
        self.chats.len()
    }
}

/// 1 s, 2 s, 4 s … 30 s, of which a random part of up to a half is taken off, so that many chats that
/// failed together do not come back together.
fn growing_pause(failures: u32, chance: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let pause = doubled.min(LAST_PAUSE);
    pause - pause / 2 * chance.min(999) / 1000
}
