//! `orderhook order`: one order's whole story on a terminal.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use orderhook_domain::ids::OrderId;

use crate::db::Database;
use crate::db::orders_view::{OrderView, order_view};

/// What to do with an order.
#[derive(Debug, Subcommand)]
pub enum OrderCommand {
    /// Show an order: document, lines, marks, history, notices
    Show {
        /// SM's id of the order
        order_id: String,
        /// As JSON, like GET /api/orders/ID
        #[arg(long)]
        json: bool,
    },
}

impl OrderCommand {
    /// Does it.
    ///
    /// # Errors
    /// The database is away, or the order is unknown.
    pub async fn run(self, database: &Database, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let Self::Show { order_id, json } = self;
        let id = OrderId::parse(&order_id)?;
        let Some(view) = database
            .run(async move |database| order_view(&database, &id, None).await)
            .await?
        else {
            bail!("order {order_id} is unknown");
        };
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?;
        } else {
            show(&view, out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(order: &OrderView, out: &mut dyn Write) -> std::io::Result<()> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let time = |value: Option<DateTime<Utc>>| {
        value.map_or_else(
            || "-".to_owned(),
            |time| time.format("%Y-%m-%d %H:%M:%S%.3fZ").to_string(),
        )
    };
    let conflict = if order.conflict { ", CONFLICT" } else { "" };
    let closed = if order.closed { ", closed to changes" } else { "" };
    writeln!(
        out,
        "order {}  number {}  store {}",
        order.order_id,
        text(&order.number),
        text(&order.store_id)
    )?;
    writeln!(
        out,
        "status {}{closed}{conflict}, version {}",
        order.status, order.version
    )?;
    for (mark, at) in [
        ("created", order.created_at),
        ("paid", order.paid_at),
        ("shipped", order.shipped_at),
        ("delivered", order.delivered_at),
        ("cancelled", order.cancelled_at),
    ] {
        writeln!(out, "  {mark:<10} {}", time(at))?;
    }
    if let Some(reason) = &order.cancel_reason {
        writeln!(out, "  because    {reason}")?;
    }
    writeln!(
        out,
        "total {}, after discounts {}",
        text(&order.total.price),
        text(&order.total.discount_price)
    )?;
    if let Some(comment) = &order.comment {
        writeln!(out, "comment {comment}")?;
    }
    writeln!(out, "lines")?;
    for line in &order.positions {
        let price = line.discount_price.as_ref().or(line.price.as_ref());
        let price = price.map_or_else(String::new, |price| format!(" at {price}"));
        let replaced = line
            .replaced_by
            .as_ref()
            .map_or_else(String::new, |by| format!(", replaced by {by}"));
        let name = line.name.as_deref().unwrap_or_default();
        writeln!(out, "  {:<16} {:>10}{price}  {name}{replaced}", line.id, line.quantity)?;
    }
    writeln!(out, "history")?;
    if order.events_before.is_some() {
        writeln!(
            out,
            "  … earlier events are left out: orderhook journal list --order ID --limit N"
        )?;
    }
    for event in &order.events {
        let notes = if event.notes.is_empty() {
            String::new()
        } else {
            format!(" [{}]", event.notes.join(", "))
        };
        let replay = event
            .replay_of
            .as_ref()
            .map_or_else(String::new, |of| format!(" replay of {of}"));
        writeln!(
            out,
            "  {}  {:<13} {}{notes}{replay}  {}",
            time(Some(event.received_at)),
            event.event,
            event.outcome,
            event.delivery_id
        )?;
    }
    writeln!(out, "notices")?;
    if order.notices_left_out {
        writeln!(out, "  … earlier notices are left out")?;
    }
    for notice in &order.notices {
        let chat = notice
            .chat_id
            .map_or_else(|| "no chat".to_owned(), |chat| format!("chat {chat}"));
        writeln!(
            out,
            "  {:<10} {:<8} {chat:<20} {} {}",
            notice.kind,
            notice.role,
            notice.state,
            time(notice.sent_at)
        )?;
    }
    Ok(())
}
