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
        row(f, "  cancelled by SM, no answer", &self.cancelled_by_sm)?;
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
        self.events(f)?;
        list(f, "never acknowledged:", &self.lost)?;
        list(f, "documents that differ:", &self.differences)
    }
}

impl Report {
    /// A line per event.
    fn events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:<14} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10}  by status",
            "event", "tries", "2xx", "refused", "silent", "broken", "p50, ms", "p99, ms", "max, ms"
        )?;
        for (event, figures) in &self.events {
            let refused: u64 = figures.refused.values().sum();
            let by_status: Vec<String> = figures
                .refused
                .iter()
                .map(|(status, count)| format!("{status}: {count}"))
                .collect();
            let times = figures.answer_time;
            writeln!(
                f,
                "{event:<14} {:>8} {:>8} {refused:>8} {:>8} {:>8} {:>10} {:>10} {:>10}  {}",
                figures.tries,
                figures.acknowledged,
                figures.unanswered,
                figures.broken,
                Thousandths(times.p50_us),
                Thousandths(times.p99_us),
                Thousandths(times.max_us),
                by_status.join(", "),
            )?;
        }
        Ok(())
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
