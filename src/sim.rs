//! Plays SM against a running node over HTTP: real bodies in both spellings, the limit of 5 s, the
//! repeats, overlaps; then reads every order back and compares it with what it must be.
//!
//! # Layout
//! - `catalogue`: what the stores sell and who buys it.
//! - `plan`: what happens to one order.
//! - `body`: the bodies of its hooks.
//! - `settings`: what can be chosen.
//! - `sender`: one hook with SM's limit and repeats.
//! - `ledger`: every try, on a line of a file.
//! - `play`: one order from its first hook to the look at what is stored.
//! - `stored`: the order as the operations listener shows it.
//! - `expectation`: what must have come of it.
//! - `tally`, `report`, `table`: the figures.
//!
//! It knows the service by HTTP alone: none of the service's rules is used to expect what the service
//! does.

mod body;
mod catalogue;
mod expectation;
mod ledger;
mod plan;
mod play;
mod report;
mod sender;
mod settings;
mod stored;
mod table;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::JoinSet;

pub use report::{AnswerTime, Difference, EventFigures, Lost, Progress, Report};
pub use settings::{Settings, Spellings};

use plan::OrderPlan;
use sender::Sender;
use settings::Spelling;
use tally::{PlayedOrder, Tally};

/// What all orders of a run share.
struct Run {
    seed: u64,
    prefix: String,
    started_at: DateTime<Utc>,
    /// The same moment on the clock that never jumps.
    started: Instant,
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
            started: Instant::now(),
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
    /// No such folder, for example, or the disk is full.
    #[error("the ledger {0} cannot be written")]
    Ledger(std::path::PathBuf, #[source] std::io::Error),
}

/// Plays all orders and compares what is stored. `progress` is filled while that goes on. Dropping the
/// future stops everything.
///
/// # Errors
/// [`SimError`]
pub async fn run(settings: &Settings, progress: Arc<Progress>) -> Result<Report, SimError> {
    let run = Run::new(settings);
    let sender = Arc::new(Sender::new(settings, &run, Arc::clone(&progress))?);
    let mut tally = Tally::new(&run)?;
    progress.starts(settings.most_orders());
    let mut playing: JoinSet<PlayedOrder> = JoinSet::new();
    let most = settings.most_orders().unwrap_or(u32::MAX);
    // With a rate, an order begins when the hooks of those before it have left.
    let mut begins = Duration::ZERO;
    for index in 0..most {
        if settings.rate.is_none() && playing.len() >= settings.concurrency.get() {
            end_one(&mut playing, &mut tally, &progress).await?;
        }
        let elapsed = run.started.elapsed().max(begins);
        if settings.duration.is_some_and(|duration| elapsed >= duration) {
            break;
        }
        let plan = OrderPlan::draw(settings, &run, index, &mut run.random(index))?;
        let hooks = plan.hooks();
        let sender = Arc::clone(&sender);
        if let Some(rate) = settings.rate {
            let begin = run.started + begins;
            begins += Duration::from_secs(1) * hooks / rate.get();
            let gap = settings.event_gap / settings.time_scale;
            tokio::time::sleep_until(begin.into()).await;
            playing.spawn(async move { play::at_its_times(&sender, &plan, begin, gap).await });
            while let Some(order) = playing.try_join_next() {
                take(order?, &mut tally, &progress);
            }
        } else {
            playing.spawn(async move { play::as_answers_come(&sender, &plan).await });
        }
    }
    while !playing.is_empty() {
        end_one(&mut playing, &mut tally, &progress).await?;
    }
    sender.close_ledger()?;
    Ok(tally.report(run.started.elapsed()))
}

/// Waits for the next order that ends.
async fn end_one(
    playing: &mut JoinSet<PlayedOrder>,
    tally: &mut Tally,
    progress: &Progress,
) -> Result<(), tokio::task::JoinError> {
    if let Some(order) = playing.join_next().await {
        take(order?, tally, progress);
    }
    Ok(())
}

fn take(order: PlayedOrder, tally: &mut Tally, progress: &Progress) {
    progress.order_ended(!order.differences.is_empty());
    tally.add(order);
}
