//! Who looks at the page: a bounded number of seats, and the stream of server-sent events for each.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::web::{Bytes, Data};
use chrono::Utc;
use futures_util::Stream;
use serde::Serialize;
use socket2::SockRef;
use tokio::sync::watch;

use super::hooks::EVENTS;
use super::{HISTORY, Live, Published, sampler};
use crate::app::Node;
use crate::db::outbox::COUNTED;

/// How many may look at the same time.
pub const MAX_VIEWERS: usize = 32;
/// A viewer that took nothing for so long has gone away without a word, and its seat is free.
const GONE: Duration = Duration::from_secs(30);
/// What was sent and not taken for so long ends the connection: a reader that only keeps its socket open
/// would keep ours, and what waits for it, for ever.
const UNREAD: Duration = Duration::from_secs(20);
/// A comment that keeps proxies from closing a stream on which nothing is said.
const PING_EVERY: Duration = Duration::from_secs(10);

/// Has the kernel end a connection of the operations listener whose other end reads nothing. Called with each
/// new connection.
pub fn give_up_silent_readers(connection: &dyn Any, _data: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else {
        return;
    };
    if let Err(error) = SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD)) {
        tracing::debug!(%error, "a reader that falls silent will keep its connection");
    }
}

/// All seats are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_VIEWERS} viewers are looking already")]
pub struct TooManyViewers;

/// The seats.
#[derive(Debug)]
pub(super) struct Seats {
    started: Instant,
    taken: Mutex<Vec<Arc<Seat>>>,
}

#[derive(Debug)]
struct Seat {
    /// When the viewer last took something, in milliseconds since the seats were made.
    taken_at: AtomicU64,
    /// Somebody else has the seat.
    given_away: AtomicBool,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            taken: Mutex::new(Vec::new()),
        }
    }
}

impl Seats {
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How many look now.
    pub(super) fn taken(&self) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.len()
    }

    fn take(&self) -> Result<Arc<Seat>, TooManyViewers> {
        let now = self.now();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let gone_before = now.saturating_sub(u64::try_from(GONE.as_millis()).unwrap_or(u64::MAX));
        taken.retain(|seat| {
            let here = seat.taken_at.load(Ordering::Relaxed) >= gone_before;
            if !here {
                seat.given_away.store(true, Ordering::Relaxed);
            }
            here
        });
        if taken.len() >= MAX_VIEWERS {
            return Err(TooManyViewers);
        }
        let seat = Arc::new(Seat {
            taken_at: AtomicU64::new(now),
            given_away: AtomicBool::new(false),
        });
        taken.push(Arc::clone(&seat));
        Ok(seat)
    }

    fn leave(&self, seat: &Arc<Seat>) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|other| !Arc::ptr_eq(other, seat));
    }
}

/// What a viewer is told first.
#[derive(Serialize)]
struct Hello<'a> {
    /// The node's clock now: that of the viewer may be wrong.
    at: i64,
    node: &'a str,
    version: &'a str,
    started_at: i64,
    columns: Vec<String>,
    events: [&'a str; EVENTS.len()],
    actors: Vec<&'a str>,
    answer_deadline_ms: u128,
    outbox_limit_s: u64,
    /// So many waiting notices may be more.
    outbox_counted: i64,
    history_s: u64,
    /// Whether notices go to Telegram; else they are rendered to the log.
    has_bot: bool,
    /// Whether something can be changed here by whoever has the token.
    can_act: bool,
}

/// A viewer's place in the stream; the seat is free when it is dropped.
struct Viewer {
    node: Data<Node>,
    seat: Arc<Seat>,
    published: watch::Receiver<Arc<Published>>,
    greeted: bool,
    ended: bool,
    seen_row: u64,
    seen_attention: u64,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.node.live.viewers.leave(&self.seat);
    }
}

