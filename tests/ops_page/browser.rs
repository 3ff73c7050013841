//! The page as a person has it before him, under the traffic of the simulator.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use orderhook::sim::{self, Progress, Settings, Spellings};
use reqwest::StatusCode;
use serde_json::Value;

use crate::access::OPS_TOKEN;
use crate::bodies::{bare, with_lines};
use crate::chromium::Chromium;
use crate::forwarder::Forwarder;
use crate::support::app::{NodeClient, TOKEN, TestProcess};
use crate::support::cluster::TestCluster;
use crate::support::database::TestDatabase;

const CHATS: &str =
    "INSERT INTO chats (store_id, role, chat_id) VALUES ('*', 'pickers', -100101), ('*', 'store', -100201)";

/// Within so long the light must follow the database.
const LIGHT_FOLLOWS: Duration = Duration::from_secs(5);

/// Plays orders that are new to the node until it is aborted, whatever becomes of them: what is looked at
/// is the page.
fn traffic(node: &NodeClient, prefix: &'static str) -> tokio::task::JoinHandle<()> {
    let settings = Settings {
        orders: Some(50),
        duration: None,
        rate: None,
        event_gap: Duration::from_secs(720),
        concurrency: NonZeroUsize::new(2).unwrap(),
        hook_url: vec![node.hooks.parse().unwrap()],
        ops_url: vec![node.ops.parse().unwrap()],
        no_verify: false,
        token: TOKEN.into(),
        ops_token: OPS_TOKEN.into(),
        seed: None,
        prefix: None,
        spelling: Spellings::D,
        stores: 1,
        cancel: 0,
        overlap: 0,
        disorder: 0,
        repeats: 0,
        time_scale: 1000,
        time_limit: Duration::from_secs(5),
        ledger: None,
    };
    tokio::spawn(async move {
        for round in 0.. {
            let settings = Settings {
                prefix: Some(format!("{prefix}{round}-")),
                ..settings.clone()
            };
            let _ = sim::run(&settings, Arc::new(Progress::default())).await;
        }
    })
}

/// The sum over all hooks that the charts show.
const HOOKS_SHOWN: &str = "page.hello.events.reduce((sum, event) => sum + figures.sum('hooks.' + event), 0)";

#[actix_rt::test]
async fn the_page_shows_the_traffic_the_outage_and_the_story_of_an_order() {
    let cluster = TestCluster::migrated().await;
    cluster.client().await.batch_execute(CHATS).await.unwrap();
    let node = TestProcess::start(&cluster.url(), &["--ops-token", OPS_TOKEN]).await;
    let chromium = Chromium::start().await;
    chromium.look_like(1440, 900, "light").await;
    chromium.open(&node.ops).await;

    // It asks for the token of the node, which is typed in once.
    chromium
        .until("document.getElementById('light-word').textContent.includes('token')")
        .await;
    let typed = format!(
        "document.getElementById('access').click(), document.getElementById('ask-token').value = '{OPS_TOKEN}', \
         document.getElementById('ask-yes').click(), true"
    );
    assert!(chromium.value::<bool>(&typed).await);
    chromium
        .until("document.getElementById('light').className === 'light green'")
        .await;

    // The charts move, and their figures are those of the node.
    let load = traffic(&node, "BEFORE-");
    let picture = "document.querySelector('#chart-hooks canvas').toDataURL()";
    chromium.until(&format!("{HOOKS_SHOWN} > 100")).await;
    let remember = format!("window.seen = [{picture}, {HOOKS_SHOWN}], true");
    assert!(chromium.value::<bool>(&remember).await);
    chromium
        .until(&format!("{picture} !== seen[0] && {HOOKS_SHOWN} > seen[1] + 100"))
        .await;
    load.abort();
    let _ = load.await;
    chromium
        .until("figures.latest('hooks.paid') === 0 && page.state.hooks_in_flight === 0")
        .await;
    let shown: u64 = chromium.value(HOOKS_SHOWN).await;
    let counted = node.metric("orderhook_hooks_total", &[]).await;
    let counted: u64 = format!("{counted:.0}").parse().unwrap();
    assert!(
        shown.abs_diff(counted) * 10 <= counted,
        "{shown} shown, {counted} counted"
    );
    let rows: u64 = chromium.value("figures.sum('commit_rows')").await;
    assert!(rows.abs_diff(counted) * 10 <= counted, "{rows} rows, {counted} hooks");
    // The scale fits the highest second.
    let fits = "(() => { const column = charts.all[0].uplot.data.slice(1).flat().reduce((a, b) => Math.max(a, b || 0), 0); \
                const top = charts.all[0].uplot.scales.y.max; return column > 0 && top >= column && top < column * 1.5; })()";
    assert!(chromium.value::<bool>(fits).await);
    let times = "figures.rows.every((row) => { const [a, b] = ['p50_us', 'p99_us'].map((name) => row[figures.index(name)]); \
                 return a === null || (a > 0 && a <= b && b < 5e6); })";
    assert!(chromium.value::<bool>(times).await);

    // The light follows the database.
    let load = traffic(&node, "AFTER-");
    chromium.until("figures.latest('hooks.paid') > 0").await;
    cluster.crash_server();
    let took = chromium
        .until("document.getElementById('light').className === 'light red'")
        .await;
    eprintln!("red after {took:?}");
    assert!(took < LIGHT_FOLLOWS, "red after {took:?}");
    chromium
        .until("document.getElementById('light-reasons').textContent.includes('database')")
        .await;
    chromium.picture("outage").await;
    cluster.start_server();
    let took = chromium
        .until("document.getElementById('light').className === 'light green'")
        .await;
    eprintln!("green after {took:?}");
    assert!(took < LIGHT_FOLLOWS, "green after {took:?}");
    load.abort();
    let _ = load.await;

    the_story_of_an_order_that_never_was(&chromium, &node).await;
    the_story_of_an_order(&chromium, &node).await;
    assert_eq!(chromium.faults().await, Vec::<String>::new());
    chromium.end().await;
}

