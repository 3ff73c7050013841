//! What a look finds: in order, and fair over the chats.

use std::collections::BTreeMap;
use std::time::Duration;

use orderhook::db::outbox::outbox_state;
use orderhook_actors::ports::{Outbox, Peek};
use orderhook_domain::notice::NoticeKind;

use crate::fixture::{Fixture, ids, peek, retry, sent};

#[tokio::test]
async fn a_chat_with_ten_thousand_notices_hides_no_other() {
    let fixture = Fixture::create().await;
    fixture.waits_for("H0", 1).await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture
        .execute(
            "INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state) \
             SELECT gen_random_uuid(), 'H0', 'S', 'pickers', 1, 'changed', 'pending' FROM generate_series(1, 10000)",
        )
        .await;
    fixture
        .execute(
            "INSERT INTO order_arrivals (delivery_id, event, received_at, outcome, node, notice) \
             SELECT delivery_id, 'changed', now(), 'applied', 'test', '{\"kind\": \"cancelled\"}' FROM notices \
             ON CONFLICT DO NOTHING",
        )
        .await;
    for chat_id in [2, 3] {
        fixture.subscribe("S", "pickers", chat_id).await;
        fixture.waits_for(&format!("H{chat_id}"), chat_id).await;
    }
    let mut by_chat = BTreeMap::<i64, Vec<i64>>::new();
    for notice in fixture.peek().await {
        by_chat.entry(notice.chat_id).or_default().push(notice.notice_id);
    }
    let counts: Vec<(i64, usize)> = by_chat.iter().map(|(chat_id, ids)| (*chat_id, ids.len())).collect();
    assert_eq!(counts, [(1, 60), (2, 1), (3, 1)]);
    assert_eq!(by_chat[&1], (1..=60).collect::<Vec<i64>>());

    // One place: chats in turn, and the one that had none lately before all others.
    let one = |served_chats: Vec<i64>, except_chats: Vec<i64>| Peek {
        served_chats,
        except_chats,
        chats: 1,
        per_chat: 1,
    };
    for (served, except, first) in [
        (vec![], vec![], 1),
        (vec![1, 2], vec![], 3),
        (vec![2, 1, 3], vec![], 2),
        (vec![2, 1, 3], vec![2], 1),
        (vec![], vec![1, 2], 3),
    ] {
        let found = fixture.outbox.peek(one(served, except)).await.unwrap();
        assert_eq!(found[0].chat_id, first);
        assert_eq!(found.len(), 1);
    }
}

#[tokio::test]
async fn a_chat_whose_oldest_notice_must_wait_is_left_out_whole() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    let first = fixture.waits_for("H1", 1).await;
    let second = fixture.waits_for("H2", 1).await;
    fixture.claim(1, &[first]).await;
    fixture.settle(1, &[first], retry(Duration::from_secs(60), false)).await;
    assert!(fixture.peek().await.is_empty());
    fixture
        .execute("UPDATE notices SET not_before = now() - interval '1 second' WHERE not_before IS NOT NULL")
        .await;
    assert_eq!(ids(&fixture.peek().await), [first, second]);
}

#[tokio::test]
async fn a_notice_comes_with_its_facts_its_number_and_the_message_to_reply_to() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    let first = fixture.waits_for("H1", 1).await;
    fixture.claim(1, &[first]).await;
    fixture.settle(1, &[first], sent(4711)).await;
    fixture.event("H1", "changed", &[("pickers", Some(1))]).await;
    fixture.event("H1", "cancelled", &[("pickers", Some(1))]).await;
    let waiting = fixture.peek().await;
    let kinds: Vec<NoticeKind> = waiting.iter().map(|notice| notice.notice.kind()).collect();
    assert_eq!(kinds, [NoticeKind::Changed, NoticeKind::Cancelled]);
    for notice in &waiting {
        assert_eq!(notice.number.as_ref().unwrap().to_string(), "NH1");
        assert_eq!(notice.store_id.as_str(), "S");
        assert_eq!(notice.first_message_id, Some(4711));
        assert_eq!((notice.attempts, notice.maybe_sent), (0, false));
    }
}

#[tokio::test]
async fn a_notice_whose_facts_are_gone_fails_and_stops_nobody() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    let pruned = fixture.waits_for("H1", 1).await;
    let unreadable = fixture.waits_for("H2", 1).await;
    let good = fixture.waits_for("H3", 1).await;
    fixture
        .execute("UPDATE order_arrivals SET notice = NULL WHERE order_id = 'H1'")
        .await;
    fixture
        .execute("UPDATE order_arrivals SET notice = '{\"kind\": \"poem\"}' WHERE order_id = 'H2'")
        .await;
    assert_eq!(ids(&fixture.peek().await), [good]);
    let stored = fixture.stored(pruned).await;
    assert_eq!(stored.state, "failed");
    assert_eq!(stored.last_error.as_deref(), Some("the facts were pruned"));
    // A newer node may have written it. It is not waited for without an end.
    assert_eq!(fixture.stored(unreadable).await.state, "pending");
    fixture
        .execute("UPDATE notices SET created_at = now() - interval '61 minutes'")
        .await;
    assert_eq!(ids(&fixture.peek().await), [good]);
    let stored = fixture.stored(unreadable).await;
    assert_eq!(stored.state, "failed");
    assert!(stored.last_error.unwrap().starts_with("the facts cannot be read"));
}

