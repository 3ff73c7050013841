//! tmp
#![allow(missing_docs)]
use crate::db::Database;
use orderhook_actors::ports::StoreError;
use orderhook_domain::ids::OrderId;
#[derive(serde::Serialize)]
pub struct OrderView {
    order_id: String,
}
pub async fn order_view(_d: &Database, _o: &OrderId) -> Result<Option<OrderView>, StoreError> {
    Ok(None)
}
