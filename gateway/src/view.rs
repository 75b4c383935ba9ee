//! `GET /v1/fleet` on the operator's listener: every address, where it stands, since when, and why; which policy is in force; what
//! ends next. JSON of schema `teegate/fleet/1`: members may be added, none changes its meaning.
//!
//! What stands in it is configured, measured, or of bounded length: an instance of the largest manifest takes a few kilobytes.

use serde::{Deserialize, Serialize};
use teegate_intake::forecast::Forecast;
use teegate_protocol::manifest::ManifestBytes;

use crate::admission::issuer::Standing;
use crate::clock::Now;
use crate::fleet::State;
use crate::gateway::Gateway;
use crate::identity::identity;
use crate::journal::{Condition, Sight};
use crate::trust::{Backend, Ending, Failed, Summary, Trusted};

/// Where it is.
pub const FLEET_PATH: &str = "/v1/fleet";
/// The version of this form.
pub const SCHEMA: &str = "teegate/fleet/1";
/// So many models of an instance are named.
const MODELS: usize = 16;
/// So many characters of a sentence are shown, and so many evaluations.
const WORDS: usize = 400;
const OUTLOOKS: usize = 8;

/// The whole fleet at one moment. Times are RFC 3339, in UTC.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct FleetView {
    /// [`SCHEMA`].
    pub schema: String,
    /// By the gateway's wall clock.
    pub at: String,
    /// Version of the gateway.
    pub version: String,
    /// Whether a request could be released now.
    pub ready: bool,
    /// Why not.
    pub why_unready: Option<String>,
    /// The policy in force.
    pub policy: PolicyView,
    /// What ends first of everything that the proofs in force rest on.
    pub ends_first: Option<EndView>,
    /// The certificate that clients are shown; none where they do not speak TLS to the gateway itself.
    pub tls: Option<TlsView>,
    /// The keys of tokens; none where they are in a file, or no tokens are taken.
    #[serde(default)]
    pub jwks: Option<JwksView>,
    /// Every address, in the order of their names.
    pub instances: Vec<InstanceView>,
}

/// The policy in force, and the last reload.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct PolicyView {
    /// As its author named it.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Counts the policies of this process, from 1.
    pub version: u64,
    /// In force since.
    pub since: String,
    /// Reloads that succeeded.
    pub reloads: u64,
    /// Reloads that did not.
    pub refused_reloads: u64,
    /// The last reload, if it was refused.
    pub last_refused: Option<RefusedView>,
    /// The keys of the configuration that are written otherwise now, and that only a restart takes.
    #[serde(default)]
    pub needs_restart: Vec<String>,
}

/// A refused reload: everything stayed as it was.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct RefusedView {
    /// When.
    pub at: String,
    /// Why.
    pub why: String,
}

/// The certificate of the clients' listener.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct TlsView {
    /// It is valid until then.
    pub not_after: String,
    /// Why the files on disk are not what is shown, if they are not.
    pub refused: Option<String>,
}

/// The keys under which tokens are taken, of an issuer who publishes them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct JwksView {
    /// Where they are asked for.
    pub url: String,
    /// How many there are; 0 where none count, and no token is taken then.
    pub keys: u64,
    /// Seconds since they were read, if they ever were.
    pub age_seconds: Option<u64>,
    /// Seconds until they end, if nothing confirms them.
    pub seconds: u64,
    /// Why the last question was not answered with keys, if it was not.
    pub failure: Option<String>,
}

/// When something ends.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct EndView {
    /// `certificate`, `crl`, `tcb-info`, `qe-identity`; `verdict` where the verifier names the end of the whole.
    pub kind: String,
    /// Subject, issuer or platform.
    pub name: String,
    /// When.
    pub at: String,
    /// Seconds from now.
    pub seconds: u64,
}

/// One address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct InstanceView {
    /// As it is configured, or was found.
    pub address: String,
    /// `pending`, `attested`, `draining`, `rejected` or `unreachable`.
    pub state: String,
    /// In this state since.
    pub since: String,
    /// Why it is in this state.
    pub why: String,
    /// The checks that refused it.
    pub failed: Vec<FailedView>,
    /// The ids of these checks, all of them.
    pub checks: Vec<String>,
    /// The newest error, where it does not answer. With a proof this says that the proof will lapse.
    pub silence: Option<SilenceView>,
    /// Refusals or silences since it was last as it should be.
    pub tries: u64,
    /// What was proven, where that counts.
    pub proof: Option<ProofView>,
    /// Whether it says that it takes no more for now.
    pub full: bool,
    /// Requests that it has and has not answered.
    pub in_flight: u64,
    /// Its circuit breaker: `closed`, `open` or `half-open`; none before its first proof.
    pub breaker: Option<String>,
}

