//! Each thing that can be wrong, by itself: its colour and its words.

use super::*;

type Change = fn(&mut Seen);

fn well() -> Seen {
    Seen {
        draining: false,
        database: None,
        answered: 3000,
        late: 0,
        unavailable: 0,
        busy: 0,
        queue_refusals: 0,
        standing_wait: Duration::ZERO,
        turn_wait: Duration::ZERO,
        answer_deadline: Duration::from_secs(2),
        crowded_orders: 0,
        order_queue: 128,
        standing: Some(("H1".to_owned(), Duration::from_millis(3))),
        commits_failed: 0,
        commits_waiting: 20,
        commit_queue: 8192,
        uncounted: Vec::new(),
        nobody_sends: Duration::from_secs(3),
        notices_pending: 4,
        oldest_notice: Duration::from_secs(1),
        outbox_limit: Duration::from_secs(300),
        token_refused: false,
        failing_chats: 0,
        stores_without_chat: 0,
        chats_disabled: 0,
        fresh_rejects: 0,
        fresh_conflicts: 0,
        orders_announced: 0,
    }
}

fn standing(millis: u64) -> Option<(String, Duration)> {
    Some(("H1".to_owned(), Duration::from_millis(millis)))
}

/// The colour when one thing is changed, and the words of its only reason.
fn with(change: impl FnOnce(&mut Seen)) -> (Colour, String) {
    let mut seen = well();
    change(&mut seen);
    let light = light(&seen);
    assert!(light.reasons.len() <= 1, "{light:?}");
    let text = light.reasons.first().map(|reason| reason.text.clone());
    // Whoever is woken up by it is told what to do, and where more of that is written.
    for reason in &light.reasons {
        assert!(!reason.advice.is_empty(), "{reason:?}");
        if let Some((_, section)) = reason.advice.split_once("Runbook: ") {
            let section = format!("### {}\n", section.trim_end_matches('.'));
            assert!(
                include_str!("../../../deploy/runbook.md").contains(&section),
                "{section}"
            );
        }
    }
    (light.colour, text.unwrap_or_default())
}

#[test]
fn a_node_that_is_well_is_green_without_a_word() {
    assert_eq!(with(|_| ()), (Colour::Green, String::new()));
    // An idle one, too.
    assert_eq!(with(|seen| seen.answered = 0).0, Colour::Green);
    assert_eq!(with(|seen| seen.standing = None).0, Colour::Green);
}

#[test]
fn whatever_keeps_sm_from_its_answer_is_red() {
    let (colour, text) = with(|seen| seen.database = Some("connection refused".to_owned()));
    assert_eq!(colour, Colour::Red);
    assert!(text.contains("connection refused") && text.contains("503"), "{text}");
    // What follows from that is no reason of its own.
    let (colour, text) = with(|seen| {
        (seen.database, seen.commits_failed) = (Some("gone".to_owned()), 3);
        seen.uncounted = vec![("The outbox", "gone".to_owned())];
    });
    assert!(colour == Colour::Red && text.contains("gone"), "{text}");
    let (colour, text) = with(|seen| seen.draining = true);
    assert!(colour == Colour::Red && text.contains("draining"), "{text}");
    let (colour, text) = with(|seen| seen.late = 30);
    assert!(colour == Colour::Red && text.contains("30 of 3000"), "{text}");
    // The database answers, and takes nothing: its disk is full.
    let (colour, text) = with(|seen| seen.unavailable = 3000);
    assert!(colour == Colour::Red && text.contains("3000 of 3000"), "{text}");
    let (colour, text) = with(|seen| (seen.unavailable, seen.late) = (40, 40));
    assert!(colour == Colour::Red && text.contains("not answered within"), "{text}");
    // A single hook that nobody answered is all the traffic there is.
    let (colour, text) = with(|seen| (seen.answered, seen.late) = (0, 1));
    assert!(colour == Colour::Red && text.contains("1 of 1"), "{text}");
}

