//! Chats that end, move, or come while notices wait.

use orderhook::db::chats;
use orderhook_actors::ports::{Outbox, SettledAs};

use crate::fixture::{EPOCH, Fixture, gone, ids, sent};

#[tokio::test]
async fn a_chat_that_is_gone_is_disabled_everywhere() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture.subscribe("T", "store", 1).await;
    fixture.subscribe("S", "pickers", 2).await;
    let notice = fixture.waits_for("H1", 1).await;
    fixture.claim(1, &[notice]).await;
    fixture.settle(1, &[notice], gone()).await;
    let disabled = "SELECT chat_id FROM chats WHERE disabled_at IS NOT NULL AND disabled_reason = 'blocked'";
    let disabled: Vec<i64> = fixture
        .client
        .query(disabled, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(disabled, [1, 1]);
}

#[tokio::test]
async fn what_nobody_else_was_told_waits_again_and_the_rest_has_failed() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture.subscribe("S", "store", 2).await;
    fixture.subscribe("*", "store", 3).await;
    for (order, status) in [("OPEN", "paid"), ("OVER", "cancelled")] {
        fixture.order(order, status).await;
    }
    let open = fixture
        .event(
            "OPEN",
            "new",
            &[("pickers", Some(1)), ("store", Some(2)), ("store", Some(3))],
        )
        .await;
    let over = fixture.event("OVER", "cancelled", &[("pickers", Some(1))]).await;
    for chat_id in [1, 2] {
        fixture.settle(chat_id, &[], gone()).await;
    }
    let alone = fixture.stored(open[0]).await;
    assert_eq!((alone.state.as_str(), alone.chat_id), ("no_chat", None));
    let others_are_told = fixture.stored(open[1]).await;
    assert_eq!(
        (others_are_told.state.as_str(), others_are_told.chat_id),
        ("failed", Some(2))
    );
    let nobody_waits_for_it = fixture.stored(over[0]).await;
    assert_eq!(nobody_waits_for_it.state, "failed");
    assert_eq!(nobody_waits_for_it.last_error.as_deref(), Some("blocked"));
}

#[tokio::test]
async fn the_last_two_chats_of_a_role_can_go_at_the_same_moment() {
    let fixture = Fixture::create().await;
    for round in 0..20 {
        let chats = [round * 2 + 1, round * 2 + 2];
        for chat_id in chats {
            fixture.subscribe("S", "pickers", chat_id).await;
        }
        let order = format!("H{round}");
        fixture.order(&order, "new").await;
        let told = chats.map(|chat_id| ("pickers", Some(chat_id)));
        let notices = fixture.event(&order, "new", &told).await;
        tokio::join!(
            fixture.settle(chats[0], &notices[..1], gone()),
            fixture.settle(chats[1], &notices[1..], gone()),
        );
        let mut states = [
            fixture.stored(notices[0]).await.state,
            fixture.stored(notices[1]).await.state,
        ];
        states.sort_unstable();
        assert_eq!(states, ["failed", "no_chat"]);
    }
}

#[tokio::test]
async fn a_moved_group_takes_its_subscriptions_and_what_waits_along() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", -1).await;
    fixture.subscribe("T", "store", -1).await;
    // Somebody has subscribed the new group already, and was told one of the events.
    fixture.subscribe("S", "pickers", -1001).await;
    let told = fixture.waits_for("H1", -1).await;
    fixture.claim(-1, &[told]).await;
    fixture.settle(-1, &[told], sent(1)).await;
    fixture.order("H2", "new").await;
    let twice = fixture
        .event("H2", "new", &[("pickers", Some(-1)), ("pickers", Some(-1001))])
        .await;
    let waits = fixture.waits_for("H3", -1).await;
    fixture.claim(-1, &[waits]).await;
    fixture.settle(-1, &[waits], SettledAs::ChatMoved { to: -1001 }).await;
    let chats = "SELECT store_id, chat_id FROM chats ORDER BY store_id";
    let chats: Vec<(String, i64)> = fixture
        .client
        .query(chats, &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    assert_eq!(chats, [("S".to_owned(), -1001), ("T".to_owned(), -1001)]);
    let waiting = fixture.peek().await;
    assert_eq!(ids(&waiting), [twice[1], waits]);
    assert!(
        waiting
            .iter()
            .all(|notice| notice.chat_id == -1001 && !notice.maybe_sent)
    );
    assert_eq!(fixture.stored(told).await.chat_id, Some(-1));
}

