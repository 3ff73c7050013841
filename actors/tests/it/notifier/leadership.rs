//! Leaders that come and go.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use orderhook_actors::notifier_actor::pacing::PacingSettings;
use orderhook_actors::notifier_actor::{Leadership, NotifierHandle};
use orderhook_actors::ports::{Messenger, Rendered, RenderedMessages, SendError, WaitingNotice};
use orderhook_actors::testkit::RowState;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{GROUP, Node, PRIVATE, assert_told_once_in_order, run, seconds};

#[test]
fn a_leader_that_lost_its_connection_stops_before_its_next_message() {
    run(async |outbox, messenger| {
        outbox.add(PRIVATE, 100);
        let node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(2).await;
        node.lose_leadership();
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(messenger.calls().len(), 2);
        assert_eq!(node.notifier.shown().epoch, None);
        // What was on its way is recorded all the same.
        assert_eq!(
            outbox.rows().iter().filter(|row| row.state == RowState::Sent).count(),
            20
        );
    });
}

#[test]
fn a_leader_that_could_not_renew_stops_by_its_own_clock() {
    run(async |outbox, messenger| {
        outbox.add(PRIVATE, 1000);
        let node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(2).await;
        node.stop_renewing();
        let stopped = Instant::now();
        tokio::time::sleep(seconds(60)).await;
        let last = messenger.calls().last().unwrap().at;
        assert!(last - stopped < seconds(4), "{:?}", last - stopped);
    });
}

#[test]
fn a_long_text_is_cut_off_between_its_parts_when_the_leadership_ends() {
    run(async |outbox, messenger| {
        messenger.split_into(3);
        outbox.add(PRIVATE, 1);
        let node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(2).await;
        node.lose_leadership();
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(messenger.calls().len(), 2);
        assert_eq!(outbox.rows()[0].state, RowState::Pending);
    });
}

#[test]
fn a_leader_that_was_replaced_claims_nothing_and_does_not_insist() {
    run(async |outbox, messenger| {
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        outbox.set_epoch(2);
        outbox.add(PRIVATE, 5);
        node.notifier.wake();
        tokio::time::sleep(seconds(10)).await;
        assert!(messenger.calls().is_empty());
        let claims = outbox.claims();
        assert!((5..=25).contains(&claims), "{claims} claims in 10 s");
    });
}

#[test]
fn a_new_leader_takes_over_within_the_limits() {
    run(async |outbox, messenger| {
        outbox.add(GROUP, 500);
        messenger.merge_up_to(5);
        let old = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(15).await;
        old.lose_leadership();
        old.idle().await;
        outbox.set_epoch(2);
        let _new = Node::start(2, &outbox, &messenger);
        outbox.all_settled().await;
        assert_told_once_in_order(&outbox, &messenger, GROUP);
        let times: Vec<Instant> = messenger.taken(GROUP).iter().map(|message| message.at).collect();
        for (first, last) in times.iter().zip(times.iter().skip(20)) {
            assert!(*last - *first >= seconds(60), "21 messages within {:?}", *last - *first);
        }
    });
}

#[test]
fn a_leader_that_finishes_sends_a_long_text_to_its_end_and_begins_nothing_more() {
    run(async |outbox, messenger| {
        messenger.split_into(3);
        outbox.add(PRIVATE, 1);
        let node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(1).await;
        let deadline = Instant::now() + seconds(600);
        assert!(node.notifier.finish(deadline.into_std()).await);
        // Recorded by the time at which the leadership may end.
        assert_eq!(outbox.rows()[0].state, RowState::Sent);
        outbox.add(PRIVATE, 1);
        node.notifier.wake();
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(messenger.calls().len(), 3);
        assert_eq!(outbox.rows()[1].state, RowState::Pending);
    });
}

/// As a mistake of ours would.
struct Panicking;

#[expect(clippy::panic, reason = "it is there to panic")]
impl Messenger for Panicking {
    fn render<'a>(&self, _notices: &'a [WaitingNotice]) -> RenderedMessages<'a> {
        panic!("a test said so")
    }

    fn send(&self, _chat_id: i64, _message: Rendered) -> BoxFuture<'static, Result<i64, SendError>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn the_pulse_goes_on_without_the_leadership_and_ends_with_a_panic() {
    run(async |outbox, messenger| {
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        node.lose_leadership();
        let pulse = node.notifier.pulse();
        tokio::time::sleep(seconds(60)).await;
        assert!(pulse.borrow().elapsed() <= seconds(1));
        assert!(pulse.has_changed().is_ok());

        let leadership = Leadership {
            epoch: 1,
            renewed: Instant::now() + seconds(60),
        };
        let (_leads, leadership) = watch::channel(Some(leadership));
        let notifier = NotifierHandle::start(
            &actix_rt::Arbiter::current(),
            PacingSettings::default(),
            Arc::new(outbox.clone()),
            Arc::new(Panicking),
            leadership,
        );
        outbox.add(PRIVATE, 1);
        let mut pulse = notifier.pulse();
        while pulse.changed().await.is_ok() {}
    });
}
