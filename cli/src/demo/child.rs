//! The other programs of the demo: separate processes, found beside this executable, ended on every way out but one: who kills this
//! process (SIGKILL) has to end them too, by the process ids that it has said.
//!
//! A child says that it is ready by one line of JSON on its standard output; nothing here guesses by waiting. Its messages
//! go to a file in the demo's temporary folder, whose last lines are shown when the child did not start. Dropping a
//! [`Child`] kills the process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStdout, Command};

/// How long a child may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The longest line that a child may say.
const MAX_LINE: u64 = 64 * 1024;
/// How much of a child's last words is shown.
const LAST_WORDS: usize = 2_000;

/// A running program of ours.
pub(super) struct Child {
    process: tokio::process::Child,
    label: String,
    log: PathBuf,
    /// What it said when it was ready.
    pub(super) ready: serde_json::Value,
    // Held open: a child that wrote to a closed pipe would be stopped by it.
    _stdout: BufReader<ChildStdout>,
}

impl Child {
    /// Starts `program` with `arguments`, in the folder `scratch`, and waits until it says that it listens.
    ///
    /// The child gets no environment: the enclave-app refuses a start under any `LD_*`, and the others need none.
    pub(super) async fn start(program: &str, arguments: &[&str], scratch: &Path, label: &str) -> Result<Self, String> {
        let path = beside(program)?;
        let log_path = scratch.join(format!("{label}.log"));
        let log = std::fs::File::create(&log_path)
            .map_err(|e| format!("cannot write the log file of {label} in {}: {e}", scratch.display()))?;
        let mut process = Command::new(&path)
            .args(arguments)
            .env_clear()
            .env("TEEGATE_LOG", "info")
            .current_dir(scratch)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            // Ctrl-C is this process's to hear: a terminal would tell all of its group at once.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", path.display()))?;
        let stdout = process.stdout.take().ok_or_else(|| format!("{label} has no standard output"))?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let said = tokio::time::timeout(READY_WITHIN, (&mut stdout).take(MAX_LINE).read_line(&mut line)).await;
        let failed = |what: String| format!("{label} did not start: {what}; {}", last_words(&log_path));
        match said {
            Err(_) => return Err(failed(format!("it was not ready within {} s", READY_WITHIN.as_secs()))),
            Ok(Err(e)) => return Err(failed(e.to_string())),
            Ok(Ok(0)) => return Err(failed("it ended before it was ready".to_owned())),
            Ok(Ok(_)) => {}
        }
        let ready = serde_json::from_str(&line)
            .map_err(|e| failed(format!("its first line is not the one line of JSON that was expected: {e}")))?;
        Ok(Self { process, label: label.to_owned(), log: log_path, ready, _stdout: stdout })
    }

    /// Waits until the process ends, which nobody has asked it to, and says how it did.
    pub(super) async fn gone(&mut self) -> String {
        let how = match self.process.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        format!("{} has ended by itself ({how}); {}", self.label, last_words(&self.log))
    }

    /// The address that it said under `member` when it was ready, `listening` or `operator`.
    pub(super) fn address(&self, member: &str) -> Result<String, String> {
        let address = self.ready.get(member).and_then(serde_json::Value::as_str);
        address.map(str::to_owned).ok_or_else(|| format!("a child's first line has no `{member}`: {}", self.ready))
    }

    /// The process id.
    pub(super) fn id(&self) -> String {
        self.process.id().map_or_else(|| "gone".to_owned(), |id| id.to_string())
    }

    /// Ends the process and waits until it is gone.
    pub(super) async fn end(mut self) {
        // An error here means that it was gone already, which is what we want.
        let _gone = self.process.kill().await;
    }
}

/// The program `name` in the folder of the running executable.
fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|e| format!("cannot tell where this executable is: {e}"))?;
    let folder = own.parent().ok_or_else(|| format!("{} is in no folder", own.display()))?;
    let path = folder.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "the demo needs the program `{name}` beside `{}`; build it with `cargo build --release -p {}`",
        own.display(),
        package(name)
    ))
}

fn package(program: &str) -> &'static str {
    match program {
        "forge-guest" => "teegate-forge",
        "enclave-app" => "teegate-enclave",
        _ => "teegate-gateway",
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(LAST_WORDS);
    let words = String::from_utf8_lossy(text.get(from..).unwrap_or_default()).trim().to_owned();
    if words.is_empty() { "it said nothing".to_owned() } else { format!("it said:\n{words}") }
}
