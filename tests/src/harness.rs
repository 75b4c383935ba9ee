//! The real programs as separate processes on loopback, and what a test needs around them.
//!
//! Every program that [`Program`] starts is killed when it goes out of scope. Nothing here sleeps for a fixed time: what
//! happens in another process is awaited by its first line, by a long poll, or by [`eventually`] asking again until a
//! deadline.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use teegate_verifier::Policy;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::http::{Answer, plain, tls};

/// How long anything may take that has to happen.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// The model that every enclave of the tests serves.
pub const MODEL: &str = "breast-cancer";

/// A temporary folder for one test, with everything that its programs write.
pub struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// An empty folder.
    #[expect(clippy::new_without_default, reason = "it touches the file system")]
    pub fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("teegate-test-").tempdir().expect("a temporary folder") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file in the scratch folder");
        path.display().to_string()
    }

    /// Everything that the programs of this test have said so far, on either stream.
    pub fn said(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(self.path()).expect("the scratch folder").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "log") {
                all.extend(std::fs::read(path).expect("a log"));
            }
        }
        all
    }
}

/// A running program of ours.
pub struct Program {
    child: Child,
    /// Its first line: where it listens.
    pub ready: Value,
    // Whatever it says after its first line, on standard output too, is kept.
    listening: JoinHandle<()>,
}

impl Program {
    /// Starts `name` and waits for its first line. What it says goes to `LABEL.log`, at the most verbose level.
    pub async fn start(scratch: &Scratch, label: &str, name: &str, arguments: &[&str]) -> Self {
        Self::start_in(scratch, label, name, arguments, &[]).await
    }

    /// The same with this in its environment.
    pub async fn start_in(
        scratch: &Scratch,
        label: &str,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(binary(name));
        command.args(arguments).env_clear().envs(environment.iter().copied());
        Self::spawn(scratch, label, name, command).await
    }

    /// The same by a command that becomes it: `wrapper`, then the program and its arguments.
    pub async fn start_by(scratch: &Scratch, label: &str, wrapper: &[&str], name: &str, arguments: &[&str]) -> Self {
        let [first, rest @ ..] = wrapper else { panic!("a wrapper has a name") };
        let mut command = Command::new(first);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.args(rest).arg(binary(name)).args(arguments).env_clear().env("PATH", path);
        Self::spawn(scratch, label, name, command).await
    }

    async fn spawn(scratch: &Scratch, label: &str, name: &str, mut command: Command) -> Self {
        let log_path = scratch.path().join(format!("{label}.log"));
        let log = std::fs::File::create(&log_path).expect("a log file");
        // The environment is empty: cargo sets LD_LIBRARY_PATH for tests, and enclave-app refuses to start under it.
        let mut child = command
            .env("TEEGATE_LOG", "trace")
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        let said = tokio::time::timeout(DEADLINE, (&mut stdout).take(64 * 1024).read_line(&mut line)).await;
        let ready = serde_json::from_str(&line).unwrap_or_else(|e| {
            let log = std::fs::read_to_string(&log_path).unwrap_or_default();
            panic!("{label} was not ready ({said:?}, {e}); it said {line:?} and\n{log}")
        });
        let rest = scratch.path().join(format!("{label}-stdout.log"));
        let listening = tokio::spawn(async move {
            let mut kept = tokio::fs::File::create(rest).await.expect("a log file");
            tokio::io::copy(&mut stdout, &mut kept).await.expect("a log file");
        });
        Self { child, ready, listening }
    }

    /// The address that its first line gives under `member`.
    pub fn address(&self, member: &str) -> String {
        self.ready[member].as_str().unwrap_or_else(|| panic!("no `{member}` in {}", self.ready)).to_owned()
    }

    /// The processes that it has started and that are there: of an enclave-app, its workers.
    pub fn children(&self) -> Vec<u32> {
        let parent = self.child.id().map(|id| id.to_string());
        let is_child = |process: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let mut words = stat.rsplit(") ").next().unwrap_or_default().split(' ');
            words.next() != Some("Z") && words.next() == parent.as_deref()
        };
        let processes = std::fs::read_dir("/proc").expect("the proc file system").flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Sends it a signal by name, such as `STOP`, and to none of its children.
    pub fn signal(&self, name: &str) {
        signal(name, &[self.id()]);
    }

    /// SIGTERM. [`Program::ended`] waits for what comes of it.
    pub async fn terminate(&self) {
        let process = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill").args(["-TERM", &process]).status().await.expect("kill");
        assert!(status.success(), "kill -TERM {process}");
    }

    /// The exit status, once it has ended.
    pub async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("it ends in time");
        ended.expect("a process").code()
    }

    /// SIGKILL, and waits until the process is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("the process was running");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A forged guest and what it wrote about itself.
pub struct Guest {
    /// The process.
    pub program: Program,
    /// Its folder: roots, endorsements, values.
    pub folder: PathBuf,
    values: Value,
}

