//! Rules of a policy that are weak, or that contradict each other: where they stand, what they open, what to write instead.
//! The loader refuses what means nothing; what stands here loads, and means less than its author may think.

use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use toml::de::DeTable;

use super::demand::{Demand, spelt};
use super::explain::about;
use super::place::{key_offset, position};
use super::rule::{Bits, ReportDataRule, Revocation, Switch, Waivable};
use super::seen::Seen;
use super::sev_snp::{BASELINE, ProductName, SigningKeyName, SnpProfile, SnpTcbMinimum};
use super::tdx::{DecidingEvaluation, StatusName, TdxProfile, Trailing};
use super::values::ReferenceValues;
use super::{Policy, PolicyError};
use crate::checks::Tee;
use crate::findings::BoundTo;

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
    let failed = |error: toml::de::Error| PolicyError(error.to_string());
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
        lint.sev_snp(profile, &shipped_floors(&strict));
        lint.unseen(&Seen::parse(shipped.seen, Tee::SevSnp).map_err(failed)?, &profile.demands());
    }
    if let Some((name, profile)) = policy.tdx() {
        lint.place = vec!["tdx", name];
        lint.tee = Tee::Tdx;
        lint.tdx(profile, shipped_evaluation(&strict));
        lint.unseen(&Seen::parse(shipped.seen, Tee::Tdx).map_err(failed)?, &profile.demands());
    }
    let mut remarks = lint.remarks;
    remarks.sort_by_key(|remark| (remark.line, remark.column, remark.severity));
    Ok(remarks)
}

fn profile_of<'a>(policy: &'a toml::Table, tee: &str) -> Option<&'a toml::Table> {
    policy.get(tee)?.as_table()?.values().next()?.as_table()
}

fn shipped_floors(strict: &toml::Table) -> BTreeMap<ProductName, SnpTcbMinimum> {
    let floors = profile_of(strict, "sev-snp").and_then(|profile| profile.get("minimum_tcb")).cloned();
    floors.and_then(|floors| floors.try_into().ok()).unwrap_or_default()
}

