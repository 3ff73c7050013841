//! When which message goes.

use std::time::Duration;

use orderhook_actors::testkit::RowState;
use tokio::time::Instant;

use super::{GROUP, Node, OTHER, PRIVATE, assert_told_once_in_order, run, seconds};

#[test]
fn a_wake_up_right_after_a_commit_sends_at_once() {
    run(async |outbox, messenger| {
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        // Between two ticks.
        tokio::time::sleep(Duration::from_millis(111)).await;
        outbox.add(PRIVATE, 1);
        let committed = Instant::now();
        node.notifier.wake();
        messenger.calls_begun(1).await;
        assert!(
            committed.elapsed() < Duration::from_millis(5),
            "{:?}",
            committed.elapsed()
        );
    });
}

#[test]
fn wake_ups_that_were_not_followed_yet_are_one_message() {
    run(async |outbox, messenger| {
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        for told in 1..=3 {
            outbox.add(PRIVATE, 1);
            for _ in 0..1000 {
                node.notifier.wake();
            }
            assert_eq!(node.notifier.mailbox().depth, 1);
            messenger.calls_begun(told).await;
            // The next look comes some time later, and has a wake-up then.
            node.notifier.wake();
            tokio::time::sleep(Duration::from_millis(1)).await;
            for _ in 0..1000 {
                node.notifier.wake();
            }
            assert_eq!(node.notifier.mailbox().depth, 0);
            tokio::time::sleep(seconds(2)).await;
        }
    });
}

#[test]
fn what_nobody_woke_it_for_is_found_soon() {
    run(async |outbox, messenger| {
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        outbox.add(PRIVATE, 1);
        let committed = Instant::now();
        messenger.calls_begun(1).await;
        assert!(committed.elapsed() <= Duration::from_millis(500));
    });
}

#[test]
fn what_gathers_is_merged_and_told_once_in_order() {
    run(async |outbox, messenger| {
        outbox.add(PRIVATE, 35);
        outbox.add(GROUP, 23);
        let node = Node::start(1, &outbox, &messenger);
        outbox.all_settled().await;
        node.idle().await;
        for (chat_id, messages) in [(PRIVATE, 4), (GROUP, 3)] {
            assert_told_once_in_order(&outbox, &messenger, chat_id);
            let times: Vec<Instant> = messenger.taken(chat_id).iter().map(|message| message.at).collect();
            assert_eq!(times.len(), messages);
            for pair in times.windows(2) {
                let gap = pair[1] - pair[0];
                assert!(gap > seconds(1) && gap < Duration::from_millis(1500), "{gap:?}");
            }
        }
    });
}

#[test]
fn many_short_notices_go_in_one_message() {
    run(async |outbox, messenger| {
        messenger.merge_up_to(50);
        outbox.add(PRIVATE, 40);
        outbox.add(OTHER, 3);
        let node = Node::start(1, &outbox, &messenger);
        outbox.all_settled().await;
        node.idle().await;
        for chat_id in [PRIVATE, OTHER] {
            assert_told_once_in_order(&outbox, &messenger, chat_id);
            assert_eq!(messenger.taken(chat_id).len(), 1);
        }
    });
}

#[test]
fn of_a_flood_only_so_many_are_read_as_most_messages_hold() {
    run(async |outbox, messenger| {
        outbox.add(PRIVATE, 200);
        let node = Node::start(1, &outbox, &messenger);
        outbox.all_settled().await;
        node.idle().await;
        assert_told_once_in_order(&outbox, &messenger, PRIVATE);
        assert_eq!(messenger.taken(PRIVATE).len(), 20);
        assert!(outbox.most_found() <= 20, "{}", outbox.most_found());
    });
}

#[test]
fn a_slow_chat_delays_nobody_else() {
    run(async |outbox, messenger| {
        messenger.slow(PRIVATE, seconds(60));
        outbox.add(PRIVATE, 20);
        for chat_id in 2..20 {
            outbox.add(chat_id, 30);
        }
        let node = Node::start(1, &outbox, &messenger);
        outbox
            .when(|rows| {
                let others = rows.iter().filter(|row| row.chat_id != PRIVATE);
                others.into_iter().all(|row| row.state == RowState::Sent)
            })
            .await;
        assert!(node.started.elapsed() < seconds(7), "{:?}", node.started.elapsed());
        assert_eq!(
            messenger.calls().iter().filter(|call| call.chat_id == PRIVATE).count(),
            1
        );
        outbox.all_settled().await;
        assert_told_once_in_order(&outbox, &messenger, PRIVATE);
    });
}

#[test]
fn forty_chats_in_a_burst_are_done_in_nearly_the_time_that_the_limits_allow() {
    run(async |outbox, messenger| {
        for chat in 0..40 {
            outbox.add(if chat < 10 { -100 - chat } else { 100 + chat }, 75);
        }
        let node = Node::start(1, &outbox, &messenger);
        outbox.all_settled().await;
        let took = node.started.elapsed();
        // 40 chats of 8 messages: 320 messages at 28 a second.
        let optimum = seconds(1) + Duration::from_millis(320 * 1000 / 28);
        assert!(took < optimum * 13 / 10, "{took:?} instead of {optimum:?}");
        let mut times: Vec<Instant> = messenger.calls().iter().map(|call| call.at).collect();
        assert_eq!(times.len(), 320);
        times.sort_unstable();
        for (first, last) in times.iter().zip(times.iter().skip(30)) {
            assert!(*last - *first >= seconds(1), "31 messages within {:?}", *last - *first);
        }
    });
}
