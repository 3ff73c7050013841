//! The rules one by one; `simulation` holds them together against what Telegram counts.

mod simulation;

use super::*;

fn pacing() -> (Pacing, Instant) {
    (Pacing::new(PacingSettings::default()), Instant::now())
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_429_pauses_exactly_that_chat_for_exactly_that_long() {
    let (mut pacing, now) = pacing();
    for chat_id in [1, 2] {
        pacing.begin(chat_id, 1, now);
    }
    pacing.end(1, now, 1, Ending::RetryAfter(seconds(30)), 999);
    pacing.end(2, now, 1, Ending::Done, 999);
    pacing.free(1);
    pacing.free(2);
    assert_eq!(pacing.closed_chats(now + seconds(2)), [1]);
    assert_eq!(pacing.paused(now + seconds(2)).by_telegram, 1);
    assert_eq!(pacing.pause_of(1, now), seconds(30));
    assert!(pacing.closed_chats(now + seconds(30)).is_empty());
}

#[test]
fn a_429_for_the_whole_bot_pauses_everybody_for_exactly_that_long() {
    let (mut pacing, now) = pacing();
    pacing.pause_all_for(seconds(30), now);
    pacing.pause_all_for(seconds(5), now);
    assert_eq!(pacing.places(now + seconds(29)), 0);
    assert_eq!(pacing.places(now + seconds(30)), 28);
    assert_eq!(pacing.pause_of(1, now), seconds(30));
    pacing.pause_all_for(Duration::MAX, now);
}

#[test]
fn a_busy_group_is_never_silent_for_long() {
    let (mut pacing, start) = pacing();
    let (mut now, mut times) = (start, Vec::new());
    while now < start + seconds(300) {
        if pacing.closed_chats(now).is_empty() {
            times.push(now);
            pacing.begin(-1, 1, now);
            pacing.end(-1, now, 1, Ending::Done, 0);
            pacing.free(-1);
        }
        now += Duration::from_millis(20);
    }
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < seconds(6), "{longest:?}");
    // The first half of a minute's share comes as fast as a chat may have it.
    assert!(times[9] - times[0] < seconds(10));
    for (first, last) in times.iter().zip(times.iter().skip(20)) {
        assert!(*last - *first >= seconds(60));
    }
    // Little of what is allowed is given away.
    assert!(times.len() >= 90, "{} messages in five minutes", times.len());
}

#[test]
fn an_absurd_wait_is_a_day() {
    let (mut pacing, now) = pacing();
    pacing.begin(1, 1, now);
    pacing.end(1, now, 1, Ending::RetryAfter(Duration::MAX), 0);
    pacing.free(1);
    assert_eq!(pacing.pause_of(1, now), Duration::from_secs(24 * 60 * 60));
}

#[test]
fn pauses_after_failures_grow_up_to_half_a_minute_and_end_with_a_success() {
    let (mut pacing, mut now) = pacing();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        pacing.begin(1, 1, now);
        pacing.end(1, now, 1, Ending::Failed, 0);
        pacing.free(1);
        let pause = pacing.pause_of(1, now);
        pauses.push(pause.as_secs());
        now += pause;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
    pacing.begin(1, 1, now);
    pacing.end(1, now, 1, Ending::Done, 0);
    assert_eq!(pacing.pause_of(1, now), PacingSettings::default().chat_pause);
    assert_eq!(pacing.paused(now + seconds(5)), Paused::default());
}

#[test]
fn chance_takes_off_up_to_a_half() {
    for failures in 1..10 {
        let longest = growing_pause(failures, 0);
        let shortest = growing_pause(failures, 999);
        assert!(shortest >= longest / 2 && shortest < longest * 51 / 100);
    }
    assert_eq!(growing_pause(u32::MAX, 0), LAST_PAUSE);
}

