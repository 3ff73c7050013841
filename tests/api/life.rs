//! The life of an order, in both spellings of the protocol.

use serde_json::{Value, json};

use crate::bodies::{composition, fixture};
use crate::support::app::TestApp;
use crate::support::database::TestDatabase;

fn marks(order: &Value) -> [bool; 5] {
    ["created_at", "paid_at", "shipped_at", "delivered_at", "cancelled_at"].map(|mark| !order[mark].is_null())
}

#[actix_rt::test]
async fn dialect_d_from_created_to_delivered() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let client = database.client().await;
    client
        .batch_execute(
            "INSERT INTO stock_movements (store_id, product_id, quantity) \
             VALUES ('8001', '4100017', 10), ('8001', '4100254', 10), ('8001', '4101118', 10)",
        )
        .await
        .unwrap();
    let id = "H0000000101";

    app.accepted(fixture("d01-order-created-full.json")).await;
    let order = app.order(id).await;
    assert_eq!((&order["status"], &order["closed"]), (&json!("new"), &json!(false)));
    assert_eq!(order["total"], json!({"price": "855.80", "discount_price": "802.80"}));
    assert_eq!(order["comment"], "Позвонить за 10 минут");
    assert_eq!(
        order["positions"][0],
        json!({"id": "4100017", "quantity": "2", "price": "89.90", "discount_price": "79.90", "replaced_by": null})
    );

    app.accepted(fixture("d03-order-changed.json")).await;
    let changed = composition(&app.order(id).await);
    assert_ne!(changed, composition(&order));

    app.accepted(fixture("d04-order-paid-prices-corrected.json")).await;
    let order = app.order(id).await;
    assert_eq!((&order["status"], &order["closed"]), (&json!("paid"), &json!(true)));
    assert_eq!(order["total"]["price"], "845.80");
    assert_eq!(order["positions"][1]["price"], "339.00");
    assert_eq!(composition(&order), changed, "paid corrects prices, never amounts");

    app.accepted(fixture("d05-order-received.json")).await;
    assert_eq!(app.order(id).await["status"], "shipped");
    app.accepted(fixture("d06-order-delivered.json")).await;
    let order = app.order(id).await;
    assert_eq!(order["status"], "delivered");
    assert_eq!(marks(&order), [true, true, true, true, false]);
    assert_eq!(order["conflict"], false);
    assert_eq!(order["version"], 5);
    let events: Vec<_> = order["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["event"])
        .collect();
    assert_eq!(events, ["created", "changed", "paid", "received", "delivered"]);

    // The goods left once, with the amounts of the moment.
    let moved = client
        .query(
            "SELECT product_id, (-quantity)::float8::text FROM stock_movements WHERE order_id = $1 ORDER BY line",
            &[&id],
        )
        .await
        .unwrap();
    let moved: Vec<(String, String)> = moved.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(moved, changed);
    for (product_id, quantity) in &moved {
        let balance: String = client
            .query_one(
                "SELECT (10 - quantity)::float8::text FROM stock_balances WHERE store_id = '8001' AND product_id = $1",
                &[product_id],
            )
            .await
            .unwrap()
            .get(0);
        assert_eq!(&balance, quantity, "{product_id}");
    }
}

#[actix_rt::test]
async fn dialect_k_from_created_to_delivered() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    let id = "H0000000201";
    for (name, status) in [
        ("k01-order-created-full.json", "new"),
        ("k02-order-updated-positions.json", "new"),
        ("k03-order-updated-delivery.json", "new"),
        ("k04-order-updated-shipment-method.json", "new"),
        ("k05-courier-assigned.json", "new"),
        ("k07-order-paid.json", "paid"),
        ("k06-courier-arrived.json", "paid"),
        ("k08-order-received.json", "shipped"),
        ("k09-order-delivering.json", "shipped"),
        ("k10-order-delivered.json", "delivered"),
    ] {
        app.accepted(fixture(name)).await;
        assert_eq!(app.order(id).await["status"], status, "{name}");
    }
    let order = app.order(id).await;
    assert_eq!(order["store_id"], "57");
    assert_eq!(
        composition(&order),
        [("ART-00031".into(), "2".into()), ("ART-00077".into(), "1".into())]
    );
    assert_eq!(order["comment"], Value::Null);
    let client = database.client().await;
    let row = client
        .query_one(
            "SELECT delivery_from = '2026-11-24T18:00:00+03', customer ->> 'phone', document::jsonb ->> 'shipping_method' \
             FROM orders WHERE order_id = $1",
            &[&id],
        )
        .await
        .unwrap();
    assert!(row.get::<_, bool>(0), "the partial change of the window alone");
    assert_eq!(
        row.get::<_, &str>(1),
        "+79000000002",
        "absent in the partial change, so kept"
    );
    let kinds: Vec<_> = order["notices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|notice| notice["kind"].clone())
        .collect();
    // No chat is subscribed: one row per role is kept for the first that will be.
    assert_eq!(kinds.iter().filter(|kind| *kind == "new").count(), 2);
    assert!(
        order["notices"]
            .as_array()
            .unwrap()
            .iter()
            .all(|notice| notice["state"] == "no_chat")
    );
}

#[actix_rt::test]
async fn a_cancelled_order_keeps_its_reason() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    app.accepted(fixture("k01-order-created-full.json")).await;
    app.accepted(fixture("k11-order-canceled-reason.json")).await;
    let order = app.order("H0000000201").await;
    assert_eq!(
        (&order["status"], &order["closed"]),
        (&json!("cancelled"), &json!(true))
    );
    let client = database.client().await;
    let reason: String = client
        .query_one("SELECT cancel_reason FROM orders", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(reason, "Клиент передумал");
    let cancelled = order["notices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|notice| notice["kind"] == "cancelled");
    assert_eq!(cancelled.count(), 2);
}

#[actix_rt::test]
async fn identifiers_and_texts_of_any_kind_come_back_as_sent() {
    let database = TestDatabase::create().await;
    let app = TestApp::start(database.url(), &[]).await;
    for name in [
        "i08-order-id-hostile.json",
        "t07-cyrillic-emoji-html.json",
        "t14-nul-in-comment.json",
    ] {
        let sent: Value = serde_json::from_slice(&fixture(name)).unwrap();
        app.accepted(fixture(name)).await;
        let id = sent["payload"]["originalOrderId"].as_str().unwrap();
        let order = app.order(id).await;
        assert_eq!(order["order_id"], id);
        let comment = sent["payload"]["comment"].as_str().unwrap().replace('\0', "");
        assert_eq!(order["comment"], comment, "{name}");
    }
}
