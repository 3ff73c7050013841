//! SM and nginx: sends the hooks of a plan to two nodes.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use crate::nodes::{Addresses, Node};
use crate::sent::{Attempt, Planned, Sent};

/// Hooks under way at any time, over all orders.
const IN_FLIGHT: usize = 64;

/// SM hears no answer that comes later.
const SM_WAITS: Duration = Duration::from_secs(5);

/// A hook that is not acknowledged after so many repeats never will be.
const MOST_REPEATS: usize = 100;

/// What SM does about a hook without a 200.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Repeats {
    /// Nothing: there must not be one.
    Never,
    /// nginx may ask the other node first; then SM sends it again, until it is acknowledged.
    UntilAcknowledged,
}

/// Sends all of them, [`IN_FLIGHT`] at a time, and counts the acknowledged hooks up in `acknowledged`.
pub(crate) async fn send<'a>(
    hooks: &'a [Planned],
    nodes: &Addresses,
    repeats: Repeats,
    seed: u64,
    acknowledged: &watch::Sender<usize>,
) -> Vec<Sent<'a>> {
    let rng = StdRng::seed_from_u64(seed);
    let rngs = std::iter::successors(Some(rng), |rng| Some(StdRng::from_rng(&mut rng.clone())));
    let sending = hooks.iter().zip(rngs).map(|(hook, rng)| async {
        let sent = send_one(hook, nodes, repeats, rng).await;
        acknowledged.send_modify(|count| *count += 1);
        sent
    });
    futures_util::stream::iter(sending)
        .buffer_unordered(IN_FLIGHT)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .flatten()
        .collect()
}

/// One hook with all its repeats.
async fn send_one<'a>(hook: &'a Planned, nodes: &Addresses, repeats: Repeats, mut rng: StdRng) -> Vec<Sent<'a>> {
    let mut sent = Vec::new();
    loop {
        let request = Request::from_seed(rng.random());
        let first = rng.random_range(0..2);
        let mut attempts = if hook.twice {
            let [one, two] = nodes.now();
            let (one, two) = join(attempt(one, hook, &request), attempt(two, hook, &request)).await;
            vec![one, two]
        } else {
            vec![attempt(nodes.now()[first].clone(), hook, &request).await]
        };
        let is_acknowledged = |attempts: &[Attempt]| attempts.iter().any(|attempt| attempt.acknowledged().is_some());
        let next_upstream = repeats == Repeats::UntilAcknowledged && rng.random();
        if next_upstream && !is_acknowledged(&attempts) {
            attempts.push(attempt(nodes.now()[1 - first].clone(), hook, &request).await);
        }
        let done = repeats == Repeats::Never || is_acknowledged(&attempts);
        assert!(
            sent.len() < MOST_REPEATS,
            "never acknowledged, at last {attempts:?}: {:?}",
            hook.event
        );
        sent.push(Sent {
            hook,
            request_id: request.id,
            attempts,
        });
        if done {
            return sent;
        }
    }
}

/// What nginx says of a request, the same in each of its tries.
struct Request {
    id: String,
    /// `X-Request-Start`, which every other request is without, as if it had not come by nginx.
    start: Option<String>,
}

impl Request {
    fn from_seed(seed: u128) -> Self {
        let start = || format!("t=1795766{:03}.{:03}", (seed >> 8) % 1000, (seed >> 24) % 1000);
        Self {
            id: format!("{seed:032x}"),
            start: seed.is_multiple_of(2).then(start),
        }
    }
}

async fn attempt(node: Node, hook: &Planned, request: &Request) -> Attempt {
    let mut try_of_nginx = node
        .client
        .hook(hook.body.to_vec())
        .header("X-Request-Id", &request.id)
        .timeout(SM_WAITS);
    if let Some(start) = &request.start {
        try_of_nginx = try_of_nginx.header("X-Request-Start", start);
    }
    let sent = Instant::now();
    let answer = async {
        let response = try_of_nginx.send().await.ok()?;
        let status = response.status();
        Some((status, response.json().await.ok()?))
    };
    let answer = answer.await;
    Attempt {
        node: node.name.to_string(),
        sent,
        ended: Instant::now(),
        answer,
    }
}