fn shipped_evaluation(strict: &toml::Table) -> u32 {
    let number = profile_of(strict, "tdx").and_then(|profile| profile.get("minimum_evaluation_number"));
    number.and_then(toml::Value::as_integer).and_then(|number| number.try_into().ok()).unwrap_or(0)
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

    fn sev_snp(&mut self, profile: &SnpProfile, shipped: &BTreeMap<ProductName, SnpTcbMinimum>) {
        use Severity::{Error, Note, Warning};
        self.waived(
            profile.bound_to.required().is_none(),
            Warning,
            "bound_to",
            "\"guest\", \"pod\" or \"workload\", as the pinned measurement admits",
        );
        self.products(profile);
        self.keys(profile);
        match profile.revocation {
            Revocation::Required => {}
            Revocation::IfSupplied => self.say(
                Warning,
                "revocation",
                "whoever hands in the evidence leaves the list out, and a revoked certificate passes",
                "\"required\"",
            ),
            Revocation::Unchecked => self.waived(true, Warning, "revocation", "\"required\""),
        }
        self.minimum_tcb(profile, shipped);
        self.bulletins(profile);
        self.waived(profile.committed_firmware.required().is_none(), Warning, "committed_firmware", "\"required\"");
        self.waived(
            profile.minimum_firmware.required().is_none(),
            Note,
            "minimum_firmware",
            "a version such as \"1.55.29\"",
        );
        let instead = "{ required = [\"alias-check-complete\"], forbidden = [], unknown = \"rejected\" }";
        self.waived(profile.platform_info.required().is_none(), Warning, "platform_info", instead);
        self.bits(
            "platform_info",
            &profile.platform_info,
            &[("alias-check-complete", "memory modules can alias memory (BadRAM, CVE-2024-21944)")],
            &[],
        );
        if profile.debug == Switch::Allowed {
            self.say(Error, "debug", "the host can read and change the guest's memory", "\"rejected\"");
        }
        if profile.migration_agent == Switch::Allowed {
            self.say(
                Warning,
                "migration_agent",
                "a migration agent can take the guest, with its memory, to a place of its choice",
                "\"rejected\"",
            );
        }
        self.waived(!profile.measurement.is_asked(), Error, "measurement", "the launch measurement of your image");
        if profile.bound_to.required() == Some(&BoundTo::Workload) {
            self.waived(
                !profile.host_data.is_asked(),
                Warning,
                "host_data",
                "the digest of what the host must bind, if the claim of a workload rests on it",
            );
        }
        self.waived(
            !profile.vmpl.is_asked(),
            Warning,
            "vmpl",
            "[0], or the level of your guest's kernel below a paravisor",
        );
        self.report_data(&profile.report_data);
    }

    fn products(&mut self, profile: &SnpProfile) {
        let listed = &profile.products;
        if let Some(both) = listed.iter().find(|product| profile.denied_products.contains_key(product)) {
            let opens = format!("`{}` is listed and denied; the denial holds", spelt(both));
            self.say(Severity::Warning, "products", opens, "the list without it");
        }
        let takes_milan =
            listed.contains(&ProductName::Milan) && !profile.denied_products.contains_key(&ProductName::Milan);
        if takes_milan && profile.signing_keys.contains(&SigningKeyName::Vcek) && profile.chip_ids.required().is_none()
        {
            let opens = "`milan` is taken, and whoever has extracted a Milan chip's VCEK seed (AMD-SB-3045) signs reports of any TCB for \
                         that chip";
            self.say(
                Severity::Warning,
                "products",
                opens,
                "the list without `milan`, a denial with its reason, or your chips in `chip_ids`",
            );
        }
    }

    fn bulletins(&mut self, profile: &SnpProfile) {
        let newest = format!("{{ baseline = {BASELINE}, grace_days = 0, except = {{}} }}");
        let Some(rule) = profile.bulletins.required() else {
            return self.waived(true, Severity::Warning, "bulletins", &newest);
        };
        if rule.baseline < BASELINE {
            let opens =
                format!("baseline {} is not the newest: bulletins that were added since are not judged", rule.baseline);
            self.say(Severity::Warning, "bulletins", opens, format!("baseline = {BASELINE}"));
        }
        if rule.grace_days > LONG_GRACE_DAYS {
            let opens = format!("a hole may stay open for {} days after AMD published it", rule.grace_days);
            self.say(Severity::Warning, "bulletins", opens, format!("grace_days = {LONG_GRACE_DAYS} or less"));
        }
        if !rule.except.is_empty() {
            let ids = rule.except.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            self.say(
                Severity::Note,
                "bulletins",
                format!("excepted for ever: {ids}"),
                "no exception, once the platforms have answered it",
            );
        }
    }

    fn keys(&mut self, profile: &SnpProfile) {
        let vlek = profile.signing_keys.contains(&SigningKeyName::Vlek);
        self.waived(
            vlek && profile.csp_ids.required().is_none(),
            Severity::Warning,
            "csp_ids",
            "the providers whose VLEK you take, or no `vlek` in `signing_keys`",
        );
        if profile.masked_chip_id == Switch::Allowed {
            self.say(
                Severity::Warning,
                "masked_chip_id",
                "nobody can tell which chip made the report, nor refuse a chip that is known to leak",
                "\"rejected\"",
            );
        }
        self.waived(
            profile.chip_ids.required().is_none(),
            Severity::Note,
            "chip_ids",
            "the ids of your chips, where you know them",
        );
    }

    fn minimum_tcb(&mut self, profile: &SnpProfile, shipped: &BTreeMap<ProductName, SnpTcbMinimum>) {
        let Some(minima) = profile.minimum_tcb.required() else {
            return self.waived(true, Severity::Warning, "minimum_tcb", "a floor for each product, as in `strict`");
        };
        for product in profile.products.iter().collect::<BTreeSet<_>>() {
            let name = spelt(product);
            let Some(own) = minima.get(product) else {
                let opens =
                    format!("`{name}` is listed in `products` and has no floor here: all its evidence is refused");
                self.say(
                    Severity::Warning,
                    "minimum_tcb",
                    opens,
                    format!("a floor for `{name}`, or `products` without it"),
                );
                continue;
            };
            let Some(floor) = shipped.get(product) else { continue };
            let parts = [
                ("fmc", own.fmc.unwrap_or(0), floor.fmc.unwrap_or(0)),
                ("bootloader", own.bootloader, floor.bootloader),
                ("tee", own.tee, floor.tee),
                ("snp", own.snp, floor.snp),
                ("microcode", own.microcode, floor.microcode),
            ];
            for (part, own, floor) in parts.into_iter().filter(|(_, own, floor)| own < floor) {
                let opens = format!(
                    "`{part}` of `{name}` is {own}, and `strict` asks {floor}: older firmware, with what is known against it, passes"
                );
                self.say(Severity::Warning, "minimum_tcb", opens, format!("{part} = {floor} or more"));
            }
        }
    }

    fn tdx(&mut self, profile: &TdxProfile, shipped_evaluation: u32) {
        use Severity::{Error, Note, Warning};
        self.waived(
            profile.bound_to.required().is_none(),
            Warning,
            "bound_to",
            "\"guest\", \"pod\" or \"workload\", as the pinned measurements admit",
        );
        if profile.trailing_bytes == Trailing::Any {
            self.say(Warning, "trailing_bytes", "bytes that nobody signed travel with the evidence", "\"zero\"");
        }
        self.waived(
            profile.ppids.required().is_none(),
            Note,
            "ppids",
            "the ids of your platforms, where you know them",
        );
        match profile.minimum_evaluation_number.required() {
            None => self.waived(true, Warning, "minimum_evaluation_number", "the number of the latest TCB recovery"),
            Some(own) if *own < shipped_evaluation => {
                let opens = format!(
                    "{own} is below the {shipped_evaluation} of `strict`: collateral from before a TCB recovery passes"
                );
                self.say(Warning, "minimum_evaluation_number", opens, format!("{shipped_evaluation} or more"));
            }
            Some(_) => {}
        }
        if profile.deciding_evaluation == DecidingEvaluation::Lowest {
            let opens = "whoever supplies the collateral may add an older evaluation, and it decides";
            self.say(
                Warning,
                "deciding_evaluation",
                opens,
                "\"highest\", or a `minimum_evaluation_number` that you keep raising",
            );
        }
        self.waived(profile.one_evaluation.required().is_none(), Warning, "one_evaluation", "\"required\"");
        self.statuses(profile);
        if profile.debug == Switch::Allowed {
            self.say(Error, "debug", "the host can read and change the TD's memory", "\"rejected\"");
        }
        if profile.profiling == Switch::Allowed {
            self.say(Error, "profiling", "the host can watch the TD run, instruction by instruction", "\"rejected\"");
        }
        let instead = "{ required = [\"sept-ve-disable\"], forbidden = [\"migratable\", \"perfmon\", \"tpa\"], unknown = \"rejected\" }";
        self.waived(profile.attributes.required().is_none(), Warning, "attributes", instead);
        self.bits(
            "attributes",
            &profile.attributes,
            &[("sept-ve-disable", "the host can raise exceptions in the TD by taking pages away")],
            &[("migratable", "a service TD can take the TD, with its memory, elsewhere")],
        );
        self.xfam(profile);
        self.waived(!profile.service_td.is_asked(), Warning, "service_td", "\"none\"");
        self.waived(!profile.mrtd.is_asked(), Error, "mrtd", "the measurement of your firmware");
        for (field, pinned) in [
            ("rtmr0", profile.rtmr0.is_asked()),
            ("rtmr1", profile.rtmr1.is_asked()),
            ("rtmr2", profile.rtmr2.is_asked()),
        ] {
            self.waived(!pinned, Warning, field, "the value that your image boots to");
        }
        if profile.bound_to.required() == Some(&BoundTo::Workload) {
            self.waived(
                !profile.mrconfigid.is_asked(),
                Warning,
                "mrconfigid",
                "the digest of what the host must bind, if the claim of a workload rests on it",
            );
        }
        self.report_data(&profile.report_data);
    }

    fn statuses(&mut self, profile: &TdxProfile) {
        let old =
            |status: &&StatusName| matches!(status, StatusName::OutOfDate | StatusName::OutOfDateConfigurationNeeded);
        match profile.tcb_status.required() {
            None => self.waived(true, Severity::Warning, "tcb_status", "[\"UpToDate\"]"),
            Some(statuses) => {
                if let Some(status) = statuses.iter().find(old) {
                    let opens = format!("`{status:?}` is a platform with published holes that an update closes");
                    self.say(
                        Severity::Warning,
                        "tcb_status",
                        opens,
                        "[\"UpToDate\"], and a status that you must take with `allowed_advisories` beside it",
                    );
                } else if statuses.iter().any(|status| *status != StatusName::UpToDate)
                    && profile.allowed_advisories.required().is_none()
                {
                    let opens = "a status beside UpToDate is taken, with every advisory that it may carry";
                    self.say(Severity::Warning, "allowed_advisories", opens, "the advisories that your code answers");
                }
            }
        }
        let days = profile.out_of_date_grace.days();
        if days > LONG_GRACE_DAYS {
            let opens =
                format!("a platform with published holes is taken for {days} days after the date of its TCB level");
            self.say(Severity::Warning, "out_of_date_grace", opens, format!("{{ days = {LONG_GRACE_DAYS} }} or less"));
        } else if days > 0 {
            let opens =
                format!("a platform that is out of date is taken for {days} days after the date of its TCB level");
            self.say(Severity::Note, "out_of_date_grace", opens, "\"none\", once the platforms are updated");
        }
        for (id, exception) in &profile.tcb_exceptions {
            let opens = format!("a platform that is open to {id} is taken until {}", exception.until.0);
            self.say(Severity::Note, "tcb_exceptions", opens, "no exception, once the platforms are updated");
        }
        if let (Some(allowed), Some(denied)) =
            (profile.allowed_advisories.required(), profile.denied_advisories.required())
            && let denied = denied.iter().collect::<BTreeSet<_>>()
            && let Some(both) = allowed.iter().find(|advisory| denied.contains(advisory))
        {
            let opens = format!("`{}` is allowed and denied; the denial holds", both.0);
            self.say(Severity::Warning, "allowed_advisories", opens, "it in one list only");
        }
    }

    fn xfam(&mut self, profile: &TdxProfile) {
        let Some(rule) = profile.xfam.required() else {
            return self.waived(true, Severity::Warning, "xfam", "{ required = \"0x3\", allowed = \"0x6dbe7\" }");
        };
        let (required, allowed) = (rule.required.0, rule.allowed.0);
        if required == allowed {
            let opens = "exactly one value: the same TD on the next processor, with one more feature, is refused";
            self.say(Severity::Warning, "xfam", opens, "what you need in `required`, what you can bear in `allowed`");
        }
    }
}

