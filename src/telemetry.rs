//! Logs. What must never be logged: tokens, phones, names, addresses, comments, bodies, and the
//! connection string (invariant 7). An order id may stand in a log line, never in a metric label.
//! The one exception: without a bot's token the texts for staff are shown in the log instead of sent,
//! which is for trying the service out.
//!
//! What happened to one hook is found by its `request_id`, which nginx gives it: the line of its answer
//! ("hook answered"), of a commit that failed with it, and of the message that told staff of it
//! ("staff were told"). Each failure is logged once, where it is handled.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::{LogArgs, LogFormat};

/// Starts logging to standard error, once per process; a second call keeps the first.
///
/// # Errors
/// The directives cannot be parsed.
pub fn start(args: &LogArgs) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(&args.log)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match args.log_format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        LogFormat::Pretty => builder
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .compact()
            .try_init(),
    };
    // Several nodes in one test process share the first subscriber.
    let _ = started;
    Ok(())
}
