//! `orderhook sim` finds nothing wrong with the service, and everything that is wrong with others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "sim/contour.rs"]
mod contour;
#[path = "sim/receiver.rs"]
mod receiver;
#[path = "support/mod.rs"]
mod support;

use std::num::NonZeroUsize;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use orderhook::sim::{self, Progress, Report, Settings, Spellings};
use receiver::{Receiver, Says};
use support::app::{TOKEN, TestApp};
use support::database::TestDatabase;

fn settings(hook_url: &str, ops_url: &str) -> Settings {
    Settings {
        orders: Some(40),
        duration: None,
        rate: None,
        event_gap: Duration::from_secs(720),
        concurrency: NonZeroUsize::new(8).unwrap(),
        hook_url: vec![hook_url.parse().unwrap()],
        ops_url: vec![ops_url.parse().unwrap()],
        no_verify: false,
        token: TOKEN.into(),
        ops_token: String::new().into(),
        seed: Some(7),
        prefix: Some("H-".to_owned()),
        spelling: Spellings::Both,
        stores: 1,
        cancel: 20,
        overlap: 0,
        disorder: 0,
        repeats: 0,
        time_scale: 100_000,
        time_limit: Duration::from_secs(5),
        ledger: None,
    }
}

async fn run(settings: &Settings) -> Report {
    sim::run(settings, Arc::new(Progress::default())).await.unwrap()
}

#[actix_rt::test]
async fn the_service_stores_what_is_sent() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let report = run(&settings(&app.hooks, &app.ops)).await;
    assert!(report.passed(), "{report}");
    assert_eq!(
        (report.orders, report.repeats, report.unanswered),
        (40, 0, 0),
        "{report}"
    );
    assert!((4..=12).contains(&report.cancelled), "{report}");
    let whole = (report.orders - report.cancelled) * 6;
    assert!(
        (whole..whole + report.cancelled * 6).contains(&report.hooks),
        "{report}"
    );
}

#[actix_rt::test]
async fn the_service_stores_what_is_allowed_whatever_overlaps_and_repeats() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for (spelling, overlap, repeats) in [
        (Spellings::Both, 30, 30),
        (Spellings::D, 100, 100),
        (Spellings::K, 100, 100),
    ] {
        let settings = Settings {
            orders: Some(80),
            prefix: None,
            spelling,
            overlap,
            repeats,
            ..settings(&app.hooks, &app.ops)
        };
        let report = run(&settings).await;
        assert!(report.passed(), "{report}");
        assert!(report.repeats_of_acknowledged > 80, "{report}");
    }
}

#[actix_rt::test]
async fn a_wrong_token_brings_nothing_through() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let report = run(&Settings {
        orders: Some(2),
        token: "wrong".into(),
        ..settings(&app.hooks, &app.ops)
    })
    .await;
    assert!(!report.passed());
    // SM gives an order up with its created.
    assert_eq!((report.hooks, report.never_acknowledged), (2, 2), "{report}");
    assert_eq!(report.refused[&403], 2 * 8, "the first try and seven repeats each");
    assert_eq!(report.cancelled_by_sm, 2, "{report}");
    assert_eq!(report.events.len(), 1, "{report}");
    assert_eq!(report.events["created"].refused[&403], 16, "{report}");
    assert_eq!(
        report.differing, 0,
        "nothing was acknowledged, nothing is stored: {report}"
    );
    assert_eq!(
        report.lost[0].to_string(),
        "H-0000 created: refused with 403, after 8 tries"
    );
}

#[actix_rt::test]
async fn refusals_and_late_answers_are_repeated_and_counted() {
    let receiver = Receiver::start(|request| match request.number % 4 {
        0 => Says::Status(503),
        1 => Says::RightAfter(Duration::from_secs(1)),
        2 => Says::Status(429),
        _ => Says::Right,
    });
    let report = run(&Settings {
        orders: Some(4),
        concurrency: NonZeroUsize::MIN,
        time_limit: Duration::from_millis(100),
        ..settings(receiver.url(), receiver.url())
    })
    .await;
    assert_eq!(report.never_acknowledged, 0, "{report}");
    assert_eq!(report.refused[&503], report.hooks, "{report}");
    assert_eq!(report.refused[&429], report.hooks, "{report}");
    assert_eq!(report.unanswered, report.hooks, "{report}");
    assert_eq!(report.repeats, 3 * report.hooks, "{report}");
}

#[actix_rt::test]
async fn answer_times_are_those_of_the_receiver() {
    let receiver = Receiver::start(|request| {
        Says::RightAfter(Duration::from_millis(if request.event == "order.paid" {
            200
        } else {
            40
        }))
    });
    let report = run(&Settings {
        orders: Some(8),
        cancel: 0,
        ..settings(receiver.url(), receiver.url())
    })
    .await;
    let times = report.answer_time;
    assert!((40_000..150_000).contains(&times.p50_us), "{report}");
    assert!(times.p99_us >= 200_000 && times.max_us >= times.p99_us, "{report}");
}

