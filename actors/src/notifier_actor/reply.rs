//! Answers to people and alarms: they have no rows in the outbox and wait here for their chats' turns.

use std::collections::VecDeque;
use std::time::Duration;

use actix::Context;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::NotifierActor;
use crate::mailbox::Working;
use crate::ports::Rendered;

/// An answer that is older helps nobody any more: whoever asked has asked again, maybe another leader.
const TOO_OLD: Duration = Duration::from_secs(60);

/// So many answers wait for one chat. Whoever sends a hundred commands a minute takes no place of others.
const PER_CHAT: usize = 5;

/// An answer that waits or is being sent. It keeps its place in the mailbox until then.
pub(super) struct Reply {
    pub(super) chat_id: i64,
    pub(super) message: Rendered,
    /// Told whether Telegram has it; whoever asked may have gone away.
    pub(super) done: oneshot::Sender<bool>,
    pub(super) since: Instant,
    pub(super) _working: Working,
}

impl NotifierActor {
    /// Takes an answer, unless too many wait for its chat: then it is given up at once.
    pub(super) fn take_reply(&mut self, reply: Reply) {
        let waiting = self.replies.iter().filter(|other| other.chat_id == reply.chat_id);
        if waiting.count() < PER_CHAT {
            self.replies.push_back(reply);
        } else {
            tracing::warn!(
                chat_id = reply.chat_id,
                "too many answers wait for this chat; one was given up"
            );
        }
    }

    /// Sends the answers whose chats may be written to now, the oldest first, one per chat.
    pub(super) fn send_replies(&mut self, epoch: i64, context: &mut Context<Self>) {
        if self.replies.is_empty() {
            return;
        }
        let mut closed = self.pacing.closed_chats(Instant::now());
        let mut still_waiting = VecDeque::new();
        while let Some(reply) = self.replies.pop_front() {
            if closed.contains(&reply.chat_id) || self.pacing.places(Instant::now()) == 0 {
                still_waiting.push_back(reply);
            } else {
                closed.push(reply.chat_id);
                self.send_reply(epoch, reply, context);
            }
        }
        self.replies = still_waiting;
    }

    /// What could not be sent for a minute, or while another node was the leader, is given up.
    pub(super) fn drop_old_replies(&mut self) {
        let now = Instant::now();
        let before = self.replies.len();
        self.replies
            .retain(|reply| now.saturating_duration_since(reply.since) < TOO_OLD);
        let dropped = before - self.replies.len();
        if dropped > 0 {
            tracing::warn!(dropped, "answers could not be sent in time");
        }
    }
}
