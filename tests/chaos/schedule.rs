//! Which faults come when: drawn from the seed and from nothing else, before anything starts.
//!
//! The schedule is the same for the same seed; what a fault meets is not, for processes and networks have
//! times of their own.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Nodes of the pool.
pub(crate) const NODES: usize = 3;

/// What is done to a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to a node, which is started again.
    KillNode(usize),
    /// The same to the node that sends to Telegram.
    KillLeader,
    /// SIGKILL to all of them at once.
    KillEveryNode,
    /// SIGSTOP to a node, and SIGCONT.
    FreezeNode(usize),
    /// The same to the node that sends to Telegram, for longer than it takes to be replaced.
    FreezeLeader,
    /// SIGTERM to a node, which drains and is started again.
    DrainNode(usize),
    /// SIGKILL to a worker of nginx, which its master replaces.
    KillNginxWorker,

    /// SIGKILL to the primary; the standby is promoted, the old primary becomes its standby.
    KillPrimary,
    /// SIGKILL to the primary, which is started again as it is.
    CrashPrimary,
    /// SIGSTOP to the primary, and SIGCONT.
    FreezePrimary,
    /// A primary that is frozen when the standby is promoted, which kills it.
    FreezeAndReplacePrimary,
    /// SIGSTOP to the standby, and SIGCONT: every commit waits.
    FreezeStandby,
    /// No byte is left on the disk of the database.
    FillDisk,

    /// The connections between a node and the database are reset, and refused for a while.
    CutDatabase(usize),
    /// They stay open and nothing arrives.
    HangDatabase(usize),
    /// Everything takes longer, in milliseconds each way.
    SlowDatabase(usize, u64),
    /// The connections between nginx and a node are reset, and refused for a while.
    CutNode(usize),
    /// Everything takes longer, in milliseconds each way.
    SlowNode(usize, u64),

    /// What the Bot API does.
    Telegram(TelegramFault),
}

impl Fault {
    /// What it is, whomever it hits and however hard: `KillNode`, `Telegram LostAnswers`.
    pub(crate) fn kind(self) -> String {
        let told = format!("{self:?}");
        let words = told.split(|letter: char| !letter.is_alphabetic());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// What the Bot API does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TelegramFault {
    /// 502 with a page of a proxy.
    ServerError,
    /// 429, with so many seconds to wait.
    TooManyRequests(u64),
    /// It takes requests and does nothing.
    Hang,
    /// Nobody listens.
    Refused,
    /// It takes messages and answers after so many milliseconds, for which every node waits.
    SlowAnswers(u64),
    /// It takes so many messages and closes the connection.
    LostAnswers(u32),
    /// It takes so many messages and answers too late.
    LateAnswers(u32),
    /// It takes so many messages and says 500.
    TakenThenError(u32),
}

/// A fault with its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// After the beginning.
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    pub(crate) fault: Fault,
}

/// Faults that come one after the other. Those of different lanes meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) nodes: Vec<Planned>,
    pub(crate) database: Vec<Planned>,
    pub(crate) network: Vec<Planned>,
    pub(crate) telegram: Vec<Planned>,
}

/// A kind of fault: what it is this time, and the milliseconds that it lasts.
type Kind = fn(&mut StdRng) -> (Fault, u64);

const OF_NODES: [Kind; 7] = [
    |rng| (Fault::KillNode(node(rng)), rng.random_range(0..1500)),
    |rng| (Fault::KillLeader, rng.random_range(0..1500)),
    |rng| (Fault::KillEveryNode, rng.random_range(0..1500)),
    |rng| (Fault::FreezeNode(node(rng)), rng.random_range(1000..8000)),
    |rng| (Fault::FreezeLeader, rng.random_range(6500..9000)),
    |rng| (Fault::DrainNode(node(rng)), rng.random_range(0..1000)),
    |_| (Fault::KillNginxWorker, 0),
];
const OF_DATABASE: [Kind; 6] = [
    |rng| (Fault::KillPrimary, rng.random_range(0..3000)),
    |rng| (Fault::CrashPrimary, rng.random_range(0..3000)),
    |rng| (Fault::FreezePrimary, rng.random_range(1000..7000)),
    |rng| (Fault::FreezeAndReplacePrimary, rng.random_range(1000..4000)),
    |rng| (Fault::FreezeStandby, rng.random_range(1000..6000)),
    |rng| (Fault::FillDisk, rng.random_range(2000..5000)),
];
const OF_NETWORK: [Kind; 5] = [
    |rng| (Fault::CutDatabase(node(rng)), rng.random_range(0..4000)),
    |rng| (Fault::HangDatabase(node(rng)), rng.random_range(1000..6000)),
    |rng| {
        (
            Fault::SlowDatabase(node(rng), rng.random_range(5..100)),
            rng.random_range(2000..7000),
        )
    },
    |rng| (Fault::CutNode(node(rng)), rng.random_range(0..3000)),
    |rng| {
        (
            Fault::SlowNode(node(rng), rng.random_range(20..400)),
            rng.random_range(2000..7000),
        )
    },
];
const OF_TELEGRAM: [Kind; 8] = [
    |rng| telegram(TelegramFault::ServerError, rng.random_range(1000..6000)),
    |rng| {
        let seconds = rng.random_range(1..5);
        telegram(TelegramFault::TooManyRequests(seconds), seconds * 1000)
    },
    |rng| telegram(TelegramFault::Hang, rng.random_range(2000..7000)),
    |rng| telegram(TelegramFault::Refused, rng.random_range(1000..6000)),
    |rng| {
        let slow = TelegramFault::SlowAnswers(rng.random_range(300..1200));
        telegram(slow, rng.random_range(3000..7000))
    },
    |rng| telegram(TelegramFault::LostAnswers(rng.random_range(1..4)), 3000),
    |rng| telegram(TelegramFault::LateAnswers(rng.random_range(1..3)), 5000),
    |rng| telegram(TelegramFault::TakenThenError(rng.random_range(1..4)), 3000),
];

