//! Mailboxes that really refuse, and that can be watched.
//!
//! actix gives neither: its capacity is per sender, so that a cloned address bypasses it, and it
//! shows no depth. Here a gate stands before each mailbox. Entering takes a slot, which travels
//! inside the message and is given back when it is dropped, whether the message was handled,
//! skipped or died with its actor. The depth that is shown is therefore the depth that is enforced.
//!
//! This is the only file that touches `Addr`. Messages go out by `try_send` to a mailbox without a
//! limit of its own; a reply travels by a channel inside the command, so that a caller who goes
//! away never erases work that was admitted.

mod stats;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::dev::{MessageResponse, ToEnvelope};
use actix::{Actor, Addr, Handler, Message};

pub use stats::{MailboxShown, MailboxStats, MessageShown, TimingShown};

/// A message that a mailbox carries. Its names are a closed list: they are metric labels.
pub trait Command: Send + 'static {
    /// The names of all messages of this type.
    const MESSAGES: &'static [&'static str];

    /// Which of [`Command::MESSAGES`] this one is.
    fn message(&self) -> usize;
}

/// Why a command was not taken, with the command itself.
#[derive(Debug)]
pub enum Refused<C> {
    /// The bound is met.
    Full(C),
    /// The actor has stopped or is about to.
    Closed(C),
}

/// The bound of one mailbox.
#[derive(Debug)]
pub struct Gate {
    /// Slots that are taken, or [`CLOSED`].
    taken: AtomicUsize,
    /// When the command that is being handled began, or the first one came, in microseconds of the
    /// clock of `stats`.
    moved_at: AtomicU64,
    capacity: usize,
    stats: Arc<MailboxStats>,
}

/// A gate with this many slots taken lets nobody in, ever again.
const CLOSED: usize = usize::MAX;

enum NoEntry {
    Full,
    Closed,
}

impl Gate {
    fn new(capacity: usize, stats: Arc<MailboxStats>) -> Arc<Self> {
        stats.opened(capacity);
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            moved_at: AtomicU64::new(0),
            capacity,
            stats,
        })
    }

    fn enter(self: &Arc<Self>, message: usize) -> Result<Slot, NoEntry> {
        let entered = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
            (taken != CLOSED && taken < self.capacity).then(|| taken + 1)
        });
        match entered {
            Ok(before) => {
                self.stats.entered(message, before + 1, self.capacity);
                Ok(Slot {
                    gate: Arc::clone(self),
                    message,
                })
            }
            Err(CLOSED) => Err(NoEntry::Closed),
            Err(_) => {
                self.stats.refuse(message);
                Err(NoEntry::Full)
            }
        }
    }

    /// Commands that wait or are being handled now; 0 when closed.
    #[must_use]
    pub fn depth(&self) -> usize {
        match self.taken.load(Ordering::Acquire) {
            CLOSED => 0,
            taken => taken,
        }
    }

    /// How long nothing has moved: since the command under way began, or since the first one came if
    /// none was begun yet. Zero when nothing is inside.
    #[must_use]
    pub fn standing(&self) -> Duration {
        if self.depth() == 0 {
            return Duration::ZERO;
        }
        let moved_at = self.moved_at.load(Ordering::Relaxed);
        Duration::from_micros(self.stats.clock(Instant::now()).saturating_sub(moved_at))
    }

    fn moved(&self, now: Instant) {
        self.moved_at.store(self.stats.clock(now), Ordering::Relaxed);
    }

    /// Closes the gate for good if nothing is inside. After `true` no command can get in, so that
    /// the actor behind may be dropped without losing one.
    #[must_use]
    pub fn close_if_empty(&self) -> bool {
        self.taken
            .compare_exchange(0, CLOSED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stats.gone(self.capacity);
    }
}

/// A taken place in a mailbox; given back on drop.
#[derive(Debug)]
struct Slot {
    gate: Arc<Gate>,
    message: usize,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // A closed gate had nothing inside, so a slot that is dropped always counts.
        let before = self.gate.taken.fetch_sub(1, Ordering::AcqRel);
        self.gate.stats.left(self.message, before, self.gate.capacity);
    }
}

