//! The traffic light: from what is known of a node to a colour and its reasons in words. Pure.

use std::cmp::Reverse;
use std::time::Duration;

use serde::Serialize;

use crate::db::outbox::COUNTED;

/// How bad it is; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Hooks are answered in time and nothing piles up.
    Green,
    /// Hooks are answered; somebody should look within the hour.
    Yellow,
    /// Hooks are refused or not answered in time, or staff hear of nothing: somebody must look now, as whoever
    /// is woken up by a critical alert.
    Red,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// How bad it is.
    pub colour: Colour,
    /// What is wrong and what follows from it.
    pub text: String,
    /// What to do first.
    pub advice: &'static str,
}

/// The traffic light.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Light {
    /// The worst of the reasons; green without any.
    pub colour: Colour,
    /// The worst first.
    pub reasons: Vec<Reason>,
}

/// Everything that the light depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The node is about to end.
    pub draining: bool,
    /// Why the database cannot be used; `None` when it can.
    pub database: Option<String>,
    /// Hooks answered within the last [`WINDOW`], and those that were not answered in time.
    pub answered: u64,
    /// See `answered`.
    pub late: u64,
    /// Hooks answered 503 within the last [`WINDOW`]: they are not known to be stored.
    pub unavailable: u64,
    /// Hooks refused within the last [`WINDOW`]: a queue was full, or the node over capacity.
    pub busy: u64,
    /// Refusals of mailboxes within the last [`WINDOW`]; what is missing to `busy` was refused at the door.
    pub queue_refusals: u64,
    /// How long even the luckiest hook waits for its transaction.
    pub standing_wait: Duration,
    /// How long it waits for a turn on the threads that read hooks.
    pub turn_wait: Duration,
    /// A hook not committed by then is answered 503.
    pub answer_deadline: Duration,
    /// Orders whose queue is at least half full.
    pub crowded_orders: usize,
    /// Events that may wait for one order.
    pub order_queue: usize,
    /// The order whose event has been under way the longest; `None` when nobody looked.
    pub standing: Option<(String, Duration)>,
    /// Group commits of the last [`WINDOW`] that failed in passing.
    pub commits_failed: u64,
    /// Commits that wait in all persistence actors, and how many may.
    pub commits_waiting: usize,
    /// See `commits_waiting`.
    pub commit_queue: usize,
    /// What only the database knows and nobody has counted lately, and why.
    pub uncounted: Vec<(&'static str, String)>,
    /// How long no node has sent to Telegram, as far as this one knows.
    pub nobody_sends: Duration,
    /// Notices that wait to be sent.
    pub notices_pending: i64,
    /// The age of the oldest of them.
    pub oldest_notice: Duration,
    /// A notice that waits longer is told.
    pub outbox_limit: Duration,
    /// Telegram does not accept the bot's token.
    pub token_refused: bool,
    /// Chats that wait because sending to them failed.
    pub failing_chats: usize,
    /// Stores whose open orders nobody is told about.
    pub stores_without_chat: usize,
    /// Chats that Telegram refuses.
    pub chats_disabled: usize,
    /// Hooks of the last hour that can never be accepted.
    pub fresh_rejects: usize,
    /// Open orders that came to contradict themselves within the last hour.
    pub fresh_conflicts: usize,
    /// Orders of which created has not come for ten minutes.
    pub orders_announced: usize,
}

/// How long an answer that was not given in time is held against the node.
pub const WINDOW: Duration = Duration::from_secs(30);
/// A standby takes over within a few seconds; what is known of the sender is a quarter of a minute old.
const NOBODY_SENDS: Duration = Duration::from_secs(30);

/// The colour and its reasons.
#[must_use]
pub fn light(seen: &Seen) -> Light {
    let mut reasons = Vec::new();
    answers(seen, &mut reasons);
    queues(seen, &mut reasons);
    staff(seen, &mut reasons);
    // Stable: within a colour the order of the checks stays.
    reasons.sort_by_key(|reason| Reverse(reason.colour));
    Light {
        colour: reasons.first().map_or(Colour::Green, |worst| worst.colour),
        reasons,
    }
}

