//! `orderhook stock`: received goods, and what is left of them.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;

use crate::db::Database;
use crate::db::stock::{self, Imported};

/// What to do with the stock.
#[derive(Debug, Subcommand)]
pub enum StockCommand {
    /// Enter received goods: a CSV file with the header store_id,product_id,quantity, all or nothing, once
    Import {
        /// The file
        file: PathBuf,
    },
    /// Show what a store has
    Show {
        /// The store
        #[arg(long)]
        store: String,
        /// Only this product
        #[arg(long)]
        product: Option<String>,
    },
}

impl StockCommand {
    /// Does it.
    ///
    /// # Errors
    /// The file cannot be read, a row is wrong, or the database is away.
    pub async fn run(self, database: &Database, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::Import { file } => {
                let shown = file.display().to_string();
                let bytes: Arc<[u8]> = std::fs::read(&file).with_context(|| format!("reading {shown}"))?.into();
                let receipts = stock::read_receipts(&*bytes).with_context(|| shown.clone())?;
                let name = shown.clone();
                let imported = database
                    .run(async move |database| stock::import(&database, &name, &bytes, &receipts).await)
                    .await?;
                match imported {
                    Imported::Now { rows } => writeln!(out, "{shown}: {rows} rows imported")?,
                    Imported::Before { import_id } => {
                        writeln!(out, "{shown}: already imported as import {import_id}, nothing changed")?;
                    }
                }
            }
            Self::Show { store, product } => {
                let named = store.clone();
                let balances = database
                    .run(async move |database| stock::balances(&database, &named, product.as_deref()).await)
                    .await?;
                writeln!(out, "{:<24} {:>14}", "product", "quantity")?;
                for balance in &balances {
                    writeln!(out, "{:<24} {:>14}", balance.product_id, balance.quantity)?;
                }
                if balances.is_empty() {
                    writeln!(out, "store {store} has no movements of that")?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
