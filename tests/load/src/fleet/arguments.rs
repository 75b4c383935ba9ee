//! What is measured, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use teegate_load::Outcome;

/// How it is called.
pub const USAGE: &str = "usage: teegate-fleet [--parts hop,size,soak] [--instances 1,10,100,1000] [--seconds 3] [--rounds 3] \
    [--reattest 120] [--minutes 30] [--write BENCHMARKS.md]";

const PARTS: [&str; 3] = ["hop", "size", "soak"];

/// What was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Arguments {
    /// Some of `hop`, `size` and `soak`.
    pub parts: Vec<String>,
    /// Sizes of a fleet.
    pub instances: Vec<usize>,
    /// How long each is measured in each round.
    pub time: Duration,
    /// How often: the median counts.
    pub rounds: usize,
    /// How often every instance is attested again.
    pub reattest: Duration,
    /// How long the soak lasts.
    pub soak: Duration,
    /// Where the result goes beside standard output.
    pub write: Option<PathBuf>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            parts: vec!["hop".to_owned(), "size".to_owned()],
            instances: vec![1, 10, 100, 1000],
            time: Duration::from_secs(3),
            rounds: 3,
            reattest: Duration::from_secs(120),
            soak: Duration::from_secs(30 * 60),
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
            let number = |least: u64, most: u64| {
                let number = value.parse().ok().filter(|number| (least..=most).contains(number));
                number.ok_or_else(|| wrong(&format!("a number from {least} to {most}")))
            };
            match name.as_str() {
                "--parts" => {
                    let is_known = list().iter().all(|part| PARTS.contains(&part.as_str()));
                    parsed.parts = is_known.then(list).ok_or_else(|| wrong("some of hop,size,soak"))?;
                }
                "--instances" => {
                    let numbers: Option<Vec<usize>> = list().iter().map(|number| number.parse().ok()).collect();
                    let numbers = numbers.filter(|numbers| {
                        numbers.iter().all(|number| (1..=1000).contains(number)) && numbers.is_sorted()
                    });
                    parsed.instances = numbers.ok_or_else(|| wrong("numbers from 1 to 1000, smallest first"))?;
                }
                "--seconds" => parsed.time = Duration::from_secs(number(1, 3600)?),
                "--rounds" => parsed.rounds = number(1, 1000)?.try_into()?,
                "--reattest" => parsed.reattest = Duration::from_secs(number(10, 120)?),
                "--minutes" => parsed.soak = Duration::from_secs(60 * number(1, 1440)?),
                "--write" => parsed.write = Some(value.into()),
                _ => return Err(format!("`{name}` is not understood; {USAGE}").into()),
            }
        }
        Ok(parsed)
    }

    /// What would ask for the same, as it stands over the result.
    pub fn to_words(&self) -> String {
        let instances: Vec<String> = self.instances.iter().map(ToString::to_string).collect();
        let mut words = format!("--parts {}", self.parts.join(","));
        if self.parts.iter().any(|part| part != "soak") {
            words += &format!(" --seconds {} --rounds {}", self.time.as_secs(), self.rounds);
        }
        if self.parts.iter().any(|part| part == "size") {
            words += &format!(" --instances {} --reattest {}", instances.join(","), self.reattest.as_secs());
        }
        if self.parts.iter().any(|part| part == "soak") {
            words += &format!(" --minutes {}", self.soak.as_secs() / 60);
        }
        words
    }
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
        let asked = "--parts size,soak --seconds 2 --rounds 1 --instances 1,3 --reattest 10 --minutes 2";
        assert_eq!(parse(asked).unwrap().to_words(), asked);
        assert_eq!(parse("--parts hop").unwrap().to_words(), "--parts hop --seconds 3 --rounds 3");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, words) in [
            ("--parts all", "expected some of hop,size,soak"),
            ("--instances 10,1", "smallest first"),
            ("--instances 1001", "expected numbers from 1 to 1000"),
            ("--seconds 0", "expected a number from 1 to 3600"),
            ("--reattest 121", "expected a number from 10 to 120"),
            ("--rounds", "without a value"),
            ("--fast yes", "`--fast` is not understood"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
