//! The commands of an operator, as an operator types them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::process::{Command, Output};

use serde_json::Value;
use support::app::TestApp;
use support::database::TestDatabase;

/// Runs `orderhook` on this database.
fn orderhook(database: &TestDatabase, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_orderhook"))
        .args(arguments)
        .env("DATABASE_URL", database.url())
        .env("USER", "tester")
        .output()
        .unwrap()
}

/// Runs it and returns what it says; it must succeed.
fn says(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = orderhook(database, arguments);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it and returns its complaint; it must fail.
fn complains(database: &TestDatabase, arguments: &[&str]) -> String {
    let output = orderhook(database, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

const CREATED: &str = r#"{"event_type":"order.created","payload":{"originalOrderId":"H1","store_id":"8001",
    "positions":[{"id":"4100017","quantity":2,"price":"89.90"}]}}"#;

/// Cargo reads `.cargo/config.toml` only if it is started in this folder or below: built from elsewhere, the program
/// would be without its setting.
#[test]
fn the_allocator_was_built_to_ask_for_no_huge_pages() {
    let output = Command::new(env!("CARGO_BIN_EXE_orderhook"))
        .arg("--version")
        .env("_RJEM_MALLOC_CONF", "confirm_conf:true")
        .output()
        .unwrap();
    let settings = String::from_utf8(output.stderr).unwrap();
    assert!(settings.contains("Set conf value: thp:never"), "{settings}");
}

#[actix_rt::test]
async fn migrations_started_at_once_by_several_nodes_are_applied_once() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    client
        .batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        .await
        .unwrap();
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            Command::new(env!("CARGO_BIN_EXE_orderhook"))
                .args(["migrate", "--log", "error"])
                .env("DATABASE_URL", database.url())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let said: Vec<String> = nodes
        .into_iter()
        .map(|node| {
            let output = node.wait_with_output().unwrap();
            assert!(output.status.success());
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    assert_eq!(
        said.iter().filter(|said| !said.contains(", 0 migrations")).count(),
        1,
        "{said:?}"
    );
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(CREATED).await;
}

#[actix_rt::test]
async fn chats_are_added_listed_and_removed() {
    let database = TestDatabase::create().await;
    let chat = |command: &'static str| {
        [
            "chat",
            command,
            "--store",
            "8001",
            "--role",
            "pickers",
            "--chat-id",
            "-100123",
        ]
    };
    assert!(says(&database, &chat("add")).contains("chat -100123 is told about store 8001 as pickers"));
    assert!(says(&database, &chat("add")).contains("was told already"));
    let list = says(&database, &["chat", "list"]);
    assert!(
        list.contains("8001") && list.contains("-100123") && list.contains("enabled"),
        "{list}"
    );
    assert!(says(&database, &chat("remove")).contains("no more"));
    assert!(complains(&database, &chat("remove")).contains("is not told"));
    let blank = complains(
        &database,
        &["chat", "add", "--store", " ", "--role", "store", "--chat-id", "1"],
    );
    assert!(blank.contains("must not be blank"), "{blank}");
}

#[actix_rt::test]
async fn the_first_chat_receives_what_waits_of_open_orders_once() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(CREATED).await;
    app.accepted(CREATED.replace("H1", "H2")).await;
    app.accepted(r#"{"event_type":"order.delivered","payload":{"originalOrderId":"H2"}}"#)
        .await;
    let add = |role: &'static str| ["chat", "add", "--store", "*", "--role", role, "--chat-id", "77"];
    let said = says(&database, &add("pickers"));
    assert!(said.contains("1 notices of open orders"), "{said}");
    assert!(
        !says(&database, &add("store")).contains("notices of open orders"),
        "the chat has it already"
    );
    let client = database.client().await;
    let rows = client
        .query("SELECT order_id, role, state FROM notices WHERE chat_id = 77", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<_, &str>(0), "H1");
}

#[actix_rt::test]
async fn what_waits_for_a_removed_chat_waits_for_the_next_one() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    // Nobody sends: the rows stay as they are written.
    client
        .batch_execute(
            "INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, memory) VALUES ('H1', 1, '1', '8001', 'new', false, false, '{}'); \
             INSERT INTO chats (store_id, role, chat_id) VALUES ('8001', 'pickers', 1), ('8001', 'store', 2); \
             INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state) VALUES \
             (gen_random_uuid(), 'H1', '8001', 'pickers', 1, 'new', 'pending')",
        )
        .await
        .unwrap();
    says(
        &database,
        &[
            "chat",
            "remove",
            "--store",
            "8001",
            "--role",
            "pickers",
            "--chat-id",
            "1",
        ],
    );
    let row = client
        .query_one("SELECT state, chat_id FROM notices", &[])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, Option<i64>>(1)), ("no_chat", None));
}

