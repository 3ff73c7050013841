//! Very many orders: held at once by a node, and in the table.

use std::time::{Duration, Instant};

use crate::Bench;
use crate::client::{Closed, closed_loop};
use crate::floors;
use crate::play::Orders;
use crate::process::Service;
use crate::scenarios::{OTHER_STORES, active_orders};

impl Bench<'_> {
    /// How many hooks a node takes that holds very many orders, or whose table does, beside one with neither.
    pub(crate) async fn scale(&mut self) {
        let node = self.node().await;
        self.bytes_per_order(&node, 1).await;
        drop(node);
        let full = self.full_table().await;

        for repetition in 1..=self.args.repetitions.max(1) {
            eprintln!("scale {repetition}");
            let empty = self.fresh().await;
            let node = self.start("orderhook", &empty);
            let empty = self.scaled("empty", &node, &empty).await;
            drop(node);

            let database = self.fresh().await;
            let node = self.start("orderhook", &database);
            self.bytes_per_order(&node, 9).await;
            let rate = self.scaled("with 100000 active", &node, &database).await;
            self.figures
                .note("scale of the empty table, 100000 active", rate / empty);
            drop(node);

            let started = Instant::now();
            let node = self.start("orderhook", &full);
            ready(&node).await;
            self.figures.note(
                "scale start-up ms with a full table",
                started.elapsed().as_secs_f64() * 1000.0,
            );
            let rate = self.scaled("full table", &node, &full).await;
            self.figures.note("scale of the empty table, full", rate / empty);
        }
    }

    /// Hooks per second, with what they cost, after everything before has been written to disk. What autovacuum would
    /// do to a table that has just been filled is done before, too, and all begin with memory at hand.
    async fn scaled(&mut self, what: &str, node: &Service, database: &str) -> f64 {
        let client = self.cluster.client(database).await;
        client.batch_execute("VACUUM (ANALYZE)").await.unwrap();
        client.batch_execute("CHECKPOINT").await.unwrap();
        drop(client);
        self.cluster.have_memory_at_hand();
        let run = self.closed(64);
        let name = format!("scale closed 64 {what}");
        self.costs(node, database, &name, async |addr| closed_loop(addr, run).await)
            .await
            .rate()
    }

    /// Has a node hold very many new orders, and says how much memory each takes.
    async fn bytes_per_order(&mut self, node: &Service, lines: usize) {
        let orders = Orders {
            stores: OTHER_STORES,
            lines,
            created_only: true,
            ..Orders::USUAL
        };
        // Without what a node takes when the first hooks come.
        let first = hold(node, orders, ACTIVE_ORDERS / 10).await;
        let last = hold(node, orders, ACTIVE_ORDERS).await;
        let bytes = (last.resident - first.resident) / (last.orders - first.orders);
        let document = floors::order_bytes(lines, ACTIVE_ORDERS);
        let mut note = |figure: &str, value: f64| self.figures.note(format!("scale {figure} of {lines} lines"), value);
        note("bytes per active order", bytes);
        note("bytes of its document", document);
        note("bytes of its actor", bytes - document);
    }

    /// A database with very many orders, which stays.
    async fn full_table(&mut self) -> String {
        let database = self.fresh().await;
        let node = self.start("orderhook", &database);
        let run = Closed {
            time: Duration::from_secs(1),
            ..self.closed(16)
        };
        closed_loop(node.hooks, run).await;
        drop(node);
        let client = self.cluster.client(&database).await;
        client.batch_execute(MILLION_ORDERS).await.unwrap();
        // Not while others are measured.
        client.batch_execute("VACUUM (ANALYZE)").await.unwrap();
        let orders: i64 = client
            .query_one("SELECT count(*) FROM orders", &[])
            .await
            .unwrap()
            .get(0);
        self.figures.note("scale orders in the table", orders as f64);
        drop(client);
        self.keep(&database, "full_table").await
    }
}

/// How many are held at once.
const ACTIVE_ORDERS: usize = 100_000;

/// What a node holds.
struct Held {
    orders: f64,
    /// In bytes.
    resident: f64,
}

/// Sends hooks of new orders until a node holds so many of them.
async fn hold(node: &Service, orders: Orders, count: usize) -> Held {
    loop {
        let run = Closed {
            connections: 256,
            warm_up: Duration::ZERO,
            time: Duration::from_millis(500),
            orders,
        };
        closed_loop(node.hooks, run).await;
        let held = active_orders(node).await;
        if held >= count {
            return Held {
                orders: held as f64,
                resident: node.resident() as f64,
            };
        }
    }
}

/// Copies of the orders that the node itself has written, with one arrival, one answer and one stock movement
/// each, until there are a million.
const MILLION_ORDERS: &str = "
    CREATE TEMPORARY TABLE copies AS
    SELECT source.order_id, 'C' || copy || '-' || source.order_id AS copied_id
    FROM (SELECT order_id FROM orders WHERE version = 6 LIMIT 1000) AS source, generate_series(1, 1000) AS copy;
    INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, created_at, paid_at, shipped_at,
        delivered_at, cancelled_at, cancel_reason, delivery_from, delivery_to, total_price, total_discount_price,
        comment, customer, document, memory)
    SELECT copied_id, version, nextval('order_numbers')::text, store_id, status, closed, conflict, created_at, paid_at,
        shipped_at, delivered_at, cancelled_at, cancel_reason, delivery_from, delivery_to, total_price,
        total_discount_price, comment, customer, document, memory
    FROM copies JOIN orders USING (order_id);
    CREATE TEMPORARY TABLE copied_arrivals AS
    SELECT gen_random_uuid() AS delivery_id, copies.order_id, copied_id, order_version
    FROM copies JOIN order_arrivals USING (order_id) WHERE order_version = 1;
    INSERT INTO order_arrivals (delivery_id, order_id, order_version, event, event_type, received_at, outcome, node,
        request_id, body)
    SELECT copied.delivery_id, copied_id, order_version, event, event_type, received_at, outcome, node, request_id, body
    FROM copied_arrivals AS copied JOIN order_arrivals AS arrival USING (order_id, order_version);
    INSERT INTO order_answers SELECT delivery_id, now() FROM copied_arrivals;
    INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity, moved_at)
    SELECT copied_id, line, store_id, product_id, quantity, moved_at
    FROM copies JOIN stock_movements USING (order_id) WHERE line = 1";

async fn ready(node: &Service) {
    let url = format!("http://{}/readyz", node.operations);
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return;
        }
        assert!(Instant::now() < limit, "the node does not get ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
