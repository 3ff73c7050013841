//! The replay decides what an order came to however many of its answers may or may not have been on record.

use std::collections::{BTreeSet, HashSet};
use std::time::{Duration, Instant};

use orderhook_domain::event::{Delivery, Event};
use orderhook_domain::ids::DeliveryId;
use reqwest::StatusCode;
use serde_json::json;

use crate::domain::build::{changed, created, delivery, list};
use crate::domain::model::{Model, Step};
use crate::replay::{ASSEMBLY_TIME, Arrived, replay};
use crate::rows;
use crate::sent::{Attempt, Planned, Sent};

/// Every one of these compositions is sent three times, one after the other, before created comes.
const COMPOSITIONS: usize = 5;

/// What SM sends, by arrival: changed without a time, then created.
fn plan() -> Vec<Planned> {
    let composition = |number: usize| changed(list(&[&format!("milk {}", number + 1)]));
    let changes = (0..3 * COMPOSITIONS).map(|index| composition(index % COMPOSITIONS));
    let planned = |event: Event| Planned {
        order: 0,
        body: b"{}".as_slice().into(),
        event,
        twice: false,
    };
    changes.chain([created(&["milk 1"])]).map(planned).collect()
}

/// Each was answered in time, by the node that does not judge created.
fn sent(plan: &[Planned]) -> Vec<Sent<'_>> {
    let start = Instant::now();
    let moment = |index: usize| start + Duration::from_millis(u64::try_from(index).unwrap());
    let sent = |(index, hook)| Sent {
        hook,
        request_id: format!("{index:032x}"),
        attempts: vec![Attempt {
            node: node(index).to_owned(),
            sent: moment(2 * index),
            ended: moment(2 * index + 1),
            answer: Some((StatusCode::OK, json!({"status": "ok"}))),
        }],
    };
    plan.iter().enumerate().map(sent).collect()
}

fn node(index: usize) -> &'static str {
    if index == 3 * COMPOSITIONS { "node-2" } else { "node-1" }
}

/// What the journal holds when `was_on_record` tells whose answers were recorded before created came.
fn stored(plan: &[Planned], was_on_record: impl Fn(usize) -> bool) -> (Model, Vec<rows::Event>) {
    let arrival = |((index, second), hook): (_, &Planned)| delivery(index, second, hook.event.clone());
    let history: Vec<Delivery> = (0..).zip(0..).zip(plan).map(arrival).collect();
    let on_record = (0..).zip(&history).filter(|(index, _)| was_on_record(*index));
    let on_record: HashSet<DeliveryId> = on_record.map(|(_, delivery)| delivery.id).collect();
    let mut model = Model::new(ASSEMBLY_TIME);
    let steps = history
        .iter()
        .map(|delivery| model.judge(delivery, &|id| on_record.contains(&id)).unwrap());
    let steps: Vec<Step> = steps.collect();
    let row = |(index, (delivery, step)): (usize, (Delivery, Step))| rows::Event {
        delivery_id: delivery.id,
        version: Some(i64::try_from(index).unwrap() + 1),
        event: delivery.event.kind.to_string(),
        received_at: delivery.received_at,
        sm_timestamp: None,
        outcome: step.outcome.as_str().to_owned(),
        notes: step.notes.iter().map(|note| note.as_str().to_owned()).collect(),
        answered_at: Some(delivery.received_at + chrono::Duration::milliseconds(1)),
        node: node(index).to_owned(),
        request_id: format!("{index:032x}"),
        body: b"{}".to_vec(),
        notice: step.notice.map(|notice| notice.as_str().to_owned()),
    };
    let rows = history.into_iter().zip(steps).enumerate().map(row).collect();
    (model, rows)
}

#[test]
fn the_end_that_was_is_among_those_that_can_have_been() {
    let plan = plan();
    let sent = sent(&plan);
    let records: [&dyn Fn(usize) -> bool; 4] = [&|_| true, &|_| false, &|index| index % COMPOSITIONS == 3, &|index| {
        index < COMPOSITIONS
    }];
    let mut ends_seen = BTreeSet::new();
    for was_on_record in records {
        let (model, rows) = stored(&plan, was_on_record);
        let history: Vec<_> = rows
            .iter()
            .zip(&sent)
            .map(|(row, sent)| Arrived::new(row, sent))
            .collect();
        let ends = replay(&history).unwrap();
        assert!(ends.iter().any(|end| end.view == model.view()));
        ends_seen.insert(format!("{:?}", model.view()));
    }
    assert!(ends_seen.len() > 1, "the records make no difference here");
}

#[test]
fn what_no_record_explains_is_refused() {
    let plan = plan();
    let sent = sent(&plan);
    let (_, mut rows) = stored(&plan, |_| true);
    rows.last_mut().unwrap().notes.insert("older_timestamp".to_owned());
    let history: Vec<_> = rows
        .iter()
        .zip(&sent)
        .map(|(row, sent)| Arrived::new(row, sent))
        .collect();
    let refused = replay(&history).err().unwrap();
    assert!(refused.starts_with("version 16 is stored as it is"), "{refused}");
}
