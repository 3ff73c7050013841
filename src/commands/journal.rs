//! `orderhook journal`: what was sent, what was decided on it, and playing it again.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use orderhook_actors::persistence_actor::PersistenceSettings;
use orderhook_actors::registry::OrderSettings;
use orderhook_actors::system::{Actors, SystemSettings};
use orderhook_domain::apply::Rules;
use uuid::Uuid;

use crate::db::Database;
use crate::db::journal::{self, Entry, Filter};
use crate::db::order_store::PostgresOrderStore;
use crate::intake::Verdict;
use crate::replay::{self, REPLAY_DEADLINE};

/// What to do with the journal.
#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// List arrivals, the newest last
    List(ListArgs),
    /// Show one arrival, its body byte for byte on the last lines
    Show {
        /// The arrival, as `journal list` names it
        delivery_id: Uuid,
    },
    /// Play stored bodies again, through the same code as a hook; a replay is itself recorded
    Replay(ReplayArgs),
    /// Forget raw bodies now, as the service does by itself every hour
    Prune {
        /// Bodies that are older than so many days
        #[arg(long, env = "ORDERHOOK_RAW_BODY_DAYS", default_value = "90", value_parser = clap::value_parser!(u32).range(1..))]
        days: u32,
    },
}

/// Which arrivals are listed.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only these outcomes: applied, duplicate, parked, ignored, rejected
    #[arg(long, value_delimiter = ',')]
    outcome: Vec<String>,
    /// Only these events: created, changed, paid, received, delivered, cancelled, informational, unknown, unreadable
    #[arg(long, value_delimiter = ',')]
    event: Vec<String>,
    /// Only this order
    #[arg(long)]
    order: Option<String>,
    /// Only what arrived at or after this time, RFC 3339
    #[arg(long)]
    since: Option<DateTime<Utc>>,
    /// At most so many, the newest
    #[arg(long, default_value = "50", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// One JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

/// What is played again.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The arrivals, as `journal list` names them, played in this order
    #[arg(required = true)]
    delivery_ids: Vec<Uuid>,
    /// Who plays them; kept in the journal
    #[arg(long, env = "USER", default_value = "unknown")]
    by: String,
    /// From the creation of an order to its expectedAssemblyTime
    #[arg(long, env = "ORDERHOOK_ASSEMBLY_TIME", default_value = "60m", value_parser = humantime::parse_duration)]
    assembly_time: Duration,
}

impl JournalCommand {
    /// Does it. A replay must be called inside an actix system.
    ///
    /// # Errors
    /// The database is away, or there is no such arrival.
    pub async fn run(self, database: &Database, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => list(database, args, out).await,
            Self::Show { delivery_id } => show(database, delivery_id, out).await,
            Self::Replay(args) => replay(database, args, out).await,
            Self::Prune { days } => {
                let before = Utc::now() - TimeDelta::days(i64::from(days));
                let pruned = database
                    .run(async move |database| journal::prune(&database, before).await)
                    .await?;
                writeln!(out, "{pruned} bodies older than {days} days forgotten")?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

async fn list(database: &Database, args: ListArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let filter = Filter {
        outcomes: args.outcome,
        events: args.event,
        order_id: args.order,
        since: args.since,
        limit: i64::from(args.limit),
    };
    let entries = database
        .run(async move |database| journal::list(&database, &filter).await)
        .await?;
    for entry in &entries {
        if args.json {
            writeln!(out, "{}", serde_json::to_string(entry)?)?;
        } else {
            writeln!(out, "{}", line(entry))?;
        }
    }
    if entries.is_empty() && !args.json {
        writeln!(out, "nothing fits")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One arrival on one line: time, id, order, event, outcome, and why.
fn line(entry: &Entry) -> String {
    let mut line = format!(
        "{}  {}  {:<14} {:<13} {}",
        entry.received_at.format("%Y-%m-%d %H:%M:%S%.3fZ"),
        entry.delivery_id,
        entry.order_id.as_deref().unwrap_or("-"),
        entry.event,
        entry.outcome,
    );
    if !entry.notes.is_empty() {
        line.push_str(&format!("  [{}]", entry.notes.join(", ")));
    }
    if let Some(original) = entry.replay_of {
        line.push_str(&format!(
            "  replay of {original} by {}",
            entry.replayed_by.as_deref().unwrap_or("unknown")
        ));
    }
    for error in entry
        .errors
        .iter()
        .flat_map(|errors| errors.as_array().into_iter().flatten())
    {
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        line.push_str(&format!("  {}: {}", text("field"), text("message")));
    }
    line
}

async fn show(database: &Database, delivery_id: Uuid, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let Some((entry, body)) = database
        .run(async move |database| journal::show(&database, delivery_id).await)
        .await?
    else {
        bail!("there is no arrival {delivery_id}");
    };
    writeln!(out, "{}", serde_json::to_string_pretty(&entry)?)?;
    match body {
        Some(body) => {
            out.write_all(&body)?;
            writeln!(out)?;
        }
        None => writeln!(out, "the body has been pruned")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A replay is one more node for a moment: several nodes may hold an actor for an order, and the version
/// decides. So the running service needs to know nothing of it.
async fn replay(database: &Database, args: ReplayArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let node = format!("replay by {}", args.by);
    let store = Arc::new(PostgresOrderStore::new(database.clone(), node.into()));
    let settings = SystemSettings {
        orders: OrderSettings::default(),
        persistence: PersistenceSettings::default(),
        rules: Rules {
            assembly_time: TimeDelta::from_std(args.assembly_time)?,
        },
        answer_time: REPLAY_DEADLINE,
    };
    let actors = Actors::start(
        settings,
        &[actix_rt::Arbiter::new().handle()],
        store,
        &(Arc::new(|| {}) as _),
    );
    let mut refused = false;
    for delivery_id in args.delivery_ids {
        let outcome = replay_one(database, &actors, delivery_id, &args.by)
            .await
            .with_context(|| format!("replaying {delivery_id}"))?;
        refused |= outcome.refused;
        writeln!(out, "{delivery_id}: {}", outcome.text)?;
    }
    actors.drain(Instant::now() + REPLAY_DEADLINE).await;
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct ReplayOutcome {
    refused: bool,
    text: String,
}

async fn replay_one(
    database: &Database,
    actors: &Actors,
    delivery_id: Uuid,
    by: &str,
) -> anyhow::Result<ReplayOutcome> {
    let taken = replay::replay(database, actors, delivery_id, by).await?;
    let order = taken
        .order_id
        .map_or_else(|| "no order".to_owned(), |order_id| format!("order {order_id}"));
    Ok(match taken.verdict {
        Verdict::Acknowledged(acknowledged) => ReplayOutcome {
            refused: false,
            text: format!(
                "{order}, {}, recorded as {}",
                acknowledged.outcome.as_str(),
                taken.delivery_id
            ),
        },
        Verdict::Rejected(rejection) => ReplayOutcome {
            refused: true,
            text: format!("{order}, rejected again: {rejection}"),
        },
        Verdict::Refused(error) => ReplayOutcome {
            refused: true,
            text: format!("{order}, not done: {error}"),
        },
    })
}
