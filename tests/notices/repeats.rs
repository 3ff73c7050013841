//! What may come twice says so, and is counted.

use serde_json::json;

use crate::fake_bot_api::{FakeBotApi, Fault, Scope, Times};
use crate::support::app::NodeClient;
use crate::support::database::TestDatabase;
use crate::{BOUND, all_sent, created, start, subscribe};

const MARK: &str = "возможно, повтор";

async fn repeated(app: &NodeClient) -> f64 {
    app.metric("orderhook_notices_total", &["\"repeated\""]).await
}

#[actix_rt::test]
async fn a_message_that_telegram_took_before_it_failed_comes_again_as_a_possible_repeat() {
    for (fault, comes_twice) in [
        (Fault::TakeThenError(502), true),
        (Fault::LoseAnswer, true),
        (Fault::ProxyError(504), false),
        (Fault::NoRights, false),
    ] {
        let database = TestDatabase::create().await;
        subscribe(&database, &[("8001", "pickers", 1), ("8001", "store", 1)]).await;
        let bot = FakeBotApi::start();
        bot.fail(Scope::Chat(1), fault, Times::Next(1));
        let app = start(&database, &bot).await;
        // The figures are those of the process, in which other tests run.
        let before = repeated(&app).await;
        app.accepted(created("H1", "8001")).await;
        let is_told = !matches!(fault, Fault::NoRights);
        if is_told {
            bot.arrived(1 + usize::from(comes_twice), BOUND).await;
        }
        all_sent(&database).await;
        let accepted = bot.accepted();
        assert_eq!(
            accepted.len(),
            usize::from(is_told) + usize::from(comes_twice),
            "{fault:?}"
        );
        assert_eq!(bot.accepted_twice(), usize::from(comes_twice));
        let marked = accepted.iter().filter(|message| message.visible.contains(MARK)).count();
        assert_eq!(marked, usize::from(is_told), "{fault:?}");
        assert!(!is_told || repeated(&app).await > before, "{fault:?}");
        assert_eq!(bot.limit_violations(), 0);
    }
}

#[actix_rt::test]
async fn a_long_text_in_pieces_of_which_one_fails_comes_again_as_a_possible_repeat() {
    let database = TestDatabase::create().await;
    subscribe(&database, &[("8001", "pickers", 1), ("8001", "store", 1)]).await;
    let bot = FakeBotApi::start();
    bot.fail(Scope::Chat(1), Fault::TooLongOver(600), Times::Always);
    let app = start(&database, &bot).await;
    let before = repeated(&app).await;
    let positions: Vec<_> = (0..40)
        .map(|number| json!({"id": format!("{}", 4_100_000 + number), "quantity": 1, "name": "Молоко пастеризованное"}))
        .collect();
    let payload = json!({"originalOrderId": "H1", "store_id": "8001", "positions": positions});
    app.accepted(json!({"event_type": "order.created", "payload": payload}).to_string())
        .await;
    bot.arrived(1, BOUND).await;
    bot.fail(Scope::Chat(1), Fault::ServerError(502), Times::Next(1));
    all_sent(&database).await;
    assert!(bot.accepted_twice() > 0, "the first piece");
    let told: Vec<String> = bot.messages(1).iter().map(|message| message.visible.clone()).collect();
    assert!(told.iter().any(|text| text.contains(MARK)), "{told:?}");
    assert!(repeated(&app).await > before);
    assert_eq!(bot.limit_violations(), 0);
}