#[tokio::test]
async fn notices_for_a_newer_build_take_no_place_of_others() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    for number in 0..5 {
        fixture.waits_for(&format!("N{number}"), 1).await;
    }
    fixture
        .execute("UPDATE order_arrivals SET notice = '{\"kind\": \"poem\"}'")
        .await;
    let first = fixture.waits_for("H1", 1).await;
    let second = fixture.waits_for("H2", 1).await;
    fixture.waits_for("H3", 1).await;
    let two = Peek { per_chat: 2, ..peek() };
    assert_eq!(ids(&fixture.outbox.peek(two).await.unwrap()), [first, second]);
}

#[tokio::test]
async fn chats_that_are_disabled_or_for_operations_are_not_looked_at() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "ops", 1).await;
    fixture.subscribe("S", "pickers", 2).await;
    fixture
        .execute("UPDATE chats SET disabled_at = now() WHERE chat_id = 2")
        .await;
    fixture.waits_for("H1", 1).await;
    fixture.waits_for("H2", 2).await;
    assert!(fixture.peek().await.is_empty());
}

#[tokio::test]
async fn what_was_sent_or_may_have_been_within_a_minute_is_known() {
    let fixture = Fixture::create().await;
    let mut notices = Vec::new();
    for (order, chat_id) in [("H1", 1), ("H2", 1), ("H3", 1), ("H4", 2), ("H5", 3), ("H6", 4)] {
        notices.push(fixture.waits_for(order, chat_id).await);
    }
    // Two notices in one message, and one in a message of its own.
    fixture.claim(1, &notices[..2]).await;
    fixture.settle(1, &notices[..2], sent(10)).await;
    fixture.claim(1, &notices[2..3]).await;
    fixture.settle(1, &notices[2..3], sent(11)).await;
    // A claim that nobody settled, a failure, and nothing at all.
    fixture.claim(2, &notices[3..4]).await;
    fixture.claim(3, &notices[4..5]).await;
    fixture.settle(3, &notices[4..5], retry(Duration::ZERO, false)).await;
    let recent = fixture.outbox.recent().await.unwrap();
    let mut chats: Vec<i64> = recent.iter().map(|send| send.chat_id).collect();
    chats.sort_unstable();
    assert_eq!(chats, [1, 1, 2]);
    assert!(recent.iter().all(|send| send.ago < Duration::from_secs(30)));
    fixture
        .execute("UPDATE notices SET sent_at = sent_at - interval '61 s', claimed_at = claimed_at - interval '61 s'")
        .await;
    assert!(fixture.outbox.recent().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_state_counts_what_waits() {
    let fixture = Fixture::create().await;
    let database = fixture.database.open();
    assert_eq!(outbox_state(&database).await.unwrap(), Default::default());
    fixture.subscribe("S", "pickers", 1).await;
    fixture.subscribe("T", "pickers", 1).await;
    let old = fixture.waits_for("H1", 1).await;
    fixture.waits_for("H2", 1).await;
    fixture.event("H2", "new", &[("store", None)]).await;
    fixture
        .execute("UPDATE notices SET created_at = now() - interval '90 s' WHERE order_id = 'H1'")
        .await;
    fixture.execute("UPDATE chats SET disabled_at = now()").await;
    let state = outbox_state(&database).await.unwrap();
    assert_eq!((state.pending, state.without_chat, state.disabled_chats), (2, 1, 1));
    assert!((90..120).contains(&state.oldest_seconds), "{state:?}");
    fixture.claim(1, &[old]).await;
    fixture.settle(1, &[old], sent(1)).await;
    let state = outbox_state(&database).await.unwrap();
    assert_eq!(state.pending, 1);
    assert!(state.oldest_seconds < 60, "{state:?}");
}

#[tokio::test]
async fn an_order_that_was_cancelled_comes_whole_however_far_apart_its_notices_are() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture.order("H-PAIR", "cancelled").await;
    let to_pickers = [("pickers", Some(1))];
    let came = fixture.event("H-PAIR", "new", &to_pickers).await[0];
    for number in 0..65 {
        fixture.waits_for(&format!("H{number}"), 1).await;
    }
    let change = fixture.event("H-PAIR", "changed", &to_pickers).await[0];
    let last = fixture.waits_for("H-LAST", 1).await;
    let went = fixture.event("H-PAIR", "cancelled", &to_pickers).await[0];
    // Of another chat, and of an order that is still wanted.
    fixture.event("H-PAIR", "cancelled", &[("pickers", Some(2))]).await;
    fixture.event("H0", "changed", &to_pickers).await;
    let found = ids(&fixture.peek().await);
    let mut expected: Vec<i64> = (came..came + 60).collect();
    expected.extend([change, went]);
    assert_eq!(found, expected);
    assert!(!found.contains(&last));
}
