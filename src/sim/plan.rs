//! Which order does what, and what must come of it.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde::Serialize;

use super::Settings;
use super::body;

/// The two spellings of the protocol that are seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Spelling {
    /// `store_id`, `order.changed`, `order.cancelled`, no timestamps.
    D,
    /// `storeID`, `order.updated`, `order.canceled`, timestamps, addresses.
    K,
    /// Every second order in the other one.
    Both,
}

/// Goods of a store.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) price_kopecks: u32,
    /// Sold by weight, so that amounts have decimals.
    pub(super) weighed: bool,
}

const fn product(id: &'static str, name: &'static str, price_kopecks: u32, weighed: bool) -> Product {
    Product {
        id,
        name,
        price_kopecks,
        weighed,
    }
}

/// The store of spelling D and what it sells.
const STORE_D: (&str, &[Product]) = (
    "8001",
    &[
        product("4100017", "Молоко 3,2 % 930 мл", 8990, false),
        product("4100254", "Сыр полутвёрдый, 250 г", 34_900, false),
        product("4101118", "Йогурт с черникой, 140 г", 5450, false),
        product("2200015", "Бананы", 14_900, true),
    ],
);

/// The store of spelling K and what it sells.
const STORE_K: (&str, &[Product]) = (
    "57",
    &[
        product("ART-00031", "Молоко 2,5 % 0,9 л", 12_999, false),
        product("ART-00032", "Молоко 3,2 % 0,9 л", 13_499, false),
        product("ART-00077", "Сыр полутвёрдый, нарезка", 21_900, false),
        product("ART-00200", "Форель охлаждённая", 159_900, true),
    ],
);

/// One line of an order, amounts in thousandths of a unit.
#[derive(Debug, Clone)]
pub(super) struct PlannedLine {
    pub(super) product: &'static Product,
    pub(super) thousandths: u32,
    pub(super) ordered_thousandths: u32,
    pub(super) price_kopecks: u32,
    pub(super) replaced_by: Option<&'static str>,
}

/// One event of an order.
#[derive(Debug)]
pub(super) struct Step {
    /// The canonical event, as the history names it.
    pub(super) event: &'static str,
    pub(super) body: String,
    /// Sent before the previous event was answered.
    pub(super) overlaps: bool,
    /// Sent once more after it was acknowledged.
    pub(super) repeated: bool,
}

/// What is to be picked: SKU to amount, removed lines left out.
pub(super) type Composition = BTreeMap<String, String>;

/// One order with everything that happens to it.
#[derive(Debug)]
pub(super) struct OrderPlan {
    pub(super) order_id: String,
    pub(super) steps: Vec<Step>,
    pub(super) status: &'static str,
    /// More than one only where events overlapped: either order is right then.
    pub(super) compositions: Vec<Composition>,
    /// SKU to the price of a unit after paid, in roubles.
    pub(super) prices: BTreeMap<String, String>,
    /// The total after paid, in roubles; `None` when the order was never paid.
    pub(super) total: Option<String>,
}

