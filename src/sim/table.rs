//! The report as a table for a person.

use std::fmt;

use super::report::{Difference, Lost, Report};

/// More lines than this help nobody; the JSON form has all.
const MOST_LINES: usize = 50;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row =
            |f: &mut fmt::Formatter<'_>, what: &str, value: &dyn fmt::Display| writeln!(f, "{what:<34} {value:>12}");
        writeln!(f, "order ids {}…, seed {}", self.prefix, self.seed)?;
        row(f, "seconds", &Thousandths(self.elapsed_ms))?;
        row(f, "orders", &self.orders)?;
        row(f, "  cancelled", &self.cancelled)?;
        row(f, "hooks", &self.hooks)?;
        row(f, "repeats", &self.repeats)?;
        row(f, "repeats although acknowledged", &self.repeats_of_acknowledged)?;
        let refused: u64 = self.refused.values().sum();
        row(f, "refused", &refused)?;
        for (status, count) in &self.refused {
            row(f, &format!("  with {status}"), count)?;
        }
        row(f, "no answer in time", &self.unanswered)?;
        row(f, "connection failed", &self.broken)?;
        row(f, "never acknowledged", &self.never_acknowledged)?;
        row(f, "answer time p50, ms", &Thousandths(self.answer_time.p50_us))?;
        row(f, "answer time p99, ms", &Thousandths(self.answer_time.p99_us))?;
        row(f, "answer time max, ms", &Thousandths(self.answer_time.max_us))?;
        row(f, "documents that differ", &self.differing)?;
        list(f, "never acknowledged:", &self.lost)?;
        list(f, "documents that differ:", &self.differences)
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, heading: &str, items: &[T]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{heading}")?;
    for item in items.iter().take(MOST_LINES) {
        writeln!(f, "  {item}")?;
    }
    match items.len().saturating_sub(MOST_LINES) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more"),
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            order_id,
            event,
            tries,
            last_reply,
        } = self;
        write!(f, "{order_id} {event}: {last_reply}, after {tries} tries")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.order_id, self.explanation)
    }
}

/// Thousandths of a unit as a decimal.
struct Thousandths(u64);

impl fmt::Display for Thousandths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Padded as a whole, not in its parts.
        f.pad(&format!("{}.{:03}", self.0 / 1000, self.0 % 1000))
    }
}
