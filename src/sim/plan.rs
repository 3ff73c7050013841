//! What happens to one order: its compositions, its events in SM's order, and how they are sent.

mod version;

use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use rand::rngs::StdRng;

use super::body;
use super::catalogue::{CUSTOMERS, POLICIES};
use super::{Run, Settings, Spelling};
pub(super) use version::{Line, Version};

/// One order from its creation to its end.
#[derive(Debug)]
pub(super) struct OrderPlan {
    pub(super) facts: Facts,
    /// What is to be picked: as created, and after each change of it.
    pub(super) versions: Vec<Version>,
    /// The prices that paid gives; `None` when it gives none or there is no paid.
    pub(super) paid: Option<Version>,
    pub(super) steps: Vec<Step>,
}

/// What never changes about an order.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) order_id: String,
    /// Its place in the run.
    pub(super) index: u32,
    pub(super) spelling: Spelling,
    pub(super) store_id: String,
    /// When SM says that it was created; its events follow some minutes after another.
    pub(super) created_at: DateTime<Utc>,
    pub(super) customer: &'static str,
    pub(super) replacement_policy: &'static str,
    /// Removed lines are sent with the amount 0; otherwise they are left out. SM does both.
    pub(super) lists_removed: bool,
}

/// One event.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) event: Event,
    pub(super) body: String,
    /// When it is sent, in halves of the time from one event to the next. Steps of one slot are sent side by
    /// side.
    pub(super) slot: u32,
    /// Sent once more although acknowledged, after this slot.
    pub(super) repeated_after: Option<u32>,
}

/// What an event says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Created,
    Changed(Change),
    Paid { bare: bool },
    Received,
    Delivered,
    Cancelled(CancelForm),
    Informational(Informational),
}

/// What a changed carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The whole payload, with this one of the order's versions.
    Composition(usize),
    /// Nothing but another delivery window.
    Window,
    /// Nothing but another way to the customer.
    Method,
}

/// How much a cancelled says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CancelForm {
    /// The whole payload without a reason.
    Whole,
    /// A reason that everybody knows.
    Reason,
    /// A slug that nobody knows.
    UnknownSlug,
    /// Nothing but the order id.
    Bare,
}

/// Events that change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Informational {
    CourierAssigned,
    CourierArrived,
    Assembled,
    Delivering,
}

impl Event {
    /// The word in the order's history.
    pub(super) const fn canonical(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed(_) => "changed",
            Self::Paid { .. } => "paid",
            Self::Received => "received",
            Self::Delivered => "delivered",
            Self::Cancelled(_) => "cancelled",
            Self::Informational(_) => "informational",
        }
    }

    /// Whether the order takes no changes any more once this has come.
    pub(super) const fn closes(self) -> bool {
        matches!(
            self,
            Self::Paid { .. } | Self::Received | Self::Delivered | Self::Cancelled(_)
        )
    }
}

/// Half of them are for what comes late.
pub(super) const SLOTS_PER_EVENT: u32 = 2;

/// SM's minutes between two events of an order, as its timestamps say.
const MINUTES_BETWEEN_EVENTS: i64 = 12;

impl OrderPlan {
    /// Draws the order with this place in the run.
    ///
    /// # Errors
    /// A body cannot be written as JSON.
    pub(super) fn draw(
        settings: &Settings,
        run: &Run,
        index: u32,
        random: &mut StdRng,
    ) -> Result<Self, serde_json::Error> {
        let spelling = settings.spelling.of(index);
        let mut plan = Self {
            facts: Facts {
                order_id: format!("{}{index:04}", run.prefix),
                index,
                spelling,
                store_id: spelling.store_id((index / 2) % settings.stores),
                created_at: run.started_at,
                customer: pick(random, &CUSTOMERS),
                replacement_policy: pick(random, &POLICIES),
                lists_removed: random.random(),
            },
            versions: vec![Version::first(spelling, random)],
            paid: None,
            steps: Vec::new(),
        };
        let events = plan.draw_events(random.random_ratio(settings.cancel, 100), random);
        plan.send(&events, settings, random)?;
        Ok(plan)
    }

