//! The binary: parses the command line and does what it says.

use std::process::ExitCode;

use clap::Parser;
use orderhook::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("orderhook: {error:#}");
        ExitCode::FAILURE
    })
}
