//! Who is let in, and who is not.

use super::*;
use crate::persistence_actor::PersistenceCommand;

const ANSWER_TIME: Duration = Duration::from_secs(2);
const BATCH_ROWS: usize = 10;
const BOUND: usize = 100;

fn admission(inside: usize) -> (Arc<Admission>, Arc<MailboxStats>) {
    let stats = MailboxStats::new::<PersistenceCommand>("persistence");
    stats.opened(BOUND);
    for _ in 0..inside {
        stats.entered(0, 1, BOUND);
    }
    let admission = Admission::new(ANSWER_TIME, BATCH_ROWS, Arc::clone(&stats));
    admission.transaction_committed();
    (admission, stats)
}

/// Intervals of one wait each.
fn waits(admission: &Admission, millis: &[u64]) {
    for (interval, millis) in millis.iter().enumerate() {
        let now = INTERVAL * u32::try_from(interval + 1).unwrap();
        admission.waited_for_transaction(Duration::from_millis(*millis), now);
    }
}

#[test]
fn a_node_whose_hooks_do_not_wait_admits_everything() {
    let (admission, _) = admission(BATCH_ROWS);
    waits(&admission, &[3]);
    assert_eq!(admission.admit(Importance::Other), Ok(()));
    assert_eq!(admission.admit(Importance::Created), Ok(()));
}

#[test]
fn when_everybody_waits_created_is_still_admitted_and_the_others_are_not() {
    let (admission, _) = admission(BATCH_ROWS);
    waits(&admission, &[300]);
    assert_eq!(admission.admit(Importance::Other), Err(DeliverError::Busy));
    assert_eq!(admission.admit(Importance::Created), Ok(()));
}

#[test]
fn created_is_refused_when_it_could_not_be_answered_in_time() {
    let (admission, _) = admission(BATCH_ROWS);
    waits(&admission, &[300, 1600]);
    assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Busy));
}

#[test]
fn one_that_did_not_wait_shows_that_the_node_keeps_up() {
    let (admission, _) = admission(BATCH_ROWS);
    admission.waited_for_transaction(Duration::from_millis(1), INTERVAL / 2);
    admission.waited_for_transaction(Duration::from_millis(900), INTERVAL);
    assert_eq!(admission.admit(Importance::Other), Ok(()));
}

#[test]
fn a_disk_that_stood_still_once_is_no_lack_of_capacity() {
    let (admission, _) = admission(BATCH_ROWS);
    waits(&admission, &[3]);
    let later = |millis| INTERVAL + Duration::from_millis(millis);
    admission.waited_for_transaction(Duration::from_millis(400), later(400));
    assert_eq!(admission.admit(Importance::Other), Ok(()));
    // It goes on like this.
    admission.waited_for_transaction(Duration::from_millis(300), later(800));
    assert_eq!(admission.standing(), Duration::from_millis(300));
    assert_eq!(admission.admit(Importance::Other), Err(DeliverError::Busy));
}

#[test]
fn an_old_queue_that_the_next_transaction_empties_refuses_nobody() {
    let (admission, stats) = admission(BATCH_ROWS);
    waits(&admission, &[1900]);
    assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Busy));
    stats.left(0, 1, BOUND);
    assert_eq!(admission.admit(Importance::Other), Ok(()));
}

/// Transactions, one an interval, that leave hooks behind of which one has waited so long.
fn leaves_behind(millis: &[u64]) -> StoreAdmission {
    let store = StoreAdmission::new(admission(BATCH_ROWS).0);
    for (interval, millis) in millis.iter().enumerate() {
        let now = INTERVAL * u32::try_from(interval + 1).unwrap();
        store.waited(Duration::from_millis(*millis), now);
    }
    store
}

/// The admission's own clock stands still: nothing is committed, and nothing grows old.
#[tokio::test(start_paused = true)]
async fn of_stores_that_are_left_behind_the_one_that_waits_is_refused() {
    let store = leaves_behind(&[400]);
    let waited = Duration::from_millis(400);
    assert_eq!(store.admit(Importance::Other, waited), Err(DeliverError::Busy));
    assert_eq!(store.admit(Importance::Created, waited), Ok(()));
    assert_eq!(store.admit(Importance::Other, Duration::from_millis(40)), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn created_of_such_a_store_is_refused_when_it_could_not_be_answered_in_time() {
    let store = leaves_behind(&[1600]);
    assert_eq!(store.admission.admit(Importance::Created), Ok(()));
    let waited = Duration::from_millis(1600);
    assert_eq!(store.admit(Importance::Created, waited), Err(DeliverError::Busy));
}

#[test]
fn a_transaction_that_took_all_ends_it() {
    let store = leaves_behind(&[400, 0]);
    assert_eq!(store.admit(Importance::Other, Duration::from_millis(400)), Ok(()));
}

#[test]
fn half_of_the_places_is_kept_for_created() {
    let (admission, _) = admission(BOUND / 2);
    assert_eq!(admission.admit(Importance::Other), Err(DeliverError::Busy));
    assert_eq!(admission.admit(Importance::Created), Ok(()));
}

/// The last look of each interval waited so long, others did not come.
fn turns(admission: &Admission, millis: &[u64]) {
    let mut now = Duration::ZERO;
    for millis in millis {
        let wait = Duration::from_millis(*millis);
        now += TURN_INTERVAL.max(wait);
        admission.waited_for_turn(wait, now);
    }
}

#[test]
fn when_every_turn_is_late_those_who_can_come_again_are_refused() {
    let crowd = BATCH_ROWS * CROWD_BATCHES + 1;
    let (admission, stats) = admission(crowd);
    turns(&admission, &[2, 80, 40]);
    assert_eq!(admission.turn_wait(), Duration::from_millis(40));
    assert_eq!(admission.admit(Importance::Other), Err(DeliverError::Busy));
    assert_eq!(admission.admit(Importance::Created), Ok(()));
    // Nobody is inside for whose sake they could be refused.
    stats.left(0, 1, BOUND);
    assert_eq!(admission.admit(Importance::Other), Ok(()));
}

#[test]
fn one_stall_says_nothing_whoever_tells_of_it() {
    let (admission, _) = admission(BATCH_ROWS * CROWD_BATCHES + 1);
    turns(&admission, &[2, 80]);
    // On another thread it was over a little later.
    admission.waited_for_turn(Duration::from_millis(101), Duration::from_millis(121));
    assert_eq!(admission.turn_wait(), Duration::from_millis(2));
    assert_eq!(admission.admit(Importance::Other), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_look_waits_for_its_turn_like_everybody() {
    let (admission, _) = admission(0);
    tokio::spawn(Arc::clone(&admission).watch_turns());
    tokio::time::sleep(INTERVAL * 4).await;
    assert_eq!(admission.turn_wait(), Duration::ZERO);
    for _ in 0..4 {
        // Whatever was due in this time has its turn after it.
        tokio::time::advance(INTERVAL).await;
        tokio::task::yield_now().await;
    }
    assert!(
        admission.turn_wait() >= INTERVAL - TURN_LOOK,
        "{:?}",
        admission.turn_wait()
    );
}

#[test]
fn while_nothing_is_committed_the_refusal_is_not_for_lack_of_capacity() {
    let (mut admission, _) = admission(BOUND);
    assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Busy));
    // The last commit was so long ago.
    Arc::get_mut(&mut admission).unwrap().started -= ANSWER_TIME / 2;
    assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Unavailable));
    admission.transaction_committed();
    assert_eq!(admission.admit(Importance::Created), Err(DeliverError::Busy));
}
