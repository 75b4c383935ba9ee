//! What is predicted of a TD, beside the log of its boot, event by event.

use serde::Serialize;
use teegate_encoding::hex;
use teegate_verifier::{LogEvent, LogRegisters, read_event_log};

use super::input::PredictError;
use super::rtmr::{Choice, REGISTERS, TdBoot, TdEvent};

/// A log beside a prediction: the build that comes nearest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// What its firmware and VMM decided, in words.
    pub build: Vec<&'static str>,
    /// Of each register, its events up to the first that differs.
    pub events: Vec<ComparedEvent>,
}

impl Compared {
    /// Whether nothing differs. What is not predicted does not.
    pub fn is_same(&self) -> bool {
        self.events.iter().all(|event| event.outcome != Outcome::Differs)
    }
}

/// One event of a register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedEvent {
    /// `rtmr0` to `rtmr2`.
    pub register: &'static str,
    /// Its place among the events of this register, from 1.
    pub number: usize,
    /// Whether it is the one that was predicted.
    pub outcome: Outcome,
    /// What was predicted there, and what stands in the log.
    pub words: String,
}

/// How an event of a log compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its digest is the predicted one.
    Same,
    /// Its digest was not predicted, and maybe there is no such event.
    NotPredicted,
    /// It is another, is missing, or was not expected. What follows in the register is not compared.
    Differs,
}

impl TdBoot {
    /// Compares with a log (CCEL), in the build that goes on longest without a difference.
    ///
    /// # Errors
    /// Where the bytes are no log of a TD.
    pub fn against(&self, log: &[u8]) -> Result<Compared, PredictError> {
        let log = read_event_log(log).map_err(|defect| PredictError::new(format!("event log: {defect}")))?;
        if !matches!(log.registers, LogRegisters::Rtmrs(_)) {
            return Err(PredictError::new("event log: it is the log of a TPM; a TD's (CCEL) has SHA-384 alone"));
        }
        let logged = [1, 2, 3].map(|register| {
            let own = log.extending().filter(|event| event.register == register);
            own.collect::<Vec<_>>()
        });
        let candidates = self.builds().map(|(build, expected)| {
            let pairs = REGISTERS.into_iter().zip(&expected).zip(&logged);
            let events: Vec<_> =
                pairs.flat_map(|((register, expected), logged)| beside(register, expected, logged)).collect();
            Compared { build: build.map(Choice::name).to_vec(), events }
        });
        let same = |compared: &Compared| {
            let count = |outcome| compared.events.iter().filter(|event| event.outcome == outcome).count();
            (count(Outcome::Same), std::cmp::Reverse(count(Outcome::Differs)))
        };
        candidates.max_by_key(same).ok_or_else(|| PredictError::new("no build of firmware and VMM is left to compare"))
    }
}

fn beside(register: &'static str, expected: &[&TdEvent], logged: &[&LogEvent]) -> Vec<ComparedEvent> {
    let mut events = Vec::new();
    for number in 0..expected.len().max(logged.len()) {
        let (outcome, words) = match (expected.get(number), logged.get(number)) {
            (Some(expected), _) if expected.open => {
                let words = format!(
                    "{}: {}; {} events from here on",
                    expected.what,
                    expected.of,
                    logged.len() - number.min(logged.len())
                );
                events.push(ComparedEvent { register, number: number + 1, outcome: Outcome::NotPredicted, words });
                return events;
            }
            (Some(expected), Some(logged)) => compared(expected, logged),
            (Some(expected), None) if expected.digest.is_none() => {
                (Outcome::NotPredicted, format!("{}; the log has no such event", described(expected)))
            }
            (Some(expected), None) => {
                (Outcome::Differs, format!("{} is predicted, and the log ends", described(expected)))
            }
            (None, Some(logged)) => {
                (Outcome::Differs, format!("the log has {}, where nothing more is predicted", shown(logged)))
            }
            (None, None) => break,
        };
        events.push(ComparedEvent { register, number: number + 1, outcome, words });
        if outcome == Outcome::Differs {
            break;
        }
    }
    events
}

fn compared(expected: &TdEvent, logged: &LogEvent) -> (Outcome, String) {
    match &expected.digest {
        None => (Outcome::NotPredicted, format!("{}; the log has {}", described(expected), shown(logged))),
        Some(digest) if *digest == logged.digest => (Outcome::Same, described(expected)),
        Some(digest) => {
            let words = format!(
                "{} is predicted as {}, and the log has {}",
                described(expected),
                hex::encode(digest),
                shown(logged)
            );
            (Outcome::Differs, words)
        }
    }
}

fn described(event: &TdEvent) -> String {
    format!("{}: {}", event.what, event.of)
}

fn shown(event: &LogEvent) -> String {
    let name = if event.name.is_empty() { format!("type {:#x}", event.kind) } else { event.name.to_owned() };
    let text = event.text.as_ref().map(|text| format!(" `{text}`")).unwrap_or_default();
    format!("{name}{text} {}", hex::encode(&event.digest))
}
