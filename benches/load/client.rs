//! The load generator: cheap, and never ahead of an order's previous answer.
//!
//! Closed loop: every connection sends its next request when the last one was answered. Open loop: requests
//! are due at fixed moments, whether the service keeps up or not, and a latency counts from that moment.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
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
    /// The measured time.
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
    fn count(&mut self, play: &Play, status: u16, latency: Duration) {
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
async fn read_answer(stream: &mut (impl tokio::io::AsyncRead + Unpin), buffer: &mut Vec<u8>) -> std::io::Result<u16> {
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
static GATHERS: AtomicBool = AtomicBool::new(false);

/// From so many callers on one answer more or less makes no difference to the others.
const MANY: usize = 64;

/// Called when the generator has nothing to do. With many callers it takes answers as a network card gives them,
/// those of some 0.1 ms together (50 us and the kernel's slack): woken for each of them it would take the processor
/// that the service needs.
pub(crate) fn gather() {
    if GATHERS.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_micros(50));
    }
}

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

/// How an open loop is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    /// Requests due per second.
    pub(crate) rate: f64,
    /// Connections; so many requests can be under way.
    pub(crate) connections: usize,
    /// Not counted.
    pub(crate) warm_up: Duration,
    /// Counted.
    pub(crate) time: Duration,
    /// What is played.
    pub(crate) orders: Orders,
    /// What becomes of a request that is due while every connection waits for an answer.
    pub(crate) when_busy: WhenBusy,
    /// Whether answers may gather, see [`gather`].
    pub(crate) gathers: bool,
}

/// Both are answers to the question who has to wait when a service is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenBusy {
    /// It is sent as soon as possible, and its latency counts from the moment that it was due.
    Late,
    /// It is left out: the service is offered more than it takes on purpose.
    LeftOut,
}

/// A connection of an open loop. The sender writes on it, and the task that reads its answers gives it back.
struct Connection {
    stream: std::net::TcpStream,
    under_way: Mutex<UnderWay>,
}

/// What a connection plays, and since when the request under way was due.
struct UnderWay {
    due: Option<Instant>,
    play: Play,
}

#[derive(Default)]
struct IdleConnections {
    waiting: Mutex<VecDeque<Arc<Connection>>>,
    changed: Condvar,
}

/// Plays an open loop. A thread of its own sends at the moments that are due: the timers of an event loop
/// are too coarse for that.
pub(crate) async fn open_loop(addr: SocketAddr, run: Open) -> Answers {
    let answers = Arc::default();
    let Missed { left_out, unanswered } = play_open_loop(addr, run, Arc::clone(&answers)).await;
    Answers {
        left_out,
        unanswered,
        elapsed: run.time,
        ..take(&answers)
    }
}

/// Answers that are counted while others look at them.
pub(crate) type Counted = Arc<Mutex<Answers>>;

/// What was counted since it was taken the last time.
pub(crate) fn take(counted: &Counted) -> Answers {
    std::mem::take(&mut *counted.lock().unwrap())
}

/// Requests of an open loop that nothing was counted of.
pub(crate) struct Missed {
    left_out: u64,
    unanswered: u64,
}

/// Plays an open loop, counts in `answers`, and returns what there was no answer to count of.
pub(crate) async fn play_open_loop(addr: SocketAddr, run: Open, answers: Counted) -> Missed {
    let idle = Arc::new(IdleConnections::default());
    let connections: Vec<_> = (0..run.connections).map(|number| connect(addr, run, number)).collect();
    idle.waiting.lock().unwrap().extend(connections.iter().cloned());
    let begin = Instant::now() + run.warm_up;
    let end = begin + run.time;
    GATHERS.store(run.gathers, Ordering::Relaxed);
    let mut readers = Vec::new();
    for connection in connections.iter().cloned() {
        let mut reading = TcpStream::from_std(connection.stream.try_clone().unwrap()).unwrap();
        let (answers, idle) = (Arc::clone(&answers), Arc::clone(&idle));
        readers.push(tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(1024);
            loop {
                let status = read_answer(&mut reading, &mut buffer).await.unwrap();
                let mut answered = connection.under_way.lock().unwrap();
                let due = answered.due.take().unwrap();
                if due >= begin && due < end {
                    answers.lock().unwrap().count(&answered.play, status, due.elapsed());
                }
                answered.play.answered(status);
                drop(answered);
                idle.waiting.lock().unwrap().push_back(Arc::clone(&connection));
                idle.changed.notify_one();
            }
        }));
    }
    let sender = {
        let idle = Arc::clone(&idle);
        std::thread::spawn(move || send_when_due(&idle, run, end))
    };
    while !sender.is_finished() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What is still under way is given the time that SM would wait.
    let last = Instant::now() + Duration::from_secs(5);
    while idle.waiting.lock().unwrap().len() < run.connections && Instant::now() < last {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for reader in &readers {
        reader.abort();
    }
    for reader in readers {
        let ended = reader.await.unwrap_err();
        assert!(ended.is_cancelled(), "{ended}");
    }
    GATHERS.store(false, Ordering::Relaxed);
    let is_unanswered = |connection: &&Arc<Connection>| {
        let due = connection.under_way.lock().unwrap().due;
        due.is_some_and(|due| due >= begin && due < end)
    };
    Missed {
        left_out: sender.join().unwrap(),
        unanswered: connections.iter().filter(is_unanswered).count() as u64,
    }
}

fn connect(addr: SocketAddr, run: Open, number: usize) -> Arc<Connection> {
    let stream = std::net::TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    // For whoever reads it; what is written, 50 KB at most, never meets a full socket.
    stream.set_nonblocking(true).unwrap();
    let under_way = Mutex::new(UnderWay {
        due: None,
        play: run.orders.play(number),
    });
    Arc::new(Connection { stream, under_way })
}

/// Linux lets a sleeper wake 50 us late unless it is told not to (proc(5)). Without such a file all are late alike.
fn wake_on_time() {
    let this_thread = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    if let Some(thread) = this_thread.file_name() {
        let _ = std::fs::write(Path::new("/proc").join(thread).join("timerslack_ns"), "1");
    }
}

/// Returns how many requests were left out.
fn send_when_due(idle: &IdleConnections, run: Open, end: Instant) -> u64 {
    let mut left_out = 0;
    let mut request = Vec::new();
    wake_on_time();
    let mut due = Instant::now();
    let step = Duration::from_secs_f64(1.0 / run.rate);
    while due < end {
        let now = Instant::now();
        if due > now {
            std::thread::sleep(due - now);
        }
        let mut waiting = idle.waiting.lock().unwrap();
        if waiting.is_empty() && run.when_busy == WhenBusy::LeftOut {
            left_out += 1;
            due += step;
            continue;
        }
        while waiting.is_empty() {
            waiting = idle.changed.wait(waiting).unwrap();
        }
        let next = waiting.pop_front().unwrap();
        drop(waiting);
        // Not locked while it is written: its answer must not wait for this thread.
        let mut under_way = next.under_way.lock().unwrap();
        under_way.due = Some(due);
        request.clear();
        request.extend_from_slice(under_way.play.request());
        drop(under_way);
        (&next.stream).write_all(&request).unwrap();
        due += step;
    }
    left_out
}
