//! Taking turns: medians of many rounds, and of several runs the quietest.

use std::time::{Duration, Instant};

use teegate_speed::Outcome;

/// Runs of each case.
const RUNS: usize = 5;

/// Rounds of each run; a median of so many is steady to about one per cent on a quiet machine.
const ROUNDS: usize = 200;

/// What takes its turn, and says whether it accepted.
pub(crate) struct Contender<'c> {
    name: &'static str,
    turn: Box<dyn FnMut() -> bool + 'c>,
}

impl<'c> Contender<'c> {
    pub(crate) fn new(name: &'static str, turn: impl FnMut() -> bool + 'c) -> Self {
        Self { name, turn: Box::new(turn) }
    }
}

/// Median time of each contender in the run in which the first, the limit, took the least; an error where one did not accept.
pub(crate) fn measure(contenders: &mut [Contender<'_>]) -> Outcome<Vec<(&'static str, Duration)>> {
    best(contenders, 1)
}

/// The same where each does twenty in a row before the next has its turn: as where a fleet is judged, one after the other. Between two
/// single turns the others have filled the processor's caches with their own.
pub(crate) fn in_a_row(contenders: &mut [Contender<'_>]) -> Outcome<Vec<(&'static str, Duration)>> {
    best(contenders, 20)
}

fn best(contenders: &mut [Contender<'_>], row: usize) -> Outcome<Vec<(&'static str, Duration)>> {
    let mut best: Option<Vec<(&'static str, Duration)>> = None;
    for _ in 0..RUNS {
        let run = medians(contenders, row)?;
        if best.as_ref().is_none_or(|best| run[0].1 < best[0].1) {
            best = Some(run);
        }
    }
    best.ok_or_else(|| "nothing was measured".into())
}

fn medians(contenders: &mut [Contender<'_>], row: usize) -> Outcome<Vec<(&'static str, Duration)>> {
    let mut times = vec![Vec::new(); contenders.len()];
    let rounds = ROUNDS / row;
    for round in 0..rounds + rounds.div_ceil(10) {
        for (Contender { name, turn }, times) in contenders.iter_mut().zip(&mut times) {
            for _ in 0..row {
                let start = Instant::now();
                let accepted = turn();
                let taken = start.elapsed();
                if !accepted {
                    return Err(format!("{name} did not accept in round {round}").into());
                }
                // The first tenth warms caches and branch predictors for everybody.
                if round >= rounds.div_ceil(10) {
                    times.push(taken);
                }
            }
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    Ok(contenders.iter().zip(times).map(|(contender, times)| (contender.name, median(times))).collect())
}

/// How many times `limit` this is.
pub(crate) fn multiple(time: Duration, limit: Duration) -> f64 {
    time.as_secs_f64() / limit.as_secs_f64()
}

/// The line of a case: all but the limit as multiples of it. The microseconds go to standard error.
pub(crate) fn line(case: &str, times: &[(&'static str, Duration)]) -> String {
    let micros: Vec<_> =
        times.iter().map(|(name, time)| format!("{name} {:.1} us", time.as_secs_f64() * 1e6)).collect();
    eprintln!("{case}: {}", micros.join(", "));
    let limit = times[0].1;
    let multiples = times.iter().skip(1).map(|(name, time)| format!(" {name} {:.2}", multiple(*time, limit)));
    std::iter::once(case.to_owned()).chain(multiples).collect()
}
