//! One turn of one chat: claim, send, record what became of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::sync::watch;
use tokio::time::Instant;

use super::reply::Reply;
use super::{Leadership, NotifierActor};
use crate::ports::{Messenger, Outbox, OutboxError, Rendered, SendError, Settled, WaitingNotice};

/// The pause before a result that could not be recorded is recorded again.
const SETTLE_AGAIN: Duration = Duration::from_millis(500);

/// The messages of one turn of a chat: one, or the parts of a long text that belong together.
pub(super) struct Turn {
    pub(super) epoch: i64,
    pub(super) chat_id: i64,
    pub(super) parts: Vec<Rendered>,
    /// From the end of one part to the begin of the next.
    part_pause: Duration,
    /// The same for parts that nobody knew of when the turn began: they have no room reserved.
    piece_pause: Duration,
    /// Sending it may repeat what was sent before.
    pub(super) maybe_sent: bool,
    /// It is an answer, which has no rows.
    pub(super) reply: Option<Reply>,
}

impl Turn {
    /// The rows that it tells: only the last part has any.
    pub(super) fn notice_ids(&self) -> Vec<i64> {
        self.parts
            .last()
            .map(|last| last.notice_ids.clone())
            .unwrap_or_default()
    }
}

/// How a turn ended.
pub(super) enum TurnEnd {
    /// The rows were not claimed: nothing was sent.
    NotMine,
    /// Telegram was asked to take so many messages and has taken some of them; the next one was not sent.
    LeadershipEnded { messages: usize, taken: usize },
    /// Telegram's last answer, how many messages it was asked to take, and how many it took before.
    Answered {
        messages: usize,
        taken: usize,
        result: Result<i64, SendError>,
    },
}

impl NotifierActor {
    /// The first message of what waits for a chat, with all its parts.
    pub(super) fn message_of(&self, waiting: &[WaitingNotice]) -> Vec<Rendered> {
        let mut parts = Vec::new();
        for rendered in self.messenger.render(waiting) {
            let is_complete = !rendered.notice_ids.is_empty();
            parts.push(rendered);
            if is_complete {
                break;
            }
        }
        parts
    }

    /// Sends a message of what waits for a chat, and returns whether it did; the rest waits for its next turn.
    pub(super) fn send(
        &mut self,
        epoch: i64,
        chat_id: i64,
        parts: Vec<Rendered>,
        waiting: &[WaitingNotice],
        context: &mut Context<Self>,
    ) -> bool {
        let Some(last) = parts.last() else { return false };
        if !self.pacing.has_room(chat_id, parts.len(), Instant::now()) {
            return false;
        }
        let may_repeat = |notice: &&WaitingNotice| notice.maybe_sent && last.notice_ids.contains(&notice.notice_id);
        let turn = Turn {
            epoch,
            chat_id,
            part_pause: self.settings.chat_pause,
            piece_pause: self.pacing.even_pause(chat_id),
            maybe_sent: waiting.iter().any(|notice| may_repeat(&notice)),
            parts,
            reply: None,
        };
        self.start(turn, context);
        true
    }

    pub(super) fn send_reply(&mut self, epoch: i64, reply: Reply, context: &mut Context<Self>) {
        let turn = Turn {
            epoch,
            chat_id: reply.chat_id,
            parts: vec![reply.message.clone()],
            part_pause: self.settings.chat_pause,
            piece_pause: self.pacing.even_pause(reply.chat_id),
            maybe_sent: false,
            reply: Some(reply),
        };
        self.start(turn, context);
    }

    fn start(&mut self, turn: Turn, context: &mut Context<Self>) {
        let chat_id = turn.chat_id;
        self.pacing.begin(chat_id, turn.parts.len(), Instant::now());
        self.show(|_| {});
        let outbox = Arc::clone(&self.outbox);
        let sending = take_turn(
            Arc::clone(&outbox),
            Arc::clone(&self.messenger),
            self.leadership.clone(),
            turn,
        );
        context.spawn(sending.into_actor(self).then(move |(turn, end), actor, _context| {
            let settled = actor.ended(turn, end);
            // The chat's next turn comes after this is recorded, so that nothing is sent twice for want of
            // a record.
            settle(outbox, settled)
                .into_actor(actor)
                .map(move |(), actor, context| {
                    actor.is_recorded(chat_id, context);
                })
        }));
    }

    /// The result is recorded: the chat is free, and looked at again as soon as it may be written to.
    fn is_recorded(&mut self, chat_id: i64, context: &mut Context<Self>) {
        self.pacing.free(chat_id);
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
    if turn.reply.is_none()
        && let Err(error) = outbox.claim(turn.epoch, turn.chat_id, turn.notice_ids()).await
    {
        if let OutboxError::Unavailable(cause) = error {
            tracing::warn!(%cause, "notices could not be claimed");
        }
        return (turn, TurnEnd::NotMine);
    }
    let (mut messages, mut taken) = (0, 0);
    let mut pause = turn.part_pause;
    let mut parts = VecDeque::from(turn.parts.clone());
    while let Some(part) = parts.pop_front() {
        if messages > 0 {
            tokio::time::sleep(pause).await;
        }
        // A leader that was frozen or cut off stops before its next message.
        let may_send = leadership
            .borrow()
            .is_some_and(|leadership| leadership.epoch == turn.epoch && leadership.is_fresh(Instant::now()));
        if !may_send {
            return (turn, TurnEnd::LeadershipEnded { messages, taken });
        }
        let result = messenger.send(turn.chat_id, part).await;
        messages += 1;
        match result {
            Err(SendError::Refused { reason, instead }) => {
                tracing::warn!(reason, "Telegram refuses a text; it is sent in another form");
                pause = turn.piece_pause;
                for piece in instead.into_iter().rev() {
                    parts.push_front(piece);
                }
            }
            Ok(_) if !parts.is_empty() => taken += 1,
            result => {
                let end = TurnEnd::Answered {
                    messages,
                    taken,
                    result,
                };
                return (turn, end);
            }
        }
    }
    (turn, TurnEnd::NotMine)
}

/// Records a result, however long the database is away.
async fn settle(outbox: Arc<dyn Outbox>, settled: Option<Settled>) {
    let Some(settled) = settled else { return };
    while let Err(error) = outbox.settle(settled.clone()).await {
        tracing::warn!(%error, "what became of a message could not be recorded yet");
        tokio::time::sleep(SETTLE_AGAIN).await;
    }
}
