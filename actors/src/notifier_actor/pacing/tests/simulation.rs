//! A simulated Telegram that enforces its limits, and random bursts against it.

use std::collections::{BTreeMap, BinaryHeap, HashMap};

use proptest::prelude::*;

use super::super::*;

/// What Telegram allows.
const OVERALL: usize = 30;
const GROUP: usize = 20;

/// One chat's turn in the simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ends {
    at: Instant,
    chat_id: i64,
}

struct Simulation {
    pacing: Pacing,
    now: Instant,
    waiting: BTreeMap<i64, usize>,
    under_way: BinaryHeap<std::cmp::Reverse<Ends>>,
    /// When Telegram counted the messages of each chat.
    counted: Vec<(Instant, i64)>,
}

impl Simulation {
    fn new(settings: PacingSettings, now: Instant) -> Self {
        Self {
            pacing: Pacing::new(settings),
            now,
            waiting: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            counted: Vec::new(),
        }
    }

    /// Sends what may be sent now. `latency` gives the length of a call, and when within it Telegram
    /// counts the message, both in milliseconds.
    fn step(&mut self, latency: &mut impl FnMut() -> (u64, u64)) {
        while let Some(std::cmp::Reverse(end)) = self.under_way.peek().copied() {
            if end.at > self.now {
                break;
            }
            self.under_way.pop();
            self.pacing.end(end.chat_id, self.now, 1, Ending::Done, 0);
            self.pacing.free(end.chat_id);
        }
        let closed = self.pacing.closed_chats(self.now);
        let places = self.pacing.places(self.now);
        let served = self.pacing.served();
        let mut open: Vec<i64> = self
            .waiting
            .iter()
            .filter(|(chat_id, left)| **left > 0 && !closed.contains(chat_id))
            .map(|(chat_id, _)| *chat_id)
            .collect();
        open.sort_by_key(|chat_id| served.iter().position(|served| served == chat_id));
        for chat_id in open.into_iter().take(places) {
            let (length, counted_after) = latency();
            self.waiting.entry(chat_id).and_modify(|left| *left -= 1);
            self.pacing.begin(chat_id, 1, self.now);
            self.counted
                .push((self.now + Duration::from_millis(counted_after.min(length)), chat_id));
            self.under_way.push(std::cmp::Reverse(Ends {
                at: self.now + Duration::from_millis(length),
                chat_id,
            }));
        }
    }

    fn is_done(&self) -> bool {
        self.under_way.is_empty() && self.waiting.values().all(|left| *left == 0)
    }

    /// No sliding window holds more than Telegram allows.
    fn assert_within_limits(&mut self) {
        self.counted.sort_unstable();
        let all: Vec<Instant> = self.counted.iter().map(|(at, _)| *at).collect();
        assert_window(&all, OVERALL, SECOND, "overall");
        let mut chats = HashMap::<i64, Vec<Instant>>::new();
        for (at, chat_id) in &self.counted {
            chats.entry(*chat_id).or_default().push(*at);
        }
        for (chat_id, times) in chats {
            assert_window(&times, 1, SECOND, "one chat");
            if is_group(chat_id) {
                assert_window(&times, GROUP, MINUTE, "one group");
            }
        }
    }
}

fn assert_window(times: &[Instant], most: usize, window: Duration, whose: &str) {
    for (first, last) in times.iter().zip(times.iter().skip(most)) {
        let span = *last - *first;
        assert!(span >= window, "{} messages within {span:?}: {whose}", most + 1);
    }
}

/// The shortest time in which so many messages can be told, by the settings. The second half of a group's
/// minute is spread over what is left of it.
fn optimum(settings: &PacingSettings, chats: &BTreeMap<i64, usize>, longest_call: Duration) -> Duration {
    let total: usize = chats.values().sum();
    let count = |number: usize| u32::try_from(number).unwrap();
    let overall = SECOND * count(total) / count(settings.overall_per_second);
    let per_chat = chats.iter().map(|(chat_id, messages)| {
        let turn = settings.chat_pause + longest_call;
        let (most, before) = (settings.group_per_minute, messages.saturating_sub(1));
        let turns = turn * count(before);
        let quick = (before % most).min(most / 2 - 1);
        let spread = (MINUTE - turn * count(quick)) * count(before % most - quick) / count(most - most / 2);
        let minutes = MINUTE * count(before / most) + turn * count(quick) + spread;
        if is_group(*chat_id) { turns.max(minutes) } else { turns }
    });
    per_chat.fold(overall, Duration::max)
}