impl Guest {
    /// A forged SEV-SNP guest.
    pub async fn start(scratch: &Scratch, label: &str, options: &[&str]) -> Self {
        Self::start_at(scratch, label, "127.0.0.1:0", options).await
    }

    /// The same, at an address of one's own choice.
    pub async fn start_at(scratch: &Scratch, label: &str, listen: &str, options: &[&str]) -> Self {
        let folder = scratch.path().join(format!("{label}-files"));
        let directory = folder.display().to_string();
        let mut arguments = vec!["--listen", listen, "--dir", &directory];
        if !options.contains(&"--tee") {
            arguments.extend(["--tee", "snp"]);
        }
        arguments.extend_from_slice(options);
        let program = Program::start(scratch, label, "forge-guest", &arguments).await;
        let values = std::fs::read(folder.join("values.json")).expect("values.json");
        let values = serde_json::from_slice(&values).expect("JSON in values.json");
        Self { program, folder, values }
    }

    /// The configuration of an enclave-app's attester in it.
    pub fn attester(&self) -> String {
        let url = format!("http://{}", self.program.address("listening"));
        match self.program.ready.get("device") {
            Some(device) => {
                let log = self.event_log().display().to_string();
                format!("source = \"azure-vtpm\"\ndevice = {device}\nimds_url = \"{url}\"\nevent_log = {log:?}")
            }
            None => format!("source = \"coco\"\ncoco_url = \"{url}\""),
        }
    }

    /// Where the event log of its vTPM is, if it hands one out.
    pub fn event_log(&self) -> PathBuf {
        self.folder.join("event-log.bin")
    }

    /// Its endorsements, for a gateway or a client.
    pub fn endorsements(&self) -> PathBuf {
        self.folder.join("endorsements")
    }

    /// A policy that accepts this guest, and this guest only: `genuine`, under the forged roots, with the code pinned.
    pub fn policy(&self) -> String {
        let root = |name: &str| std::fs::read_to_string(self.folder.join("roots").join(name)).expect("a root");
        let value = |name: &str| format!("{:?}", self.values[name].as_str().unwrap_or_else(|| panic!("no `{name}`")));
        let (snp, tdx) = teegate_measurements::GENUINE.split_once("[tdx.").expect("a profile for TDX");
        let (head, snp) = snp.split_once("[sev-snp.").expect("a profile for SEV-SNP");
        let mut profile = if self.values["tee"] == "tdx" { format!("[tdx.{tdx}") } else { format!("[sev-snp.{snp}") };
        let mut pin = |field: &str, value: &str| {
            let waived = ["unchecked", "if-supplied"].map(|word| format!("\n{field} = \"{word}\"\n"));
            let line = waived.iter().find(|line| profile.contains(*line));
            let line = line.unwrap_or_else(|| panic!("`{field}` is not waived in\n{profile}"));
            profile = profile.replacen(line, &format!("\n{field} = {value}\n"), 1);
        };
        pin("bound_to", "\"workload\"");
        pin("report_data", "\"caller\"");
        let registers = self.values.get("registers");
        if self.values["tee"] == "tdx" {
            pin("tcb_status", "[\"UpToDate\"]");
            // A TD that somebody's service TD can take over is nobody's workload.
            pin("service_td", "\"none\"");
            for field in ["mrtd", "rtmr0", "rtmr1", "rtmr2"] {
                pin(field, &value(field));
            }
        } else {
            pin("revocation", "\"required\"");
            pin("vmpl", "0");
            pin("measurement", &value("measurement"));
            // Behind a paravisor the host's data say nothing of the guest.
            if registers.is_none() {
                pin("host_data", &value("host_data"));
            }
        }
        if let Some(registers) = registers {
            profile = profile.replacen("wrapping = \"none\"", "wrapping = \"azure-vtpm\"", 1);
            profile.push_str("user_data = \"required\"\nsecure_boot = \"required\"\n");
            for number in [4, 7, 8, 9, 11, 12] {
                profile.push_str(&format!("pcr{number} = {}\n", registers[number]));
            }
        }
        let (amd, intel) = (root("amd.pem"), root("intel.pem"));
        format!("{head}{profile}\n[trust_anchors]\namd = ['''\n{amd}''']\nintel = ['''\n{intel}''']\n")
    }
}

/// A running enclave-app.
pub struct Enclave {
    /// The process.
    pub program: Program,
    /// Where its TLS listener is.
    pub address: String,
}

impl Enclave {
    /// An enclave-app in front of `guest`, with the demonstration model.
    pub async fn start(scratch: &Scratch, label: &str, guest: &Guest) -> Self {
        Self::serving(scratch, label, guest, MODEL, &model_folder()).await
    }

    /// The same with the model in `folder`, under the name `model`.
    pub async fn serving(scratch: &Scratch, label: &str, guest: &Guest, model: &str, folder: &Path) -> Self {
        Self::configured(scratch, label, guest, model, folder, "").await
    }

