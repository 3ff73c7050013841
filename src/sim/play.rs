//! One order from its first hook to the look at what is stored.

use std::ops::Range;

use futures_util::future::join_all;

use super::expectation;
use super::plan::OrderPlan;
use super::report::PlayedOrder;
use super::sender::{Sender, Try};

/// One try of one hook, as it came to the receiver or not.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    /// The place of the event in the plan.
    pub(super) step: usize,
    pub(super) tried: Try,
}

/// Plays an order and compares what is stored in the end.
pub(super) async fn play(sender: &Sender, plan: &OrderPlan) -> PlayedOrder {
    let mut order = PlayedOrder::new(plan);
    let mut arrivals: Vec<Arrival> = Vec::new();
    let mut next = 0;
    while next < plan.steps.len() {
        // Events that overlap are sent side by side: nobody says in which order they arrive.
        let together = 1 + plan.steps[next + 1..].iter().take_while(|step| step.overlaps).count();
        let group = next..next + together;
        let sent = join_all(group.clone().map(|step| sender.send(&plan.steps[step].body))).await;
        for (step, tries) in group.clone().zip(sent) {
            order.sent(plan.steps[step].event, &tries);
            arrivals.extend(tries.into_iter().map(|tried| Arrival { step, tried }));
        }
        if !is_acknowledged(0, &arrivals) {
            // SM cancels an order whose created is lost, and sends nothing more of it.
            break;
        }
        for step in due_repeats(plan, &group, &arrivals) {
            let tries = sender.send(&plan.steps[step].body).await;
            order.sent_again(plan.steps[step].event, &tries);
            arrivals.extend(tries.into_iter().map(|tried| Arrival { step, tried }));
        }
        next = group.end;
    }
    order.differences = match sender.read_back(&plan.facts.order_id).await {
        Ok(stored) => expectation::differences(plan, &arrivals, stored.as_ref()),
        Err(reason) => vec![format!("it cannot be read back: {reason}")],
    };
    order
}

fn is_acknowledged(step: usize, arrivals: &[Arrival]) -> bool {
    arrivals
        .iter()
        .any(|arrival| arrival.step == step && arrival.tried.is_acknowledged())
}

/// The acknowledged hooks that are sent once more after one of these steps, in the order of the plan.
fn due_repeats(plan: &OrderPlan, after: &Range<usize>, arrivals: &[Arrival]) -> Vec<usize> {
    let is_due = |step: &usize| {
        plan.steps[*step]
            .repeated_after
            .is_some_and(|place| after.contains(&place))
    };
    (0..plan.steps.len())
        .filter(is_due)
        .filter(|step| is_acknowledged(*step, arrivals))
        .collect()
}
