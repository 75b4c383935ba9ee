//! Rules of a policy that are weak, or that contradict each other: where they stand, what they open, what to write instead.
//! The loader refuses what means nothing; what stands here loads, and means less than its author may think.

mod sev_snp;
mod tdx;

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use toml::de::DeTable;

use super::demand::Demand;
use super::document::{Policy, PolicyError};
use super::explain::about;
use super::pinned::{Blank, Digest, blank};
use super::place::{key_offset, position, readable};
use super::seen::Seen;
use super::values::ReferenceValues;
use crate::check::Tee;
use crate::rule::Expect;
use crate::rule::{Bits, ReportDataRule, Version, Waivable};
use crate::sev_snp::profile::{ProductName, SnpTcbMinimum};

/// How bad a remark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Somebody can read what is sent, or nothing at all is accepted.
    Error,
    /// An attack that is known stays open, or a rule does not do what it looks like.
    Warning,
    /// Worth knowing; it may be what you want.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// One remark about a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// How bad it is.
    pub severity: Severity,
    /// The line of the field's name, from 1.
    pub line: usize,
    /// The column of the field's name in characters, from 1.
    pub column: usize,
    /// The field, such as `sev-snp.strict.debug`.
    pub field: String,
    /// What it opens, or what contradicts what.
    pub opens: String,
    /// What to write instead.
    pub instead: String,
}

/// What a release ships that a policy is held against.
#[derive(Clone, Copy, Debug)]
pub struct Shipped<'a> {
    /// The text of the strictest policy: a floor below its floors is weak.
    pub strict: &'a str,
    /// What recorded hardware showed, in TOML: a rule that none of it satisfies may be a mistake.
    pub seen: &'a str,
}

/// Every remark about the policy in `text`, with its reference values, in the order of its lines. A refusal by the loader
/// that names a field also gets its place.
pub fn lint(text: &str, values: &ReferenceValues, shipped: &Shipped<'_>) -> Result<Vec<Remark>, PolicyError> {
    let policy = if values.given().is_empty() {
        Policy::parse(text)?
    } else {
        Policy::parse_with(text, values)?.policy().clone()
    };
    let failed = |error: toml::de::Error| PolicyError::new(readable(&error));
    let document = DeTable::parse(text).map_err(failed)?;
    let strict: toml::Table = toml::from_str(shipped.strict).map_err(failed)?;
    let mut lint = Lint {
        text,
        document: document.get_ref(),
        place: Vec::new(),
        tee: Tee::SevSnp,
        remarks: Vec::new(),
        places: BTreeMap::new(),
    };
    lint.anchors(&policy);
    if let Some((name, profile)) = policy.sev_snp() {
        lint.place = vec!["sev-snp", name];
        lint.sev_snp(profile, &Floors::of(&strict));
        lint.unseen(&Seen::parse(shipped.seen, Tee::SevSnp).map_err(failed)?, &profile.demands());
    }
    if let Some((name, profile)) = policy.tdx() {
        lint.place = vec!["tdx", name];
        lint.tee = Tee::Tdx;
        lint.tdx(profile);
        lint.unseen(&Seen::parse(shipped.seen, Tee::Tdx).map_err(failed)?, &profile.demands());
    }
    let mut remarks = lint.remarks;
    remarks.sort_by_key(|remark| (remark.line, remark.column, remark.severity));
    Ok(remarks)
}

/// What the strictest policy asks of SEV-SNP firmware.
struct Floors {
    tcb: BTreeMap<ProductName, SnpTcbMinimum>,
    firmware: Option<Version<3>>,
}

impl Floors {
    fn of(strict: &toml::Table) -> Self {
        let profile = strict.get("sev-snp").and_then(|profiles| profiles.as_table()?.values().next()?.as_table());
        let field = |name: &str| profile.and_then(|profile| profile.get(name)).cloned();
        Self {
            tcb: field("minimum_tcb").and_then(|floors| floors.try_into().ok()).unwrap_or_default(),
            firmware: field("minimum_firmware").and_then(|version| version.try_into().ok()),
        }
    }
}

struct Lint<'a> {
    text: &'a str,
    document: &'a DeTable<'a>,
    /// The table of the profile.
    place: Vec<&'a str>,
    tee: Tee,
    remarks: Vec<Remark>,
    /// Where fields stand, by their whole name: a field may earn many remarks.
    places: BTreeMap<String, (usize, usize)>,
}

