//! What must have come of an order, worked out from what was sent and what was answered.
//!
//! Written from the protocol alone. No rule of the service is called here: a simulator that expects
//! what the service's own code says would agree with every mistake in it.

mod timeline;

use std::collections::{BTreeMap, BTreeSet};

use super::catalogue::Money;
use super::plan::{Event, OrderPlan, Version};
use super::play::Arrival;
use super::sender::{Answer, Reply};
use super::stored::{StoredLine, StoredOrder, StoredTotal};
use timeline::Timeline;

/// Where the stored order differs from every state that is allowed; empty when it does not.
pub(super) fn differences(plan: &OrderPlan, arrivals: &[Arrival], stored: Option<&StoredOrder>) -> Vec<String> {
    let timeline = Timeline::new(plan, arrivals);
    let mut found = answer_differences(plan, arrivals, stored);
    found.extend(event_differences(plan, arrivals, stored));
    let (_, created) = timeline.sent_and_stored("created");
    match stored {
        // Without created there is no document; that the hook was lost is reported as such.
        None if !created => {}
        None => found.push("the order is unknown".to_owned()),
        Some(stored) if !created && stored.status == "announced" => {}
        Some(stored) => {
            found.extend(state_differences(plan, &timeline, stored));
            if stored.conflict && !timeline.change_may_follow_closing() {
                found.push("a conflict is flagged where nothing contradicts".to_owned());
            }
            let store = plan.facts.store_id.as_str();
            compare(&mut found, "store", &stored.store_id.as_deref(), &Some(store));
        }
    }
    found
}

/// Every created is answered with the number under which the order is stored, and with one time.
fn answer_differences(plan: &OrderPlan, arrivals: &[Arrival], stored: Option<&StoredOrder>) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut numbers = BTreeSet::new();
    let mut times = BTreeSet::new();
    for arrival in arrivals {
        let event = plan.steps[arrival.step].event;
        let is_created = event == Event::Created;
        let Reply::Acknowledged(answer) = &arrival.tried.reply else {
            continue;
        };
        match answer {
            None => {
                found.insert(format!(
                    "{} was acknowledged without an answer to read",
                    event.canonical()
                ));
            }
            Some(Answer {
                status,
                number,
                expected_assembly_time: time,
            }) => {
                let expected = if is_created { "created" } else { "ok" };
                if status != expected || is_created && (number.is_none() || time.is_none()) {
                    found.insert(format!(
                        "{} was answered {status:?} incompletely or wrongly",
                        event.canonical()
                    ));
                }
                numbers.extend(number.as_deref());
                times.extend(time.as_deref().filter(|_| is_created));
            }
        }
    }
    if times.len() > 1 {
        found.insert(format!("created was answered with several times: {times:?}"));
    }
    numbers.extend(stored.and_then(|stored| stored.number.as_deref()));
    if numbers.len() > 1 {
        found.insert(format!("the order has several numbers: {numbers:?}"));
    }
    found.into_iter().collect()
}

/// Every acknowledged hook is in the history, and none more often than it was sent.
fn event_differences(plan: &OrderPlan, arrivals: &[Arrival], stored: Option<&StoredOrder>) -> Vec<String> {
    let mut sent = BTreeMap::<&str, (usize, usize)>::new();
    for arrival in arrivals {
        let (tries, acknowledged) = sent.entry(plan.steps[arrival.step].event.canonical()).or_default();
        *tries += 1;
        *acknowledged += usize::from(arrival.tried.is_acknowledged());
    }
    let history = stored.map(|stored| stored.events.as_slice()).unwrap_or_default();
    let mut found = Vec::new();
    for (name, (tries, acknowledged)) in sent {
        let stored = history
            .iter()
            .filter(|event| event.event == name && event.outcome != "rejected")
            .count();
        if stored < acknowledged {
            found.push(format!("{name}: {acknowledged} acknowledged, {stored} stored"));
        } else if stored > tries {
            found.push(format!("{name}: {tries} sent, {stored} stored"));
        }
    }
    found
}

/// The marks of an order, and the words that follow from them.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    paid: bool,
    shipped: bool,
    delivered: bool,
    cancelled: bool,
}

impl Marks {
    /// Of these names, those whose event has come.
    fn of(events: &BTreeSet<&str>) -> Self {
        let delivered = events.contains("delivered");
        Self {
            paid: events.contains("paid"),
            shipped: delivered || events.contains("received"),
            delivered,
            cancelled: events.contains("cancelled"),
        }
    }

