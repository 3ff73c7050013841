//! The checker finds what is wrong: a genuine run is all zeros, and every way to falsify its ledger, its
//! database or the log of the Bot API is found out, as what it is.

use std::collections::BTreeMap;
use std::time::Duration;

use orderhook::cli::{Cli, Command as CliCommand};
use serde_json::json;
use tokio_postgres::Client;

use crate::fake_bot_api::{self, Accepted, FakeBotApi};
use crate::judge::judge;
use crate::ledger::Ledger;
use crate::nginx::until;
use crate::notices;
use crate::stage::{Cause, Done, chats, telegram_source};
use crate::support::app::{TOKEN, TestApp};
use crate::support::database::TestDatabase;
use crate::told::Told;

/// What was seen of a run without faults.
struct Evidence {
    database: TestDatabase,
    ledger: String,
    accepted: Vec<Accepted>,
}

/// How many entries each list of the checker has.
type Counts = BTreeMap<&'static str, usize>;

impl Evidence {
    /// Forty orders on one node.
    async fn gather() -> Self {
        let database = TestDatabase::create().await;
        let client = database.client().await;
        for (role, chat_id, store) in chats() {
            let subscribe = "INSERT INTO chats (store_id, role, chat_id) VALUES ($1, $2, $3)";
            client.execute(subscribe, &[&store, &role, &chat_id]).await.unwrap();
        }
        let bot = FakeBotApi::start_with(None);
        let url = bot.url();
        let flags = [
            "--telegram-token",
            fake_bot_api::TOKEN,
            "--telegram-api-url",
            &url,
            "--telegram-chat-pause",
            "10ms",
            "--telegram-per-second",
            "500",
            "--telegram-group-per-minute",
            "1000",
        ];
        let app = TestApp::start(database.url(), &flags).await;
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.jsonl");
        play(&app, ledger.to_str().unwrap()).await;
        let waiting = "SELECT count(*) FROM notices WHERE state <> 'sent'";
        until("everything is told", async || {
            client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
        let ledger = std::fs::read_to_string(ledger).unwrap();
        // When the node has ended, every answer is on record.
        drop(app);
        Self {
            database,
            ledger,
            accepted: bot.accepted(),
        }
    }

    /// The verdict on this ledger, this log, these faults, and the database after these statements.
    async fn verdict(&self, statements: &str, ledger: &str, accepted: &[Accepted], done: &[Done]) -> Counts {
        let client: Client = self.database.client().await;
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute(statements).await.unwrap();
        let wrong = judge(&client, Ledger::read(ledger)).await;
        let notices = notices::judge(&client, &chats(), &Told::of(accepted), done).await;
        client.batch_execute("ROLLBACK").await.unwrap();
        let lists = [
            ("missing", wrong.missing.len()),
            ("twice", wrong.twice.len()),
            ("stock", wrong.stock.len()),
            ("documents", wrong.documents.len()),
            ("lost", notices.lost.len()),
            ("unexplained", notices.unexplained.len()),
            ("strange", notices.strange.len()),
            ("explained", notices.doubled.values().map(Vec::len).sum()),
        ];
        lists.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    async fn after(&self, statements: &str) -> Counts {
        self.verdict(statements, &self.ledger, &self.accepted, &[]).await
    }
}

/// `orderhook sim`, by its own command line.
async fn play(app: &TestApp, ledger: &str) {
    use clap::Parser as _;
    let arguments = [
        "orderhook",
        "sim",
        "--orders",
        "40",
        "--seed",
        "3",
        "--prefix",
        "F-",
        "--time-scale",
        "100000",
        "--stores",
        "2",
        "--repeats",
        "20",
        "--cancel",
        "20",
        "--token",
        TOKEN,
        "--hook-url",
        &app.hooks,
        "--ops-url",
        &app.ops,
        "--ledger",
        ledger,
    ];
    let CliCommand::Sim(sim) = Cli::try_parse_from(arguments).unwrap().command else {
        panic!("not sim")
    };
    let mut table = Vec::new();
    sim.run(&mut table).await.unwrap();
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("documents that differ"), "{table}");
}

/// Names one event of one shipped order in a statement.
const AN_EVENT: &str = "(SELECT delivery_id FROM order_arrivals WHERE event = 'paid' AND outcome = 'applied' \
                        ORDER BY delivery_id LIMIT 1)";
const A_SHIPPED_ORDER: &str = "(SELECT min(order_id) FROM stock_movements)";

/// A statement that writes a value into the document of a shipped order.
fn in_document(path: &str, value: &str) -> String {
    format!(
        "UPDATE orders SET document = jsonb_set(document::jsonb, '{path}', '{value}')::text \
         WHERE order_id = {A_SHIPPED_ORDER}"
    )
}

#[actix_rt::test]
async fn every_falsification_is_found_out_as_what_it_is() {
    let evidence = Evidence::gather().await;
    assert_eq!(evidence.after("").await, Counts::new(), "a genuine run is all zeros");

    // Of the database: what must be told, and nothing that could not be.
    let falsified = [
        ("missing", format!("DELETE FROM order_arrivals WHERE delivery_id = {AN_EVENT}")),
        (
            "twice",
            format!(
                "INSERT INTO order_arrivals SELECT (x).* FROM (SELECT a #= hstore('delivery_id', gen_random_uuid()::text) \
                 AS x FROM order_arrivals a WHERE delivery_id = {AN_EVENT}) y"
            ),
        ),
        (
            "twice",
            "INSERT INTO orders SELECT (x).* FROM (SELECT o #= hstore(ARRAY['order_id', 'Z-1', 'number', '999999']) AS x \
             FROM orders o LIMIT 1) y"
                .to_owned(),
        ),
        (
            "stock",
            format!(
                "INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity, moved_at) \
                 SELECT order_id, line + 100, store_id, product_id, quantity, moved_at FROM stock_movements \
                 WHERE order_id = {A_SHIPPED_ORDER}"
            ),
        ),
        ("stock", format!("DELETE FROM stock_movements WHERE order_id = {A_SHIPPED_ORDER}")),
        (
            "stock",
            format!("UPDATE stock_movements SET quantity = quantity - 1 WHERE order_id = {A_SHIPPED_ORDER}"),
        ),
        (
            "documents",
            format!("UPDATE orders SET status = 'new', shipped_at = NULL WHERE order_id = {A_SHIPPED_ORDER}"),
        ),
        (
            "documents",
            format!("UPDATE orders SET total_price = total_price + 1 WHERE order_id = {A_SHIPPED_ORDER}"),
        ),
        (
            "documents",
            format!("UPDATE order_arrivals SET body = convert_to(convert_from(body, 'UTF8') || ' ', 'UTF8') WHERE delivery_id = {AN_EVENT}"),
        ),
        (
            "documents",
            "UPDATE order_arrivals SET outcome = 'ignored' WHERE event = 'changed' AND outcome = 'applied'".to_owned(),
        ),
        ("documents", format!("UPDATE orders SET number = '4711' WHERE order_id = {A_SHIPPED_ORDER}")),
        (
            "stock",
            "INSERT INTO stock_movements (order_id, line, store_id, product_id, quantity) VALUES ('Z-2', 1, '8001', 'A', -1)"
                .to_owned(),
        ),
        (
            "documents",
            format!("UPDATE orders SET delivery_to = delivery_to + interval '1 hour' WHERE order_id = {A_SHIPPED_ORDER}"),
        ),
        (
            "documents",
            format!(
                "UPDATE orders SET customer = customer || '{{\"phone\": \"+79000000099\"}}' \
                 WHERE order_id = {A_SHIPPED_ORDER}"
            ),
        ),
        (
            "documents",
            "UPDATE orders SET cancel_reason = 'nobody said so' \
             WHERE order_id = (SELECT min(order_id) FROM orders WHERE cancel_reason IS NOT NULL)"
                .to_owned(),
        ),
        // Of the document itself, of which readers have no column.
        ("documents", in_document("{window,from}", "\"2026-01-01T00:00:00+03:00\"")),
        ("documents", in_document("{shipping_method}", "\"by owl\"")),
        ("documents", in_document("{replacement_policy}", "\"whatever\"")),
        ("documents", in_document("{payment_methods}", "[\"Barter\"]")),
        ("documents", in_document("{assembly_due_at}", "\"2026-01-01T00:00:00Z\"")),
        ("documents", in_document("{lines,0,original_quantity}", "\"77\"")),
        ("documents", in_document("{lines,0,prices,total_price}", "1")),
        ("lost", "DELETE FROM notices WHERE notice_id = (SELECT min(notice_id) FROM notices)".to_owned()),
        ("lost", "UPDATE notices SET state = 'failed' WHERE notice_id = (SELECT max(notice_id) FROM notices)".to_owned()),
        (
            "lost",
            "UPDATE notices SET message_id = 1000000 WHERE notice_id = (SELECT max(notice_id) FROM notices)".to_owned(),
        ),
    ];
    let superuser = evidence.database.client().await;
    superuser.batch_execute("CREATE EXTENSION hstore").await.unwrap();
    let mut overlooked = Vec::new();
    for (list, statements) in falsified {
        let found = evidence.after(&statements).await;
        if !found.contains_key(list) || found.contains_key("missing") != (list == "missing") {
            overlooked.push(format!("{statements}: {found:?} and not {list}"));
        }
    }
    assert!(overlooked.is_empty(), "{overlooked:#?}");
}

#[actix_rt::test]
async fn a_ledger_and_a_log_that_say_something_else_are_found_out() {
    let evidence = Evidence::gather().await;

    // An acknowledged hook that nobody knows of, and one that was acknowledged as something else.
    let mut invented: serde_json::Value = serde_json::from_str(evidence.ledger.lines().next().unwrap()).unwrap();
    invented["request_id"] = json!("0123456789abcdef0123456789abcdef");
    let ledger = format!("{}{invented}\n", evidence.ledger);
    let found = evidence.verdict("", &ledger, &evidence.accepted, &[]).await;
    assert_eq!(found, Counts::from([("missing", 1)]));
    let numbered = evidence.ledger.replacen("\"number\":\"", "\"number\":\"9", 1);
    let found = evidence.verdict("", &numbered, &evidence.accepted, &[]).await;
    assert_eq!(found, Counts::from([("documents", 1)]));
    // What is stored and in no ledger.
    let shorter: String = evidence.ledger.lines().skip(1).flat_map(|line| [line, "\n"]).collect();
    let found = evidence.verdict("", &shorter, &evidence.accepted, &[]).await;
    assert!(found.contains_key("twice"), "{found:?}");

    // A message that Telegram never took.
    let mut fewer = evidence.accepted.clone();
    let message = fewer.remove(0);
    let found = evidence.verdict("", &evidence.ledger, &fewer, &[]).await;
    assert!(
        found.contains_key("lost") && !found.contains_key("unexplained"),
        "{found:?}"
    );

    // The same message once more: a double that only certain things explain.
    let sender = 1;
    let again = |is_answer_lost: bool| {
        let mut log = evidence.accepted.clone();
        log.insert(
            0,
            Accepted {
                message_id: 2_000_000,
                at: message.at - Duration::from_secs(5),
                from: Some(telegram_source(sender)),
                is_answer_lost,
                ..message.clone()
            },
        );
        log
    };
    let fault = |cause, before: u64, lasts: u64| {
        let from = message.at - Duration::from_secs(before);
        vec![Done {
            from,
            to: from + Duration::from_millis(lasts),
            what: "a fault",
            cause,
        }]
    };
    let is_explained = async |log: Vec<Accepted>, done: Vec<Done>| {
        let found = evidence.verdict("", &evidence.ledger, &log, &done).await;
        assert_eq!(found.len(), 1, "{found:?}");
        found.contains_key("explained")
    };
    assert!(!is_explained(again(false), Vec::new()).await);
    assert!(is_explained(again(true), Vec::new()).await);
    for (cause, before, lasts, expected) in [
        (Cause::Kill(sender), 3, 500, true),
        // Of another node, or at another time.
        (Cause::Kill(sender + 1), 3, 500, false),
        (Cause::Kill(sender), 60, 500, false),
        // It was dead before the first one was taken, and whoever has sent that one was started since.
        (Cause::Kill(sender), 8, 4000, false),
        (Cause::Freeze(sender), 3, 500, true),
        (Cause::Freeze(sender), 8, 4000, true),
        (Cause::Freeze(sender + 1), 3, 500, false),
        (Cause::CutOff(sender), 3, 500, true),
        (Cause::CutOff(sender), 8, 4000, true),
        (Cause::CutOff(sender + 1), 3, 500, false),
        (Cause::CutOff(sender), 60, 500, false),
        (Cause::TelegramCut, 5, 500, true),
        (Cause::TelegramCut, 60, 500, false),
        // Its connections had been reset long before.
        (Cause::TelegramCut, 9, 5000, false),
        (Cause::Other, 3, 500, false),
    ] {
        let found = is_explained(again(false), fault(cause, before, lasts)).await;
        assert_eq!(found, expected, "{cause:?} {before} s before, for {lasts} ms");
    }

    // A message of an order that has no notice.
    let mut stranger = message.clone();
    "№ 999999 🆕 новый заказ".clone_into(&mut stranger.visible);
    let log: Vec<_> = evidence.accepted.iter().cloned().chain([stranger]).collect();
    let found = evidence.verdict("", &evidence.ledger, &log, &[]).await;
    assert_eq!(found, Counts::from([("strange", 1)]));
}