impl Live {
    /// Takes a seat and returns what is sent to it: first everything that is known, then what is new,
    /// until the viewer goes or the node ends.
    ///
    /// # Errors
    /// [`TooManyViewers`].
    pub fn view(
        node: Data<Node>,
    ) -> Result<impl Stream<Item = Result<Bytes, std::convert::Infallible>> + 'static, TooManyViewers> {
        let seat = node.live.viewers.take()?;
        // The tables may be a quarter of a minute old.
        node.live.look_now();
        let viewer = Viewer {
            seat,
            published: node.live.published.subscribe(),
            greeted: false,
            ended: false,
            seen_row: 0,
            seen_attention: 0,
            node,
        };
        Ok(futures_util::stream::unfold(viewer, async |mut viewer| {
            let next = viewer.next().await?;
            Some((Ok(next), viewer))
        }))
    }
}

impl Viewer {
    /// The next bytes for the viewer; `None` when it is over.
    async fn next(&mut self) -> Option<Bytes> {
        let seats = &self.node.live.viewers;
        if self.ended || self.seat.given_away.load(Ordering::Relaxed) {
            return None;
        }
        self.seat.taken_at.store(seats.now(), Ordering::Relaxed);
        if !self.greeted {
            self.greeted = true;
            let mut text = event("hello", &serde_json::to_string(&self.hello()).unwrap_or_default());
            text.push_str(&self.news("history"));
            return Some(text.into());
        }
        match tokio::time::timeout(PING_EVERY, self.published.changed()).await {
            Ok(Ok(())) => Some(self.news("rows").into()),
            Ok(Err(_ended)) => None,
            Err(_elapsed) => Some(Bytes::from_static(b": still here\n\n")),
        }
    }

    fn hello(&self) -> Hello<'_> {
        let live = &self.node.live;
        let mailboxes = self.node.mailboxes();
        Hello {
            at: Utc::now().timestamp_millis(),
            node: &self.node.name,
            version: env!("CARGO_PKG_VERSION"),
            started_at: live.started_at.timestamp_millis(),
            columns: sampler::columns(&mailboxes),
            events: EVENTS,
            actors: mailboxes.iter().map(|mailbox| mailbox.actor).collect(),
            answer_deadline_ms: live.limits.answer_deadline.as_millis(),
            outbox_limit_s: live.limits.outbox_limit.as_secs(),
            outbox_counted: COUNTED,
            history_s: HISTORY.as_secs(),
            has_bot: self.node.has_bot,
            can_act: self.node.access.can_act(),
        }
    }

    /// What this viewer has not seen yet.
    fn news(&mut self, rows_as: &str) -> String {
        let published = Arc::clone(&self.published.borrow_and_update());
        let (rows, newest) = self.node.live.rows_after(self.seen_row);
        self.seen_row = newest;
        let mut text = event(rows_as, &rows);
        text.push_str(&event("state", &String::from_utf8_lossy(&published.state)));
        if published.attention_number != self.seen_attention {
            self.seen_attention = published.attention_number;
            text.push_str(&event("attention", &String::from_utf8_lossy(&published.attention)));
        }
        if published.ended {
            self.ended = true;
            text.push_str(&event("end", "{}"));
        }
        text
    }
}

/// One server-sent event. JSON has no line breaks of its own.
fn event(name: &str, data: &str) -> String {
    if data.is_empty() {
        return String::new();
    }
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_and_free_again_when_somebody_leaves() {
        let seats = Seats::default();
        let mut taken: Vec<_> = (0..MAX_VIEWERS).map(|_| seats.take().unwrap()).collect();
        assert_eq!(seats.take().unwrap_err(), TooManyViewers);
        seats.leave(&taken.pop().unwrap());
        assert_eq!(seats.taken(), MAX_VIEWERS - 1);
        seats.take().unwrap();
    }

    #[test]
    fn the_seat_of_a_viewer_that_takes_nothing_any_more_is_given_away() {
        let mut seats = Seats::default();
        let taken: Vec<_> = (0..MAX_VIEWERS).map(|_| seats.take().unwrap()).collect();
        seats.started = seats.started.checked_sub(GONE + Duration::from_secs(1)).unwrap();
        taken[1].taken_at.store(seats.now(), Ordering::Relaxed);
        seats.take().unwrap();
        assert_eq!(seats.taken(), 2);
        assert!(taken[0].given_away.load(Ordering::Relaxed));
        assert!(!taken[1].given_away.load(Ordering::Relaxed));
    }
}