#[test]
fn whatever_wakes_somebody_up_is_red() {
    // As the alerts of the same names are critical.
    let (colour, text) = with(|seen| seen.busy = 3000);
    assert!(colour == Colour::Red && text.contains("3000 of 3000"), "{text}");
    let (colour, text) = with(|seen| {
        (seen.busy, seen.standing_wait) = (151, Duration::from_millis(140));
        seen.turn_wait = Duration::from_millis(30);
    });
    assert!(
        colour == Colour::Red && text.contains("waits 30 ms for its turn and 140 ms for its transaction"),
        "{text}"
    );
    let (colour, text) = with(|seen| seen.nobody_sends = Duration::from_secs(31));
    assert!(colour == Colour::Red && text.contains("for 31 s"), "{text}");
    let (colour, text) = with(|seen| seen.token_refused = true);
    assert!(colour == Colour::Red && text.contains("token"), "{text}");
    let (colour, text) = with(|seen| seen.oldest_notice = Duration::from_secs(301));
    assert!(
        colour == Colour::Red && text.starts_with("4 notices wait, the oldest for 5m 1s"),
        "{text}"
    );
    let (_, text) = with(|seen| {
        seen.oldest_notice = Duration::from_secs(301);
        seen.notices_pending = 20_000;
    });
    assert!(text.starts_with("At least 20000 notices wait"), "{text}");
}

#[test]
fn what_can_wait_an_hour_is_yellow() {
    let changes: [(Change, &str); 17] = [
        (|seen| seen.unavailable = 29, "29 of 3000 hooks were answered 503"),
        (|seen| seen.late = 29, "29 of 3000"),
        (|seen| seen.busy = 150, "150 of 3000 hooks were refused with 429"),
        // One order that SM repeats without end, on a node that has little else to do.
        (
            |seen| (seen.answered, seen.busy, seen.queue_refusals) = (6, 5, 5),
            "5 of 6 hooks were refused with 429 during the last 30 s: a queue is full",
        ),
        (|seen| seen.fresh_rejects = 1, "1 hook was rejected for good"),
        (|seen| seen.crowded_orders = 3, "half full: 3. One may hold 128"),
        (
            |seen| seen.standing = standing(1250),
            "order H1 has been under way for 1.2 s",
        ),
        (|seen| seen.commits_failed = 2, "2 group commits failed"),
        (
            |seen| seen.uncounted = vec![("How many notices wait", "a lock".to_owned())],
            "How many notices wait is not known: a lock",
        ),
        (|seen| seen.commits_waiting = 2048, "2048 commits"),
        (|seen| seen.failing_chats = 2, "2 chats wait"),
        (|seen| seen.stores_without_chat = 1, "1 store has open orders"),
        (|seen| seen.stores_without_chat = 2, "2 stores have open orders"),
        (|seen| seen.chats_disabled = 1, "1 chat refuses"),
        (
            |seen| seen.fresh_conflicts = 1,
            "1 open order came to contradict itself",
        ),
        (
            |seen| seen.orders_announced = 1,
            "1 order is known by later events only",
        ),
        (|seen| seen.orders_announced = 3, "3 orders are known"),
    ];
    for (change, words) in changes {
        let (colour, text) = with(change);
        assert!(colour == Colour::Yellow && text.contains(words), "{colour:?} {text}");
    }
}

#[test]
fn limits_are_met_exactly() {
    assert_eq!(with(|seen| seen.oldest_notice = seen.outbox_limit).0, Colour::Green);
    assert_eq!(with(|seen| seen.standing = standing(999)).0, Colour::Green);
    assert_eq!(with(|seen| seen.commits_waiting = 2047).0, Colour::Green);
    assert_eq!(with(|seen| seen.nobody_sends = NOBODY_SENDS).0, Colour::Green);
}

#[test]
fn what_was_refused_at_the_door_and_what_by_a_queue_are_told_apart() {
    let mut seen = well();
    (seen.busy, seen.queue_refusals) = (200, 50);
    let reasons = light(&seen).reasons;
    let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
    assert!(
        texts[0].starts_with("150 of 3000") && texts[0].contains("over capacity"),
        "{texts:?}"
    );
    assert!(
        texts[1].starts_with("50 of 3000") && texts[1].contains("a queue is full"),
        "{texts:?}"
    );
}

#[test]
fn the_worst_reason_comes_first_and_gives_the_colour() {
    let mut seen = well();
    seen.chats_disabled = 1;
    seen.draining = true;
    seen.busy = 5;
    let light = light(&seen);
    let colours: Vec<Colour> = light.reasons.iter().map(|reason| reason.colour).collect();
    assert_eq!(light.colour, Colour::Red);
    assert_eq!(colours, [Colour::Red, Colour::Yellow, Colour::Yellow]);
}
