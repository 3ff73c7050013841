//! Settings of a node: environment variables, each also a flag of `serve`, documented by `--help`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Where PostgreSQL is; every command that stores or reads needs it.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArgs {
    /// PostgreSQL URL; of several hosts, all asked at once, the writable one is used
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
}

/// Settings of `orderhook serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Where PostgreSQL is.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Accepted Client-Token values, comma-separated (two during a change)
    #[arg(
        long,
        env = "ORDERHOOK_CLIENT_TOKENS",
        value_delimiter = ',',
        required = true,
        hide_env_values = true
    )]
    pub client_tokens: Vec<SecretString>,

    /// Where hooks arrive
    #[arg(long, env = "ORDERHOOK_HOOK_ADDR", default_value = "127.0.0.1:8080")]
    pub hook_addr: SocketAddr,

    /// Operations: metrics, health, JSON; never exposed to the world
    #[arg(long, env = "ORDERHOOK_OPS_ADDR", default_value = "127.0.0.1:8081")]
    pub ops_addr: SocketAddr,

    /// The bearer token that the operations page and its API ask for; empty: everybody may look, nobody may
    /// change anything or read raw bodies
    #[arg(long, env = "ORDERHOOK_OPS_TOKEN", default_value = "", hide_env_values = true)]
    pub ops_token: SecretString,

    /// The name of this node in the journal, the logs and pg_stat_activity [default: host name and hook port]
    #[arg(long, env = "ORDERHOOK_NODE")]
    pub node: Option<String>,

    /// The bot's token; empty: notices are rendered to the log instead of sent
    #[arg(long, env = "ORDERHOOK_TELEGRAM_TOKEN", default_value = "", hide_env_values = true)]
    pub telegram_token: SecretString,

    /// Another Bot API server instead of Telegram's (tests, a local Bot API server)
    #[arg(long, env = "ORDERHOOK_TELEGRAM_API_URL")]
    pub telegram_api_url: Option<Url>,

    /// The longest that one call of the Bot API may take
    #[arg(long, env = "ORDERHOOK_TELEGRAM_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration)]
    pub telegram_timeout: Duration,

    /// Messages to all chats together in any second; Telegram allows about 30
    #[arg(long, env = "ORDERHOOK_TELEGRAM_PER_SECOND", default_value = "28")]
    pub telegram_per_second: NonZeroUsize,

    /// From one message to the next in the same chat; Telegram allows one per second
    #[arg(long, env = "ORDERHOOK_TELEGRAM_CHAT_PAUSE", default_value = "1020ms", value_parser = humantime::parse_duration)]
    pub telegram_chat_pause: Duration,

    /// Messages to one group in any minute; Telegram allows 20
    #[arg(long, env = "ORDERHOOK_TELEGRAM_GROUP_PER_MINUTE", default_value = "20")]
    pub telegram_group_per_minute: NonZeroUsize,

    /// The time zone in which staff read delivery windows
    #[arg(long, env = "ORDERHOOK_TIME_ZONE", default_value = "Europe/Moscow")]
    pub time_zone: Tz,

    /// A hook that is not committed by then is answered 503; must be below nginx's read timeout
    #[arg(long, env = "ORDERHOOK_ANSWER_DEADLINE", default_value = "2s", value_parser = humantime::parse_duration)]
    pub answer_deadline: Duration,

    /// Events that may wait for one order
    #[arg(long, env = "ORDERHOOK_ORDER_QUEUE", default_value = "128")]
    pub order_queue: NonZeroUsize,

    /// An order's actor to which nothing has come for so long leaves the memory
    #[arg(long, env = "ORDERHOOK_ORDER_IDLE", default_value = "10m", value_parser = humantime::parse_duration)]
    pub order_idle: Duration,

    /// Raw bodies older than this many days are pruned
    #[arg(long, env = "ORDERHOOK_RAW_BODY_DAYS", default_value = "90", value_parser = clap::value_parser!(u32).range(1..))]
    pub raw_body_days: u32,

    /// From the creation of an order to its expectedAssemblyTime
    #[arg(long, env = "ORDERHOOK_ASSEMBLY_TIME", default_value = "60m", value_parser = humantime::parse_duration)]
    pub assembly_time: Duration,

    /// How long SM repeats a hook; a created that was stored but never answered by then is an alarm
    #[arg(long, env = "ORDERHOOK_REPEAT_HORIZON", default_value = "10m", value_parser = humantime::parse_duration)]
    pub repeat_horizon: Duration,

    /// A notice that waits longer to be sent is an alarm
    #[arg(long, env = "ORDERHOOK_OUTBOX_LIMIT", default_value = "5m", value_parser = humantime::parse_duration)]
    pub outbox_limit: Duration,

    /// How often alarms for the chats with the role ops are looked for
    #[arg(long, env = "ORDERHOOK_ALARM_INTERVAL", default_value = "15s", value_parser = humantime::parse_duration)]
    pub alarm_interval: Duration,

    /// The most connections to PostgreSQL, besides one per thread (three for a moment when one breaks) and the
    /// leader's own one
    #[arg(long, env = "ORDERHOOK_POOL_SIZE", default_value = "8")]
    pub pool_size: NonZeroUsize,

    /// Threads that hooks and their actors share, each with a group commit of its own; all cores where
    /// PostgreSQL has a machine for itself [default: half of the processor's cores]
    #[arg(long, env = "ORDERHOOK_THREADS")]
    pub threads: Option<NonZeroUsize>,

    /// After SIGTERM the node ends by then, drained or not
    #[arg(long, env = "ORDERHOOK_DRAIN_DEADLINE", default_value = "15s", value_parser = humantime::parse_duration)]
    pub drain_deadline: Duration,

    /// How logs are written.
    #[command(flatten)]
    pub log: LogArgs,
}

