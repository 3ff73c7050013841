//! The record of answers: which created and changed SM got its answer to (protocol section 5,
//! rules 5 and 9). It is written in batches, off the path of the answer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, SpawnHandle, WrapFuture};
use orderhook_domain::ids::DeliveryId;
use tokio::sync::oneshot;

use crate::error::DeliverError;
use crate::mailbox::{Command, Envelope, Handle, MailboxStats, Refused, Working};
use crate::metrics;
use crate::ports::{Answered, OrderStore, StoreError};

/// Answers that may wait to be recorded. Beyond that the newest are given up, which only means that
/// they count as unanswered.
const QUEUE: usize = 65_536;

/// The pause between two batches. Short: a record that is lost with its process makes a genuine
/// return to an earlier composition look like a late repeat.
const PAUSE: Duration = Duration::from_millis(100);

/// The pause after the database failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// How others reach the answers actor.
#[derive(Clone)]
pub struct AnswersHandle(Handle<AnswersActor>);

impl AnswersHandle {
    /// Starts the actor.
    pub fn start(arbiter: &actix_rt::ArbiterHandle, store: &Arc<dyn OrderStore>, stats: &Arc<MailboxStats>) -> Self {
        let store = Arc::clone(store);
        Self(Handle::start(arbiter, QUEUE, stats, move |_| AnswersActor {
            store,
            waiting: Vec::new(),
            questions: Vec::new(),
            state: State::Idle,
        }))
    }

    /// Notes that an answer was given. Never waits.
    pub fn record(&self, answered: Answered) {
        if self.0.send(AnswersCommand::Record(answered)).is_err() {
            ::metrics::counter!(metrics::ANSWER_RECORDS_LOST_TOTAL).increment(1);
        }
    }

    /// Which of these were answered. What this process has noted before is recorded first.
    ///
    /// # Errors
    /// [`DeliverError`] when that cannot be known now.
    pub async fn answered(&self, deliveries: Vec<DeliveryId>) -> Result<HashSet<DeliveryId>, DeliverError> {
        let (reply, answer) = oneshot::channel();
        match self.0.send(AnswersCommand::Question { deliveries, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(DeliverError::Stopping)),
            Err(Refused::Full(_)) => Err(DeliverError::Busy),
            Err(Refused::Closed(_)) => Err(DeliverError::Stopping),
        }
    }
}

/// What the answers actor receives.
#[derive(Debug)]
pub enum AnswersCommand {
    /// An answer was given.
    Record(Answered),
    /// Which of these were answered?
    Question {
        /// The deliveries asked about.
        deliveries: Vec<DeliveryId>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<HashSet<DeliveryId>, DeliverError>>,
    },
}

impl Command for AnswersCommand {
    const MESSAGES: &'static [&'static str] = &["record", "question"];

    fn message(&self) -> usize {
        match self {
            Self::Record(_) => 0,
            Self::Question { .. } => 1,
        }
    }
}

struct Question {
    deliveries: Vec<DeliveryId>,
    reply: oneshot::Sender<Result<HashSet<DeliveryId>, DeliverError>>,
    _working: Working,
}

/// See the module.
pub struct AnswersActor {
    store: Arc<dyn OrderStore>,
    waiting: Vec<(Answered, Working)>,
    questions: Vec<Question>,
    state: State,
}

enum State {
    Idle,
    Writing,
    /// Between two batches; a question ends the pause.
    Pausing(SpawnHandle),
}

impl Actor for AnswersActor {
    type Context = Context<Self>;
}

impl Handler<Envelope<AnswersCommand>> for AnswersActor {
    type Result = ();

    fn handle(&mut self, envelope: Envelope<AnswersCommand>, context: &mut Self::Context) {
        let (command, waiting) = envelope.open();
        let working = waiting.begin();
        match command {
            AnswersCommand::Record(answered) => self.waiting.push((answered, working)),
            AnswersCommand::Question { deliveries, reply } => {
                self.questions.push(Question {
                    deliveries,
                    reply,
                    _working: working,
                });
                if let State::Pausing(timer) = self.state {
                    context.cancel_future(timer);
                    self.state = State::Idle;
                }
            }
        }
        if matches!(self.state, State::Idle) {
            self.write(context);
        }
    }
}

impl AnswersActor {
    /// Records what waits, then answers the questions that came after it.
    fn write(&mut self, context: &mut Context<Self>) {
        if self.waiting.is_empty() && self.questions.is_empty() {
            self.state = State::Idle;
            return;
        }
        self.state = State::Writing;
        let store = Arc::clone(&self.store);
        let waiting = std::mem::take(&mut self.waiting);
        let questions = std::mem::take(&mut self.questions);
        let work = async move {
            let answers: Vec<Answered> = waiting.iter().map(|(answered, _)| *answered).collect();
            let recorded = if answers.is_empty() {
                Ok(())
            } else {
                store.record_answers(answers).await
            };
            for question in questions {
                let answer = match &recorded {
                    Ok(()) => store
                        .answered(question.deliveries)
                        .await
                        .map_err(|error| deliver_error(&error)),
                    Err(error) => Err(deliver_error(error)),
                };
                // The order's actor may have died meanwhile.
                let _ = question.reply.send(answer);
            }
            match recorded {
                Ok(()) => Vec::new(),
                Err(error) => {
                    tracing::warn!(%error, answers = waiting.len(), "answers could not be recorded yet");
                    waiting
                }
            }
        };
        context.spawn(work.into_actor(self).map(|mut unrecorded, actor, context| {
            let pause = if unrecorded.is_empty() {
                PAUSE
            } else {
                PAUSE_AFTER_FAILURE
            };
            unrecorded.append(&mut actor.waiting);
            actor.waiting = unrecorded;
            actor.state = State::Pausing(context.run_later(pause, AnswersActor::write));
        }));
    }
}

fn deliver_error(error: &StoreError) -> DeliverError {
    match error {
        StoreError::Data(_) => DeliverError::Unstorable,
        StoreError::Transient(_) | StoreError::Unavailable(_) => DeliverError::Unavailable,
    }
}
