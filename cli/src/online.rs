//! Asking the vendors, where somebody asked for it: the options of every verb that does, and what they mean for one piece of
//! evidence. What then counts beside the answers is decided in `teegate-collateral`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use teegate_collateral::{Completed, Fetcher, Patience, Settings, Source, Updates};
use teegate_intake::endorsements::Loaded;
use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Policy, Source as Carrier, UnixTime};

use crate::output;
use crate::pool::{Pool, carrier};

/// The options of a verb that asks the vendors only with `--online`.
#[derive(Args, Debug)]
pub(crate) struct OnlineArgs {
    /// Ask the vendors for whatever the evidence needs: AMD's KDS, Intel's PCS, or what `--source` names. Lists and collateral
    /// that came with the evidence, or from a gateway, do not count then; those of `--endorsements` count beside the answers, or alone where the
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
        let mut pool = Pool::new();
        // Malformed evidence needs nothing; the verdict says what is wrong with it.
        let Some(completed) = self.ask(evidence, supplied, policy, now)? else {
            pool.add(Carrier::Supplied, &supplied.endorsements());
            pool.add(carrier(evidence), &evidence.endorsements);
            return Ok(pool);
        };
        completed.notes().iter().for_each(|text| output::note(text));
        for missing in &completed.outcome.missing {
            pool.in_vain.push(missing.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; "));
        }
        if completed.left_out > 0 {
            output::note(&format!(
                "{} revocation lists or signed collateral came with the evidence and do not count: with `--online` only \
                 the vendors' answers do, and what `--endorsements` names",
                completed.left_out
            ));
        }
        pool.add(Carrier::Fetched, &completed.fetched);
        pool.add(Carrier::Supplied, &completed.supplied);
        pool.add(carrier(evidence), &completed.carried);
        Ok(pool)
    }

    /// What asks the vendors, where that was asked for.
    pub(crate) fn fetcher(&self) -> Option<Fetcher> {
        self.online.then(|| Fetcher::new(settings(&self.source, self.cache.clone(), Updates::Standard, None)))
    }

    fn ask(
        &self,
        evidence: &OwnedEvidence,
        supplied: &Loaded,
        policy: &Policy,
        now: UnixTime,
    ) -> Result<Option<Completed>, String> {
        let Some(fetcher) = self.fetcher() else { return Ok(None) };
        let policies: Vec<_> = [policy.clone()].into_iter().chain(genuine()).collect();
        let completed = runtime()?.block_on(fetcher.complete_evidence(evidence, supplied, &policies, now));
        completed.map_err(|error| error.to_string())
    }
}

/// Under the vendors' own roots, whatever the policy is.
pub(crate) fn genuine() -> Option<Policy> {
    Policy::parse(teegate_measurements::GENUINE).ok()
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

/// Where the questions run.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| format!("the network cannot be used: {error}"))
}
