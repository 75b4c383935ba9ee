//! Rules of a policy that are weak, or that contradict each other: where they stand, what they open, what to write instead.
//! The loader refuses what means nothing; what stands here loads, and means less than its author may think.

mod acknowledged;
mod kind;
mod remark;
mod sev_snp;
mod tdx;

pub use acknowledged::{Acknowledged, Acknowledgements, AcknowledgementsError, Review, Reviewed, Stale, StaleKind};
pub use kind::RemarkKind;
pub use remark::Remark;

use std::collections::BTreeMap;
use teegate_verifier::place::{key_offset, position, readable};
use teegate_verifier::{
    Ask, Bits, Blank, BoundTo, Document, Draft, Field, Floor, PolicyError, Profile, Severity, Tee, Value, Wrapping,
};
use toml::de::DeTable;

use crate::reference::{ReferenceValues, fill};
use crate::seen::Seen;
use crate::shipped::Shipped;
use RemarkKind::{Allowed, ForeignRoots, Needed, Nobody, OpenBits, Replayable, Unasked, Unextended, Unseen};

/// Every remark about the policy in `text`, with its reference values, in the order of its lines. Of a template without values,
/// each field that still needs one is named too.
///
/// # Errors
/// The loader refuses the policy, or the values do not fit it.
pub fn lint(text: &str, values: &ReferenceValues, shipped: &Shipped<'_>) -> Result<Vec<Remark>, PolicyError> {
    let (draft, filled);
    let document = if values.given().is_empty() {
        draft = Draft::parse(text)?;
        draft.document()
    } else {
        filled = fill(text, values)?;
        filled.policy().document()
    };
    let failed = |error: toml::de::Error| PolicyError::new(readable(&error));
    let table = DeTable::parse(text).map_err(failed)?;
    let strict = Floors::of(shipped.strict)?;
    let mut lint =
        Lint { text, table: table.get_ref(), place: Vec::new(), remarks: Vec::new(), places: BTreeMap::new() };
    lint.anchors(document);
    for profile in document.profiles() {
        lint.place = vec![profile.tee().name(), profile.name()];
        lint.every_field(profile);
        match profile.tee() {
            Tee::SevSnp => lint.sev_snp(profile, &strict),
            Tee::Tdx => lint.tdx(profile),
            _ => {}
        }
        lint.workload(profile);
        lint.unseen(&Seen::parse(shipped.seen, profile.tee()).map_err(failed)?, profile);
    }
    let mut remarks = lint.remarks;
    remarks.sort_by_key(|remark| (remark.line, remark.column, remark.severity));
    Ok(remarks)
}

/// What a claim about a workload may rest on.
const HOST_BINDS: &str = "the digest of what the host must bind, if the claim of a workload rests on it";

/// Registers that nobody extends under a paravisor: what it starts stands in those of its vTPM.
const LEFT_TO_A_PARAVISOR: [&str; 4] = ["rtmr0", "rtmr1", "rtmr2", "rtmr3"];

/// What the strictest policy asks of SEV-SNP firmware.
struct Floors {
    tcb: BTreeMap<&'static str, Floor>,
    firmware: Option<Vec<u8>>,
}

impl Floors {
    fn of(strict: &str) -> Result<Self, PolicyError> {
        let strict = Draft::parse(strict)?;
        let mut profiles = strict.document().profiles().iter();
        let profile = profiles.find(|profile| profile.tee() == Tee::SevSnp);
        let ask = |field: &str| profile.and_then(|profile| profile.ask(field)).cloned();
        Ok(Self {
            tcb: if let Some(Ask::Floors(floors)) = ask("minimum_tcb") { floors } else { BTreeMap::new() },
            firmware: if let Some(Ask::Version(version)) = ask("minimum_firmware") { Some(version) } else { None },
        })
    }
}

struct Lint<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
    /// The table of the profile.
    place: Vec<&'a str>,
    remarks: Vec<Remark>,
    /// Where fields stand, by their whole name: a field may earn many remarks.
    places: BTreeMap<String, (usize, usize)>,
}