/// Longer than a quarter to apply an update is a hole, and no grace.
const LONG_GRACE_DAYS: u32 = 90;

#[cfg(test)]
mod tests {
    use super::*;

    fn lint(text: &str, strict: &str) -> Result<Vec<Remark>, PolicyError> {
        super::lint(text, &ReferenceValues::default(), &Shipped { strict, seen: "" })
    }

    const GENUINE: &str = include_str!("../../../measurements/policy/genuine.toml");
    const STRICT: &str = include_str!("../../../measurements/policy/strict.toml");

    /// `strict`, with a reference value wherever it asks for one.
    fn strict() -> String {
        let host_data = format!("host_data = \"{}\"", "11".repeat(32));
        STRICT
            .replace("host_data = \"reference-value-needed\"", &host_data)
            .replace("reference-value-needed", &"22".repeat(48))
    }

    #[test]
    fn strict_with_its_values_warns_of_milan_and_of_nothing_else() {
        let found = |text: &str| -> Vec<(Severity, String)> {
            lint(text, STRICT).unwrap().into_iter().map(|remark| (remark.severity, remark.field)).collect()
        };
        let notes = ["sev-snp.strict.chip_ids", "tdx.strict.ppids"].map(|field| (Severity::Note, field.to_owned()));
        let milan = (Severity::Warning, "sev-snp.strict.products".to_owned());
        assert_eq!(found(&strict()), [vec![milan], notes.to_vec()].concat());
        let without = strict().replace("products = [\"milan\", ", "products = [");
        assert_eq!(found(&without), notes);
    }

