//! SM under a steady load: hooks leave at their times whether or not others were answered, each is given
//! 5 s, and what is not acknowledged is repeated.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::nginx::{Nginx, SM_WAITS, until};
use crate::support::app::TOKEN;

/// SM's pauses begin with 10 s and grow; a test has less time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// A hook that is not acknowledged after so many repeats never will be.
const MOST_REPEATS: u32 = 100;

/// A created, paid and received of every order, in waves: so many orders are in one stage.
const WAVE: usize = 20;

/// Hooks per second: few enough for what is killed and frozen on a busy machine, unless told.
pub(crate) fn rate() -> u32 {
    rate_or(50)
}

/// Hooks per second as told, or these.
pub(crate) fn rate_or(rate: u32) -> u32 {
    let told = std::env::var("ORDERHOOK_POOL_TEST_RATE");
    told.map_or(rate, |rate| rate.parse().unwrap())
}

/// One try of one hook.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) order_id: String,
    pub(crate) event: &'static str,
    /// 0 for the first try.
    pub(crate) repeat: u32,
    /// None when there was no answer within 5 s, or the connection broke.
    pub(crate) status: Option<StatusCode>,
    pub(crate) sent: Instant,
    pub(crate) elapsed: Duration,
}

impl Attempt {
    pub(crate) fn acknowledged(&self) -> bool {
        self.status == Some(StatusCode::OK)
    }
}

#[derive(Clone)]
struct Sender {
    http: reqwest::Client,
    url: String,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    acknowledged: Arc<AtomicUsize>,
}

/// Goes on until it is stopped.
pub(crate) struct Load {
    sender: Sender,
    per_second: u32,
    running: Arc<AtomicBool>,
    pacer: JoinHandle<JoinSet<()>>,
}

impl Load {
    /// Starts sending hooks of orders with this prefix through nginx.
    pub(crate) fn start(nginx: &Nginx, prefix: &'static str, per_second: u32) -> Self {
        let sender = Sender {
            http: nginx.http.clone(),
            url: format!("{}/sbermarket/orders/hook/", nginx.url),
            attempts: Arc::default(),
            acknowledged: Arc::default(),
        };
        let running = Arc::new(AtomicBool::new(true));
        let pacer = tokio::spawn(pace(sender.clone(), Arc::clone(&running), prefix, per_second));
        Self {
            sender,
            per_second,
            running,
            pacer,
        }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.sender.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until as many more hooks are acknowledged as leave in so many seconds.
    pub(crate) async fn lasts(&self, seconds: u32) {
        let goal = self.acknowledged() + usize::try_from(seconds * self.per_second).unwrap();
        until("the load goes on", async || self.acknowledged() >= goal).await;
    }

    /// Sends no more, waits until every hook is acknowledged, and returns every try.
    pub(crate) async fn stop(self) -> Vec<Attempt> {
        self.running.store(false, Ordering::Relaxed);
        let mut hooks = self.pacer.await.unwrap();
        while let Some(ended) = hooks.join_next().await {
            ended.unwrap();
        }
        let attempts = self.sender.attempts.lock().unwrap();
        attempts.clone()
    }
}

async fn pace(sender: Sender, running: Arc<AtomicBool>, prefix: &'static str, per_second: u32) -> JoinSet<()> {
    let mut hooks = JoinSet::new();
    let mut due = tokio::time::interval(Duration::from_secs(1) / per_second);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        due.tick().await;
        if !running.load(Ordering::Relaxed) {
            break;
        }
        let order_id = format!("{prefix}-{}", number / (3 * WAVE) * WAVE + number % WAVE);
        let (event, body) = hook(number / WAVE % 3, &order_id);
        hooks.spawn(sender.clone().send(order_id, event, body));
        while hooks.try_join_next().is_some() {}
    }
    hooks
}

/// The first, second or third hook of an order: the event as it is stored, and the body.
pub(crate) fn hook(stage: usize, order_id: &str) -> (&'static str, String) {
    let event = ["created", "paid", "received"][stage];
    let mut payload = json!({"originalOrderId": order_id});
    if stage == 0 {
        payload["store_id"] = json!("8001");
        payload["positions"] = json!([
            {"id": "A", "quantity": 1, "price": "10.00"},
            {"id": "B", "quantity": 2, "price": "20.00"},
        ]);
    }
    let body = json!({"event_type": format!("order.{event}"), "payload": payload});
    (event, body.to_string())
}

