//! Two threads that share one verifier, against two threads that do nothing but the signatures.

use std::hint::black_box;
use std::time::{Duration, Instant};

use teegate_speed::Outcome;
use teegate_speed::forged;
use teegate_speed::set::Set;
use teegate_speed::signatures::Signatures;
use teegate_verifier::{Endorsements, Policy, Verifier};

use crate::hold;

const THREADS: usize = 2;
/// Judgements of each thread in a round.
const EACH: usize = 100;
/// Rounds of each run, and runs.
const ROUNDS: usize = 20;
const RUNS: usize = 5;

pub(crate) fn run() -> Outcome<()> {
    let tdx = forged::tdx_fleet(THREADS, 16);
    println!("tdx-warm-two-threads {:.2} of what two threads of bare signatures reach", throughput(&tdx)?);
    let snp = forged::snp_fleet(THREADS);
    println!("snp-warm-two-threads {:.2} of what two threads of bare signatures reach", throughput(&snp)?);
    Ok(())
}

/// What one thread judges.
struct Share<'s> {
    set: &'s Set,
    pool: Endorsements,
    policy: Policy,
    signatures: Signatures,
}

impl Share<'_> {
    fn verify(&self, verifier: &Verifier) -> bool {
        (0..EACH).all(|number| {
            let evidence = self.set.evidence(number, &self.pool);
            verifier.verify(&evidence, &self.policy, self.set.now).map(black_box).is_ok()
        })
    }

    fn bare(&self) -> bool {
        let Signatures { enclaves, evidence, .. } = &self.signatures;
        (0..EACH).all(|number| {
            let enclave = (!enclaves.is_empty()).then(|| &enclaves[number % enclaves.len()]);
            hold(enclave.into_iter().chain([&evidence[number % evidence.len()]]))
        })
    }
}

fn throughput(sets: &[Set]) -> Outcome<f64> {
    let share = |set| -> Outcome<Share<'_>> {
        Ok(Share { set, pool: set.pool()?, policy: set.policy()?, signatures: Signatures::of(set)? })
    };
    let shares: Vec<_> = sets.iter().map(share).collect::<Outcome<_>>()?;
    let verifier = Verifier::new();
    let mut best: Option<(Duration, Duration)> = None;
    for _ in 0..RUNS {
        let (mut bare, mut verified) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(together(&shares, Share::bare)?);
            verified.push(together(&shares, |share| share.verify(&verifier))?);
        }
        let medians = [bare, verified].map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2]
        });
        if best.is_none_or(|(limit, _)| medians[0] < limit) {
            best = Some((medians[0], medians[1]));
        }
    }
    let (bare, verified) = best.ok_or("nothing was measured")?;
    Ok(bare.as_secs_f64() / verified.as_secs_f64())
}

/// How long it takes until all threads are done.
fn together<'s>(shares: &[Share<'s>], work: impl Fn(&Share<'s>) -> bool + Sync) -> Outcome<Duration> {
    let start = Instant::now();
    let accepted = std::thread::scope(|scope| {
        let threads: Vec<_> = shares.iter().map(|share| scope.spawn(|| work(share))).collect();
        threads.into_iter().all(|thread| thread.join().unwrap_or(false))
    });
    if accepted { Ok(start.elapsed()) } else { Err("a thread did not accept".into()) }
}
