//! The loop: pick, mutate, run, keep what reached something new.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::coverage::{self, Reached};
use crate::finding::{Finding, execute};
use crate::mutate::Mutator;
use crate::random::Random;
use crate::target::Target;

/// Counters are looked at all over once in so many executions, to find code in which nobody has been.
const LOOK_AROUND: u64 = 64;
/// What is compared with what is written down once in so many executions.
const LISTEN: u64 = 16;
/// So many inputs are kept at the most.
const KEPT: usize = 20_000;
/// A run ends after so many different findings.
const FINDINGS: usize = 8;

/// How long, and from where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Mutations to run, after the corpus.
    pub executions: u64,
    /// Ends earlier than that, where there is such a limit.
    pub time: Option<Duration>,
    /// The same seed and corpus give the same run.
    pub seed: u64,
    /// Each input is written here before it runs, for whoever looks when the process has died of it.
    pub current: Option<PathBuf>,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Inputs that ran.
    pub executions: u64,
    /// How long all of it took.
    pub time: Duration,
    /// Edges that were reached, of those that were compiled in.
    pub edges: u64,
    /// Ranges of counters that were reached.
    pub features: u64,
    /// Inputs in the corpus at the end.
    pub corpus: usize,
    /// The most memory that one execution held.
    pub heap: usize,
    /// The longest execution.
    pub slowest: Duration,
}

/// A run of one target.
pub struct Run<'t> {
    target: &'t Target,
    settings: Settings,
    random: Random,
    corpus: Vec<Vec<u8>>,
    reached: Reached,
    compared: Vec<coverage::Comparison>,
    current: Option<std::fs::File>,
    recorded: Vec<u8>,
    seeding: bool,
    /// What was found, with its input.
    pub findings: Vec<(Finding, Vec<u8>)>,
    /// What was done.
    pub figures: Figures,
}

impl<'t> Run<'t> {
    /// A run that begins with these inputs.
    ///
    /// # Errors
    /// The file for the current input cannot be made.
    pub fn new(target: &'t Target, settings: Settings) -> std::io::Result<Self> {
        let current = settings.current.as_deref().map(make).transpose()?;
        let random = Random::new(settings.seed);
        let (findings, figures) = (Vec::new(), Figures::default());
        let reached = Reached::new();
        let (corpus, compared, recorded) = (Vec::new(), Vec::new(), Vec::new());
        let seeding = true;
        Ok(Self { target, settings, random, corpus, reached, compared, current, recorded, seeding, findings, figures })
    }

    /// Runs `seeds`, and then mutations. `kept` is told of each mutation that reached something new.
    pub fn go(&mut self, seeds: &[Vec<u8>], mut kept: impl FnMut(&[u8])) {
        let start = Instant::now();
        self.reached.clear();
        for seed in seeds {
            self.run(seed);
            self.corpus.push(seed.clone());
        }
        if self.corpus.is_empty() {
            self.run(&[]);
            self.corpus.push(Vec::new());
        }
        self.seeding = false;
        let end = self.figures.executions + self.settings.executions;
        let mut input = Vec::new();
        while self.figures.executions < end && self.findings.len() < FINDINGS {
            if self
                .settings
                .time
                .is_some_and(|limit| self.figures.executions.is_multiple_of(64) && start.elapsed() > limit)
            {
                break;
            }
            self.mutate(&mut input);
            // A target's own mutations count too, and are not what is under test.
            self.reached.forget();
            if self.run(&input) && self.corpus.len() < KEPT {
                kept(&input);
                self.corpus.push(input.clone());
            }
        }
        self.figures.time = start.elapsed();
        self.figures.corpus = self.corpus.len();
        (self.figures.features, self.figures.edges) = self.reached.figures();
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let count = self.corpus.len();
        // What was found lately leads further more often than what came first.
        let recent = count.saturating_sub(1 + self.random.below(count.min(32)));
        let parent = if self.random.once_in(2) { recent } else { self.shorter_of_two() };
        let other = self.random.below(count);
        input.clone_from(&self.corpus[parent]);
        let compared = if self.random.once_in(4) { &self.compared[..] } else { &[] };
        let mut mutator = Mutator {
            random: &mut self.random,
            other: &self.corpus[other],
            words: self.target.words,
            compared,
            max_bytes: self.target.max_bytes,
        };
        (self.target.mutate)(&mut mutator, input);
        input.truncate(self.target.max_bytes);
    }

    /// Of what reached the same, a short input runs more often in the same time, and a change of it changes more.
    fn shorter_of_two(&mut self) -> usize {
        let count = self.corpus.len();
        let (one, other) = (self.random.below(count), self.random.below(count));
        if self.corpus[one].len() <= self.corpus[other].len() { one } else { other }
    }

    /// Whether it reached something new.
    fn run(&mut self, input: &[u8]) -> bool {
        if let Some(file) = &self.current {
            record(file, input, &mut self.recorded);
        }
        let listens = self.figures.executions.is_multiple_of(LISTEN);
        if listens {
            coverage::listen();
        }
        let outcome = execute(self.target, input);
        self.figures.executions += 1;
        self.figures.heap = self.figures.heap.max(outcome.heap);
        self.figures.slowest = self.figures.slowest.max(outcome.time);
        if let Some(finding) = outcome.finding {
            if !self.findings.iter().any(|(known, _)| known.is_like(&finding)) {
                self.findings.push((finding, input.to_vec()));
            }
            self.reached.clear();
            return false;
        }
        if !coverage::is_on() {
            return false;
        }
        if listens {
            coverage::comparisons(&mut self.compared);
        }
        let found = self.reached.take() > 0;
        let look = found || self.seeding || self.figures.executions.is_multiple_of(LOOK_AROUND);
        if !look || !self.reached.widen() {
            return found;
        }
        // Somewhere new, perhaps some executions ago: only what this input does counts.
        self.reached.clear();
        execute(self.target, input);
        self.reached.take() > 0 || found
    }
}

fn make(path: &Path) -> std::io::Result<std::fs::File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::File::create(path)
}

/// The length in eight bytes, and the input.
fn record(file: &std::fs::File, input: &[u8], bytes: &mut Vec<u8>) {
    use std::os::unix::fs::FileExt as _;
    bytes.clear();
    bytes.extend_from_slice(&(input.len() as u64).to_le_bytes());
    bytes.extend_from_slice(input);
    // A full disk must not end the run.
    let _ = file.write_at(bytes, 0);
}
