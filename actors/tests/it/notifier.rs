//! The notifier over an outbox and a messenger in memory. Time stands still until nobody has anything to
//! do, and then jumps to the next timer: minutes pass in milliseconds.

mod failures;
mod leadership;
mod replies;
mod turns;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use orderhook_actors::notifier_actor::pacing::PacingSettings;
use orderhook_actors::notifier_actor::{Leadership, NotifierHandle};
use orderhook_actors::ports::Messenger;
use orderhook_actors::testkit::{MemoryMessenger, MemoryOutbox};
use tokio::sync::watch;
use tokio::time::Instant;

const PRIVATE: i64 = 1;
const OTHER: i64 = 2;
const GROUP: i64 = -100;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

struct Node {
    notifier: NotifierHandle,
    leadership: Rc<watch::Sender<Option<Leadership>>>,
    renews: Rc<Cell<bool>>,
    started: Instant,
}

impl Node {
    /// A notifier that is the leader with this epoch, and renews until it is told to stop.
    fn start(epoch: i64, outbox: &MemoryOutbox, messenger: &MemoryMessenger) -> Self {
        let lead = move || {
            Some(Leadership {
                epoch,
                renewed: Instant::now(),
            })
        };
        let leadership = Rc::new(watch::channel(lead()).0);
        let renews = Rc::new(Cell::new(true));
        let notifier = NotifierHandle::start(
            &actix_rt::Arbiter::current(),
            PacingSettings::default(),
            Arc::new(outbox.clone()),
            Arc::new(messenger.clone()) as Arc<dyn Messenger>,
            leadership.subscribe(),
        );
        let (publish, goes_on) = (Rc::clone(&leadership), Rc::clone(&renews));
        actix_rt::spawn(async move {
            while goes_on.get() {
                publish.send_replace(lead());
                tokio::time::sleep(seconds(1)).await;
            }
        });
        Self {
            notifier,
            leadership,
            renews,
            started: Instant::now(),
        }
    }

    /// Frozen or cut off: the leadership is not renewed any more.
    fn stop_renewing(&self) {
        self.renews.set(false);
    }

    /// The connection failed.
    fn lose_leadership(&self) {
        self.stop_renewing();
        self.leadership.send_replace(None);
    }

    /// Waits until the careful first second of a new leader is over.
    async fn ready(&self) {
        tokio::time::sleep_until(self.started + seconds(2)).await;
    }

    async fn idle(&self) {
        let limit = Instant::now() + seconds(600);
        while self.notifier.shown().under_way > 0 {
            assert!(Instant::now() < limit, "something is under way for ever");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Runs a test for at most an hour of its own time.
fn run<Test: Future<Output = ()>>(test: impl FnOnce(MemoryOutbox, MemoryMessenger) -> Test) {
    actix_rt::System::new().block_on(async {
        tokio::time::pause();
        let test = test(MemoryOutbox::default(), MemoryMessenger::default());
        // More is nothing that happens.
        tokio::time::timeout(seconds(3600), test).await.unwrap();
    });
}

/// Every row of this chat was told once, in order.
fn assert_told_once_in_order(outbox: &MemoryOutbox, messenger: &MemoryMessenger, chat_id: i64) {
    let told: Vec<i64> = messenger
        .taken(chat_id)
        .into_iter()
        .flat_map(|message| message.notice_ids)
        .collect();
    let rows = outbox.rows();
    let ids: Vec<i64> = rows
        .iter()
        .filter(|row| row.chat_id == chat_id)
        .map(|row| row.notice_id)
        .collect();
    assert_eq!(told, ids, "chat {chat_id}");
}
