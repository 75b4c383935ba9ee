//! Asking the vendors, where somebody asked for it: the options that `verify --online` and `fetch` share, and the one call
//! that completes evidence.
//!
//! Whoever is judged chooses what comes along with evidence, so that never stands in for an answer: every list and every
//! signed collateral is asked for, and of what came along only certificates go into the pool beside the answers. What the user
//! named counts beside them, and alone where nobody could be asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use teegate_collateral::{Fetcher, Held, Missing, OUT_OF_REACH, Origin, Outcome, Patience, Settings, Source, Updates};
use teegate_intake::Statement;
use teegate_intake::endorsements::Loaded;
use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Endorsements, Needs, Policy, Report, Source as Carrier, TdxNeeds, UnixTime, needs_of, verify};

use crate::output;
use crate::pool::{Pool, carrier};

/// The options of a verb that asks the vendors only with `--online`.
#[derive(Args, Debug)]
pub(crate) struct OnlineArgs {
    /// Ask the vendors for whatever the evidence needs: AMD's KDS, Intel's PCS, or what `--source` names. Lists and collateral
    /// that came with the evidence do not count then; those of `--endorsements` count beside the answers, or alone where the
    /// vendor cannot be reached
    #[arg(long)]
    online: bool,

    /// Whom to ask, in order, in place of AMD and Intel: `kds`, `pcs`, `thim`, or `kds=URL`, `pcs=URL`, `pccs=URL`, `thim=URL`
    #[arg(long, value_name = "SOURCE", value_parser = Source::parse, requires = "online")]
    source: Vec<Source>,

    /// Keep answers in this folder, and ask again only when they are no longer recent
    #[arg(long, value_name = "DIR", requires = "online")]
    cache: Option<PathBuf>,
}

impl OnlineArgs {
    /// Everything that may vouch for `evidence`: what the user named, what the vendors answer with `--online`, what came along.
    /// Says on standard error what could not be had, and what was left out; whether that matters is the verdict's to say.
    /// Without `--online` it asks nobody.
    pub(crate) fn pool(
        &self,
        evidence: &OwnedEvidence,
        supplied: &Loaded,
        policy: &Policy,
        now: UnixTime,
    ) -> Result<Pool, String> {
        let (named, mut pool) = (supplied.endorsements(), Pool::new());
        // Malformed evidence needs nothing; the verdict says what is wrong with it.
        let needs = if self.online { needs(evidence, &named) } else { None };
        let Some(needs) = needs else {
            pool.add(Carrier::Supplied, &named);
            pool.add(carrier(evidence), &evidence.endorsements);
            return Ok(pool);
        };
        let settings = settings(&self.source, self.cache.clone(), Updates::Standard, None);
        let held = held(evidence, &named, Some(policy), now);
        let outcome = ask(settings, &needs, &held, now)?;
        for missing in &outcome.missing {
            output::note(&format!("not to be had: {missing}"));
            pool.in_vain.push(missing.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; "));
        }
        for document in outcome.documents.iter().filter(|document| matches!(document.origin, Origin::Stale { .. })) {
            output::note(&format!(
                "`{}` is {}, and holds until {}",
                document.file_name, document.origin, document.valid_until
            ));
        }
        pool.add(Carrier::Fetched, &outcome.endorsements().map_err(|error| error.to_string())?);
        pool.add(
            Carrier::Supplied,
            &supplied.endorsements_with(|statement| stands_in(statement, &outcome.missing, now)),
        );
        let certificates = evidence.endorsements.without_order_in_time();
        let left_out = evidence.endorsements.len().saturating_sub(certificates.len());
        if left_out > 0 {
            output::note(&format!(
                "{left_out} revocation lists or signed collateral came with the evidence and do not count: with `--online` only \
                 the vendors' answers do, and what `--endorsements` names"
            ));
        }
        pool.add(carrier(evidence), &certificates);
        Ok(pool)
    }
}

/// What is said of a statement of the user's that counts alone, because nobody could be asked for it.
fn stands_in(statement: &Statement, missing: &[Missing], now: UnixTime) -> Option<String> {
    let mut alone = Endorsements::new();
    statement.clone().add_to(&mut alone);
    let documents = missing.iter().filter_map(|missing| missing.document.as_ref());
    documents.into_iter().any(|document| document.is_claimed_in(&alone, now)).then(|| OUT_OF_REACH.to_owned())
}

/// What evidence says that it needs. The PCK certificate of a quote that carries none is the user's, if they named one.
pub(crate) fn needs(evidence: &OwnedEvidence, named: &Endorsements) -> Option<Needs> {
    match needs_of(&evidence.as_evidence(named)).ok()? {
        Needs::Tdx(TdxNeeds { platform: None }) => needs_of(&evidence.as_evidence(&evidence.endorsements)).ok(),
        needs => Some(needs),
    }
}

/// What is at hand, after a trial: certificates that vouch for this evidence under the policy, or under the vendors' own roots,
/// need not be asked for. Lists that came along have no part in the trial, so that they change no question.
pub(crate) fn held(evidence: &OwnedEvidence, named: &Endorsements, policy: Option<&Policy>, now: UnixTime) -> Held {
    let mut pool = named.clone();
    pool.extend(&evidence.endorsements.without_order_in_time());
    let mut held = Held::unverified(&pool);
    for policy in policy.cloned().into_iter().chain(Policy::parse(teegate_measurements::GENUINE).ok()) {
        held = held.judged(&trial(evidence, &pool, &policy, now));
    }
    held
}

fn trial(evidence: &OwnedEvidence, pool: &Endorsements, policy: &Policy, now: UnixTime) -> Report {
    match verify(&evidence.as_evidence(pool), policy, now) {
        Ok(attested) => attested.report().clone(),
        Err(rejection) => rejection.report().clone(),
    }
}

/// The settings that these options mean.
pub(crate) fn settings(
    sources: &[Source],
    cache: Option<PathBuf>,
    updates: Updates,
    timeout: Option<Duration>,
) -> Settings {
    let defaults = Settings::default();
    let overall = timeout.unwrap_or(defaults.patience.overall);
    let sources = if sources.is_empty() { defaults.sources } else { sources.to_vec() };
    Settings { sources, cache, updates, patience: Patience { overall, ..defaults.patience }, ..Settings::default() }
}

/// Completes evidence, and passes on what is to be noted.
pub(crate) fn ask(settings: Settings, needs: &Needs, held: &Held, now: UnixTime) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the network cannot be used: {error}"))?;
    let outcome = runtime.block_on(Fetcher::new(settings).complete(needs, held, now));
    outcome.notes.iter().for_each(|text| output::note(text));
    Ok(outcome)
}
