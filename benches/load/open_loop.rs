//! The open loop: requests are due at fixed moments, whether the service keeps up or not, and a latency counts from
//! that moment. An order's next event never comes before its previous answer.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::bodies::EVENTS;
use crate::client::{Answers, GATHERS, MANY, read_answer};
use crate::play::{Orders, Play};

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
    /// Whether answers may gather, see [`crate::client::gather`].
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
    Callers::connect(addr, run).play().await
}

/// Those who will play an open loop.
pub(crate) struct Callers {
    connections: Vec<Arc<Connection>>,
    run: Open,
}

impl Callers {
    /// Each at the beginning of an order.
    pub(crate) fn connect(addr: SocketAddr, run: Open) -> Self {
        Self {
            connections: (0..run.connections).map(|number| connect(addr, run, number)).collect(),
            run,
        }
    }

    /// Brings the order of every caller on its way, to another event than that of the next one. With thousands of
    /// callers the first requests would otherwise be nothing but created.
    pub(crate) async fn on_their_way(self) -> Self {
        let callers = stream::iter(self.connections.iter().enumerate());
        let each = |(number, connection): (usize, &Arc<Connection>)| {
            let connection = Arc::clone(connection);
            async move {
                let mut stream = TcpStream::from_std(connection.stream.try_clone().unwrap()).unwrap();
                let mut buffer = Vec::with_capacity(1024);
                for _ in 0..number % EVENTS.len() {
                    let request = connection.under_way.lock().unwrap().play.request().to_vec();
                    stream.write_all(&request).await.unwrap();
                    let status = read_answer(&mut stream, &mut buffer).await.unwrap();
                    assert_eq!(status, 200);
                    connection.under_way.lock().unwrap().play.answered(status);
                }
            }
        };
        callers.for_each_concurrent(MANY, each).await;
        self
    }

    /// See [`open_loop`].
    pub(crate) async fn play(self) -> Answers {
        let (answers, time) = (Arc::default(), self.run.time);
        let Missed { left_out, unanswered } = play_open_loop(self, Arc::clone(&answers)).await;
        let answers = take(&answers);
        Answers {
            left_out,
            unanswered,
            // Who is late takes longer than he was given.
            elapsed: time.max(answers.elapsed),
            ..answers
        }
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
pub(crate) async fn play_open_loop(Callers { connections, run }: Callers, answers: Counted) -> Missed {
    let idle = Arc::new(IdleConnections::default());
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
                    let mut answers = answers.lock().unwrap();
                    answers.count(&answered.play, status, due.elapsed());
                    answers.elapsed = begin.elapsed();
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
