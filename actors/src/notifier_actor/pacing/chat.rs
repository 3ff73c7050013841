//! What is known of one chat.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{MINUTE, PacingSettings};

/// A chat that was not tried for so long after its pause is not there any more.
const FORGOTTEN: Duration = Duration::from_secs(600);
/// So long after its turn a chat comes after those that had none.
const LATELY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Chat {
    pub(super) state: State,
    pub(super) last_turn: Option<Instant>,
    pub(super) not_before: Option<Instant>,
    /// Telegram said so.
    pub(super) told_to_wait: bool,
    /// Ends of calls within the last minute; kept for groups only.
    pub(super) minute: VecDeque<Instant>,
    pub(super) failures: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Free,
    /// A call is under way. It holds a place of the others until then.
    UnderWay { counts_until: Instant },
    /// The call has ended and what became of it is being recorded.
    Settling,
}

impl Chat {
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|until| now < until)
    }

    pub(super) fn is_open(&self, chat_id: i64, settings: &PacingSettings, now: Instant) -> bool {
        let is_full = is_group(chat_id) && self.minute.len() >= settings.group_per_minute;
        self.state == State::Free && !self.waits(now) && !is_full
    }

    /// Once half of a group's minute is used the rest is spread over what is left of it: a group that had
    /// twenty messages in twenty seconds would else hear nothing for forty.
    pub(super) fn share_of_minute(&mut self, most: usize, now: Instant) -> Duration {
        forget_before(&mut self.minute, now, MINUTE);
        let (used, left) = (self.minute.len(), most.saturating_sub(self.minute.len()));
        match (self.minute.front(), u32::try_from(left)) {
            (Some(oldest), Ok(left)) if left > 0 && used * 2 >= most => {
                MINUTE.saturating_sub(now.saturating_duration_since(*oldest)) / left
            }
            _ => Duration::ZERO,
        }
    }

    pub(super) fn is_worth_keeping(&self, now: Instant) -> bool {
        let may_come_back = self.failures > 0
            && self
                .not_before
                .is_some_and(|until| now.saturating_duration_since(until) < FORGOTTEN);
        let had_turn = self
            .last_turn
            .is_some_and(|turn| now.saturating_duration_since(turn) < LATELY);
        self.state != State::Free || self.waits(now) || !self.minute.is_empty() || may_come_back || had_turn
    }
}

/// Telegram's ids of groups are negative (Bot API, `Chat`).
pub(super) const fn is_group(chat_id: i64) -> bool {
    chat_id < 0
}

pub(super) fn forget_before(times: &mut VecDeque<Instant>, now: Instant, window: Duration) {
    while times
        .front()
        .is_some_and(|time| now.saturating_duration_since(*time) >= window)
    {
        times.pop_front();
    }
}

/// Keeps them in order: others' messages become known later than our own.
pub(super) fn insert(times: &mut VecDeque<Instant>, time: Instant) {
    let place = times.partition_point(|known| *known <= time);
    times.insert(place, time);
}
