//! From the outbox to Telegram: in order per chat, within Telegram's limits, merged when it must wait.
//!
//! Only the leader of the pool sends. A chat that may be written to now gets its message now; what
//! gathers meanwhile is merged into its next one. Calls to different chats run side by side, so that a
//! slow or blocked chat delays nobody else. A failed notice never fails a hook (invariant 9): hooks know
//! nothing of this actor but that it can be woken.

pub mod pacing;
mod send;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::mailbox::{Command, Envelope, Handle, MailboxShown, MailboxStats, Working};
use crate::ports::{Messenger, Outbox, OutboxError, Peek, Rendered, WaitingNotice};
use pacing::{Pacing, PacingSettings};

/// The right to send, as long as it is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    /// Raised by every takeover; claims carry it.
    pub epoch: i64,
    /// When it was last known to hold.
    pub renewed: Instant,
}

/// A leader that could not renew for so long may have been replaced: it sends nothing. Less than the
/// time after which a standby takes over.
const FRESH: Duration = Duration::from_secs(4);

impl Leadership {
    /// Whether this node may still send.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.renewed) < FRESH
    }
}

/// What operations see of the sender of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NotifierShown {
    /// The epoch in which this node sends; `None` when another one does.
    pub epoch: Option<i64>,
    /// Messages on their way to Telegram.
    pub under_way: usize,
    /// Chats that wait because sending to them failed.
    pub failing_chats: usize,
    /// Telegram does not accept the bot's token; nothing can be sent to anybody.
    pub token_refused: bool,
    /// The last failure, for operations.
    pub last_error: Option<String>,
}

/// How others reach the notifier.
#[derive(Clone)]
pub struct NotifierHandle {
    actor: Handle<NotifierActor>,
    shown: watch::Receiver<NotifierShown>,
    stats: Arc<MailboxStats>,
}

/// Wake-ups and answers that may wait.
const QUEUE: usize = 256;
/// Calls to Telegram at the same time.
const MAX_UNDER_WAY: usize = 64;
/// Notices of one chat that are looked at for one message.
const PER_CHAT: i64 = 60;
/// How often the actor looks without being woken.
const TICK: Duration = Duration::from_millis(250);
/// How often notices that wait for a chat are looked at again.
const ADOPT_EVERY: Duration = Duration::from_secs(10);

impl NotifierHandle {
    /// Starts the actor. It sends whenever `leadership` says that it may.
    pub fn start(
        arbiter: &actix_rt::ArbiterHandle,
        settings: PacingSettings,
        outbox: Arc<dyn Outbox>,
        messenger: Arc<dyn Messenger>,
        leadership: watch::Receiver<Option<Leadership>>,
    ) -> Self {
        let stats = MailboxStats::new::<NotifierCommand>("notifier");
        let (show, shown) = watch::channel(NotifierShown::default());
        let actor = Handle::start(arbiter, QUEUE, &stats, move |_| NotifierActor {
            outbox,
            messenger,
            leadership,
            settings,
            pacing: Pacing::new(settings),
            seeded_epoch: None,
            looking: false,
            look_again: false,
            adopted: None,
            shown: show,
            replies: VecDeque::new(),
        });
        Self { actor, shown, stats }
    }

    /// There are notices. Never waits; a full mailbox has a wake-up in it already.
    pub fn wake(&self) {
        let _ = self.actor.send(NotifierCommand::Wake);
    }

    /// Sends an answer to a chat in its next turn, before its notices. `None` when too much waits
    /// already; whoever asked will ask again. The receiver is told whether Telegram has taken it; it is
    /// closed without a word when this node is not the leader any more.
    #[must_use]
    pub fn reply(&self, chat_id: i64, message: Rendered) -> Option<oneshot::Receiver<bool>> {
        let (done, taken) = oneshot::channel();
        let command = NotifierCommand::Reply { chat_id, message, done };
        self.actor.send(command).is_ok().then_some(taken)
    }

    /// What operations see.
    #[must_use]
    pub fn shown(&self) -> NotifierShown {
        self.shown.borrow().clone()
    }

    /// What operations see of the mailbox.
    #[must_use]
    pub fn mailbox(&self) -> MailboxShown {
        self.stats.shown()
    }

    /// Waits until nothing is on its way to Telegram any more, at most until the deadline.
    pub async fn idle(&self, deadline: Instant) -> bool {
        let mut shown = self.shown.clone();
        let idle = shown.wait_for(|shown| shown.under_way == 0);
        tokio::time::timeout_at(deadline.into(), idle)
            .await
            .is_ok_and(|idle| idle.is_ok())
    }
}

/// What the notifier receives.
#[derive(Debug)]
pub enum NotifierCommand {
    /// There are notices.
    Wake,
    /// Answer somebody.
    Reply {
        /// Where to.
        chat_id: i64,
        /// What.
        message: Rendered,
        /// Told whether Telegram has taken it.
        done: oneshot::Sender<bool>,
    },
}

impl Command for NotifierCommand {
    const MESSAGES: &'static [&'static str] = &["wake", "reply"];

    fn message(&self) -> usize {
        match self {
            Self::Wake => 0,
            Self::Reply { .. } => 1,
        }
    }
}

