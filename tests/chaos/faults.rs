//! The faults themselves, each done and undone.

use std::time::{Duration, Instant};

use crate::fake_bot_api::{Fault as BotFault, Scope, Times};
use crate::proxy::Trouble;
use crate::schedule::{Fault, NODES, Planned, Schedule, TelegramFault};
use crate::stage::{Cause, Stage};

/// Two faults of one lane are so far apart at least, even when the first took longer than planned.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// A node that drains has so long; its own deadline is 15 s.
const DRAINED_WITHIN: Duration = Duration::from_secs(25);

/// While the database is away nobody sends to Telegram; so long it is waited for, which is longer than any
/// fault of the database lasts.
const LEADS_WITHIN: Duration = Duration::from_secs(20);

/// Longer than any node waits: the fake notices that the caller has left.
const FOR_EVER: Duration = Duration::from_secs(60);

/// The fault in which Telegram asks the bot to wait.
pub(crate) const TOO_MANY_REQUESTS: &str = "Telegram answers 429";

/// Plays the whole schedule; afterwards everything runs and is connected again.
pub(crate) async fn play(stage: &Stage, schedule: &Schedule, started: Instant, duration: Duration) {
    let lane = |planned: &[Planned]| {
        let planned = planned.to_vec();
        async move {
            for Planned { at, lasts, fault } in planned {
                tokio::time::sleep_until((started + at).into()).await;
                if started.elapsed() > duration {
                    stage.skip("there was no time left: what came before took longer than planned");
                    continue;
                }
                if inflict(stage, fault, lasts).await {
                    stage.did(fault.kind());
                }
                tokio::time::sleep(SHORTEST_PAUSE).await;
            }
        }
    };
    let [nodes, database, network, telegram] = schedule.lanes();
    tokio::join!(lane(nodes), lane(database), lane(network), lane(telegram));
}

/// Does it and undoes it; returns whether it could be done.
async fn inflict(stage: &Stage, fault: Fault, lasts: Duration) -> bool {
    let from = Instant::now();
    match fault {
        Fault::KillNode(node) => kill(stage, node, "a node is killed", lasts).await,
        Fault::KillEveryNode => {
            let every = (0..NODES).map(|node| kill(stage, node, "a node is killed together with all others", lasts));
            futures_util::future::join_all(every).await;
        }
        Fault::FreezeNode(node) => freeze(stage, node, "a node stands still", lasts).await,
        Fault::KillLeader | Fault::FreezeLeader => {
            let Some(leader) = stage.next_leader(LEADS_WITHIN).await else {
                stage.skip("no node sent to Telegram at that moment");
                return false;
            };
            if fault == Fault::KillLeader {
                kill(stage, leader, "the sender is killed", lasts).await;
            } else {
                freeze(stage, leader, "the sender stands still", lasts).await;
            }
        }
        Fault::DrainNode(node) => {
            let code = stage.nodes[node].drain(DRAINED_WITHIN).await;
            stage.note("a node drains", Cause::Other, from);
            match code {
                Some(Some(0)) => {}
                // Without the database it cannot write what it has promised to write.
                Some(Some(_)) => stage.note("a node met its deadline while it drained", Cause::CutShort(node), from),
                _ => stage.note("a node did not end while it drained", Cause::CutShort(node), from),
            }
            tokio::time::sleep(lasts).await;
            stage.nodes[node].start().await;
        }
        Fault::KillNginxWorker => {
            let Some(worker) = stage.nginx.workers().first().copied() else {
                stage.skip("nginx had no worker at that moment");
                return false;
            };
            signal(worker, "KILL");
            stage.note("a worker of nginx is killed", Cause::Other, from);
        }
        Fault::CrashPrimary => {
            let primary = stage.cluster.primary();
            stage.with_cluster(|cluster| cluster.kill_primary()).await;
            tokio::time::sleep(lasts).await;
            stage.with_cluster(move |cluster| cluster.wake(&primary)).await;
            stage.note("the primary is killed and started again", Cause::Other, from);
        }
        Fault::KillPrimary | Fault::FreezePrimary | Fault::FreezeAndReplacePrimary => {
            primary(stage, fault, lasts).await
        }
        Fault::FreezeStandby => {
            stage
                .with_cluster(|cluster| cluster.signal(standby(&cluster.primary()), "STOP"))
                .await;
            tokio::time::sleep(lasts).await;
            stage
                .with_cluster(|cluster| cluster.signal(standby(&cluster.primary()), "CONT"))
                .await;
            stage.note("the standby stands still, commits wait", Cause::Other, from);
        }
        Fault::FillDisk => return fill_disk(stage, lasts).await,
        Fault::CutDatabase(node) => {
            let what = "a node's connections to the database are cut";
            database(stage, node, refuses(), what, lasts, Cause::CutOff(node)).await;
        }
        Fault::HangDatabase(node) => {
            let trouble = Trouble {
                holds: true,
                ..Trouble::default()
            };
            let what = "a node hears nothing of the database";
            database(stage, node, trouble, what, lasts, Cause::CutOff(node)).await;
        }
        Fault::SlowDatabase(node, millis) => {
            let what = "a node's way to the database is slow";
            database(stage, node, slow(millis), what, lasts, Cause::Other).await;
        }
        Fault::CutNode(node) => hooks(stage, node, refuses(), "nginx is cut off from a node", lasts).await,
        Fault::SlowNode(node, millis) => hooks(stage, node, slow(millis), "nginx's way to a node is slow", lasts).await,
        Fault::Telegram(fault) => telegram(stage, fault, lasts).await,
    }
    true
}

