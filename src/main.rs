//! The binary: parses the command line and does what it says.

use std::process::ExitCode;

use clap::Parser;
use orderhook::cli::Cli;

/// Hooks are taken in on one thread, judged on another and written by a third: the system's allocator pays
/// for every change of threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("orderhook: {error:#}");
        ExitCode::FAILURE
    })
}