impl Lint<'_> {
    fn say(
        &mut self,
        severity: Severity,
        kind: RemarkKind,
        field: &str,
        opens: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let path: Vec<&str> = self.place.iter().copied().chain([field]).collect();
        let (field, opens, instead) = (path.join("."), opens.into(), instead.into());
        let place = || position(self.text, key_offset(self.table, &path).unwrap_or(0));
        let (line, column) = *self.places.entry(field.clone()).or_insert_with(place);
        self.remarks.push(Remark { severity, kind, line, column, field, opens, instead });
    }

    /// What the table of fields says of each: that it is weak to ask nothing there, that a value is nobody's, that a value is
    /// still needed.
    fn every_field(&mut self, profile: &Profile) {
        if profile.bound_to().is_none() {
            let opens = "no claim is made about which code it speaks for";
            let instead = "\"guest\", \"pod\" or \"workload\", as the pinned measurements admit";
            self.say(Severity::Warning, Unasked, "bound_to", opens, instead);
        }
        let says_nothing =
            |field: &Field| profile.wrapping() != Wrapping::Raw && LEFT_TO_A_PARAVISOR.contains(&field.name);
        for (field, ask) in profile.rules().iter().filter(|(field, _)| !says_nothing(field)) {
            match (ask, field.weak) {
                (Ask::Nothing, Some((severity, instead))) => {
                    self.say(severity, Unasked, field.name, field.open, instead)
                }
                (Ask::Needed, _) => {
                    let opens = "a reference value is needed here: until it is there, nothing is accepted";
                    self.say(Severity::Note, Needed, field.name, opens, field.written.to_string());
                }
                (Ask::OneOf(values), _) => self.blanks(field, values.as_slice()),
                _ => {}
            }
        }
    }

    /// The field asks nothing, which is weak beside what other fields say.
    fn waived(&mut self, profile: &Profile, field: &str, severity: Severity, instead: &str) {
        let of_field = profile.rules().iter().find(|(own, _)| own.name == field);
        if let Some((field, Ask::Nothing)) = of_field {
            self.say(severity, Unasked, field.name, field.open, instead);
        }
    }

    /// Where whoever starts the guest says which workload it is to run, by platform and wrapping.
    fn workload(&mut self, profile: &Profile) {
        if profile.bound_to() != Some(BoundTo::Workload) {
            return;
        }
        let (field, instead) = match (profile.wrapping(), profile.tee()) {
            (Wrapping::AzureVtpm, _) => {
                ("pcr8", "the register of your initdata, if the claim of a workload rests on it")
            }
            (_, Tee::Tdx) => ("mrconfigid", HOST_BINDS),
            _ => ("host_data", HOST_BINDS),
        };
        self.waived(profile, field, Severity::Warning, instead);
    }

    /// Values that are no digest of anybody, among those that a rule accepts.
    fn blanks(&mut self, field: &Field, values: &[Value]) {
        let none_there = field.blanks.iter().any(|(_, says)| *says == Blank::NoneThere);
        let otherwise = if none_there { "all ones for no agent, or the id of yours" } else { "the value of yours" };
        let instead = field.weak.map_or(otherwise, |(_, instead)| instead);
        let says = |value: &Value| if let Value::Bytes(bytes) = value { field.blank(bytes) } else { None };
        let blanks: Vec<_> = values.iter().map(says).collect();
        // Genuine reports do show an author key of zeros: what that means depends on the ID key beside it.
        if blanks.contains(&Some(Blank::Nobody)) && field.name != "author_key" {
            if blanks.iter().all(|says| *says == Some(Blank::Nobody)) {
                let opens = "zeros are the value of nobody: nothing that is genuine is accepted";
                self.say(Severity::Error, Nobody, field.name, opens, instead);
            } else {
                let opens = "zeros are listed, which are the value of nobody: the list pins nobody";
                self.say(Severity::Warning, Nobody, field.name, opens, format!("{instead}, without zeros"));
            }
        }
        if blanks.contains(&Some(Blank::Unextended)) {
            let opens = "zeros: nothing was extended there, as where nothing measures what this register is for";
            self.say(
                Severity::Note,
                Unextended,
                field.name,
                opens,
                format!("{instead}, unless nothing extends it on your machines"),
            );
        }
    }

    /// Rules about the state of a platform that no recorded one satisfies.
    fn unseen(&mut self, seen: &Seen, profile: &Profile) {
        for (field, ask) in profile.rules() {
            if let Some(complaint) = seen.complaint(field, ask) {
                let instead = "what your platforms show, unless you know that they show more than those";
                self.say(Severity::Note, Unseen, field.name, complaint, instead);
            }
        }
    }

    fn anchors(&mut self, document: &Document) {
        self.place = vec!["trust_anchors"];
        for roots in Tee::all().map(|tee| document.roots(tee)).filter(|roots| !roots.are_vendors()) {
            let opens = "these roots replace the vendor's: whoever holds their keys can make evidence of any hardware";
            let instead = "nothing: leave the field out, unless this policy is for tests";
            self.say(Severity::Error, ForeignRoots, roots.field(), opens, instead);
        }
    }

    /// Bytes for ever: what both kinds of evidence are asked.
    fn report_data(&mut self, profile: &Profile) {
        if let Some(Ask::OneOf(_)) = profile.ask("report_data") {
            let opens = "the same bytes for ever: evidence that was recorded once passes again";
            self.say(
                Severity::Note,
                Replayable,
                "report_data",
                opens,
                "\"caller\", and a fresh nonce with each request",
            );
        }
    }

    fn bits(&mut self, profile: &Profile, field: &str, must: &[(&str, &str)], must_not: &[(&str, &str)]) {
        let Some(Ask::Bits(bits)) = profile.ask(field) else { return };
        let bits: &Bits = bits;
        for (name, opens) in must.iter().filter(|(name, _)| !bits.requires(name)) {
            let opens = format!("`{name}` is not required: {opens}");
            self.say(Severity::Warning, OpenBits, field, opens, format!("`{name}` in `required`"));
        }
        for (name, opens) in must_not.iter().filter(|(name, _)| !bits.forbids(name)) {
            let opens = format!("`{name}` is not forbidden: {opens}");
            self.say(Severity::Warning, OpenBits, field, opens, format!("`{name}` in `forbidden`"));
        }
    }

    /// A switch that lets something dangerous in.
    fn allowed(&mut self, profile: &Profile, field: &str, severity: Severity, opens: &str) {
        if profile.ask(field).is_some_and(is_allowed) {
            self.say(severity, Allowed, field, opens, "\"rejected\"");
        }
    }
}

/// Whether a word of the lowest rank stands there.
const fn is_allowed(ask: &Ask) -> bool {
    matches!(ask, Ask::Word(0, _))
}

/// The names that a rule lists.
fn names(ask: Option<&Ask>) -> Vec<&str> {
    let Some(Ask::OneOf(values) | Ask::NoneOf(values)) = ask else { return Vec::new() };
    let names = values.as_slice().iter();
    names.filter_map(|value| if let Value::Name(name) = value { Some(name.as_str()) } else { None }).collect()
}

/// Longer than a quarter to apply an update is a hole, and no grace.
const LONG_GRACE_DAYS: u32 = 90;

#[cfg(test)]
mod tests;
