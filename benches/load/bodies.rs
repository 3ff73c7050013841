//! What is sent: six events of one order, 1.5 KB and eight lines each, as ready requests.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// The events of an order, in their order.
pub(crate) const EVENTS: [&str; 6] = [
    "order.created",
    "order.changed",
    "order.changed",
    "order.paid",
    "order.received",
    "order.delivered",
];

/// The store whose chats are told.
pub(crate) const STORE: u32 = 8001;

/// Stands for the order id in a template; every id has the same length.
const PLACE: &str = "B0000000000";
const TOKEN: &str = "bench";

/// Stands for the time in a template, as nginx writes it: seconds since 1970 and three decimals.
const START: &str = "t=0000000000.000";

/// One event as a request whose order id can be replaced.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    request: Vec<u8>,
    /// Where the order id and the request id stand.
    places: [usize; 2],
    start_at: usize,
    body_from: usize,
}

impl Template {
    fn new(event: usize, lines: usize, store: u32) -> Self {
        let body = body(event, lines, store);
        // The request id is the order id and the event.
        let head = format!(
            "POST /sbermarket/orders/hook/ HTTP/1.1\r\nHost: bench\r\nClient-Token: {TOKEN}\r\n\
             Content-Type: application/json\r\nX-Request-Id: {event}{PLACE}\r\nX-Request-Start: {START}\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let request = format!("{head}{body}");
        let mut places = request.match_indices(PLACE).map(|(at, _)| at);
        let places = [places.next().unwrap(), places.next().unwrap()];
        Self {
            request: request.into_bytes(),
            places,
            start_at: head.find(START).unwrap(),
            body_from: head.len(),
        }
    }

    /// The request for this order, as nginx would pass it on now: each one is a delivery of its own.
    fn request(&mut self, request: u64, order: u64) -> &[u8] {
        for (place, number) in self.places.into_iter().zip([request, order]) {
            // As `order_id` writes it, in place: the generator must be cheap.
            write!(&mut self.request[place..place + PLACE.len()], "B{number:010}").unwrap();
        }
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let start = &mut self.request[self.start_at..self.start_at + START.len()];
        write!(&mut *start, "t={}.{:03}", millis / 1000, millis % 1000).unwrap();
        &self.request
    }

    /// The body for this order.
    fn body(&mut self, order: u64) -> &[u8] {
        self.request(order, order);
        &self.request[self.body_from..]
    }
}

/// The requests of one order after the other.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    templates: Vec<Template>,
}

impl Script {
    /// Orders of so many lines in the store that has chats.
    pub(crate) fn new(lines: usize) -> Self {
        Self::of_store(lines, STORE)
    }

    /// Orders of so many lines in a store.
    pub(crate) fn of_store(lines: usize, store: u32) -> Self {
        let template = |event| Template::new(event, lines, store);
        Self {
            templates: (0..EVENTS.len()).map(template).collect(),
        }
    }

    /// One request.
    pub(crate) fn request(&mut self, order: u64, event: usize) -> &[u8] {
        self.templates[event].request(order, order)
    }

    /// One more request about an order that has had this event before.
    pub(crate) fn request_again(&mut self, request: u64, order: u64, event: usize) -> &[u8] {
        self.templates[event].request(request, order)
    }

    /// Its body.
    pub(crate) fn body(&mut self, order: u64, event: usize) -> &[u8] {
        self.templates[event].body(order)
    }
}

/// The id of an order, always of the same length.
pub(crate) fn order_id(order: u64) -> String {
    format!("B{order:010}")
}

/// The token that every service of the bench accepts.
pub(crate) const fn token() -> &'static str {
    TOKEN
}

fn body(event: usize, lines: usize, store: u32) -> String {
    let mut positions = String::new();
    for line in 0..lines {
        let comma = if line == 0 { "" } else { "," };
        // Each change takes another line down by one.
        let quantity = if event >= 1 && line == 0 { 1 } else { 2 } + if event >= 2 && line == 1 { 1 } else { 0 };
        write!(
            positions,
            "{comma}{{\"id\":\"41000{line:03}\",\"originalQuantity\":2,\"quantity\":{quantity},\"price\":\"89.90\",\
             \"discountPrice\":\"79.90\",\"totalPrice\":\"179.80\",\"totalDiscountPrice\":\"159.80\",\"weight\":\"\"}}"
        )
        .unwrap();
    }
    format!(
        "{{\"event_type\":\"{}\",\"payload\":{{\"originalOrderId\":\"{PLACE}\",\"store_id\":\"{store}\",\
         \"customer\":{{\"name\":\"Тест Тестов\",\"phone\":\"+79000000001\"}},\
         \"delivery\":{{\"expectedFrom\":\"2026-03-01T15:00:00+03:00\",\"expectedTo\":\"2026-03-01T17:00:00+03:00\"}},\
         \"positions\":[{positions}],\"total\":{{\"totalPrice\":\"1438.40\",\"discountTotalPrice\":\"1278.40\"}},\
         \"comment\":\"Позвонить за час\",\"replacementPolicy\":\"callOrReplace\",\"paymentMethods\":[\"CardOnline\"]}}}}",
        EVENTS[event]
    )
}
