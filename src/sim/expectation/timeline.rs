//! What the moments of sending and answering tell about the order in which the service took the hooks.
//!
//! The service may have taken a hook at any moment between its sending and its answer; without a 2xx
//! also later, or never. Whatever is possible within that is allowed, and nothing else.

use std::collections::BTreeSet;
use std::time::Instant;

use super::super::Spelling;
use super::super::plan::{Change, Event, OrderPlan};
use super::super::play::Arrival;
use super::super::sender::Reply;

/// The arrivals of one order that the service may have stored.
pub(super) struct Timeline<'a> {
    plan: &'a OrderPlan,
    arrivals: Vec<Taken>,
}

/// One arrival as far as its place in time is known.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// Its place in the plan.
    step: usize,
    event: Event,
    /// Not taken before.
    sent_at: Instant,
    /// Taken by then; `None` when it may come later, or never.
    stored_by: Option<Instant>,
}

impl Taken {
    fn is_surely_before(&self, later: &Self) -> bool {
        self.stored_by.is_some_and(|stored_by| stored_by <= later.sent_at)
    }

    /// The version that it says, when it says one.
    const fn version(&self) -> Option<usize> {
        match self.event {
            Event::Changed(Change::Composition(version)) => Some(version),
            _ => None,
        }
    }

    const fn is_change(&self) -> bool {
        matches!(self.event, Event::Changed(_))
    }
}

impl<'a> Timeline<'a> {
    pub(super) fn new(plan: &'a OrderPlan, arrivals: &[Arrival]) -> Self {
        let arrivals = arrivals
            .iter()
            // What was refused as wrong was not stored as an event of the order. 429 says so of one node
            // only: another one, which nginx asked before, may have stored it and not have answered in time.
            .filter(|arrival| !matches!(arrival.tried.reply, Reply::Refused(300..=428 | 430..=499)))
            .map(|arrival| Taken {
                step: arrival.step,
                event: plan.steps[arrival.step].event,
                sent_at: arrival.tried.sent_at,
                stored_by: arrival.tried.is_acknowledged().then_some(arrival.tried.ended_at),
            })
            .collect();
        Self { plan, arrivals }
    }

    /// Whether an event of this name was sent at all, and whether one was acknowledged.
    pub(super) fn sent_and_stored(&self, canonical: &str) -> (bool, bool) {
        let mut of_name = self.arrivals.iter().filter(|it| it.event.canonical() == canonical);
        let sent = of_name.clone().next().is_some();
        (sent, of_name.any(|it| it.stored_by.is_some()))
    }

    /// Whether a change may have come after closing, which the service flags as a conflict.
    pub(super) fn change_may_follow_closing(&self) -> bool {
        self.changes().any(|change| {
            self.closings()
                .any(|closing| change.stored_by.is_none_or(|stored_by| closing.sent_at < stored_by))
        })
    }

    /// The versions that may be the last one applied; 0 is that of created.
    pub(super) fn last_versions(&self) -> BTreeSet<usize> {
        match self.plan.facts.spelling {
            Spelling::D => self.last_versions_without_timestamps(),
            Spelling::K => self.last_versions_by_timestamps(),
        }
    }

    /// A change with an older timestamp is never applied after a newer one: the newest one that was
    /// applied stays, whatever is repeated.
    fn last_versions_by_timestamps(&self) -> BTreeSet<usize> {
        let surely_applied = |change: &Taken| {
            let newer_wait = self
                .changes()
                .filter(|other| other.step > change.step)
                .all(|newer| change.is_surely_before(newer));
            newer_wait && self.closings().all(|closing| change.is_surely_before(closing))
        };
        let newest_sure = self
            .changes()
            .filter(|change| change.version().is_some() && surely_applied(change))
            .filter_map(Taken::version)
            .max()
            .unwrap_or_default();
        let mut versions: BTreeSet<usize> = self
            .changes()
            .filter(|change| self.may_be_applied(change))
            .filter_map(Taken::version)
            .filter(|version| *version > newest_sure)
            .collect();
        versions.insert(newest_sure);
        versions
    }

    /// Without timestamps any change may be the last one that is not surely followed by another. Nothing
    /// but a repeat can be taken for a late one, and even that is applied if the service knows that its
    /// first delivery was answered: it restores what the first one said.
    fn last_versions_without_timestamps(&self) -> BTreeSet<usize> {
        let surely_applied: Vec<&Taken> = self.changes().filter(|change| self.is_surely_applied(change)).collect();
        let mut versions: BTreeSet<usize> = self
            .changes()
            .filter(|change| self.may_be_applied(change))
            .filter(|change| {
                !surely_applied
                    .iter()
                    .any(|other| other.step != change.step && change.is_surely_before(other))
            })
            .filter_map(Taken::version)
            .collect();
        if surely_applied.is_empty() {
            versions.insert(0);
        }
        versions
    }

    /// A change that surely met an open order and cannot be taken for a late repeat.
    fn is_surely_applied(&self, change: &Taken) -> bool {
        let may_be_a_late_repeat = || {
            let same = |other: &&Taken| other.step == change.step;
            let is_repeated = self.changes().filter(same).any(|other| other.sent_at < change.sent_at);
            let others_between = self
                .changes()
                .filter(|other| !same(other))
                .any(|other| !change.is_surely_before(other));
            is_repeated && others_between
        };
        change.stored_by.is_some()
            && self.closings().all(|closing| change.is_surely_before(closing))
            && !may_be_a_late_repeat()
    }

    /// A change is not applied once the order is closed. Before created it waits, and is applied then
    /// before what closes, whatever came first.
    fn may_be_applied(&self, change: &Taken) -> bool {
        let known_before = self
            .arrivals
            .iter()
            .any(|it| it.event == Event::Created && it.is_surely_before(change));
        let closed_before = self.closings().any(|closing| closing.is_surely_before(change));
        !(known_before && closed_before)
    }

    fn changes(&self) -> impl Iterator<Item = &Taken> {
        self.arrivals.iter().filter(|it| it.is_change())
    }

    fn closings(&self) -> impl Iterator<Item = &Taken> {
        self.arrivals.iter().filter(|it| it.event.closes())
    }
}
