//! Plays SM against a running node over HTTP: real bodies in both spellings, the 5-second limit, the
//! repeats, overlaps; then reads every order back and compares it with what it must be.
//!
//! # Layout
//! - `plan`: which order does what, and what must come of it.
//! - `body`: the bodies of the hooks, as real as SM's.
//! - `sender`: one hook with SM's limit and repeats.
//! - `check`: reads an order back and compares.
//! - `report`: the figures.
//!
//! It knows the service only by HTTP: no rule of the service is used to expect what the service does.

mod body;
mod check;
mod plan;
mod report;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use secrecy::SecretString;
use url::Url;

pub use plan::Spelling;
pub use report::{Difference, Progress, Report};

use plan::OrderPlan;
use sender::Sender;

/// What is played.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many orders, six events each.
    pub orders: u32,
    /// Orders under way at a time.
    pub concurrency: usize,
    /// The hook listener.
    pub hook_url: Url,
    /// The operations listener; orders are read back there.
    pub ops_url: Url,
    /// The `Client-Token`.
    pub token: SecretString,
    /// The same seed plays the same orders.
    pub seed: u64,
    /// Order ids begin with it.
    pub prefix: String,
    /// Which spelling of the protocol.
    pub spelling: Spelling,
    /// Orders that are cancelled instead of delivered, in percent.
    pub cancel_percent: u32,
    /// Events that are sent before the previous one of the order was answered, in percent.
    pub overlap_percent: u32,
    /// Hooks that are sent once more although they were acknowledged, in percent.
    pub repeat_percent: u32,
    /// SM's pauses between repeats are divided by it.
    pub time_scale: u32,
    /// The longest that SM waits for an answer.
    pub answer_limit: Duration,
}

/// Why nothing could be played.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The HTTP client cannot be built, or the token is no header value.
    #[error("the HTTP client cannot be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The token cannot be sent.
    #[error("the token is no legal value of an HTTP header")]
    Token,
}

/// Plays all orders and checks them. `progress` is filled while that goes on.
///
/// # Errors
/// [`SimError`] when nothing could be sent at all; whatever the node does is part of the report.
pub async fn run(settings: &Settings, progress: &Progress) -> Result<Report, SimError> {
    let sender = Arc::new(Sender::new(settings)?);
    let mut random = StdRng::seed_from_u64(settings.seed);
    let plans: Vec<OrderPlan> = (0..settings.orders)
        .map(|index| OrderPlan::random(settings, index, &mut random))
        .collect();
    progress.expect(plans.iter().map(|plan| plan.steps.len()).sum());
    let played: Vec<_> = futures_util::stream::iter(plans)
        .map(|plan| {
            let sender = Arc::clone(&sender);
            async move {
                let answers = sender.play(&plan, progress).await;
                let differences = check::check(&sender, &plan, &answers).await;
                progress.order_done();
                (plan.order_id, answers, differences)
            }
        })
        .buffer_unordered(settings.concurrency.max(1))
        .collect()
        .await;
    Ok(Report::of(settings, &sender, played))
}
