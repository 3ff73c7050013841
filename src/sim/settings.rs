//! What is played, how fast, and against which nodes.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;
use url::Url;

/// Orders of a run that names neither a number nor a time.
const FEW_ORDERS: u32 = 20;

/// What is played against which nodes.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// How many orders, six events each; a cancelled one has fewer [default: 20, or as many as begin within
    /// --duration]
    #[arg(long)]
    pub orders: Option<u32>,

    /// Orders begin for so long; those that have begun are played to their end
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,

    /// Hooks per second that leave at their times, whether or not others were answered (open loop) [default: as
    /// fast as answers come, within --concurrency]
    #[arg(long, value_name = "HOOKS")]
    pub rate: Option<NonZeroU32>,

    /// From one event of an order to the next, with --rate; divided by --time-scale
    #[arg(long, value_name = "TIME", default_value = "12m", value_parser = humantime::parse_duration)]
    pub event_gap: Duration,

    /// Orders in flight at a time, without --rate
    #[arg(long, default_value = "16", conflicts_with = "rate")]
    pub concurrency: NonZeroUsize,

    /// The hook listener; several are sent to in turn
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:8080")]
    pub hook_url: Vec<Url>,

    /// The operations listener, where orders are read back; of several any that answers
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:8081")]
    pub ops_url: Vec<Url>,

    /// Orders are not read back: what is stored is not compared
    #[arg(long)]
    pub no_verify: bool,

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

    /// Stores of each spelling, counted up from 8001 and from 57
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub stores: u32,

    /// Orders that are cancelled instead of delivered
    #[arg(long, value_name = "PERCENT", default_value = "10", value_parser = percent())]
    pub cancel: u32,

    /// Events that are sent together with the previous one of the order
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent())]
    pub overlap: u32,

    /// Events that are sent late, after the next one of the order
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = percent())]
    pub disorder: u32,

    /// Hooks that are sent once more although they were acknowledged
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = percent())]
    pub repeats: u32,

    /// SM's times, but for the limit, are divided by it: the pauses between repeats, 10 s growing to 640 s, and
    /// --event-gap; 1 is real time
    #[arg(long, default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub time_scale: u32,

    /// The longest that SM waits for an answer; not divided
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    pub time_limit: Duration,

    /// Writes every try on a line of this file, in JSON: what was sent when, and what was answered
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
}

fn percent() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(0..=100)
}

impl Settings {
    /// After so many orders no further one begins; `None` when the time alone decides.
    pub(super) const fn most_orders(&self) -> Option<u32> {
        match (self.orders, self.duration) {
            (None, None) => Some(FEW_ORDERS),
            (orders, _) => orders,
        }
    }
}

/// Which spellings are played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Spellings {
    /// The first one, for the stores from 8001.
    D,
    /// The second one, for the stores from 57.
    K,
    /// One order in the first, the next in the second.
    Both,
}

/// How SM spells the events of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `order.changed`, `order.cancelled`, `store_id`; always whole, no timestamps.
    D,
    /// `order.updated`, `order.canceled`, `storeID`; parts, timestamps, a courier.
    K,
}

impl Spellings {
    /// That of the order with this place in the run.
    pub(super) const fn of(self, index: u32) -> Spelling {
        match self {
            Self::D => Spelling::D,
            Self::K => Spelling::K,
            Self::Both if index.is_multiple_of(2) => Spelling::D,
            Self::Both => Spelling::K,
        }
    }
}
