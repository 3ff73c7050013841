//! What the end of a turn means: for the pacing, for the figures, and for the rows.

use std::time::Duration;

use tokio::time::Instant;

use super::NotifierActor;
use super::pacing::Ending;
use super::reply::Reply;
use super::send::{Turn, TurnEnd};
use crate::metrics;
use crate::ports::{SendError, Settled, SettledAs};

/// The pause of a chat whose notices could not be claimed: the database is not there to write to, or
/// another node is the leader.
const CLAIM_AGAIN: Duration = Duration::from_millis(500);

impl NotifierActor {
    /// Takes the end of a turn into the pacing and the figures, and says what is to be recorded.
    pub(super) fn ended(&mut self, turn: Turn, end: TurnEnd) -> Option<Settled> {
        let now = Instant::now();
        let chat_id = turn.chat_id;
        let settled = match end {
            TurnEnd::NotMine => {
                self.pacing.end(chat_id, now, 0, Ending::Done, 0);
                self.pacing.hold(chat_id, CLAIM_AGAIN, now);
                None
            }
            TurnEnd::LeadershipEnded { messages, taken } => {
                self.pacing.end(chat_id, now, messages, Ending::Done, 0);
                Some(SettledAs::Retry {
                    after: Duration::ZERO,
                    error: "the leadership ended".to_owned(),
                    maybe_sent: turn.maybe_sent || taken > 0,
                })
            }
            TurnEnd::Answered {
                messages,
                taken,
                result,
            } => {
                self.take_answer(chat_id, messages, &result, now);
                Some(self.judge(&turn, taken, result, now))
            }
        };
        let notice_ids = turn.notice_ids();
        if let Some(reply) = turn.reply {
            return self.reply_ended(reply, turn.epoch, settled);
        }
        settled.map(|result| Settled {
            epoch: turn.epoch,
            notice_ids,
            chat_id,
            result,
        })
    }

    /// What an answer of Telegram means for when the next message may be sent.
    fn take_answer(&mut self, chat_id: i64, messages: usize, result: &Result<i64, SendError>, now: Instant) {
        let chance = chance(now);
        let (ending, reason) = match result {
            Err(SendError::RetryAfter(pause)) => (Ending::RetryAfter(*pause), Some("telegram")),
            Err(SendError::Temporary(_) | SendError::Unanswered(_)) => (Ending::Failed, Some("failure")),
            Err(SendError::InvalidToken) => (Ending::Done, Some("token")),
            _ => (Ending::Done, None),
        };
        self.pacing.end(chat_id, now, messages, ending, chance);
        if let Some(reason) = reason {
            ::metrics::counter!(metrics::NOTIFIER_PAUSES_TOTAL, "reason" => reason).increment(1);
        }
        let token_refused = match result {
            Err(SendError::InvalidToken) => {
                self.pacing.pause_all(now, chance);
                Some(true)
            }
            // They say nothing about the token.
            Err(SendError::Temporary(_) | SendError::Unanswered(_) | SendError::ProbablySent(_)) => None,
            _ => {
                self.pacing.resume_all();
                Some(false)
            }
        };
        let error = result.as_ref().err().map(ToString::to_string);
        self.show(|shown| {
            shown.token_refused = token_refused.unwrap_or(shown.token_refused);
            shown.last_error = error.or(shown.last_error.take());
        });
    }

    /// What an answer of Telegram means for the rows.
    fn judge(&self, turn: &Turn, taken: usize, result: Result<i64, SendError>, now: Instant) -> SettledAs {
        // What became of notices is logged by the outbox, which knows the orders; an answer has no rows.
        if let Some(error) = result.as_ref().err().filter(|_| turn.notice_ids().is_empty()) {
            tracing::warn!(chat_id = turn.chat_id, %error, "an answer to a chat was not sent");
        }
        match result {
            Ok(message_id) => {
                count(turn, "sent");
                if turn.maybe_sent {
                    count(turn, "repeated");
                }
                SettledAs::Sent { message_id }
            }
            Err(SendError::ProbablySent(error)) => {
                count(turn, "probably_sent");
                SettledAs::ProbablySent { error }
            }
            // The outbox knows which rows have failed by that, and counts them.
            Err(SendError::ChatGone(error)) => SettledAs::ChatGone { error },
            Err(SendError::ChatMoved(to)) => {
                count(turn, "retried");
                SettledAs::ChatMoved { to }
            }
            Err(error) => {
                count(turn, "retried");
                SettledAs::Retry {
                    after: self.pacing.pause_of(turn.chat_id, now),
                    // What was taken of it will come again.
                    maybe_sent: turn.maybe_sent || taken > 0 || matches!(error, SendError::Unanswered(_)),
                    error: error.to_string(),
                }
            }
        }
    }

    /// An answer that was not sent waits for another turn; only what it says about its chat is recorded.
    fn reply_ended(&mut self, mut reply: Reply, epoch: i64, settled: Option<SettledAs>) -> Option<Settled> {
        let chat_id = reply.chat_id;
        let about_chat = match settled {
            None | Some(SettledAs::Retry { .. }) => {
                self.replies.push_front(reply);
                None
            }
            Some(SettledAs::ChatMoved { to }) => {
                reply.chat_id = to;
                self.replies.push_front(reply);
                Some(SettledAs::ChatMoved { to })
            }
            Some(gone @ SettledAs::ChatGone { .. }) => {
                let _ = reply.done.send(false);
                Some(gone)
            }
            Some(SettledAs::Sent { .. } | SettledAs::ProbablySent { .. }) => {
                let _ = reply.done.send(true);
                None
            }
        };
        about_chat.map(|result| Settled {
            epoch,
            notice_ids: Vec::new(),
            chat_id,
            result,
        })
    }
}

/// Counts the notices of a turn; only its last part has any.
fn count(turn: &Turn, outcome: &'static str) {
    for kind in turn.parts.last().iter().flat_map(|last| &last.kinds) {
        ::metrics::counter!(metrics::NOTICES_TOTAL, "kind" => kind.as_str(), "outcome" => outcome).increment(1);
    }
}

/// A number from 0 to 999 that is different for every failure; nothing secret hangs on it.
fn chance(now: Instant) -> u32 {
    use std::hash::{BuildHasher, RandomState};
    u32::try_from(RandomState::new().hash_one(now) % 1000).unwrap_or_default()
}
