//! What Telegram and the database can do wrong.

use orderhook_actors::ports::{Rendered, SendError};
use orderhook_actors::testkit::RowState;
use tokio::time::Instant;

use super::{GROUP, Node, OTHER, PRIVATE, assert_told_once_in_order, run, seconds};

#[test]
fn a_429_pauses_that_chat_only_and_exactly_that_long() {
    run(async |outbox, messenger| {
        messenger.fail_next(PRIVATE, SendError::RetryAfter(seconds(30)));
        outbox.add(PRIVATE, 1);
        outbox.add(OTHER, 25);
        let node = Node::start(1, &outbox, &messenger);
        outbox
            .when(|rows| rows.iter().filter(|row| row.state == RowState::Sent).count() == 25)
            .await;
        assert!(node.started.elapsed() < seconds(5));
        assert_eq!(node.notifier.shown().paused_chats.by_telegram, 1);
        outbox.all_settled().await;
        let times: Vec<Instant> = messenger
            .calls()
            .iter()
            .filter(|call| call.chat_id == PRIVATE)
            .map(|call| call.at)
            .collect();
        let gap = times[1] - times[0];
        assert!(gap >= seconds(30) && gap < seconds(31), "{gap:?}");
        assert_eq!(times.len(), 2);
    });
}

#[test]
fn failures_keep_the_order_and_are_tried_until_they_end() {
    run(async |outbox, messenger| {
        for _ in 0..12 {
            messenger.fail_next(PRIVATE, SendError::Temporary("a test said so".to_owned()));
        }
        outbox.add(PRIVATE, 15);
        let node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(3).await;
        outbox.add(PRIVATE, 15);
        outbox.all_settled().await;
        assert_told_once_in_order(&outbox, &messenger, PRIVATE);
        let shown = node.notifier.shown();
        assert!(shown.last_error.unwrap().contains("a test said so"));
        assert_eq!(outbox.rows()[0].attempts, 13);
        // 1 + 2 + 4 + 8 + 16 + 7 * 30 seconds, of which up to a half is taken off.
        let took = node.started.elapsed();
        assert!(took > seconds(100) && took < seconds(260), "{took:?}");
    });
}

#[test]
fn a_chat_that_is_gone_fails_and_a_moved_one_is_followed() {
    run(async |outbox, messenger| {
        messenger.fail_next(PRIVATE, SendError::ChatGone("blocked".to_owned()));
        messenger.fail_next(GROUP, SendError::ChatMoved(-1001));
        outbox.add(PRIVATE, 15);
        outbox.add(GROUP, 15);
        let _node = Node::start(1, &outbox, &messenger);
        let rows = outbox.all_settled().await;
        assert!(rows[..15].iter().all(|row| row.state == RowState::Failed));
        assert!(
            rows[15..]
                .iter()
                .all(|row| row.state == RowState::Sent && row.chat_id == -1001)
        );
        assert_eq!(
            messenger.calls().iter().filter(|call| call.chat_id == PRIVATE).count(),
            1
        );
        assert_told_once_in_order(&outbox, &messenger, -1001);
    });
}

#[test]
fn what_was_probably_sent_is_not_repeated() {
    run(async |outbox, messenger| {
        messenger.fail_next(PRIVATE, SendError::ProbablySent("cut off".to_owned()));
        outbox.add(PRIVATE, 1);
        let _node = Node::start(1, &outbox, &messenger);
        let rows = outbox.all_settled().await;
        assert_eq!((rows[0].state, rows[0].attempts), (RowState::Sent, 1));
        assert_eq!(rows[0].last_error.as_deref(), Some("cut off"));
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(messenger.calls().len(), 1);
    });
}

#[test]
fn a_refused_token_stops_everything_and_is_tried_by_one_message_at_a_time() {
    run(async |outbox, messenger| {
        messenger.refuse_token(true);
        for chat_id in 1..=20 {
            outbox.add(chat_id, 1);
        }
        let node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(20).await;
        node.idle().await;
        assert!(node.notifier.shown().token_refused);
        tokio::time::sleep(seconds(120)).await;
        let calls = messenger.calls().len() - 20;
        // After 1, 2, 4, 8, 16 seconds, then every 30, of which up to a half is taken off.
        assert!((6..15).contains(&calls), "{calls} calls in two minutes");
        assert!(outbox.rows().iter().all(|row| row.state == RowState::Pending));
        messenger.refuse_token(false);
        let accepted = Instant::now();
        outbox.all_settled().await;
        assert!(accepted.elapsed() < seconds(33), "{:?}", accepted.elapsed());
        node.idle().await;
        assert!(!node.notifier.shown().token_refused);
    });
}

