//! Rule 5 of the protocol, told as stories: a late repeat of a change must not undo a newer one.

mod support;

use orderhook_domain::apply::{Conflict, Note, Outcome, Transition};
use orderhook_domain::event::{Content, Event, EventKind};
use orderhook_domain::order::MAX_JUDGED_CHANGES;

use support::build::{bare, changed, created, list, stamped};
use support::drive::Story;
use support::show;

const APPLIED: (Outcome, &[Note]) = (Outcome::Applied, &[]);
const RESTORED: (Outcome, &[Note]) = (Outcome::Applied, &[Note::CompositionRestored]);
const LATE_REPEAT: (Outcome, &[Note]) = (Outcome::Duplicate, &[Note::LateRepeat]);
const OLDER: (Outcome, &[Note]) = (Outcome::Ignored, &[Note::OlderTimestamp]);

fn x() -> Event {
    changed(list(&["milk 1"]))
}

fn y() -> Event {
    changed(list(&["milk 2"]))
}

fn ordered() -> Story {
    Story::of(&[created(&["milk 9"])])
}

#[track_caller]
fn expect(transition: &Transition, (outcome, notes): (Outcome, &[Note])) {
    assert_eq!((transition.outcome, transition.notes.as_slice()), (outcome, notes));
}

#[track_caller]
fn stands(story: &Story, lines: &str) {
    assert_eq!(show::lines(&story.order), lines);
}

#[test]
fn x_unanswered_then_y_then_x_again_leaves_y() {
    let mut story = ordered();
    expect(&story.tell_unheard(x()), APPLIED);
    expect(&story.tell(y()), APPLIED);
    let repeat = story.tell(x());
    expect(&repeat, LATE_REPEAT);
    assert_eq!(repeat.notice, None);
    stands(&story, "milk 2");
}

#[test]
fn x_answered_then_y_then_x_with_a_newer_timestamp_is_a_new_change() {
    let mut story = ordered();
    expect(&story.tell(stamped(x(), 10)), APPLIED);
    expect(&story.tell(stamped(y(), 20)), APPLIED);
    let back = story.tell(stamped(x(), 30));
    expect(&back, RESTORED);
    assert!(back.notice.is_some(), "staff pick another list now");
    stands(&story, "milk 1");
}

#[test]
fn x_answered_then_y_then_x_without_timestamp_is_a_new_change() {
    let mut story = ordered();
    story.tell(x());
    story.tell(y());
    expect(&story.tell(x()), RESTORED);
    stands(&story, "milk 1");
}

#[test]
fn a_newer_timestamp_tells_a_new_change_even_where_the_answer_to_the_first_was_lost() {
    let mut story = ordered();
    story.tell_unheard(stamped(x(), 10));
    story.tell(stamped(y(), 20));
    expect(&story.tell(stamped(x(), 30)), RESTORED);
    stands(&story, "milk 1");
}

#[test]
fn the_composition_of_created_is_an_earlier_one_too() {
    let mut story = ordered();
    story.tell(x());
    expect(&story.tell(changed(list(&["milk 9"]))), RESTORED);
}

#[test]
fn the_same_content_with_the_same_timestamp_was_judged_before() {
    let mut story = ordered();
    story.tell(stamped(x(), 10));
    expect(&story.tell(stamped(x(), 10)), LATE_REPEAT);
    story.tell(stamped(y(), 20));
    expect(&story.tell(stamped(x(), 10)), LATE_REPEAT);
    stands(&story, "milk 2");
}

#[test]
fn another_content_with_the_same_timestamp_is_no_older_change() {
    let mut story = ordered();
    story.tell(stamped(x(), 10));
    expect(&story.tell(stamped(y(), 10)), APPLIED);
    stands(&story, "milk 2");
}

#[test]
fn an_older_timestamp_is_stale_and_stays_so() {
    let mut story = ordered();
    story.tell(stamped(y(), 20));
    let older = story.tell(stamped(x(), 10));
    expect(&older, OLDER);
    assert_eq!(older.notice, None);
    stands(&story, "milk 2");
}

#[test]
fn an_unanswered_change_that_nothing_followed_is_repeated_without_effect() {
    let mut story = ordered();
    story.tell_unheard(x());
    let repeat = story.tell(x());
    expect(&repeat, (Outcome::Duplicate, &[]));
    assert_eq!(repeat.notice, None);
    stands(&story, "milk 1");
}

