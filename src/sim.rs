//! Plays SM against a running node over HTTP: real bodies in both spellings, the limit of 5 s, the
//! repeats, overlaps; then reads every order back and compares it with what it must be.
//!
//! # Layout
//! - `catalogue`: what the stores sell and who buys it.
//! - `plan`: what happens to one order.
//! - `body`: the bodies of its hooks.
//! - `sender`: one hook with SM's limit and repeats.
//! - `play`: one order from its first hook to the look at what is stored.
//! - `stored`: the order as the operations listener shows it.
//! - `expectation`: what must have come of it.
//! - `report`, `table`: the figures.
//!
//! It knows the service by HTTP alone: none of the service's rules is used to expect what the service
//! does.

mod body;
mod catalogue;
mod expectation;
mod plan;
mod play;
mod report;
mod sender;
mod stored;
mod table;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use rand::SeedableRng;
use rand::rngs::StdRng;
use secrecy::SecretString;
use tokio::task::JoinSet;
use url::Url;

pub use report::{AnswerTime, Difference, Lost, Progress, Report};

use plan::OrderPlan;
use report::{PlayedOrder, Tally};
use sender::Sender;

/// What is played against which node.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// How many orders, six events each; a cancelled one has fewer
    #[arg(long, default_value = "20")]
    pub orders: u32,

    /// Orders in flight at a time
    #[arg(long, default_value = "16")]
    pub concurrency: NonZeroUsize,

    /// The hook listener
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub hook_url: Url,

    /// The operations listener; orders are read back there
    #[arg(long, default_value = "http://127.0.0.1:8081")]
    pub ops_url: Url,

    /// A Client-Token that the node accepts
    #[arg(long, env = "ORDERHOOK_SIM_TOKEN", hide_env_values = true)]
    pub token: SecretString,

    /// The bearer token of the operations listener, if it has one
    #[arg(long, env = "ORDERHOOK_OPS_TOKEN", default_value = "", hide_env_values = true)]
    pub ops_token: SecretString,

    /// Plays the orders of an earlier run again [default: drawn, and told in the report]
    #[arg(long)]
    pub seed: Option<u64>,

    /// How order ids begin; must be new to the node [default: from the clock]
    #[arg(long)]
    pub prefix: Option<String>,

    /// The spelling of the protocol: d (order.changed, store_id), k (order.updated, storeID), or both in turn
    #[arg(long, value_enum, default_value = "both")]
    pub spelling: Spellings,

    /// Orders that are cancelled instead of delivered
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = percent())]
    pub cancel: u32,

    /// Events that are sent before the previous one of the order was answered
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent())]
    pub overlap: u32,

    /// Hooks that are sent once more although they were acknowledged
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = percent())]
    pub repeats: u32,

    /// SM's pauses between repeats, 10 s growing to 640 s, are divided by it
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub time_scale: u32,

    /// The longest that SM waits for an answer; not divided
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub time_limit: Duration,
}

fn percent() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=100)
}

/// Which spellings are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Spellings {
    /// The first one, for the store 8001.
    D,
    /// The second one, for the store 57.
    K,
    /// One order in the first, the next in the second.
    Both,
}

/// How SM spells the events of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// `order.changed`, `order.cancelled`, `store_id`; always whole, no timestamps.
    D,
    /// `order.updated`, `order.canceled`, `storeID`; parts, timestamps, a courier.
    K,
}

impl Spellings {
    /// That of the order with this place in the run.
    const fn of(self, index: u32) -> Spelling {
        match self {
            Self::D => Spelling::D,
            Self::K => Spelling::K,
            Self::Both if index.is_multiple_of(2) => Spelling::D,
            Self::Both => Spelling::K,
        }
    }
}

/// What all orders of a run share.
struct Run {
    seed: u64,
    prefix: String,
    started_at: DateTime<Utc>,
}

impl Run {
    fn new(settings: &Settings) -> Self {
        let started_at = Utc::now();
        Self {
            seed: settings.seed.unwrap_or_else(rand::random),
            prefix: settings
                .prefix
                .clone()
                .unwrap_or_else(|| format!("H{}-", started_at.timestamp_millis())),
            started_at,
        }
    }

    /// Orders do not depend on each other's draws, so that one of many can be played again.
    fn random(&self, index: u32) -> StdRng {
        StdRng::seed_from_u64(self.seed.wrapping_add(index.into()))
    }
}

/// Why nothing, or nothing more, could be played. Whatever the node does is part of the report instead.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// No TLS, for example.
    #[error("the HTTP client cannot be made")]
    Client(#[from] reqwest::Error),
    /// It holds a line break, for example.
    #[error("the token is no legal value of an HTTP header")]
    Token,
    /// `data:`, for example.
    #[error("{0} is no address of a server")]
    Address(String),
    /// A defect of the simulator.
    #[error("a body cannot be written")]
    Body(#[from] serde_json::Error),
    /// A defect of the simulator.
    #[error("the histogram of the answer times cannot be made")]
    Histogram(#[from] hdrhistogram::CreationError),
    /// A defect of the simulator.
    #[error("the playing of an order ended early")]
    Order(#[from] tokio::task::JoinError),
}

/// Plays all orders and compares what is stored. `progress` is filled while that goes on. Dropping the
/// future stops everything.
///
/// # Errors
/// [`SimError`]
pub async fn run(settings: &Settings, progress: Arc<Progress>) -> Result<Report, SimError> {
    let run = Run::new(settings);
    let started = Instant::now();
    let sender = Arc::new(Sender::new(settings, Arc::clone(&progress))?);
    let mut tally = Tally::new(&run)?;
    progress.starts(settings.orders);
    let mut playing: JoinSet<PlayedOrder> = JoinSet::new();
    for index in 0..settings.orders {
        if playing.len() >= settings.concurrency.get() {
            end_one(&mut playing, &mut tally, &progress).await?;
        }
        let plan = OrderPlan::draw(settings, &run, index, &mut run.random(index))?;
        let sender = Arc::clone(&sender);
        playing.spawn(async move { play::play(&sender, &plan).await });
    }
    while !playing.is_empty() {
        end_one(&mut playing, &mut tally, &progress).await?;
    }
    Ok(tally.report(started.elapsed()))
}

/// Waits for the next order that ends.
async fn end_one(
    playing: &mut JoinSet<PlayedOrder>,
    tally: &mut Tally,
    progress: &Progress,
) -> Result<(), tokio::task::JoinError> {
    if let Some(order) = playing.join_next().await {
        let order = order?;
        progress.order_ended(!order.differences.is_empty());
        tally.add(order);
    }
    Ok(())
}