#[test]
fn a_database_that_takes_no_results_repeats_nothing() {
    run(async |outbox, messenger| {
        outbox.add(PRIVATE, 15);
        messenger.slow(PRIVATE, seconds(1));
        let node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(1).await;
        outbox.set_readonly(true);
        tokio::time::sleep(seconds(30)).await;
        assert_eq!(messenger.calls().len(), 1);
        assert_eq!(node.notifier.shown().under_way, 1);
        outbox.set_readonly(false);
        outbox.all_settled().await;
        assert_told_once_in_order(&outbox, &messenger, PRIVATE);
    });
}

#[test]
fn a_slow_putting_right_of_the_outbox_delays_no_message() {
    run(async |outbox, messenger| {
        outbox.slow_house(seconds(14));
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        for number in 1..=10 {
            outbox.add(number, 1);
            node.notifier.wake();
            let told = Instant::now();
            outbox.all_settled().await;
            assert!(told.elapsed() < seconds(1), "{:?}", told.elapsed());
            tokio::time::sleep(seconds(2)).await;
        }
    });
}

fn piece(notice_ids: &[i64], text: &str) -> Rendered {
    Rendered {
        notice_ids: notice_ids.to_vec(),
        kinds: Vec::new(),
        html: text.to_owned(),
        plain: text.to_owned(),
        reply_to: None,
    }
}

fn refused(instead: Vec<Rendered>) -> SendError {
    SendError::Refused {
        reason: "it is too long",
        instead,
    }
}

#[test]
fn a_text_that_is_refused_goes_in_pieces_at_the_pace_of_its_chat() {
    run(async |outbox, messenger| {
        for chat_id in [PRIVATE, GROUP] {
            outbox.add(chat_id, 1);
            let rows = [outbox.rows().last().unwrap().notice_id];
            messenger.fail_next(chat_id, refused(vec![piece(&[], "a"), piece(&rows, "b")]));
        }
        let _node = Node::start(1, &outbox, &messenger);
        let rows = outbox.all_settled().await;
        assert!(rows.iter().all(|row| row.state == RowState::Sent && row.attempts == 1));
        for (chat_id, least) in [(PRIVATE, seconds(1)), (GROUP, seconds(3))] {
            assert_told_once_in_order(&outbox, &messenger, chat_id);
            let taken = messenger.taken(chat_id);
            let texts: Vec<&str> = taken.iter().map(|message| message.text.as_str()).collect();
            assert_eq!(texts, ["a", "b"]);
            assert!(taken[1].at - taken[0].at >= least, "{:?}", taken[1].at - taken[0].at);
        }
    });
}

#[test]
fn a_piece_that_fails_after_another_was_taken_makes_the_repeat_known_as_one() {
    run(async |outbox, messenger| {
        outbox.add(PRIVATE, 1);
        messenger.fail_next(PRIVATE, refused(vec![piece(&[], "a"), piece(&[0], "b")]));
        messenger.take_next(PRIVATE);
        messenger.fail_next(PRIVATE, SendError::Temporary("no connection".to_owned()));
        let _node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(3).await;
        let waits = outbox.when(|rows| rows[0].last_error.is_some()).await;
        assert!(waits[0].may_have_been_sent());
        outbox.all_settled().await;
    });
}

#[test]
fn a_leader_that_is_replaced_between_two_pieces_sends_no_further_one() {
    run(async |outbox, messenger| {
        outbox.add(PRIVATE, 1);
        messenger.fail_next(
            PRIVATE,
            refused(vec![piece(&[], "a"), piece(&[], "b"), piece(&[0], "c")]),
        );
        let node = Node::start(1, &outbox, &messenger);
        messenger.calls_begun(2).await;
        node.lose_leadership();
        tokio::time::sleep(seconds(60)).await;
        assert_eq!(messenger.calls().len(), 2);
        let rows = outbox.rows();
        assert_eq!(rows[0].state, RowState::Pending);
        assert!(rows[0].may_have_been_sent());
    });
}
