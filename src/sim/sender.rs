//! One hook with SM's limit and repeats, and one order event by event.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::Value;
use url::Url;

use super::plan::{OrderPlan, Step};
use super::report::Progress;
use super::{Settings, SimError};

/// SM's pauses between the repeats, in seconds: up to seven, growing (protocol section 1).
const PAUSES: [u64; 7] = [1, 2, 5, 10, 20, 40, 60];

/// Sends hooks and keeps the figures that are not those of one order.
pub(super) struct Sender {
    http: reqwest::Client,
    hook_url: Url,
    pub(super) ops_url: Url,
    time_scale: u32,
    pub(super) figures: Mutex<Figures>,
}

/// Figures over all hooks.
pub(super) struct Figures {
    /// Time of every acknowledged try, in microseconds.
    pub(super) answer_micros: Histogram<u64>,
    /// Answers other than 2xx by status; 0 stands for no answer.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Tries of a hook after its first one.
    pub(super) repeats: u64,
}

/// What was acknowledged of an order.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// By canonical event: how many hooks got a 2xx.
    pub(super) acknowledged: BTreeMap<&'static str, u64>,
    /// Events that never got one, after all repeats.
    pub(super) lost: Vec<&'static str>,
    /// The bodies of the answers to created.
    pub(super) created: Vec<Value>,
    /// Hooks sent, repeats not counted.
    pub(super) hooks: u64,
}

impl Sender {
    pub(super) fn new(settings: &Settings) -> Result<Self, SimError> {
        let mut token = HeaderValue::from_str(settings.token.expose_secret()).map_err(|_| SimError::Token)?;
        token.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (HeaderName::from_static("client-token"), token),
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        ]);
        let mut hook_url = settings.hook_url.clone();
        hook_url.set_path("/sbermarket/orders/hook/");
        let figures = Figures {
            // Three digits, up to whatever comes: resizing keeps it small.
            answer_micros: Histogram::new_with_bounds(1, 60_000_000, 3)
                .unwrap_or_else(|_| unreachable!("the bounds are constant and legal")),
            refused: BTreeMap::new(),
            repeats: 0,
        };
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(settings.answer_limit)
                .default_headers(headers)
                .build()?,
            hook_url,
            ops_url: settings.ops_url.clone(),
            time_scale: settings.time_scale.max(1),
            figures: Mutex::new(figures),
        })
    }

    /// Plays an order: the next event after the answer to the previous one, unless they overlap.
    pub(super) async fn play(&self, plan: &OrderPlan, progress: &Progress) -> Answers {
        let mut answers = Answers::default();
        let mut position = 0;
        while position < plan.steps.len() {
            let together = 1 + plan.steps[position + 1..]
                .iter()
                .take_while(|step| step.overlaps)
                .count();
            let steps = &plan.steps[position..position + together];
            let sent = futures_util::future::join_all(steps.iter().map(|step| self.send(step, progress))).await;
            for (step, mut bodies) in steps.iter().zip(sent) {
                answers.hooks += 1 + u64::from(step.repeated);
                if bodies.is_empty() {
                    answers.lost.push(step.event);
                }
                *answers.acknowledged.entry(step.event).or_default() += bodies.len() as u64;
                if step.event == "created" {
                    answers.created.append(&mut bodies);
                }
            }
            position += together;
        }
        answers
    }

    /// Sends an event, and once more if planned so; returns the bodies of the 2xx answers.
    async fn send(&self, step: &Step, progress: &Progress) -> Vec<Value> {
        let mut bodies: Vec<Value> = self.send_until_acknowledged(step, progress).await.into_iter().collect();
        progress.hook_done();
        if step.repeated && !bodies.is_empty() {
            bodies.extend(self.send_until_acknowledged(step, progress).await);
        }
        bodies
    }

    async fn send_until_acknowledged(&self, step: &Step, progress: &Progress) -> Option<Value> {
        let mut pauses = PAUSES.iter();
        loop {
            let started = Instant::now();
            match self.try_once(&step.body).await {
                Ok(body) => {
                    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                    // A time beyond the bounds counts as the upper one.
                    self.with_figures(|figures| figures.answer_micros.saturating_record(micros));
                    return Some(body);
                }
                Err(status) => {
                    progress.refused();
                    self.with_figures(|figures| *figures.refused.entry(status).or_default() += 1);
                }
            }
            let pause = Duration::from_secs(*pauses.next()?) / self.time_scale;
            tokio::time::sleep(pause).await;
            self.with_figures(|figures| figures.repeats += 1);
        }
    }

    /// The JSON body of a 2xx, or the status of another answer, 0 for none within the limit.
    async fn try_once(&self, body: &str) -> Result<Value, u16> {
        let sent = self.http.post(self.hook_url.clone()).body(body.to_owned()).send().await;
        let response = sent.map_err(|_| 0_u16)?;
        let status = response.status();
        if !status.is_success() {
            return Err(status.as_u16());
        }
        response.json().await.map_err(|_| 0)
    }

    /// An order as the operations listener shows it.
    pub(super) async fn read_order(&self, order_id: &str) -> Result<Value, String> {
        let mut url = self.ops_url.clone();
        url.path_segments_mut()
            .map_err(|()| "the operations URL has no path")?
            .extend(["api", "orders", order_id]);
        let response = self.http.get(url).send().await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("GET /api/orders/{order_id} answers {}", response.status()));
        }
        response.json().await.map_err(|error| error.to_string())
    }

    fn with_figures<T>(&self, work: impl FnOnce(&mut Figures) -> T) -> T {
        work(&mut self.figures.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}
