//! What is logged, and what never is (invariant 7).

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bodies::{bare, fixture, with_lines};
use crate::fake_bot_api::{self, FakeBotApi, Fault, Scope, Times};
use crate::support::app::{TOKEN, TestProcess};
use crate::support::database::TestDatabase;

/// Everything that our own code can say.
const TALKATIVE: [&str; 2] = [
    "--log",
    "orderhook=trace,orderhook_actors=trace,orderhook_domain=trace,info",
];

/// Nothing here takes so long unless it is broken.
const BOUND: Duration = Duration::from_secs(60);

const OPS_TOKEN: &str = "ops-token-of-the-tests";

/// Each with what no line may hold of the fixtures and settings.
const SECRETS: [(&str, &str); 15] = [
    ("a token", TOKEN),
    ("the token of operations", OPS_TOKEN),
    ("a wrong token", "wrong-token"),
    ("the bot's token", fake_bot_api::TOKEN),
    ("the secret half of the bot's token", "AAFakeFake"),
    ("a name", "Пробирка"),
    ("another name", "Фикстуркин"),
    ("a phone", "79000000002"),
    ("another phone", "79000000001"),
    ("an address", "Вымышленск"),
    ("a comment", "Позвонить за 10"),
    ("a reason in words", "передумал"),
    ("a body", "originalOrderId"),
    ("a line of an order", "Молоко 2,5"),
    ("a part of a price that was refused", "199,99"),
];

/// A node with a bot, and a chat for every store.
async fn start(database: &TestDatabase, bot: &FakeBotApi, format: &str) -> TestProcess {
    let subscribe = "INSERT INTO chats (store_id, role, chat_id) VALUES ('*', 'pickers', 7)";
    database.client().await.execute(subscribe, &[]).await.unwrap();
    let url = bot.url();
    let telegram = ["--telegram-token", fake_bot_api::TOKEN, "--telegram-api-url", &url];
    let operations = ["--ops-token", OPS_TOKEN];
    let flags = [TALKATIVE.as_slice(), telegram.as_slice(), operations.as_slice()].concat();
    TestProcess::start_with_log(database.url(), &flags, format).await
}

/// From now on the database refuses this order for what is in it, and says so with the whole row.
async fn refuse(database: &TestDatabase, order_id: &str) {
    let refuse = format!("ALTER TABLE orders ADD CONSTRAINT refused CHECK (order_id <> '{order_id}')");
    database.client().await.batch_execute(&refuse).await.unwrap();
}

async fn everything_that_can_be_said(format: &str) -> String {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start_with(None);
    let mut node = start(&database, &bot, format).await;
    // What staff are told, what Telegram refuses for its markup, and what it does not take at all.
    bot.fail(Scope::All, Fault::CannotParse, Times::Next(1));
    node.accepted(fixture("k01-order-created-full.json")).await;
    bot.arrived(1, BOUND).await;
    bot.fail(Scope::All, Fault::CloseConnection, Times::Next(1));
    node.accepted(fixture("k02-order-updated-positions.json")).await;
    node.accepted(fixture("k11-order-canceled-reason.json")).await;
    bot.arrived(2, BOUND).await;
    // What is refused: by the reader, for its token, by the database.
    let (status, _) = node.send(fixture("n12-price-comma.json")).await;
    assert_eq!(status, 400);
    let wrong = node
        .http
        .post(format!("{}/sbermarket/orders/hook/", node.hooks))
        .header("Client-Token", "wrong-token");
    assert_eq!(wrong.body(bare("order.paid", "H1")).send().await.unwrap().status(), 403);
    let look = node.http.get(format!("{}/api/orders/H0000000201", node.ops));
    let look = look.bearer_auth(OPS_TOKEN).send().await.unwrap();
    assert_eq!(look.status(), 200);
    refuse(&database, "H0000000101").await;
    let (status, _) = node.send(fixture("d01-order-created-full.json")).await;
    assert_eq!(status, 503);
    // A bot that cannot be reached: the address of every call holds its token.
    drop(bot);
    node.accepted(with_lines("order.created", "H2", &[("A", "1")])).await;
    node.logs("a message was not sent and is tried again").await;
    node.logs("what staff say cannot be read now").await;
    node.ended_log()
}

async fn nothing_secret(format: &str) {
    let log = everything_that_can_be_said(format).await;
    for said in [
        "hook answered",
        "staff were told",
        "Telegram refuses a text",
        "an event cannot be stored",
    ] {
        assert!(log.contains(said), "{said:?} is not in the log:\n{log}");
    }
    for (what, secret) in SECRETS {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{what} was logged");
    }
}

