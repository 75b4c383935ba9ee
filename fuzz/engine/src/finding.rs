//! One execution, and what can be wrong with it.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::{Duration, Instant};

use crate::heap::most_held;
use crate::target::Target;

/// Beyond what the input justifies, an execution may hold so much: tables, a policy, a report.
const HEAP: usize = 4 << 20;
/// For each byte of input: a value of a JSON document takes a few dozen bytes, and can be written in two.
const HEAP_EACH: usize = 256;
/// An execution that takes longer than this is a finding, in the worst build on a busy machine.
const SLOW: Duration = Duration::from_secs(10);

/// What is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The target panicked.
    Panic {
        /// File and line.
        place: String,
        /// What it said.
        message: String,
    },
    /// It held more memory than the input justifies.
    Memory {
        /// At the most.
        bytes: usize,
    },
    /// It took so long.
    Slow(Duration),
}

impl Finding {
    /// Whether both are likely to have one cause.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Panic { place: one, .. }, Self::Panic { place: other, .. }) => one == other,
            (Self::Memory { .. }, Self::Memory { .. }) | (Self::Slow(_), Self::Slow(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic { place, message } => write!(f, "panic at {place}: {message}"),
            Self::Memory { bytes } => write!(f, "held {bytes} bytes of memory at once"),
            Self::Slow(time) => write!(f, "took {time:?}"),
        }
    }
}

/// How one execution went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was wrong.
    pub finding: Option<Finding>,
    /// What it held at the most.
    pub heap: usize,
    /// How long it took.
    pub time: Duration,
}

thread_local! {
    static SAID: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    static LISTENING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs one input.
pub fn execute(target: &Target, input: &[u8]) -> Outcome {
    listen();
    LISTENING.set(true);
    let start = Instant::now();
    let (result, heap) = most_held(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    let time = start.elapsed();
    LISTENING.set(false);
    let finding = match result {
        Err(_) => {
            let (place, message) = SAID.take().unwrap_or_default();
            Some(Finding::Panic { place, message })
        }
        Ok(()) if heap > HEAP + input.len() * HEAP_EACH => Some(Finding::Memory { bytes: heap }),
        Ok(()) if time > SLOW => Some(Finding::Slow(time)),
        Ok(()) => None,
    };
    Outcome { finding, heap, time }
}

/// Keeps what a target says when it panics, instead of printing it a million times.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !LISTENING.get() {
                return usual(info);
            }
            let place = info.location().map(|at| format!("{}:{}", at.file(), at.line())).unwrap_or_default();
            let message = info.payload_as_str().unwrap_or("(no text)").chars().take(600).collect();
            SAID.set(Some((place, message)));
        }));
    });
}

/// The shortest input, by leaving out stretches, that shows the same.
pub fn minimise(target: &Target, input: &[u8], finding: &Finding) -> Vec<u8> {
    let mut smallest = input.to_vec();
    let mut step = smallest.len() / 2;
    while step > 0 {
        let mut start = 0;
        while start < smallest.len() {
            let mut shorter = smallest.clone();
            shorter.drain(start..(start + step).min(smallest.len()));
            match execute(target, &shorter).finding {
                Some(found) if found.is_like(finding) => smallest = shorter,
                _ => start += step,
            }
        }
        step /= 2;
    }
    smallest
}
