//! What no compiler checks: sizes of files, who may depend on whom, documents that stay true.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file that is longer holds two things.
const MAX_LINES: usize = 400;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with this ending that git tracks, or would track.
fn files(ending: &str) -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            &format!("*.{ending}"),
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed
        .lines()
        .map(|name| root().join(name))
        .filter(|path| path.exists())
        .collect()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

#[test]
fn no_file_is_too_long_and_each_says_what_it_is() {
    for path in files("rs") {
        let text = read(&path);
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines", path.display());
        assert!(text.starts_with("//! "), "{} does not say what it is", path.display());
    }
}

#[test]
fn domain_depends_on_nothing_that_could_act() {
    let manifest = read("actors/domain/Cargo.toml");
    let dependencies = manifest
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let names: BTreeSet<&str> = dependencies
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && line.contains('='))
        .map(|line| line.split(['.', '=', ' ']).next().unwrap())
        .collect();
    let allowed = [
        "chrono",
        "jiter",
        "ring",
        "rust_decimal",
        "serde",
        "serde_json",
        "smol_str",
        "thiserror",
        "uuid",
    ];
    assert_eq!(names, BTreeSet::from(allowed));
    for path in files("rs")
        .iter()
        .filter(|path| path.starts_with(root().join("actors/domain/src")))
    {
        let text = read(path);
        let acts = [
            "Utc::now",
            "Instant::now",
            "SystemTime",
            "Local::now",
            "now_v7",
            "ring::rand",
            "SystemRandom",
        ];
        for act in acts {
            assert!(!text.contains(act), "{} reads a clock or chance: {act}", path.display());
        }
    }
}

#[test]
fn nobody_enables_floats_in_disguise() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--edges",
            "features",
            "--invert",
            "serde_json",
            "--locked",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    // It would change how numbers are read everywhere in the process.
    assert!(!String::from_utf8_lossy(&tree.stdout).contains("arbitrary_precision"));
}

#[test]
fn addresses_of_actors_stay_in_their_file() {
    for path in files("rs")
        .iter()
        .filter(|path| path.starts_with(root().join("actors/src")))
    {
        if !path.ends_with("mailbox.rs") {
            let text = read(path);
            assert!(
                !text.contains("Addr<") && !text.contains("do_send"),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let architecture = read("ARCHITECTURE.md");
    let invariants = architecture
        .split("## Invariants")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let sources: String = files("rs").iter().map(read).collect();
    let mut named = 0;
    for name in invariants
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains('_'))
    {
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
        named += 1;
    }
    assert!(named >= 15, "only {named} tests are named");
}

#[test]
fn migrations_are_numbered_through() {
    let mut numbers: Vec<u32> = fs::read_dir(root().join("sql/migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| {
            name.trim_start_matches('V')
                .split("__")
                .next()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    numbers.sort_unstable();
    assert!(
        numbers.iter().copied().eq(1..=u32::try_from(numbers.len()).unwrap()),
        "{numbers:?}"
    );
}

#[test]
fn the_readme_names_every_default_as_the_program_has_it() {
    let help = Command::new(env!("CARGO_BIN_EXE_orderhook"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let mut compared = 0;
    for row in read("README.md")
        .lines()
        .filter(|line| line.starts_with("| `ORDERHOOK_"))
    {
        let cells: Vec<&str> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (variable, default) = (cells[1], cells[2]);
        let described = help.split(&format!("[env: {variable}")).nth(1);
        assert!(described.is_some(), "{variable} is no setting");
        if default.chars().next().unwrap().is_ascii_digit() {
            let shown = described.unwrap().split("[env:").next().unwrap();
            assert!(shown.contains(&format!("[default: {default}]")), "{variable}: {shown}");
            compared += 1;
        }
    }
    assert!(compared >= 6, "{compared} defaults compared");
}