/// See the module.
pub struct NotifierActor {
    outbox: Arc<dyn Outbox>,
    messenger: Arc<dyn Messenger>,
    leadership: watch::Receiver<Option<Leadership>>,
    settings: PacingSettings,
    pacing: Pacing,
    /// The epoch for which the pacing knows what others have sent.
    seeded_epoch: Option<i64>,
    /// A look at the outbox is under way.
    looking: bool,
    /// Something has happened since it began.
    look_again: bool,
    /// When notices that wait for a chat were last looked at.
    adopted: Option<Instant>,
    shown: watch::Sender<NotifierShown>,
    /// Answers that wait for their chat's next turn; each keeps its place in the mailbox.
    replies: VecDeque<Reply>,
}

/// An answer that waits.
struct Reply {
    chat_id: i64,
    message: Rendered,
    working: Working,
    done: oneshot::Sender<bool>,
}

impl Actor for NotifierActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, |actor, context| actor.look(context));
    }
}

impl Handler<Envelope<NotifierCommand>> for NotifierActor {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<NotifierCommand>, context: &mut Self::Context) {
        let (command, waiting, _span) = envelope.open();
        let working = waiting.begin();
        if let NotifierCommand::Reply { chat_id, message, done } = command {
            self.replies.push_back(Reply {
                chat_id,
                message,
                working,
                done,
            });
        } else {
            drop(working);
        }
        self.look(context);
    }
}

/// What a look at the outbox found.
enum Found {
    Seeded(i64),
    Notices(Vec<WaitingNotice>),
    Nothing,
}

impl NotifierActor {
    /// The epoch in which this node may send now.
    fn epoch(&self) -> Option<i64> {
        let leadership = *self.leadership.borrow();
        leadership
            .filter(|leadership| leadership.is_fresh(Instant::now()))
            .map(|leadership| leadership.epoch)
    }

    /// Looks for notices that may be sent now, one look at a time.
    fn look(&mut self, context: &mut Context<Self>) {
        let epoch = self.epoch();
        self.show(|shown| shown.epoch = epoch);
        let Some(epoch) = epoch else {
            // Whoever asked here will ask the next leader; hours later nobody wants the answer.
            self.replies.clear();
            return;
        };
        if self.looking {
            self.look_again = true;
            return;
        }
        if self.seeded_epoch == Some(epoch) {
            self.send_replies(epoch, context);
        }
        let now = Instant::now();
        let places = self
            .pacing
            .places(now)
            .min(MAX_UNDER_WAY.saturating_sub(self.pacing.under_way()));
        if places == 0 && self.seeded_epoch == Some(epoch) {
            return;
        }
        self.looking = true;
        self.look_again = false;
        let looking = self.looking_for(epoch, places, now);
        context.spawn(looking.into_actor(self).map(move |(recent, found), actor, context| {
            actor.looking = false;
            for send in recent {
                actor.pacing.seed(send.chat_id, send.ago, Instant::now());
            }
            let found_some = match found {
                Ok(Found::Seeded(epoch)) => {
                    actor.seeded_epoch = Some(epoch);
                    actor.pacing.start_carefully(Instant::now());
                    false
                }
                Ok(Found::Notices(notices)) => {
                    let by_chat = group(notices);
                    let found_some = !by_chat.is_empty();
                    for (chat_id, notices) in by_chat {
                        actor.send(epoch, chat_id, &notices, context);
                    }
                    found_some
                }
                Ok(Found::Nothing) => false,
                Err(error) => {
                    tracing::warn!(%error, "the outbox could not be looked at");
                    false
                }
            };
            if found_some || actor.look_again {
                actor.look(context);
            }
        }));
    }

    fn looking_for(
        &mut self,
        epoch: i64,
        places: usize,
        now: Instant,
    ) -> impl Future<Output = (Vec<crate::ports::RecentSend>, Result<Found, OutboxError>)> + use<> {
        let outbox = Arc::clone(&self.outbox);
        let seeded = self.seeded_epoch == Some(epoch);
        if !seeded {
            self.pacing = Pacing::new(self.settings);
        }
        let adopts = self.adopted.is_none_or(|adopted| now - adopted >= ADOPT_EVERY);
        if adopts {
            self.adopted = Some(now);
        }
        let peek = Peek {
            except_chats: self.pacing.closed_chats(now),
            chats: i64::try_from(places).unwrap_or(i64::MAX),
            per_chat: PER_CHAT,
        };
        async move {
            if !seeded {
                return match outbox.recent().await {
                    Ok(recent) => (recent, Ok(Found::Seeded(epoch))),
                    Err(error) => (Vec::new(), Err(error)),
                };
            }
            if adopts && let Err(error) = outbox.adopt().await {
                return (Vec::new(), Err(error));
            }
            let found = outbox.peek(peek).await;
            let found = found.map(|notices| {
                if notices.is_empty() {
                    Found::Nothing
                } else {
                    Found::Notices(notices)
                }
            });
            (Vec::new(), found)
        }
    }

    fn show(&self, change: impl FnOnce(&mut NotifierShown)) {
        self.shown.send_if_modified(|shown| {
            let before = shown.clone();
            change(shown);
            shown.under_way = self.pacing.under_way();
            shown.failing_chats = self.pacing.failing_chats();
            *shown != before
        });
    }
}

/// By chat, in the order of the rows.
fn group(notices: Vec<WaitingNotice>) -> BTreeMap<i64, Vec<WaitingNotice>> {
    let mut by_chat = BTreeMap::<i64, Vec<WaitingNotice>>::new();
    for notice in notices {
        by_chat.entry(notice.chat_id).or_default().push(notice);
    }
    by_chat
}