/// Whether SM gets its answers.
fn answers(seen: &Seen, reasons: &mut Vec<Reason>) {
    if seen.draining {
        reasons.push(red(
            "This node is draining: it takes no new hooks and is about to end.".to_owned(),
            "Nothing, if it is being restarted: it ends by itself, and other nodes take its hooks.",
        ));
    }
    if let Some(cause) = &seen.database {
        reasons.push(red(
            format!("No usable database: {cause}. Hooks are answered 503; SM and nginx repeat them."),
            "Is PostgreSQL running, writable, and reachable from this machine? Bring it back or promote the standby: \
             the node finds it by itself. Runbook: OrderhookDatabaseAway.",
        ));
    }
    // One in a hundred is what SM's repeats absorb without anybody noticing.
    let by_share = |count: u64, text: String, advice: &'static str| {
        let many = count.saturating_mul(100) >= seen.answered;
        if many { red(text, advice) } else { yellow(text, advice) }
    };
    // What ran into its deadline is told below.
    if seen.unavailable > seen.late {
        let refused = format!(
            "{} of {} hooks were answered 503 during the last {} s: nothing was stored, SM repeats them.",
            seen.unavailable,
            seen.answered,
            WINDOW.as_secs(),
        );
        let advice = "Look at pg_stat_activity and at PostgreSQL's disk and log; the log of this node names the cause. \
                      Runbook: OrderhookHooksRefused.";
        reasons.push(by_share(seen.unavailable, refused, advice));
    }
    if seen.late > 0 {
        let late = format!(
            "{} of {} hooks were not answered within {} during the last {} s.",
            seen.late,
            seen.answered.max(seen.late),
            humantime::format_duration(seen.answer_deadline),
            WINDOW.as_secs(),
        );
        let advice = "Commit time below says whether PostgreSQL is slow; mailbox wait, whether this node is. \
                      Runbook: OrderhookAnswersLate.";
        reasons.push(by_share(seen.late, late, advice));
    }
}

/// Whether something piles up.
fn queues(seen: &Seen, reasons: &mut Vec<Reason>) {
    refusals(seen, reasons);
    if seen.crowded_orders > 0 {
        reasons.push(yellow(
            format!(
                "Orders whose queue is at least half full: {}. One may hold {} events.",
                seen.crowded_orders, seen.order_queue
            ),
            "The busiest orders below name them: does SM repeat without end, or does something hold their rows? \
             Runbook: OrderhookMailboxNearBound.",
        ));
    }
    if let Some((order_id, standing)) = &seen.standing
        && standing.saturating_mul(2) >= seen.answer_deadline
    {
        reasons.push(yellow(
            format!(
                "An event of the order {order_id} has been under way for {}.{} s.",
                standing.as_secs(),
                standing.subsec_millis() / 100
            ),
            "Who holds its row? pg_blocking_pids() in PostgreSQL says so. Runbook: OrderhookCommitsStuck.",
        ));
    }
    if seen.commits_failed > 0 && seen.database.is_none() {
        reasons.push(yellow(
            format!(
                "{} group commits failed in passing during the last {} s.",
                seen.commits_failed,
                WINDOW.as_secs()
            ),
            "Once is nothing. If it goes on: locks and limits in PostgreSQL's log. Runbook: OrderhookCommitsStuck.",
        ));
    }
    if seen.commits_waiting.saturating_mul(4) >= seen.commit_queue {
        reasons.push(yellow(
            format!(
                "{} commits wait for PostgreSQL; {} may.",
                seen.commits_waiting, seen.commit_queue
            ),
            "PostgreSQL does not keep up: pg_stat_activity, its disk, checkpoints. Runbook: OrderhookCommitsSlow.",
        ));
    }
}

/// What is answered 429, and why. More than one hook in twenty is what the alert OrderhookHooksRefused is about.
fn refusals(seen: &Seen, reasons: &mut Vec<Reason>) {
    let many = seen.busy > 5 && seen.busy.saturating_mul(20) > seen.answered;
    let mut refused = |count: u64, why: String, advice: &'static str| {
        if count > 0 {
            let text = format!(
                "{count} of {} hooks were refused with 429 during the last {} s: {why}.",
                seen.answered,
                WINDOW.as_secs()
            );
            reasons.push(if many { red(text, advice) } else { yellow(text, advice) });
        }
    };
    let by_queues = seen.queue_refusals.min(seen.busy);
    refused(
        seen.busy - by_queues,
        format!(
            "the node is over capacity, even the luckiest hook waits {} ms for its turn and {} ms for its transaction",
            seen.turn_wait.as_millis(),
            seen.standing_wait.as_millis()
        ),
        "Commits below take long: PostgreSQL is slow. They do not: more comes than this node can take, add one. \
         Runbook: OrderhookHooksRefused.",
    );
    refused(
        by_queues,
        "a queue is full, or one store sends more than its share".to_owned(),
        "One order among the busiest: look at what SM sends for it. Many: PostgreSQL is slow, or add a node. \
         Runbook: OrderhookMailboxRefuses.",
    );
}

