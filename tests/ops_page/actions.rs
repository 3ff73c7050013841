//! What an operator does is done, and recorded with who, when and what.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access::{OPS_TOKEN, request};
use crate::bodies::{bare, with_lines};
use crate::stream::Viewer;
use crate::support::app::{NodeClient, TestApp};
use crate::support::database::TestDatabase;

async fn act(client: &NodeClient, path: &str) -> (StatusCode, Value) {
    let asked = request(client, Method::POST, path)
        .bearer_auth(OPS_TOKEN)
        .header("X-Operator", "%D0%90%D0%BD%D0%BD%D0%B0");
    let response = asked.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn order(client: &NodeClient, id: &str) -> Value {
    let asked = request(client, Method::GET, &format!("/api/orders/{id}")).bearer_auth(OPS_TOKEN);
    asked.send().await.unwrap().json().await.unwrap()
}

/// Operator, action, subject, result, and whether the time is now.
async fn recorded(client: &tokio_postgres::Client) -> Vec<(String, String, String, Option<String>, bool)> {
    let statement = "SELECT operator, action, subject, result, acted_at BETWEEN now() - interval '1 minute' AND now() \
                     FROM ops_actions WHERE node <> '' ORDER BY action_id";
    let rows = client.query(statement, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
        .collect()
}

#[actix_rt::test]
async fn a_replay_is_judged_like_a_hook_and_recorded_with_its_operator() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &["--ops-token", OPS_TOKEN]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let paid = bare("order.paid", "H1");
    app.accepted(paid.clone()).await;
    let before = order(&app, "H1").await;
    let arrival = before["events"][1]["delivery_id"].as_str().unwrap().to_owned();

    let body = request(&app, Method::GET, &format!("/api/journal/{arrival}/body")).bearer_auth(OPS_TOKEN);
    let body = body.send().await.unwrap();
    assert_eq!(body.headers()["x-content-type-options"], "nosniff");
    assert!(
        body.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
    assert_eq!(body.bytes().await.unwrap(), paid.as_bytes());

    let (status, played) = act(&app, &format!("/api/journal/{arrival}/replay")).await;
    assert_eq!(
        (status, &played["outcome"]),
        (StatusCode::OK, &json!("duplicate")),
        "{played}"
    );
    assert_eq!(played["order_id"], "H1");
    let after = order(&app, "H1").await;
    let replay = &after["events"][2];
    assert_eq!(replay["delivery_id"], played["recorded_as"]);
    assert_eq!(
        (&replay["replay_of"], &replay["replayed_by"]),
        (&json!(arrival), &json!("Анна"))
    );
    assert_eq!(after["paid_at"], before["paid_at"]);

    // What cannot be played is told, and recorded, too.
    let client = database.client().await;
    let pruned: String = before["events"][0]["delivery_id"].as_str().unwrap().to_owned();
    client
        .execute(
            "UPDATE order_arrivals SET body = NULL WHERE delivery_id::text = $1",
            &[&pruned],
        )
        .await
        .unwrap();
    let unknown = "00000000-0000-7000-8000-000000000000";
    for (arrival, expected) in [(pruned.as_str(), 410), (unknown, 404)] {
        let (status, answer) = act(&app, &format!("/api/journal/{arrival}/replay")).await;
        assert_eq!((status.as_u16(), &answer["code"]), (expected, &json!(expected)));
    }
    assert_eq!(act(&app, "/api/journal/none/replay").await.0, StatusCode::NOT_FOUND);

    let row = |subject: &str, result: &str| {
        let texts = ["Анна", "replay", subject, result].map(str::to_owned);
        let [operator, action, subject, result] = texts;
        (operator, action, subject, Some(result), true)
    };
    assert_eq!(
        recorded(&client).await,
        [
            row(&arrival, "duplicate"),
            row(&pruned, "its body has been pruned"),
            row(unknown, "there is no such arrival"),
        ]
    );
    // And shown.
    let mut viewer = Viewer::open(&app, Some(OPS_TOKEN)).await;
    let found = viewer
        .until("attention", |found| found["actions"].as_array().unwrap().len() == 3)
        .await;
    assert_eq!(found["actions"][2]["operator"], "Анна");
    assert_eq!(found["actions"][2]["result"], "duplicate");
}

#[actix_rt::test]
async fn a_replay_is_recorded_to_its_end_although_the_operator_has_gone_away() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &["--ops-token", OPS_TOKEN]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;
    let arrival = order(&app, "H1").await["events"][0]["delivery_id"].clone();
    let holder = database.client().await;
    holder
        .batch_execute("BEGIN; SELECT FROM orders WHERE order_id = 'H1' FOR UPDATE")
        .await
        .unwrap();
    let path = format!("/api/journal/{}/replay", arrival.as_str().unwrap());
    let asked = request(&app, Method::POST, &path).bearer_auth(OPS_TOKEN);
    let operator = tokio::spawn(asked.header("X-Operator", "anna").send());
    let client = database.client().await;
    while app.metric("orderhook_mailbox_depth", &["persistence"]).await < 1.0 {
        tokio::task::yield_now().await;
    }
    operator.abort();
    assert_eq!(recorded(&client).await[0].3, None, "it is under way");
    holder.batch_execute("COMMIT").await.unwrap();
    while recorded(&client).await[0].3.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(recorded(&client).await[0].3.as_deref(), Some("duplicate"));
}

#[actix_rt::test]
async fn a_chat_that_is_enabled_gets_what_waited_for_it_and_the_operator_is_recorded() {
    let database = TestDatabase::create().await;
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO chats (store_id, role, chat_id, disabled_at, disabled_reason) VALUES \
                 ('8001', 'pickers', -100100, now(), 'bot was blocked'), ('57', 'store', -100100, now(), 'bot was blocked'), \
                 ('8001', 'store', -100200, NULL, NULL)",
        )
        .await
        .unwrap();
    let app = TestApp::start(database.url(), &["--ops-token", OPS_TOKEN]).await;
    app.accepted(with_lines("order.created", "H1", &[("A", "1")])).await;

    let (status, enabled) = act(&app, "/api/chats/-100100/enable").await;
    assert_eq!(
        (status, enabled),
        (StatusCode::OK, json!({"subscriptions": 2, "waiting": 1}))
    );
    let disabled = "SELECT count(*) FROM chats WHERE disabled_at IS NOT NULL OR disabled_reason IS NOT NULL";
    let disabled: i64 = client.query_one(disabled, &[]).await.unwrap().get(0);
    assert_eq!(disabled, 0);
    let told = async || {
        let notices = order(&app, "H1").await["notices"].clone();
        let sent = notices
            .as_array()
            .unwrap()
            .iter()
            .filter(|notice| notice["state"] == "sent")
            .count();
        sent == 2
    };
    while !told().await {
        tokio::task::yield_now().await;
    }
    // Nothing is left to enable: neither here nor of a chat that was never disabled or known.
    for chat in ["-100100", "-100200", "5", "x"] {
        let (status, answer) = act(&app, &format!("/api/chats/{chat}/enable")).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{chat} {answer}");
    }
    let operator = ("Анна".to_owned(), "enable_chat".to_owned(), "-100100".to_owned());
    let result = Some("2 subscriptions, 1 notices".to_owned());
    assert_eq!(
        recorded(&client).await,
        [(operator.0, operator.1, operator.2, result, true)]
    );
}
