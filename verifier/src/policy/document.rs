//! A policy as a document: read, checked against itself, and asked for its profiles.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use toml::de::DeTable;

use crate::rule::ReportDataRule;

use super::holes::{holes_of, still_needed};
use super::pinned::only_with_code;
use super::place;
use super::refusal::Refusal;
use crate::bytes::ReportData;
use crate::check::{Check, Tee};
use crate::report::BoundTo;
use crate::roots::TrustAnchors;
use crate::rule::NEEDED;
use crate::sev_snp::profile::SnpProfile;
use crate::tdx::profile::TdxProfile;

/// What a relying party accepts.
#[derive(Clone, Debug)]
pub struct Policy {
    profiles: Arc<Profiles>,
    report_data: Option<ReportData>,
}

#[derive(Debug)]
struct Profiles {
    name: String,
    anchors: TrustAnchors,
    sev_snp: Option<(String, SnpProfile)>,
    tdx: Option<(String, TdxProfile)>,
}

/// A policy was refused by the loader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    words: String,
    check: Option<Check>,
}

impl PolicyError {
    /// Refused by no rule that has an id.
    pub(super) fn new(words: String) -> Self {
        Self { words, check: None }
    }

    /// The id of the loader's rule that refused it, where it is one.
    pub fn check(&self) -> Option<&'static str> {
        self.check.map(Check::id)
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words.trim_end())
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Loads a policy from TOML. Of a template, all that it still needs is named at once.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if let Some(document) = text.contains(NEEDED).then(|| DeTable::parse(text).ok()).flatten() {
            let holes = [Tee::SevSnp, Tee::Tdx].map(|tee| holes_of(text, document.get_ref(), tee));
            if let Some(needed) = still_needed(text, holes.iter().flatten()) {
                return Err(PolicyError::new(needed));
            }
        }
        Self::parse_without(text, None)
    }

    /// Loads a policy from TOML, save for the profile of one TEE: its evidence is refused, as if nobody had written one.
    pub(super) fn parse_without(text: &str, left_out: Option<Tee>) -> Result<Self, PolicyError> {
        let failed = |error: toml::de::Error| PolicyError::new(place::readable(&error));
        let document: Document = match left_out {
            None => toml::from_str(text).map_err(failed)?,
            Some(Tee::SevSnp) => toml::from_str::<Document<LeftOut, _>>(text).map_err(failed)?.into(),
            Some(Tee::Tdx) => toml::from_str::<Document<_, LeftOut>>(text).map_err(failed)?.into(),
        };
        let table: toml::Table = toml::from_str(text).map_err(failed)?;
        let across = |Refusal { words, check }| PolicyError { words: place::placed(text, &words), check };
        tables_are_tables(&table).map_err(|words| across(words.into()))?;
        document.load().map_err(across)
    }

    /// This policy, which now also expects exactly these 64 bytes, whatever its profiles say of report data.
    #[must_use]
    pub fn with_report_data(&self, report_data: ReportData) -> Self {
        Self { profiles: self.profiles.clone(), report_data: Some(report_data) }
    }

    /// Whether the profile for this TEE leaves the report data to the caller, who has named none: no evidence can be accepted,
    /// so that a command does better to ask for them than to judge. A policy without such a profile misses nothing.
    pub fn misses_report_data(&self, tee: Tee) -> bool {
        let rule = match tee {
            Tee::SevSnp => self.sev_snp().map(|(_, profile)| profile.report_data),
            Tee::Tdx => self.tdx().map(|(_, profile)| profile.report_data),
        };
        rule == Some(ReportDataRule::Caller) && self.report_data.is_none()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.profiles.name
    }

    /// Whether every root is the vendor's; a policy that pins others, as for forged hardware, says so here.
    pub fn trusts_only_vendors(&self) -> bool {
        self.profiles.anchors.amd_is_vendors && self.profiles.anchors.intel_is_vendors
    }

    /// The weakest claim that any profile makes; `None` where one makes no claim.
    pub fn weakest_bound_to(&self) -> Option<BoundTo> {
        let profiles = &self.profiles;
        let snp = profiles.sev_snp.iter().map(|(_, profile)| profile.bound_to.required().copied());
        let tdx = profiles.tdx.iter().map(|(_, profile)| profile.bound_to.required().copied());
        snp.chain(tdx).min().flatten()
    }

    pub(crate) fn anchors(&self) -> &TrustAnchors {
        &self.profiles.anchors
    }

    pub(crate) fn report_data(&self) -> Option<&ReportData> {
        self.report_data.as_ref()
    }

    /// The profile for a platform that is understood, and its name.
    pub(crate) fn profile<P: Profiled>(&self) -> Option<(&str, &P)> {
        P::of(self)
    }

    pub(crate) fn sev_snp(&self) -> Option<(&str, &SnpProfile)> {
        self.profiles.sev_snp.as_ref().map(|(name, profile)| (name.as_str(), profile))
    }

    pub(crate) fn tdx(&self) -> Option<(&str, &TdxProfile)> {
        self.profiles.tdx.as_ref().map(|(name, profile)| (name.as_str(), profile))
    }
}