#[actix_rt::test]
async fn a_removed_chat_takes_no_notice_with_it_that_the_others_were_not_told() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    // Chat 2 joined after H1 was committed, and has had H2.
    client
        .batch_execute(
            "INSERT INTO orders (order_id, version, number, store_id, status, closed, conflict, memory) VALUES \
             ('H1', 1, '1', '8001', 'new', false, false, '{}'), ('H2', 1, '2', '8001', 'new', false, false, '{}'); \
             INSERT INTO chats (store_id, role, chat_id) VALUES ('8001', 'pickers', 1), ('8001', 'pickers', 2); \
             INSERT INTO notices (delivery_id, order_id, store_id, role, chat_id, kind, state) VALUES \
             ('00000000-0000-0000-0000-000000000001', 'H1', '8001', 'pickers', 1, 'new', 'pending'), \
             ('00000000-0000-0000-0000-000000000002', 'H2', '8001', 'pickers', 1, 'new', 'pending'), \
             ('00000000-0000-0000-0000-000000000002', 'H2', '8001', 'pickers', 2, 'new', 'sent')",
        )
        .await
        .unwrap();
    says(
        &database,
        &[
            "chat",
            "remove",
            "--store",
            "8001",
            "--role",
            "pickers",
            "--chat-id",
            "1",
        ],
    );
    let rows = client
        .query(
            "SELECT order_id, state, chat_id FROM notices ORDER BY order_id, chat_id",
            &[],
        )
        .await
        .unwrap();
    let rows: Vec<(&str, &str, Option<i64>)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(
        rows,
        [
            ("H1", "no_chat", None),
            ("H2", "failed", Some(1)),
            ("H2", "sent", Some(2))
        ]
    );
}

#[actix_rt::test]
async fn received_goods_enter_once_and_leave_with_a_shipped_order() {
    let database = TestDatabase::create().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "store_id,product_id,quantity\n8001,4100017,10.5\n8001,9,1\n").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let path = path.as_str();
    assert!(says(&database, &["stock", "import", path]).contains("2 rows imported"));
    assert!(says(&database, &["stock", "import", path]).contains("already imported as import 1"));

    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(CREATED).await;
    for _ in 0..2 {
        app.accepted(r#"{"event_type":"order.received","payload":{"originalOrderId":"H1"}}"#)
            .await;
    }
    let shown = says(&database, &["stock", "show", "--store", "8001", "--product", "4100017"]);
    assert!(shown.lines().nth(1).unwrap().ends_with(" 8.5"), "{shown}");

    writeln!(file, "8001,9,minus one").unwrap();
    let wrong = complains(&database, &["stock", "import", path]);
    assert!(wrong.contains("line 4: quantity must be a decimal number"), "{wrong}");
}

