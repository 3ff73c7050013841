//! More hooks than the database can take: who is refused, with what, who is not, and what the log says of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;

use crate::bodies::{bare, with_lines};
use crate::support::app::{NodeClient, TestProcess};
use crate::support::database::TestDatabase;

/// Has every transaction take so long.
async fn slow_down(database: &TestDatabase, seconds: f64) {
    let slow = format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END $$; \
         CREATE TRIGGER slow AFTER INSERT ON order_arrivals FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    );
    database.client().await.batch_execute(&slow).await.unwrap();
}

/// Each waits for its answer before it sends the next order.
const SENDERS: usize = 500;

/// Ten of them fill a transaction.
const LONG_COMMENT: usize = 100_000;
/// They are paid at the same moment.
const QUIET: [&str; 3] = ["Q1", "Q2", "Q3"];
const SENDERS_OF_ONE_STORE: usize = 100;

#[actix_rt::test]
async fn over_capacity_other_events_are_sent_back_and_created_is_not() {
    let database = TestDatabase::create().await;
    let mut app = TestProcess::start(database.url(), &["--threads", "1"]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    // A node then carries 512 hooks a second at most.
    slow_down(&database, 0.25).await;
    let running = Arc::new(AtomicBool::new(true));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (client, running) = (app.client.clone(), Arc::clone(&running));
            tokio::spawn(async move {
                let mut statuses = Vec::new();
                while running.load(Ordering::Relaxed) {
                    let id = format!("S{sender}-{}", statuses.len());
                    statuses.push(client.send(with_lines("order.created", &id, &[("A", "1")])).await.0);
                }
                statuses
            })
        })
        .collect();
    // The others are refused from a sixteenth of the two seconds on.
    let bound = Instant::now() + Duration::from_secs(60);
    while standing_wait(&app).await < 125_000.0 {
        assert!(Instant::now() < bound, "the hooks do not wait for their transaction");
        tokio::task::yield_now().await;
    }
    let refused = app.hook(bare("order.paid", "H1")).header("X-Request-Id", "refused");
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let answer: Value = refused.json().await.unwrap();
    assert_eq!(answer["errors"][0]["type"], "overload", "{answer}");
    running.store(false, Ordering::Relaxed);
    for sender in senders {
        let statuses = sender.await.unwrap();
        assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    }
    // Nobody waits any more.
    app.accepted(bare("order.paid", "H1")).await;
    // What is refused for capacity is counted, and told together.
    app.logs("hooks were refused for capacity").await;
    let log = app.ended_log();
    let told = log
        .lines()
        .filter(|line| line.contains("hooks were refused for capacity"));
    let hooks = told.map(|line| serde_json::from_str::<Value>(line).unwrap()["hooks"].as_u64());
    assert_eq!(hooks.collect::<Vec<_>>(), [Some(1)]);
    let line = log.lines().find(|line| line.contains(r#""request_id":"refused""#));
    assert_eq!(line, None);
}

/// The stores take turns in a transaction, so that a hook of a quiet one never waits long.
#[actix_rt::test]
async fn a_store_that_sends_more_than_its_share_is_sent_back_and_the_others_are_not() {
    let database = TestDatabase::create().await;
    // The others are refused from an eighth of it on, and created would be from three quarters on.
    let mut app = TestProcess::start(database.url(), &["--threads", "1", "--answer-deadline", "4s"]).await;
    for order in QUIET {
        app.accepted(of_store("order.created", order, "quiet", "")).await;
    }
    // Those of one store wait for ten transactions then, and who comes alone for one.
    slow_down(&database, 0.1).await;
    let running = Arc::new(AtomicBool::new(true));
    let created = |sender: usize, store: &'static str, comment: String| {
        let (client, running) = (app.client.clone(), Arc::clone(&running));
        tokio::spawn(async move {
            let mut statuses = Vec::new();
            while running.load(Ordering::Relaxed) {
                let id = format!("{store}{sender}-{}", statuses.len());
                statuses.push(client.send(of_store("order.created", &id, store, &comment)).await.0);
            }
            statuses
        })
    };
    let comment = "x".repeat(LONG_COMMENT);
    let mut senders: Vec<_> = (0..SENDERS_OF_ONE_STORE)
        .map(|sender| created(sender, "busy", comment.clone()))
        .collect();
    senders.push(created(0, "calm", String::new()));
    let bound = Instant::now() + Duration::from_secs(60);
    for order in 0.. {
        let id = format!("B{order}");
        app.accepted(of_store("order.created", &id, "busy", "")).await;
        let (status, answer) = app.send(bare("order.paid", &id)).await;
        if status == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer["errors"][0]["type"], "overload", "{answer}");
            break;
        }
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert!(Instant::now() < bound, "a store that waits for itself is not refused");
    }
    let paid = QUIET.map(|order| app.client.send(bare("order.paid", order)));
    for (status, answer) in join_all(paid).await {
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    running.store(false, Ordering::Relaxed);
    for sender in senders {
        let statuses = sender.await.unwrap();
        assert!(statuses.iter().all(|status| *status == StatusCode::OK), "{statuses:?}");
    }
    let mailboxes: Value = app.ops("/api/mailboxes").await.json().await.unwrap();
    let shown = mailboxes["mailboxes"].as_array().unwrap();
    let persistence = shown.iter().find(|mailbox| mailbox["actor"] == "persistence").unwrap();
    assert_eq!(persistence["refused"], 1, "{persistence}");
    let log = app.ended_log();
    let told = log
        .lines()
        .find(|line| line.contains("a store sends more than its share"));
    assert!(
        told.is_some_and(|line| line.contains(r#""store_id":"busy""#)),
        "{told:?}"
    );
}

/// An order with one line.
fn of_store(event: &str, order_id: &str, store_id: &str, comment: &str) -> String {
    let mut body: Value = serde_json::from_str(&with_lines(event, order_id, &[("A", "1")])).unwrap();
    body["payload"]["store_id"] = store_id.into();
    body["payload"]["comment"] = comment.into();
    body.to_string()
}

/// In microseconds.
async fn standing_wait(app: &NodeClient) -> f64 {
    let mailboxes: Value = app.ops("/api/mailboxes").await.json().await.unwrap();
    mailboxes["standing_wait_micros"].as_f64().unwrap()
}