/// How logs are written, for `serve` and `migrate`.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// What is logged: a level, or levels of targets as in info,orderhook=debug
    #[arg(long, env = "ORDERHOOK_LOG", default_value = "info")]
    pub log: String,

    /// How it is written
    #[arg(long, env = "ORDERHOOK_LOG_FORMAT", default_value = "pretty")]
    pub log_format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: one short line per event, coloured on a terminal.
    Pretty,
    /// For machines: one JSON object per line.
    Json,
}

/// A combination of settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A blank token would let everybody in.
    #[error("ORDERHOOK_CLIENT_TOKENS holds an empty token")]
    EmptyToken,
    /// It can be guessed at without limit.
    #[error("ORDERHOOK_OPS_TOKEN must have at least {SHORTEST_OPS_TOKEN} characters")]
    OpsToken,
    /// SM waits five seconds. Behind nginx a second try must fit in, too: `nginx/render.sh` takes at most two.
    #[error("ORDERHOOK_ANSWER_DEADLINE must be between 50ms and 4s, so that SM gets its answer within 5 s")]
    AnswerDeadline,
    /// Looking without a pause would be all that the database does.
    #[error("ORDERHOOK_ALARM_INTERVAL must be at least 100ms")]
    AlarmInterval,
    /// The date would leave what a date can hold.
    #[error("ORDERHOOK_ASSEMBLY_TIME must be at most 30 days")]
    AssemblyTime,
}

/// The shortest bearer token that is taken.
const SHORTEST_OPS_TOKEN: usize = 16;

impl ServeArgs {
    /// Checks what a single setting cannot show.
    ///
    /// # Errors
    /// [`SettingsError`] names the variable.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self
            .client_tokens
            .iter()
            .any(|token| token.expose_secret().trim().is_empty())
        {
            return Err(SettingsError::EmptyToken);
        }
        let ops_token = self.ops_token.expose_secret().len();
        if (1..SHORTEST_OPS_TOKEN).contains(&ops_token) {
            return Err(SettingsError::OpsToken);
        }
        if !(Duration::from_millis(50)..=Duration::from_secs(4)).contains(&self.answer_deadline) {
            return Err(SettingsError::AnswerDeadline);
        }
        if self.assembly_time > Duration::from_secs(30 * 24 * 60 * 60) {
            return Err(SettingsError::AssemblyTime);
        }
        if self.alarm_interval < Duration::from_millis(100) {
            return Err(SettingsError::AlarmInterval);
        }
        Ok(())
    }

    /// How many threads hooks and actors share.
    #[must_use]
    pub fn threads(&self) -> usize {
        // PostgreSQL may live on the same machine, and fewer threads make larger group commits.
        let half = || std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        self.threads.map_or_else(half, NonZeroUsize::get)
    }

    /// The node's name: as set, else host name and hook port, which tells four nodes of one machine apart.
    #[must_use]
    pub fn node_name(&self) -> String {
        self.node.clone().unwrap_or_else(|| {
            let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
            let host = host.trim();
            format!(
                "{}:{}",
                if host.is_empty() { "node" } else { host },
                self.hook_addr.port()
            )
        })
    }
}
