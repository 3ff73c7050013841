//! The binary: parses the command line and does what it says.

use std::process::ExitCode;

use clap::Parser;
use orderhook::cli::Cli;
use orderhook::telemetry::LastLines;

/// Many small pieces per hook, and with several threads a hook may end on another one than it began on: the
/// system's allocator pays for both. `.cargo/config.toml` has this one do without huge pages.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let last_lines = LastLines;
    let ended = Cli::parse().run();
    drop(last_lines);
    ended.unwrap_or_else(|error| {
        eprintln!("orderhook: {error:#}");
        ExitCode::FAILURE
    })
}
