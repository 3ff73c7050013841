//! The Prometheus side of the figures: descriptions, buckets, and zeros from the start.
//!
//! Counters and histograms are filled where things happen; gauges are read when somebody asks.
//! Labels are closed lists (invariant 7): event, outcome, actor, message, kind.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use orderhook_actors::error::DeliverError;
use orderhook_actors::metrics as actors;
use orderhook_domain::apply::{Conflict, Outcome};
use orderhook_domain::event::EventKind;
use orderhook_domain::notice::NoticeKind;

use crate::live::commits::OUTCOMES;

/// Answered hooks by event and outcome. Counter.
pub const HOOKS_TOTAL: &str = "orderhook_hooks_total";
/// Hooks that were not answered within the answer deadline, or not at all. Counter.
pub const ANSWERS_LATE_TOTAL: &str = "orderhook_answers_late_total";
/// Hooks that are owed an answer now. Gauge.
pub const HOOKS_IN_FLIGHT: &str = "orderhook_hooks_in_flight";
/// From the arrival of a hook to its answer. Histogram.
pub const HOOK_SECONDS: &str = "orderhook_hook_seconds";
/// Notices that wait to be sent, at most 20 000. Gauge.
pub const NOTICES_PENDING: &str = "orderhook_notices_pending";
/// Age of the oldest notice that waits to be sent. Gauge.
pub const NOTICES_OLDEST_SECONDS: &str = "orderhook_notices_oldest_seconds";
/// 1 while Telegram does not accept the bot's token. Gauge.
pub const TELEGRAM_TOKEN_REFUSED: &str = "orderhook_telegram_token_refused";
/// 1 while the database can be written to. Gauge.
pub const DATABASE_READY: &str = "orderhook_database_ready";
/// Chats that Telegram refuses. Gauge.
pub const CHATS_DISABLED: &str = "orderhook_chats_disabled";
/// Stores whose open orders no chat is told about. Gauge.
pub const STORES_WITHOUT_CHAT: &str = "orderhook_stores_without_chat";
/// Orders known by later events only for longer than ten minutes. Gauge.
pub const ORDERS_ANNOUNCED: &str = "orderhook_orders_announced";
/// How old the figures are that only the database knows, by `counts`: `outbox` or `attention`. Gauge.
pub const COUNTS_AGE_SECONDS: &str = "orderhook_counts_age_seconds";
/// Always 1; the version is a label. Gauge.
pub const BUILD_INFO: &str = "orderhook_build_info";
/// 1 on the node that sends to Telegram. Gauge.
pub const LEADER: &str = "orderhook_leader";
/// Fields of a wrong type that were ignored, over all hooks. Counter.
pub const FIELDS_TOLERATED_TOTAL: &str = "orderhook_fields_tolerated_total";
/// Lines that the reader of the log did not take. Counter.
pub const LOG_LINES_LOST_TOTAL: &str = "orderhook_log_lines_lost_total";
/// Connections of the pool by state. Gauge.
pub const POOL_CONNECTIONS: &str = "orderhook_pool_connections";

/// Outcomes of a hook that reached no order, besides those of [`Outcome`] and [`DeliverError`].
pub const REFUSED_AT_THE_DOOR: [&str; 3] = ["forbidden", "too_large", "too_slow"];

/// The label for an event that could not be read, or was not looked at.
pub const NO_EVENT: &str = "unreadable";

/// Buckets for what must be quick: from a tenth of a millisecond to SM's five seconds, with the
/// answer deadline of two seconds as a border.
const QUICK_SECONDS: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0,
];
const ROWS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// Bodies have a few kilobytes and at most 256 KiB; a batch at most 1 MiB.
const BYTES: [f64; 6] = [1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0];

/// Starts the recorder, once per process, and returns what renders it.
///
/// # Errors
/// [`BuildError`] when another recorder is installed already.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    // Locked while it starts: several nodes may start in one test process at once.
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut started = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*started {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(&QUICK_SECONDS)?
        .set_buckets_for_metric(Matcher::Full(actors::COMMIT_ROWS.to_owned()), &ROWS)?
        .set_buckets_for_metric(Matcher::Full(actors::COMMIT_BYTES.to_owned()), &BYTES)?
        .install_recorder()?;
    describe();
    register_zeros();
    *started = Some(handle.clone());
    Ok(handle)
}

/// Drains the histograms: they keep every single value until this or somebody scrapes.
pub async fn upkeep(handle: PrometheusHandle) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        handle.run_upkeep();
    }
}

