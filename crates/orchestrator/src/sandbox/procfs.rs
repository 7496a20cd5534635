//! Which processes there are, told apart for good: a pid alone is soon another process.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fs, io, os::fd::OwnedFd, time::Duration};

/// A process of this boot. The pid may be given again; never with the same start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: i32,
    /// Clock ticks from boot to its start: field 22 of `/proc/<pid>/stat`.
    start: u64,
}

impl Process {
    /// The process that has this pid now; `None` if there is none, or only its zombie.
    pub(crate) fn find(pid: i32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (!stat.is_dead()).then_some(Self {
            pid,
            start: stat.start,
        })
    }

    /// This process.
    pub(crate) fn current() -> io::Result<Self> {
        Self::find(rustix::process::getpid().as_raw_pid())
            .ok_or_else(|| io::Error::other("/proc does not show this process"))
    }

    /// Its pid.
    pub(crate) fn pid(self) -> i32 {
        self.pid
    }

    /// Whether it runs. A zombie does not: it can do nothing any more.
    pub(crate) fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// A handle that stays on this process; `None` if it has ended.
    pub(crate) fn handle(self) -> Option<OwnedFd> {
        let handle = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Only now is it known whose handle that is.
        self.is_alive().then_some(handle)
    }

    /// Sends it a signal. Nothing happens if it has ended.
    pub(crate) fn signal(self, signal: Signal) {
        if let Some(handle) = self.handle() {
            let _ = pidfd_send_signal(&handle, signal); // it may end between the two
        }
    }
}

/// Kills each, and returns handles that tell when they have ended.
pub(crate) fn kill(processes: &[Process]) -> Vec<OwnedFd> {
    let handles: Vec<_> = processes.iter().filter_map(|one| one.handle()).collect();
    for handle in &handles {
        let _ = pidfd_send_signal(handle, Signal::KILL); // it may end between the two
    }
    handles
}

/// Waits until all have ended, at most `longest` for each.
pub(crate) fn await_end(handles: &[OwnedFd], longest: Duration) {
    let longest = Timespec::try_from(longest).ok();
    for handle in handles {
        let mut ended = [PollFd::new(handle, PollFlags::IN)];
        if !matches!(poll(&mut ended, longest.as_ref()), Ok(1..)) {
            return; // one that is stuck must not hold up the rest of a kill
        }
    }
}

/// What names this boot of the machine.
pub(crate) fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

/// Every process that descends from `ancestor`, without it.
pub(crate) fn descendants(ancestor: Process) -> io::Result<Vec<Process>> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for pid in pids()? {
        if let Some(stat) = Stat::read(pid).filter(|stat| !stat.is_dead()) {
            let start = stat.start;
            let process = Process { pid, start };
            children.entry(stat.parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![ancestor.pid];
    while let Some(parent) = parents.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            parents.push(child.pid);
            found.push(child);
        }
    }
    Ok(found)
}

/// Every process that was started with `NAME=value` in its environment, or that runs as `owner`.
pub(crate) fn marked(mark: &[String], owner: Option<u32>) -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for pid in pids()? {
        let Some(process) = Process::find(pid) else {
            continue;
        };
        // One that cannot be read belongs to somebody else, or has just ended.
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_marked = mark.iter().all(|wanted| {
            let mut entries = environ.split(|byte| *byte == 0);
            entries.any(|entry| entry == wanted.as_bytes())
        });
        if is_marked || owner.is_some_and(|uid| real_uid(pid) == Some(uid)) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Whether a process is process 1 of a namespace below this one.
pub(crate) fn is_first_of_its_namespace(process: Process) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    // Its pid here comes first, then one in each namespace further in.
    let pids: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
    pids.len() > 1 && pids.last() == Some(&"1")
}

fn real_uid(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        pids.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(pids)
}

/// The part of `/proc/<pid>/stat` that is read.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    start: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The program's name comes second, in brackets, and may hold brackets and spaces itself.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        Some(Self {
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            start: fields.nth(17)?.parse().ok()?,
        })
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_cannot_forge_its_entry_by_its_name() {
        let text = "7 (a) R 1 (b) S 42 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987 1 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.state, stat.parent, stat.start), ('S', 42, 987));
        assert_eq!(Stat::parse("7 (a) R"), None);
    }

    #[test]
    fn a_pid_with_another_start_time_is_another_process() {
        let this = Process::current().unwrap();
        assert!(this.is_alive() && this.handle().is_some());
        let other = Process {
            start: this.start + 1,
            ..this
        };
        assert!(!other.is_alive() && other.handle().is_none());
    }
}