    /// created, changed, paid, received, delivered, and a sixth in its place; or cancelled early.
    fn draw_events(&mut self, cancelled: bool, random: &mut StdRng) -> Vec<Event> {
        let mut events = vec![Event::Created, self.draw_change(random)];
        let informational = random.random::<bool>();
        if !informational {
            events.push(self.draw_change(random));
        }
        let bare = random.random_ratio(15, 100);
        events.extend([Event::Paid { bare }, Event::Received, Event::Delivered]);
        if informational {
            let (event, place) = pick(
                random,
                &[
                    (Informational::CourierAssigned, 1),
                    (Informational::Assembled, 2),
                    (Informational::Delivering, 4),
                    (Informational::CourierArrived, 4),
                ],
            );
            events.insert(place, Event::Informational(event));
        }
        let goods_leave = events.iter().position(|event| *event == Event::Received);
        if let (true, Some(goods_leave)) = (cancelled, goods_leave) {
            events.truncate(random.random_range(1..=goods_leave));
            let forms = match self.facts.spelling {
                Spelling::D => [CancelForm::Whole, CancelForm::Whole, CancelForm::Bare],
                Spelling::K => [CancelForm::Reason, CancelForm::UnknownSlug, CancelForm::Bare],
            };
            events.push(Event::Cancelled(pick(random, &forms)));
        }
        events
    }

    fn draw_change(&mut self, random: &mut StdRng) -> Event {
        // Only the second spelling sends nothing but the part that changed.
        if self.facts.spelling == Spelling::K && random.random_ratio(1, 4) {
            return Event::Changed(pick(random, &[Change::Window, Change::Method]));
        }
        let last = &self.versions[self.versions.len() - 1];
        self.versions.push(last.changed(self.facts.spelling, random));
        Event::Changed(Change::Composition(self.versions.len() - 1))
    }

    /// Writes the bodies and decides how they are sent.
    fn send(&mut self, events: &[Event], settings: &Settings, random: &mut StdRng) -> Result<(), serde_json::Error> {
        let mut said = self.versions[0].clone();
        let mut at = self.facts.created_at;
        let mut turn = 0;
        for (place, event) in events.iter().enumerate() {
            match event {
                Event::Changed(Change::Composition(version)) => said = self.versions[*version].clone(),
                Event::Paid { bare: false } => {
                    said.correct_a_price(random);
                    self.paid = Some(said.clone());
                }
                _ => {}
            }
            let repeated = random.random_ratio(settings.repeats, 100);
            let delay = random.random_range(0..=2);
            let overlaps = place > 0 && random.random_ratio(settings.overlap, 100);
            let is_late = random.random_ratio(settings.disorder, 100);
            if !overlaps {
                turn = place;
            }
            let slot = SLOTS_PER_EVENT * u32::try_from(turn).unwrap_or(u32::MAX);
            // Between the next event and the one after that.
            let slot = if is_late { slot + SLOTS_PER_EVENT + 1 } else { slot };
            self.steps.push(Step {
                event: *event,
                body: body::write(&self.facts, *event, &said, at)?,
                slot,
                repeated_after: repeated.then_some(slot + SLOTS_PER_EVENT * delay),
            });
            at += TimeDelta::minutes(MINUTES_BETWEEN_EVENTS);
        }
        Ok(())
    }

    /// How many hooks are sent of it if each is acknowledged at once.
    pub(super) fn hooks(&self) -> u32 {
        let repeated = self.steps.iter().filter(|step| step.repeated_after.is_some()).count();
        u32::try_from(self.steps.len() + repeated).unwrap_or(u32::MAX)
    }
}

/// One of several, each as likely.
fn pick<T: Copy>(random: &mut StdRng, choices: &[T]) -> T {
    choices[random.random_range(0..choices.len())]
}