const fn telegram(fault: TelegramFault, lasts: u64) -> (Fault, u64) {
    (Fault::Telegram(fault), lasts)
}

fn node(rng: &mut StdRng) -> usize {
    rng.random_range(0..NODES)
}

impl Schedule {
    pub(crate) fn of_seed(seed: u64, duration: Duration) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        // A lane of its own generator: a kind that is added to one changes no other.
        let mut lane = |kinds: &[Kind], pauses| lane(kinds, pauses, duration, &mut StdRng::seed_from_u64(rng.random()));
        Self {
            nodes: lane(&OF_NODES, 2000..6000),
            // What it needs besides, to promote and to join again, is a pause of its own.
            database: lane(&OF_DATABASE, 5000..12_000),
            network: lane(&OF_NETWORK, 2000..8000),
            telegram: lane(&OF_TELEGRAM, 2000..7000),
        }
    }

    /// Every kind of fault that is planned.
    pub(crate) fn kinds(&self) -> BTreeSet<String> {
        let planned = self.lanes().into_iter().flatten();
        planned.map(|planned| planned.fault.kind()).collect()
    }

    pub(crate) fn lanes(&self) -> [&Vec<Planned>; 4] {
        [&self.nodes, &self.database, &self.network, &self.telegram]
    }
}

/// Every kind once, in any order, then every kind once more, with pauses in milliseconds between them.
fn lane(kinds: &[Kind], pauses: std::ops::Range<u64>, duration: Duration, rng: &mut StdRng) -> Vec<Planned> {
    let mut planned = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        let mut deck = kinds.to_vec();
        deck.shuffle(rng);
        for kind in deck {
            at += Duration::from_millis(rng.random_range(pauses.clone()));
            let (fault, millis) = kind(rng);
            let lasts = Duration::from_millis(millis);
            if at + lasts > duration {
                return planned;
            }
            planned.push(Planned { at, lasts, fault });
            at += lasts;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_MINUTES: Duration = Duration::from_secs(120);

    #[test]
    fn a_seed_is_one_schedule() {
        let one = Schedule::of_seed(7, TWO_MINUTES);
        assert_eq!(one, Schedule::of_seed(7, TWO_MINUTES));
        assert_ne!(one, Schedule::of_seed(8, TWO_MINUTES));
        // A longer run begins as the short one does.
        let longer = Schedule::of_seed(7, 5 * TWO_MINUTES);
        for (short, long) in one.lanes().into_iter().zip(longer.lanes()) {
            assert_eq!(short[..], long[..short.len()]);
            assert!(long.len() > 3 * short.len());
        }
    }

    /// Whatever the seed, the short form leaves nothing out.
    #[test]
    fn two_minutes_have_every_kind_of_fault() {
        for seed in 0..200 {
            let schedule = Schedule::of_seed(seed, TWO_MINUTES);
            let kinds = [OF_NODES.len(), OF_DATABASE.len(), OF_NETWORK.len(), OF_TELEGRAM.len()];
            for (lane, kinds) in schedule.lanes().into_iter().zip(kinds) {
                assert!(lane.len() >= kinds, "seed {seed}: {lane:?}");
                for pair in lane.windows(2) {
                    assert!(pair[0].at + pair[0].lasts < pair[1].at, "{pair:?}");
                }
            }
            assert_eq!(schedule.kinds().len(), kinds.iter().sum::<usize>(), "seed {seed}");
        }
    }
}