#[actix_rt::test]
async fn nothing_personal_and_no_secret_is_ever_logged() {
    nothing_secret("json").await;
}

#[actix_rt::test]
async fn nothing_personal_and_no_secret_is_ever_logged_for_people_either() {
    nothing_secret("pretty").await;
}

fn lines(log: &str, message: &str) -> Vec<Value> {
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["message"] == message)
        .collect()
}

#[actix_rt::test]
async fn every_hook_is_one_line_with_order_event_outcome_and_duration() {
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start(database.url(), &[]).await;
    let hook = node.hook(fixture("d01-order-created-full.json"));
    hook.header("X-Request-Id", "0123456789abcdef").send().await.unwrap();
    node.accepted(bare("order.paid", "H0000000101")).await;
    let log = node.ended_log();
    let lines = lines(&log, "hook answered");
    assert_eq!(lines.len(), 2);
    let told = |line: &Value| ["order_id", "event", "outcome", "status"].map(|key| line[key].clone());
    assert_eq!(
        told(&lines[0]),
        [json!("H0000000101"), json!("created"), json!("applied"), json!(200)]
    );
    assert_eq!(
        told(&lines[1]),
        [json!("H0000000101"), json!("paid"), json!("applied"), json!(200)]
    );
    assert!(
        lines
            .iter()
            .all(|line| line["duration_us"].as_u64().is_some_and(|micros| micros > 0))
    );
    assert_eq!(lines[0]["request_id"], "0123456789abcdef");
    // By it the journal shows and replays what was sent.
    let stored = "SELECT delivery_id::text FROM order_events ORDER BY order_version";
    let stored = database.client().await.query(stored, &[]).await.unwrap();
    for (line, row) in lines.iter().zip(&stored) {
        assert_eq!(line["delivery_id"], row.get::<_, &str>(0));
    }
}

#[actix_rt::test]
#[expect(
    clippy::await_holding_lock,
    reason = "the thread that reads the log shall wait for it"
)]
async fn a_log_that_nobody_reads_holds_up_no_hook_and_loses_nothing_soon() {
    // Their lines are several times what a pipe holds.
    const HOOKS: usize = 1500;
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start(database.url(), &[]).await;
    let nobody_reads = node.unread_log();
    let hooks = async {
        for number in 0..HOOKS {
            node.accepted(bare("order.paid", &format!("H{number}"))).await;
        }
    };
    let answered = tokio::time::timeout(BOUND, hooks).await;
    assert!(answered.is_ok(), "hooks wait for the reader of the log");
    drop(nobody_reads);
    assert_eq!(lines(&node.ended_log(), "hook answered").len(), HOOKS);
}

