//! When which chat may be written to. Pure: time and chance are arguments.
//!
//! Telegram counts messages as they arrive there, somewhere between the begin and the end of a call.
//! So a chat waits from the end of its last call on, and the windows count every call that is under way
//! or ended within them: whatever the arrival times were, no limit is exceeded.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

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
/// A call that takes longer than this arrived long ago or never will; it holds no place of the others.
const SLOW_CALL: Duration = Duration::from_secs(3);
/// The pause after the first failure, doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(300);

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

/// See the module.
#[derive(Debug)]
pub struct Pacing {
    settings: PacingSettings,
    /// Ends of calls within the last second.
    recent: VecDeque<Instant>,
    chats: HashMap<i64, Chat>,
    /// Nothing at all is sent before.
    all_paused_until: Option<Instant>,
    all_failures: u32,
}

#[derive(Debug, Default)]
struct Chat {
    /// Since when a call is under way.
    under_way: Option<Instant>,
    not_before: Option<Instant>,
    /// Ends of calls within the last minute; kept for groups only.
    minute: VecDeque<Instant>,
    failures: u32,
}

/// Telegram's ids of groups are negative (Bot API, `Chat`).
const fn is_group(chat_id: i64) -> bool {
    chat_id < 0
}

fn forget_before(times: &mut VecDeque<Instant>, now: Instant, window: Duration) {
    while times
        .front()
        .is_some_and(|time| now.saturating_duration_since(*time) >= window)
    {
        times.pop_front();
    }
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
        forget_before(&mut self.recent, now, SECOND);
        let under_way = self.chats.values().filter_map(|chat| chat.under_way);
        let counted = under_way
            .filter(|begun| now.saturating_duration_since(*begun) < SLOW_CALL)
            .count();
        self.settings
            .overall_per_second
            .saturating_sub(self.recent.len() + counted)
    }

    /// Chats that may not be written to now. Idle ones are forgotten on the way.
    pub fn closed_chats(&mut self, now: Instant) -> Vec<i64> {
        for chat in self.chats.values_mut() {
            forget_before(&mut chat.minute, now, MINUTE);
        }
        self.chats.retain(|_, chat| {
            let waits = chat.not_before.is_some_and(|until| now < until);
            chat.under_way.is_some() || waits || !chat.minute.is_empty() || chat.failures > 0
        });
        let settings = self.settings;
        let closed = |chat_id: i64, chat: &Chat| {
            chat.under_way.is_some()
                || chat.not_before.is_some_and(|until| now < until)
                || (is_group(chat_id) && chat.minute.len() >= settings.group_per_minute)
        };
        self.chats
            .iter()
            .filter(|(chat_id, chat)| closed(**chat_id, chat))
            .map(|(chat_id, _)| *chat_id)
            .collect()
    }

    /// A call to this chat begins.
    pub fn begin(&mut self, chat_id: i64, now: Instant) {
        self.chats.entry(chat_id).or_default().under_way = Some(now);
    }

    /// The call to this chat ended; it was `messages` messages one after the other. `chance` from 0 to
    /// 999 spreads the pauses after failures.
    pub fn end(&mut self, chat_id: i64, now: Instant, messages: usize, ending: Ending, chance: u32) {
        let chat = self.chats.entry(chat_id).or_default();
        chat.under_way = None;
        for _ in 0..messages {
            self.recent.push_back(now);
            if is_group(chat_id) {
                chat.minute.push_back(now);
            }
        }
        let pause = match ending {
            Ending::Done => {
                chat.failures = 0;
                self.all_failures = 0;
                self.settings.chat_pause
            }
            // Whatever is asked for, a clock must be able to hold it.
            Ending::RetryAfter(pause) => pause.min(LONGEST_WAIT).max(self.settings.chat_pause),
            Ending::Failed => {
                chat.failures = chat.failures.saturating_add(1);
                growing_pause(chat.failures, chance)
            }
        };
        chat.not_before = Some(now + pause);
    }

    /// The call to this chat was not made after all.
    pub fn cancel(&mut self, chat_id: i64) {
        if let Some(chat) = self.chats.get_mut(&chat_id) {
            chat.under_way = None;
        }
    }

    /// The call to this chat was not made after all, and not before this pause is it tried again.
    pub fn postpone(&mut self, chat_id: i64, now: Instant, pause: Duration) {
        let chat = self.chats.entry(chat_id).or_default();
        chat.under_way = None;
        chat.not_before = chat.not_before.max(Some(now + pause));
    }

    /// Nothing can be sent to anybody (the token is refused): all wait, ever longer.
    pub fn pause_all(&mut self, now: Instant, chance: u32) {
        self.all_failures = self.all_failures.saturating_add(1);
        self.all_paused_until = Some(now + growing_pause(self.all_failures, chance));
    }

    /// The pause that this chat keeps from now on, if any.
    #[must_use]
    pub fn pause_of(&self, chat_id: i64, now: Instant) -> Duration {
        let until = self.chats.get(&chat_id).and_then(|chat| chat.not_before);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// A message that another leader sent so long ago counts, too.
    pub fn seed(&mut self, chat_id: i64, ago: Duration, now: Instant) {
        let Some(then) = now.checked_sub(ago) else { return };
        let chat = self.chats.entry(chat_id).or_default();
        chat.not_before = chat.not_before.max(Some(then + self.settings.chat_pause));
        if is_group(chat_id) && ago < MINUTE {
            chat.minute.push_back(then);
            chat.minute.make_contiguous().sort_unstable();
        }
        if ago < SECOND {
            self.recent.push_back(then);
            self.recent.make_contiguous().sort_unstable();
        }
    }

    /// Another leader may have had messages under way when it ended: nothing is sent for one second.
    pub fn start_carefully(&mut self, now: Instant) {
        self.all_paused_until = self.all_paused_until.max(Some(now + SECOND));
    }

    /// Calls under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.chats.values().filter(|chat| chat.under_way.is_some()).count()
    }

    /// Chats that wait because their last call failed.
    #[must_use]
    pub fn failing_chats(&self) -> usize {
        self.chats.values().filter(|chat| chat.failures > 0).count()
    }
}

/// 1 s, 2 s, 4 s … 5 min, of which a random part of up to a half is taken off, so that many chats that
/// failed together do not come back together.
fn growing_pause(failures: u32, chance: u32) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(1 << 16));
    let pause = doubled.min(LAST_PAUSE);
    pause - pause / 2 * chance.min(999) / 1000
}
