//! Processes that are measured: started, watched through `/proc`, and ended by their pid.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A service under measurement. Ended on drop.
pub(crate) struct Service {
    child: Child,
    /// Where it takes hooks.
    pub(crate) hooks: SocketAddr,
    /// Where it shows its figures; the same as `hooks` where there are none.
    pub(crate) operations: SocketAddr,
    /// Its log; production logging goes to a file.
    _log: tempfile::NamedTempFile,
}

impl Service {
    /// Starts a command and waits until it takes connections.
    pub(crate) fn start(command: &mut Command, hooks: SocketAddr, operations: SocketAddr) -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut service = Self {
            child,
            hooks,
            operations,
            _log: log,
        };
        let limit = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(hooks).is_err() {
            assert!(service.child.try_wait().unwrap().is_none(), "{command:?} has ended");
            assert!(Instant::now() < limit, "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// CPU time so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        resident(self.child.id())
    }
}

/// The memory that a process has, in bytes.
pub(crate) fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// An address that nobody listens on.
pub(crate) fn free_addr() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// User and system time of a process and of its children that have ended; zero when it is gone.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return Duration::ZERO;
    };
    // The name in brackets may hold spaces; the times are the fields 14 to 17 of proc(5).
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse::<u64>().unwrap())
        .sum();
    // USER_HZ is 100 on every Linux that this runs on.
    Duration::from_millis(ticks * 10)
}

/// The same of all living children.
pub(crate) fn cpu_of_children(parent: u32) -> Duration {
    let output = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &parent.to_string()])
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split_whitespace()
        .map(|pid| cpu_of(pid.parse().unwrap()))
        .sum()
}