#[test]
fn a_change_without_effect_between_them_makes_no_repeat_late() {
    let mut story = ordered();
    story.tell_unheard(x());
    story.tell(changed(Content::default()));
    story.tell(bare(EventKind::Informational));
    expect(&story.tell(x()), (Outcome::Duplicate, &[]));
}

#[test]
fn parked_x_unanswered_y_x_leaves_y() {
    let mut story = Story::new();
    story.tell_unheard(x());
    story.tell(y());
    story.tell(x());
    expect(
        &story.tell(created(&["milk 9"])),
        (Outcome::Applied, &[Note::ParkedStale]),
    );
    stands(&story, "milk 2");
}

#[test]
fn parked_x_answered_y_x_ends_in_x() {
    let mut story = Story::of(&[x(), y(), x()]);
    expect(&story.tell(created(&["milk 9"])), RESTORED);
    stands(&story, "milk 1");
}

#[test]
fn parked_changes_act_by_arrival_not_by_commit() {
    let mut story = Story::new();
    let first = story.next(x());
    let second = story.next(y());
    story.deliver(&second);
    story.deliver(&first);
    story.tell(created(&["milk 9"]));
    stands(&story, "milk 2");
}

#[test]
fn a_repeat_of_a_change_that_came_after_closing_is_a_repeat_and_no_second_conflict() {
    let mut story = Story::of(&[created(&["milk 9"]), bare(EventKind::Paid)]);
    let after_closing = (Outcome::Ignored, &[Note::Conflict(Conflict::ChangedAfterClosing)][..]);
    expect(&story.tell(stamped(x(), 10)), after_closing);
    expect(&story.tell(stamped(x(), 10)), LATE_REPEAT);
}

#[test]
fn a_repeat_of_a_change_that_was_too_old_is_a_repeat() {
    let mut story = ordered();
    story.tell(stamped(y(), 20));
    expect(&story.tell(stamped(x(), 10)), OLDER);
    expect(&story.tell(stamped(x(), 10)), LATE_REPEAT);
}

#[test]
fn a_stale_repeat_that_was_not_answered_is_repeated_too() {
    let mut story = ordered();
    let first = story.next(x());
    story.deliver(&first);
    story.tell(y());
    expect(&story.tell_unheard(x()), LATE_REPEAT);
    // The record of the first answer was written late, in a batch.
    story.recorded.insert(first.id);
    story.tell(changed(list(&["milk 3"])));
    expect(&story.tell(x()), LATE_REPEAT);
    stands(&story, "milk 3");
}

#[test]
fn parked_x_with_a_timestamp_answered_y_x_without_ends_in_x() {
    let mut story = Story::of(&[stamped(x(), 10), y(), x()]);
    expect(&story.tell(created(&["milk 9"])), RESTORED);
    stands(&story, "milk 1");
}

#[test]
fn a_second_try_of_one_delivery_is_that_delivery_whatever_happened_between() {
    let mut story = ordered();
    let first = story.next(x());
    expect(&story.deliver(&first), APPLIED);
    story.recorded.insert(first.id);
    story.tell(y());
    expect(&story.deliver(&first), LATE_REPEAT);
    stands(&story, "milk 2");
}

#[test]
fn a_second_try_of_a_parked_delivery_does_not_wait_twice() {
    let mut story = Story::new();
    let first = story.next(x());
    story.deliver(&first);
    story.tell(y());
    let second_try = story.deliver(&first);
    expect(&second_try, (Outcome::Duplicate, &[]));
    story.recorded.insert(first.id);
    expect(&story.tell(created(&["milk 9"])), APPLIED);
    stands(&story, "milk 2");
}

#[test]
fn a_second_try_that_created_overtook_is_still_that_delivery() {
    let mut story = Story::new();
    let first = story.next(x());
    story.deliver(&first);
    story.recorded.insert(first.id);
    story.tell(created(&["milk 9"]));
    story.tell(y());
    expect(&story.deliver(&first), LATE_REPEAT);
    stands(&story, "milk 2");
}

#[test]
fn what_is_remembered_of_changes_has_a_bound() {
    let mut story = ordered();
    for amount in 10..310 {
        expect(&story.tell(changed(list(&[&format!("milk {amount}")]))), APPLIED);
    }
    let memory = &story.order.memory;
    assert_eq!(memory.judged_changes.len(), MAX_JUDGED_CHANGES);
    assert_eq!(memory.past_compositions.len(), MAX_JUDGED_CHANGES);
    // The oldest went first.
    expect(&story.tell(changed(list(&["milk 308"]))), RESTORED);
    expect(&story.tell(changed(list(&["milk 10"]))), APPLIED);
}
