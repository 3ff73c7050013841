//! What makes the simulator a contour for tests before going live: rates, disorder, several nodes, the ledger.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use orderhook::sim::{self, Progress, Settings, Spellings};

use crate::receiver::{Receiver, Says};
use crate::support::app::TestApp;
use crate::support::database::TestDatabase;
use crate::{run, settings};

#[actix_rt::test]
async fn the_service_stores_what_is_allowed_whatever_comes_late() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for (spelling, disorder) in [(Spellings::Both, 30), (Spellings::D, 60), (Spellings::K, 100)] {
        let report = run(&Settings {
            orders: Some(80),
            prefix: None,
            spelling,
            disorder,
            overlap: 20,
            repeats: 20,
            stores: 3,
            ..settings(&app.hooks, &app.ops)
        })
        .await;
        assert!(report.passed(), "{report}");
    }
    let client = database.client().await;
    let count = |query: &'static str| {
        let client = &client;
        async move { client.query_one(query, &[]).await.unwrap().get::<_, i64>(0) }
    };
    assert_eq!(count("SELECT count(DISTINCT store_id) FROM orders").await, 6);
    let parked = "SELECT count(*) FROM order_events WHERE outcome = 'parked'";
    assert!(count(parked).await > 40, "created hardly ever came late");
}

/// In open loop the receiver does not decide how fast SM is.
#[actix_rt::test]
async fn hooks_leave_at_their_times_however_slow_the_answers_are() {
    let in_flight = Arc::new(std::sync::Mutex::new((HashMap::<usize, Instant>::new(), 0_usize)));
    let slow = Duration::from_millis(800);
    let seen = Arc::clone(&in_flight);
    let receiver = Receiver::start(move |request| {
        let mut seen = seen.lock().unwrap();
        let now = Instant::now();
        seen.0.retain(|_, until| *until > now);
        seen.0.insert(request.number, now + slow);
        seen.1 = seen.1.max(seen.0.len());
        Says::RightAfter(slow)
    });
    let report = run(&Settings {
        orders: Some(30),
        rate: NonZeroU32::new(100),
        no_verify: true,
        ..settings(receiver.url(), receiver.url())
    })
    .await;
    assert!(report.passed(), "{report}");
    assert_eq!(report.orders, 30, "{report}");
    // An order that waited for its answers would have one hook under way.
    let most = in_flight.lock().unwrap().1;
    assert!(most > 30, "at most {most} hooks were in flight");
}

#[actix_rt::test]
async fn orders_begin_for_as_long_as_they_are_told_to() {
    let receiver = Receiver::start(|_| Says::Right);
    let report = run(&Settings {
        orders: None,
        duration: Some(Duration::from_secs(1)),
        rate: NonZeroU32::new(120),
        cancel: 0,
        no_verify: true,
        ..settings(receiver.url(), receiver.url())
    })
    .await;
    // Six hooks each: the times at which orders begin come from the plan, not from the machine.
    assert_eq!((report.orders, report.hooks), (20, 120), "{report}");
    assert_eq!(report.events["paid"].acknowledged, 20, "{report}");
}

#[actix_rt::test]
async fn several_nodes_are_sent_to_in_turn_and_any_of_them_is_asked_what_is_stored() {
    let database = TestDatabase::create().await;
    let one = TestApp::start(database.url(), &["--node", "one"]).await;
    let two = TestApp::start(database.url(), &["--node", "two"]).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let both = settings(&one.hooks, &dead);
    let report = run(&Settings {
        hook_url: vec![one.hooks.parse().unwrap(), two.hooks.parse().unwrap()],
        ops_url: vec![dead.parse().unwrap(), two.ops.parse().unwrap()],
        ..both
    })
    .await;
    assert!(report.passed(), "{report}");
    let client = database.client().await;
    for node in ["one", "two"] {
        let taken = "SELECT count(*) FROM order_events WHERE node = $1";
        let taken: i64 = client.query_one(taken, &[&node]).await.unwrap().get(0);
        assert!(taken > 40, "{node} took {taken} hooks");
    }
}

/// The ledger is what an independent checker believes: every try is in it, with what was answered.
#[actix_rt::test]
async fn the_ledger_holds_every_try() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let receiver = Receiver::in_front_of(&app.client, |request| match request.number % 5 {
        0 => Says::Status(503),
        _ => Says::Forwarded,
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.jsonl");
    let report = run(&Settings {
        repeats: 30,
        ledger: Some(path.clone()),
        ..settings(receiver.url(), &app.ops)
    })
    .await;
    assert!(report.passed(), "{report}");
    let lines = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |reply: &str| lines.iter().filter(|line| line["reply"] == reply).count() as u64;
    let acknowledged: u64 = report.events.values().map(|figures| figures.acknowledged).sum();
    assert_eq!(
        (of("acknowledged"), of("refused")),
        (acknowledged, report.refused[&503])
    );
    assert_eq!(lines.len() as u64, acknowledged + report.refused[&503]);
    assert!(lines.iter().filter(|line| line["again"] == true).count() as u64 >= report.repeats_of_acknowledged);
    let client = database.client().await;
    for line in &lines {
        let time = |name: &str| line[name].as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
        let (sent_at, ended_at) = (time("sent_at"), time("ended_at"));
        assert!(sent_at <= ended_at, "{line}");
        if line["reply"] == "acknowledged" {
            let stored = "SELECT count(*) FROM order_events WHERE order_id = $1 AND body = $2 AND event = $3 \
                          AND received_at BETWEEN $4 AND $5";
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            let (order_id, body, event) = (text("order_id"), text("body").into_bytes(), text("event"));
            let stored: i64 = client
                .query_one(stored, &[&order_id, &body, &event, &sent_at, &ended_at])
                .await
                .unwrap()
                .get(0);
            assert_eq!(stored, 1, "{line}");
            assert!(line["answer"]["status"].is_string(), "{line}");
        }
    }
}

#[actix_rt::test]
async fn a_ledger_that_cannot_be_written_is_told() {
    let settings = Settings {
        ledger: Some("/nowhere/ledger.jsonl".into()),
        ..settings("http://127.0.0.1:9", "http://127.0.0.1:9")
    };
    let error = sim::run(&settings, Arc::new(Progress::default())).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/ledger.jsonl"), "{error}");
}