#[actix_rt::test]
async fn a_hook_whose_caller_has_gone_away_leaves_its_line_and_is_stored_all_the_same() {
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start(database.url(), &["--answer-deadline", "4s"]).await;
    node.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let client = database.client().await;
    client
        .batch_execute("BEGIN; SELECT FROM orders WHERE order_id = 'H1' FOR UPDATE")
        .await
        .unwrap();
    let caller = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // What is closed so is torn down: a caller that only says nothing more may still read its answer.
    caller.set_linger(Some(Duration::ZERO)).unwrap();
    let address: std::net::SocketAddr = node.hooks.trim_start_matches("http://").parse().unwrap();
    caller.connect(&address.into()).unwrap();
    let body = bare("order.paid", "H1");
    let hook = format!(
        "POST /sbermarket/orders/hook/ HTTP/1.1\r\nHost: node\r\nClient-Token: {TOKEN}\r\nX-Request-Id: gone\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut caller = std::net::TcpStream::from(caller);
    caller.write_all(hook.as_bytes()).unwrap();
    while node.metric("orderhook_mailbox_depth", &["persistence"]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    drop(caller);
    node.logs("hook not answered: its caller has gone away").await;
    client.batch_execute("COMMIT").await.unwrap();
    while node.order("H1").await["paid_at"].is_null() {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.metric("orderhook_answers_late_total", &[]).await.to_string(), "1");
    let log = node.ended_log();
    let line = &lines(&log, "hook not answered: its caller has gone away")[0];
    let told = ["order_id", "event", "outcome"].map(|key| line[key].clone());
    assert_eq!(told, [json!("H1"), json!("paid"), json!("abandoned")]);
    assert_eq!(line["request_id"], "gone");
    assert!(line["duration_us"].as_u64().unwrap() > 0);
    assert_eq!(lines(&log, "hook answered").len(), 1, "{log}");
}

#[actix_rt::test]
async fn one_request_id_finds_the_answer_the_failed_commit_and_the_notice() {
    let database = TestDatabase::create().await;
    let bot = FakeBotApi::start_with(None);
    let mut node = start(&database, &bot, "json").await;
    let send = async |request_id: &str, order_id: &str| {
        let hook = node.hook(with_lines("order.created", order_id, &[("A", "1")]));
        hook.header("X-Request-Id", request_id).send().await.unwrap().status()
    };
    bot.fail(Scope::All, Fault::ServerError(500), Times::Next(1));
    assert_eq!(send("request-of-a-good-one", "H1").await, 200);
    bot.arrived(1, BOUND).await;
    node.logs("staff were told").await;
    refuse(&database, "H2").await;
    assert_eq!(send("request-of-a-bad-one", "H2").await, 503);
    let log = node.ended_log();
    // Each thing once, a failure too, and each with the request's id.
    let said = |request_id: &str| -> Vec<(String, String)> {
        log.lines()
            .filter(|line| line.contains(request_id))
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|line| {
                let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                (text("level"), text("message"))
            })
            .collect()
    };
    let expected = |lines: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(level, message): &(&str, &str)| ((*level).to_owned(), (*message).to_owned());
        lines.iter().map(owned).collect()
    };
    let mut good = said("request-of-a-good-one");
    // Telegram may be faster than the answer's own line.
    good.sort();
    assert_eq!(
        good,
        expected(&[
            ("INFO", "hook answered"),
            ("INFO", "staff were told"),
            ("WARN", "a message was not sent and is tried again"),
        ]),
        "{log}"
    );
    assert_eq!(
        said("request-of-a-bad-one"),
        expected(&[
            ("ERROR", "an event cannot be stored; SM will repeat it"),
            ("INFO", "hook answered"),
        ]),
        "{log}"
    );
    let told = &lines(&log, "staff were told")[0];
    assert_eq!((&told["order_ids"], &told["chat_id"]), (&json!("H1"), &json!(7)));
}

#[actix_rt::test]
async fn what_is_wrong_with_an_order_names_the_request_that_showed_it() {
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start(database.url(), &[]).await;
    node.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let other = node.hook(with_lines("order.created", "H1", &[("B", "1")]));
    other.header("X-Request-Id", "another-list").send().await.unwrap();
    let log = node.ended_log();
    let told = &lines(&log, "an order contradicts itself; staff may hold a wrong list")[0];
    let told = ["request_id", "order_id", "conflict"].map(|key| told[key].clone());
    assert_eq!(told, [json!("another-list"), json!("H1"), json!("created_composition")]);
}

#[actix_rt::test]
async fn a_batch_that_fails_names_the_requests_in_it() {
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start(database.url(), &[]).await;
    node.accepted(bare("order.paid", "H1")).await;
    let read_only = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', \
                     current_database()); END $$";
    let client = database.client().await;
    client.batch_execute(read_only).await.unwrap();
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    client.execute(others, &[]).await.unwrap();
    let hook = node.hook(bare("order.received", "H1")).header("X-Request-Id", "abc123");
    assert_eq!(hook.send().await.unwrap().status(), 503);
    let log = node.ended_log();
    let refused = lines(&log, "a batch was refused: the database is away");
    assert_eq!(refused.len(), 1, "{log}");
    assert_eq!(
        (&refused[0]["request_ids"], &refused[0]["rows"]),
        (&json!("abc123"), &json!(1))
    );
    let answered = lines(&log, "hook answered");
    let answered = answered.last().unwrap();
    assert_eq!(answered["outcome"], "unavailable");
    assert_eq!(answered["request_id"], "abc123");
}

#[actix_rt::test]
async fn an_order_id_cannot_forge_a_line() {
    let database = TestDatabase::create().await;
    let mut node = TestProcess::start_with_log(database.url(), &[], "pretty").await;
    let forged = "H1\n2026-11-24T11:40:05Z  INFO hook answered order_id=\"H2\"";
    node.accepted(with_lines("order.created", forged, &[("A", "1")])).await;
    // A contradiction is a line of its own.
    node.accepted(with_lines("order.created", forged, &[("B", "1")])).await;
    let log = node.ended_log();
    assert!(log.contains("an order contradicts itself"), "{log}");
    let forged = log.lines().find(|line| line.starts_with("2026-11-24T11:40:05Z"));
    assert_eq!(forged, None);
}
