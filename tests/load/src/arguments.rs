//! What is measured, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use crate::Outcome;

/// How it is called.
pub const USAGE: &str = "usage: teegate-load [--models tiny,minilm] [--ways in-process,plain,sealed,gateway,shared] [--clients 1,16,64] \
    [--seconds 3] [--rounds 3] [--workers 1] [--threads 1] [--peer NAME=PYTHON,SCRIPT]... [--write BENCHMARKS.md]";

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// Models, by the names of this list: `tiny`, `minilm`.
    pub models: Vec<String>,
    /// Ways to an answer.
    pub ways: Vec<String>,
    /// Numbers of clients.
    pub clients: Vec<usize>,
    /// How long each is measured in each round.
    pub time: Duration,
    /// How often: the median counts.
    pub rounds: usize,
    /// Runs of a model at once, the same for everybody.
    pub workers: usize,
    /// Threads of a run, the same for everybody.
    pub threads: usize,
    /// Other servers, each a name with its interpreter and script.
    pub peers: Vec<(String, PathBuf, PathBuf)>,
    /// Where the result goes beside standard output.
    pub write: Option<PathBuf>,
}

impl Default for Arguments {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            models: words(&["tiny", "minilm"]),
            ways: words(&["in-process", "plain", "sealed", "gateway", "shared"]),
            clients: vec![1, 16, 64],
            time: Duration::from_secs(3),
            rounds: 3,
            workers: 1,
            threads: 1,
            peers: Vec::new(),
            write: None,
        }
    }
}

impl Arguments {
    /// Reads them.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Outcome<Self> {
        let mut parsed = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("`{name}` without a value; {USAGE}"))?;
            let wrong = |expected: &str| format!("`{name}` is `{value}`, expected {expected}");
            let list = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
            let number = |most: usize| {
                let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                number.ok_or_else(|| wrong(&format!("a number from 1 to {most}")))
            };
            match name.as_str() {
                "--models" => parsed.models = known(&list(), &Self::default().models).map_err(|known| wrong(&known))?,
                "--ways" => parsed.ways = known(&list(), &Self::default().ways).map_err(|known| wrong(&known))?,
                "--clients" => {
                    let numbers: Option<Vec<usize>> = list().iter().map(|number| number.parse().ok()).collect();
                    let numbers = numbers.filter(|numbers| numbers.iter().all(|number| (1..=128).contains(number)));
                    parsed.clients = numbers.ok_or_else(|| wrong("numbers from 1 to 128, as in 1,16,64"))?;
                }
                "--seconds" => {
                    let seconds = value.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
                    parsed.time = Duration::from_secs_f64(seconds.ok_or_else(|| wrong("seconds from 0.1 to 3600"))?);
                }
                "--rounds" => parsed.rounds = number(1000)?,
                "--workers" => parsed.workers = number(64)?,
                "--threads" => parsed.threads = number(256)?,
                "--peer" => {
                    let peer = value.split_once('=').and_then(|(name, command)| Some((name, command.split_once(',')?)));
                    let (name, (python, script)) = peer.ok_or_else(|| wrong("NAME=PYTHON,SCRIPT"))?;
                    parsed.peers.push((name.to_owned(), python.into(), script.into()));
                }
                "--write" => parsed.write = Some(value.into()),
                _ => return Err(format!("`{name}` is not understood; {USAGE}").into()),
            }
        }
        Ok(parsed)
    }

    /// What would ask for the same, as it stands under the result.
    pub fn to_words(&self) -> String {
        let clients: Vec<String> = self.clients.iter().map(ToString::to_string).collect();
        format!(
            "--models {} --ways {} --clients {} --seconds {} --rounds {} --workers {} --threads {}",
            self.models.join(","),
            self.ways.join(","),
            clients.join(","),
            self.time.as_secs_f64(),
            self.rounds,
            self.workers,
            self.threads
        )
    }
}

fn known(asked: &[String], known: &[String]) -> Result<Vec<String>, String> {
    let all = asked.iter().all(|word| known.contains(word));
    if all { Ok(asked.to_vec()) } else { Err(format!("some of {}", known.join(","))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Arguments> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse("").unwrap(), Arguments::default());
        let asked = "--models tiny --ways plain,gateway --clients 1,2 --seconds 0.5 --rounds 1 --workers 2 --threads 3";
        let arguments = parse(asked).unwrap();
        assert_eq!(arguments.to_words(), asked);
        let with_peer = parse("--peer MLServer=/venv/bin/python,serve.py --write out.md").unwrap();
        assert_eq!(with_peer.peers, [("MLServer".to_owned(), "/venv/bin/python".into(), "serve.py".into())]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, words) in [
            ("--models small", "expected some of tiny,minilm"),
            ("--ways open", "expected some of in-process,plain,sealed,gateway,shared"),
            ("--clients 0", "expected numbers from 1 to 128"),
            ("--clients 129", "expected numbers from 1 to 128"),
            ("--seconds 0", "expected seconds from 0.1 to 3600"),
            ("--rounds x", "expected a number from 1 to 1000"),
            ("--peer python", "expected NAME=PYTHON,SCRIPT"),
            ("--rounds", "without a value"),
            ("--fast yes", "`--fast` is not understood"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