    const fn status(self) -> &'static str {
        if self.delivered {
            "delivered"
        } else if self.cancelled {
            "cancelled"
        } else if self.shipped {
            "shipped"
        } else if self.paid {
            "paid"
        } else {
            "new"
        }
    }

    const fn closed(self) -> bool {
        self.paid || self.shipped || self.delivered || self.cancelled
    }

    /// Marks do not depend on the order of arrival: each acknowledged event sets its own, each other
    /// one that was sent may have.
    fn allowed(timeline: &Timeline<'_>) -> Vec<Self> {
        let mut allowed = vec![BTreeSet::new()];
        for name in ["paid", "received", "delivered", "cancelled"] {
            let (sent, stored) = timeline.sent_and_stored(name);
            let without = if stored { Vec::new() } else { allowed.clone() };
            if sent {
                for events in &mut allowed {
                    events.insert(name);
                }
                allowed.extend(without);
            }
        }
        allowed.iter().map(Self::of).collect()
    }
}

/// What differs from the nearest allowed state.
fn state_differences(plan: &OrderPlan, timeline: &Timeline<'_>, stored: &StoredOrder) -> Vec<String> {
    let versions = timeline.last_versions();
    let mut nearest: Option<Vec<String>> = None;
    for marks in Marks::allowed(timeline) {
        // The newest version first: it is what one expects to read where all of them differ.
        for version in versions.iter().rev() {
            let found = compare_state(plan, marks, &plan.versions[*version], stored);
            if nearest.as_ref().is_none_or(|nearest| found.len() < nearest.len()) {
                nearest = Some(found);
            }
        }
    }
    nearest.unwrap_or_default()
}

fn compare_state(plan: &OrderPlan, marks: Marks, version: &Version, stored: &StoredOrder) -> Vec<String> {
    let mut found = Vec::new();
    compare(&mut found, "status", &stored.status.as_str(), &marks.status());
    compare(&mut found, "closed", &stored.closed, &marks.closed());
    compare(&mut found, "paid", &stored.paid_at.is_some(), &marks.paid);
    compare(&mut found, "shipped", &stored.shipped_at.is_some(), &marks.shipped);
    compare(
        &mut found,
        "delivered",
        &stored.delivered_at.is_some(),
        &marks.delivered,
    );
    compare(
        &mut found,
        "cancelled",
        &stored.cancelled_at.is_some(),
        &marks.cancelled,
    );
    let paid = plan.paid.as_ref().filter(|_| marks.paid);
    let (lines, expected_lines) = (relevant_lines(&stored.positions), expected_lines(version, paid));
    if lines != expected_lines {
        let list = |lines: &[StoredLine]| lines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        found.push(format!(
            "positions are [{}], expected [{}]",
            list(&lines),
            list(&expected_lines)
        ));
    }
    let totals = paid.unwrap_or(version);
    let total = StoredTotal {
        price: Some(totals.total().to_string()),
        discount_price: Some(totals.discount_total().to_string()),
    };
    if stored.total != total {
        found.push(format!("total is {}, expected {total}", stored.total));
    }
    compare(&mut found, "comment", &stored.comment.as_deref(), &version.comment);
    found
}

/// A removed line stays with the amount 0. It may come from a version that was applied for a while;
/// nothing more is expected of it.
fn relevant_lines(lines: &[StoredLine]) -> Vec<StoredLine> {
    let mut relevant: Vec<StoredLine> = lines
        .iter()
        .filter(|line| line.quantity != "0" || line.replaced_by.is_some())
        .cloned()
        .collect();
    relevant.sort();
    relevant
}

/// Paid corrects the prices of the lines that are there, and no amounts.
fn expected_lines(version: &Version, paid: Option<&Version>) -> Vec<StoredLine> {
    let text = |money: Money| Some(money.to_string());
    let lines = version.lines.iter().map(|line| {
        let priced = paid
            .and_then(|paid| paid.lines.iter().find(|it| it.product == line.product))
            .unwrap_or(line);
        StoredLine {
            id: line.product.id.to_owned(),
            quantity: line.quantity.to_string(),
            price: text(priced.price),
            discount_price: text(priced.discount),
            replaced_by: line.replaced_by.map(str::to_owned),
        }
    });
    relevant_lines(&lines.collect::<Vec<_>>())
}

fn compare<T: PartialEq + std::fmt::Debug>(found: &mut Vec<String>, what: &str, stored: &T, expected: &T) {
    if stored != expected {
        found.push(format!("{what} is {stored:?}, expected {expected:?}"));
    }
}

#[cfg(test)]
mod tests;
