//! Answers and alarms, which have no rows.

use orderhook_actors::ports::{Rendered, SendError};
use orderhook_actors::testkit::RowState;

use tokio::time::Instant;

use super::{GROUP, Node, PRIVATE, assert_told_once_in_order, run, seconds};

fn reply(text: &str) -> Rendered {
    Rendered {
        notice_ids: Vec::new(),
        kinds: Vec::new(),
        html: text.to_owned(),
        plain: text.to_owned(),
        reply_to: None,
    }
}

#[test]
fn an_answer_goes_before_the_notices_of_its_chat_and_survives_failures() {
    run(async |outbox, messenger| {
        for error in [
            SendError::Temporary("down".to_owned()),
            SendError::RetryAfter(seconds(5)),
            SendError::ChatMoved(-1001),
        ] {
            messenger.fail_next(GROUP, error);
        }
        outbox.add(GROUP, 15);
        let node = Node::start(1, &outbox, &messenger);
        let has_it = node.notifier.reply(GROUP, reply("status")).unwrap();
        outbox.all_settled().await;
        assert_eq!(has_it.await, Ok(true));
        let taken = messenger.taken(-1001);
        assert_eq!(taken[0].text, "status");
        assert_told_once_in_order(&outbox, &messenger, -1001);
        node.idle().await;
        assert_eq!(node.notifier.shown().replies, 0);
        assert_eq!(node.notifier.mailbox().depth, 0);
    });
}

#[test]
fn an_answer_to_nobody_is_given_up_and_disables_the_chat() {
    run(async |outbox, messenger| {
        messenger.fail_next(PRIVATE, SendError::ChatGone("kicked".to_owned()));
        outbox.add(PRIVATE, 3);
        let node = Node::start(1, &outbox, &messenger);
        let has_it = node.notifier.reply(PRIVATE, reply("status")).unwrap();
        let rows = outbox.all_settled().await;
        assert!(rows.iter().all(|row| row.state == RowState::Failed));
        assert_eq!(messenger.calls().len(), 1);
        assert_eq!(has_it.await, Ok(false));
        node.idle().await;
        assert_eq!(node.notifier.mailbox().depth, 0);
    });
}

#[test]
fn answers_that_nobody_may_send_are_dropped_after_a_minute() {
    run(async |outbox, messenger| {
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        node.lose_leadership();
        let has_it = node.notifier.reply(PRIVATE, reply("status")).unwrap();
        tokio::time::sleep(seconds(59)).await;
        assert_eq!(node.notifier.mailbox().depth, 1);
        tokio::time::sleep(seconds(2)).await;
        assert_eq!(node.notifier.mailbox().depth, 0);
        assert!(has_it.await.is_err());
    });
}

#[test]
fn too_many_answers_for_one_chat_are_given_up_and_take_no_place_of_others() {
    run(async |outbox, messenger| {
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        messenger.slow(PRIVATE, seconds(10));
        let mut asked = Vec::new();
        for _ in 0..20 {
            asked.push(node.notifier.reply(PRIVATE, reply("status")).unwrap());
        }
        let other = node.notifier.reply(GROUP, reply("status")).unwrap();
        assert_eq!(other.await, Ok(true));
        let mut answered = 0;
        for asked in asked {
            answered += usize::from(asked.await == Ok(true));
        }
        // One under way and those that wait.
        assert_eq!(answered, 6);
        node.idle().await;
        assert_eq!(node.notifier.mailbox().depth, 0);
    });
}

#[test]
fn a_pause_for_the_whole_bot_stops_everybody_for_exactly_that_long() {
    run(async |outbox, messenger| {
        let node = Node::start(1, &outbox, &messenger);
        node.ready().await;
        node.notifier.pause(seconds(30));
        let paused = Instant::now();
        outbox.add(PRIVATE, 1);
        outbox.add(GROUP, 1);
        outbox.all_settled().await;
        let waited: Vec<_> = messenger.calls().iter().map(|call| call.at - paused).collect();
        assert!(
            waited
                .iter()
                .all(|waited| *waited >= seconds(30) && *waited < seconds(31)),
            "{waited:?}"
        );
    });
}