/// A check that failed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct FailedView {
    /// Its id; `teegate verify --explain ID` says more.
    pub check: String,
    /// What it asked for; empty where it compares nothing.
    pub expected: String,
    /// What it found, or why.
    pub found: String,
    /// What helps.
    pub remedy: String,
}

/// An address that does not answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct SilenceView {
    /// `connection-refused`, `connection-lost`, `unreachable`, `timed-out`, `tls`, `not-http2`, `http2`, `status`, `too-long`.
    pub kind: String,
    /// The newest error.
    pub error: String,
}

/// What an instance has proven.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct ProofView {
    /// Seconds until it lapses, unless it is renewed.
    pub seconds: u64,
    /// `sev-snp` or `tdx`.
    pub tee: String,
    /// What lies around its evidence.
    pub wrapping: String,
    /// The profile of the policy that accepted it.
    pub profile: String,
    /// `guest`, `pod`, `workload`, or nothing.
    pub bound_to: Option<String>,
    /// `vendors` or `policy`.
    pub trust_anchors: Option<String>,
    /// `measurement` or `mrtd`.
    pub code_name: String,
    /// That measurement, hexadecimal.
    pub code: String,
    /// Its TCB, in a line.
    pub tcb: String,
    /// What ends the verdict, if it is not asked again.
    pub ends_first: Option<EndView>,
    /// From when on its evidence will be refused by what is in hand, if that is known.
    #[serde(default)]
    pub refused_from: Option<ForecastView>,
    /// Digest of its newest manifest.
    pub manifest: String,
    /// Its instance id.
    pub instance_id: String,
    /// The epoch of that manifest.
    pub epoch: u64,
    /// Clients seal to it until then.
    pub use_until: String,
    /// SHA-256 of the evidence.
    pub evidence: String,
    /// Its models, the first ones.
    pub models: Vec<ModelView>,
    /// How many more there are.
    pub more_models: u64,
}

/// The verifier's own verdict at an instant to come, by the statements and the policy of now.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct ForecastView {
    /// The first instant at which the evidence is refused.
    pub at: String,
    /// Seconds until then.
    pub seconds: u64,
    /// The checks that refuse it then.
    pub checks: Vec<String>,
    /// The first of them in words.
    pub reason: String,
    /// What helps.
    pub remedy: String,
    /// What each TCB evaluation in hand says of the platform, in a sentence.
    pub outlook: Vec<String>,
}

/// A model.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

impl Gateway {
    /// What there is to be seen now. `why_unready` is for who knows it to say.
    pub(crate) fn view(&self, why_unready: Option<&str>) -> FleetView {
        let now = self.fleet.clock().now();
        // It has to be as old as what it is compared with: a lapse is written when it is seen.
        self.fleet.note();
        let journal = self.fleet.journal().entries();
        let state = self.fleet.read();
        let record = self.reloads.record();
        let instances = state.sights(&now).map(|(address, sight)| {
            let since = journal.get(address).and_then(|entry| entry.since(sight.condition)).unwrap_or(now.wall);
            instance(address.as_str(), &since.to_string(), &sight, &state, &now)
        });
        FleetView {
            schema: SCHEMA.to_owned(),
            at: now.wall.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: why_unready.is_none(),
            why_unready: why_unready.map(|why| why.trim_end().to_owned()),
            policy: PolicyView {
                name: record.policy.name,
                sha256: record.policy.sha256,
                version: state.appraisal.version,
                since: record.since.to_string(),
                reloads: record.taken,
                refused_reloads: record.refused,
                last_refused: record.failure.map(|(at, why)| RefusedView { at: at.to_string(), why }),
                needs_restart: record.restart,
            },
            ends_first: endings(&state, &now).first().map(|ending| end(ending, &now)),
            tls: self
                .certificates
                .as_ref()
                .map(|shown| TlsView { not_after: shown.not_after().to_string(), refused: shown.refused() }),
            jwks: self.gatekeeper.keys(&now).map(|standing| jwks(&standing)),
            instances: instances.collect(),
        }
    }
}

