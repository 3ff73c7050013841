//! Starts the actors in order and drains them in reverse.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_rt::ArbiterHandle;
use orderhook_domain::apply::{Outcome, Rules};
use orderhook_domain::protocol::FieldError;
use tokio::time::MissedTickBehavior;

use crate::admission::Admission;
use crate::answers_actor::{AnswersCommand, AnswersHandle};
use crate::error::DeliverError;
use crate::mailbox::{MailboxShown, MailboxStats};
use crate::order_actor::{FinishedOrders, OrderCommand, OrderContext};
use crate::persistence_actor::{NoticesWritten, PersistenceCommand, PersistenceHandle, PersistenceSettings};
use crate::ports::{Arrival, Commit, OrderStore};
use crate::registry::{OrderRegistry, OrderSettings};

/// How the actors are sized, and what the partner decides.
#[derive(Debug, Clone, Copy)]
pub struct SystemSettings {
    /// Order actors.
    pub orders: OrderSettings,
    /// Persistence actors.
    pub persistence: PersistenceSettings,
    /// Within this time a hook must be answered: what would wait too long is not admitted.
    pub answer_time: Duration,
    /// The partner's rules.
    pub rules: Rules,
}

/// The running actors of a node.
pub struct Actors {
    /// Where hooks go.
    pub orders: OrderRegistry,
    /// Where answers are noted.
    pub answers: AnswersHandle,
    /// Asked before a hook is parsed.
    pub admission: Arc<Admission>,
    persistence: PersistenceHandle,
    order_stats: Arc<MailboxStats>,
    persistence_stats: Arc<MailboxStats>,
    answers_stats: Arc<MailboxStats>,
}

/// How often the actors of finished orders retire.
const RETIRE_EVERY: Duration = Duration::from_secs(1);
/// Idle actors are looked for so many times in the time that makes one idle, at most once a second and at least
/// once a minute.
const IDLE_LOOKS: u32 = 8;
const IDLE_LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often draining looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

impl Actors {
    /// Starts the actors on these threads, at least one; they must outlive the actors' draining.
    pub fn start(
        settings: SystemSettings,
        arbiters: &[ArbiterHandle],
        store: Arc<dyn OrderStore>,
        notices_written: &NoticesWritten,
    ) -> Self {
        let order_stats = MailboxStats::new::<OrderCommand>("order");
        let persistence_stats = MailboxStats::new::<PersistenceCommand>("persistence");
        let answers_stats = MailboxStats::new::<AnswersCommand>("answers");

        let admission = Admission::new(
            settings.answer_time,
            settings.persistence.batch_rows,
            Arc::clone(&persistence_stats),
        );
        for arbiter in arbiters {
            arbiter.spawn(Arc::clone(&admission).watch_turns());
        }
        let persistence = PersistenceHandle::start(
            arbiters,
            settings.persistence,
            &store,
            notices_written,
            &persistence_stats,
            &admission,
        );
        let answers = AnswersHandle::start(&arbiters[0], &store, &answers_stats);
        let context = Arc::new(OrderContext {
            store,
            persistence: persistence.clone(),
            answers: answers.clone(),
            rules: settings.rules,
            finished: FinishedOrders::default(),
        });
        let orders = OrderRegistry::new(context, settings.orders, arbiters.to_vec(), Arc::clone(&order_stats));
        arbiters[0].spawn(retire(orders.clone(), settings.orders.idle));
        Self {
            orders,
            answers,
            admission,
            persistence,
            order_stats,
            persistence_stats,
            answers_stats,
        }
    }

    /// Makes an arrival durable that concerns no order: a body that can never be read, or an unknown
    /// event without a valid order id.
    ///
    /// # Errors
    /// [`DeliverError`]; the arrival may then not be stored.
    pub fn record(
        &self,
        arrival: Arc<Arrival>,
        outcome: Outcome,
        errors: Vec<FieldError>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), DeliverError>> + use<> {
        let commit = Commit {
            arrival,
            outcome,
            notes: Vec::new(),
            errors,
            order: None,
            keeps_document: false,
            stock: Vec::new(),
            notice: None,
            deadline,
        };
        // Stored before or now: both are durable. Stale cannot be: there is no version.
        let committing = tokio::time::timeout_at(deadline.into(), self.persistence.commit(commit));
        async move {
            let committed = committing.await.unwrap_or(Err(DeliverError::Deadline));
            committed.map(|_committed| ())
        }
    }

    /// What operations see of the mailboxes.
    #[must_use]
    pub fn mailboxes(&self) -> Vec<MailboxShown> {
        [&self.order_stats, &self.persistence_stats, &self.answers_stats]
            .map(|stats| stats.shown())
            .into()
    }

    /// Admits nothing more and waits until every hook inside is answered and recorded, at most until
    /// the deadline. Returns whether all mailboxes are empty.
    pub async fn drain(&self, deadline: Instant) -> bool {
        self.orders.stop_admitting();
        for stats in [&self.order_stats, &self.persistence_stats, &self.answers_stats] {
            while stats.depth() > 0 {
                if Instant::now() >= deadline {
                    tracing::warn!(
                        actor = stats.actor(),
                        depth = stats.depth(),
                        "draining ended before the mailbox was empty"
                    );
                    return false;
                }
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        }
        true
    }
}

/// Has actors leave the memory until their thread ends.
async fn retire(orders: OrderRegistry, idle: Duration) {
    let mut idle_looked = Instant::now();
    let idle_look = (idle / IDLE_LOOKS).clamp(IDLE_LOOK.0, IDLE_LOOK.1);
    let mut look = tokio::time::interval(RETIRE_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        orders.retire_finished();
        if idle_looked.elapsed() >= idle_look {
            let orders = orders.clone();
            // Some 30 ms for 100 000 of them, which a thread that reads hooks should not lose at once.
            let _ = tokio::task::spawn_blocking(move || orders.retire_idle()).await;
            idle_looked = Instant::now();
        }
    }
}
