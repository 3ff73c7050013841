//! Which created SM never had an answer to: every one is looked at once, and what was found is not lost.

use uuid::Uuid;

use crate::fixture::Fixture;

const UNANSWERED: &str = include_str!("../../sql/queries/unanswered_created.sql");
const ALARMS: &str = include_str!("../../sql/queries/ops_alarms.sql");
/// SM repeats a hook for so long, in seconds.
const HORIZON: i64 = 600;

impl Fixture {
    /// A created that came so many minutes ago.
    async fn created(&self, order_id: &str, minutes: f64, outcome: &str) -> Uuid {
        let delivery_id = Uuid::now_v7();
        let record = "INSERT INTO order_arrivals (delivery_id, order_id, event, received_at, outcome, node, body) \
                      VALUES ($1, $2, 'created', now() - $3 * interval '1 minute', $4, 'test', 'x')";
        self.client
            .execute(record, &[&delivery_id, &order_id, &minutes, &outcome])
            .await
            .unwrap();
        delivery_id
    }

    async fn answer(&self, delivery_id: Uuid) {
        let answer = "INSERT INTO order_answers VALUES ($1, now())";
        self.client.execute(answer, &[&delivery_id]).await.unwrap();
    }

    /// Looks at so many arrivals. Returns how many there were, and whether some are not looked at any more.
    async fn look(&self, arrivals: i64) -> (i64, bool) {
        let looked = self.client.query_one(UNANSWERED, &[&HORIZON, &arrivals]).await.unwrap();
        (looked.get("looked_at"), looked.get("has_left_out"))
    }

    /// What a leader is to tell after a look at so many arrivals.
    async fn untold(&self, arrivals: i64) -> Vec<String> {
        self.look(arrivals).await;
        let rows = self
            .client
            .query(ALARMS, &[&HORIZON, &300_i64, &1000_i64])
            .await
            .unwrap();
        let mut found: Vec<String> = rows
            .iter()
            .filter(|row| row.get::<_, &str>(0) == "unanswered_created")
            .map(|row| row.get(1))
            .collect();
        found.sort();
        found
    }

    /// What is remembered as found.
    async fn found(&self) -> Vec<String> {
        let found = "SELECT subject FROM ops_alarms WHERE kind = 'unanswered_created' ORDER BY subject";
        let rows = self.client.query(found, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[tokio::test]
async fn a_created_without_an_answer_is_found_when_sm_has_given_up() {
    let fixture = Fixture::create().await;
    for (order, status) in [
        ("H-LOST", "new"),
        ("H-PAID", "paid"),
        ("H-ANSWERED", "new"),
        ("H-REPEAT-ANSWERED", "new"),
        ("H-OVER", "delivered"),
        ("H-REPEATED-STILL", "new"),
        ("H-LONG-AGO", "new"),
    ] {
        fixture.order(order, status).await;
    }
    fixture.created("H-LOST", 20.0, "applied").await;
    fixture.created("H-PAID", 69.0, "applied").await;
    let answered = fixture.created("H-ANSWERED", 20.0, "applied").await;
    fixture.answer(answered).await;
    fixture.created("H-REPEAT-ANSWERED", 20.0, "applied").await;
    let repeat = fixture.created("H-REPEAT-ANSWERED", 19.0, "duplicate").await;
    fixture.answer(repeat).await;
    fixture.created("H-OVER", 20.0, "applied").await;
    fixture.created("H-REPEATED-STILL", 9.0, "applied").await;
    fixture.created("H-LONG-AGO", 71.0, "applied").await;
    assert_eq!(fixture.untold(1000).await, ["H-LOST", "H-PAID"]);
    // As long as nobody has taken it, it is to be told, also when its created is not looked at any more.
    assert_eq!(fixture.untold(1000).await, ["H-LOST", "H-PAID"]);
    fixture.execute("UPDATE ops_alarms SET told_at = now()").await;
    assert!(fixture.untold(1000).await.is_empty());
    assert_eq!(fixture.found().await, ["H-LOST", "H-PAID"]);
    // One has left the store, and is remembered no more.
    fixture
        .execute("UPDATE orders SET status = 'shipped' WHERE order_id = 'H-PAID'")
        .await;
    assert!(fixture.untold(1000).await.is_empty());
    assert_eq!(fixture.found().await, ["H-LOST"]);
}

#[tokio::test]
async fn what_is_behind_is_made_up_in_parts() {
    let fixture = Fixture::create().await;
    for number in 0..5_u32 {
        let order = format!("H{number}");
        fixture.order(&order, "new").await;
        let delivery = fixture.created(&order, 60.0 - f64::from(number), "applied").await;
        if number != 4 {
            fixture.answer(delivery).await;
        }
    }
    for _ in 0..3 {
        assert!(fixture.untold(2).await.is_empty());
    }
    assert_eq!(fixture.untold(2).await, ["H4"]);
    // One that comes now is looked at when it is its turn, whatever was looked at before.
    fixture.order("H-NEXT", "new").await;
    fixture.created("H-NEXT", 10.0, "applied").await;
    assert_eq!(fixture.untold(2).await, ["H-NEXT", "H4"]);
}

#[tokio::test]
async fn other_events_are_not_read_for_ever_in_search_of_a_created() {
    let fixture = Fixture::create().await;
    fixture.order("H1", "new").await;
    fixture
        .execute(
            "INSERT INTO order_arrivals (delivery_id, order_id, event, received_at, outcome, node, body) \
             SELECT gen_random_uuid(), 'H1', 'paid', now() - interval '30 minutes' + n * interval '1 second', \
                    'duplicate', 'test', 'x' \
             FROM generate_series(1, 30) AS n",
        )
        .await;
    fixture.created("H1", 20.0, "applied").await;
    assert_eq!(fixture.look(20).await, (20, false));
    assert!(fixture.found().await.is_empty());
    // The last one is seen again, for others may have come in the same moment.
    assert_eq!(fixture.look(20).await, (12, false));
    assert_eq!(fixture.found().await, ["H1"]);
}

#[tokio::test]
async fn what_no_leader_has_looked_at_for_an_hour_is_said_to_be_left_out() {
    let fixture = Fixture::create().await;
    assert_eq!(fixture.look(10).await, (0, false));
    fixture
        .execute("UPDATE alarm_progress SET looked_until = looked_until - interval '2 hours'")
        .await;
    assert_eq!(fixture.look(10).await, (0, true));
    assert_eq!(fixture.look(10).await, (0, false));
    // A leader of before, whose statement comes late, takes nothing back.
    let later = "UPDATE alarm_progress SET looked_until = now()";
    fixture.execute(later).await;
    fixture.look(10).await;
    let behind = "SELECT FROM alarm_progress WHERE looked_until < now() - interval '1 minute'";
    assert_eq!(fixture.execute(behind).await, 0);
}