/// Types an id into the search.
async fn find(chromium: &Chromium, id: &str) {
    let find = format!(
        "document.getElementById('search-id').value = {}, document.querySelector('#search button').click(), true",
        Value::from(id)
    );
    assert!(chromium.value::<bool>(&find).await);
}

/// What could not be accepted leaves no order, but what arrived of it is found.
async fn the_story_of_an_order_that_never_was(chromium: &Chromium, node: &NodeClient) {
    let id = "H-NEVER/1";
    let (status, _) = node.send(with_lines("order.created", id, &[("4100017", "-1")])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    find(chromium, id).await;
    chromium
        .until("document.querySelectorAll('#timeline li.rejected').length === 1")
        .await;
    let shown: String = chromium.value("document.getElementById('order').innerText").await;
    for text in [id, "no order", "must not be negative", "Play again"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    find(chromium, "H-UNHEARD-OF").await;
    chromium
        .until("document.getElementById('order').innerText.includes('Nothing ever arrived')")
        .await;
}

/// Found by search, whole, as text whatever it holds, and on a phone, too.
async fn the_story_of_an_order(chromium: &Chromium, node: &NodeClient) {
    let id = "<img src=x onerror=faults.push('ran')>/&%41";
    node.accepted(with_lines("order.created", id, &[("4100017", "2"), ("4100018", "1")]))
        .await;
    node.accepted(with_lines("order.changed", id, &[("4100017", "1")]))
        .await;
    let (status, _) = node.send(with_lines("order.changed", id, &[("4100017", "-1")])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    node.accepted(bare("order.paid", id)).await;
    find(chromium, id).await;
    chromium
        .until("document.querySelectorAll('#timeline li').length === 4")
        .await;
    let outcomes = "[...document.querySelectorAll('#timeline li')].map((li) => li.querySelector('b').textContent + ' ' + li.className)";
    let outcomes: Vec<String> = chromium.value(outcomes).await;
    assert_eq!(
        outcomes,
        ["created applied", "changed applied", "changed rejected", "paid applied"]
    );
    let shown: String = chromium.value("document.getElementById('order').innerText").await;
    for text in [
        id,
        "paid",
        "4100017",
        "removed",
        "must not be negative",
        "version 3",
        "pickers -100101",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(
        chromium
            .value::<bool>("document.querySelector('#order img') === null")
            .await
    );

    // Played again: what came of it is said, and stays while the order below it is read anew.
    let play = "localStorage.setItem('orderhook.operator', 'Anna'), \
                [...document.querySelectorAll('#timeline button')].find((button) => button.textContent === 'Play again').click(), true";
    assert!(chromium.value::<bool>(play).await);
    chromium.until("document.getElementById('ask').open").await;
    assert!(
        chromium
            .value::<bool>("document.getElementById('ask-yes').click(), true")
            .await
    );
    chromium
        .until("document.querySelectorAll('#timeline li').length === 5")
        .await;
    let said: String = chromium
        .value("document.querySelector('#order .said.good').innerText")
        .await;
    assert_eq!(said, "Played again: duplicate.");

    // The raw body, on request.
    let ask = "[...document.querySelectorAll('#timeline button')].find((button) => button.textContent === 'Raw body').click(), true";
    assert!(chromium.value::<bool>(ask).await);
    chromium
        .until("document.querySelector('#timeline pre')?.textContent.includes('order.created') === true")
        .await;

    let no_overflow = "document.documentElement.scrollWidth <= innerWidth \
         && [...document.querySelectorAll('.rows')].every((rows) => rows.scrollWidth <= rows.clientWidth)";
    for (hash, name) in [("", "order"), ("#/", "overview")] {
        if !hash.is_empty() {
            assert!(chromium.value::<bool>(&format!("location.hash = '{hash}', true")).await);
            chromium.until("!document.getElementById('overview').hidden").await;
            // The refused event is there to be looked at, words and all.
            chromium
                .until("document.querySelectorAll('#rejects tbody tr').length > 0")
                .await;
        }
        for (width, height, device) in [(390, 844, "phone"), (1440, 900, "desktop")] {
            for scheme in ["light", "dark"] {
                chromium.look_like(width, height, scheme).await;
                chromium
                    .until(&format!("innerWidth === {width} && {no_overflow}"))
                    .await;
                chromium.picture(&format!("{name}-{device}-{scheme}")).await;
            }
        }
    }
}

#[actix_rt::test]
async fn a_reader_whose_clock_is_wrong_sees_the_same_charts() {
    let database = TestDatabase::create().await;
    let node = TestProcess::start(database.url(), &["--node", "second of three"]).await;
    for hours in [7, -7] {
        let chromium = Chromium::start().await;
        chromium.clock_ahead(hours).await;
        chromium.open(&node.ops).await;
        chromium
            .until("document.getElementById('light').className === 'light green' && figures.rows.length >= 3")
            .await;
        let wrong = format!("Math.abs(Date.now() - page.state.at - {hours} * 3600e3) < 60e3");
        assert!(chromium.value::<bool>(&wrong).await, "the clock of the test is right");
        let ends_now = "Math.abs(charts.all[0].uplot.scales.x.max * 1000 - page.state.at) < 5000";
        chromium.until(ends_now).await;
        let today = "document.getElementById('light-since').textContent.length < 20";
        assert!(chromium.value::<bool>(today).await, "today is no date");
        let title: String = chromium.value("document.title").await;
        assert!(title.starts_with("second of three"), "{title}");
        assert_eq!(chromium.faults().await, Vec::<String>::new());
        chromium.end().await;
    }
}

#[actix_rt::test]
async fn a_page_that_is_left_open_comes_back_by_itself_and_does_not_grow() {
    let database = TestDatabase::create().await;
    database.client().await.batch_execute(CHATS).await.unwrap();
    let mut node = TestProcess::start(database.url(), &[]).await;
    let address = Forwarder::start(&node.ops).await;
    let chromium = Chromium::start().await;
    chromium.open(&address.url).await;
    chromium
        .until("document.getElementById('light').className === 'light green'")
        .await;
    chromium.until("figures.rows.length >= 3").await;

    // The node is killed, and another one takes its place.
    node.kill();
    chromium
        .until("document.getElementById('light-word').textContent.includes('No connection')")
        .await;
    let node = TestProcess::start(database.url(), &[]).await;
    address.forward_to(&node.ops);
    chromium
        .until("document.getElementById('light').className === 'light green'")
        .await;
    node.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    chromium.until("figures.sum('hooks.created') === 1").await;
    // What the page saw of the first node stays, with a hole between.
    assert!(
        chromium
            .value::<bool>("figures.rows[0][0] < page.hello.started_at")
            .await
    );

    // A node that stands still looks like one that is gone, and is found again, too.
    node.signal("STOP");
    chromium
        .until("document.getElementById('light-word').textContent.includes('No connection')")
        .await;
    node.signal("CONT");
    chromium
        .until("document.getElementById('light').className === 'light green'")
        .await;

    // A tab that its browser freezes in the background catches up when it is looked at again.
    chromium.frozen(true).await;
    let uptime = async || {
        let state: Value = node.ops("/api/state").await.json().await.unwrap();
        state["uptime_seconds"].as_u64().unwrap()
    };
    let began = uptime().await;
    node.accepted(with_lines("order.created", "H2", &[("A", "1")])).await;
    while uptime().await < began + 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seen: u64 = chromium.value("page.state.uptime_seconds").await;
    assert!(seen < began + 8, "the tab was not frozen: {began} {seen}");
    chromium.frozen(false).await;
    chromium
        .until(&format!(
            "document.getElementById('light').className === 'light green' && page.state.uptime_seconds >= {}",
            began + 10
        ))
        .await;
    chromium.until("figures.sum('hooks.created') === 2").await;

    // Hours of rows leave 15 minutes of them.
    let grown = "(() => { for (let i = 1; i <= 20000; i++) { const row = figures.rows[0].slice(); \
                 row[0] = Date.now() - 20000000 + i * 1000; figures.rows.unshift(row); } figures.trim(); return figures.rows.length; })()";
    assert!(chromium.value::<u64>(grown).await <= 1810);
    assert_eq!(
        chromium
            .value::<u64>("document.querySelectorAll('canvas').length")
            .await,
        6
    );
    assert_eq!(chromium.faults().await, Vec::<String>::new());
    chromium.end().await;
}
