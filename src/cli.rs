//! The command line: one binary, one command per job.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::app::App;
use crate::commands::journal::JournalCommand;
use crate::commands::sim::SimArgs;
use crate::config::{DatabaseArgs, LogArgs, ServeArgs};
use crate::db::{Database, DatabaseSettings, migrate};
use crate::{shutdown, telemetry};

/// Receives the order webhooks of the marketplace SM and keeps the retail system's order documents.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The jobs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a node
    Serve(Box<ServeArgs>),
    /// Bring the database to the current schema; safe when started several times at once
    Migrate {
        /// Where PostgreSQL is.
        #[command(flatten)]
        database: DatabaseArgs,
        /// How logs are written.
        #[command(flatten)]
        log: LogArgs,
    },
    /// What was sent, what was decided on it, and playing it again
    Journal(DatabaseCommand<JournalCommand>),
    /// Play SM against a running node and compare what it stored with what it must have stored
    Sim(Box<SimArgs>),
}

/// A command that needs nothing but the database.
#[derive(Debug, Args)]
pub struct DatabaseCommand<C: Subcommand> {
    /// Where PostgreSQL is.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: C,
}

/// Threads for database and Telegram work. Two are plenty: they only move bytes.
const IO_THREADS: usize = 2;

impl Cli {
    /// Does it.
    ///
    /// # Errors
    /// What went wrong, for a person to read.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(IO_THREADS)
            .thread_name("io")
            .enable_all()
            .build()
            .context("starting the runtime")?;
        match self.command {
            Command::Serve(args) => {
                telemetry::start(&args.log)?;
                let io = io.handle().clone();
                actix_rt::System::new().block_on(serve(&args, &io))
            }
            Command::Journal(DatabaseCommand { database, command }) => {
                let database = open(&database, io.handle())?;
                // A replay starts actors.
                actix_rt::System::new().block_on(command.run(&database, &mut std::io::stdout()))
            }
            Command::Sim(args) => io.block_on(args.run(&mut std::io::stdout())),
            Command::Migrate { database, log } => {
                telemetry::start(&log)?;
                io.block_on(async {
                    let database = open(&database, io.handle())?;
                    let applied = migrate::migrate(&database).await?;
                    println!(
                        "schema version {}, {applied} migrations applied",
                        migrate::expected_version()
                    );
                    Ok(ExitCode::SUCCESS)
                })
            }
        }
    }
}

async fn serve(args: &ServeArgs, io: &tokio::runtime::Handle) -> anyhow::Result<ExitCode> {
    let app = App::start(args, io).await?;
    shutdown::requested().await.context("waiting for a signal")?;
    let drained = app.stop().await;
    Ok(if drained { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(args: &DatabaseArgs, io: &tokio::runtime::Handle) -> anyhow::Result<Database> {
    // The other commands run one statement at a time.
    let settings = DatabaseSettings {
        url: args.database_url.clone(),
        node: "command".to_owned(),
        pool_size: 2,
    };
    Ok(Database::open(&settings, io.clone())?)
}