/// A command on its way, with what is needed to measure it.
#[derive(Debug)]
pub struct Envelope<C> {
    command: C,
    waiting: Waiting,
}

impl<C: Command> Message for Envelope<C> {
    type Result = ();
}

impl<C> Envelope<C> {
    /// Takes the command out. The place in the mailbox stays taken while [`Waiting`] or the
    /// [`Working`] made of it lives.
    #[must_use]
    pub fn open(self) -> (C, Waiting) {
        (self.command, self.waiting)
    }
}

/// A command that waits: in the mailbox, or in a queue of its actor.
#[derive(Debug)]
pub struct Waiting {
    slot: Slot,
    since: Instant,
}

impl Waiting {
    /// How long it has waited so far.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.since.elapsed()
    }

    /// Its actor does not take it: it counts as refused, and its place is free.
    pub fn turn_away(self) {
        self.slot.gate.stats.refuse(self.slot.message);
    }

    /// The work begins: the time of waiting is recorded.
    #[must_use]
    pub fn begin(self) -> Working {
        let now = Instant::now();
        self.slot.gate.moved(now);
        self.slot.gate.stats.waited(self.slot.message, now - self.since);
        Working {
            slot: self.slot,
            since: now,
        }
    }
}

/// A command that is being handled; when it is dropped the time is recorded and the place is free.
#[derive(Debug)]
pub struct Working {
    slot: Slot,
    since: Instant,
}

impl Drop for Working {
    fn drop(&mut self) {
        let slot = &self.slot;
        slot.gate.stats.handled(slot.message, self.since.elapsed());
    }
}

/// How others reach an actor.
#[derive(Debug)]
pub struct Handle<A: Actor> {
    addr: Addr<A>,
    gate: Arc<Gate>,
}

impl<A: Actor> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self {
            addr: self.addr.clone(),
            gate: Arc::clone(&self.gate),
        }
    }
}

impl<A: Actor<Context = actix::Context<A>>> Handle<A> {
    /// Starts an actor on the given arbiter behind a mailbox that holds `capacity` commands. It ends
    /// when its last handle is dropped.
    pub fn start(
        arbiter: &actix_rt::ArbiterHandle,
        capacity: usize,
        stats: &Arc<MailboxStats>,
        make: impl FnOnce(&mut actix::Context<A>) -> A + Send + 'static,
    ) -> Self {
        let addr = A::start_in_arbiter(arbiter, |context| {
            // 0 means without limit: the gate is the only bound.
            context.set_mailbox_capacity(0);
            make(context)
        });
        Self {
            addr,
            gate: Gate::new(capacity, Arc::clone(stats)),
        }
    }

    /// Sends a command, or says at once why it was not taken.
    ///
    /// # Errors
    /// [`Refused`] with the command.
    pub fn send<C: Command>(&self, command: C) -> Result<(), Refused<C>>
    where
        A: Handler<Envelope<C>>,
        A::Context: ToEnvelope<A, Envelope<C>>,
        (): MessageResponse<A, Envelope<C>>,
    {
        let slot = match self.gate.enter(command.message()) {
            Ok(slot) => slot,
            Err(NoEntry::Full) => return Err(Refused::Full(command)),
            Err(NoEntry::Closed) => return Err(Refused::Closed(command)),
        };
        let since = Instant::now();
        if slot.gate.depth() == 1 {
            slot.gate.moved(since);
        }
        let waiting = Waiting { slot, since };
        let envelope = Envelope { command, waiting };
        self.addr.try_send(envelope).map_err(|error| match error {
            actix::prelude::SendError::Full(envelope) => Refused::Full(envelope.command),
            actix::prelude::SendError::Closed(envelope) => Refused::Closed(envelope.command),
        })
    }

    /// The bound before the mailbox.
    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether both lead to the same actor.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gate, &other.gate)
    }
}