impl Sender {
    /// One hook, until it is acknowledged.
    async fn send(self, order_id: String, event: &'static str, body: String) {
        let mut pause = FIRST_PAUSE;
        for repeat in 0..=MOST_REPEATS {
            if repeat > 0 {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LAST_PAUSE);
            }
            let sent = Instant::now();
            let request = self.http.post(&self.url).header("Client-Token", TOKEN);
            let answer = request.body(body.clone()).timeout(SM_WAITS).send().await;
            let attempt = Attempt {
                order_id: order_id.clone(),
                event,
                repeat,
                status: answer.ok().map(|response| response.status()),
                sent,
                elapsed: sent.elapsed(),
            };
            let done = attempt.acknowledged();
            self.attempts.lock().unwrap().push(attempt);
            if done {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        panic!("{order_id} {event} was never acknowledged");
    }
}

/// Prints what SM saw, and returns the tries that were not answered 2xx.
pub(crate) fn tell(what: &str, attempts: &[Attempt]) -> Vec<Attempt> {
    let mut times: Vec<Duration> = attempts.iter().map(|attempt| attempt.elapsed).collect();
    times.sort_unstable();
    let refused: Vec<Attempt> = attempts
        .iter()
        .filter(|attempt| !attempt.acknowledged())
        .cloned()
        .collect();
    let mut kinds: HashMap<Option<u16>, usize> = HashMap::new();
    for attempt in &refused {
        *kinds.entry(attempt.status.map(|status| status.as_u16())).or_default() += 1;
    }
    let most = attempts.iter().map(|attempt| attempt.repeat).max().unwrap_or(0);
    println!(
        "{what}: {} hooks in {} tries, not 2xx {} {kinds:?}, most repeats of one {most}, answer times p50 {:?} p99 {:?} max {:?}",
        attempts.len() - refused.len(),
        attempts.len(),
        refused.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1],
    );
    refused
}

/// Compares what SM was told with what is stored: no acknowledged hook is missing, none was applied
/// twice.
pub(crate) async fn check(client: &tokio_postgres::Client, attempts: &[Attempt]) {
    let stored = client
        .query(
            "SELECT order_id, event, count(*) FROM order_events GROUP BY order_id, event",
            &[],
        )
        .await
        .unwrap();
    let stored: HashMap<(String, String), i64> = stored
        .iter()
        .map(|row| ((row.get(0), row.get(1)), row.get(2)))
        .collect();
    let mut tries: HashMap<(String, String), i64> = HashMap::new();
    for attempt in attempts {
        *tries
            .entry((attempt.order_id.clone(), attempt.event.to_owned()))
            .or_default() += 1;
    }
    for (hook, tries) in &tries {
        // nginx's second try of a hook is the same arrival; a repeat of SM is one of its own.
        let arrivals = stored.get(hook).copied().unwrap_or(0);
        assert!(
            (1..=*tries).contains(&arrivals),
            "{hook:?}: {arrivals} arrivals, {tries} tries"
        );
    }
    for query in [
        // One event per version, and every version has its event.
        "SELECT count(*) FROM orders o WHERE version <> (SELECT count(*) FROM order_events e WHERE e.order_id = o.order_id)",
        // Nothing was applied twice.
        "SELECT count(*) FROM (SELECT FROM order_events WHERE outcome = 'applied' GROUP BY order_id, event HAVING count(*) > 1) twice",
        // Both lines of a shipped order moved once, those of no other.
        "SELECT count(*) FROM orders o WHERE (CASE WHEN shipped_at IS NULL OR document IS NULL THEN 0 ELSE 2 END) \
         <> (SELECT count(*) FROM stock_movements s WHERE s.order_id = o.order_id)",
    ] {
        let wrong: i64 = client.query_one(query, &[]).await.unwrap().get(0);
        assert_eq!(wrong, 0, "{query}");
    }
}