fn describe() {
    describe_counter!(HOOKS_TOTAL, "Hooks answered, by canonical event and outcome");
    describe_histogram!(
        HOOK_SECONDS,
        Unit::Seconds,
        "From the arrival of a hook to its answer, in seconds; SM waits 5"
    );
    describe_counter!(
        ANSWERS_LATE_TOTAL,
        "Hooks that were not answered within the answer deadline, or whose caller went away without an answer"
    );
    describe_gauge!(HOOKS_IN_FLIGHT, "Hooks that are owed an answer now");
    describe_counter!(FIELDS_TOLERATED_TOTAL, "Fields of a wrong type that were ignored");
    describe_counter!(
        LOG_LINES_LOST_TOTAL,
        "Lines of the log that nobody took: its reader stood still, or there is none"
    );
    describe_gauge!(
        actors::MAILBOX_DEPTH,
        "Commands that wait or are being handled, by actor kind"
    );
    describe_gauge!(
        actors::MAILBOX_BOUND,
        "Commands that the mailboxes hold together before they refuse, by actor kind"
    );
    describe_gauge!(
        actors::MAILBOX_HIGH_WATER,
        "The highest depth since the start, by actor kind"
    );
    describe_gauge!(
        actors::MAILBOX_DEEPEST,
        "Commands in the deepest single mailbox now, rounded down to a power of two, by actor kind"
    );
    describe_gauge!(
        actors::MAILBOX_HALF_FULL,
        "Single mailboxes that are at least half full now, by actor kind"
    );
    describe_gauge!(
        actors::MAILBOX_MESSAGE_DEPTH,
        "Commands that wait or are being handled, by actor kind and message"
    );
    describe_gauge!(
        actors::MAILBOX_MESSAGE_HIGH_WATER,
        "The highest depth since the start, by actor kind and message"
    );
    describe_counter!(
        actors::MAILBOX_MESSAGE_REFUSED_TOTAL,
        "Commands refused because a mailbox was full, by actor kind and message"
    );
    describe_histogram!(
        actors::MAILBOX_WAIT_SECONDS,
        Unit::Seconds,
        "From sending a command to the start of its work, in seconds, by actor kind and message"
    );
    describe_histogram!(
        actors::MAILBOX_HANDLE_SECONDS,
        Unit::Seconds,
        "From the start of a command's work to its end, in seconds, by actor kind and message"
    );
    describe_counter!(
        actors::MAILBOX_REFUSED_TOTAL,
        "Commands refused because a mailbox was full, or turned away by the actor, by actor kind"
    );
    describe_gauge!(
        actors::STANDING_WAIT_SECONDS,
        Unit::Seconds,
        "The shortest wait for a transaction in the last 50 ms, in seconds; above a sixteenth of the answer deadline hooks are refused"
    );
    describe_gauge!(
        actors::TURN_WAIT_SECONDS,
        Unit::Seconds,
        "The shortest wait for a turn on the threads that read hooks in the last two looks at it, in seconds; above 0.025 all but order.created are refused while many commits are inside"
    );
    describe_gauge!(actors::ORDERS_ACTIVE, "Order actors alive in this process");
    describe_counter!(
        actors::ORDER_ACTORS_TOTAL,
        "Order actors started, retired, lost to a panic, or reloaded from their stored row"
    );
    describe_counter!(
        actors::COMMITS_TOTAL,
        "Group commits that were sent, by outcome: stored, transient (failed in passing), unavailable, data (split)"
    );
    describe_histogram!(
        actors::COMMIT_SECONDS,
        Unit::Seconds,
        "Time of one group commit, in seconds"
    );
    describe_histogram!(actors::COMMIT_ROWS, "Events in one group commit");
    describe_histogram!(
        actors::COMMIT_BYTES,
        Unit::Bytes,
        "Bodies in one group commit, in bytes"
    );
    describe_gauge!(actors::COMMITS_IN_FLIGHT, "Group commits under way now");
    describe_counter!(
        actors::COMMIT_ROWS_ISOLATED_TOTAL,
        "Events that were sent alone because their batch held one that cannot be stored"
    );
    describe_counter!(
        actors::VERSION_CONFLICTS_TOTAL,
        "Events judged again because another node was faster"
    );
    describe_counter!(
        actors::COMMITS_UNSTORABLE_TOTAL,
        "Events that the database cannot store"
    );
    describe_counter!(
        actors::CONFLICTS_TOTAL,
        "Orders that contradict themselves, by contradiction"
    );
    describe_counter!(
        actors::COMPOSITIONS_RESTORED_TOTAL,
        "Changes that brought back an earlier composition"
    );
    describe_counter!(
        actors::ANSWER_RECORDS_LOST_TOTAL,
        "Records of answers given up; they count as unanswered"
    );
    describe_gauge!(
        NOTICES_PENDING,
        "Notices that wait to be sent, in the whole pool; no more than 20000 are counted"
    );
    describe_gauge!(
        NOTICES_OLDEST_SECONDS,
        Unit::Seconds,
        "Age of the oldest notice that waits to be sent, in seconds"
    );
    describe_counter!(actors::NOTICES_TOTAL, "Notices told to staff, by kind and outcome");
    describe_counter!(
        actors::NOTIFIER_PAUSES_TOTAL,
        "Times that a chat, or all of them, had to wait beyond the usual, by reason"
    );
    describe_gauge!(
        TELEGRAM_TOKEN_REFUSED,
        "1 while Telegram does not accept the bot's token, else 0"
    );
    describe_gauge!(DATABASE_READY, "1 while the database can be written to, else 0");
    describe_gauge!(CHATS_DISABLED, "Chats that Telegram refuses, in the whole pool");
    describe_gauge!(
        STORES_WITHOUT_CHAT,
        "Stores whose open orders no chat is told about, in the whole pool"
    );
    describe_gauge!(
        ORDERS_ANNOUNCED,
        "Orders known by later events only for 10 minutes to 1 day, in the whole pool"
    );
    describe_gauge!(BUILD_INFO, "Always 1; the version is in the label");
    metrics_process::Collector::default().describe();
    describe_gauge!(LEADER, "1 on the node that sends to Telegram, else 0");
    describe_gauge!(
        POOL_CONNECTIONS,
        "Connections to PostgreSQL by pool (shared by all, or of the writers) and state (open, available, bound), and who waits for one"
    );
    describe_gauge!(
        COUNTS_AGE_SECONDS,
        Unit::Seconds,
        "Age of the figures that only the database knows, in seconds, by counts: outbox for the notices, attention for chats, stores and announced orders"
    );
}

