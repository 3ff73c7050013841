//! The load generator: cheap, and never ahead of an order's previous answer.
//!
//! What its loops have in common, and the closed one: every connection sends its next request when the last one was
//! answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::play::{Orders, Play};

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Answers of 200 within the measured time.
    pub(crate) accepted: u64,
    /// Other answers, by status.
    pub(crate) refused: std::collections::BTreeMap<u16, u64>,
    /// Those of them that were about order.created.
    pub(crate) refused_created: u64,
    /// Requests that were due while every connection waited for an answer, and were left out.
    pub(crate) left_out: u64,
    /// Requests that had no answer five seconds after the end.
    pub(crate) unanswered: u64,
    /// The measured time; of an open loop longer when its last answer came later.
    pub(crate) elapsed: Duration,
    /// Microseconds until the answer, of those that were accepted.
    pub(crate) latency: Histogram<u64>,
    /// Microseconds until the answer, of the others.
    pub(crate) refused_latency: Histogram<u64>,
}

impl Default for Answers {
    fn default() -> Self {
        let micros = || Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        Self {
            accepted: 0,
            refused: std::collections::BTreeMap::new(),
            refused_created: 0,
            left_out: 0,
            unanswered: 0,
            elapsed: Duration::ZERO,
            latency: micros(),
            refused_latency: micros(),
        }
    }
}

impl Answers {
    pub(crate) fn count(&mut self, play: &Play, status: u16, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap().max(1);
        if status == 200 {
            self.accepted += 1;
            self.latency.saturating_record(micros);
        } else {
            *self.refused.entry(status).or_default() += 1;
            self.refused_created += u64::from(play.event == 0);
            self.refused_latency.saturating_record(micros);
        }
    }

    /// Accepted hooks a second.
    pub(crate) fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// A percentile of the accepted, in milliseconds.
    pub(crate) fn millis(&self, percentile: f64) -> f64 {
        self.latency.value_at_percentile(percentile) as f64 / 1000.0
    }
}

/// The header with the length of a body, as every server that is measured here writes it.
const LENGTH: &[u8] = b"\r\ncontent-length: ";
/// Where the status stands in `HTTP/1.1 200 OK`.
const STATUS_AT: usize = 9;

/// Reads one answer into `buffer` and returns its status.
pub(crate) async fn read_answer(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> std::io::Result<u16> {
    buffer.clear();
    loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(end) = memmem::find(buffer, b"\r\n\r\n") else {
            continue;
        };
        let head = &buffer[..end];
        let length = memmem::find(head, LENGTH).map_or(0, |at| leading_number(&head[at + LENGTH.len()..]));
        if buffer.len() >= end + 4 + length {
            let status = leading_number(&head[STATUS_AT..]);
            assert!((100..600).contains(&status), "{}", head.escape_ascii());
            return Ok(u16::try_from(status).unwrap());
        }
    }
}

/// The number that the bytes begin with.
fn leading_number(bytes: &[u8]) -> usize {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}

/// Whether the generator lets answers gather before it looks for them.
pub(crate) static GATHERS: AtomicBool = AtomicBool::new(false);

/// From so many callers on one answer more or less makes no difference to the others.
pub(crate) const MANY: usize = 64;

/// Called when the generator has nothing to do. With many callers it takes answers as a network card gives them,
/// those of some 0.1 ms together (50 us and the kernel's slack): woken for each of them it would take the processor
/// that the service needs.
pub(crate) fn gather() {
    if GATHERS.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// What comes before is not counted: statements are prepared, tables and logs are grown.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);

/// How a closed loop is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed {
    /// Connections, each with one request under way.
    pub(crate) connections: usize,
    /// Not counted.
    pub(crate) warm_up: Duration,
    /// Counted.
    pub(crate) time: Duration,
    /// What is played.
    pub(crate) orders: Orders,
}

/// Plays a closed loop.
pub(crate) async fn closed_loop(addr: SocketAddr, run: Closed) -> Answers {
    let answers = Arc::new(Mutex::new(Answers::default()));
    let begin = Instant::now() + run.warm_up;
    let end = begin + run.time;
    GATHERS.store(run.connections >= MANY, Ordering::Relaxed);
    let mut tasks = Vec::new();
    for connection in 0..run.connections {
        let answers = Arc::clone(&answers);
        tasks.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut play = run.orders.play(connection);
            let mut buffer = Vec::with_capacity(1024);
            loop {
                let sent = Instant::now();
                if sent >= end {
                    return;
                }
                stream.write_all(play.request()).await.unwrap();
                let status = read_answer(&mut stream, &mut buffer).await.unwrap();
                let now = Instant::now();
                if sent >= begin && now <= end {
                    answers.lock().unwrap().count(&play, status, now - sent);
                }
                play.answered(status);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    GATHERS.store(false, Ordering::Relaxed);
    let mut answers = Arc::into_inner(answers).unwrap().into_inner().unwrap();
    answers.elapsed = run.time;
    answers
}
