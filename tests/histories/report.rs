//! A failure as a person can read it.

use std::fmt::Write as _;
use std::time::Instant;

use crate::check::Case;
use crate::plan::Plan;
use crate::story::history;

/// At most so many orders are printed.
const PRINTED: usize = 3;

/// Panics when anything is wrong with any order.
pub(crate) fn report(plan: &Plan, started: Instant, failed: &[(Case<'_>, Vec<String>)]) {
    if failed.is_empty() {
        return;
    }
    let mut text = format!("{} of {} orders are wrong\n", failed.len(), plan.orders);
    for (case, complaints) in failed.iter().take(PRINTED) {
        let id = &case.sent[0].hook.event.order_id;
        let _ = writeln!(text, "\n== {id}");
        for complaint in complaints {
            let _ = writeln!(text, "-- {complaint}");
        }
        history(&mut text, case, started);
    }
    let seed = plan.seed;
    panic!("{text}\nthe same orders and the same plan again: ORDERHOOK_HISTORY_SEED={seed}");
}
