//! From the outbox to Telegram: in order per chat, within Telegram's limits, merged when it must wait.
//!
//! Only the leader of the pool sends. A chat that may be written to now gets its message now; what
//! gathers meanwhile is merged into its next one. Calls to different chats run side by side, so that a
//! slow or blocked chat delays nobody else. A failed notice never fails a hook (invariant 9): hooks know
//! nothing of this actor but that it can be woken.

mod ended;
mod look;
pub mod pacing;
mod reply;
mod send;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use serde::Serialize;
use tokio::sync::{oneshot, watch};
// The clock of the timers, so that tests move both together.
use tokio::time::Instant;

use crate::mailbox::{Command, Envelope, Handle, MailboxShown, MailboxStats};
use crate::ports::{Messenger, Outbox, Rendered};
use pacing::{Pacing, PacingSettings, Paused};
use reply::Reply;

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
    pub fn is_fresh(&self, now: impl Into<Instant>) -> bool {
        now.into().saturating_duration_since(self.renewed) < FRESH
    }
}

/// What operations see of the sender of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NotifierShown {
    /// The epoch in which this node sends; `None` when another one does.
    pub epoch: Option<i64>,
    /// Messages on their way to Telegram.
    pub under_way: usize,
    /// Chats that may not be written to now.
    pub paused_chats: Paused,
    /// Answers and alarms that wait for their chats' next turns.
    pub replies: usize,
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
    pulse: watch::Receiver<Instant>,
    finishing: Arc<AtomicBool>,
    woken: Arc<AtomicBool>,
    stats: Arc<MailboxStats>,
}

/// Answers that may wait, and one wake-up.
const QUEUE: usize = 256;
/// How often the actor looks without being woken.
const TICK: Duration = Duration::from_millis(250);

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
        let (beat, pulse) = watch::channel(Instant::now());
        let finishing = Arc::<AtomicBool>::default();
        let finishes = Arc::clone(&finishing);
        let woken = Arc::<AtomicBool>::default();
        let wakes = Arc::clone(&woken);
        let actor = Handle::start(arbiter, QUEUE, &stats, move |_| NotifierActor {
            outbox,
            messenger,
            leadership,
            settings,
            pacing: Pacing::new(settings),
            seeded_epoch: None,
            looking: false,
            look_again: false,
            look_at_many: false,
            followed: None,
            keeping_house: false,
            kept_house: None,
            shown: show,
            beat,
            finishing: finishes,
            woken: wakes,
            replies: VecDeque::new(),
        });
        Self {
            actor,
            shown,
            pulse,
            finishing,
            woken,
            stats,
        }
    }

    /// There are notices. Never waits, and costs next to nothing while a wake-up stands that was not followed yet.
    pub fn wake(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) && self.actor.send(NotifierCommand::Wake).is_err() {
            // The mailbox is full, and the actor looks without being woken, too.
            self.woken.store(false, Ordering::Release);
        }
    }

    /// Sends an answer to a chat in its next turn, before its notices. `None` when too much waits already;
    /// whoever asked will ask again. One that was taken is tried for a minute. The receiver is told
    /// whether Telegram has it; it is closed without a word when it was given up.
    #[must_use]
    pub fn reply(&self, chat_id: i64, message: Rendered) -> Option<oneshot::Receiver<bool>> {
        let (done, taken) = oneshot::channel();
        let command = NotifierCommand::Reply { chat_id, message, done };
        self.actor.send(command).is_ok().then_some(taken)
    }

    /// Nothing is sent to anybody for so long: Telegram has asked the whole bot to wait.
    pub fn pause(&self, pause: Duration) {
        if self.actor.send(NotifierCommand::Pause(pause)).is_err() {
            tracing::warn!("the sender takes no pause; Telegram will ask each chat for it");
        }
    }

    /// When the actor last looked around, with or without being the leader; the channel closes when the
    /// actor ends.
    #[must_use]
    pub fn pulse(&self) -> watch::Receiver<Instant> {
        self.pulse.clone()
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

    /// Begins no further message, and waits until those on their way are taken and recorded, at most until
    /// the deadline. The leadership must last as long: the next leader would send them again.
    pub async fn finish(&self, deadline: std::time::Instant) -> bool {
        self.finishing.store(true, Ordering::Release);
        // The actor looks around and shows no epoch any more; from then on it begins nothing.
        self.wake();
        let mut shown = self.shown.clone();
        let finished = shown.wait_for(|shown| shown.epoch.is_none() && shown.under_way == 0);
        tokio::time::timeout_at(deadline.into(), finished)
            .await
            .is_ok_and(|shown| shown.is_ok())
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
        /// Told whether Telegram has it.
        done: oneshot::Sender<bool>,
    },
    /// Send nothing for so long.
    Pause(Duration),
}

impl Command for NotifierCommand {
    const MESSAGES: &'static [&'static str] = &["wake", "reply", "pause"];

    fn message(&self) -> usize {
        match self {
            Self::Wake => 0,
            Self::Reply { .. } => 1,
            Self::Pause(_) => 2,
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
    /// A message had room for all that the last look found of its chat.
    look_at_many: bool,
    /// When a wake-up was last followed.
    followed: Option<Instant>,
    /// The outbox is being put right.
    keeping_house: bool,
    /// When the outbox was last put right.
    kept_house: Option<Instant>,
    shown: watch::Sender<NotifierShown>,
    /// Shows that this actor lives.
    beat: watch::Sender<Instant>,
    /// Nothing is begun any more, although this node may still lead.
    finishing: Arc<AtomicBool>,
    /// A wake-up stands in the mailbox, or waits for its look.
    woken: Arc<AtomicBool>,
    /// Answers that wait for their chat's next turn; each keeps its place in the mailbox.
    replies: VecDeque<Reply>,
}

impl Actor for NotifierActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, |actor, context| {
            actor.beat.send_replace(Instant::now());
            actor.look(context);
        });
    }
}

impl Handler<Envelope<NotifierCommand>> for NotifierActor {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<NotifierCommand>, context: &mut Self::Context) {
        let (command, waiting) = envelope.open();
        let working = waiting.begin();
        match command {
            NotifierCommand::Reply { chat_id, message, done } => {
                let reply = Reply {
                    chat_id,
                    message,
                    done,
                    since: Instant::now(),
                    _working: working,
                };
                self.take_reply(reply);
            }
            NotifierCommand::Pause(pause) => self.pacing.pause_all_for(pause, Instant::now()),
            NotifierCommand::Wake => return self.look_soon(context),
        }
        self.look(context);
    }
}

impl NotifierActor {
    /// The epoch in which this node may begin to send now.
    fn epoch(&self) -> Option<i64> {
        if self.finishing.load(Ordering::Acquire) {
            return None;
        }
        let leadership = *self.leadership.borrow();
        leadership
            .filter(|leadership| leadership.is_fresh(Instant::now()))
            .map(|leadership| leadership.epoch)
    }

    fn show(&self, change: impl FnOnce(&mut NotifierShown)) {
        self.shown.send_if_modified(|shown| {
            let before = shown.clone();
            change(shown);
            shown.under_way = self.pacing.under_way();
            shown.paused_chats = self.pacing.paused(Instant::now());
            shown.replies = self.replies.len();
            *shown != before
        });
    }
}