    #[test]
    fn every_remark_stands_on_the_line_and_column_of_its_field() {
        let indented =
            GENUINE.replace("\nrevocation", "\n\t  revocation").replace("[tdx.genuine]", "[ tdx . 'genuine' ]");
        for text in [GENUINE.to_owned(), strict(), indented] {
            let remarks = lint(&text, STRICT).unwrap();
            assert!(!remarks.is_empty());
            for remark in remarks {
                let line: String = text.lines().nth(remark.line - 1).unwrap().chars().skip(remark.column - 1).collect();
                let (table, field) = remark.field.rsplit_once('.').unwrap();
                assert!(line.starts_with(&format!("{field} =")), "{remark:?}: {line}");
                let header = text.lines().take(remark.line).filter(|line| line.starts_with('[')).last().unwrap();
                let header: String = header.chars().filter(|c| !" []'".contains(*c)).collect();
                assert_eq!(header, table);
            }
        }
    }

    #[test]
    fn dotted_keys_and_inline_tables_have_their_places_too() {
        let (head, rest) = GENUINE.split_once("[sev-snp.genuine]\n").unwrap();
        let (snp, _) = rest.split_once("[tdx.genuine]\n").unwrap();
        let text = format!("{head}# ä\nsev-snp.genuine = {{ {} }}\n", snp.trim().replace('\n', ", "));
        let remark = lint(&text, STRICT).unwrap().into_iter().find(|remark| remark.field.ends_with(".vmpl")).unwrap();
        let line = text.lines().nth(remark.line - 1).unwrap();
        assert!(line.get(remark.column - 1..).unwrap().starts_with("vmpl = "), "{remark:?}");
        assert_eq!(position("ä\näb", 5), (2, 2));
    }