/// Every family is exposed from the start, so that a rate over it is never missing.
fn register_zeros() {
    let refused = DeliverError::ALL.iter().map(|error| error.as_str());
    let outcomes: Vec<&'static str> = Outcome::ALL
        .iter()
        .map(|outcome| outcome.as_str())
        .chain(refused)
        .collect();
    for event in EventKind::ALL.iter().map(|kind| kind.as_str()).chain([NO_EVENT]) {
        for outcome in &outcomes {
            counter!(HOOKS_TOTAL, "event" => event, "outcome" => *outcome).increment(0);
        }
    }
    for outcome in REFUSED_AT_THE_DOOR {
        counter!(HOOKS_TOTAL, "event" => NO_EVENT, "outcome" => outcome).increment(0);
    }
    for kind in NoticeKind::ALL {
        for outcome in ["sent", "probably_sent", "repeated", "retried", "failed"] {
            counter!(actors::NOTICES_TOTAL, "kind" => kind.as_str(), "outcome" => outcome).increment(0);
        }
    }
    for reason in ["telegram", "failure", "token"] {
        counter!(actors::NOTIFIER_PAUSES_TOTAL, "reason" => reason).increment(0);
    }
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for event in ["started", "retired", "lost", "reloaded"] {
        counter!(actors::ORDER_ACTORS_TOTAL, "event" => event).increment(0);
    }
    for outcome in OUTCOMES {
        counter!(actors::COMMITS_TOTAL, "outcome" => outcome).increment(0);
    }
    for conflict in Conflict::ALL {
        counter!(actors::CONFLICTS_TOTAL, "conflict" => conflict.as_str()).increment(0);
    }
    for name in [
        ANSWERS_LATE_TOTAL,
        FIELDS_TOLERATED_TOTAL,
        LOG_LINES_LOST_TOTAL,
        actors::COMMIT_ROWS_ISOLATED_TOTAL,
        actors::VERSION_CONFLICTS_TOTAL,
        actors::COMMITS_UNSTORABLE_TOTAL,
        actors::COMPOSITIONS_RESTORED_TOTAL,
        actors::ANSWER_RECORDS_LOST_TOTAL,
    ] {
        counter!(name).increment(0);
    }
    for name in [
        actors::STANDING_WAIT_SECONDS,
        actors::TURN_WAIT_SECONDS,
        actors::ORDERS_ACTIVE,
        actors::COMMITS_IN_FLIGHT,
        HOOKS_IN_FLIGHT,
        NOTICES_PENDING,
        NOTICES_OLDEST_SECONDS,
        TELEGRAM_TOKEN_REFUSED,
        DATABASE_READY,
        CHATS_DISABLED,
        STORES_WITHOUT_CHAT,
        ORDERS_ANNOUNCED,
        LEADER,
    ] {
        gauge!(name).set(0.0);
    }
    for name in [
        HOOK_SECONDS,
        actors::COMMIT_SECONDS,
        actors::COMMIT_ROWS,
        actors::COMMIT_BYTES,
    ] {
        // Creating the handle is enough to expose the family.
        drop(histogram!(name));
    }
}
