//! `orderhook chat`: who is told about which store.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use orderhook_domain::ids::StoreId;

use crate::db::Database;
use crate::db::chats::{self, Role};
use crate::db::invites;

/// What to do with the subscriptions.
#[derive(Debug, Subcommand)]
pub enum ChatCommand {
    /// Tell a chat about a store; adding it again enables a chat that Telegram had refused
    Add(ChatArgs),
    /// Make a one-time code with which a chat subscribes by itself: /start CODE
    Invite {
        /// The store as SM names it; '*' means every store
        #[arg(long)]
        store: String,
        /// What the chat is there for
        #[arg(long, value_enum)]
        role: Role,
        /// How long the code is good
        #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
        expires: Duration,
    },
    /// List all subscriptions
    List,
    /// Tell a chat no more about a store
    Remove(ChatArgs),
}

/// One subscription.
#[derive(Debug, Args)]
pub struct ChatArgs {
    /// The store as SM names it; '*' means every store
    #[arg(long)]
    store: String,
    /// What the chat is there for; ops receives operational alarms
    #[arg(long, value_enum)]
    role: Role,
    /// Telegram's id of the chat; negative for groups
    #[arg(long, allow_hyphen_values = true)]
    chat_id: i64,
}

impl ChatCommand {
    /// Does it.
    ///
    /// # Errors
    /// The database is away, or there is no such subscription.
    pub async fn run(self, database: &Database, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(ChatArgs { store, role, chat_id }) => {
                let store = StoreId::parse(&store)?;
                let named = store.clone();
                let added = database
                    .run(async move |database| chats::add(&database, named.as_str(), role, chat_id).await)
                    .await?;
                let state = if added.is_new { "is told" } else { "was told already" };
                writeln!(out, "chat {chat_id} {state} about store {store} as {}", role.as_str())?;
                if added.waiting > 0 {
                    writeln!(
                        out,
                        "{} notices of open orders that waited for it are sent now",
                        added.waiting
                    )?;
                }
            }
            Self::Invite { store, role, expires } => {
                let store = StoreId::parse(&store)?;
                let named = store.clone();
                let code = database
                    .run(async move |database| invites::invite(&database, named.as_str(), role, expires).await)
                    .await?;
                writeln!(out, "{code}")?;
                writeln!(
                    out,
                    "good once, for {}; to be sent to the bot, in a private chat or a group, as: /start {code}",
                    humantime::format_duration(expires)
                )?;
            }
            Self::Remove(ChatArgs { store, role, chat_id }) => {
                let named = store.clone();
                let removed = database
                    .run(async move |database| chats::remove(&database, &named, role, chat_id).await)
                    .await?;
                if !removed {
                    bail!("chat {chat_id} is not told about store {store} as {}", role.as_str());
                }
                writeln!(
                    out,
                    "chat {chat_id} is told no more about store {store} as {}",
                    role.as_str()
                )?;
            }
            Self::List => {
                let list = database.run(async |database| chats::list(&database).await).await?;
                writeln!(out, "{:<12} {:<8} {:>16}  state", "store", "role", "chat")?;
                for chat in &list {
                    let state = match (&chat.disabled_at, &chat.disabled_reason) {
                        (None, _) => "enabled".to_owned(),
                        (Some(at), reason) => {
                            let reason = reason.as_deref().unwrap_or("no reason given");
                            format!("disabled since {}: {reason}", at.format("%Y-%m-%d %H:%M:%SZ"))
                        }
                    };
                    writeln!(
                        out,
                        "{:<12} {:<8} {:>16}  {state}",
                        chat.store_id, chat.role, chat.chat_id
                    )?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