#[tokio::test]
async fn a_chat_that_subscribed_in_the_middle_of_a_commit_is_given_what_waits() {
    let fixture = Fixture::create().await;
    for (order, status) in [("OPEN", "new"), ("OVER", "cancelled")] {
        fixture.order(order, status).await;
    }
    let open = fixture
        .event("OPEN", "new", &[("pickers", None), ("store", None)])
        .await;
    let over = fixture.event("OVER", "new", &[("pickers", None)]).await;
    assert_eq!(fixture.outbox.keep_house().await, Ok(0));
    // A chat of both roles is told once.
    fixture.subscribe("*", "pickers", 1).await;
    fixture.subscribe("S", "store", 1).await;
    assert_eq!(fixture.outbox.keep_house().await, Ok(1));
    assert_eq!(fixture.outbox.keep_house().await, Ok(0));
    assert_eq!(ids(&fixture.peek().await), [open[0]]);
    let rows = "SELECT count(*) FROM notices WHERE order_id = 'OPEN'";
    assert_eq!(fixture.client.query_one(rows, &[]).await.unwrap().get::<_, i64>(0), 1);
    // Of an order that is over nobody is told any more.
    let over = fixture.stored(over[0]).await;
    assert_eq!(over.state, "failed");
    assert_eq!(
        over.last_error.as_deref(),
        Some("nobody was subscribed while the order was open")
    );
}

#[tokio::test]
async fn a_notice_for_a_chat_that_ended_in_the_middle_of_a_commit_does_not_wait_for_ever() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 2).await;
    fixture
        .execute("UPDATE chats SET disabled_at = now() WHERE chat_id = 2")
        .await;
    let unsubscribed = fixture.waits_for("H1", 1).await;
    let disabled = fixture.waits_for("H2", 2).await;
    let on_its_way = fixture.waits_for("H3", 3).await;
    fixture.claim(3, &[on_its_way]).await;
    fixture.outbox.keep_house().await.unwrap();
    for notice in [unsubscribed, disabled] {
        let stored = fixture.stored(notice).await;
        assert_eq!((stored.state.as_str(), stored.chat_id), ("no_chat", None));
        assert_eq!(stored.last_error.as_deref(), Some("the subscription ended"));
    }
    // This leader is sending it, and will say what became of it.
    assert_eq!(fixture.stored(on_its_way).await.state, "pending");
    fixture.set_epoch(EPOCH + 1).await;
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(on_its_way).await.state, "no_chat");
}

/// More than is put right at a time.
const FLOOD: i64 = 7000;

impl Fixture {
    /// So many notices of the open order H0: for this chat, or for none.
    async fn flood(&self, chat_id: Option<i64>) {
        self.order("H0", "new").await;
        let insert = "INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state, created_at) \
                      SELECT gen_random_uuid(), 'H0', 'S', 'pickers', $1::bigint, 'changed', \
                             CASE WHEN $1::bigint IS NULL THEN 'no_chat' ELSE 'pending' END, now() - interval '2 days' + n * interval '1 millisecond' \
                      FROM generate_series(1, $2::bigint) AS n";
        self.client.execute(insert, &[&chat_id, &FLOOD]).await.unwrap();
    }

    /// How many notices are in this state.
    async fn count(&self, state: &str) -> i64 {
        let count = "SELECT count(*) FROM notices WHERE state = $1";
        self.client.query_one(count, &[&state]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn behind_a_flood_it_is_put_right_part_by_part() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    // They are told about another store by now.
    fixture.subscribe("T", "pickers", 2).await;
    fixture.subscribe("T", "pickers", -2).await;
    fixture.flood(Some(1)).await;
    let last = fixture.waits_for("H1", 2).await;
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(last).await.chat_id, Some(2));
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(last).await.chat_id, Some(1));
    // And again from the beginning, where groups are.
    let first = fixture.waits_for("H2", -2).await;
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(first).await.chat_id, Some(1));
}

#[tokio::test]
async fn a_chat_that_is_gone_is_found_behind_a_flood() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture.flood(Some(1)).await;
    let notice = fixture.waits_for("H1", 2).await;
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(notice).await.chat_id, Some(1));
}

#[tokio::test]
async fn a_chat_leaves_at_once_however_much_waits_for_it() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture.flood(Some(1)).await;
    fixture.settle(1, &[], gone()).await;
    let disabled = "SELECT FROM chats WHERE disabled_reason = 'blocked'";
    assert_eq!(fixture.execute(disabled).await, 1);
    let left = fixture.count("pending").await;
    assert!(left > 0 && left < FLOOD, "{left} wait");
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.count("no_chat").await, FLOOD);
    let blocked = "SELECT FROM notices WHERE last_error = 'blocked'";
    assert_eq!(fixture.execute(blocked).await, u64::try_from(FLOOD).unwrap());
}

