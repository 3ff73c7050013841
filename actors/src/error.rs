//! Why a hook was not acknowledged, by the reaction it needs.

/// What the HTTP edge turns into an answer other than 2xx (protocol section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DeliverError {
    /// Over capacity, or a queue is full: 429, never tried elsewhere.
    #[error("over capacity")]
    Busy,
    /// Nothing was committed by the deadline as far as is known: 503, the caller repeats.
    #[error("not committed by the deadline")]
    Deadline,
    /// There is no database to write to: 503, another node may do better.
    #[error("the database is away")]
    Unavailable,
    /// The database cannot store this very event: 503, and operations must look.
    #[error("the event cannot be stored")]
    Unstorable,
    /// This node drains: 503, another node takes over.
    #[error("this node is stopping")]
    Stopping,
}

impl DeliverError {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Busy,
        Self::Deadline,
        Self::Unavailable,
        Self::Unstorable,
        Self::Stopping,
    ];

    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::Unavailable => "unavailable",
            Self::Unstorable => "unstorable",
            Self::Stopping => "stopping",
        }
    }
}
