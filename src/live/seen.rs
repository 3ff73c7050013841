//! What the traffic light is told: the figures of this moment, and what happened within its window.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use orderhook_actors::mailbox::MailboxShown;
use orderhook_actors::registry::BusyOrder;

use super::EVERY;
use super::counted::Counted;
use super::hooks::HookCounts;
use super::light::{Seen, WINDOW};
use crate::app::Node;
use crate::db::attention::Attention;

/// A sender that gave no sign of life for so long is none.
const SILENT_SECONDS: i64 = 10;

/// What happened from one look to the next.
pub(super) struct During {
    /// Hooks that were answered.
    pub(super) hooks: HookCounts,
    /// Group commits that failed in passing.
    pub(super) commits_failed: u64,
    /// Commands of hooks that a mailbox refused.
    pub(super) queue_refusals: u64,
}

/// What is remembered of the last looks.
#[derive(Default)]
pub(super) struct Recent {
    looks: VecDeque<(Instant, During)>,
    /// What was refused before is the outage's doing, and told already.
    forgiven_until: Option<Instant>,
    /// Since when no node is known to send.
    nobody_sends_since: Option<Instant>,
}

impl Recent {
    /// Remembers a look for as long as [`WINDOW`].
    pub(super) fn note(&mut self, now: Instant, during: During, database_ready: bool, answer_deadline: Duration) {
        if !database_ready {
            // Hooks that were inside when it came back still get their answer, at their deadline at the latest.
            self.forgiven_until = Some(now + answer_deadline + EVERY);
            self.looks.clear();
        } else if !self.is_forgiven(now) {
            self.looks.push_back((now, during));
        }
        let is_over = |(at, _): &(Instant, During)| now.duration_since(*at) >= WINDOW;
        while self.looks.front().is_some_and(is_over) {
            self.looks.pop_front();
        }
    }

    /// Whether the database has only just come back.
    fn is_forgiven(&self, now: Instant) -> bool {
        self.forgiven_until.is_some_and(|until| now < until)
    }

    fn sum(&self, count: impl Fn(&During) -> u64) -> u64 {
        self.looks.iter().map(|(_, during)| count(during)).sum()
    }

    /// How long nobody has been known to send.
    fn nobody_sends(&mut self, now: Instant, somebody_may: bool) -> Duration {
        if somebody_may {
            self.nobody_sends_since = None;
            return Duration::ZERO;
        }
        now.duration_since(*self.nobody_sends_since.get_or_insert(now))
    }
}

/// Commands of hooks that were refused since the start because a mailbox was full.
pub(super) fn queue_refusals(mailboxes: &[MailboxShown]) -> u64 {
    let of_hooks = |mailbox: &&MailboxShown| matches!(mailbox.actor, "order" | "persistence");
    mailboxes.iter().filter(of_hooks).map(|mailbox| mailbox.refused).sum()
}

/// Everything that the light depends on.
pub(super) fn seen(
    node: &Node,
    recent: &mut Recent,
    database: Option<String>,
    mailboxes: &[MailboxShown],
    busiest: &[BusyOrder],
    attention: &Counted<Attention>,
) -> Seen {
    let live = &node.live;
    let of = |actor: &str| mailboxes.iter().find(|mailbox| mailbox.actor == actor);
    let notifier = node.notifier.shown();
    let counted = live.outbox.borrow().clone();
    let outbox = counted.fresh().unwrap_or_default();
    let longest = busiest.iter().max_by_key(|order| order.standing_millis);
    let standing = |order: &BusyOrder| (order.order_id.to_string(), Duration::from_millis(order.standing_millis));
    let now = Instant::now();
    // What could not be counted during an outage is counted again in a moment.
    let may_doubt = !recent.is_forgiven(now);
    let doubts = [
        ("How many notices wait", counted.doubt()),
        ("What needs a person", attention.doubt()),
    ];
    // Whether another node sends is known only by what was counted.
    let sender = attention.value.sender.as_ref();
    let somebody_may_send = notifier.epoch.is_some()
        || database.is_some()
        || attention.read_at.is_none()
        || attention.failure.is_some()
        || sender.is_some_and(|sender| sender.silent_seconds <= SILENT_SECONDS);
    let attention = &attention.value;
    Seen {
        draining: node.is_draining(),
        database,
        answered: recent.sum(|during| during.hooks.answered()),
        late: recent.sum(|during| during.hooks.late),
        unavailable: recent.sum(|during| during.hooks.unavailable),
        busy: recent.sum(|during| during.hooks.busy),
        queue_refusals: recent.sum(|during| during.queue_refusals),
        standing_wait: node.standing_wait(mailboxes),
        turn_wait: node.actors().admission.turn_wait(),
        answer_deadline: live.limits.answer_deadline,
        crowded_orders: of("order").map_or(0, |mailbox| mailbox.half_full),
        order_queue: live.limits.order_queue,
        standing: longest.map(standing),
        commits_failed: recent.sum(|during| during.commits_failed),
        commits_waiting: of("persistence").map_or(0, |mailbox| mailbox.depth),
        commit_queue: live.limits.commit_queue,
        uncounted: doubts
            .into_iter()
            .filter(|_| may_doubt)
            .filter_map(|(what, why)| Some((what, why?)))
            .collect(),
        nobody_sends: recent.nobody_sends(now, somebody_may_send),
        notices_pending: outbox.pending,
        oldest_notice: Duration::from_secs(u64::try_from(outbox.oldest_seconds).unwrap_or_default()),
        outbox_limit: live.limits.outbox_limit,
        token_refused: notifier.token_refused,
        failing_chats: notifier.paused_chats.by_failures,
        stores_without_chat: attention.stores_without_chat_count,
        chats_disabled: attention.chats_disabled_count,
        fresh_rejects: attention.fresh_rejects_count,
        fresh_conflicts: attention.fresh_conflicts_count,
        orders_announced: attention.announced_count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(busy: u64) -> During {
        During {
            hooks: HookCounts {
                busy,
                ..HookCounts::default()
            },
            commits_failed: 0,
            queue_refusals: 0,
        }
    }

    #[test]
    fn what_happened_is_held_against_the_node_for_half_a_minute_and_an_outage_is_told_once() {
        let (mut recent, start, deadline) = (Recent::default(), Instant::now(), Duration::from_secs(2));
        let sum = |recent: &Recent| recent.sum(|during| during.hooks.busy);
        for second in 0..60 {
            recent.note(start + EVERY * second, busy(1), true, deadline);
        }
        assert_eq!(sum(&recent), 30);
        let away = start + EVERY * 60;
        recent.note(away, busy(100), false, deadline);
        assert_eq!(sum(&recent), 0, "an outage is a reason of its own");
        // What was inside when the database came back.
        recent.note(away + EVERY * 2, busy(100), true, deadline);
        assert!(recent.is_forgiven(away + EVERY * 2) && !recent.is_forgiven(away + EVERY * 3));
        assert_eq!(sum(&recent), 0);
        recent.note(away + EVERY * 3, busy(7), true, deadline);
        assert_eq!(sum(&recent), 7);
    }

    #[test]
    fn nobody_sends_from_when_that_was_first_seen() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        assert_eq!(recent.nobody_sends(start, true), Duration::ZERO);
        assert_eq!(recent.nobody_sends(start + EVERY, false), Duration::ZERO);
        assert_eq!(recent.nobody_sends(start + EVERY * 40, false), EVERY * 39);
        assert_eq!(recent.nobody_sends(start + EVERY * 41, true), Duration::ZERO);
        assert_eq!(recent.nobody_sends(start + EVERY * 42, false), Duration::ZERO);
    }
}
