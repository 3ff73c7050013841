//! One message to one chat: claim, send, record what became of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use orderhook_domain::notice::NoticeKind;
use tokio::sync::{oneshot, watch};

use super::pacing::Ending;
use super::{Leadership, NotifierActor, TICK};
use crate::metrics;
use crate::ports::{Messenger, Outbox, OutboxError, Rendered, SendError, Settled, SettledAs, WaitingNotice};

/// The pause before a result that could not be recorded is recorded again.
const SETTLE_AGAIN: Duration = Duration::from_millis(500);

/// The messages of one turn of a chat: one, or the parts of a long text that belong together.
struct Turn {
    epoch: i64,
    chat_id: i64,
    parts: Vec<Rendered>,
    notice_ids: Vec<i64>,
    kinds: Vec<NoticeKind>,
    /// From the end of one part to the begin of the next.
    part_pause: Duration,
    /// Sending it may repeat what an earlier leader had sent.
    maybe_sent: bool,
    /// Told whether Telegram has taken it.
    done: Option<oneshot::Sender<bool>>,
}

/// How a turn ended.
enum TurnEnd {
    /// The rows were not claimed: nothing was sent.
    NotMine,
    Ended {
        messages: usize,
        result: Result<i64, SendError>,
    },
}

impl NotifierActor {
    /// Sends the first message of what waits for a chat; the rest waits for its next turn.
    pub(super) fn send(&mut self, epoch: i64, chat_id: i64, waiting: &[WaitingNotice], context: &mut Context<Self>) {
        let mut parts = Vec::new();
        for rendered in self.messenger.render(waiting) {
            let complete = !rendered.notice_ids.is_empty();
            parts.push(rendered);
            if complete {
                break;
            }
        }
        let Some(last) = parts.last() else { return };
        let turn = Turn {
            epoch,
            chat_id,
            notice_ids: last.notice_ids.clone(),
            kinds: last.kinds.clone(),
            part_pause: self.settings.chat_pause,
            maybe_sent: waiting
                .iter()
                .any(|notice| notice.maybe_sent && last.notice_ids.contains(&notice.notice_id)),
            parts,
            done: None,
        };
        self.start(turn, context);
    }

    /// Sends the answers whose chats may be written to now, the oldest first, one per chat.
    pub(super) fn send_replies(&mut self, epoch: i64, context: &mut Context<Self>) {
        let closed = self.pacing.closed_chats(Instant::now());
        let mut still_waiting = std::collections::VecDeque::new();
        let mut begun = closed;
        while let Some(reply) = self.replies.pop_front() {
            if begun.contains(&reply.chat_id) || self.pacing.places(Instant::now()) == 0 {
                still_waiting.push_back(reply);
                continue;
            }
            begun.push(reply.chat_id);
            let turn = Turn {
                epoch,
                chat_id: reply.chat_id,
                notice_ids: Vec::new(),
                kinds: Vec::new(),
                part_pause: self.settings.chat_pause,
                maybe_sent: false,
                parts: vec![reply.message],
                done: Some(reply.done),
            };
            drop(reply.working);
            self.start(turn, context);
        }
        self.replies = still_waiting;
    }

    fn start(&mut self, turn: Turn, context: &mut Context<Self>) {
        self.pacing.begin(turn.chat_id, Instant::now());
        self.show(|_| {});
        let outbox = Arc::clone(&self.outbox);
        let sending = take_turn(
            Arc::clone(&outbox),
            Arc::clone(&self.messenger),
            self.leadership.clone(),
            turn,
        );
        context.spawn(sending.into_actor(self).then(move |(mut turn, end), actor, _context| {
            let settled = actor.ended(&mut turn, end);
            // The chat's next turn comes after this is recorded, so that nothing is sent twice for want of
            // a record.
            settle(outbox, settled)
                .into_actor(actor)
                .map(move |(), actor, context| {
                    actor.pacing_is_over(turn.chat_id, context);
                })
        }));
    }