/// Whether staff are told.
fn staff(seen: &Seen, reasons: &mut Vec<Reason>) {
    if seen.token_refused {
        reasons.push(red(
            "Telegram does not accept the bot's token: nobody is told anything.".to_owned(),
            "Set the right ORDERHOOK_TELEGRAM_TOKEN and restart. Runbook: OrderhookTelegramTokenRefused.",
        ));
    }
    if seen.nobody_sends > NOBODY_SENDS {
        reasons.push(red(
            format!(
                "No node has sent to Telegram for {} s: nobody is told anything.",
                seen.nobody_sends.as_secs()
            ),
            "A node that can reach the database takes over within seconds; if none does, who holds the lock in \
             PostgreSQL? Runbook: OrderhookNoLeader.",
        ));
    }
    if seen.oldest_notice > seen.outbox_limit {
        reasons.push(red(
            format!(
                "{}{} notices wait, the oldest for {}.",
                if seen.notices_pending < COUNTED { "" } else { "At least " },
                seen.notices_pending,
                humantime::format_duration(Duration::from_secs(seen.oldest_notice.as_secs()))
            ),
            "Does a node send, and does Telegram answer it? If it lasts, call the stores. Runbook: OrderhookNoticesOld.",
        ));
    }
    // What follows from a database that is away is no reason of its own.
    for (what, cause) in seen.uncounted.iter().filter(|_| seen.database.is_none()) {
        reasons.push(yellow(
            format!("{what} is not known: {cause}."),
            "What the page shows of it is old. Runbook: OrderhookCountsStale.",
        ));
    }
    let mut count = |count: usize, [one, many, rest]: [&str; 3], advice: &'static str| {
        if count > 0 {
            let what = if count == 1 { one } else { many };
            reasons.push(yellow(format!("{count} {what} {rest}"), advice));
        }
    };
    count(
        seen.failing_chats,
        ["chat waits", "chats wait", "because sending to Telegram failed."],
        "It is tried again by itself. If it lasts: is the bot still in the chat? Runbook: OrderhookNoticesOld.",
    );
    count(
        seen.stores_without_chat,
        [
            "store has open orders",
            "stores have open orders",
            "that no chat is told about.",
        ],
        "Call it about its orders, and give it a code: orderhook chat invite. Runbook: OrderhookStoresWithoutChat.",
    );
    count(
        seen.chats_disabled,
        ["chat refuses", "chats refuse", "the bot and is disabled."],
        "Have somebody of the store let the bot in again, then enable the chat below. Runbook: OrderhookChatsDisabled.",
    );
    count(
        seen.fresh_rejects,
        [
            "hook was",
            "hooks were",
            "rejected for good within the last hour: a repeat is rejected again.",
        ],
        "The table below names the fields. A created among them is an order that nobody picks. \
         Runbook: OrderhookHooksRejected.",
    );
    count(
        seen.fresh_conflicts,
        [
            "open order came to contradict itself",
            "open orders came to contradict themselves",
            "within the last hour: staff may hold a wrong list.",
        ],
        "Call the store, then clear it with SM. Runbook: OrderhookOrderConflict.",
    );
    count(
        seen.orders_announced,
        [
            "order is",
            "orders are",
            "known by later events only: created has not come for 10 minutes.",
        ],
        "Was its created rejected? Then replay it; else have SM send it again. Runbook: OrderhookOrdersAnnounced.",
    );
}

const fn red(text: String, advice: &'static str) -> Reason {
    Reason {
        colour: Colour::Red,
        text,
        advice,
    }
}

const fn yellow(text: String, advice: &'static str) -> Reason {
    Reason {
        colour: Colour::Yellow,
        text,
        advice,
    }
}

#[cfg(test)]
mod tests;