#[actix_rt::test]
async fn a_hook_that_is_never_acknowledged_is_told() {
    let receiver = Receiver::start(|request| match request.event.as_str() {
        "order.paid" => Says::Status(500),
        _ => Says::Right,
    });
    let report = run(&Settings {
        orders: Some(1),
        cancel: 0,
        ..settings(receiver.url(), receiver.url())
    })
    .await;
    assert!(!report.passed());
    assert_eq!(
        (report.hooks, report.never_acknowledged, report.repeats),
        (6, 1, 7),
        "{report}"
    );
    assert!(
        report
            .to_string()
            .contains("H-0000 paid: refused with 500, after 8 tries"),
        "{report}"
    );
}

#[actix_rt::test]
async fn a_receiver_that_is_not_there_is_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let report = run(&Settings {
        orders: Some(1),
        ..settings(&url, &url)
    })
    .await;
    assert_eq!((report.broken, report.never_acknowledged), (8, 1), "{report}");
    assert!(
        report.differences[0].explanation.starts_with("it cannot be read back"),
        "{report}"
    );
}

#[actix_rt::test]
async fn a_receiver_that_acknowledges_without_storing_is_found_out() {
    let receiver = Receiver::start(|_| Says::Right);
    let report = run(&settings(receiver.url(), receiver.url())).await;
    assert_eq!((report.differing, report.never_acknowledged), (40, 0), "{report}");
    let explanation = &report.differences[0].explanation;
    assert!(explanation.contains("the order is unknown"), "{explanation}");
    assert!(
        explanation.contains("created: 1 acknowledged, 0 stored"),
        "{explanation}"
    );
    assert!(!explanation.contains('\n'));
}

/// Operations of the real service, hooks through somebody who keeps every paid to himself.
#[actix_rt::test]
async fn a_single_event_that_is_dropped_is_found_out() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let receiver = Receiver::in_front_of(&app.client, |request| match request.event.as_str() {
        "order.paid" => Says::Right,
        _ => Says::Forwarded,
    });
    let report = run(&Settings {
        cancel: 0,
        ..settings(receiver.url(), &app.ops)
    })
    .await;
    assert_eq!((report.differing, report.never_acknowledged), (40, 0), "{report}");
    let explanation = &report.differences[0].explanation;
    assert!(explanation.contains("paid: 1 acknowledged, 0 stored"), "{explanation}");
    assert!(explanation.contains("paid is false, expected true"), "{explanation}");
}

/// The service behind a network that loses answers: SM repeats what is stored already.
#[actix_rt::test]
async fn lost_answers_harm_no_order() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    // SM tries eight times. By its number alone one hook in 6 561 would lose its answer each time.
    let receiver = Receiver::in_front_of(&app.client, |request| match request.number % 3 {
        0 if request.seen_before < 5 => Says::ForwardedAndLost,
        _ => Says::Forwarded,
    });
    let report = run(&Settings {
        overlap: 30,
        repeats: 30,
        ..settings(receiver.url(), &app.ops)
    })
    .await;
    assert!(report.passed(), "{report}");
    assert!(report.repeats > 40 && report.refused[&502] > 40, "{report}");
}

#[actix_rt::test]
async fn the_command_ends_with_a_table_and_an_exit_code() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let command = |token: &'static str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orderhook"));
        command
            .args(["sim", "--orders", "3", "--time-scale", "100000"])
            .args(["--hook-url", &app.hooks, "--ops-url", &app.ops])
            .args(more)
            .env("ORDERHOOK_SIM_TOKEN", token);
        tokio::task::spawn_blocking(move || command.output().unwrap())
    };
    let output = command(TOKEN, &[]).await.unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    for row in [
        "orders",
        "hooks",
        "repeats",
        "never acknowledged",
        "answer time p99, ms",
    ] {
        assert!(table.lines().any(|line| line.starts_with(row)), "{row}: {table}");
    }
    assert!(
        table
            .lines()
            .any(|line| line.starts_with("documents that differ") && line.ends_with(" 0")),
        "{table}"
    );
    let output = command(TOKEN, &["--json"]).await.unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["orders"], &report["differing"]), (&3.into(), &0.into()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.json");
    let flags = [
        "--rate",
        "50",
        "--duration",
        "100ms",
        "--repeats",
        "0",
        "--report-json",
        path.to_str().unwrap(),
    ];
    let output = command(TOKEN, &flags).await.unwrap();
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["events"]["created"]["tries"], report["orders"]);
    let output = command("wrong", &[]).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
}
