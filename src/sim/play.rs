//! One order from its first hook to the look at what is stored.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::expectation;
use super::plan::{Event, OrderPlan, SLOTS_PER_EVENT, Step};
use super::sender::{Hook, Sender, Try};
use super::tally::PlayedOrder;

/// One try of one hook, as it came to the receiver or not.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// The place of the event in the plan.
    pub(super) step: usize,
    pub(super) tried: Try,
}

/// Plays an order, each hook when what was sent before is answered, and compares what is stored in the end.
pub(super) async fn as_answers_come(sender: &Sender, plan: &OrderPlan) -> PlayedOrder {
    let mut played = Played::new(plan);
    let mut slots: Vec<u32> = plan
        .steps
        .iter()
        .flat_map(|step| [Some(step.slot), step.repeated_after])
        .flatten()
        .collect();
    slots.sort_unstable();
    slots.dedup();
    for slot in slots {
        // Events of one slot are sent side by side: nobody says in which order they arrive.
        let group = played.steps(|step| step.slot == slot);
        let sent = join_all(group.iter().map(|step| sender.send(hook(plan, *step, false)))).await;
        for (step, tries) in group.into_iter().zip(sent) {
            played.sent(step, tries);
        }
        if played.is_given_up() {
            break;
        }
        for step in played.steps(|step| step.repeated_after == Some(slot)) {
            if played.is_acknowledged(step) {
                let tries = sender.send(hook(plan, step, true)).await;
                played.sent_again(step, tries);
            }
        }
    }
    played.compared(sender).await
}

/// Plays an order whose hooks leave at their times, whether or not those before them were answered, and
/// compares what is stored in the end.
pub(super) async fn at_its_times(sender: &Sender, plan: &OrderPlan, begin: Instant, gap: Duration) -> PlayedOrder {
    let given_up = AtomicBool::new(false);
    let at = |slot: u32| tokio::time::sleep_until((begin + gap * slot / SLOTS_PER_EVENT).into());
    let sending = (0..plan.steps.len()).map(|step| {
        let (planned, given_up, at) = (&plan.steps[step], &given_up, &at);
        async move {
            at(planned.slot).await;
            if given_up.load(Ordering::Relaxed) {
                return None;
            }
            let tries = sender.send(hook(plan, step, false)).await;
            let is_acknowledged = tries.last().is_some_and(Try::is_acknowledged);
            if planned.event == Event::Created && !is_acknowledged {
                given_up.store(true, Ordering::Relaxed);
            }
            let mut again = Vec::new();
            if let Some(slot) = planned.repeated_after.filter(|_| is_acknowledged) {
                at(slot).await;
                again = sender.send(hook(plan, step, true)).await;
            }
            Some((step, tries, again))
        }
    });
    let sent = join_all(sending).await;
    let mut played = Played::new(plan);
    for (step, tries, again) in sent.into_iter().flatten() {
        played.sent(step, tries);
        if !again.is_empty() {
            played.sent_again(step, again);
        }
    }
    played.compared(sender).await
}

const fn hook(plan: &OrderPlan, step: usize, again: bool) -> Hook<'_> {
    Hook { plan, step, again }
}

/// What was sent of an order so far.
struct Played<'a> {
    plan: &'a OrderPlan,
    order: PlayedOrder,
    arrivals: Vec<Arrival>,
}

impl<'a> Played<'a> {
    fn new(plan: &'a OrderPlan) -> Self {
        Self {
            plan,
            order: PlayedOrder::new(plan),
            arrivals: Vec::new(),
        }
    }

    fn steps(&self, is_wanted: impl Fn(&Step) -> bool) -> Vec<usize> {
        (0..self.plan.steps.len())
            .filter(|step| is_wanted(&self.plan.steps[*step]))
            .collect()
    }

    fn sent(&mut self, step: usize, tries: Vec<Try>) {
        self.order.sent(self.plan.steps[step].event, &tries);
        self.arrived(step, tries);
    }

    fn sent_again(&mut self, step: usize, tries: Vec<Try>) {
        self.order.sent_again(self.plan.steps[step].event, &tries);
        self.arrived(step, tries);
    }

    fn arrived(&mut self, step: usize, tries: Vec<Try>) {
        self.arrivals
            .extend(tries.into_iter().map(|tried| Arrival { step, tried }));
    }

    fn is_acknowledged(&self, step: usize) -> bool {
        let mut of_step = self.arrivals.iter().filter(|arrival| arrival.step == step);
        of_step.any(|arrival| arrival.tried.is_acknowledged())
    }

    /// SM cancels an order whose created is never answered, and sends nothing more of it.
    fn is_given_up(&self) -> bool {
        let created = self.steps(|step| step.event == Event::Created);
        let was_sent = |step: &usize| self.arrivals.iter().any(|arrival| arrival.step == *step);
        created
            .iter()
            .any(|step| was_sent(step) && !self.is_acknowledged(*step))
    }

    async fn compared(mut self, sender: &Sender) -> PlayedOrder {
        self.order.cancelled_by_sm = self.is_given_up();
        self.order.differences = match sender.read_back(&self.plan.facts.order_id).await {
            None => Vec::new(),
            Some(Ok(stored)) => expectation::differences(self.plan, &self.arrivals, stored.as_ref()),
            Some(Err(reason)) => vec![format!("it cannot be read back: {reason}")],
        };
        self.order
    }
}
