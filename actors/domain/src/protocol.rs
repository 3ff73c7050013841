//! SM's wire format: bytes to events, and the bodies of answers.

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// The path of the offending value.
    pub field: String,
    /// What is wrong.
    pub message: String,
}
