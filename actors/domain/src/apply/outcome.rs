//! The words of the history: what was decided on an event, and why.

/// What was decided on an event, as the history shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It changed the document or set a mark.
    Applied,
    /// It says what is so already, or repeats what was judged before.
    Duplicate,
    /// It waits for created.
    Parked,
    /// It is recorded and deliberately changes nothing.
    Ignored,
    /// The body can never be read.
    Rejected,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [
        Self::Applied,
        Self::Duplicate,
        Self::Parked,
        Self::Ignored,
        Self::Rejected,
    ];

    /// The word in the history, the API and the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Parked => "parked",
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
        }
    }
}

/// What the history says beside the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Note {
    /// A changed that SM repeats although a newer one was applied (rule 5).
    LateRepeat,
    /// A changed whose timestamp is older than that of the last applied one (rule 5).
    OlderTimestamp,
    /// A changed that brought back an earlier composition (rule 5).
    CompositionRestored,
    /// Parked changes were applied, and at least one of them was judged stale.
    ParkedStale,
    /// See [`Conflict`].
    Conflict(Conflict),
}

/// What contradicts what (protocol section 5, rule 6). Staff may be holding a wrong list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Conflict {
    /// Cancelled, yet shipped or delivered.
    CancelledAndShipped,
    /// Two paid with different totals; the prices of the first stay.
    PaidTotals,
    /// A created repeated with another composition or store.
    CreatedComposition,
    /// A changed with a difference that arrived after closing.
    ChangedAfterClosing,
}

impl Conflict {
    /// Every conflict.
    pub const ALL: [Self; 4] = [
        Self::CancelledAndShipped,
        Self::PaidTotals,
        Self::CreatedComposition,
        Self::ChangedAfterClosing,
    ];

    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CancelledAndShipped => "cancelled_and_shipped",
            Self::PaidTotals => "paid_totals",
            Self::CreatedComposition => "created_composition",
            Self::ChangedAfterClosing => "changed_after_closing",
        }
    }
}

impl Note {
    /// The word in the history.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LateRepeat => "late_repeat",
            Self::OlderTimestamp => "older_timestamp",
            Self::CompositionRestored => "composition_restored",
            Self::ParkedStale => "parked_stale",
            Self::Conflict(Conflict::CancelledAndShipped) => "conflict_cancelled_and_shipped",
            Self::Conflict(Conflict::PaidTotals) => "conflict_paid_totals",
            Self::Conflict(Conflict::CreatedComposition) => "conflict_created_composition",
            Self::Conflict(Conflict::ChangedAfterClosing) => "conflict_changed_after_closing",
        }
    }
}
