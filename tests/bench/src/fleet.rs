//! A fleet of instances, judged again and again with one memory: what a gateway does.

use std::hint::black_box;
use std::time::{Duration, Instant};

use teegate_speed::set::Set;
use teegate_speed::signatures::Signatures;
use teegate_speed::{Outcome, forged};
use teegate_verifier::{Endorsements, Policy, Verifier};

use crate::hold;
use crate::measure::multiple;

const INSTANCES: usize = 1_000;
const RUNS: usize = 5;

pub(crate) fn run() -> Outcome<()> {
    println!(
        "tdx-fleet teegate {:.2}: {INSTANCES} forged instances judged again",
        again(forged::tdx_fleet(INSTANCES, 1))?
    );
    println!(
        "snp-fleet teegate {:.2}: {INSTANCES} forged instances judged again",
        again(forged::snp_fleet(INSTANCES))?
    );
    Ok(())
}

/// What the second judgement of all of them costs, as a multiple of the signatures of their evidence.
fn again(fleet: Vec<Set>) -> Outcome<f64> {
    let policy = fleet.first().ok_or("no instance")?.policy()?;
    let pools: Vec<Endorsements> = fleet.iter().map(Set::pool).collect::<Outcome<_>>()?;
    let signatures: Vec<_> = fleet.iter().map(Signatures::of).collect::<Outcome<_>>()?;
    let verifier = Verifier::new();
    judge(&fleet, &pools, &policy, &verifier)?;
    let mut best: Option<(Duration, Duration)> = None;
    for _ in 0..RUNS {
        let start = Instant::now();
        if !hold(signatures.iter().flat_map(|signatures| &signatures.evidence)) {
            return Err("a signature does not hold".into());
        }
        let limit = start.elapsed();
        let start = Instant::now();
        judge(&fleet, &pools, &policy, &verifier)?;
        let taken = start.elapsed();
        if best.is_none_or(|(quietest, _)| limit < quietest) {
            best = Some((limit, taken));
        }
    }
    let (limit, taken) = best.ok_or("nothing was measured")?;
    Ok(multiple(taken, limit))
}

fn judge(fleet: &[Set], pools: &[Endorsements], policy: &Policy, verifier: &Verifier) -> Outcome<()> {
    for (set, pool) in fleet.iter().zip(pools) {
        if let Err(rejection) = black_box(verifier.verify(&set.evidence(0, pool), policy, set.now)) {
            return Err(rejection.to_string().into());
        }
    }
    Ok(())
}
