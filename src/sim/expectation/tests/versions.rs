//! Which version may be the last one applied.

use super::super::super::Spelling;
use super::super::super::plan::{Change, Event};
use super::super::super::sender::Reply;
use super::super::timeline::Timeline;
use super::{LIFE, PAID, Sent, arrivals, change, one_after_another, plan};

fn last_versions(spelling: Spelling, events: &[Event], sent: &[Sent]) -> Vec<usize> {
    let plan = plan(spelling, events);
    let arrivals = arrivals(&plan, sent);
    Timeline::new(&plan, &arrivals).last_versions().into_iter().collect()
}

#[test]
fn without_overlap_exactly_one_version_is_allowed() {
    for spelling in [Spelling::D, Spelling::K] {
        for (steps, version) in [(1, 0), (2, 1), (3, 2), (6, 2)] {
            let sent = one_after_another(steps);
            assert_eq!(last_versions(spelling, &LIFE, &sent), [version], "{spelling:?} {steps}");
        }
    }
}

#[test]
fn overlapping_changes_end_in_either_without_timestamps_and_in_the_newer_one_with() {
    let sent = [(0, 0, Some(5)), (1, 10, Some(25)), (2, 11, Some(20))];
    assert_eq!(last_versions(Spelling::D, &LIFE, &sent), [1, 2]);
    assert_eq!(last_versions(Spelling::K, &LIFE, &sent), [2]);
}

#[test]
fn a_change_that_overlaps_paid_may_be_left_out() {
    let events = [Event::Created, change(1), PAID];
    let sent = [(0, 0, Some(5)), (1, 10, Some(25)), (2, 11, Some(20))];
    for spelling in [Spelling::D, Spelling::K] {
        assert_eq!(last_versions(spelling, &events, &sent), [0, 1], "{spelling:?}");
    }
}

#[test]
fn a_part_that_overtakes_a_change_makes_it_an_old_one() {
    let events = [Event::Created, change(1), Event::Changed(Change::Window)];
    let sent = [(0, 0, Some(5)), (1, 10, Some(25)), (2, 11, Some(20))];
    assert_eq!(last_versions(Spelling::K, &events, &sent), [0, 1]);
}

#[test]
fn a_repeat_without_timestamp_may_restore_what_it_says() {
    let mut sent = one_after_another(3);
    sent.push((1, 100, Some(105)));
    assert_eq!(last_versions(Spelling::D, &LIFE, &sent), [1, 2]);
    assert_eq!(last_versions(Spelling::K, &LIFE, &sent), [2]);
}

#[test]
fn a_repeat_after_paid_changes_nothing() {
    let events = [Event::Created, change(1), change(2), PAID];
    let mut sent = one_after_another(4);
    sent.push((1, 100, Some(105)));
    assert_eq!(last_versions(Spelling::D, &events, &sent), [2]);
}

#[test]
fn a_try_without_answer_may_arrive_at_any_time_later_or_never() {
    let sent = [(0, 0, Some(5)), (1, 10, None)];
    assert_eq!(last_versions(Spelling::D, &LIFE, &sent), [0, 1]);
    let sent = [(0, 0, Some(5)), (1, 10, None), (1, 20, Some(25)), (2, 30, Some(35))];
    assert_eq!(last_versions(Spelling::D, &LIFE, &sent), [1, 2]);
    assert_eq!(last_versions(Spelling::K, &LIFE, &sent), [2]);
}

#[test]
fn what_came_before_created_waits_for_it_with_the_changes_first() {
    let events = [Event::Created, change(1), PAID];
    let sent = [(0, 0, Some(40)), (2, 1, Some(5)), (1, 10, Some(15))];
    assert!(last_versions(Spelling::D, &events, &sent).contains(&1));
}

/// The node that nginx asked first may have stored what the second one had no room for.
#[test]
fn what_was_too_much_may_have_been_stored_and_what_was_wrong_was_not() {
    let events = [Event::Created, Event::Received, change(1)];
    for (status, expected) in [(429, vec![0, 1]), (503, vec![0, 1]), (400, vec![1]), (403, vec![1])] {
        let plan = plan(Spelling::D, &events);
        let mut arrivals = arrivals(&plan, &[(0, 0, Some(5)), (1, 10, None), (2, 20, Some(25))]);
        arrivals[1].tried.reply = Reply::Refused(status);
        let versions: Vec<usize> = Timeline::new(&plan, &arrivals).last_versions().into_iter().collect();
        assert_eq!(versions, expected, "{status}");
    }
}
