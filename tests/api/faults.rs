//! What fails around the service: it may refuse, it may never lose or double anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::StatusCode;

use crate::bodies::{bare, with_lines};
use crate::support::app::{NodeClient, TestApp, TestProcess};
use crate::support::cluster::TestCluster;
use crate::support::database::TestDatabase;

/// Eight senders, each with its own orders, three events each, until told to stop.
struct Traffic {
    running: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    senders: Vec<tokio::task::JoinHandle<Vec<(String, &'static str)>>>,
}

impl Traffic {
    fn start(client: &NodeClient, prefix: &'static str) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let refused = Arc::new(AtomicUsize::new(0));
        let senders = (0..8)
            .map(|sender| {
                let (client, running, count) = (client.clone(), Arc::clone(&running), Arc::clone(&acknowledged));
                let refused = Arc::clone(&refused);
                tokio::spawn(async move {
                    let mut acknowledged = Vec::new();
                    for number in 0.. {
                        let id = format!("{prefix}-{sender}-{number}");
                        for (event, body) in [
                            ("created", with_lines("order.created", &id, &[("A", "1"), ("B", "2")])),
                            ("paid", bare("order.paid", &id)),
                            ("received", bare("order.received", &id)),
                        ] {
                            if !running.load(Ordering::Relaxed) {
                                return acknowledged;
                            }
                            let sent = client
                                .hook(body)
                                .timeout(std::time::Duration::from_secs(5))
                                .send()
                                .await;
                            if sent.is_ok_and(|response| response.status() == StatusCode::OK) {
                                acknowledged.push((id.clone(), event));
                                count.fetch_add(1, Ordering::Relaxed);
                            } else {
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        Self {
            running,
            acknowledged,
            refused,
            senders,
        }
    }

    /// Waits until so many hooks were acknowledged since the start.
    async fn reaches(&self, count: usize) {
        while self.acknowledged.load(Ordering::Relaxed) < count {
            tokio::task::yield_now().await;
        }
    }

    fn acknowledged_so_far(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops and returns every hook that got a 200.
    async fn stop(self) -> Vec<(String, &'static str)> {
        self.running.store(false, Ordering::Relaxed);
        let mut all = Vec::new();
        for sender in self.senders {
            all.extend(sender.await.unwrap());
        }
        all
    }
}

/// Every acknowledged hook is stored exactly once, and the rows agree with each other.
async fn check(client: &tokio_postgres::Client, acknowledged: &[(String, &'static str)]) {
    let rows = client
        .query(
            "SELECT order_id, event, count(*) FROM order_events GROUP BY order_id, event",
            &[],
        )
        .await
        .unwrap();
    let stored: HashMap<(String, String), i64> =
        rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
    for (id, event) in acknowledged {
        assert_eq!(stored.get(&(id.clone(), (*event).to_owned())), Some(&1), "{id} {event}");
    }
    for query in [
        // One event per version, and every version has its event.
        "SELECT count(*) FROM orders o WHERE version <> (SELECT count(*) FROM order_events e WHERE e.order_id = o.order_id)",
        // Both lines of a shipped order moved once, those of no other.
        "SELECT count(*) FROM orders o WHERE (CASE WHEN shipped_at IS NULL OR document IS NULL THEN 0 ELSE 2 END) \
         <> (SELECT count(*) FROM stock_movements s WHERE s.order_id = o.order_id)",
        // Announced once to each of the two roles, unless it had been shipped by then.
        "SELECT count(*) FROM orders o WHERE document IS NOT NULL AND 2 \
         <> (SELECT count(*) FROM notices n WHERE n.order_id = o.order_id)",
    ] {
        let wrong: i64 = client.query_one(query, &[]).await.unwrap().get(0);
        assert_eq!(wrong, 0, "{query}");
    }
}

#[actix_rt::test]
async fn killed_under_load_and_started_again_nothing_acknowledged_is_missing() {
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start(database.url(), &[]).await;
    let before = Traffic::start(&node.client, "before");
    before.reaches(200).await;
    node.kill();
    let acknowledged = before.stop().await;
    assert!(acknowledged.len() >= 200);

    let node = TestProcess::start(database.url(), &[]).await;
    let after = Traffic::start(&node.client, "after");
    after.reaches(100).await;
    let mut all = after.stop().await;
    all.extend(acknowledged);
    check(&database.client().await, &all).await;
    // SM repeats what it got no answer to: every order of the first node can be finished by the second.
    let created = all
        .iter()
        .filter(|(id, event)| *event == "created" && id.starts_with("before"));
    for (id, _) in created {
        node.accepted(with_lines("order.created", id, &[("A", "1"), ("B", "2")]))
            .await;
        node.accepted(bare("order.received", id)).await;
        assert_eq!(node.order(id).await["status"], "shipped");
    }
}

#[actix_rt::test]
async fn postgresql_crashed_under_load_refuses_and_comes_back_by_itself() {
    let cluster = TestCluster::migrated().await;
    let app = TestApp::start(&cluster.url(), &[]).await;
    let traffic = Traffic::start(&app.client, "t");
    traffic.reaches(100).await;
    cluster.crash_server();

    // Refused quickly and visibly while there is no server.
    let mut refused = app.hook(bare("order.paid", "H1")).send().await.unwrap();
    while refused.status() == StatusCode::OK {
        refused = app.hook(bare("order.paid", "H1")).send().await.unwrap();
    }
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    while app.ops("/readyz").await.status() == StatusCode::OK {
        tokio::task::yield_now().await;
    }
    assert_eq!(app.ops("/livez").await.status(), StatusCode::OK);

    cluster.start_server();
    traffic.reaches(traffic.acknowledged_so_far() + 100).await;
    let acknowledged = traffic.stop().await;
    while app.ops("/readyz").await.status() != StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let client = cluster.client().await;
    client
        .execute("DELETE FROM order_arrivals WHERE order_id = 'H1'", &[])
        .await
        .unwrap();
    client
        .execute("DELETE FROM orders WHERE order_id = 'H1'", &[])
        .await
        .unwrap();
    check(&client, &acknowledged).await;
}

#[actix_rt::test]
async fn a_database_that_stands_still_is_refused_in_time_and_recovers() {
    let cluster = TestCluster::migrated().await;
    let app = TestApp::start(&cluster.url(), &["--answer-deadline", "500ms"]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    cluster.signal("STOP");
    // Each is answered by its deadline, those that wait behind a commit without an answer included.
    for _ in 0..4 {
        let asked = std::time::Instant::now();
        let (status, _) = app.send(bare("order.paid", "H1")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            asked.elapsed() < std::time::Duration::from_secs(4),
            "{:?}",
            asked.elapsed()
        );
    }
    cluster.signal("CONT");
    while app.send(bare("order.paid", "H1")).await.0 != StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let order = app.order("H1").await;
    assert_eq!(order["status"], "paid");
    let events = order["events"].as_array().unwrap().len();
    assert_eq!(order["version"], events, "every event has its version: {order}");
}

#[actix_rt::test]
async fn a_read_only_database_refuses_with_503_until_it_is_writable_again() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let client = database.client().await;
    let name: String = client.query_one("SELECT current_database()", &[]).await.unwrap().get(0);
    let set_read_only = async |value: &str| {
        client
            .batch_execute(&format!(
                "ALTER DATABASE {name} SET default_transaction_read_only = {value}"
            ))
            .await
            .unwrap();
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        client.execute(others, &[]).await.unwrap();
    };
    set_read_only("on").await;
    let (status, answer) = app.send(bare("order.paid", "H1")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    set_read_only("off").await;
    loop {
        let (status, _) = app.send(bare("order.paid", "H1")).await;
        if status == StatusCode::OK {
            break;
        }
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let order = app.order("H1").await;
    assert_eq!(order["status"], "paid");
    assert_eq!(order["version"], 2);
}

#[actix_rt::test]
async fn connections_that_are_cut_cost_no_hook() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let traffic = Traffic::start(&app.client, "t");
    let client = database.client().await;
    for round in 1..=10 {
        traffic.reaches(round * 30).await;
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        client.execute(others, &[]).await.unwrap();
    }
    traffic.reaches(330).await;
    // A cut in the middle of connecting looks like no database at all; everything else is sent again.
    let refused = traffic.refused.load(Ordering::Relaxed);
    assert!(
        refused <= 10,
        "{refused} hooks were refused although the database was there"
    );
    let acknowledged = traffic.stop().await;
    check(&client, &acknowledged).await;
}

#[actix_rt::test]
async fn garbage_on_the_connection_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let addr = app.hooks.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /sbermarket/orders/hook/ HTTP/1.1\r\nHost: x\r\nClient-Token: {}\r\n",
        crate::support::app::TOKEN
    );
    for bytes in [
        b"\x00\xff\xfe garbage \r\n\r\n".to_vec(),
        b"POST /sbermarket/orders/hook/ HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        // Half a body, then the sender closes its side.
        format!("{head}Content-Length: 100\r\n\r\n{{\"event_type\":").into_bytes(),
        format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n").into_bytes(),
    ] {
        let mut stream = tokio::net::TcpStream::connect(&addr).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // Whatever it is answered, the connection ends.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(
            !answer.starts_with(b"HTTP/1.1 2"),
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let stored: i64 = database
        .client()
        .await
        .query_one("SELECT count(*) FROM order_events", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(stored, 1);
}
