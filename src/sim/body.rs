//! The bodies of the hooks, as real as SM's. The people in them are obviously invented.

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use serde_json::{Value, json};

use super::plan::PlannedLine;

/// What all events of an order share.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) order_id: String,
    pub(super) store: &'static str,
    pub(super) dialect_k: bool,
}

impl Head {
    /// An event with the whole payload.
    pub(super) fn with_lines(&self, event: &str, position: u32, lines: &[PlannedLine]) -> String {
        let mut payload = self.payload();
        let from = moscow(Utc::now() + TimeDelta::hours(2));
        let to = from + TimeDelta::hours(1);
        let total = roubles(total_kopecks(lines));
        payload["customer"] = if self.dialect_k {
            json!({"name": "Пробирка Ивановна Данных", "phone": "+79000000002"})
        } else {
            json!({"name": "Тестослав Фикстуркин", "phone": "+79000000001"})
        };
        payload["delivery"] = json!({"expectedFrom": from.to_rfc3339(), "expectedTo": to.to_rfc3339()});
        payload["positions"] = lines.iter().map(|line| self.position(line)).collect();
        payload["total"] = json!({"totalPrice": total, "discountTotalPrice": total});
        payload["replacementPolicy"] = json!("callOrReplace");
        payload["paymentMethods"] = json!(["SberGateway"]);
        if self.dialect_k {
            payload["address"] = json!({
                "full_address": "Вымышленск, Тестовая улица, 1", "city": "Вымышленск", "delivery_to_door": true
            });
            payload["comment"] = Value::Null;
            payload["shipmentMethod"] = json!("byCourier");
        } else {
            payload["comment"] = json!("Позвонить за 10 минут");
            payload["shippingMethod"] = json!("byCourier");
        }
        self.envelope(event, position, &payload)
    }

    /// An event with the order's ids only.
    pub(super) fn bare(&self, event: &str, position: u32) -> String {
        self.envelope(event, position, &self.payload())
    }

    /// A cancellation with its reason.
    pub(super) fn cancelled(&self, event: &str, position: u32) -> String {
        let mut payload = self.payload();
        payload["cancellation"] = json!({"slug": "customer_request", "description": "Клиент передумал"});
        self.envelope(event, position, &payload)
    }

    fn payload(&self) -> Value {
        if self.dialect_k {
            let uuid = format!("example-retailer:{}", self.order_id);
            json!({"originalOrderId": self.order_id, "orderUUID": uuid, "storeID": self.store})
        } else {
            json!({"originalOrderId": self.order_id, "store_id": self.store})
        }
    }

    fn position(&self, line: &PlannedLine) -> Value {
        let total = roubles(line_kopecks(line));
        let price = roubles(line.price_kopecks.into());
        let mut position = json!({
            "id": line.product.id,
            "originalQuantity": number(line.ordered_thousandths),
            "quantity": number(line.thousandths),
            "price": price,
            "discountPrice": price,
            "replacedByID": line.replaced_by.unwrap_or_default(),
            "weight": if line.product.weighed { line.thousandths.to_string() } else { String::new() },
            "totalPrice": total,
            "totalDiscountPrice": total,
        });
        if self.dialect_k {
            position["name"] = json!(line.product.name);
        }
        position
    }

    /// The times of spelling K are one second apart, so that their order is that of the plan.
    fn envelope(&self, event: &str, position: u32, payload: &Value) -> String {
        let mut body = json!({"event_type": event, "payload": payload});
        if self.dialect_k {
            let time = moscow(Utc::now()) + TimeDelta::seconds(position.into());
            body["timestamp"] = json!(time.to_rfc3339());
        }
        body.to_string()
    }
}

/// SM's times have Moscow's offset.
fn moscow(time: DateTime<Utc>) -> DateTime<FixedOffset> {
    let offset = FixedOffset::east_opt(3 * 60 * 60);
    offset.map_or_else(|| time.fixed_offset(), |offset| time.with_timezone(&offset))
}

/// An amount as the API shows it: no trailing zeros.
pub(super) fn amount(thousandths: u32) -> String {
    if thousandths.is_multiple_of(1000) {
        return (thousandths / 1000).to_string();
    }
    let decimals = format!("{:03}", thousandths % 1000);
    format!("{}.{}", thousandths / 1000, decimals.trim_end_matches('0'))
}

/// The same as a JSON number, by its text: no float in between.
fn number(thousandths: u32) -> Value {
    serde_json::from_str(&amount(thousandths)).unwrap_or(Value::Null)
}

/// Roubles with two decimals.
pub(super) fn roubles(kopecks: u64) -> String {
    format!("{}.{:02}", kopecks / 100, kopecks % 100)
}

fn line_kopecks(line: &PlannedLine) -> u64 {
    (u64::from(line.price_kopecks) * u64::from(line.thousandths) + 500) / 1000
}

/// The sum over the lines.
pub(super) fn total_kopecks(lines: &[PlannedLine]) -> u64 {
    lines.iter().map(line_kopecks).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_money_are_exact() {
        for (thousandths, text) in [(2000, "2"), (742, "0.742"), (1500, "1.5"), (0, "0")] {
            assert_eq!(amount(thousandths), text);
        }
        assert_eq!(number(742).to_string(), "0.742");
        assert_eq!(roubles(8990), "89.90");
        assert_eq!(roubles(5), "0.05");
    }
}
