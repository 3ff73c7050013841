//! What the database holds of every order when all is over, and what a node and operations make of it.

use std::sync::Arc;

use orderhook::db::order_store::PostgresOrderStore;
use orderhook_actors::ports::OrderStore;
use serde_json::Value;

use crate::domain::show;
use crate::plan;
use crate::rows::{self, Loaded, Stored};
use crate::support::database::TestDatabase;

/// Reads every order of the plan; `shown` is what operations were told of each.
pub(crate) async fn read(database: &TestDatabase, shown: Vec<Option<Value>>) -> Vec<Stored> {
    let ids: Vec<_> = (0..shown.len()).map(plan::order_id).collect();
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut all = rows::read(&database.client().await, &texts).await;
    let store = PostgresOrderStore::new(database.open(), Arc::from("reader"));
    for ((stored, shown), id) in all.iter_mut().zip(shown).zip(&ids) {
        let order = store.load(id).await.unwrap();
        stored.loaded = Some(Loaded(order.as_ref().and_then(show::view)));
        stored.shown = shown;
    }
    all
}

/// Waits until no statement of a node is under way: one that was killed leaves its last ones behind.
pub(crate) async fn quiet(database: &TestDatabase) {
    let client = database.client().await;
    let under_way = "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND application_name LIKE 'orderhook node-%'";
    while client.query_one(under_way, &[]).await.unwrap().get::<_, i64>(0) > 0 {
        tokio::task::yield_now().await;
    }
}
