//! How often operations hear of one kind of thing. Pure: time is an argument.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::telegram::ops::AlarmKind;

/// So many messages about one kind, within [`PERIOD`]. Whatever comes beyond that gathers in the next one:
/// the first ones come at once, and a caller who goes wrong a hundred times a minute fills no chat.
const MOST: usize = 3;
const PERIOD: Duration = Duration::from_secs(15 * 60);

/// See the module. A new leader begins anew.
#[derive(Debug, Default)]
pub(super) struct Frequency {
    told: HashMap<AlarmKind, VecDeque<Instant>>,
}

impl Frequency {
    /// Whether a message may tell of this kind now.
    pub(super) fn allows(&mut self, kind: AlarmKind, now: Instant) -> bool {
        let told = self.told.entry(kind).or_default();
        while told.front().is_some_and(|at| now.duration_since(*at) >= PERIOD) {
            told.pop_front();
        }
        told.len() < MOST
    }

    /// A message tells of this kind.
    pub(super) fn tell(&mut self, kind: AlarmKind, now: Instant) {
        self.told.entry(kind).or_default().push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_come_at_once_and_a_flood_gathers() {
        let mut frequency = Frequency::default();
        let start = Instant::now();
        let mut told = Vec::new();
        for second in 0..3600 {
            let now = start + Duration::from_secs(second);
            if frequency.allows(AlarmKind::Rejected, now) {
                frequency.tell(AlarmKind::Rejected, now);
                told.push(second);
            }
        }
        assert_eq!(told, [0, 1, 2, 900, 901, 902, 1800, 1801, 1802, 2700, 2701, 2702]);
        assert!(frequency.allows(AlarmKind::Conflict, start + Duration::from_secs(3)));
    }
}
