//! The wish to end, as a signal.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Returns when SIGTERM or SIGINT has come.
///
/// # Errors
/// The signal handlers cannot be installed.
pub async fn requested() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
