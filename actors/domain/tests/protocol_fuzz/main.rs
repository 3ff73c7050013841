//! Hostile bodies: a small corpus, and mutations of the fixtures for a bounded time.
//!
//! `ORDERHOOK_FUZZ_SECONDS` sets how long (3 by default), `ORDERHOOK_FUZZ_SEED` repeats a run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod check;
mod mutate;
mod tokens;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use check::check;
use orderhook_domain::protocol::parse;
use peak_alloc::PeakAlloc;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Counts what is allocated, for the whole process.
#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Held by each test from end to end: the allocator counts for all threads together.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The bodies of a folder next to this test, with their file names, in the order of the names.
fn bodies(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |file: PathBuf| {
        (
            file.file_name().unwrap().to_str().unwrap().to_owned(),
            fs::read(&file).unwrap(),
        )
    };
    files.into_iter().map(read).collect()
}

#[test]
fn every_body_of_the_corpus_gets_the_verdict_of_its_name() {
    let _alone = alone();
    let corpus = bodies("corpus");
    assert!(corpus.len() > 50);
    for (name, body) in corpus {
        check(&body).unwrap_or_else(|why| panic!("{name}: {why}"));
        let verdict = if parse(&body).is_ok() { "accept-" } else { "reject-" };
        assert!(name.starts_with(verdict), "{name}: {verdict}");
    }
}

/// Long bodies that are made to take as much memory as possible.
#[test]
fn the_greediest_bodies_stay_within_the_limits() {
    let _alone = alone();
    for (unit, before, after) in [
        (r#"{"id":1}"#, r#""positions":["#, "]"),
        ("null", r#""positions":["#, "]"),
        (r#""""#, r#""paymentMethods":["#, "]"),
        ("0", r#""paymentMethods":["#, "]"),
        ("{}", r#""customer":["#, "]"),
        ("{}", r#""customer":{"a":["#, "]}"),
        (r#"{"":{}}"#, r#""address":{"a":["#, "]}"),
        (r#""customer":{"a":[{"":{}},{"":0},{},{},{}]}"#, "", ""),
        (r#""comment":"a\u0000b""#, "", ""),
        (r#""\u0000":0"#, r#""address":{"#, "}"),
        ("\\n", r#""comment":""#, "\""),
        ("\\n", r#""a":{""#, "\":0}"),
        ("\\n", r#"""#, "\":0"),
        (r#""positions":7"#, "", ""),
        (r#""delivery":{"expectedFrom":1}"#, "", ""),
    ] {
        let joint = if unit.starts_with('\\') { unit } else { "," };
        let units = vec![unit; 32 * 1024 / (unit.len() + joint.len())].join(joint);
        let payload = format!(r#"{{"originalOrderId":"H1",{before}{units}{after}}}"#);
        for event in ["order.paid", "order.teleported"] {
            for body in [
                format!(r#"{{"event_type":"{event}","payload":{payload}}}"#),
                format!(r#"{{"payload":{payload},"event_type":"{event}"}}"#),
            ] {
                check(body.as_bytes()).unwrap_or_else(|why| panic!("{unit}: {why}"));
            }
        }
    }
}

#[test]
fn no_mutation_of_a_body_breaks_the_reader() {
    let _alone = alone();
    let seconds = env::var("ORDERHOOK_FUZZ_SECONDS").map_or(3, |seconds| seconds.parse().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let seed: u64 = env::var("ORDERHOOK_FUZZ_SEED").map_or(now, |seed| seed.parse().unwrap());

    let mut seeds: Vec<Vec<u8>> = bodies("fixtures").into_iter().map(|(_, body)| body).collect();
    seeds.extend(bodies("corpus").into_iter().map(|(_, body)| body));
    let config = Config {
        cases: 256,
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..Config::default()
    };

    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut cases, mut accepted) = (0_u64, 0_u64);
    while Instant::now() < end {
        // A runner counts its cases once and for all, so every round has its own.
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&cases.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &key);
        let mut runner = TestRunner::new_with_rng(config.clone(), rng);
        let counts = Cell::new((0, 0));
        let outcome = runner.run(&mutate::strategy(), |mutations| {
            let body = mutate::apply(&seeds, &mutations);
            let was_accepted = check(&body).map_err(|why| {
                let shown: String = body.escape_ascii().to_string().chars().take(4_000).collect();
                TestCaseError::fail(format!("{why}, in the body {shown}"))
            })?;
            let (cases, accepted) = counts.get();
            counts.set((cases + 1, accepted + u64::from(was_accepted)));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("ORDERHOOK_FUZZ_SEED={seed} after {cases} cases: {error}"));
        cases += counts.get().0;
        accepted += counts.get().1;
    }
    println!("{cases} bodies, {accepted} of them accepted, seed {seed}");
    assert!(
        accepted > 0 && accepted < cases,
        "the mutations are too tame or too wild: {accepted} of {cases}"
    );
}
