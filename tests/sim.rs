//! The simulator finds what is wrong, and nothing where all is well.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use orderhook::sim::{self, Progress, Report, Settings, Spelling};
use serde_json::json;
use support::app::{TOKEN, TestApp};
use support::database::TestDatabase;

fn settings(hook_url: &str, ops_url: &str) -> Settings {
    Settings {
        orders: 30,
        concurrency: 8,
        hook_url: hook_url.parse().unwrap(),
        ops_url: ops_url.parse().unwrap(),
        token: TOKEN.into(),
        seed: 7,
        prefix: "H-".to_owned(),
        spelling: Spelling::Both,
        cancel_percent: 20,
        overlap_percent: 0,
        repeat_percent: 0,
        time_scale: 1000,
        answer_limit: Duration::from_secs(5),
    }
}

async fn run(settings: &Settings) -> Report {
    sim::run(settings, &Progress::default()).await.unwrap()
}

#[actix_rt::test]
async fn the_service_passes_with_and_without_overlaps_and_repeats() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for (overlap, repeats) in [(0, 0), (30, 30), (100, 50)] {
        let settings = Settings {
            prefix: format!("H-{overlap}-"),
            overlap_percent: overlap,
            repeat_percent: repeats,
            ..settings(&app.hooks, &app.ops)
        };
        let report = run(&settings).await;
        assert!(report.is_good(), "{report}");
        assert_eq!(report.orders, 30);
        assert!(report.hooks >= 180);
        assert!(report.refused.is_empty(), "{report}");
    }
}

#[actix_rt::test]
async fn the_same_seed_plays_the_same_orders() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let settings = settings(&app.hooks, &app.ops);
    assert!(run(&settings).await.is_good());
    // Everything again: every hook is a repeat now, and nothing may change.
    let again = run(&settings).await;
    assert!(again.is_good(), "{again}");
}

/// A receiver that answers as `answer` says, and knows no order.
async fn receiver(
    answer: impl Fn(usize) -> HttpResponse + Clone + Send + 'static,
) -> (String, actix_web::dev::ServerHandle) {
    let count = Arc::new(AtomicUsize::new(0));
    let server = HttpServer::new(move || {
        let (answer, count) = (answer.clone(), Arc::clone(&count));
        App::new().default_service(web::to(move || {
            let response = answer(count.fetch_add(1, Ordering::Relaxed));
            async move { response }
        }))
    })
    .workers(1)
    .disable_signals()
    .bind("127.0.0.1:0")
    .unwrap();
    let url = format!("http://{}", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    actix_rt::spawn(server);
    (url, handle)
}

#[actix_rt::test]
async fn a_receiver_that_acknowledges_without_storing_is_found_out() {
    let (url, server) = receiver(|_| HttpResponse::Ok().json(json!({"status": "created", "number": "1"}))).await;
    let report = run(&settings(&url, &url)).await;
    assert_eq!(report.differing.len(), 30);
    assert!(!report.is_good());
    assert!(
        report.differing[0]
            .differences
            .iter()
            .any(|line| line.starts_with("status is")),
        "{report}"
    );
    assert!(
        report.differing[0]
            .differences
            .iter()
            .any(|line| line.contains("were acknowledged, 0 are stored"))
    );
    server.stop(false).await;
}

#[actix_rt::test]
async fn refusals_are_repeated_and_counted_and_a_lost_hook_is_told() {
    let (url, server) = receiver(|count| match count % 3 {
        0 => HttpResponse::ServiceUnavailable().finish(),
        _ => HttpResponse::Ok().json(json!({"status": "ok"})),
    })
    .await;
    let report = run(&Settings {
        orders: 5,
        ..settings(&url, &url)
    })
    .await;
    assert_eq!(report.refused.keys().collect::<Vec<_>>(), [&503]);
    assert_eq!(report.repeats, report.refused[&503]);
    assert_eq!(report.never_acknowledged, 0);
    server.stop(false).await;

    let (url, server) = receiver(|_| HttpResponse::TooManyRequests().finish()).await;
    let report = run(&Settings {
        orders: 1,
        ..settings(&url, &url)
    })
    .await;
    assert_eq!(report.never_acknowledged, 6);
    assert_eq!(report.refused[&429], 6 * 8, "the first try and seven repeats each");
    server.stop(false).await;
}

#[actix_rt::test]
async fn no_answer_within_the_limit_is_repeated() {
    let (url, server) =
        receiver(|_| HttpResponse::Ok().streaming(futures_util::stream::pending::<Result<_, actix_web::Error>>()))
            .await;
    let quick = Settings {
        orders: 1,
        answer_limit: Duration::from_millis(50),
        ..settings(&url, &url)
    };
    let report = run(&quick).await;
    assert_eq!(report.refused[&0], 6 * 8);
    server.stop(false).await;
}
