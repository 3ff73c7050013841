//! One composition of an order, and how the next one comes of it.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::super::Spelling;
use super::super::catalogue::{Amount, COMMENTS, Money, Product};
use super::{Facts, pick};

/// One composition of an order. Every wanted line is sent with each of them, so that the last one
/// applied decides alone what the document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Version {
    pub(in super::super) lines: Vec<Line>,
    pub(in super::super) comment: Option<&'static str>,
}

/// One line. No SKU stands on two lines of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Line {
    pub(in super::super) product: &'static Product,
    pub(in super::super) original: Amount,
    pub(in super::super) quantity: Amount,
    pub(in super::super) price: Money,
    pub(in super::super) discount: Money,
    pub(in super::super) replaced_by: Option<&'static str>,
}

impl Version {
    pub(super) fn first(spelling: Spelling, random: &mut StdRng) -> Self {
        let mut products: Vec<&'static Product> = spelling.store().products.iter().collect();
        products.shuffle(random);
        products.truncate(random.random_range(1..=products.len()));
        Self {
            lines: products
                .into_iter()
                .map(|product| Line::ordered(product, product.draw_amount(random)))
                .collect(),
            comment: random.random::<bool>().then(|| pick(random, &COMMENTS)),
        }
    }

    /// The lines that a payload holds. A replaced line always says what replaces it.
    pub(in super::super) fn sent<'a>(&'a self, facts: &'a Facts) -> impl Iterator<Item = &'a Line> {
        self.lines
            .iter()
            .filter(|line| facts.lists_removed || !line.quantity.is_zero() || line.replaced_by.is_some())
    }

    pub(in super::super) fn total(&self) -> Money {
        self.lines.iter().map(|line| line.price.of(line.quantity)).sum()
    }

    pub(in super::super) fn discount_total(&self) -> Money {
        self.lines.iter().map(|line| line.discount.of(line.quantity)).sum()
    }

    /// Another version that differs from this one.
    pub(super) fn changed(&self, spelling: Spelling, random: &mut StdRng) -> Self {
        let mut next = self.clone();
        let wanted: Vec<usize> = (0..self.lines.len())
            .filter(|place| !self.lines[*place].quantity.is_zero())
            .collect();
        let unused: Vec<&'static Product> = spelling
            .store()
            .products
            .iter()
            .filter(|product| self.lines.iter().all(|line| line.product != *product))
            .collect();
        let mut kinds = vec![Edit::Amount, Edit::Amount];
        if wanted.len() > 1 {
            kinds.push(Edit::Remove);
        }
        if !unused.is_empty() {
            kinds.extend([Edit::Replace, Edit::Add]);
        }
        if self.comment.is_some() {
            kinds.push(Edit::Comment);
        }
        let line = &mut next.lines[pick(random, &wanted)];
        match pick(random, &kinds) {
            Edit::Amount => line.quantity = line.product.draw_other_amount(line.quantity, random),
            Edit::Remove => line.quantity = Amount::ZERO,
            Edit::Replace => {
                let product = pick(random, &unused);
                let amount = product.draw_amount(random);
                line.quantity = Amount::ZERO;
                line.replaced_by = Some(product.id);
                next.lines.push(Line::ordered(product, amount));
            }
            Edit::Add => {
                let product = pick(random, &unused);
                next.lines.push(Line::ordered(product, product.draw_amount(random)));
            }
            Edit::Comment => {
                let others: Vec<_> = COMMENTS.into_iter().filter(|it| self.comment != Some(it)).collect();
                next.comment = Some(pick(random, &others));
            }
        }
        next
    }

    /// At payment a price often turns out lower.
    pub(super) fn correct_a_price(&mut self, random: &mut StdRng) {
        let wanted: Vec<&mut Line> = self.lines.iter_mut().filter(|line| !line.quantity.is_zero()).collect();
        let chosen = random.random_range(0..wanted.len() * 2);
        // Half of the time no line is chosen.
        if let Some(line) = wanted.into_iter().nth(chosen) {
            line.price = Money(line.price.0 - 1000);
            line.discount = Money(line.discount.0 - 1000);
        }
    }
}

/// What a change does to the composition.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Amount,
    Remove,
    Replace,
    Add,
    Comment,
}

impl Line {
    const fn ordered(product: &'static Product, amount: Amount) -> Self {
        Self {
            product,
            original: amount,
            quantity: amount,
            price: product.price,
            discount: product.discount,
            replaced_by: None,
        }
    }
}

impl Product {
    fn draw_amount(&self, random: &mut StdRng) -> Amount {
        if self.by_weight {
            Amount(random.random_range(1..=6) * 250)
        } else {
            Amount::pieces(random.random_range(1..=6))
        }
    }

    /// Weighed goods never weigh what was ordered.
    fn draw_other_amount(&self, before: Amount, random: &mut StdRng) -> Amount {
        if self.by_weight {
            Amount(before.0 + random.random_range(1..250))
        } else if before > Amount::pieces(1) && random.random() {
            Amount(before.0 - 1000)
        } else {
            Amount(before.0 + 1000)
        }
    }
}
