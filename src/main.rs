//! The binary: parses the command line and does what it says.

use std::process::ExitCode;

use clap::Parser;
use orderhook::cli::Cli;
use orderhook::telemetry::LastLines;

/// Many small pieces per hook, and with several threads a hook may end on another one than it began on: the
/// system's allocator pays for both. It asks for no huge pages (`no_thp`): the kernel joins pages into them when it
/// finds the time, with all that lies free between them, and the memory of a busy node jumps by a quarter.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let last_lines = LastLines;
    let ended = Cli::parse().run();
    drop(last_lines);
    ended.unwrap_or_else(|error| {
        eprintln!("orderhook: {error:#}");
        ExitCode::FAILURE
    })
}
