//! Requests that go on while something around the programs fails, and what is asserted of them whatever fails: nothing runs twice,
//! nothing is answered wrongly, nothing takes longer than it may, and memory and open files are what they were.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use teegate_client::{Executed, ProblemKind};
use teegate_tests::harness::{Enclave, Gateway, Program, Scratch, eventually, note};
use tokio::task::JoinSet;

use super::{Counts, SECONDS, hostile};
use crate::{Stage1, problem, relay};

/// Clients, each of which seals by hand and sends every second ciphertext twice.
const CLIENTS: u64 = 2;
/// What a gateway may hold more than before: a few connections that are on their way out, and what its allocator keeps.
const MORE_FILES: usize = 16;
const MORE_KIB: u64 = 64 << 10;

/// Limits that end what fails soon.
pub(super) const LIMITS: &str = "[timeouts]\nanswer_seconds = 5\nupload_seconds = 5\nbody_idle_seconds = 5\n";

/// For how long faults follow each other: a few seconds, or as many as the environment says.
pub(super) fn seconds() -> u64 {
    std::env::var("TEEGATE_FAULTS_SECONDS").ok().map_or(SECONDS, |text| text.parse().unwrap())
}

/// Whether faults may take minutes.
pub(super) fn is_long() -> bool {
    seconds() >= 240
}

/// Clients that ask a gateway without end.
pub(super) struct Load {
    counts: Arc<Counts>,
    is_over: Arc<AtomicBool>,
    clients: JoinSet<()>,
    end: Instant,
}

impl Load {
    /// Begins, and waits for the first answers.
    pub(super) async fn begin(gateway: &Gateway) -> Self {
        let (counts, is_over) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (counted, over, at) = (Arc::clone(&counts), Arc::clone(&is_over), gateway.address.clone());
            clients.spawn(async move {
                let mut number = 0;
                while !over.load(Ordering::Relaxed) {
                    number += 1;
                    hostile(&at, &format!("sealed-{client}-{number}"), number % 2 == 0, &counted).await;
                }
            });
        }
        let load = Self { counts, is_over, clients, end: Instant::now() + Duration::from_secs(seconds()) };
        load.goes_on("before anything fails").await;
        load
    }

    /// Whether another round is due.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() < self.end
    }

    pub(super) fn answered(&self) -> u64 {
        self.counts.answered.load(Ordering::Relaxed)
    }

    /// Waits until more requests are answered than were.
    pub(super) async fn goes_on(&self, what: &str) {
        let before = self.answered();
        let what = format!("requests are answered {what}");
        eventually(&what, async || (self.answered() > before + 1 || self.clients.is_empty()).then_some(())).await;
    }

    /// Ends, and holds what was answered against what the enclaves say that they have run. `faults` says what failed, and how often.
    pub(super) async fn end(mut self, what: &str, scratch: &Scratch, enclaves: Vec<(&str, Enclave)>, faults: &str) {
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let mut runs = 0;
        for (label, mut enclave) in enclaves {
            enclave.program.terminate().await;
            assert_eq!(enclave.program.ended().await, Some(0), "{label}");
            runs += runs_of(scratch, label);
        }
        let [asked, answered, replays, refused, lost] =
            [&self.counts.asked, &self.counts.answered, &self.counts.replays, &self.counts.refused, &self.counts.lost]
                .map(|count| count.load(Ordering::Relaxed));
        assert!(runs <= asked, "{runs} runs of {asked} ciphertexts: something ran twice");
        assert!(runs >= answered, "{answered} answers of {runs} runs: something was answered that never ran");
        assert!(replays > 0, "no ciphertext was sent twice: this shows nothing");
        note(&format!(
            "faults | {what:<8} | {asked:>6} | {runs:>6} | {answered:>8} | {replays:>7} | {refused:>7} | {lost:>5} | {faults}"
        ));
    }
}

/// A request that was sealed by hand is refused, for want of somebody who is attested or because its manifest is over; and nothing was
/// released meanwhile, of it or of any other.
pub(super) async fn nothing_is_released(stage: &Stage1, gateway: &Gateway, what: &str) {
    let released = async || gateway.metric("teegate_gateway_released_bytes_total").await;
    let (sealed, manifest) = stage.sealed_sample().await;
    let before = released().await;
    for _ in 0..5 {
        let answer = relay(gateway, sealed.bytes(), &manifest, 0).await;
        let refused = problem(&answer);
        let kinds = [ProblemKind::NoAttestedInstance, ProblemKind::StaleManifest, ProblemKind::EvidenceRejected];
        assert!(kinds.contains(&refused.kind) && refused.executed == Executed::No, "{what}: {refused}");
    }
    assert_eq!(released().await, before, "released {what}");
}

/// How many runs an enclave-app that has ended says that it was asked for.
fn runs_of(scratch: &Scratch, label: &str) -> u64 {
    let log = std::fs::read_to_string(scratch.path().join(format!("{label}.log"))).unwrap();
    let Some(line) = log.lines().rfind(|line| line.contains("the workers of a model end")) else { return 0 };
    let after = line.split_once(" runs: ").unwrap_or_else(|| panic!("no count of runs in {line}")).1;
    after.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// What a process holds: open files, and KiB of memory.
pub(super) struct Held(usize, u64);

impl Held {
    pub(super) fn by(program: &Program) -> Self {
        let folder = format!("/proc/{}", program.id());
        let files = std::fs::read_dir(format!("{folder}/fd")).unwrap().count();
        let status = std::fs::read_to_string(format!("{folder}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        Self(files, line.split_whitespace().nth(1).unwrap().parse().unwrap())
    }

    /// Waits until the process holds no more than this, but for what connections on their way out and an allocator keep.
    pub(super) async fn is_held_again_by(&self, program: &Program) {
        eventually(&format!("no more than {} open files, {} KiB and a little", self.0, self.1), async || {
            let now = Self::by(program);
            (now.0 <= self.0 + MORE_FILES && now.1 <= self.1 + MORE_KIB).then_some(())
        })
        .await;
    }
}