#[tokio::test]
async fn a_chat_comes_at_once_however_much_waits_for_one() {
    let fixture = Fixture::create().await;
    fixture.flood(None).await;
    let database = fixture.database.open();
    let added = chats::add(&database, "S", chats::Role::Pickers, 1).await.unwrap();
    let adopted = i64::try_from(added.waiting).unwrap();
    assert!(added.is_new && adopted > 0 && adopted < FLOOD, "{added:?}");
    assert_eq!(fixture.count("pending").await, adopted);
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.count("pending").await, FLOOD);
}

#[tokio::test]
async fn a_chat_is_told_of_open_orders_before_anything_newer_however_many_are_over() {
    let fixture = Fixture::create().await;
    fixture.flood(None).await;
    fixture
        .execute("UPDATE orders SET status = 'delivered' WHERE order_id = 'H0'")
        .await;
    fixture.order("OPEN", "new").await;
    let open = fixture
        .event("OPEN", "new", &[("store", None), ("pickers", None)])
        .await;
    let database = fixture.database.open();
    let added = chats::add(&database, "*", chats::Role::Pickers, 1).await.unwrap();
    assert_eq!(added.waiting, 1);
    assert_eq!(fixture.stored(open[1]).await.chat_id, Some(1));
    // The other role is none of its business.
    assert_eq!(fixture.stored(open[0]).await.state, "no_chat");
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.count("failed").await, FLOOD);
}

#[tokio::test]
async fn a_chat_is_not_told_any_more_of_a_store_that_was_removed() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture.subscribe("T", "pickers", 1).await;
    fixture.flood(Some(1)).await;
    let database = fixture.database.open();
    assert!(chats::remove(&database, "S", chats::Role::Pickers, 1).await.unwrap());
    assert_eq!(fixture.count("no_chat").await, FLOOD);
}

#[tokio::test]
async fn orders_that_are_never_finished_hide_none_that_are_over() {
    let fixture = Fixture::create().await;
    fixture.flood(None).await;
    fixture.order("OVER", "cancelled").await;
    let over = fixture.event("OVER", "new", &[("pickers", None)]).await[0];
    fixture
        .execute("UPDATE notices SET created_at = now() - interval '25 hours' WHERE order_id = 'OVER'")
        .await;
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(over).await.state, "no_chat");
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(over).await.state, "failed");
    // And again from the oldest.
    fixture
        .execute("UPDATE orders SET status = 'delivered' WHERE order_id = 'H0'")
        .await;
    fixture.outbox.keep_house().await.unwrap();
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.count("no_chat").await, 0);
}

#[tokio::test]
async fn what_nobody_will_ever_be_told_is_dropped_after_a_day() {
    let fixture = Fixture::create().await;
    for (order, status) in [("OPEN", "paid"), ("OVER", "cancelled")] {
        fixture.order(order, status).await;
    }
    let open = fixture.event("OPEN", "new", &[("pickers", None)]).await[0];
    let over = fixture.event("OVER", "new", &[("pickers", None)]).await[0];
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(over).await.state, "no_chat");
    fixture
        .execute("UPDATE notices SET created_at = now() - interval '25 hours'")
        .await;
    fixture.outbox.keep_house().await.unwrap();
    assert_eq!(fixture.stored(open).await.state, "no_chat");
    let dropped = fixture.stored(over).await;
    assert_eq!((dropped.state.as_str(), dropped.chat_id), ("failed", None));
    assert_eq!(
        dropped.last_error.as_deref(),
        Some("nobody was subscribed while the order was open")
    );
}

#[tokio::test]
async fn a_chat_that_could_not_be_written_to_is_told_when_it_comes_back() {
    let fixture = Fixture::create().await;
    fixture.subscribe("S", "pickers", 1).await;
    fixture.subscribe("S", "pickers", 2).await;
    fixture.order("OPEN", "new").await;
    let rows = fixture
        .event("OPEN", "new", &[("pickers", Some(1)), ("pickers", Some(2))])
        .await;
    // The first one has failed, for the other one is told; then that one is gone, too.
    for chat_id in [1, 2] {
        fixture.settle(chat_id, &[], gone()).await;
    }
    assert_eq!(fixture.stored(rows[0]).await.state, "failed");
    assert_eq!(fixture.stored(rows[1]).await.state, "no_chat");
    let enable = "UPDATE chats SET disabled_at = NULL WHERE chat_id = 1";
    fixture.execute(enable).await;
    assert_eq!(fixture.outbox.keep_house().await, Ok(1));
    let told = fixture.stored(rows[1]).await;
    assert_eq!((told.state.as_str(), told.chat_id), ("pending", Some(1)));
}