const STEP: Duration = Duration::from_millis(10);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever arrives when, and however long the calls take: no window of Telegram's ever holds too
    /// many, everything is sent, and nearly as fast as the limits allow.
    #[test]
    fn random_bursts_stay_within_the_limits_and_near_the_optimum(
        private in prop::collection::vec(1..8_usize, 0..60),
        groups in prop::collection::vec(1..30_usize, 0..6),
        longest_call in 20..400_u64,
        later in prop::collection::vec((0..20_000_u64, 0..60_usize), 0..30),
        latencies in prop::collection::vec((0..=1000_u64, 0..=1000_u64), 16..64),
    ) {
        let settings = PacingSettings::default();
        let start = Instant::now();
        let mut simulation = Simulation::new(settings, start);
        let private = private.into_iter().enumerate().map(|(index, count)| (index as i64 + 1, count));
        let groups = groups.into_iter().enumerate().map(|(index, count)| (-100 - index as i64, count));
        simulation.waiting = private.chain(groups).collect();
        let mut in_all = simulation.waiting.clone();
        let mut arrivals: Vec<(Instant, i64)> = later
            .into_iter()
            .map(|(after, chat)| (start + Duration::from_millis(after), chat as i64 + 1))
            .collect();
        arrivals.sort_unstable();
        for (_, chat_id) in &arrivals {
            *in_all.entry(*chat_id).or_default() += 1;
        }
        let last_arrival = arrivals.last().map_or(Duration::ZERO, |(at, _)| *at - start);
        let bound = last_arrival
            + optimum(&settings, &in_all, Duration::from_millis(longest_call) + STEP) * 13 / 10
            + Duration::from_secs(3);
        let mut arrivals = arrivals.into_iter().peekable();
        let mut turn = 0;
        let mut latency = || {
            turn += 1;
            let (length, counted) = latencies[turn % latencies.len()];
            let length = length * longest_call / 1000 + 1;
            (length, counted * length / 1000)
        };
        while !simulation.is_done() || arrivals.peek().is_some() {
            while let Some((_, chat_id)) = arrivals.next_if(|(at, _)| *at <= simulation.now) {
                *simulation.waiting.entry(chat_id).or_default() += 1;
            }
            simulation.step(&mut latency);
            simulation.now += STEP;
            prop_assert!(simulation.now - start < bound, "not done after {bound:?}");
        }
        simulation.assert_within_limits();
        // Nothing is remembered of chats that are idle.
        prop_assert!(simulation.pacing.closed_chats(simulation.now + MINUTE * 2).is_empty());
        prop_assert_eq!(simulation.pacing.known(), 0);
    }

    /// A new leader that knows what the old one sent exceeds nothing, either.
    #[test]
    fn a_new_leader_continues_within_the_limits(
        chats in prop::collection::vec((prop::bool::ANY, 5..40_usize), 1..40),
        handed_over_after in 1..90_u64,
        record_delay in 0..50_u64,
    ) {
        let start = Instant::now();
        let mut simulation = Simulation::new(PacingSettings::default(), start);
        simulation.waiting = chats
            .into_iter()
            .enumerate()
            .map(|(index, (is_group, count))| {
                let chat_id = index as i64 + 1;
                (if is_group { -chat_id } else { chat_id }, count)
            })
            .collect();
        let mut latency = || (100, 50);
        while simulation.now - start < Duration::from_secs(handed_over_after) && !simulation.is_done() {
            simulation.step(&mut latency);
            simulation.now += STEP;
        }
        // The old leader dies; what it had under way arrived, and is known as claimed.
        let now = simulation.now;
        simulation.pacing = Pacing::new(PacingSettings::default());
        simulation.pacing.begin_epoch(now);
        for (at, chat_id) in &simulation.counted {
            let recorded = *at + Duration::from_millis(record_delay);
            simulation.pacing.seed(*chat_id, now.saturating_duration_since(recorded), now);
        }
        simulation.under_way.clear();
        let bound = now + Duration::from_secs(300);
        while !simulation.is_done() {
            simulation.step(&mut latency);
            simulation.now += STEP;
            prop_assert!(simulation.now < bound);
        }
        simulation.assert_within_limits();
    }
}
