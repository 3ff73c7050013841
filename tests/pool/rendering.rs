//! The script that writes nginx's configuration, and the one that nginx runs for every hook.

use std::process::Command;

use crate::nginx::render;

const NODES: (&str, &str) = (
    "ORDERHOOK_NGINX_NODES",
    "10.0.0.11:8080 [2001:db8::7]:8080 node-3.internal:8080",
);
const ALLOW: (&str, &str) = ("ORDERHOOK_NGINX_ALLOW", "203.0.113.0/24 2001:db8::/32");
const CERTIFICATE: (&str, &str) = ("ORDERHOOK_NGINX_CERTIFICATE", "/etc/ssl/certs/hooks.pem");
const KEY: (&str, &str) = ("ORDERHOOK_NGINX_KEY", "/etc/ssl/private/hooks.pem");
const DEADLINE: &str = "ORDERHOOK_ANSWER_DEADLINE";

fn rendered(settings: &[(&str, &str)]) -> String {
    let output = render(&[], settings);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Milliseconds of a directive.
fn milliseconds(configuration: &str, directive: &str) -> u64 {
    let value = configuration.split(&format!("    {directive} ")).nth(1).unwrap();
    value.split_once("ms;").unwrap().0.parse().unwrap()
}

#[test]
fn every_time_limit_comes_from_the_answer_deadline_and_two_tries_fit_into_5_s() {
    for (deadline, its_milliseconds) in [("50ms", 50), ("1s", 1_000), ("1500ms", 1_500), ("2s", 2_000)] {
        let text = rendered(&[NODES, ALLOW, CERTIFICATE, KEY, (DEADLINE, deadline)]);
        let [connect, send, read, next] = [
            "connect_timeout",
            "send_timeout",
            "read_timeout",
            "next_upstream_timeout",
        ]
        .map(|directive| milliseconds(&text, &format!("proxy_{directive}")));
        assert!(read > its_milliseconds, "the node answers first");
        assert!(
            next > connect + read,
            "after a try that ran into its limit there is another one"
        );
        // The last try begins within `next`, and then takes each of its limits. All that may begin anew when it
        // is known within 0.2 s that every node is passed over.
        let worst = 200 + next + connect + send + read;
        assert!(worst < 4_900, "SM waits 5 s");
        assert!(
            text.contains(&format!(" a hook is answered within {worst} ms,")),
            "{worst}"
        );
    }
    let by_default = rendered(&[NODES, ALLOW, CERTIFICATE, KEY]);
    assert_eq!(
        by_default,
        rendered(&[NODES, ALLOW, CERTIFICATE, KEY, (DEADLINE, "2s")])
    );
}

#[test]
fn every_node_and_every_source_is_in_it() {
    let text = rendered(&[NODES, ALLOW, CERTIFICATE, KEY]);
    for node in NODES.1.split(' ') {
        assert_eq!(text.matches(&format!("    server {node} ")).count(), 2, "{node}");
    }
    assert!(text.contains("    allow 203.0.113.0/24;\n    allow 2001:db8::/32;\n    deny all;\n"));
    assert!(text.contains("    listen 0.0.0.0:443 ssl;\n"));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let whole = [NODES, ALLOW, CERTIFICATE, KEY];
    for wrong in [
        ("ORDERHOOK_NGINX_NODES", ""),
        ("ORDERHOOK_NGINX_NODES", "10.0.0.11"),
        ("ORDERHOOK_NGINX_NODES", "10.0.0.11:8080;"),
        ("ORDERHOOK_NGINX_ALLOW", ""),
        ("ORDERHOOK_NGINX_ALLOW", "everybody"),
        ("ORDERHOOK_NGINX_LISTEN", "443"),
        ("ORDERHOOK_NGINX_CERTIFICATE", ""),
        ("ORDERHOOK_NGINX_KEY", "key with space.pem"),
        ("ORDERHOOK_NGINX_RATE", "0"),
        ("ORDERHOOK_NGINX_LOG", "/var/log/x.log; include /etc/passwd"),
        (DEADLINE, "2100ms"),
        (DEADLINE, "2"),
        (DEADLINE, "0s"),
    ] {
        let settings: Vec<_> = whole.iter().copied().chain([wrong]).collect();
        let output = render(&[], &settings);
        assert!(!output.status.success(), "{wrong:?}");
        assert!(
            output.stdout.is_empty() && output.stderr.starts_with(b"render.sh: "),
            "{wrong:?}"
        );
    }
    // Hooks carry the token and people's addresses.
    let in_the_clear = render(&[], &[NODES, ALLOW]);
    assert!(!in_the_clear.status.success());
    let on_this_machine = ("ORDERHOOK_NGINX_LISTEN", "127.0.0.1:8443");
    assert!(rendered(&[NODES, ALLOW, on_this_machine]).contains("    listen 127.0.0.1:8443;\n"));
}

#[test]
fn the_script_that_finds_the_order_passes_its_own_tests() {
    let tested = Command::new("node")
        .args([
            "--test",
            concat!(env!("CARGO_MANIFEST_DIR"), "/nginx/order_key.test.mjs"),
        ])
        .output()
        .expect("node is not installed; `make test` installs it (Debian)");
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
}
