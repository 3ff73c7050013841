//! Looking for what may be sent now.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tokio::time::Instant;

use super::NotifierActor;
use crate::ports::{OutboxError, Peek, RecentSend, WaitingNotice};

/// Calls to Telegram at the same time.
const MAX_UNDER_WAY: usize = 64;
/// Notices of one chat that are looked at for one message. It has room for some seven new orders of eight lines, so
/// that most looks need not find more; what was read and had no room is read again.
const FEW: i64 = 16;
/// As many are looked at when a message has room for all of the few: more than fifty cancellations without a reason.
const MANY: i64 = 60;
/// How often the outbox is put right.
const KEEP_HOUSE_EVERY: Duration = Duration::from_secs(10);
/// The outbox answers sooner or never.
const LIMIT: Duration = Duration::from_secs(15);

/// What a look at the outbox found.
enum Found {
    /// This node has just become the leader: what was sent before.
    Recent(Vec<RecentSend>),
    /// At most so many of each chat, and those that belong to them.
    Notices(Vec<WaitingNotice>, i64),
}

/// Wake-ups that come so soon after one that was followed are followed together.
const GATHER: Duration = Duration::from_millis(200);

impl NotifierActor {
    /// Follows a wake-up; no other one comes until it is followed. Group commits that leave notices wake: the first
    /// of them is followed at once, and a flood of them costs the database no more than five looks a second.
    pub(super) fn look_soon(&mut self, context: &mut Context<Self>) {
        let since = self.followed.map_or(GATHER, |followed| followed.elapsed());
        if since >= GATHER {
            return self.follow(context);
        }
        context.run_later(GATHER - since, Self::follow);
    }

    fn follow(&mut self, context: &mut Context<Self>) {
        self.followed = Some(Instant::now());
        // Before the look: what is committed from now on may not be seen by it, and wakes again. Swapped and not
        // stored, so that what was done before a wake-up that found another one standing is seen here.
        self.woken.swap(false, Ordering::AcqRel);
        self.look(context);
    }

    /// Looks for what may be sent now, one look at a time.
    pub(super) fn look(&mut self, context: &mut Context<Self>) {
        self.drop_old_replies();
        let epoch = self.epoch();
        self.show(|shown| shown.epoch = epoch);
        let Some(epoch) = epoch else { return };
        if self.looking {
            self.look_again = true;
            return;
        }
        let is_seeded = self.seeded_epoch == Some(epoch);
        if is_seeded {
            self.send_replies(epoch, context);
        }
        let now = Instant::now();
        if is_seeded {
            self.keep_house(now, context);
        }
        let places = self
            .pacing
            .places(now)
            .min(MAX_UNDER_WAY.saturating_sub(self.pacing.under_way()));
        if places == 0 && is_seeded {
            return;
        }
        self.looking = true;
        self.look_again = false;
        let looking = self.looking_for(is_seeded, places, now);
        context.spawn(looking.into_actor(self).map(move |found, actor, context| {
            actor.looking = false;
            let has_begun = actor.found(epoch, found, context);
            if has_begun || actor.look_again || actor.look_at_many {
                actor.look(context);
            }
        }));
    }

    fn looking_for(
        &mut self,
        is_seeded: bool,
        places: usize,
        now: Instant,
    ) -> impl Future<Output = Result<Found, OutboxError>> + use<> {
        let outbox = Arc::clone(&self.outbox);
        let per_chat = if mem::take(&mut self.look_at_many) { MANY } else { FEW };
        let peek = Peek {
            except_chats: self.pacing.closed_chats(now),
            served_chats: self.pacing.served(),
            chats: i64::try_from(places).unwrap_or(i64::MAX),
            per_chat,
        };
        async move {
            let looking = async {
                if !is_seeded {
                    return outbox.recent().await.map(Found::Recent);
                }
                let notices = outbox.peek(peek).await?;
                Ok(Found::Notices(notices, per_chat))
            };
            within_limit(looking).await
        }
    }

    /// Puts the outbox right from time to time, beside the looks: however long it takes, no message waits
    /// for it.
    fn keep_house(&mut self, now: Instant, context: &mut Context<Self>) {
        let is_due = self.kept_house.is_none_or(|kept| now - kept >= KEEP_HOUSE_EVERY);
        if self.keeping_house || !is_due {
            return;
        }
        self.keeping_house = true;
        let outbox = Arc::clone(&self.outbox);
        let keeping = async move { within_limit(outbox.keep_house()).await };
        context.spawn(keeping.into_actor(self).map(|kept, actor, context| {
            actor.keeping_house = false;
            actor.kept_house = Some(Instant::now());
            match kept {
                // They have a chat now, and nobody else wakes the sender for them.
                Ok(adopted) if adopted > 0 => actor.look(context),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "the outbox could not be put right"),
            }
        }));
    }

    /// Begins what may begin, and returns whether anything did.
    fn found(&mut self, epoch: i64, found: Result<Found, OutboxError>, context: &mut Context<Self>) -> bool {
        match found {
            Ok(Found::Recent(recent)) => {
                let now = Instant::now();
                self.pacing.begin_epoch(now);
                for send in recent {
                    self.pacing.seed(send.chat_id, send.ago, now);
                }
                self.seeded_epoch = Some(epoch);
                false
            }
            // The right to begin has ended while the outbox was looked at.
            Ok(Found::Notices(..)) if self.epoch() != Some(epoch) => false,
            Ok(Found::Notices(notices, per_chat)) => {
                let mut has_begun = false;
                for (chat_id, notices) in group(notices) {
                    let parts = self.message_of(&notices);
                    let tells_all = parts.last().is_some_and(|last| last.notice_ids.len() == notices.len());
                    let is_limited = i64::try_from(notices.len()).is_ok_and(|found| found >= per_chat);
                    if tells_all && is_limited && per_chat < MANY {
                        // The next look finds what it has room for besides; other chats have begun by then.
                        self.look_at_many = true;
                    } else {
                        has_begun |= self.send(epoch, chat_id, parts, &notices, context);
                    }
                }
                has_begun
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox could not be looked at");
                false
            }
        }
    }
}

async fn within_limit<T>(work: impl Future<Output = Result<T, OutboxError>>) -> Result<T, OutboxError> {
    let too_slow = |_elapsed| Err(OutboxError::Unavailable("it does not answer".to_owned()));
    tokio::time::timeout(LIMIT, work).await.unwrap_or_else(too_slow)
}

/// By chat, in the order of the rows.
fn group(notices: Vec<WaitingNotice>) -> BTreeMap<i64, Vec<WaitingNotice>> {
    let mut by_chat = BTreeMap::<i64, Vec<WaitingNotice>>::new();
    for notice in notices {
        by_chat.entry(notice.chat_id).or_default().push(notice);
    }
    by_chat
}
