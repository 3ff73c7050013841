//! Gauges for Prometheus, set right before they are rendered. Only atomics are read, and what was counted
//! before: a scrape costs the same whatever the number of orders, and takes no lock that a hook needs.

use std::time::Duration;

use metrics::gauge;
use orderhook_actors::mailbox::MailboxShown;
use orderhook_actors::metrics as actors;

use crate::app::Node;
use crate::db::health::Health;
use crate::metrics::{
    CHATS_DISABLED, COUNTS_AGE_SECONDS, DATABASE_READY, HOOKS_IN_FLIGHT, LEADER, NOTICES_OLDEST_SECONDS,
    NOTICES_PENDING, ORDERS_ANNOUNCED, POOL_CONNECTIONS, STORES_WITHOUT_CHAT, TELEGRAM_TOKEN_REFUSED,
};

impl Node {
    /// How long even the luckiest hook waits for its transaction now. What was measured last says nothing any
    /// more once nobody waits.
    #[must_use]
    pub fn standing_wait(&self, mailboxes: &[MailboxShown]) -> Duration {
        let waiting = |mailbox: &MailboxShown| mailbox.actor == "persistence" && mailbox.depth > 0;
        if mailboxes.iter().any(waiting) {
            self.actors().admission.standing()
        } else {
            Duration::ZERO
        }
    }

    /// Sets the gauges.
    #[expect(clippy::cast_precision_loss, reason = "counts far below what a float holds exactly")]
    pub fn set_gauges(&self) {
        gauge!(actors::ORDERS_ACTIVE).set(self.actors().orders.active() as f64);
        let mailboxes = self.mailboxes();
        gauge!(actors::STANDING_WAIT_SECONDS).set(self.standing_wait(&mailboxes));
        gauge!(actors::TURN_WAIT_SECONDS).set(self.actors().admission.turn_wait());
        for mailbox in mailboxes {
            gauge!(actors::MAILBOX_DEPTH, "actor" => mailbox.actor).set(mailbox.depth as f64);
            gauge!(actors::MAILBOX_BOUND, "actor" => mailbox.actor).set(mailbox.bound as f64);
            gauge!(actors::MAILBOX_HIGH_WATER, "actor" => mailbox.actor).set(mailbox.high_water as f64);
            gauge!(actors::MAILBOX_DEEPEST, "actor" => mailbox.actor).set(mailbox.deepest_now as f64);
            gauge!(actors::MAILBOX_HALF_FULL, "actor" => mailbox.actor).set(mailbox.half_full as f64);
            for message in &mailbox.messages {
                let labels = [("actor", mailbox.actor), ("message", message.message)];
                gauge!(actors::MAILBOX_MESSAGE_DEPTH, &labels).set(message.depth as f64);
                gauge!(actors::MAILBOX_MESSAGE_HIGH_WATER, &labels).set(message.high_water as f64);
            }
        }
        gauge!(actors::COMMITS_IN_FLIGHT).set(self.live.commits.in_flight() as f64);
        gauge!(HOOKS_IN_FLIGHT).set(self.hooks_in_flight() as f64);
        {
            let outbox = self.live.outbox.borrow();
            gauge!(NOTICES_PENDING).set(outbox.value.pending as f64);
            gauge!(NOTICES_OLDEST_SECONDS).set(outbox.value.oldest_seconds as f64);
            gauge!(COUNTS_AGE_SECONDS, "counts" => "outbox").set(outbox.age().as_secs_f64());
        }
        let attention = self.live.attention.borrow().clone();
        gauge!(CHATS_DISABLED).set(attention.value.chats_disabled_count as f64);
        gauge!(STORES_WITHOUT_CHAT).set(attention.value.stores_without_chat_count as f64);
        gauge!(ORDERS_ANNOUNCED).set(attention.value.announced_count as f64);
        gauge!(COUNTS_AGE_SECONDS, "counts" => "attention").set(attention.age().as_secs_f64());
        let truth = |truth: bool| if truth { 1.0 } else { 0.0 };
        let notifier = self.notifier.shown();
        gauge!(LEADER).set(truth(notifier.epoch.is_some()));
        gauge!(TELEGRAM_TOKEN_REFUSED).set(truth(notifier.token_refused));
        gauge!(DATABASE_READY).set(truth(self.health() == Health::Ready));
        for pool in self.live.connections() {
            let states = [
                ("open", pool.open),
                ("available", pool.available),
                ("bound", pool.bound),
                ("waited_for", pool.waited_for),
            ];
            for (state, connections) in states {
                gauge!(POOL_CONNECTIONS, "pool" => pool.pool, "state" => state).set(connections as f64);
            }
        }
        metrics_process::Collector::default().collect();
    }
}
