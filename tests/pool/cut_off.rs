//! One node hears nothing of the database, which is well: what it cannot store another node stores.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::StatusCode;

use crate::load::{Attempt, Load, check, rate, tell};
use crate::nginx::{Nginx, free_port, until};
use crate::pool::Place;
use crate::proxy::{Proxy, Trouble};
use crate::support::database::TestDatabase;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_of_a_node_that_hears_nothing_of_the_database_are_stored_by_another() {
    let database = TestDatabase::create().await;
    let config: tokio_postgres::Config = database.url().parse().unwrap();
    let (port, name) = (config.get_ports()[0], config.get_dbname().unwrap().to_owned());
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let proxy = Proxy::start(free_port(), SocketAddr::new(here, port), here).await;
    let places: Vec<Place> = (1..=2).map(|number| Place::new(number, &[])).collect();
    let urls = [
        format!("postgres://postgres@{}/{name}", proxy.address()),
        database.url().to_owned(),
    ];
    let mut nodes = Vec::new();
    for (place, url) in places.iter().zip(&urls) {
        let node = place.launch(url).await;
        until("a node is ready", async || node.ops("/readyz").await.status() == 200).await;
        nodes.push(node);
    }
    let addresses: Vec<String> = places.iter().map(|place| place.hook_addr.clone()).collect();
    let nginx = Nginx::start(&addresses, &[]).await;
    let load = Load::start(&nginx, "cut-off", rate());
    load.lasts(2).await;
    proxy.makes(Trouble {
        holds: true,
        ..Trouble::default()
    });
    // Longer than any of its statements may take.
    load.lasts(7).await;
    proxy.heals();
    load.lasts(1).await;
    let attempts = load.stop().await;
    let refused = tell("one node cut off from the database", &attempts);
    assert!(attempts.iter().all(|attempt| attempt.status.is_some()), "SM waits 5 s");
    // What its deadline meets is tried elsewhere. Only at a high rate so much may wait inside that it refuses
    // more at the door, which is SM's to repeat.
    let at_the_door = |attempt: &Attempt| attempt.status == Some(StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.iter().all(at_the_door), "{refused:?}");
    check(&database.client().await, &attempts).await;
}
