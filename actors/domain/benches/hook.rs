//! What a hook costs in the pure core: parsing its body, applying the event, finding the difference of a change.
//! `make bench-domain`; the figures of the whole service are those of `make bench`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a measurement that cannot go on says so by panicking; a group of criterion cannot be documented"
)]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hint::black_box;

use chrono::{DateTime, TimeDelta, Utc};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use orderhook_domain::apply::{Rules, apply};
use orderhook_domain::diff;
use orderhook_domain::event::Delivery;
use orderhook_domain::ids::DeliveryId;
use orderhook_domain::order::Order;
use orderhook_domain::protocol::{self, ParsedEvent};
use uuid::Uuid;

/// Lines of an everyday order, and of a very long one.
const LINES: [usize; 2] = [8, 300];

/// A body as SM sends it; the amounts of the first line are those of the step.
fn body(event_type: &str, lines: usize, step: usize) -> String {
    let mut positions = String::new();
    for line in 0..lines {
        let comma = if line == 0 { "" } else { "," };
        let quantity = if line == 0 { step + 1 } else { 2 };
        write!(
            positions,
            "{comma}{{\"id\":\"41000{line:03}\",\"originalQuantity\":2,\"quantity\":{quantity},\"price\":\"89.90\",\
             \"discountPrice\":\"79.90\",\"totalPrice\":\"179.80\",\"totalDiscountPrice\":\"159.80\",\"weight\":\"\"}}"
        )
        .unwrap();
    }
    format!(
        "{{\"event_type\":\"{event_type}\",\"payload\":{{\"originalOrderId\":\"B0000000001\",\"store_id\":\"8001\",\
         \"customer\":{{\"name\":\"Тест Тестов\",\"phone\":\"+79000000001\"}},\
         \"delivery\":{{\"expectedFrom\":\"2026-03-01T15:00:00+03:00\",\"expectedTo\":\"2026-03-01T17:00:00+03:00\"}},\
         \"positions\":[{positions}],\"total\":{{\"totalPrice\":\"1438.40\",\"discountTotalPrice\":\"1278.40\"}},\
         \"comment\":\"Позвонить за час\",\"replacementPolicy\":\"callOrReplace\",\"paymentMethods\":[\"CardOnline\"]}}}}"
    )
}

fn delivery(body: &str) -> Delivery {
    let ParsedEvent::Order(event) = protocol::parse(body.as_bytes()).unwrap().event else {
        panic!("the body is about an order");
    };
    Delivery {
        id: DeliveryId(Uuid::now_v7()),
        received_at: DateTime::<Utc>::UNIX_EPOCH,
        event,
    }
}

const RULES: Rules = Rules {
    assembly_time: TimeDelta::minutes(60),
};

fn next(order: &Order, delivery: &Delivery) -> Order {
    apply(order, delivery, RULES, &HashSet::new()).unwrap().order.unwrap()
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for lines in LINES {
        let body = body("order.changed", lines, 0);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{lines} lines"), |bencher| {
            bencher.iter(|| protocol::parse(black_box(body.as_bytes())).unwrap());
        });
    }
    group.finish();
}

fn apply_events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for lines in LINES {
        let created = delivery(&body("order.created", lines, 1));
        let unknown = Order::unknown(created.event.order_id.clone());
        let order = next(&unknown, &created);
        let changed = delivery(&body("order.changed", lines, 2));
        let paid = delivery(&body("order.paid", lines, 1));
        for (name, before, delivery) in [
            ("created", &unknown, &created),
            ("changed", &order, &changed),
            ("paid", &order, &paid),
        ] {
            group.bench_function(format!("{name}, {lines} lines"), |bencher| {
                bencher.iter_batched(
                    HashSet::new,
                    |answered| apply(black_box(before), black_box(delivery), RULES, &answered).unwrap(),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn difference(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("diff");
    for lines in LINES {
        let created = delivery(&body("order.created", lines, 1));
        let order = next(&Order::unknown(created.event.order_id.clone()), &created);
        let document = order.document.unwrap();
        let changed = delivery(&body("order.changed", lines, 2));
        group.bench_function(format!("{lines} lines"), |bencher| {
            bencher.iter(|| diff::changed(black_box(&document), black_box(&changed.event.content)));
        });
    }
    group.finish();
}

criterion_group!(benches, parse, apply_events, difference);
criterion_main!(benches);
