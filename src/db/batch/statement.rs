//! The statements of `commit_batch.sql`: with only the parts that a batch needs, and for a commit that is alone.

use std::fmt::Write as _;
use std::sync::LazyLock;

use super::{ArrivalRow, OrderRow};

/// A column and its type in the database.
pub(super) type Column = (&'static str, &'static str);

const COMMIT_BATCH: &str = include_str!("../../../sql/queries/commit_batch.sql");

/// What a batch has, and its statement must be able to do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Parts {
    pub(super) new_orders: bool,
    pub(super) known_orders: bool,
    pub(super) stock: bool,
    pub(super) notices: bool,
}

impl Parts {
    /// Every combination has a number.
    const COMBINATIONS: usize = 16;

    const fn number(self) -> usize {
        self.new_orders as usize
            | (self.known_orders as usize) << 1
            | (self.stock as usize) << 2
            | (self.notices as usize) << 3
    }

    const fn of_number(number: usize) -> Self {
        Self {
            new_orders: number & 1 != 0,
            known_orders: number & 2 != 0,
            stock: number & 4 != 0,
            notices: number & 8 != 0,
        }
    }

    /// The statement for a batch. Its parameters are arrivals and the node, then of what there is any: new orders,
    /// known orders, stock, notices together with the stores of which staff are told something.
    pub(super) fn statement(self) -> &'static str {
        static STATEMENTS: LazyLock<[String; Parts::COMBINATIONS]> =
            LazyLock::new(|| std::array::from_fn(|number| Parts::of_number(number).make()));
        &STATEMENTS[self.number()]
    }

    /// The statement for one commit of an order. Its parameters are the columns of the arrival, those of the order
    /// and the node, then stock if there is any, then the kind of the notice.
    pub(super) fn statement_for_one(self) -> &'static str {
        static STATEMENTS: LazyLock<[String; Parts::COMBINATIONS]> =
            LazyLock::new(|| std::array::from_fn(|number| Parts::of_number(number).make_for_one()));
        &STATEMENTS[self.number()]
    }

    /// `commit_batch.sql` without the parts that are not wanted. Its parameters still have names.
    fn wanted(self) -> String {
        let mut is_wanted = true;
        // What somebody reads who asks the server what it is doing.
        let mut statement = String::from("/* group commit */\n");
        for line in COMMIT_BATCH.lines() {
            match line {
                "-- only with new orders" => is_wanted = self.new_orders,
                "-- only with known orders" => is_wanted = self.known_orders,
                "-- only with both" => is_wanted = self.new_orders && self.known_orders,
                "-- only with stock" => is_wanted = self.stock,
                "-- only with notices" => is_wanted = self.notices,
                "-- end" => is_wanted = true,
                comment if comment.trim_start().starts_with("--") => {}
                line if is_wanted => {
                    statement.push_str(line);
                    statement.push('\n');
                }
                _ => {}
            }
        }
        statement
    }

    fn make(self) -> String {
        let parameters = [
            ("$arrivals", true),
            ("$node", true),
            ("$new_orders", self.new_orders),
            ("$known_orders", self.known_orders),
            ("$stock", self.stock),
            ("$notices", self.notices),
            ("$stores", self.notices),
        ];
        // Numbers of parameters have no gaps.
        let used = (1..).zip(parameters.iter().filter(|(_, is_used)| *is_used));
        used.fold(self.wanted(), |statement, (number, (name, _))| {
            statement.replace(name, &format!("${number}"))
        })
    }

    /// Where rows are unnested there is one, of single values; stock excepted, of which it has one for each line.
    fn make_for_one(self) -> String {
        let first_of_order = 1 + ArrivalRow::COLUMNS.len();
        let node = first_of_order + OrderRow::COLUMNS.len();
        let kind = node + 1 + usize::from(self.stock);
        let arrival = format!("(SELECT {})", values(1, ArrivalRow::COLUMNS));
        let order = format!("(SELECT {})", values(first_of_order, OrderRow::COLUMNS));
        let order_column = |name: &str| parameter(first_of_order, OrderRow::COLUMNS, name);
        let (delivery_id, order_id, store_id) = (
            parameter(1, ArrivalRow::COLUMNS, "delivery_id"),
            order_column("order_id"),
            order_column("store_id"),
        );
        let notice = format!(
            "(SELECT {delivery_id} AS delivery_id, {order_id} AS order_id, {store_id} AS store_id, ${kind}::text AS kind)"
        );
        self.wanted()
            .replace("unnest($arrivals::group_commit_event[])", &arrival)
            .replace("unnest($new_orders::group_commit_order[])", &order)
            .replace("unnest($known_orders::group_commit_order[])", &order)
            .replace("unnest($notices::group_commit_notice[])", &notice)
            .replace("unnest($stores::text[])", &format!("(SELECT {store_id})"))
            .replace("$node", &format!("${node}"))
            .replace("$stock", &format!("${}", node + 1))
    }
}

/// Parameters from this number on as the values of these columns.
fn values(first: usize, columns: &[Column]) -> String {
    let mut values = String::new();
    for (number, (name, database_type)) in (first..).zip(columns) {
        let separator = if number == first { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(values, "{separator}${number}::{database_type} AS {name}");
    }
    values
}

/// The parameter of one of these columns, which have numbers from `first` on.
fn parameter(first: usize, columns: &[Column], name: &str) -> String {
    let mut numbered = (first..).zip(columns);
    let found = numbered.find(|(_, (column, _))| *column == name);
    found.map_or_else(String::new, |(number, (_, database_type))| {
        format!("${number}::{database_type}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What follows a dollar sign.
    fn is_named(parameter: &str) -> bool {
        parameter.starts_with(char::is_alphabetic)
    }

    /// PostgreSQL counts the parameters by the highest number.
    #[test]
    fn every_statement_uses_as_many_parameters_as_its_parts_have() {
        for number in 0..Parts::COMBINATIONS {
            let parts = Parts::of_number(number);
            assert_eq!(parts.number(), number);
            if !parts.new_orders && !parts.known_orders {
                continue;
            }
            let columns = ArrivalRow::COLUMNS.len() + OrderRow::COLUMNS.len();
            let orders = usize::from(parts.new_orders) + usize::from(parts.known_orders);
            let of_batch = 2 + orders + usize::from(parts.stock) + 2 * usize::from(parts.notices);
            let of_one = columns + 1 + usize::from(parts.stock) + usize::from(parts.notices);
            for (statement, parameters) in [(parts.statement(), of_batch), (parts.statement_for_one(), of_one)] {
                for parameter in 1..=columns + 4 {
                    let is_used = statement.contains(&format!("${parameter}::"));
                    assert_eq!(
                        is_used,
                        parameter <= parameters,
                        "${parameter} of {parts:?}: {statement}"
                    );
                }
                assert!(
                    !statement.contains("--") && !statement.split('$').skip(1).any(is_named),
                    "{statement}"
                );
            }
            assert!(
                !parts.statement_for_one().contains("unnest(") || parts.stock,
                "{parts:?}"
            );
        }
    }
}