/// What a policy holds for one platform.
pub(crate) trait Profiled: Sized {
    /// It, and its name.
    fn of(policy: &Policy) -> Option<(&str, &Self)>;
}

impl Profiled for SnpProfile {
    fn of(policy: &Policy) -> Option<(&str, &Self)> {
        policy.sev_snp()
    }
}

impl Profiled for TdxProfile {
    fn of(policy: &Policy) -> Option<(&str, &Self)> {
        policy.tdx()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<S: Default = BTreeMap<String, SnpProfile>, T: Default = BTreeMap<String, TdxProfile>> {
    schema: u32,
    name: String,
    trust_anchors: Option<Anchors>,
    #[serde(default, rename = "sev-snp")]
    sev_snp: S,
    #[serde(default)]
    tdx: T,
}

/// The profiles of a TEE that is left out, whatever stands there.
#[derive(Default)]
struct LeftOut;

impl<'de> Deserialize<'de> for LeftOut {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|IgnoredAny| Self)
    }
}

impl From<Document<LeftOut>> for Document {
    fn from(document: Document<LeftOut>) -> Self {
        let Document { schema, name, trust_anchors, sev_snp: LeftOut, tdx } = document;
        Self { schema, name, trust_anchors, sev_snp: BTreeMap::new(), tdx }
    }
}