    /// `strict` with one value changed must earn this remark, and did not have it before.
    #[track_caller]
    fn earns(from: &str, to: &str, severity: Severity, field: &str, says: &str) {
        let strict = strict();
        assert!(strict.contains(from), "{from}");
        let remarks = lint(&strict.replace(from, to), STRICT).unwrap();
        let own = |remark: &&Remark| {
            remark.severity == severity && remark.field.ends_with(&format!(".{field}")) && remark.opens.contains(says)
        };
        assert!(remarks.iter().any(|remark| own(&remark)), "{from} -> {to}: {remarks:#?}");
        assert!(!lint(&strict, STRICT).unwrap().iter().any(|remark| own(&remark)));
    }

    #[test]
    fn each_weakness_and_contradiction_is_named() {
        use Severity::{Note, Warning};
        let ones = "2".repeat(96);
        for (from, to, severity, field, says) in [
            ("denied_products = {}", "denied_products = { milan = \"why\" }", Warning, "products", "listed and denied"),
            ("signing_keys = [\"vcek\"]", "signing_keys = [\"vlek\"]", Warning, "csp_ids", "any provider"),
            ("masked_chip_id = \"rejected\"", "masked_chip_id = \"allowed\"", Warning, "masked_chip_id", "which chip"),
            (
                "bulletins = { baseline = 1",
                "bulletins = \"unchecked\" # { baseline = 1",
                Warning,
                "bulletins",
                "unanswered",
            ),
            ("grace_days = 0", "grace_days = 91", Warning, "bulletins", "91 days"),
            ("except = {} }\n", "except = { AMD-SB-3016 = \"why\" } }\n", Note, "bulletins", "AMD-SB-3016"),
            (
                "deciding_evaluation = \"highest\"",
                "deciding_evaluation = \"lowest\"",
                Warning,
                "deciding_evaluation",
                "older evaluation",
            ),
            (
                "out_of_date_grace = \"none\"",
                "out_of_date_grace = { days = 91 }",
                Warning,
                "out_of_date_grace",
                "91 days",
            ),
            ("out_of_date_grace = \"none\"", "out_of_date_grace = { days = 9 }", Note, "out_of_date_grace", "9 days"),
            (
                "\ntcb_exceptions = {}",
                "\ntcb_exceptions = { INTEL-SA-00837 = { statuses = [\"OutOfDate\"], until = \"2027-01-01T00:00:00Z\", reason = \"why\" } }",
                Note,
                "tcb_exceptions",
                "INTEL-SA-00837 is taken until",
            ),
            ("revocation = \"required\"", "revocation = \"if-supplied\"", Warning, "revocation", "leaves the list out"),
            ("revocation = \"required\"", "revocation = \"unchecked\"", Warning, "revocation", "revoked"),
            ("microcode = 219", "microcode = 218", Warning, "minimum_tcb", "`microcode` of `milan` is 218"),
            ("fmc = 1", "fmc = 0", Warning, "minimum_tcb", "`fmc` of `turin`"),
            (
                "milan = { bootloader = 4, tee = 0, snp = 24, microcode = 219 }, ",
                "",
                Warning,
                "minimum_tcb",
                "`milan` is listed",
            ),
            (
                "committed_firmware = \"required\"",
                "committed_firmware = \"unchecked\"",
                Warning,
                "committed_firmware",
                "roll",
            ),
            (
                "minimum_firmware = \"1.55.29\"",
                "minimum_firmware = \"unchecked\"",
                Note,
                "minimum_firmware",
                "any version",
            ),
            ("required = [\"alias-check-complete\"]", "required = []", Warning, "platform_info", "BadRAM"),
            (
                "migration_agent = \"rejected\"",
                "migration_agent = \"allowed\"",
                Warning,
                "migration_agent",
                "its memory",
            ),
            ("report_data = \"caller\"", "report_data = \"unchecked\"", Warning, "report_data", "may be old"),
            ("trailing_bytes = \"zero\"", "trailing_bytes = \"any\"", Warning, "trailing_bytes", "nobody signed"),
            (
                "minimum_evaluation_number = 17",
                "minimum_evaluation_number = 16",
                Warning,
                "minimum_evaluation_number",
                "below the 17",
            ),
            (
                "one_evaluation = \"required\"",
                "one_evaluation = \"unchecked\"",
                Warning,
                "one_evaluation",
                "old judgement",
            ),
            ("tcb_status = [\"UpToDate\"]", "tcb_status = [\"OutOfDate\"]", Warning, "tcb_status", "`OutOfDate`"),
            (
                "tcb_status = [\"UpToDate\"]",
                "tcb_status = [\"SWHardeningNeeded\"]",
                Warning,
                "allowed_advisories",
                "every advisory",
            ),
            ("tcb_status = [\"UpToDate\"]", "tcb_status = \"unchecked\"", Warning, "tcb_status", "OutOfDate"),
            ("\"sept-ve-disable\"", "", Warning, "attributes", "`sept-ve-disable` is not required"),
            ("\"migratable\", ", "", Warning, "attributes", "`migratable` is not forbidden"),
            ("required = \"0x3\"", "required = \"0x6dbe7\"", Warning, "xfam", "exactly one value"),
            ("service_td = \"none\"", "service_td = \"unchecked\"", Warning, "service_td", "service TD"),
            ("bound_to = \"workload\"", "bound_to = \"unchecked\"", Warning, "bound_to", ""),
        ] {
            earns(from, to, severity, field, says);
        }
        let host_data = format!("host_data = \"{}\"", "11".repeat(32));
        earns(&host_data, "host_data = \"unchecked\"", Warning, "host_data", "configuration of its own");
        earns(
            &format!("mrconfigid = \"{ones}\""),
            "mrconfigid = \"unchecked\"",
            Warning,
            "mrconfigid",
            "configuration of its own",
        );
        let report_data = format!("report_data = \"{}\"", "00".repeat(64));
        earns("report_data = \"caller\"", &report_data, Note, "report_data", "recorded");
    }

