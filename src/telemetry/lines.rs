//! Lines of the log on their way to standard error.
//!
//! A write for each line costs its hook thread nearly a third of what parsing costs, and waits as long as the reader
//! of the log stands still: every hook would wait with it, until SM cancels the orders. So whoever logs only appends
//! to what waits, and one thread writes all of it a moment later. When the reader stands still for so long that
//! too much waits, lines are lost and counted, and the next one that is read says how many. A process that is killed
//! takes with it what waits, usually its last moment; one that ends writes it (see [`Lines::flush`]).

use std::io::{ErrorKind, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::metrics::counter;

use crate::metrics::LOG_LINES_LOST_TOTAL;

/// How long lines gather. Nobody who reads a log notices it.
const MOMENT: Duration = Duration::from_millis(20);
/// The most bytes that wait, a second of the log of a busy node, beside those that are being written.
const MOST_WAITING: usize = 8 << 20;
/// With more than this nothing is gained by waiting for company, and a buffer that a burst has made larger goes back
/// to the allocator.
const USUALLY_WAITING: usize = 256 << 10;

/// The lines that wait, and who waits for them.
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

struct Waiting {
    lines: Vec<u8>,
    /// Lines that found no room since that was last told.
    lost: u64,
    /// Lines are being written at this moment.
    is_writing: bool,
    /// Somebody waits until everything is written.
    in_a_hurry: bool,
}

impl Lines {
    pub(super) const fn new() -> Self {
        let waiting = Waiting {
            lines: Vec::new(),
            lost: 0,
            is_writing: false,
            in_a_hurry: false,
        };
        Self {
            waiting: Mutex::new(waiting),
            changed: Condvar::new(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line. Never waits for the reader; a line that finds no room is lost and counted.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.lines.len() + line.len() > MOST_WAITING {
            waiting.lost += 1;
            drop(waiting);
            counter!(LOG_LINES_LOST_TOTAL).increment(1);
            return;
        }
        let is_first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        if is_first {
            self.changed.notify_all();
        }
    }

    /// Writes lines for ever, as they come. `tell_lost` is called with the number of lines that were lost since
    /// there was no room, as soon as there is some again: what it logs stands where they would have stood.
    pub(super) fn write_to(&self, mut reader: impl Write, tell_lost: impl Fn(u64)) -> ! {
        let mut batch = Vec::new();
        let mut is_cut = false;
        loop {
            let waiting = self.waiting();
            let waiting = self
                .changed
                .wait_while(waiting, |waiting| waiting.lines.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            let (mut waiting, _) = self
                .changed
                .wait_timeout_while(waiting, MOMENT, |waiting| {
                    !waiting.in_a_hurry && waiting.lines.len() < USUALLY_WAITING
                })
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut waiting.lines, &mut batch);
            let lost = std::mem::take(&mut waiting.lost);
            waiting.is_writing = true;
            drop(waiting);
            if lost > 0 {
                tell_lost(lost);
            }
            if is_cut {
                // What comes now is not the end of what was cut off.
                batch.insert(0, b'\n');
            }
            is_cut = write_lines(&mut reader, &batch);
            batch.clear();
            batch.shrink_to(USUALLY_WAITING);
            self.waiting().is_writing = false;
            self.changed.notify_all();
        }
    }

    /// Returns when what waits is written, or after this time: a reader that stands still does not hold up the end
    /// of the process.
    pub(super) fn flush(&self, limit: Duration) {
        let mut waiting = self.waiting();
        waiting.in_a_hurry = true;
        self.changed.notify_all();
        let is_unwritten = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        let (mut waiting, _) = self
            .changed
            .wait_timeout_while(waiting, limit, is_unwritten)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.in_a_hurry = false;
    }
}

/// Writes these lines. When the reader refuses, because it has gone away or its disk is full, what it did not take
/// is lost and counted; telling it so would be refused as well. Returns whether a line was cut in two.
fn write_lines(reader: &mut impl Write, lines: &[u8]) -> bool {
    let mut rest = lines;
    while !rest.is_empty() {
        match reader.write(rest) {
            Ok(taken) if taken > 0 => rest = &rest[taken..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => {
                let lost = rest.iter().filter(|byte| **byte == b'\n').count();
                counter!(LOG_LINES_LOST_TOTAL).increment(lost as u64);
                let taken = &lines[..lines.len() - rest.len()];
                return taken.last().is_some_and(|last| *last != b'\n');
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[derive(Debug, PartialEq, Eq)]
    enum Came {
        Written(Vec<u8>),
        Lost(u64),
    }

    /// Takes each piece only when the test asks for it.
    struct Reader(mpsc::SyncSender<Came>);

    impl Write for Reader {
        fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
            // When the test has ended, the thread ends with the process.
            let _ = self.0.send(Came::Written(piece.to_vec()));
            Ok(piece.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Lines with a thread that writes them, and what comes of it.
    fn lines() -> (&'static Lines, mpsc::Receiver<Came>) {
        let lines: &Lines = Box::leak(Box::new(Lines::new()));
        let (come, came) = mpsc::sync_channel(0);
        thread::spawn(move || {
            lines.write_to(Reader(come.clone()), |lost| {
                let _ = come.send(Came::Lost(lost));
            })
        });
        (lines, came)
    }

    #[test]
    fn lines_come_out_in_their_order() {
        let (lines, came) = lines();
        let mut pushed = Vec::new();
        for number in 0..1000 {
            let line = format!("line {number}\n");
            pushed.extend_from_slice(line.as_bytes());
            lines.push(line.as_bytes());
        }
        let mut written = Vec::new();
        while written.len() < pushed.len() {
            match came.recv_timeout(LONG).unwrap() {
                Came::Written(piece) => written.extend(piece),
                Came::Lost(lost) => panic!("{lost} lost"),
            }
        }
        assert_eq!(written, pushed);
    }

    #[test]
    fn a_reader_that_stands_still_holds_up_nobody_and_is_told_what_it_lost() {
        let (lines, came) = lines();
        let line = [b'x'; 1024];
        // One piece may be with the reader, as much can wait, and then there is no room.
        let pushed = 2 * MOST_WAITING / line.len() + 7;
        for _ in 0..pushed {
            lines.push(&line);
        }
        lines.flush(Duration::from_millis(1));
        let (mut written, mut lost, mut told_last) = (0, 0, false);
        while written / line.len() + lost < pushed {
            let next = came.recv_timeout(LONG).unwrap();
            told_last = matches!(next, Came::Lost(_));
            match next {
                Came::Written(piece) => written += piece.len(),
                Came::Lost(some) => lost += usize::try_from(some).unwrap(),
            }
        }
        assert!(
            !told_last,
            "when these lines were read, there might be no room again to tell of the lost"
        );
        assert!(lost >= 7, "{lost}");
        assert_eq!(written / line.len() + lost, pushed);
    }

    #[test]
    fn a_flush_returns_when_everything_is_written() {
        let (lines, came) = lines();
        lines.push(b"the last words\n");
        let reader = thread::spawn(move || came.recv_timeout(LONG).unwrap());
        lines.flush(LONG);
        let waiting = lines.waiting();
        assert!(waiting.lines.is_empty() && !waiting.is_writing);
        drop(waiting);
        assert_eq!(reader.join().unwrap(), Came::Written(b"the last words\n".to_vec()));
    }

    /// Takes so many bytes of the first piece and no more; the next pieces are taken again.
    struct FullDisk {
        room: Option<usize>,
        came: mpsc::Sender<Vec<u8>>,
    }

    impl Write for FullDisk {
        fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
            let taken = match self.room.as_mut() {
                Some(0) => {
                    self.room = None;
                    return Err(ErrorKind::StorageFull.into());
                }
                Some(room) => std::mem::take(room),
                None => piece.len(),
            };
            self.came.send(piece[..taken].to_vec()).unwrap();
            Ok(taken)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_full_disk_the_next_line_stands_for_itself() {
        let lines: &Lines = Box::leak(Box::new(Lines::new()));
        let (come, came) = mpsc::channel();
        let disk = FullDisk {
            room: Some(13),
            came: come,
        };
        lines.push(b"the first\nthe second\n");
        thread::spawn(move || lines.write_to(disk, |_| {}));
        assert_eq!(came.recv_timeout(LONG).unwrap(), b"the first\nthe");
        lines.flush(LONG);
        lines.push(b"the third\n");
        assert_eq!(came.recv_timeout(LONG).unwrap(), b"\nthe third\n");
        lines.push(b"the fourth\n");
        assert_eq!(came.recv_timeout(LONG).unwrap(), b"the fourth\n");
    }
}
