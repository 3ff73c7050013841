//! Every try on a line of a file: for whoever compares what was sent with what became of it.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;

use super::sender::{Answer, Hook, Reply, Try};
use super::{Run, SimError};

/// A line of the file.
#[derive(Debug, Serialize)]
struct Line<'a> {
    order_id: &'a str,
    /// The place of the event in its order, counted from 0.
    step: usize,
    event: &'static str,
    /// Sent once more although it was acknowledged.
    again: bool,
    /// The `X-Request-Id` of the answer, or else the one that was sent.
    request_id: &'a str,
    sent_at: String,
    /// The whole answer was here, or waiting for it was given up.
    ended_at: String,
    /// `acknowledged`, `refused`, `silent` (no answer in time) or `broken` (the connection failed).
    reply: &'static str,
    /// Of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Of an acknowledgement, as far as it is one of the service's answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<&'a Answer>,
    body: &'a str,
}

/// The file, while the run goes on.
pub(super) struct Ledger {
    path: PathBuf,
    /// One moment on the clock of the wall and on the one that never jumps.
    started: (DateTime<Utc>, Instant),
    file: Mutex<Written>,
}

struct Written {
    file: BufWriter<File>,
    /// A line that is lost must fail the run.
    failed: Option<std::io::Error>,
}

impl Ledger {
    /// # Errors
    /// The file cannot be made.
    pub(super) fn create(path: &Path, run: &Run) -> Result<Self, SimError> {
        let file = File::create(path).map_err(|error| SimError::Ledger(path.to_owned(), error))?;
        Ok(Self {
            path: path.to_owned(),
            started: (run.started_at, run.started),
            file: Mutex::new(Written {
                file: BufWriter::new(file),
                failed: None,
            }),
        })
    }

    pub(super) fn write(&self, hook: &Hook<'_>, tried: &Try) {
        let step = &hook.plan.steps[hook.step];
        let (reply, status, answer) = match &tried.reply {
            Reply::Acknowledged(answer) => ("acknowledged", None, answer.as_ref()),
            Reply::Refused(status) => ("refused", Some(*status), None),
            Reply::Silent => ("silent", None, None),
            Reply::Broken => ("broken", None, None),
        };
        let line = Line {
            order_id: &hook.plan.facts.order_id,
            step: hook.step,
            event: step.event.canonical(),
            again: hook.again,
            request_id: &tried.request_id,
            sent_at: self.time(tried.sent_at),
            ended_at: self.time(tried.ended_at),
            reply,
            status,
            answer,
            body: &step.body,
        };
        let mut written = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let done = serde_json::to_writer(&mut written.file, &line)
            .map_err(std::io::Error::from)
            .and_then(|()| written.file.write_all(b"\n"));
        if let Err(error) = done {
            written.failed.get_or_insert(error);
        }
    }

    /// # Errors
    /// A line could not be written.
    pub(super) fn close(&self) -> Result<(), SimError> {
        let mut written = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = written.file.flush();
        let failed = written.failed.take().or(flushed.err());
        failed.map_or(Ok(()), |error| Err(SimError::Ledger(self.path.clone(), error)))
    }

    fn time(&self, at: Instant) -> String {
        let (wall, steady) = self.started;
        let elapsed = TimeDelta::from_std(at.saturating_duration_since(steady)).unwrap_or_default();
        (wall + elapsed).to_rfc3339_opts(SecondsFormat::Micros, true)
    }
}
