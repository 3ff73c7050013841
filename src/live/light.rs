//! The traffic light: from what is known of a node to a colour and its reasons in words. Pure.

use std::cmp::Reverse;
use std::time::Duration;

use serde::Serialize;

/// How bad it is; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// Hooks are answered in time and nothing piles up.
    Green,
    /// Hooks are answered; somebody should look within the hour.
    Yellow,
    /// Hooks are not answered, or not in time: somebody must look now.
    Red,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// How bad it is.
    pub colour: Colour,
    /// What is wrong and what follows from it.
    pub text: String,
}

/// The traffic light.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Light {
    /// The worst of the reasons; green without any.
    pub colour: Colour,
    /// The worst first.
    pub reasons: Vec<Reason>,
}

/// Everything that the light depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The node is about to end.
    pub draining: bool,
    /// Why the database cannot be used; `None` when it can.
    pub database: Option<String>,
    /// Hooks answered within the last [`WINDOW`], and those that were not answered in time.
    pub answered: u64,
    /// See `answered`.
    pub late: u64,
    /// Hooks answered 503 within the last [`WINDOW`]: they are not known to be stored.
    pub unavailable: u64,
    /// Hooks refused within the last [`WINDOW`] because a bound was met.
    pub busy: u64,
    /// A hook not committed by then is answered 503.
    pub answer_deadline: Duration,
    /// Orders whose queue is at least half full.
    pub crowded_orders: usize,
    /// Events that may wait for one order.
    pub order_queue: usize,
    /// The order whose event has been under way the longest; `None` when nobody looked.
    pub standing: Option<(String, Duration)>,
    /// Group commits of the last [`WINDOW`] that failed in passing and were sent again.
    pub commits_failed: u64,
    /// Commits that wait in all persistence actors, and how many may.
    pub commits_waiting: usize,
    /// See `commits_waiting`.
    pub commit_queue: usize,
    /// Why nobody knows what needs a person; `None` when it is known.
    pub uncounted: Option<String>,
    /// Notices that wait to be sent.
    pub notices_pending: i64,
    /// The age of the oldest of them.
    pub oldest_notice: Duration,
    /// A notice that waits longer is told.
    pub outbox_limit: Duration,
    /// Telegram does not accept the bot's token.
    pub token_refused: bool,
    /// Chats that wait because sending to them failed.
    pub failing_chats: usize,
    /// Stores whose open orders nobody is told about.
    pub stores_without_chat: usize,
    /// Chats that Telegram refuses.
    pub chats_disabled: usize,
    /// Open orders that came to contradict themselves within the last hour.
    pub fresh_conflicts: usize,
    /// Orders of which created has not come for ten minutes.
    pub orders_announced: usize,
}

/// How long an answer that was not given in time is held against the node.
pub const WINDOW: Duration = Duration::from_secs(30);

/// The colour and its reasons.
#[must_use]
pub fn light(seen: &Seen) -> Light {
    let mut reasons = Vec::new();
    answers(seen, &mut reasons);
    queues(seen, &mut reasons);
    staff(seen, &mut reasons);
    // Stable: within a colour the order of the checks stays.
    reasons.sort_by_key(|reason| Reverse(reason.colour));
    Light {
        colour: reasons.first().map_or(Colour::Green, |worst| worst.colour),
        reasons,
    }
}

/// Whether SM gets its answers.
fn answers(seen: &Seen, reasons: &mut Vec<Reason>) {
    if seen.draining {
        reasons.push(red(
            "This node is draining: it takes no new hooks and is about to end.".to_owned()
        ));
    }
    if let Some(cause) = &seen.database {
        reasons.push(red(format!(
            "No usable database: {cause}. Hooks are answered 503; SM and nginx repeat them."
        )));
    }
    // One in a hundred is what SM's repeats absorb without anybody noticing.
    let by_share = |count: u64, text: String| {
        let many = count.saturating_mul(100) >= seen.answered;
        if many { red(text) } else { yellow(text) }
    };
    // What ran into its deadline is told below.
    if seen.unavailable > seen.late {
        let refused = format!(
            "{} of {} hooks were answered 503 during the last {} s: nothing was stored, SM repeats them.",
            seen.unavailable,
            seen.answered,
            WINDOW.as_secs(),
        );
        reasons.push(by_share(seen.unavailable, refused));
    }
    if seen.late > 0 {
        let late = format!(
            "{} of {} hooks were not answered within {} during the last {} s.",
            seen.late,
            seen.answered.max(seen.late),
            humantime::format_duration(seen.answer_deadline),
            WINDOW.as_secs(),
        );
        reasons.push(by_share(seen.late, late));
    }
}