impl Lint<'_> {
    fn say(&mut self, severity: Severity, field: &str, opens: impl Into<String>, instead: impl Into<String>) {
        let path: Vec<&str> = self.place.iter().copied().chain([field]).collect();
        let (field, opens, instead) = (path.join("."), opens.into(), instead.into());
        let place = || position(self.text, key_offset(self.document, &path).unwrap_or(0));
        let (line, column) = *self.places.entry(field.clone()).or_insert_with(place);
        self.remarks.push(Remark { severity, line, column, field, opens, instead });
    }

    /// The field asks nothing: the words for it are those of the explanation.
    fn waived(&mut self, waived: bool, severity: Severity, field: &str, instead: &str) {
        if waived {
            self.say(severity, field, about(self.tee, field).open, instead);
        }
    }

    /// Values that are no digest of anybody, among those that a rule accepts.
    fn blanks<T: Digest>(&mut self, field: &str, rule: &Expect<T>, instead: &str) {
        let blanks: Vec<_> = rule.accepted().unwrap_or_default().iter().map(|value| blank(field, value)).collect();
        if blanks.contains(&Some(Blank::Nobody)) {
            if blanks.iter().all(|says| *says == Some(Blank::Nobody)) {
                let opens = "zeros are the value of nobody: nothing that is genuine is accepted";
                self.say(Severity::Error, field, opens, instead);
            } else {
                let opens = "zeros are listed, which are the value of nobody: the list pins nobody";
                self.say(Severity::Warning, field, opens, format!("{instead}, without zeros"));
            }
        }
        if blanks.contains(&Some(Blank::Unextended)) {
            let opens = "zeros: nothing was extended there, as under a firmware that does not measure what this register is for";
            self.say(Severity::Note, field, opens, instead);
        }
    }

    /// Rules about the state of a platform that no recorded one satisfies.
    fn unseen(&mut self, seen: &Seen, demands: &[(&'static str, Demand)]) {
        for (field, demand) in demands {
            if let Some(complaint) = seen.complaint(field, demand) {
                let instead = "what your platforms show, unless you know that they show more than those";
                self.say(Severity::Note, field, complaint, instead);
            }
        }
    }

    fn anchors(&mut self, policy: &Policy) {
        self.place = vec!["trust_anchors"];
        let anchors = policy.anchors();
        for (field, vendors) in [("amd", anchors.amd_is_vendors), ("intel", anchors.intel_is_vendors)] {
            if !vendors {
                let opens =
                    "these roots replace the vendor's: whoever holds their keys can make evidence of any hardware";
                self.say(
                    Severity::Error,
                    field,
                    opens,
                    "nothing: leave the field out, unless this policy is for tests",
                );
            }
        }
    }

    fn report_data(&mut self, rule: &ReportDataRule) {
        match rule {
            ReportDataRule::Unchecked => self.waived(true, Severity::Warning, "report_data", "\"caller\""),
            ReportDataRule::Exactly(_) => {
                let opens = "the same bytes for ever: evidence that was recorded once passes again";
                self.say(Severity::Note, "report_data", opens, "\"caller\", and a fresh nonce with each request");
            }
            ReportDataRule::Caller => {}
        }
    }

    fn bits(&mut self, field: &str, rule: &Waivable<Bits>, must: &[(&str, &str)], must_not: &[(&str, &str)]) {
        let Some(bits) = rule.required() else { return };
        for (name, opens) in must.iter().filter(|(name, _)| !bits.required.iter().any(|own| own == name)) {
            self.say(
                Severity::Warning,
                field,
                format!("`{name}` is not required: {opens}"),
                format!("`{name}` in `required`"),
            );
        }
        for (name, opens) in must_not.iter().filter(|(name, _)| !bits.forbidden.iter().any(|own| own == name)) {
            self.say(
                Severity::Warning,
                field,
                format!("`{name}` is not forbidden: {opens}"),
                format!("`{name}` in `forbidden`"),
            );
        }
    }
}

/// Longer than a quarter to apply an update is a hole, and no grace.
const LONG_GRACE_DAYS: u32 = 90;

#[cfg(test)]
mod tests;
