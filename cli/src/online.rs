//! Asking the vendors, where somebody asked for it: the options that `verify --online` and `fetch` share, and the one call
//! that completes evidence.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use teegate_collateral::{Fetcher, Origin, Outcome, Patience, Settings, Source, Updates};
use teegate_intake::evidence::OwnedEvidence;
use teegate_verifier::{Endorsements, Needs, UnixTime, needs_of};

use crate::output;

/// The options of a verb that asks the vendors only with `--online`.
#[derive(Args, Debug)]
pub(crate) struct OnlineArgs {
    /// Ask the vendors for whatever the evidence needs and is not given: AMD's KDS, Intel's PCS, or what `--source` names
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
    /// With `--online`, adds to `endorsements` what the evidence needs beyond them. Says on standard error what is missing or
    /// stale; whether that matters is the verdict's to say. Without `--online` it asks nobody.
    pub(crate) fn complete(
        &self,
        evidence: &OwnedEvidence,
        endorsements: &mut Endorsements,
        now: UnixTime,
    ) -> Result<(), String> {
        if !self.online {
            return Ok(());
        }
        // Malformed evidence needs nothing; the verdict says what is wrong with it.
        let Ok(needs) = needs_of(&evidence.as_evidence(endorsements)) else { return Ok(()) };
        let settings = settings(&self.source, self.cache.clone(), Updates::Standard, None);
        let outcome = ask(settings, &needs, endorsements, now)?;
        for missing in &outcome.missing {
            output::note(&format!("not to be had: {missing}"));
        }
        for document in outcome.documents.iter().filter(|document| matches!(document.origin, Origin::Stale { .. })) {
            output::note(&format!(
                "`{}` is {}, and holds until {}",
                document.file_name, document.origin, document.valid_until
            ));
        }
        endorsements.extend(&outcome.endorsements().map_err(|error| error.to_string())?);
        Ok(())
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
pub(crate) fn ask(settings: Settings, needs: &Needs, held: &Endorsements, now: UnixTime) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the network cannot be used: {error}"))?;
    let outcome = runtime.block_on(Fetcher::new(settings).complete(needs, held, now));
    outcome.notes.iter().for_each(|text| output::note(text));
    Ok(outcome)
}