/// Whether something piles up.
fn queues(seen: &Seen, reasons: &mut Vec<Reason>) {
    if seen.busy > 0 {
        reasons.push(yellow(format!(
            "{} hooks were refused with 429 during the last {} s: a queue is full.",
            seen.busy,
            WINDOW.as_secs()
        )));
    }
    if seen.crowded_orders > 0 {
        reasons.push(yellow(format!(
            "Orders whose queue is at least half full: {}. One may hold {} events.",
            seen.crowded_orders, seen.order_queue
        )));
    }
    if let Some((order_id, standing)) = &seen.standing
        && standing.saturating_mul(2) >= seen.answer_deadline
    {
        reasons.push(yellow(format!(
            "An event of the order {order_id} has been under way for {}.{} s.",
            standing.as_secs(),
            standing.subsec_millis() / 100
        )));
    }
    if seen.commits_failed > 0 && seen.database.is_none() {
        reasons.push(yellow(format!(
            "{} group commits failed in passing during the last {} s and were sent again.",
            seen.commits_failed,
            WINDOW.as_secs()
        )));
    }
    if seen.commits_waiting.saturating_mul(4) >= seen.commit_queue {
        reasons.push(yellow(format!(
            "{} commits wait for PostgreSQL; {} may.",
            seen.commits_waiting, seen.commit_queue
        )));
    }
}

/// Whether staff are told.
fn staff(seen: &Seen, reasons: &mut Vec<Reason>) {
    if seen.token_refused {
        reasons.push(yellow(
            "Telegram does not accept the bot's token: nobody is told anything.".to_owned(),
        ));
    }
    if seen.oldest_notice > seen.outbox_limit {
        reasons.push(yellow(format!(
            "{} notices wait, the oldest for {}.",
            seen.notices_pending,
            humantime::format_duration(Duration::from_secs(seen.oldest_notice.as_secs()))
        )));
    }
    if let (Some(cause), None) = (&seen.uncounted, &seen.database) {
        reasons.push(yellow(format!("What needs a person is not known: {cause}.")));
    }
    let mut count = |count: usize, one: &str, many: &str, rest: &str| {
        if count > 0 {
            let what = if count == 1 { one } else { many };
            reasons.push(yellow(format!("{count} {what} {rest}")));
        }
    };
    count(
        seen.failing_chats,
        "chat waits",
        "chats wait",
        "because sending to Telegram failed.",
    );
    count(
        seen.stores_without_chat,
        "store has open orders",
        "stores have open orders",
        "that no chat is told about.",
    );
    count(
        seen.chats_disabled,
        "chat refuses",
        "chats refuse",
        "the bot and is disabled.",
    );
    count(
        seen.fresh_conflicts,
        "open order came to contradict itself",
        "open orders came to contradict themselves",
        "within the last hour: staff may hold a wrong list.",
    );
    count(
        seen.orders_announced,
        "order is",
        "orders are",
        "known by later events only: created has not come for 10 minutes.",
    );
}

const fn red(text: String) -> Reason {
    Reason {
        colour: Colour::Red,
        text,
    }
}

const fn yellow(text: String) -> Reason {
    Reason {
        colour: Colour::Yellow,
        text,
    }
}

#[cfg(test)]
mod tests {
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
            answer_deadline: Duration::from_secs(2),
            crowded_orders: 0,
            order_queue: 128,
            standing: Some(("H1".to_owned(), Duration::from_millis(3))),
            commits_failed: 0,
            commits_waiting: 20,
            commit_queue: 8192,
            uncounted: None,
            notices_pending: 4,
            oldest_notice: Duration::from_secs(1),
            outbox_limit: Duration::from_secs(300),
            token_refused: false,
            failing_chats: 0,
            stores_without_chat: 0,
            chats_disabled: 0,
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
            seen.uncounted = Some("gone".to_owned());
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
    fn what_can_wait_an_hour_is_yellow() {
        let changes: [(Change, &str); 17] = [
            (|seen| seen.unavailable = 29, "29 of 3000 hooks were answered 503"),
            (|seen| seen.late = 29, "29 of 3000"),
            (|seen| seen.busy = 1, "429"),
            (|seen| seen.crowded_orders = 3, "half full: 3. One may hold 128"),
            (
                |seen| seen.standing = standing(1250),
                "order H1 has been under way for 1.2 s",
            ),
            (|seen| seen.commits_failed = 2, "2 group commits failed"),
            (|seen| seen.uncounted = Some("a lock".to_owned()), "not known: a lock"),
            (|seen| seen.commits_waiting = 2048, "2048 commits"),
            (|seen| seen.token_refused = true, "token"),
            (|seen| seen.oldest_notice = Duration::from_secs(301), "5m 1s"),
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
}