#[actix_rt::test]
async fn an_order_is_shown_with_its_story() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(CREATED).await;
    app.accepted(r#"{"event_type":"order.paid","payload":{"originalOrderId":"H1"}}"#)
        .await;
    let shown = says(&database, &["order", "show", "H1"]);
    for part in [
        "status paid, closed to changes",
        "4100017",
        "at 89.90",
        "created       applied",
        "paid          applied",
    ] {
        assert!(shown.contains(part), "{part} is missing in\n{shown}");
    }
    let json: Value = serde_json::from_str(&says(&database, &["order", "show", "H1", "--json"])).unwrap();
    assert_eq!(json, app.order("H1").await);
    assert!(complains(&database, &["order", "show", "H404"]).contains("order H404 is unknown"));
}

#[actix_rt::test]
async fn a_rejected_body_is_found_and_played_again_after_the_rule_was_relaxed() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let (status, _) = app.send(CREATED.replace("89.90", "89,90")).await;
    assert_eq!(status, 400);
    // What a build with a stricter rule rejected, and this one would accept.
    let client = database.client().await;
    client
        .execute(
            "INSERT INTO order_arrivals (delivery_id, order_id, event, event_type, received_at, outcome, errors, node, body) \
             VALUES (gen_random_uuid(), 'H1', 'created', 'order.created', '2026-11-24T09:00:00Z', 'rejected', \
                     '[{\"field\": \"payload.comment\", \"message\": \"must be a string\"}]', 'older', $1)",
            &[&CREATED.as_bytes()],
        )
        .await
        .unwrap();

    let list = says(&database, &["journal", "list", "--outcome", "rejected,parked"]);
    assert_eq!(list.lines().count(), 2);
    assert!(
        list.contains("payload.positions[0].price: must be decimal digits"),
        "{list}"
    );
    let row = client
        .query_one("SELECT delivery_id::text FROM order_events WHERE node = 'older'", &[])
        .await
        .unwrap();
    let id: String = row.get(0);
    let shown = says(&database, &["journal", "show", &id]);
    assert!(shown.ends_with(&format!("{CREATED}\n")), "{shown}");

    let replayed = says(&database, &["journal", "replay", &id]);
    assert!(replayed.contains("order H1, applied, recorded as"), "{replayed}");
    let order = app.order("H1").await;
    assert_eq!(order["status"], "new");
    assert_eq!(
        order["created_at"], "2026-11-24T09:00:00Z",
        "the time of the first arrival"
    );
    let replay = order["events"]
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["replay_of"] == id)
        .unwrap();
    assert_eq!(replay["outcome"], "applied");
    let by: String = client
        .query_one("SELECT replayed_by FROM order_events WHERE replay_of IS NOT NULL", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(by, "tester");
    // The running node, whose actor knew nothing of the order, goes on from there.
    app.accepted(r#"{"event_type":"order.paid","payload":{"originalOrderId":"H1"}}"#)
        .await;
    assert_eq!(app.order("H1").await["status"], "paid");

    // A body that is still wrong is rejected again, and says so.
    let wrong = client
        .query_one(
            "SELECT delivery_id::text FROM order_events WHERE outcome = 'rejected' AND node <> 'older'",
            &[],
        )
        .await
        .unwrap();
    let output = orderhook(&database, &["journal", "replay", wrong.get(0)]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("rejected again"));
}

#[actix_rt::test]
async fn old_bodies_are_forgotten_and_their_entries_stay() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(CREATED).await;
    app.accepted(CREATED.replace("H1", "H2")).await;
    let client = database.client().await;
    let age = "UPDATE order_arrivals SET received_at = now() - interval '91 days' WHERE order_id = 'H1'";
    client.execute(age, &[]).await.unwrap();
    assert!(says(&database, &["journal", "prune"]).contains("1 bodies older than 90 days forgotten"));
    let kept = "SELECT order_id FROM order_events WHERE body IS NOT NULL";
    assert_eq!(client.query_one(kept, &[]).await.unwrap().get::<_, &str>(0), "H2");
    assert_eq!(app.order("H1").await["events"].as_array().unwrap().len(), 1);
}
