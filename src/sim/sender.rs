//! One hook as SM sends it: a limit for the answer, and repeats at growing pauses.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::ledger::Ledger;
use super::plan::OrderPlan;
use super::report::Progress;
use super::stored::StoredOrder;
use super::{Run, Settings, SimError};

/// SM's pauses between the repeats, in seconds. SM tells no figures but their number and that they
/// grow (protocol section 1).
const PAUSES: [u64; 7] = [10, 20, 40, 80, 160, 320, 640];

/// Shorter than any server's keep-alive, so that no hook is written into a closing connection.
const IDLE_CONNECTION: Duration = Duration::from_secs(30);

/// Sends hooks and reads orders back, over connections that are kept alive.
pub(super) struct Sender {
    http: reqwest::Client,
    /// Sent to the hook listener alone.
    token: HeaderValue,
    hook_urls: Vec<Url>,
    /// Whose turn it is to be sent the next hook.
    turn: AtomicUsize,
    /// Empty when nothing is read back.
    ops_urls: Vec<Url>,
    /// Sent to the operations listener alone; empty when it needs none.
    ops_token: SecretString,
    pauses: [Duration; 7],
    progress: Arc<Progress>,
    ledger: Option<Ledger>,
}

/// A hook of an order.
pub(super) struct Hook<'a> {
    pub(super) plan: &'a OrderPlan,
    pub(super) step: usize,
    /// It was acknowledged before.
    pub(super) again: bool,
}

/// One request, and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Try {
    /// Nothing of it can have reached the receiver before.
    pub(super) sent_at: Instant,
    /// The whole answer was here, or waiting for it was given up.
    pub(super) ended_at: Instant,
    pub(super) reply: Reply,
    /// Under which the receiver knows it, as far as it has said so; else under which it was sent.
    pub(super) request_id: String,
}

/// What the receiver said.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    /// A 2xx; `None` when its body is none of the service's answers.
    Acknowledged(Option<Answer>),
    /// Any other status.
    Refused(u16),
    /// Nothing within SM's limit.
    Silent,
    /// The connection failed, or broke before the answer was whole.
    Broken,
}

/// The body of a 2xx (protocol section 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected_assembly_time: Option<String>,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledged(_) => f.write_str("acknowledged"),
            Self::Refused(status) => write!(f, "refused with {status}"),
            Self::Silent => f.write_str("no answer in time"),
            Self::Broken => f.write_str("the connection failed"),
        }
    }
}

impl Try {
    pub(super) const fn is_acknowledged(&self) -> bool {
        matches!(self.reply, Reply::Acknowledged(_))
    }
}

/// The header by which both sides name a request.
const REQUEST_ID: &str = "x-request-id";

impl Sender {
    /// # Errors
    /// The HTTP client cannot be made, the token is no header value, or the ledger cannot be written.
    pub(super) fn new(settings: &Settings, run: &Run, progress: Arc<Progress>) -> Result<Self, SimError> {
        let mut token = HeaderValue::from_str(settings.token.expose_secret()).map_err(|_| SimError::Token)?;
        token.set_sensitive(true);
        let mut hook_urls = settings.hook_url.clone();
        for url in &mut hook_urls {
            extend(url, &["sbermarket", "orders", "hook", ""])?;
        }
        let http = reqwest::Client::builder()
            .timeout(settings.time_limit)
            // SM follows none, and a followed one would hide a mistake.
            .redirect(redirect::Policy::none())
            // Times through a proxy are not those of the node, and a proxy does not know 127.0.0.1.
            .no_proxy()
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()?;
        let ledger = settings.ledger.as_deref().map(|path| Ledger::create(path, run));
        Ok(Self {
            http,
            token,
            hook_urls,
            turn: AtomicUsize::new(0),
            ops_urls: if settings.no_verify {
                Vec::new()
            } else {
                settings.ops_url.clone()
            },
            ops_token: settings.ops_token.clone(),
            pauses: PAUSES.map(|seconds| Duration::from_secs(seconds) / settings.time_scale),
            progress,
            ledger: ledger.transpose()?,
        })
    }

