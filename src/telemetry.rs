//! Logs. What must never be logged: tokens, phones, names, addresses, comments, bodies, and the
//! connection string (invariant 7). An order id may stand in a log line, never in a metric label.
//! The one exception: without a bot's token the texts for staff are shown in the log instead of sent,
//! which is for trying the service out.
//!
//! What happened to one hook is found by its `request_id`, which nginx gives it: the line of its answer
//! ("hook answered"; what is refused for capacity before it is parsed has none, `order.created` excepted),
//! of a commit that failed with it, and of the message that told staff of it ("staff were told"). Each failure is logged once, where it is handled.

mod lines;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogArgs, LogFormat};
use lines::Lines;

/// Those of this process.
static LINES: Lines = Lines::new();

/// Starts logging to standard error, once per process; a second call keeps the first. The process holds a
/// [`LastLines`] until it ends.
///
/// # Errors
/// The directives cannot be parsed, or there is no thread to be had.
pub fn start(args: &LogArgs) -> anyhow::Result<()> {
    let wanted: Targets = args.log.parse()?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Waiting);
    let registry = tracing_subscriber::registry().with(wanted);
    let started = match args.log_format {
        LogFormat::Json => {
            let lines = lines
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(false);
            registry.with(lines).try_init()
        }
        LogFormat::Pretty => {
            let lines = lines.with_target(false).with_ansi(io::stderr().is_terminal()).compact();
            registry.with(lines).try_init()
        }
    };
    // Several nodes in one test process share the first subscriber.
    if started.is_ok() {
        std::thread::Builder::new().name("log".to_owned()).spawn(|| {
            LINES.write_to(io::stderr(), |lost| {
                tracing::warn!(lost, "the log stood still, lines are lost")
            })
        })?;
    }
    Ok(())
}

/// Writes the lines that still wait when it is dropped, after a panic as well. Without a reader it gives up after a
/// second.
#[derive(Debug)]
#[must_use = "dropped at once it has nothing to write yet"]
pub struct LastLines;

impl Drop for LastLines {
    fn drop(&mut self) {
        LINES.flush(Duration::from_secs(1));
    }
}

/// A line joins those that wait to be written.
struct Waiting;

impl Write for Waiting {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LINES.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