impl From<Document<BTreeMap<String, SnpProfile>, LeftOut>> for Document {
    fn from(document: Document<BTreeMap<String, SnpProfile>, LeftOut>) -> Self {
        let Document { schema, name, trust_anchors, sev_snp, tdx: LeftOut } = document;
        Self { schema, name, trust_anchors, sev_snp, tdx: BTreeMap::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Anchors {
    amd: Option<Vec<String>>,
    intel: Option<Vec<String>>,
}

impl Document {
    fn load(self) -> Result<Policy, Refusal> {
        if self.schema != 1 {
            return Err(format!("schema = {}: this release reads policies of schema 1", self.schema).into());
        }
        let anchors = match &self.trust_anchors {
            None => TrustAnchors::vendors(),
            Some(anchors) => TrustAnchors::pinned(anchors.amd.as_deref(), anchors.intel.as_deref())?,
        };
        for (name, profile) in &self.sev_snp {
            let place = format!("sev-snp.{name}");
            only_with_code(&place, &profile.bound(), &profile.code())?;
            only_with_code(&place, &profile.id_block(), &profile.id_block_key())?;
            if let Some(contradiction) = profile.unnamed_agent().or_else(|| profile.contradiction()) {
                return Err(format!("[{place}] {contradiction}").into());
            }
        }
        for (name, profile) in &self.tdx {
            let place = format!("tdx.{name}");
            only_with_code(&place, &profile.boot(), &[profile.firmware()])?;
            if let Some(contradiction) = profile.contradiction() {
                return Err(format!("[{place}] {contradiction}").into());
            }
            only_with_code(&place, &profile.bound(), &profile.code())?;
        }
        let profiles = Profiles {
            name: self.name,
            anchors,
            sev_snp: only_profile("sev-snp", self.sev_snp)?,
            tdx: only_profile("tdx", self.tdx)?,
        };
        if profiles.sev_snp.is_none() && profiles.tdx.is_none() {
            return Err("no profile: expected a table such as [sev-snp.NAME] or [tdx.NAME]".into());
        }
        Ok(Policy { profiles: Arc::new(profiles), report_data: None })
    }
}

/// Every rule stands beside its name. The library would also take a table's values by position, where two that are
/// swapped would go unseen.
fn tables_are_tables(document: &toml::Table) -> Result<(), String> {
    let named = |place: String, value: &toml::Value| {
        value.as_table().cloned().ok_or_else(|| format!("[{place}]: expected a table, each value beside its name"))
    };
    if let Some(anchors) = document.get("trust_anchors") {
        named("trust_anchors".to_owned(), anchors)?;
    }
    for tee in ["sev-snp", "tdx"] {
        let Some(profiles) = document.get(tee) else { continue };
        for (name, profile) in &named(tee.to_owned(), profiles)? {
            let profile = named(format!("{tee}.{name}"), profile)?;
            if let Some(toml::Value::Table(minima)) = profile.get("minimum_tcb") {
                for (product, minimum) in minima {
                    named(format!("{tee}.{name}.minimum_tcb.{product}"), minimum)?;
                }
            }
        }
    }
    Ok(())
}

/// The type of the evidence selects the profile: two of one type would leave that to chance.
fn only_profile<P>(tee: &str, profiles: BTreeMap<String, P>) -> Result<Option<(String, P)>, String> {
    let mut profiles = profiles.into_iter();
    match (profiles.next(), profiles.next()) {
        (Some((first, _)), Some((second, _))) => Err(format!(
            "[{tee}.{first}] and [{tee}.{second}]: expected one profile for each type of evidence; put the other into a policy of its own"
        )),
        (only, _) => Ok(only),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENUINE: &str = include_str!("../../../measurements/policy/genuine.toml");

    /// Asked of the TEE whose evidence is at hand: the other profile may ask for what this one does not.
    #[test]
    fn report_data_is_missed_where_the_caller_is_asked_and_names_none() {
        let (snp, tdx) = GENUINE.split_once("[tdx.genuine]").unwrap();
        let asks = |profile: &str, rule: &str| {
            let line = format!("report_data = {rule}");
            profile.replace("report_data = \"unchecked\"", &line)
        };
        let exactly = format!("\"{}\"", "00".repeat(64));
        for (of_snp, of_tdx, missed) in [
            ("\"caller\"", "\"unchecked\"", [true, false]),
            ("\"unchecked\"", "\"caller\"", [false, true]),
            ("\"caller\"", "\"caller\"", [true, true]),
            (&exactly, "\"unchecked\"", [false, false]),
        ] {
            let policy = Policy::parse(&format!("{}[tdx.genuine]{}", asks(snp, of_snp), asks(tdx, of_tdx))).unwrap();
            let misses = |policy: &Policy| [Tee::SevSnp, Tee::Tdx].map(|tee| policy.misses_report_data(tee));
            assert_eq!(misses(&policy), missed, "{of_snp} {of_tdx}");
            assert_eq!(misses(&policy.with_report_data(ReportData([0; 64]))), [false, false]);
        }
        let snp_alone = Policy::parse(&asks(snp, "\"caller\"")).unwrap();
        assert!(snp_alone.misses_report_data(Tee::SevSnp) && !snp_alone.misses_report_data(Tee::Tdx));
    }
}
