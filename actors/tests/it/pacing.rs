//! Whatever is to be sent and however long the calls take: no limit is exceeded as a server would count,
//! nobody starves, and little time is given away.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use orderhook_actors::notifier_actor::pacing::{Ending, Pacing, PacingSettings};
use proptest::collection::vec;
use proptest::prelude::*;

const STEP: Duration = Duration::from_millis(10);

/// One call that is under way: when it arrives at the server, and when its answer is here.
struct Call {
    chat_id: i64,
    arrives: Instant,
    ends: Instant,
}

/// Sends `counts[n]` messages to the n-th chat; every fourth is a group. `latencies` in milliseconds and
/// `arrivals` in percent of them are used in turn. Returns all arrivals by chat.
fn play(counts: &[usize], latencies: &[u64], arrivals: &[u32]) -> (Instant, BTreeMap<i64, Vec<Instant>>, Instant) {
    let start = Instant::now();
    let chat = |index: usize| {
        let number = i64::try_from(index).unwrap() + 1;
        if index.is_multiple_of(4) { -number } else { number }
    };
    let mut pacing = Pacing::new(PacingSettings::default());
    let mut left: BTreeMap<i64, usize> = counts
        .iter()
        .enumerate()
        .map(|(index, count)| (chat(index), *count))
        .collect();
    let mut calls: Vec<Call> = Vec::new();
    let mut arrived = BTreeMap::<i64, Vec<Instant>>::new();
    let mut now = start;
    let mut sent = 0;
    while left.values().any(|count| *count > 0) || !calls.is_empty() {
        for call in calls.extract_if(.., |call| call.ends <= now) {
            arrived.entry(call.chat_id).or_default().push(call.arrives);
            pacing.end(call.chat_id, call.ends, 1, Ending::Done, 0);
        }
        let closed = pacing.closed_chats(now);
        // Who has waited longest comes first, as the outbox has it.
        let mut due: Vec<_> = left
            .iter_mut()
            .filter(|(chat_id, count)| **count > 0 && !closed.contains(chat_id))
            .collect();
        due.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (chat_id, count) in due {
            if pacing.places(now) == 0 {
                break;
            }
            pacing.begin(*chat_id, now);
            *count -= 1;
            let latency = Duration::from_millis(latencies[sent % latencies.len()]);
            let arrives = now + latency * arrivals[sent % arrivals.len()] / 100;
            calls.push(Call {
                chat_id: *chat_id,
                arrives,
                ends: now + latency,
            });
            sent += 1;
        }
        now += STEP;
    }
    (start, arrived, now)
}

/// The most arrivals in any window.
fn most_within(times: &mut [Instant], window: Duration) -> usize {
    times.sort_unstable();
    let within = |(index, first): (usize, &Instant)| {
        times[index..]
            .iter()
            .take_while(|time| time.duration_since(*first) < window)
            .count()
    };
    times.iter().enumerate().map(within).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_limit_is_exceeded_in_any_window(
        counts in vec(0_usize..30, 1..60),
        latencies in vec(1_u64..2500, 1..20),
        arrivals in vec(0_u32..=100, 1..20),
    ) {
        let (_, mut arrived, _) = play(&counts, &latencies, &arrivals);
        let total: usize = arrived.values().map(Vec::len).sum();
        prop_assert_eq!(total, counts.iter().sum::<usize>(), "everything arrives");
        for (chat_id, times) in &mut arrived {
            prop_assert!(most_within(times, Duration::from_secs(1)) <= 1, "chat {}", chat_id);
            if *chat_id < 0 {
                prop_assert!(most_within(times, Duration::from_secs(60)) <= 20, "group {}", chat_id);
            }
        }
        let mut all: Vec<Instant> = arrived.into_values().flatten().collect();
        prop_assert!(most_within(&mut all, Duration::from_secs(1)) <= 30);
    }

    #[test]
    fn quick_calls_use_nearly_all_that_telegram_allows(chats in 40_usize..100, each in 2_usize..8) {
        // No groups among them: their minute would rule everything.
        let counts: Vec<usize> = (0..chats).map(|index| if index.is_multiple_of(4) { 0 } else { each }).collect();
        let total = counts.iter().sum::<usize>();
        let (start, _, end) = play(&counts, &[20], &[50]);
        let by_all = u32::try_from(total).unwrap() * Duration::from_secs(1) / 30;
        let by_chat = u32::try_from(each - 1).unwrap() * Duration::from_secs(1);
        let allowed = by_all.max(by_chat);
        prop_assert!(end - start <= allowed * 13 / 10 + Duration::from_secs(1), "{:?} for {:?}", end - start, allowed);
    }
}

#[test]
fn a_refused_chat_waits_exactly_what_telegram_says_and_no_other_does() {
    let mut pacing = Pacing::new(PacingSettings::default());
    let now = Instant::now();
    for chat_id in [1, 2] {
        pacing.begin(chat_id, now);
    }
    pacing.end(1, now, 1, Ending::RetryAfter(Duration::from_secs(30)), 0);
    pacing.end(2, now, 1, Ending::Done, 0);
    assert_eq!(pacing.closed_chats(now + Duration::from_secs(2)), [1]);
    assert_eq!(pacing.closed_chats(now + Duration::from_millis(29_999)), [1]);
    assert!(pacing.closed_chats(now + Duration::from_secs(30)).is_empty());
    assert!(pacing.places(now) > 0);
}

#[test]
fn pauses_after_failures_grow_up_to_five_minutes_and_are_spread() {
    let mut pacing = Pacing::new(PacingSettings::default());
    let now = Instant::now();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        pacing.begin(1, now);
        pacing.end(1, now, 1, Ending::Failed, 0);
        pauses.push(pacing.pause_of(1, now).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    pacing.begin(1, now);
    pacing.end(1, now, 1, Ending::Failed, 999);
    assert!(
        (150..152).contains(&pacing.pause_of(1, now).as_secs()),
        "half of it at the least"
    );
    pacing.end(1, now, 1, Ending::Done, 0);
    assert!(
        pacing.pause_of(1, now) < Duration::from_secs(2),
        "a success forgets them"
    );
}

#[test]
fn a_new_leader_paces_from_what_the_old_one_sent() {
    let mut pacing = Pacing::new(PacingSettings::default());
    let now = Instant::now() + Duration::from_secs(60);
    for _ in 0..20 {
        pacing.seed(-1, Duration::from_secs(10), now);
    }
    pacing.seed(2, Duration::from_millis(300), now);
    pacing.start_carefully(now);
    assert_eq!(pacing.places(now), 0, "what was under way has a second to arrive");
    let later = now + Duration::from_secs(1);
    assert!(pacing.places(later) > 0);
    assert_eq!(pacing.closed_chats(later), [-1], "the group has had its twenty");
    assert!(pacing.closed_chats(now + Duration::from_secs(50)).is_empty());
}
