//! The programs that are measured: processes of their own, ended on every way out, and what each of them used.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::Outcome;

/// How long a program may take until it says that it is ready: a Python server loads for a while.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// The longest line that it may say.
const MAX_LINE: u64 = 64 * 1024;

/// A running program. Dropping it kills it, and what it started: a Python server leaves its workers behind.
pub struct Process {
    child: Child,
    ready: Value,
    // Held open: a program that wrote to a closed pipe would be stopped by it.
    _stdout: BufReader<ChildStdout>,
}

/// What a process used so far: of its own, and all that it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Processor time of its own threads.
    pub own: Duration,
    /// Processor time of what it started, alive or gone.
    pub children: Duration,
}

impl Process {
    /// Starts a program in `folder` and waits for its first line, which is JSON. What it says beside goes to `LABEL.log` there.
    pub async fn start(program: &Path, arguments: &[&str], folder: &Path, label: &str) -> Outcome<Self> {
        let log_path = folder.join(format!("{label}.log"));
        let mut child = Command::new(program)
            .args(arguments)
            // enclave-app refuses to start under any `LD_*`; nobody needs more than a path.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("TEEGATE_LOG", "warn")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log_path)?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("a process without its pipe")?);
        let mut line = String::new();
        let said = tokio::time::timeout(READY_WITHIN, (&mut stdout).take(MAX_LINE).read_line(&mut line)).await;
        let ready = serde_json::from_str(&line).map_err(|_| {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            let last = log.lines().rev().take(8).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
            format!(
                "{label} was not ready ({}); it said {line:?} and\n{last}",
                if said.is_ok() { "it ended" } else { "time is over" }
            )
        })?;
        Ok(Self { child, ready, _stdout: stdout })
    }

    /// Where it listens.
    pub fn address(&self) -> Outcome<String> {
        let address = self.ready.get("listening").and_then(Value::as_str);
        Ok(address.ok_or_else(|| format!("a first line without `listening`: {}", self.ready))?.to_owned())
    }

    /// Something else that its first line says.
    pub fn said(&self, name: &str) -> Outcome<&Value> {
        Ok(self.ready.get(name).ok_or_else(|| format!("a first line without `{name}`: {}", self.ready))?)
    }

    /// What it used so far.
    pub fn used(&self) -> Outcome<Used> {
        used(self.id()?)
    }

    /// The most memory that it held at once, in bytes: its own, and the sum of what each that it started held.
    pub fn peak(&self) -> Outcome<(u64, u64)> {
        let id = self.id()?;
        Ok((peak(id)?, below(id)?.into_iter().filter_map(|id| peak(id).ok()).sum()))
    }

    /// What it holds now: memory in bytes, and open files.
    pub fn held(&self) -> Outcome<(u64, usize)> {
        let id = self.id()?;
        Ok((status(id, "VmRSS:")?, std::fs::read_dir(format!("/proc/{id}/fd"))?.count()))
    }

    fn id(&self) -> Outcome<u32> {
        Ok(self.child.id().ok_or("a process that is measured has ended")?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Until it was waited for, which happens after this, its number is nobody else's.
        let group = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(group) = group {
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Processor time of this process.
pub fn used_here() -> Outcome<Duration> {
    Ok(used(std::process::id())?.own)
}

/// The most memory that this process held at once.
pub fn peak_here() -> Outcome<u64> {
    peak(std::process::id())
}

fn used(id: u32) -> Outcome<Used> {
    let of_one = stat(id)?;
    let mut children = of_one.waited_for;
    for id in below(id)? {
        // One that ends just now is waited for by its parent, and counted there next time.
        children += stat(id).map(|stat| stat.own + stat.waited_for).unwrap_or_default();
    }
    Ok(Used { own: of_one.own, children })
}

/// All processes that `id` started, and that these started.
fn below(id: u32) -> Outcome<Vec<u32>> {
    let processes: Vec<u32> =
        std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let parents: Vec<(u32, u32)> =
        processes.into_iter().filter_map(|id| stat(id).ok().map(|stat| (id, stat.parent))).collect();
    let (mut found, mut next) = (vec![id], 0);
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, its)| *its == parent).map(|(id, _)| *id));
        next += 1;
    }
    found.remove(0);
    Ok(found)
}

struct Stat {
    parent: u32,
    own: Duration,
    /// Of children that have ended and were waited for, and of theirs.
    waited_for: Duration,
}

/// `/proc/ID/stat`, proc(5).
fn stat(id: u32) -> Outcome<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    parse_stat(&text, rustix::param::clock_ticks_per_second())
        .ok_or_else(|| format!("/proc/{id}/stat is not understood").into())
}

fn parse_stat(text: &str, ticks_per_second: u64) -> Option<Stat> {
    // The name of the program stands in parentheses and may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // The state is field 3 and the first here.
    let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
    let time = |ticks: u64| Duration::from_micros(ticks * 1_000_000 / ticks_per_second);
    Some(Stat {
        parent: field(4)?.try_into().ok()?,
        own: time(field(14)? + field(15)?),
        waited_for: time(field(16)? + field(17)?),
    })
}

fn peak(id: u32) -> Outcome<u64> {
    status(id, "VmHWM:")
}

/// A size of `/proc/ID/status`, in bytes.
fn status(id: u32, name: &str) -> Outcome<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kilobytes.ok_or_else(|| format!("no {name} in the status of a process"))? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_past_any_name() {
        let line = "7 (a) b) (c) S 5 7 7 0 -1 4194304 1 2 3 4 150 50 300 100 20 0 4 0 9 1 2";
        let stat = parse_stat(line, 100).unwrap();
        assert_eq!((stat.parent, stat.own, stat.waited_for), (5, Duration::from_secs(2), Duration::from_secs(4)));
        assert!(parse_stat("7 (a) S 5", 100).is_none());
    }

    #[test]
    fn this_process_has_used_something() {
        let before = used_here().unwrap();
        let mut sum = 0_u64;
        while used_here().unwrap() < before + Duration::from_millis(50) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(peak_here().unwrap() > 1 << 20);
    }

    #[tokio::test]
    async fn children_of_children_are_counted_while_they_live_and_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        // A shell that starts a shell that counts: once it has said so, some of that is over and some goes on.
        let count = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let script = format!("sh -c '{count}'; sh -c '{count}; echo {{}}; exec sleep 600' & wait");
        let process = Process::start(Path::new("/bin/sh"), &["-c", &script], folder.path(), "shell").await.unwrap();
        let used = process.used().unwrap();
        assert!(used.children > Duration::from_millis(20) && used.own < used.children, "{used:?}");
        assert!(process.peak().unwrap().1 > 0);
        assert!(process.address().unwrap_err().to_string().contains("listening"));

        let started = below(process.id().unwrap()).unwrap();
        assert!(!started.is_empty());
        drop(process);
        let until = std::time::Instant::now() + Duration::from_secs(20);
        while started.iter().any(|id| is_running(*id)) {
            assert!(std::time::Instant::now() < until, "what a dropped process had started goes on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Who has ended keeps its number until somebody waits for it.
    fn is_running(id: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn who_is_not_ready_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let started = Process::start(Path::new("/bin/sh"), &["-c", "echo because >&2"], folder.path(), "shell").await;
        let error = started.err().unwrap().to_string();
        assert!(error.contains("it ended") && error.contains("because"), "{error}");
    }
}