    /// The same, where `more` adds to the configuration of that model and then to the rest.
    pub async fn configured(
        scratch: &Scratch,
        label: &str,
        guest: &Guest,
        model: &str,
        folder: &Path,
        more: &str,
    ) -> Self {
        let config = format!(
            "listen = \"127.0.0.1:0\"\nonnxruntime = {:?}\n[attester]\n{}\n\
             [[models]]\nname = {model:?}\nversion = \"1\"\npath = {:?}\n{more}",
            onnxruntime(),
            guest.attester(),
            folder.join("model.onnx"),
        );
        let path = scratch.write(&format!("{label}.toml"), &config);
        let program = Program::start(scratch, label, "enclave-app", &["--config", &path]).await;
        let address = program.address("listening");
        Self { program, address }
    }

    /// Asks the enclave itself, over TLS and without any gateway.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        tls(&self.address, method, path, headers, body).await
    }
}

/// A running gateway.
pub struct Gateway {
    /// The process.
    pub program: Program,
    /// Where clients connect.
    pub address: String,
}

impl Gateway {
    /// A gateway that looks for instances at `instances`. It checks often, so that tests need not wait; `more` adds to its
    /// configuration.
    pub async fn start(
        scratch: &Scratch,
        label: &str,
        guest: &Guest,
        policy: &str,
        instances: &[&str],
        more: &str,
    ) -> Self {
        // A policy that is about hardware alone has to be admitted by name.
        let unbound = Policy::parse(policy).is_ok_and(|policy| policy.weakest_bound_to().is_none());
        let unbound = if unbound { "unbound_policy = \"a test of other things\"\n" } else { "" };
        // Whoever says nothing of admission tests something else.
        let admission = if more.contains("[admission") { "" } else { "admission = \"none\"\n" };
        let policy = scratch.write(&format!("{label}-policy.toml"), policy);
        let config = format!(
            "listen = \"127.0.0.1:0\"\noperator_listen = \"127.0.0.1:0\"\npolicy = {policy:?}\nendorsements = [{:?}]\n\
             instances = {instances:?}\nreattest_seconds = 1\nretry_seconds = 1\n{admission}{unbound}{more}",
            guest.endorsements(),
        );
        let path = scratch.write(&format!("{label}.toml"), &config);
        let program = Program::start(scratch, label, "teegate-gateway", &["--config", &path]).await;
        let address = program.address("listening");
        Self { program, address }
    }

    /// Asks as a client.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        plain(&self.address, method, path, headers, body).await
    }

    /// Its metrics.
    pub async fn metrics(&self) -> String {
        let answer = plain(&self.program.address("operator"), "GET", "/metrics", &[], b"").await;
        String::from_utf8(answer.body).expect("metrics are text")
    }

    /// One metric without labels.
    pub async fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().expect("a number")
    }

    /// Waits until an instance is attested.
    pub async fn attested(&self) {
        let answer = self.ask("GET", &format!("/v1/instances?model={MODEL}&wait=30"), &[], b"").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

/// Sends a signal by name to processes, some of which may be gone.
pub fn signal(name: &str, processes: &[u32]) {
    let words = processes.iter().map(u32::to_string);
    let mut kill = std::process::Command::new("kill");
    let _status = kill.arg(format!("-{name}")).args(words).stderr(Stdio::null()).status().expect("kill");
}

/// Asks again until there is an answer. Panics with `what` when the deadline has passed.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "within {} s: {what}", DEADLINE.as_secs());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Says on standard error, past libtest, which keeps what a passing test prints to itself. `ci/test.sh` repeats the line.
pub fn note(text: &str) {
    let mut terminal = std::io::stderr();
    writeln!(terminal, "note: {text}").expect("standard error");
}

/// The demonstration model's folder.
pub fn model_folder() -> PathBuf {
    root().join("enclave-app/models/breast-cancer")
}

/// The folder of the MiniLM model, if `ci/minilm.sh` has built it.
pub fn minilm_folder() -> Option<PathBuf> {
    let folder = root().join(".cache/models/minilm");
    folder.join("model.onnx").is_file().then_some(folder)
}

/// The ONNX Runtime library that `ci/onnxruntime.sh` installs.
pub fn onnxruntime() -> PathBuf {
    let path = root().join(".cache/onnxruntime/lib/libonnxruntime.so");
    assert!(path.is_file(), "{} is not there: run ci/onnxruntime.sh", path.display());
    path
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}

/// The program `name` in the folder where cargo puts what it builds; built if it is not there.
pub fn binary(name: &str) -> PathBuf {
    // A test runs as TARGET/PROFILE/deps/NAME-HASH.
    let own = std::env::current_exe().expect("the path of this test");
    let folder = own.ancestors().nth(2).expect("TARGET/PROFILE");
    let path = folder.join(name);
    if !path.is_file() {
        let release = folder.ends_with("release");
        let mut cargo = std::process::Command::new(env!("CARGO"));
        cargo.current_dir(root()).args(["build", "--bin", name]).args(release.then_some("--release"));
        let status = cargo.status().expect("cargo runs");
        assert!(status.success() && path.is_file(), "cargo build --bin {name} made no {}", path.display());
    }
    path
}
