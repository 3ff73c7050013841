//! What is noted while a payload is read: wrong values with their places, and tolerated ones.
//!
//! # Objective
//! Whether a wrong value matters depends on the event, and `event_type` may come after the payload.
//! So nothing fails while reading: problems are kept with their places and judged at the end. A
//! place holds at most one problem and only one line can have problems, so the list is short by
//! construction, whatever the body is.

use std::borrow::Cow;
use std::fmt;

use super::FieldError;

/// Why a value is wrong: words that complete "the field …", without the value itself.
pub(super) type Why = Cow<'static, str>;

/// The object that a field stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    Payload,
    Delivery,
    Total,
    /// `positions[index]`
    Line(usize),
}

impl Within {
    pub(super) const fn field(self, key: &'static str) -> Place {
        Place { within: self, key }
    }
}

/// A field by its path; with an empty key, the object itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    within: Within,
    key: &'static str,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.within {
            Within::Payload => f.write_str("payload")?,
            Within::Delivery => f.write_str("payload.delivery")?,
            Within::Total => f.write_str("payload.total")?,
            Within::Line(index) => write!(f, "payload.positions[{index}]")?,
        }
        if self.key.is_empty() {
            Ok(())
        } else {
            write!(f, ".{}", self.key)
        }
    }
}

/// On which events a problem counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// On created and changed, where every line needs its quantity (protocol section 4).
    QuantityRequired,
}

#[derive(Debug)]
struct Problem {
    place: Place,
    when: When,
    why: Why,
}

/// Problems in reading order, and how many values of a wrong type were ignored.
#[derive(Debug, Default)]
pub(super) struct Notes {
    problems: Vec<Problem>,
    tolerated: u32,
}

impl Notes {
    /// Notes that the value at `place` is wrong.
    pub(super) fn wrong(&mut self, place: Place, when: When, why: impl Into<Why>) {
        self.forget(place);
        self.problems.push(Problem {
            place,
            when,
            why: why.into(),
        });
    }

    /// Takes the value that was read at `place`, or notes why there is none.
    /// Either way an earlier value of a repeated key no longer counts: the last one wins.
    pub(super) fn settle<T>(&mut self, place: Place, read: Result<Option<T>, Why>) -> Option<T> {
        match read {
            Ok(value) => {
                self.forget(place);
                value
            }
            Err(why) => {
                self.wrong(place, When::Always, why);
                None
            }
        }
    }

    /// Drops the problem at `place`, because its key came again.
    pub(super) fn forget(&mut self, place: Place) {
        self.problems.retain(|problem| problem.place != place);
    }

    /// Drops the problems inside of objects that came again.
    pub(super) fn forget_within(&mut self, gone: impl Fn(Within) -> bool) {
        self.problems.retain(|problem| !gone(problem.place.within));
    }

    /// Notes a value of a wrong type that is ignored.
    pub(super) const fn tolerate(&mut self) {
        self.tolerated = self.tolerated.saturating_add(1);
    }

    pub(super) const fn tolerated(&self) -> u32 {
        self.tolerated
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.problems.iter().any(|problem| problem.place == place)
    }

    /// Whether a line cannot be used on any event.
    pub(super) fn has_wrong_line(&self) -> bool {
        let in_line = |problem: &Problem| matches!(problem.place.within, Within::Line(_));
        self.problems
            .iter()
            .any(|problem| in_line(problem) && problem.when == When::Always)
    }

    pub(super) fn has_any(&self, when: When) -> bool {
        self.problems.iter().any(|problem| problem.when == when)
    }

    /// The problems that count, in reading order.
    pub(super) fn into_errors(self, quantity_required: bool) -> impl Iterator<Item = FieldError> {
        let counts = move |problem: &Problem| quantity_required || problem.when == When::Always;
        self.problems.into_iter().filter(counts).map(|problem| FieldError {
            field: problem.place.to_string(),
            message: problem.why.into_owned(),
        })
    }
}