    /// Takes the end of a turn into the pacing and the figures, and says what is to be recorded.
    fn ended(&mut self, turn: &mut Turn, end: TurnEnd) -> Option<Settled> {
        let now = Instant::now();
        let TurnEnd::Ended { messages, result } = end else {
            // Somebody else has them, or the database is away: looked at again with the next tick.
            self.pacing.postpone(turn.chat_id, now, TICK);
            return None;
        };
        if let Some(done) = turn.done.take() {
            // Whoever asked may have gone away.
            let _ = done.send(result.is_ok() || matches!(result, Err(SendError::ProbablySent(_))));
        }
        let chance = chance(now);
        let token_refused = matches!(result, Err(SendError::InvalidToken));
        let error = result.as_ref().err().map(ToString::to_string);
        let pause_reason = match &result {
            Err(SendError::RetryAfter(_)) => Some("too_many_requests"),
            Err(SendError::Temporary(_)) => Some("temporary"),
            Err(SendError::InvalidToken) => Some("token_refused"),
            _ => None,
        };
        if let Some(reason) = pause_reason {
            ::metrics::counter!(metrics::NOTIFIER_PAUSES_TOTAL, "reason" => reason).increment(1);
        }
        let ending = match &result {
            Err(SendError::RetryAfter(pause)) => Ending::RetryAfter(*pause),
            Err(SendError::Temporary(_)) => Ending::Failed,
            _ => Ending::Done,
        };
        if token_refused {
            self.pacing.pause_all(now, chance);
            self.pacing.cancel(turn.chat_id);
        } else {
            self.pacing.end(turn.chat_id, now, messages, ending, chance);
        }
        // The chat stays taken until the result is recorded.
        let pause = self.pacing.pause_of(turn.chat_id, now);
        self.pacing.begin(turn.chat_id, now);
        let (outcome, result) = match result {
            Ok(message_id) => ("sent", SettledAs::Sent { message_id }),
            Err(SendError::ProbablySent(error)) => ("probably_sent", SettledAs::ProbablySent { error }),
            Err(SendError::ChatGone(error)) => ("failed", SettledAs::ChatGone { error }),
            Err(SendError::ChatMoved(to)) => ("retried", SettledAs::ChatMoved { to }),
            Err(error) => (
                "retried",
                SettledAs::Retry {
                    after: pause,
                    error: error.to_string(),
                },
            ),
        };
        count(&turn.kinds, outcome);
        if turn.maybe_sent && outcome == "sent" {
            count(&turn.kinds, "repeated");
        }
        if let Some(error) = &error {
            tracing::warn!(notices = turn.notice_ids.len(), error, "a message was not sent");
        }
        self.show(|shown| {
            shown.token_refused = token_refused;
            shown.last_error = error.or(shown.last_error.take());
        });
        let (epoch, chat_id) = (turn.epoch, turn.chat_id);
        Some(Settled {
            epoch,
            notice_ids: turn.notice_ids.clone(),
            chat_id,
            result,
        })
    }

    /// The result is recorded: the chat is free, and looked at again as soon as it may be written to.
    fn pacing_is_over(&mut self, chat_id: i64, context: &mut Context<Self>) {
        self.pacing.cancel(chat_id);
        self.show(|_| {});
        let pause = self.pacing.pause_of(chat_id, Instant::now());
        context.run_later(pause, Self::look);
    }
}

/// Claims the rows and sends the messages, unless the leadership is over.
async fn take_turn(
    outbox: Arc<dyn Outbox>,
    messenger: Arc<dyn Messenger>,
    leadership: watch::Receiver<Option<Leadership>>,
    turn: Turn,
) -> (Turn, TurnEnd) {
    // An answer has no rows: should it fail, whoever asked will ask again.
    let claimed = if turn.notice_ids.is_empty() {
        Ok(())
    } else {
        outbox.claim(turn.epoch, turn.notice_ids.clone()).await
    };
    if let Err(error) = claimed {
        if let OutboxError::Unavailable(cause) = error {
            tracing::warn!(%cause, "notices could not be claimed");
        }
        return (turn, TurnEnd::NotMine);
    }
    let mut messages = 0;
    let mut result = Err(SendError::Temporary("nothing to send".to_owned()));
    for (index, part) in turn.parts.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(turn.part_pause).await;
        }
        // A leader that was frozen or cut off stops before its next message.
        let may_send = leadership
            .borrow()
            .is_some_and(|leadership| leadership.epoch == turn.epoch && leadership.is_fresh(Instant::now()));
        if !may_send {
            result = Err(SendError::Temporary("the leadership ended".to_owned()));
            break;
        }
        result = messenger.send(turn.chat_id, part.clone()).await;
        messages += 1;
        if result.is_err() {
            break;
        }
    }
    (turn, TurnEnd::Ended { messages, result })
}

/// Records a result, however long the database is away.
async fn settle(outbox: Arc<dyn Outbox>, settled: Option<Settled>) {
    // An answer has no rows; but a chat that is gone or has moved is news all the same.
    let is_news = |settled: &Settled| {
        let of_chat = matches!(settled.result, SettledAs::ChatGone { .. } | SettledAs::ChatMoved { .. });
        of_chat || !settled.notice_ids.is_empty()
    };
    let Some(settled) = settled.filter(is_news) else {
        return;
    };
    while let Err(error) = outbox.settle(settled.clone()).await {
        tracing::warn!(%error, "what became of a message could not be recorded yet");
        tokio::time::sleep(SETTLE_AGAIN).await;
    }
}

fn count(kinds: &[NoticeKind], outcome: &'static str) {
    for kind in kinds {
        ::metrics::counter!(metrics::NOTICES_TOTAL, "kind" => kind.as_str(), "outcome" => outcome).increment(1);
    }
}

/// A number from 0 to 999 that is different for every failure; nothing secret hangs on it.
fn chance(now: Instant) -> u32 {
    use std::hash::{BuildHasher, RandomState};
    u32::try_from(RandomState::new().hash_one(now) % 1000).unwrap_or_default()
}
