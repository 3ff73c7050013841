//! What the simulated stores sell and who buys it. Everybody is invented.

use serde::Serialize;
use serde::ser::Serializer;

use super::Spelling;

/// Thousandths of a piece, a pack or a kilogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Amount(pub(super) u32);

impl Amount {
    pub(super) const ZERO: Self = Self(0);

    /// So many whole pieces.
    pub(super) const fn pieces(count: u32) -> Self {
        Self(count * 1000)
    }

    pub(super) const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// As the service shows it: without trailing zeros.
impl std::fmt::Display for Amount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:03}", self.0 / 1000, self.0 % 1000);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Kopecks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Money(pub(super) i64);

impl Money {
    /// The price of an amount, rounded half up to kopecks.
    pub(super) const fn of(self, amount: Amount) -> Self {
        Self((self.0 * amount.0 as i64 + 500) / 1000)
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(|amount| amount.0).sum())
    }
}

/// Roubles with two decimals.
impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Goods of a store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) id: &'static str,
    /// Sent in the second spelling only.
    pub(super) name: Option<&'static str>,
    /// Sold by the kilogram, not by the piece.
    pub(super) by_weight: bool,
    /// Of one piece or one unit of weight.
    pub(super) grams: u32,
    pub(super) price: Money,
    pub(super) discount: Money,
}

/// A kind of stores, and with it the spelling in which SM speaks of them.
#[derive(Debug)]
pub(super) struct Store {
    /// The first one; the others are counted up from it.
    first_id: u32,
    pub(super) products: &'static [Product],
}

const FIRST: Store = Store {
    first_id: 8001,
    products: &[
        Product {
            id: "4100017",
            name: None,
            by_weight: false,
            grams: 465,
            price: Money(8990),
            discount: Money(7990),
        },
        Product {
            id: "4100254",
            name: None,
            by_weight: true,
            grams: 1000,
            price: Money(34_900),
            discount: Money(34_900),
        },
        Product {
            id: "4101118",
            name: None,
            by_weight: false,
            grams: 250,
            price: Money(5450),
            discount: Money(4900),
        },
    ],
};

const SECOND: Store = Store {
    first_id: 57,
    products: &[
        Product {
            id: "ART-00031",
            name: Some("Молоко 2,5 % 0,9 л"),
            by_weight: false,
            grams: 900,
            price: Money(12_999),
            discount: Money(11_999),
        },
        Product {
            id: "ART-00077",
            name: Some("Сыр полутвёрдый, нарезка"),
            by_weight: false,
            grams: 180,
            price: Money(21_900),
            discount: Money(18_900),
        },
    ],
};

impl Spelling {
    /// The store whose orders SM sends in this spelling.
    pub(super) const fn store(self) -> &'static Store {
        match self {
            Self::D => &FIRST,
            Self::K => &SECOND,
        }
    }

    /// The id of the store with this number, counted from 0.
    pub(super) fn store_id(self, number: u32) -> String {
        (self.store().first_id + number).to_string()
    }
}

/// Who orders.
pub(super) const CUSTOMERS: [&str; 6] = [
    "Тестослав Фикстуркин",
    "Пробирка Ивановна Данных",
    "Демьян Образцов",
    "Эталония Примерова",
    "Макет Черновиков",
    "Имитация Петровна Нагрузкина",
];

/// What they ask for. The last two hold what a careless renderer stumbles over.
pub(super) const COMMENTS: [&str; 6] = [
    "Позвонить за 10 минут",
    "Оставить у двери",
    "Не звонить, ребёнок спит",
    "Молоко посвежее, пожалуйста",
    "Домофон <7>, ворота & калитка \"слева\"",
    "Спасибо 🙂\nЗаходите со двора",
];

/// What to do when goods are missing.
pub(super) const POLICIES: [&str; 4] = ["callOrRemove", "callOrReplace", "replace", "remove"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_money_are_exact_texts() {
        for (amount, text) in [(0, "0"), (2000, "2"), (742, "0.742"), (1500, "1.5"), (10_000, "10")] {
            assert_eq!(Amount(amount).to_string(), text);
        }
        assert_eq!(Money(8990).to_string(), "89.90");
        assert_eq!(Money(5).to_string(), "0.05");
        assert_eq!(Money(45_900).of(Amount(742)), Money(34_058));
    }
}
