//! The JSON of a hook. The keys stand in the order in which SM sends them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde::ser::Serializer;

use super::super::Spelling;
use super::super::catalogue::{Amount, Money};
use super::super::plan::{Facts, Line};
use super::moscow;

#[derive(Serialize)]
pub(super) struct Hook<'a> {
    pub(super) event_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<String>,
    pub(super) payload: Payload<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload<'a> {
    pub(super) original_order_id: &'a str,
    #[serde(rename = "orderUUID", skip_serializing_if = "Option::is_none")]
    pub(super) order_uuid: Option<String>,
    #[serde(rename = "store_id", skip_serializing_if = "Option::is_none")]
    pub(super) store_id: Option<&'a str>,
    #[serde(rename = "storeID", skip_serializing_if = "Option::is_none")]
    pub(super) store_id_in_camel_case: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) courier: Option<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) customer: Option<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivery: Option<Delivery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) positions: Option<Vec<Position>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<Total>,
    /// Sent as null when the customer said nothing, absent where the order is not sent whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<Option<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) replacement_policy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment_methods: Option<&'static [&'static str]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shipping_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shipment_method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cancellation_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cancellation: Option<Cancellation>,
}

#[derive(Serialize)]
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) phone: String,
}

#[derive(Serialize)]
pub(super) struct Address {
    full_address: String,
    city: &'static str,
    street: &'static str,
    building: String,
    apartment: String,
    floor: &'static str,
    entrance: &'static str,
    door_phone: String,
    delivery_to_door: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    pub(super) expected_from: String,
    pub(super) expected_to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_planned: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    id: &'static str,
    original_quantity: SentAmount,
    quantity: SentAmount,
    price: Money,
    discount_price: Money,
    #[serde(rename = "replacedByID")]
    replaced_by: &'static str,
    weight: String,
    total_price: Money,
    total_discount_price: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    marking_code: Option<[MarkingCode; 1]>,
}

/// One spelling writes whole amounts as `2.0`, the other as `2`.
struct SentAmount(Amount, Spelling);

impl Serialize for SentAmount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = self.0.to_string();
        if self.1 == Spelling::D && !text.contains('.') {
            text.push_str(".0");
        }
        // No float holds 0.742; the digits go out as they are.
        serde_json::value::RawValue::from_string(text)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[derive(Serialize)]
struct MarkingCode {
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Total {
    pub(super) total_price: Money,
    pub(super) discount_total_price: Money,
}

#[derive(Serialize)]
pub(super) struct Cancellation {
    pub(super) slug: &'static str,
    pub(super) description: Option<&'static str>,
}

impl Position {
    pub(super) fn of(line: &Line, facts: &Facts, marked: bool) -> Self {
        let product = line.product;
        let grams = u64::from(product.grams) * u64::from(line.quantity.0) / 1000;
        Self {
            id: product.id,
            original_quantity: SentAmount(line.original, facts.spelling),
            quantity: SentAmount(line.quantity, facts.spelling),
            price: line.price,
            discount_price: line.discount,
            replaced_by: line.replaced_by.unwrap_or_default(),
            weight: if grams == 0 { String::new() } else { grams.to_string() },
            total_price: line.price.of(line.quantity),
            total_discount_price: line.discount.of(line.quantity),
            name: product.name,
            marking_code: marked.then(|| {
                [MarkingCode {
                    value: format!("010460000000000021EXAMPLE{}", facts.index),
                }]
            }),
        }
    }
}

impl Address {
    pub(super) fn of(index: u32) -> Self {
        let (building, apartment) = ((index % 40 + 1).to_string(), (index % 90 + 1).to_string());
        Self {
            full_address: format!("Вымышленск, Тестовая улица, {building}"),
            city: "Вымышленск",
            street: "Тестовая улица",
            building,
            door_phone: apartment.clone(),
            apartment,
            floor: "2",
            entrance: "1",
            delivery_to_door: true,
        }
    }
}

impl Delivery {
    pub(super) fn ordered(facts: &Facts, is_planned: Option<bool>) -> Self {
        Self::from(facts.created_at + TimeDelta::hours(3), is_planned)
    }

    pub(super) fn from(at: DateTime<Utc>, is_planned: Option<bool>) -> Self {
        Self {
            expected_from: moscow(at),
            expected_to: moscow(at + TimeDelta::hours(1)),
            is_planned,
        }
    }
}