async fn kill(stage: &Stage, node: usize, what: &'static str, lasts: Duration) {
    let from = Instant::now();
    stage.nodes[node].kill().await;
    tokio::time::sleep(lasts).await;
    stage.nodes[node].start().await;
    stage.note(what, Cause::Kill(node), from);
}

async fn freeze(stage: &Stage, node: usize, what: &'static str, lasts: Duration) {
    let from = Instant::now();
    stage.nodes[node].signal("STOP").await;
    tokio::time::sleep(lasts).await;
    stage.nodes[node].signal("CONT").await;
    stage.note(what, Cause::Freeze(node), from);
}

async fn primary(stage: &Stage, fault: Fault, lasts: Duration) {
    let from = Instant::now();
    let old = stage.cluster.primary();
    let (frozen, what) = (
        old.clone(),
        match fault {
            Fault::KillPrimary => "the primary is killed, the standby promoted",
            Fault::FreezePrimary => "the primary stands still",
            _ => "the primary stands still, the standby is promoted",
        },
    );
    if fault == Fault::KillPrimary {
        stage.with_cluster(|cluster| cluster.kill_primary()).await;
    } else {
        stage.with_cluster(move |cluster| cluster.signal(&frozen, "STOP")).await;
    }
    tokio::time::sleep(lasts).await;
    if fault == Fault::FreezePrimary {
        stage.with_cluster(move |cluster| cluster.signal(&old, "CONT")).await;
        stage.note(what, Cause::Other, from);
        return;
    }
    stage.with_cluster(|cluster| cluster.promote()).await;
    stage.note(what, Cause::Other, from);
    let from = Instant::now();
    stage.with_cluster(move |cluster| cluster.rejoin(&old)).await;
    stage.note("the old primary joins again as the standby", Cause::Other, from);
}

/// A server that cannot write its log of changes ends; as a service manager would, it is started again.
async fn fill_disk(stage: &Stage, lasts: Duration) -> bool {
    let Some(disk) = &stage.disk else {
        stage.skip("this user may not mount a small disk, so the database never ran out of it");
        return false;
    };
    let from = Instant::now();
    disk.fill();
    tokio::time::sleep(lasts).await;
    disk.free();
    stage
        .with_cluster(|cluster| {
            for server in ["pg1", "pg2"] {
                cluster.wake(server);
            }
        })
        .await;
    stage.note("the disk of the database is full", Cause::Other, from);
    true
}

async fn database(stage: &Stage, node: usize, trouble: Trouble, what: &'static str, lasts: Duration, cause: Cause) {
    let from = Instant::now();
    for proxy in &stage.database_proxies[node] {
        proxy.makes(trouble);
    }
    tokio::time::sleep(lasts).await;
    for proxy in &stage.database_proxies[node] {
        proxy.heals();
    }
    stage.note(what, cause, from);
}

async fn hooks(stage: &Stage, node: usize, trouble: Trouble, what: &'static str, lasts: Duration) {
    let from = Instant::now();
    stage.hook_proxies[node].makes(trouble);
    tokio::time::sleep(lasts).await;
    stage.hook_proxies[node].heals();
    stage.note(what, Cause::Other, from);
}

async fn telegram(stage: &Stage, fault: TelegramFault, lasts: Duration) {
    let from = Instant::now();
    let bot = |fault, times| stage.bot.fail(Scope::All, fault, times);
    let what = match fault {
        TelegramFault::Refused => {
            for proxy in &stage.telegram_proxies {
                proxy.makes(refuses());
            }
            tokio::time::sleep(lasts).await;
            for proxy in &stage.telegram_proxies {
                proxy.heals();
            }
            stage.note("Telegram refuses connections", Cause::TelegramCut, from);
            return;
        }
        TelegramFault::ServerError => {
            bot(BotFault::ProxyError(502), Times::Always);
            "Telegram answers 502"
        }
        TelegramFault::TooManyRequests(seconds) => {
            bot(BotFault::RetryAfter(seconds), Times::Next(2));
            TOO_MANY_REQUESTS
        }
        TelegramFault::Hang => {
            bot(BotFault::Hang(FOR_EVER), Times::Always);
            "Telegram hangs"
        }
        TelegramFault::SlowAnswers(millis) => {
            bot(BotFault::AnswerSlowly(Duration::from_millis(millis)), Times::Always);
            "Telegram takes messages and is slow to answer"
        }
        TelegramFault::LostAnswers(messages) => {
            bot(BotFault::LoseAnswer, Times::Next(messages));
            "Telegram takes messages and its answers are lost"
        }
        TelegramFault::LateAnswers(messages) => {
            bot(BotFault::AnswerLate(FOR_EVER / 10), Times::Next(messages));
            "Telegram takes messages and answers too late"
        }
        TelegramFault::TakenThenError(messages) => {
            bot(BotFault::TakeThenError(500), Times::Next(messages));
            "Telegram takes messages and answers 500"
        }
    };
    tokio::time::sleep(lasts).await;
    stage.bot.heal(Scope::All);
    stage.note(what, Cause::Other, from);
}

const fn refuses() -> Trouble {
    Trouble {
        refuses: true,
        holds: false,
        delay: Duration::ZERO,
    }
}

const fn slow(millis: u64) -> Trouble {
    Trouble {
        refuses: false,
        holds: false,
        delay: Duration::from_millis(millis),
    }
}

/// The other one of two.
fn standby(primary: &str) -> &'static str {
    if primary == "pg1" { "pg2" } else { "pg1" }
}

fn signal(pid: u32, name: &str) {
    // It may have ended by itself.
    let _ = std::process::Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status();
}
