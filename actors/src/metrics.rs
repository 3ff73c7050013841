//! The names of the metric families that the actors fill. Units are in the
//! names; labels are closed lists: actor kind, message type, outcome.

/// Commands that wait or are being handled, by actor kind. Gauge.
pub const MAILBOX_DEPTH: &str = "orderhook_mailbox_depth";
/// Commands that the mailboxes of an actor kind hold together before they refuse. Gauge.
pub const MAILBOX_BOUND: &str = "orderhook_mailbox_bound";
/// The highest that the depth has been since the start, by actor kind. Gauge.
pub const MAILBOX_HIGH_WATER: &str = "orderhook_mailbox_high_water";
/// The depth of the deepest single mailbox, rounded down to a power of two, by actor kind. Gauge.
pub const MAILBOX_DEEPEST: &str = "orderhook_mailbox_deepest";
/// Single mailboxes that are at least half full, by actor kind. Gauge.
pub const MAILBOX_HALF_FULL: &str = "orderhook_mailbox_half_full";
/// Commands that wait or are being handled, by actor kind and message type. Gauge.
pub const MAILBOX_MESSAGE_DEPTH: &str = "orderhook_mailbox_message_depth";
/// The highest that it has been since the start, by actor kind and message type. Gauge.
pub const MAILBOX_MESSAGE_HIGH_WATER: &str = "orderhook_mailbox_message_high_water";
/// Commands refused because a mailbox was full, by actor kind and message type. Counter.
pub const MAILBOX_MESSAGE_REFUSED_TOTAL: &str = "orderhook_mailbox_message_refused_total";
/// From sending a command to the start of its work, by actor kind and message type. Histogram.
pub const MAILBOX_WAIT_SECONDS: &str = "orderhook_mailbox_wait_seconds";
/// From the start of the work to its end, by actor kind and message type. Histogram.
pub const MAILBOX_HANDLE_SECONDS: &str = "orderhook_mailbox_handle_seconds";
/// Commands refused because a mailbox was full, or turned away by the actor, by actor kind. Counter.
pub const MAILBOX_REFUSED_TOTAL: &str = "orderhook_mailbox_refused_total";
/// The shortest time that a hook waited for its transaction in the last interval with any; above a sixteenth of
/// the answer deadline the node refuses hooks. Gauge.
pub const STANDING_WAIT_SECONDS: &str = "orderhook_standing_wait_seconds";
/// The shortest time that a hook waited lately for its turn on the threads that read hooks; above 25 ms the node
/// refuses what can come again. Gauge.
pub const TURN_WAIT_SECONDS: &str = "orderhook_turn_wait_seconds";
/// Order actors alive. Gauge.
pub const ORDERS_ACTIVE: &str = "orderhook_orders_active";
/// Order actors that were started, retired, lost to a panic, or took their state from a stored row, by
/// `event`. Counter.
pub const ORDER_ACTORS_TOTAL: &str = "orderhook_order_actors_total";
/// Group commits that were sent, by `outcome`: stored, failed in passing (`transient`), refused
/// (`unavailable`), or split because of what is in them (`data`). Counter.
pub const COMMITS_TOTAL: &str = "orderhook_commits_total";
/// Time of one group commit. Histogram.
pub const COMMIT_SECONDS: &str = "orderhook_commit_seconds";
/// Events in one group commit. Histogram.
pub const COMMIT_ROWS: &str = "orderhook_commit_rows";
/// Bytes of bodies in one group commit. Histogram.
pub const COMMIT_BYTES: &str = "orderhook_commit_bytes";
/// Group commits under way. Gauge.
pub const COMMITS_IN_FLIGHT: &str = "orderhook_commits_in_flight";
/// Events that were sent alone because their batch held one that cannot be stored. Counter.
pub const COMMIT_ROWS_ISOLATED_TOTAL: &str = "orderhook_commit_rows_isolated_total";
/// Events that lost their version to another node and were judged again. Counter.
pub const VERSION_CONFLICTS_TOTAL: &str = "orderhook_version_conflicts_total";
/// Events that the database cannot store and that were separated from their batch. Counter.
pub const COMMITS_UNSTORABLE_TOTAL: &str = "orderhook_commits_unstorable_total";
/// Contradictions found, by `conflict`. Counter.
pub const CONFLICTS_TOTAL: &str = "orderhook_conflicts_total";
/// Changes that brought back an earlier composition. Counter.
pub const COMPOSITIONS_RESTORED_TOTAL: &str = "orderhook_compositions_restored_total";
/// Records of answers that were given up because the database was away too long. Counter.
pub const ANSWER_RECORDS_LOST_TOTAL: &str = "orderhook_answer_records_lost_total";
/// Times that a chat, or all of them, had to wait beyond the usual, by `reason`: `telegram` said so (429),
/// a `failure`, the `token` was refused. Counter.
pub const NOTIFIER_PAUSES_TOTAL: &str = "orderhook_notifier_pauses_total";
/// Notices told to staff, by kind and outcome. Counter.
pub const NOTICES_TOTAL: &str = "orderhook_notices_total";
