//! The bodies of the hooks, with the keys and the kinds of values that SM sends in either spelling.

mod payload;

use chrono::{DateTime, TimeDelta, Utc};

use super::Spelling;
use super::plan::{CancelForm, Change, Event, Facts, Informational, Version};
use payload::{Address, Cancellation, Delivery, Hook, Payload, Person, Position, Total};

/// The body of one event. `said` is what the order says by then, `at` when SM says that it happened.
///
/// # Errors
/// Never in practice: everything in it can be written as JSON.
pub(super) fn write(
    facts: &Facts,
    event: Event,
    said: &Version,
    at: DateTime<Utc>,
) -> Result<String, serde_json::Error> {
    let bare = matches!(event, Event::Paid { bare: true } | Event::Cancelled(CancelForm::Bare));
    let mut payload = Payload::bare(facts);
    if !bare {
        payload.say_where(facts);
        if is_whole(facts.spelling, event) {
            payload.say_everything(facts, event, said);
        }
        payload.say_what_happened(facts, event, at);
    }
    serde_json::to_string(&Hook {
        event_type: name(facts.spelling, event),
        timestamp: (facts.spelling == Spelling::K && !bare).then(|| moscow(at)),
        payload,
    })
}

/// The name of an event in this spelling.
pub(super) const fn name(spelling: Spelling, event: Event) -> &'static str {
    match (event, spelling) {
        (Event::Created, _) => "order.created",
        (Event::Changed(_), Spelling::D) => "order.changed",
        (Event::Changed(_), Spelling::K) => "order.updated",
        (Event::Paid { .. }, _) => "order.paid",
        (Event::Received, _) => "order.received",
        (Event::Delivered, _) => "order.delivered",
        (Event::Cancelled(_), Spelling::D) => "order.cancelled",
        (Event::Cancelled(_), Spelling::K) => "order.canceled",
        (Event::Informational(Informational::CourierAssigned), _) => "courier.assigned",
        (Event::Informational(Informational::CourierArrived), _) => "courier.arrived",
        (Event::Informational(Informational::Assembled), _) => "order.assembled",
        (Event::Informational(Informational::Delivering), _) => "order.delivering",
    }
}

/// Whether the event carries the whole order.
const fn is_whole(spelling: Spelling, event: Event) -> bool {
    match event {
        Event::Created
        | Event::Changed(Change::Composition(_))
        | Event::Paid { bare: false }
        | Event::Cancelled(CancelForm::Whole)
        | Event::Informational(Informational::Assembled) => true,
        Event::Received | Event::Delivered => matches!(spelling, Spelling::D),
        _ => false,
    }
}

impl<'a> Payload<'a> {
    fn bare(facts: &'a Facts) -> Self {
        Self {
            original_order_id: &facts.order_id,
            ..Self::default()
        }
    }

    fn say_where(&mut self, facts: &'a Facts) {
        let store = facts.store_id.as_str();
        match facts.spelling {
            Spelling::D => self.store_id = Some(store),
            Spelling::K => {
                self.order_uuid = Some(format!("example-retailer:11111111-2222-4333-8444-{:012}", facts.index));
                self.store_id_in_camel_case = Some(store);
            }
        }
    }

    fn say_everything(&mut self, facts: &Facts, event: Event, said: &Version) {
        let in_second_spelling = facts.spelling == Spelling::K;
        self.customer = Some(Person {
            name: facts.customer,
            phone: phone(facts.index % 1000),
        });
        self.address = in_second_spelling.then(|| Address::of(facts.index));
        self.delivery = Some(Delivery::ordered(facts, in_second_spelling.then_some(true)));
        let assembled = event == Event::Informational(Informational::Assembled);
        self.positions = Some(
            said.sent(facts)
                .map(|line| Position::of(line, facts, assembled && in_second_spelling))
                .collect(),
        );
        self.total = Some(Total {
            total_price: said.total(),
            discount_total_price: said.discount_total(),
        });
        self.comment = Some(said.comment);
        self.replacement_policy = Some(facts.replacement_policy);
        match facts.spelling {
            Spelling::D => {
                self.payment_methods = Some(&["CashDesk", "SberGateway"]);
                self.shipping_method = Some("byCourier");
            }
            Spelling::K => {
                self.payment_methods = Some(&["SberGateway"]);
                self.shipment_method = Some("byCourier");
            }
        }
    }

    fn say_what_happened(&mut self, facts: &Facts, event: Event, at: DateTime<Utc>) {
        match event {
            Event::Changed(Change::Composition(_)) if facts.spelling == Spelling::K => self.kind = Some("positions"),
            Event::Changed(Change::Window) => {
                self.kind = Some("delivery");
                // The later the change, the later the delivery: no two windows are equal.
                self.delivery = Some(Delivery::from(at + TimeDelta::hours(6), None));
            }
            Event::Changed(Change::Method) => self.shipment_method = Some("pickup"),
            Event::Cancelled(CancelForm::Reason) => {
                self.number = Some(format!("DOM-{:06}", facts.index));
                self.cancellation_reason = Some("Передумал");
                self.cancellation = Some(Cancellation {
                    slug: "customer_request",
                    description: Some("Клиент передумал"),
                });
            }
            Event::Cancelled(CancelForm::UnknownSlug) => {
                self.cancellation = Some(Cancellation {
                    slug: "meteorite",
                    description: None,
                });
            }
            Event::Informational(Informational::CourierAssigned | Informational::CourierArrived) => {
                self.courier = Some(Person {
                    name: "Курьер Пример",
                    phone: phone(90),
                });
            }
            _ => {}
        }
    }
}

/// Phones that belong to nobody.
fn phone(number: u32) -> String {
    format!("+79000000{number:03}")
}

/// RFC 3339 to the second, in the offset that SM writes.
fn moscow(at: DateTime<Utc>) -> String {
    (at + TimeDelta::hours(3)).format("%Y-%m-%dT%H:%M:%S+03:00").to_string()
}

#[cfg(test)]
mod tests;