    /// Sends a hook until it is acknowledged or SM would give up. The last try tells which.
    pub(super) async fn send(&self, hook: Hook<'_>) -> Vec<Try> {
        let mut tries = vec![self.try_once(&hook).await];
        for pause in self.pauses {
            if tries.last().is_some_and(Try::is_acknowledged) {
                break;
            }
            tokio::time::sleep(pause).await;
            self.progress.repeated();
            tries.push(self.try_once(&hook).await);
        }
        self.progress.hook_ended(tries.last().is_some_and(Try::is_acknowledged));
        tries
    }

    async fn try_once(&self, hook: &Hook<'_>) -> Try {
        let mut request_id = Uuid::new_v4().simple().to_string();
        let sent_at = Instant::now();
        let body = &hook.plan.steps[hook.step].body;
        let reply = self.post(body, &mut request_id).await.unwrap_or_else(|error| {
            if error.is_timeout() {
                Reply::Silent
            } else {
                Reply::Broken
            }
        });
        if !matches!(reply, Reply::Acknowledged(_)) {
            self.progress.refused();
        }
        let tried = Try {
            sent_at,
            ended_at: Instant::now(),
            reply,
            request_id,
        };
        if let Some(ledger) = &self.ledger {
            ledger.write(hook, &tried);
        }
        tried
    }

    /// Somebody between us and the node may give the request another id; the answer says which.
    async fn post(&self, body: &str, request_id: &mut String) -> reqwest::Result<Reply> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.hook_urls.len();
        let request = self
            .http
            .post(self.hook_urls[turn].clone())
            .header("Client-Token", self.token.clone())
            .header(REQUEST_ID, &*request_id)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        let response = request.send().await?;
        let status = response.status();
        let known_as = response.headers().get(REQUEST_ID);
        if let Some(known_as) = known_as.and_then(|value| value.to_str().ok()) {
            known_as.clone_into(request_id);
        }
        // Read whole whatever it says: the connection is used again.
        let answer = response.bytes().await?;
        Ok(if status.is_success() {
            Reply::Acknowledged(serde_json::from_slice(&answer).ok())
        } else {
            Reply::Refused(status.as_u16())
        })
    }

    /// # Errors
    /// A line of the ledger could not be written.
    pub(super) fn close_ledger(&self) -> Result<(), SimError> {
        self.ledger.as_ref().map_or(Ok(()), Ledger::close)
    }

    /// The order as operations see it: `None` when nothing is read back, then `None` when the service does
    /// not know it. Tried as often as a hook: a node that has just been restarted is no difference.
    pub(super) async fn read_back(&self, order_id: &str) -> Option<Result<Option<StoredOrder>, String>> {
        let mut read = self.get_anywhere(order_id).await?;
        for pause in self.pauses {
            if read.is_ok() {
                break;
            }
            tokio::time::sleep(pause).await;
            read = self.get_anywhere(order_id).await?;
        }
        Some(read)
    }

    /// From the first node that answers; `None` when there is none to ask.
    async fn get_anywhere(&self, order_id: &str) -> Option<Result<Option<StoredOrder>, String>> {
        let mut read = None;
        for url in &self.ops_urls {
            let answer = self.get(url, order_id).await;
            let is_answer = answer.is_ok();
            read = Some(answer);
            if is_answer {
                break;
            }
        }
        read
    }

    /// # Errors
    /// Why it cannot be read.
    async fn get(&self, url: &Url, order_id: &str) -> Result<Option<StoredOrder>, String> {
        let mut url = url.clone();
        extend(&mut url, &["api", "orders", order_id]).map_err(|error| error.to_string())?;
        let told = |error: reqwest::Error| format!("GET /api/orders: {error}");
        let mut request = self.http.get(url);
        if !self.ops_token.expose_secret().is_empty() {
            request = request.bearer_auth(self.ops_token.expose_secret());
        }
        let response = request.send().await.map_err(told)?;
        match response.status().as_u16() {
            404 => Ok(None),
            200 => response.json().await.map(Some).map_err(told),
            status => Err(format!("GET /api/orders answers {status}")),
        }
    }
}

/// Adds a path to an address that may have one already.
fn extend(url: &mut Url, segments: &[&str]) -> Result<(), SimError> {
    let shown = url.to_string();
    url.path_segments_mut()
        .map_err(|()| SimError::Address(shown))?
        .pop_if_empty()
        .extend(segments);
    Ok(())
}
