//! Nodes join and leave: nginx is given another list under load, and nothing else is configured anywhere.

use std::collections::HashMap;

use reqwest::StatusCode;

use crate::load::{Attempt, Load, check, hook, rate, tell};
use crate::nginx::SM_WAITS;
use crate::pool::Pool;

const ORDERS: usize = 300;

/// Sends one hook of every order, and returns which node has taken it.
async fn play(pool: &Pool, stage: usize) -> HashMap<String, String> {
    for number in 0..ORDERS {
        let (_, body) = hook(stage, &format!("moving-{number}"));
        assert_eq!(pool.nginx.hook(body).send().await.unwrap().status(), StatusCode::OK);
    }
    let client = pool.database.client().await;
    let query = "SELECT DISTINCT ON (order_id) order_id, node FROM order_events WHERE order_id LIKE 'moving-%' \
                 ORDER BY order_id, order_version DESC";
    let rows = client.query(query, &[]).await.unwrap();
    assert_eq!(rows.len(), ORDERS);
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn of_node(nodes: &HashMap<String, String>, name: &str) -> usize {
    nodes.values().filter(|node| *node == name).count()
}

#[tokio::test]
async fn a_node_joins_and_another_leaves_under_load_and_only_their_orders_move() {
    let mut pool = Pool::start(3).await;
    let addresses: Vec<String> = pool.places.iter().map(|place| place.hook_addr.clone()).collect();
    let [first, second, third] = &addresses[..] else {
        unreachable!()
    };
    pool.nginx.reload(&[first, second]).await;
    let load = Load::start(&pool.nginx, "joining", rate());
    let of_two = play(&pool, 0).await;
    assert_eq!(of_node(&of_two, "node-3"), 0, "nobody has told nginx of it");

    pool.nginx.reload(&[first, second, third]).await;
    let of_three = play(&pool, 1).await;
    let moved = of_three.iter().filter(|(id, node)| of_two[*id] != **node).count();
    assert_eq!(
        moved,
        of_node(&of_three, "node-3"),
        "an order has moved between the others"
    );
    assert!(
        moved > ORDERS / 6,
        "{moved} of {ORDERS} orders have moved to the node that joined"
    );

    // First out of the list, then asked to end: nobody is refused even once.
    pool.nginx.reload(&[second, third]).await;
    let drained = pool.drain(0).await;
    let without_first = play(&pool, 2).await;
    assert_eq!(of_node(&without_first, "node-1"), 0);
    let stayed = without_first
        .iter()
        .filter(|(id, node)| of_three[*id] == **node)
        .count();
    assert_eq!(
        stayed,
        ORDERS - of_node(&of_three, "node-1"),
        "an order of another node has moved"
    );
    println!("{moved} of {ORDERS} orders moved to the node that joined; the one that left ended after {drained:?}");

    load.lasts(1).await;
    let attempts = load.stop().await;
    let refused = tell("a node joins and another leaves", &attempts);
    // nginx closes idle connections when it is given another list; a hook on its way at that very moment has
    // no answer and is repeated.
    let is_cut_off = |attempt: &&Attempt| attempt.status.is_none() && attempt.elapsed < SM_WAITS;
    assert!(refused.iter().all(|attempt| is_cut_off(&attempt)), "{refused:?}");
    check(&pool.database.client().await, &attempts).await;
}
