//! What was sent of an order and what was said to it, as whoever plays SM knows it.

use std::sync::Arc;
use std::time::Instant;

use orderhook_domain::event::Event;
use reqwest::StatusCode;
use serde_json::Value;

/// One hook that SM sends and repeats until it is acknowledged.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Which order, counted from 0.
    pub(crate) order: usize,
    /// What the body says.
    pub(crate) event: Event,
    /// The body.
    pub(crate) body: Arc<[u8]>,
    /// nginx asks both nodes with one request id.
    pub(crate) twice: bool,
}

/// One request to one node.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) node: String,
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    /// None when the connection broke.
    pub(crate) answer: Option<(StatusCode, Value)>,
}

impl Attempt {
    /// The body of a 200.
    pub(crate) fn acknowledged(&self) -> Option<&Value> {
        match &self.answer {
            Some((StatusCode::OK, answer)) => Some(answer),
            _ => None,
        }
    }
}

/// One delivery: what nginx sends under one request id.
#[derive(Debug)]
pub(crate) struct Sent<'a> {
    pub(crate) hook: &'a Planned,
    pub(crate) request_id: String,
    pub(crate) attempts: Vec<Attempt>,
}

impl Sent<'_> {
    /// When the first attempt left.
    pub(crate) fn sent(&self) -> Instant {
        self.attempts.iter().map(|attempt| attempt.sent).min().unwrap()
    }

    /// When the first acknowledgement was there; never, if there is none.
    pub(crate) fn acknowledged(&self) -> Option<Instant> {
        let acknowledged = |attempt: &Attempt| attempt.acknowledged().map(|_| attempt.ended);
        self.attempts.iter().filter_map(acknowledged).min()
    }
}