impl OrderPlan {
    /// A random order of six events.
    pub(super) fn random(settings: &Settings, index: u32, random: &mut StdRng) -> Self {
        let dialect_k = match settings.spelling {
            Spelling::D => false,
            Spelling::K => true,
            Spelling::Both => index % 2 == 1,
        };
        let (store, products) = if dialect_k { STORE_K } else { STORE_D };
        let head = body::Head {
            order_id: format!("{}{index:05}", settings.prefix),
            store,
            dialect_k,
        };
        let created = random_lines(products, random);
        let first = changed_lines(&created, products, random);
        let second = changed_lines(&first, products, random);
        let mut paid = second.clone();
        for line in &mut paid {
            line.price_kopecks -= line.price_kopecks / 50;
        }
        let is_cancelled = random.random_range(0..100) < settings.cancel_percent;
        let name = |d: &'static str, k: &'static str| if dialect_k { k } else { d };
        let changed = name("order.changed", "order.updated");
        let mut events = vec![
            ("created", head.with_lines("order.created", 0, &created)),
            ("changed", head.with_lines(changed, 1, &first)),
            ("changed", head.with_lines(changed, 2, &second)),
        ];
        if is_cancelled {
            events.push(("informational", head.bare("courier.assigned", 3)));
            events.push(("informational", head.bare("courier.arrived", 4)));
            events.push((
                "cancelled",
                head.cancelled(name("order.cancelled", "order.canceled"), 5),
            ));
        } else {
            events.push(("paid", head.with_lines("order.paid", 3, &paid)));
            events.push(("received", head.bare("order.received", 4)));
            events.push(("delivered", head.bare("order.delivered", 5)));
        }
        let steps: Vec<Step> = events
            .into_iter()
            .enumerate()
            .map(|(position, (event, body))| Step {
                event,
                body,
                overlaps: position > 0 && random.random_range(0..100) < settings.overlap_percent,
                repeated: random.random_range(0..100) < settings.repeat_percent,
            })
            .collect();
        // Where a change met its neighbour in flight, either may have been judged first.
        let disordered = steps[1..4].iter().any(|step| step.overlaps);
        let ends = if disordered {
            vec![&created, &first, &second]
        } else {
            vec![&second]
        };
        Self {
            status: if is_cancelled { "cancelled" } else { "delivered" },
            compositions: ends.into_iter().map(|lines| composition(lines)).collect(),
            prices: if is_cancelled { BTreeMap::new() } else { prices(&paid) },
            total: (!is_cancelled).then(|| body::roubles(body::total_kopecks(&paid))),
            order_id: head.order_id,
            steps,
        }
    }
}

fn random_lines(products: &'static [Product], random: &mut StdRng) -> Vec<PlannedLine> {
    let count = random.random_range(1..=products.len());
    let mut chosen: Vec<&'static Product> = products.choose_multiple(random, count).collect();
    chosen.sort_by_key(|product| product.id);
    chosen
        .into_iter()
        .map(|product| {
            let thousandths = random_amount(product, random);
            PlannedLine {
                product,
                thousandths,
                ordered_thousandths: thousandths,
                price_kopecks: product.price_kopecks,
                replaced_by: None,
            }
        })
        .collect()
}

fn random_amount(product: &Product, random: &mut StdRng) -> u32 {
    if product.weighed {
        random.random_range(100..2000)
    } else {
        1000 * random.random_range(1..8)
    }
}

/// A full new list: another amount, a line replaced by one that was not there, or nothing new.
fn changed_lines(lines: &[PlannedLine], products: &'static [Product], random: &mut StdRng) -> Vec<PlannedLine> {
    let mut next = lines.to_vec();
    let position = random.random_range(0..next.len());
    let missing = products
        .iter()
        .find(|product| lines.iter().all(|line| line.product.id != product.id));
    match (random.random_range(0..3), missing) {
        (0, Some(product)) if next[position].thousandths > 0 => {
            let line = &mut next[position];
            let amount = random_amount(product, random);
            line.thousandths = 0;
            line.replaced_by = Some(product.id);
            next.push(PlannedLine {
                product,
                thousandths: amount,
                ordered_thousandths: amount,
                price_kopecks: product.price_kopecks,
                replaced_by: None,
            });
        }
        (1, _) => {}
        _ => {
            let line = &mut next[position];
            if line.replaced_by.is_none() {
                line.thousandths = random_amount(line.product, random);
            }
        }
    }
    next
}

fn composition(lines: &[PlannedLine]) -> Composition {
    let wanted = lines.iter().filter(|line| line.thousandths > 0);
    wanted
        .map(|line| (line.product.id.to_owned(), body::amount(line.thousandths)))
        .collect()
}

fn prices(lines: &[PlannedLine]) -> BTreeMap<String, String> {
    lines
        .iter()
        .map(|line| (line.product.id.to_owned(), body::roubles(line.price_kopecks.into())))
        .collect()
}
