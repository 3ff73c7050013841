//! Reads an order back and says where it differs from what it must be.

use std::collections::BTreeMap;

use serde_json::Value;

use super::plan::{Composition, OrderPlan};
use super::sender::{Answers, Sender};

/// Every difference in one line each; empty when the order is as it must be.
pub(super) async fn check(sender: &Sender, plan: &OrderPlan, answers: &Answers) -> Vec<String> {
    match sender.read_order(&plan.order_id).await {
        Ok(order) => differences(plan, answers, &order),
        Err(reason) => vec![reason],
    }
}

fn differences(plan: &OrderPlan, answers: &Answers, order: &Value) -> Vec<String> {
    let mut found = Vec::new();
    // An order of which an event was lost has no one right state; that it was lost is told already.
    if answers.lost.is_empty() {
        compare(&mut found, "status", &order["status"], &plan.status.into());
        compare(&mut found, "closed", &order["closed"], &true.into());
        let stored = composition(order);
        if !plan.compositions.contains(&stored) {
            found.push(format!(
                "positions are {stored:?}, expected one of {:?}",
                plan.compositions
            ));
        }
        for (sku, price) in prices(order).iter().filter(|(sku, _)| stored.contains_key(*sku)) {
            if let Some(expected) = plan.prices.get(sku).filter(|expected| *expected != price) {
                found.push(format!("the price of {sku} is {price}, expected {expected}"));
            }
        }
        if let Some(total) = &plan.total {
            compare(
                &mut found,
                "total.price",
                &order["total"]["price"],
                &total.as_str().into(),
            );
        }
    }
    for answer in &answers.created {
        compare(&mut found, "the answered number", &answer["number"], &order["number"]);
    }
    if answers.created.windows(2).any(|pair| pair[0] != pair[1]) {
        found.push("two answers to created differ".to_owned());
    }
    let stored = events(order);
    for (event, acknowledged) in &answers.acknowledged {
        let count = stored.get(*event).copied().unwrap_or_default();
        if count < *acknowledged {
            found.push(format!("{acknowledged} {event} were acknowledged, {count} are stored"));
        }
    }
    found
}

fn compare(found: &mut Vec<String>, what: &str, stored: &Value, expected: &Value) {
    if stored != expected {
        found.push(format!("{what} is {stored}, expected {expected}"));
    }
}

fn positions(order: &Value) -> impl Iterator<Item = &Value> {
    order["positions"].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn composition(order: &Value) -> Composition {
    let wanted = positions(order).filter(|line| line["quantity"] != "0");
    wanted
        .map(|line| (text(&line["id"]), text(&line["quantity"])))
        .collect()
}

fn prices(order: &Value) -> BTreeMap<String, String> {
    positions(order)
        .map(|line| (text(&line["id"]), text(&line["price"])))
        .collect()
}

fn events(order: &Value) -> BTreeMap<String, u64> {
    let mut events = BTreeMap::new();
    for event in order["events"].as_array().into_iter().flatten() {
        *events.entry(text(&event["event"])).or_default() += 1;
    }
    events
}