#[test]
fn a_refused_token_is_tried_by_one_message_and_its_pauses_do_not_grow_with_what_was_under_way() {
    let (mut pacing, now) = pacing();
    for chat_id in 1..=20 {
        pacing.begin(chat_id, 1, now);
    }
    for chat_id in 1..=20 {
        pacing.end(chat_id, now, 0, Ending::Done, 0);
        pacing.free(chat_id);
        pacing.pause_all(now, 0);
    }
    assert_eq!(pacing.places(now), 0);
    let later = now + FIRST_PAUSE;
    assert_eq!(pacing.places(later), 1);
    pacing.begin(1, 1, later);
    assert_eq!(pacing.places(later), 0);
    pacing.end(1, later, 1, Ending::Done, 0);
    pacing.free(1);
    pacing.resume_all();
    assert!(pacing.places(later) > 1);
}

#[test]
fn hanging_calls_do_not_hold_the_places_of_others_for_long() {
    let (mut pacing, now) = pacing();
    for chat_id in 1..=28 {
        pacing.begin(chat_id, 1, now);
    }
    assert_eq!(pacing.places(now + seconds(1)), 0);
    assert_eq!(pacing.places(now + SLOW_CALL), 28);
    assert_eq!(pacing.closed_chats(now + SLOW_CALL).len(), 28);
}

#[test]
fn a_long_text_waits_until_all_of_it_fits_into_a_groups_minute() {
    let (mut pacing, now) = pacing();
    for message in 0..19 {
        let at = now + seconds(message);
        pacing.begin(-1, 1, at);
        pacing.end(-1, at, 1, Ending::Done, 0);
        pacing.free(-1);
    }
    let later = now + seconds(30);
    assert!(pacing.has_room(-1, 1, later));
    assert!(!pacing.has_room(-1, 3, later));
    assert_eq!(pacing.closed_chats(later), [-1]);
    // The second message leaves the minute.
    assert!(pacing.closed_chats(now + seconds(61)).is_empty());
    assert!(pacing.has_room(-1, 3, now + seconds(61)));
    // Longer than a minute allows: at some time it must go.
    assert!(!pacing.has_room(-1, 25, now + seconds(61)));
    assert!(pacing.has_room(-1, 25, now + seconds(79)));
    assert!(pacing.has_room(1, 100, now));
}

#[test]
fn a_chat_is_closed_until_its_result_is_recorded_but_holds_no_place_then() {
    let (mut pacing, now) = pacing();
    pacing.begin(1, 1, now);
    assert_eq!(pacing.places(now), 27);
    pacing.end(1, now, 1, Ending::Done, 0);
    let later = now + seconds(5);
    assert_eq!(pacing.places(later), 28);
    assert_eq!(pacing.closed_chats(later), [1]);
    assert_eq!(pacing.under_way(), 1);
    pacing.free(1);
    assert!(pacing.closed_chats(later).is_empty());
}

#[test]
fn a_call_that_outlives_a_change_of_leaders_keeps_its_chat_closed() {
    let (mut pacing, now) = pacing();
    pacing.begin(1, 1, now);
    pacing.begin_epoch(now);
    assert_eq!(pacing.places(now), 0, "others may have had messages under way");
    assert_eq!(pacing.closed_chats(now + seconds(10)), [1]);
}

#[test]
fn chats_come_in_turn_and_a_silent_one_first() {
    let (mut pacing, now) = pacing();
    for (chat_id, second) in [(1, 0), (2, 1), (3, 2), (1, 3)] {
        let at = now + seconds(second);
        pacing.begin(chat_id, 1, at);
        pacing.end(chat_id, at, 1, Ending::Done, 0);
        pacing.free(chat_id);
    }
    assert_eq!(pacing.served(), [2, 3, 1]);
    pacing.closed_chats(now + seconds(62));
    assert_eq!(pacing.served(), [1]);
}

#[test]
fn a_failing_chat_that_nobody_writes_to_any_more_is_forgotten() {
    let (mut pacing, now) = pacing();
    pacing.begin(1, 1, now);
    pacing.end(1, now, 1, Ending::Failed, 0);
    pacing.free(1);
    pacing.closed_chats(now + seconds(100));
    assert_eq!(pacing.known(), 1);
    pacing.closed_chats(now + seconds(700));
    assert_eq!(pacing.known(), 0);
}
