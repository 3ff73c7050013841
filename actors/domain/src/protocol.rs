//! SM's wire format: bytes to events, and the bodies of answers.
