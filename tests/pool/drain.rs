//! How a node leaves: new hooks are refused at once, those inside are answered, and nothing that was read
//! is dropped without an answer.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::hook;
use crate::nginx::until;
use crate::pool::{Pool, ended};
use crate::support::app::TOKEN;

#[tokio::test]
async fn a_hook_inside_a_draining_node_is_answered_and_the_next_one_goes_elsewhere() {
    let mut pool = Pool::start(2).await;
    let client = pool.database.client().await;
    assert_eq!(
        pool.nginx.hook(hook(0, "H1").1).send().await.unwrap().status(),
        StatusCode::OK
    );
    let name = Pool::node_of(&client, "H1").await;
    let index = pool.index_of(&name);
    let address = pool.places[index].hook_addr.clone();

    client
        .batch_execute("BEGIN; SELECT FROM orders FOR UPDATE")
        .await
        .unwrap();
    let inside = tokio::spawn(pool.nginx.hook(hook(1, "H1").1).send());
    let node = &pool.nodes[index];
    until("the hook is inside", async || {
        node.metric("orderhook_mailbox_depth", &["order"]).await >= 1.0
    })
    .await;
    node.signal("TERM");
    until("the node drains", async || node.ops("/readyz").await.status() == 503).await;
    for number in 0..20 {
        let response = pool.nginx.hook(hook(0, &format!("N{number}")).1).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(inside.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(ended(&mut pool.nodes[index]).await, Some(0));

    let log = pool.nginx.logged(22).await;
    let answers = |line: &&serde_json::Value| line["upstream"] == address.as_str() && line["upstream_status"] == "200";
    assert_eq!(log.iter().filter(answers).count(), 2, "H1's two hooks");
    let elsewhere = |line: &&serde_json::Value| line["upstream_status"] == "503, 200";
    assert!(
        log.iter().filter(elsewhere).count() > 0,
        "none was refused by the draining node"
    );
    assert!(log.iter().all(|line| line["status"] == 200));
}

/// Everything that the node sends until it closes; an error when it resets the connection instead.
async fn read_to_end(mut stream: TcpStream) -> std::io::Result<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

#[tokio::test]
async fn connections_that_are_kept_alive_are_closed_cleanly_and_hold_nothing_up() {
    let mut pool = Pool::start(1).await;
    let (_, body) = hook(0, "H1");
    let request = format!(
        "POST /sbermarket/orders/hook/ HTTP/1.1\r\nHost: pool\r\nClient-Token: {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(&pool.places[0].hook_addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        idle.push(stream);
    }
    let asked = Instant::now();
    pool.nodes[0].signal("TERM");
    for stream in idle {
        assert_eq!(read_to_end(stream).await.unwrap(), "");
    }
    assert_eq!(ended(&mut pool.nodes[0]).await, Some(0));
    println!("ended {:?} after SIGTERM with 8 idle connections", asked.elapsed());
    // The whole deadline is what it would take to wait for idle callers.
    assert!(asked.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn callers_that_stand_still_do_not_keep_a_node_from_ending() {
    let mut pool = Pool::start_with(1, &["--drain-deadline", "6s"], &[]).await;
    let address = pool.places[0].hook_addr.clone();
    let head = format!("POST /sbermarket/orders/hook/ HTTP/1.1\r\nHost: pool\r\nClient-Token: {TOKEN}\r\n");
    let mut standing = Vec::new();
    for sent in [
        // Nothing; half a head; a head without its body; half a body, in chunks.
        String::new(),
        head[..40].to_owned(),
        format!("{head}Content-Length: 100\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n10\r\n{{\"event"),
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        standing.push(stream);
    }
    let took = pool.drain(0).await;
    println!("ended {took:?} after SIGTERM with callers that stand still");
    drop(standing);
}

#[tokio::test]
async fn a_caller_that_reads_no_answers_does_not_put_the_end_off_beyond_the_deadline() {
    let flags = ["--drain-deadline", "8s", "--answer-deadline", "4s"];
    let mut pool = Pool::start_with(1, &flags, &[]).await;
    // Its answers fill every buffer on the way, until the node cannot write.
    let mut deaf = TcpStream::connect(&pool.places[0].hook_addr).await.unwrap();
    let questions = "GET / HTTP/1.1\r\nHost: pool\r\n\r\n".repeat(1_000);
    let stuck = Duration::from_secs(2);
    while tokio::time::timeout(stuck, deaf.write_all(questions.as_bytes()))
        .await
        .is_ok()
    {}

    // Another one is inside for half of the deadline.
    assert_eq!(
        pool.nginx.hook(hook(0, "H1").1).send().await.unwrap().status(),
        StatusCode::OK
    );
    let client = pool.database.client().await;
    client
        .batch_execute("BEGIN; SELECT FROM orders FOR UPDATE")
        .await
        .unwrap();
    let inside = tokio::spawn(pool.nodes[0].hook(hook(1, "H1").1).send());
    let node = &pool.nodes[0];
    until("the hook is inside", async || {
        node.metric("orderhook_mailbox_depth", &["order"]).await >= 1.0
    })
    .await;
    let release = async {
        assert_eq!(inside.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        client.batch_execute("COMMIT").await.unwrap();
    };
    let asked = Instant::now();
    pool.nodes[0].signal("TERM");
    let (code, ()) = tokio::join!(ended(&mut pool.nodes[0]), release);
    let took = asked.elapsed();
    println!("ended {took:?} after SIGTERM with a caller that reads nothing");
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_millis(10_500), "the deadline is 8 s: {took:?}");
}

/// What became of a caller's hooks.
#[derive(Default)]
struct Called {
    answered: usize,
    refused: usize,
    /// The connection was closed before the hook came, or before it was begun.
    not_taken: usize,
}

/// Sends hooks until nobody listens any more.
async fn call(address: String, caller: usize) -> Called {
    let mut called = Called::default();
    let mut number = 0;
    while let Ok(mut stream) = TcpStream::connect(&address).await {
        loop {
            number += 1;
            let (_, body) = hook(0, &format!("H{caller}-{number}"));
            let length = body.len();
            let request = format!(
                "POST /sbermarket/orders/hook/ HTTP/1.1\r\nHost: pool\r\nClient-Token: {TOKEN}\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            );
            let mut answer = vec![0; 4096];
            let exchange = async {
                stream.write_all(request.as_bytes()).await?;
                stream.read(&mut answer).await
            };
            let read = exchange.await.unwrap_or(0);
            let answer = String::from_utf8_lossy(&answer[..read]);
            match answer.get(9..12) {
                Some("200") => called.answered += 1,
                Some("503") => called.refused += 1,
                Some(_) => panic!("{answer}"),
                None => called.not_taken += 1,
            }
            if read == 0 || answer.contains("connection: close") {
                break;
            }
        }
    }
    called
}

#[tokio::test]
async fn a_hook_that_was_sent_to_an_ending_node_is_answered_or_refused_never_reset() {
    let mut pool = Pool::start(1).await;
    let address = pool.places[0].hook_addr.clone();
    // Like nginx: one hook after the other on connections that stay, until the node closes them.
    let callers: Vec<_> = (0..16)
        .map(|caller| tokio::spawn(call(address.clone(), caller)))
        .collect();
    let client = pool.database.client().await;
    let stored = async || {
        let row = client
            .query_one("SELECT count(*) FROM order_events", &[])
            .await
            .unwrap();
        usize::try_from(row.get::<_, i64>(0)).unwrap()
    };
    until("hooks are stored", async || stored().await > 100).await;
    let took = pool.drain(0).await;
    let (mut answered, mut refused, mut not_taken) = (0, 0, 0);
    for caller in callers {
        let caller = caller.await.unwrap();
        answered += caller.answered;
        refused += caller.refused;
        not_taken += caller.not_taken;
    }
    println!("ended {took:?} after SIGTERM: {answered} answered, {refused} refused, {not_taken} not taken");
    assert_eq!(stored().await, answered, "everything that was stored was answered");
}
