//! One hook as SM sends it: a limit for the answer, and repeats at growing pauses.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::report::Progress;
use super::stored::StoredOrder;
use super::{Settings, SimError};

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
    hook_url: Url,
    ops_url: Url,
    /// Sent to the operations listener alone; empty when it needs none.
    ops_token: SecretString,
    pauses: [Duration; 7],
    progress: Arc<Progress>,
}

/// One request, and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Try {
    /// Nothing of it can have reached the receiver before.
    pub(super) sent_at: Instant,
    /// The whole answer was here, or waiting for it was given up.
    pub(super) ended_at: Instant,
    pub(super) reply: Reply,
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    pub(super) status: String,
    pub(super) number: Option<String>,
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

impl Sender {
    /// # Errors
    /// The HTTP client cannot be made, or the token is no header value.
    pub(super) fn new(settings: &Settings, progress: Arc<Progress>) -> Result<Self, SimError> {
        let mut token = HeaderValue::from_str(settings.token.expose_secret()).map_err(|_| SimError::Token)?;
        token.set_sensitive(true);
        let mut hook_url = settings.hook_url.clone();
        extend(&mut hook_url, &["sbermarket", "orders", "hook", ""])?;
        let http = reqwest::Client::builder()
            .timeout(settings.time_limit)
            // SM follows none, and a followed one would hide a mistake.
            .redirect(redirect::Policy::none())
            // Times through a proxy are not those of the node, and a proxy does not know 127.0.0.1.
            .no_proxy()
            .pool_idle_timeout(IDLE_CONNECTION)
            .build()?;
        Ok(Self {
            http,
            token,
            hook_url,
            ops_url: settings.ops_url.clone(),
            ops_token: settings.ops_token.clone(),
            pauses: PAUSES.map(|seconds| Duration::from_secs(seconds) / settings.time_scale),
            progress,
        })
    }

    /// Sends a hook until it is acknowledged or SM would give up. The last try tells which.
    pub(super) async fn send(&self, body: &str) -> Vec<Try> {
        let mut tries = vec![self.try_once(body).await];
        for pause in self.pauses {
            if tries.last().is_some_and(Try::is_acknowledged) {
                break;
            }
            tokio::time::sleep(pause).await;
            self.progress.repeated();
            tries.push(self.try_once(body).await);
        }
        self.progress.hook_ended(tries.last().is_some_and(Try::is_acknowledged));
        tries
    }

    async fn try_once(&self, body: &str) -> Try {
        let sent_at = Instant::now();
        let reply = self.post(body).await.unwrap_or_else(|error| {
            if error.is_timeout() {
                Reply::Silent
            } else {
                Reply::Broken
            }
        });
        if !matches!(reply, Reply::Acknowledged(_)) {
            self.progress.refused();
        }
        Try {
            sent_at,
            ended_at: Instant::now(),
            reply,
        }
    }

    async fn post(&self, body: &str) -> reqwest::Result<Reply> {
        let request = self
            .http
            .post(self.hook_url.clone())
            .header("Client-Token", self.token.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        let response = request.send().await?;
        let status = response.status();
        // Read whole whatever it says: the connection is used again.
        let answer = response.bytes().await?;
        Ok(if status.is_success() {
            Reply::Acknowledged(serde_json::from_slice(&answer).ok())
        } else {
            Reply::Refused(status.as_u16())
        })
    }

    /// The order as operations see it, `None` when the service does not know it. Tried as often as a
    /// hook: a node that has just been restarted is no difference.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) async fn read_back(&self, order_id: &str) -> Result<Option<StoredOrder>, String> {
        let mut read = self.get(order_id).await;
        for pause in self.pauses {
            if read.is_ok() {
                break;
            }
            tokio::time::sleep(pause).await;
            read = self.get(order_id).await;
        }
        read
    }

    async fn get(&self, order_id: &str) -> Result<Option<StoredOrder>, String> {
        let mut url = self.ops_url.clone();
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
