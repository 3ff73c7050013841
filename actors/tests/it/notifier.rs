//! Answers to staff and alarms: only the leader sends them, and whoever waits for one is told.

use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orderhook_actors::notifier_actor::pacing::PacingSettings;
use orderhook_actors::notifier_actor::{Leadership, NotifierHandle};
use orderhook_actors::ports::{
    Messenger, Outbox, OutboxError, Peek, RecentSend, Rendered, SendError, Settled, WaitingNotice,
};
use tokio::sync::watch;

/// An outbox in which nothing waits.
struct Empty;

impl Outbox for Empty {
    fn peek(&self, _: Peek) -> BoxFuture<'static, Result<Vec<WaitingNotice>, OutboxError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn claim(&self, _: i64, _: Vec<i64>) -> BoxFuture<'static, Result<(), OutboxError>> {
        async { Ok(()) }.boxed()
    }

    fn settle(&self, _: Settled) -> BoxFuture<'static, Result<(), OutboxError>> {
        async { Ok(()) }.boxed()
    }

    fn recent(&self) -> BoxFuture<'static, Result<Vec<RecentSend>, OutboxError>> {
        async { Ok(Vec::new()) }.boxed()
    }

    fn adopt(&self) -> BoxFuture<'static, Result<u64, OutboxError>> {
        async { Ok(0) }.boxed()
    }
}

/// A messenger that takes everything.
struct Takes;

impl Messenger for Takes {
    fn render(&self, _: &[WaitingNotice]) -> Vec<Rendered> {
        Vec::new()
    }

    fn send(&self, _: i64, _: Rendered) -> BoxFuture<'static, Result<i64, SendError>> {
        async { Ok(1) }.boxed()
    }
}

fn notifier(leadership: watch::Receiver<Option<Leadership>>) -> NotifierHandle {
    let arbiter = actix_rt::Arbiter::current();
    NotifierHandle::start(
        &arbiter,
        PacingSettings::default(),
        Arc::new(Empty),
        Arc::new(Takes),
        leadership,
    )
}

fn answer() -> Rendered {
    Rendered {
        notice_ids: Vec::new(),
        kinds: Vec::new(),
        html: "да".into(),
        plain: "да".into(),
        reply_to: None,
    }
}

#[test]
fn an_answer_is_sent_by_the_leader_and_whoever_waits_is_told() {
    actix_rt::System::new().block_on(async {
        let leads = Leadership {
            epoch: 1,
            renewed: Instant::now(),
        };
        let (_leadership, receiver) = watch::channel(Some(leads));
        let taken = notifier(receiver).reply(1, answer()).unwrap();
        assert_eq!(taken.await, Ok(true));
    });
}

#[test]
fn an_answer_on_a_node_that_does_not_lead_is_dropped_at_once_and_not_sent_hours_later() {
    actix_rt::System::new().block_on(async {
        let (_leadership, receiver) = watch::channel(None);
        let notifier = notifier(receiver);
        let taken = notifier.reply(1, answer()).unwrap();
        assert!(taken.await.is_err(), "closed without a word");
        assert_eq!(notifier.mailbox().depth, 0, "its place is free");
    });
}