    #[test]
    fn code_that_is_not_pinned_and_debug_are_errors() {
        let text = GENUINE.replace("debug = \"rejected\"", "debug = \"allowed\"");
        let text = text.replace("profiling = \"rejected\"", "profiling = \"allowed\"");
        let remarks = lint(&text, STRICT).unwrap();
        let errors: Vec<_> =
            remarks.iter().filter(|one| one.severity == Severity::Error).map(|one| one.field.as_str()).collect();
        assert_eq!(
            errors,
            [
                "sev-snp.genuine.debug",
                "sev-snp.genuine.measurement",
                "tdx.genuine.debug",
                "tdx.genuine.profiling",
                "tdx.genuine.mrtd"
            ]
        );
    }

    #[test]
    fn what_the_loader_refuses_is_refused_here_in_the_same_words_with_its_place() {
        assert_eq!(lint(STRICT, STRICT).unwrap_err(), Policy::parse(STRICT).unwrap_err());
        for (from, to, field) in [
            ("vmpl = [0]", "vmpl = \"unchecked\"", "host_data = "),
            ("guest_svn = \"unchecked\"", "guest_svn = 1", "guest_svn = "),
            ("turin = { fmc = 1, ", "turin = { ", "minimum_tcb = "),
        ] {
            let text = strict().replace(from, to);
            let line = text.lines().position(|line| line.starts_with(field)).unwrap() + 1;
            let loader = Policy::parse(&text).unwrap_err();
            assert!(loader.to_string().ends_with(&format!(" (line {line}, column 1)")), "{loader}");
            assert_eq!(lint(&text, STRICT).unwrap_err(), loader);
        }
    }
}
