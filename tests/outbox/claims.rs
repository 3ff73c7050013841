//! Claims and what becomes of them: fenced by the epoch, all or none.

use std::time::Duration;

use orderhook_actors::ports::{Outbox, OutboxError, Settled, SettledAs};

use crate::fixture::{EPOCH, Fixture, ids, retry, sent};

#[tokio::test]
async fn only_the_current_epoch_claims() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    let notice = fixture.waits_for("H1", 1).await;
    for epoch in [EPOCH - 1, EPOCH + 1] {
        let claimed = fixture.outbox.claim(epoch, 1, vec![notice]).await;
        assert_eq!(claimed, Err(OutboxError::NotMine));
    }
    assert_eq!(fixture.stored(notice).await.attempts, 0);
    assert_eq!(fixture.outbox.claim(EPOCH, 1, vec![notice]).await, Ok(()));
    assert_eq!(fixture.stored(notice).await.attempts, 1);
}

#[tokio::test]
async fn all_are_claimed_or_none() {
    let fixture = Fixture::create().await;
    let waits = fixture.waits_for("H1", 1).await;
    let told = fixture.waits_for("H2", 1).await;
    let others = fixture.waits_for("H3", 2).await;
    fixture.claim(1, &[told]).await;
    fixture.settle(1, &[told], sent(1)).await;
    for notices in [vec![waits, told], vec![waits, others], vec![waits, 4711]] {
        assert_eq!(fixture.outbox.claim(EPOCH, 1, notices).await, Err(OutboxError::NotMine));
    }
    // It waits, but no longer for this chat.
    assert_eq!(
        fixture.outbox.claim(EPOCH, 1, vec![others]).await,
        Err(OutboxError::NotMine)
    );
    assert_eq!(fixture.stored(waits).await.attempts, 0);
    assert_eq!(fixture.stored(others).await.attempts, 0);
    assert_eq!(fixture.outbox.claim(EPOCH, 1, vec![waits]).await, Ok(()));
}

#[tokio::test]
async fn a_claim_in_the_middle_of_a_takeover_comes_too_late() {
    let mut fixture = Fixture::create().await;
    let notice = fixture.waits_for("H1", 1).await;
    let outbox = fixture.outbox.clone();
    let observer = fixture.database.client().await;
    let takeover = fixture.client.transaction().await.unwrap();
    let raise = "UPDATE sender_leader SET epoch = epoch + 1";
    takeover.execute(raise, &[]).await.unwrap();
    let claim = tokio::spawn(outbox.claim(EPOCH, 1, vec![notice]));
    let waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while observer.query_opt(waits, &[]).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    takeover.commit().await.unwrap();
    assert_eq!(claim.await.unwrap(), Err(OutboxError::NotMine));
    assert_eq!(fixture.stored(notice).await.attempts, 0);
}

#[tokio::test]
async fn what_an_old_leader_left_is_unknown_and_belongs_to_the_new_one() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    let notice = fixture.waits_for("H1", 1).await;
    fixture.claim(1, &[notice]).await;
    fixture.set_epoch(EPOCH + 1).await;
    let waiting = fixture.peek().await;
    assert_eq!(ids(&waiting), [notice]);
    assert!(waiting[0].maybe_sent);
    fixture.outbox.claim(EPOCH + 1, 1, vec![notice]).await.unwrap();
    // The old one wakes up and records what it knows: too late.
    for result in [
        sent(1),
        retry(Duration::ZERO, false),
        SettledAs::ProbablySent { error: String::new() },
    ] {
        fixture.settle(1, &[notice], result).await;
        let stored = fixture.stored(notice).await;
        assert_eq!((stored.state.as_str(), stored.message_id), ("pending", None));
    }
    let settled = Settled {
        epoch: EPOCH + 1,
        notice_ids: vec![notice],
        chat_id: 1,
        result: sent(2),
    };
    fixture.outbox.settle(settled).await.unwrap();
    let stored = fixture.stored(notice).await;
    assert_eq!((stored.state.as_str(), stored.message_id), ("sent", Some(2)));
    assert_eq!(stored.attempts, 2);
}

#[tokio::test]
async fn an_old_leader_records_what_it_sent_before_the_new_one_claims() {
    let fixture = Fixture::create().await;
    let notice = fixture.waits_for("H1", 1).await;
    fixture.claim(1, &[notice]).await;
    fixture.set_epoch(EPOCH + 1).await;
    fixture.settle(1, &[notice], sent(5)).await;
    assert_eq!(fixture.stored(notice).await.message_id, Some(5));
    let again = fixture.outbox.claim(EPOCH + 1, 1, vec![notice]).await;
    assert_eq!(again, Err(OutboxError::NotMine));
}

#[tokio::test]
async fn a_retry_waits_and_remembers_whether_it_may_be_a_repeat() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture.subscribe("S", "pickers", 2).await;
    let refused = fixture.waits_for("H1", 1).await;
    let unanswered = fixture.waits_for("H2", 2).await;
    for (chat_id, notice, maybe_sent) in [(1, refused, false), (2, unanswered, true)] {
        fixture.claim(chat_id, &[notice]).await;
        fixture
            .settle(chat_id, &[notice], retry(Duration::from_secs(30), maybe_sent))
            .await;
        let stored = fixture.stored(notice).await;
        assert_eq!((stored.state.as_str(), stored.attempts), ("pending", 1));
        assert_eq!(stored.last_error.as_deref(), Some("a test said so"));
    }
    assert!(fixture.peek().await.is_empty());
    let waits = "SELECT count(*) FROM notices WHERE not_before BETWEEN now() + interval '25 s' AND now() + interval '30 s' \
                 AND claimed_at IS NULL";
    assert_eq!(fixture.client.query_one(waits, &[]).await.unwrap().get::<_, i64>(0), 2);
    fixture.execute("UPDATE notices SET not_before = now()").await;
    let waiting = fixture.peek().await;
    let maybe_sent: Vec<(i64, bool)> = waiting
        .iter()
        .map(|notice| (notice.notice_id, notice.maybe_sent))
        .collect();
    assert_eq!(maybe_sent, [(refused, false), (unanswered, true)]);
}

#[tokio::test]
async fn what_was_probably_sent_is_marked_with_a_note() {
    let fixture = Fixture::create().await;
    let notice = fixture.waits_for("H1", 1).await;
    fixture.claim(1, &[notice]).await;
    let error = "cut off".to_owned();
    fixture.settle(1, &[notice], SettledAs::ProbablySent { error }).await;
    let stored = fixture.stored(notice).await;
    assert_eq!((stored.state.as_str(), stored.message_id), ("sent", None));
    assert_eq!(stored.last_error.as_deref(), Some("cut off"));
}
