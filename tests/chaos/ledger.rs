//! The simulator's own ledger: what SM has sent, and what it was answered.
//!
//! Bodies are read by the protocol's parser, which has tests of its own; of the service nothing else is used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use orderhook_domain::protocol::{self, ParsedEvent};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::rows::Stored;
use crate::sent::{Attempt, Planned, Sent};

/// A line of the file.
#[derive(Debug, Clone, Deserialize)]
struct Line {
    order_id: String,
    step: usize,
    request_id: String,
    sent_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    reply: String,
    status: Option<u16>,
    #[serde(default)]
    answer: Value,
    body: String,
}

/// One try of a hook.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    /// The hook's place in its order.
    step: usize,
    /// Under which the node knows it, if there was an answer that says so.
    pub(crate) request_id: String,
    sent_at: DateTime<Utc>,
    ended_at: DateTime<Utc>,
    /// None when nothing was heard.
    answer: Option<(StatusCode, Value)>,
}

impl Tried {
    pub(crate) fn is_acknowledged(&self) -> bool {
        matches!(self.answer, Some((StatusCode::OK, _)))
    }
}

/// What was sent of one order.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderSent {
    hooks: BTreeMap<usize, Arc<Planned>>,
    pub(crate) tries: Vec<Tried>,
}

/// Everything that was sent, by order id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) orders: BTreeMap<String, OrderSent>,
}

impl Ledger {
    pub(crate) fn read(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).unwrap();
            ledger.add(line);
        }
        ledger
    }

    /// When the first hook left.
    pub(crate) fn began(&self) -> DateTime<Utc> {
        let tries = self.orders.values().flat_map(|order| &order.tries);
        tries.map(|tried| tried.sent_at).min().unwrap_or_default()
    }

    fn add(&mut self, line: Line) {
        let number = self.orders.len();
        let order = self.orders.entry(line.order_id).or_default();
        order.hooks.entry(line.step).or_insert_with(|| {
            let parsed = protocol::parse(line.body.as_bytes()).map(|parsed| parsed.event);
            let Ok(ParsedEvent::Order(event)) = parsed else {
                panic!("the simulator has sent {}", line.body)
            };
            let body = Arc::from(line.body.as_bytes());
            Arc::new(Planned {
                order: number,
                event,
                body,
                twice: false,
            })
        });
        let answer = match (line.reply.as_str(), line.status) {
            ("acknowledged", _) => Some((StatusCode::OK, line.answer)),
            (_, Some(status)) => Some((StatusCode::from_u16(status).unwrap(), Value::Null)),
            _ => None,
        };
        order.tries.push(Tried {
            step: line.step,
            request_id: line.request_id,
            sent_at: line.sent_at,
            ended_at: line.ended_at,
            answer,
        });
    }
}

impl OrderSent {
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = &Tried> {
        self.tries.iter().filter(|tried| tried.is_acknowledged())
    }

    /// nginx names requests, and of what was never answered SM does not know the name: such a try is known
    /// by its body and by its time.
    pub(crate) fn name_unanswered(&mut self, stored: &Stored) {
        let names = |tries: &[Tried], name: &str| tries.iter().any(|tried| tried.request_id == name);
        let mut rows: Vec<_> = stored.events.iter().collect();
        rows.sort_by_key(|row| row.received_at);
        for row in rows {
            if names(&self.tries, &row.request_id) {
                continue;
            }
            let hooks = &self.hooks;
            let nameless = self.tries.iter_mut().find(|tried| {
                tried.answer.is_none()
                    && tried.sent_at <= row.received_at
                    && *hooks[&tried.step].body == *row.body
                    && !stored.events.iter().any(|row| row.request_id == tried.request_id)
            });
            if let Some(tried) = nameless {
                tried.request_id.clone_from(&row.request_id);
            }
        }
    }

    /// In the words of whoever judges histories. `start` stands for `began`.
    pub(crate) fn sent(&self, start: Instant, began: DateTime<Utc>) -> Vec<Sent<'_>> {
        let at = |time: DateTime<Utc>| start + (time - began).to_std().unwrap_or(Duration::ZERO);
        let mut sent: Vec<Sent<'_>> = Vec::new();
        for tried in &self.tries {
            let attempt = |answer| Attempt {
                // Behind nginx SM does not know.
                node: String::new(),
                sent: at(tried.sent_at),
                ended: at(tried.ended_at),
                answer,
            };
            // nginx may have asked one node in vain before another one answered.
            let attempts = vec![attempt(None), attempt(tried.answer.clone())];
            sent.push(Sent {
                hook: &self.hooks[&tried.step],
                request_id: tried.request_id.clone(),
                attempts,
            });
        }
        sent
    }
}