/// What the proofs in force rest on, each once, what ends first first.
pub(crate) fn endings(state: &State, now: &Now) -> Vec<Ending> {
    let mut all: Vec<Ending> = Vec::new();
    for (_, sight) in state.sights(now) {
        let Some(proof) = sight.proof else { continue };
        all.extend(proof.once().summary().endings.iter().cloned());
    }
    all.sort();
    // Of many that are called alike (the certificates of chips) the first tells when somebody is concerned.
    let mut known = std::collections::BTreeSet::new();
    all.retain(|ending| known.insert((ending.kind, ending.name.clone())));
    all
}

/// How many addresses are in each state.
pub(crate) fn counts(state: &State, now: &Now) -> [(Condition, u64); Condition::ALL.len()] {
    let mut counts = Condition::ALL.map(|condition| (condition, 0));
    for (_, sight) in state.sights(now) {
        for (condition, count) in &mut counts {
            *count += u64::from(*condition == sight.condition);
        }
    }
    counts
}

fn jwks(standing: &Standing) -> JwksView {
    let Standing { url, keys, age_seconds, seconds, failure, .. } = standing.clone();
    JwksView { url, keys, age_seconds, seconds, failure }
}

fn instance(address: &str, since: &str, sight: &Sight<'_>, state: &State, now: &Now) -> InstanceView {
    let breaker = sight.proof.and_then(|proof| state.breaker(&identity(proof.once().manifest())));
    InstanceView {
        address: address.to_owned(),
        state: sight.condition.name().to_owned(),
        since: since.to_owned(),
        why: sight.why.to_owned(),
        failed: sight.failed.iter().map(failed).collect(),
        checks: sight.checks.iter().map(|check| (*check).to_owned()).collect(),
        silence: sight.silence.map(|silence| SilenceView {
            kind: silence.kind.to_owned(),
            error: silence.words.chars().take(240).collect(),
        }),
        tries: sight.tries(),
        proof: sight.proof.map(|backend| proof(backend, now)),
        full: sight.is_full,
        in_flight: sight.proof.map_or(0, |proof| u64::try_from(proof.once().in_flight()).unwrap_or(u64::MAX)),
        breaker: breaker.map(|breaker| breaker.word(now.mono).to_owned()),
    }
}

fn failed(failed: &Failed) -> FailedView {
    let Failed { check, expected, found, remedy } = failed.clone();
    FailedView { check: check.to_owned(), expected, found, remedy }
}

fn proof(backend: &Trusted<Backend>, now: &Now) -> ProofView {
    let manifest: &ManifestBytes = backend.once().manifest();
    let (digest, manifest) = (manifest.digest(), manifest.manifest());
    let summary: &Summary = backend.once().summary();
    let models = manifest.models.iter().take(MODELS);
    ProofView {
        seconds: backend.seconds_left(now),
        tee: summary.tee.to_owned(),
        wrapping: summary.wrapping.to_owned(),
        profile: summary.profile.clone(),
        bound_to: summary.bound_to.map(str::to_owned),
        trust_anchors: summary.trust_anchors.map(str::to_owned),
        code_name: summary.code_name.to_owned(),
        code: summary.code.clone(),
        tcb: summary.tcb.clone(),
        ends_first: summary.first.as_ref().map(|ending| end(ending, now)),
        refused_from: backend.once().forecast().and_then(|forecast| refused_from(forecast, now)),
        manifest: digest.to_string(),
        instance_id: manifest.instance_id.to_string(),
        epoch: manifest.epoch,
        use_until: teegate_verifier::UnixTime::from_seconds(manifest.use_until).to_string(),
        evidence: backend.once().evidence_digest().to_string(),
        models: models.map(|model| ModelView { name: model.name.clone(), version: model.version.clone() }).collect(),
        more_models: u64::try_from(manifest.models.len().saturating_sub(MODELS)).unwrap_or(u64::MAX),
    }
}

fn refused_from(forecast: &Forecast, now: &Now) -> Option<ForecastView> {
    let until = forecast.accepted_until?;
    Some(ForecastView {
        at: until.to_string(),
        seconds: until.seconds().saturating_sub(now.wall.seconds()),
        checks: forecast.refused_by.iter().map(|check| (*check).to_owned()).collect(),
        reason: forecast.reason.chars().take(WORDS).collect(),
        remedy: forecast.remedy.chars().take(WORDS).collect(),
        outlook: forecast.outlook.iter().take(OUTLOOKS).map(|line| line.chars().take(WORDS).collect()).collect(),
    })
}

fn end(ending: &Ending, now: &Now) -> EndView {
    let Ending { at, kind, name } = ending;
    let seconds = at.seconds().saturating_sub(now.wall.seconds());
    EndView { kind: (*kind).to_owned(), name: name.clone(), at: at.to_string(), seconds }
}

#[cfg(test)]
mod tests;
