//! A verification report in words, for a person who has never seen an attestation report: what was proven, what was not, and
//! why evidence was refused. First the verdict, then what failed, then one line a check in the order of the walk; at the end,
//! where a terminal stops scrolling, what failed once more and a summary in one line.

use teegate_verifier::{
    BoundTo, Check, Endorsement, Expired, FactValue, Finding, Outcome, Policy, Report, Roots, Stage, Wrapping,
};

use super::about::{About, FOREIGN_ROOTS, asked_by, rests_on_foreign_roots, window};
use super::short::Short;
use super::weakness;
use crate::exit;
use crate::output::plain;
use crate::screen::{Length, Screen, Tone};

/// The text, with whose each input was.
pub(crate) fn whole(report: &Report, about: &About<'_>, screen: Screen) -> String {
    let page = Page {
        report,
        policy: about.policy,
        named: about.named,
        inputs: Some(about.inputs.in_words()),
        in_vain: about.in_vain,
        screen,
    };
    page.text(about.expired)
}

/// The text, where nobody else brought anything. `named` is the policy as the user named it.
pub(crate) fn report(report: &Report, policy: &Policy, named: &str, expired: &[Expired], screen: Screen) -> String {
    Page { report, policy, named, inputs: None, in_vain: &[], screen }.text(expired)
}

struct Page<'a> {
    report: &'a Report,
    policy: &'a Policy,
    named: &'a str,
    inputs: Option<String>,
    in_vain: &'a [String],
    screen: Screen,
}

impl Page<'_> {
    fn text(&self, expired: &[Expired]) -> String {
        let Self { report, policy, named, in_vain, screen, .. } = *self;
        self.screen.fit(match screen.length {
            Length::Short => Short { report, policy, named, in_vain, expired, screen }.text(),
            Length::Whole => self.every_check(expired),
        })
    }

    fn every_check(&self, expired: &[Expired]) -> String {
        let mut text = self.verdict();
        text.push_str(&self.essentials());
        text.push_str(&self.caution());
        text.push_str(&self.failures_in_full());
        text.push_str(&self.not_to_be_had());
        text.push_str(&self.expired(expired));
        for stage in [Stage::Parse, Stage::Authenticate, Stage::Appraise] {
            text.push_str(&self.stage(stage));
        }
        text.push_str(&self.endorsements());
        text.push_str(&self.failures_again());
        text.push_str(&self.summary());
        text
    }

    fn verdict(&self) -> String {
        let policy = plain(self.named);
        let at = self.report.at();
        let replay =
            if self.report.replayed() { "A replay: that time was named, and is not the present.\n" } else { "" };
        match self.report.stage() {
            None => {
                let word = self.screen.style.paint(self.tone(), "ACCEPTED");
                let foreign = if self.is_foreign() {
                    let sentence = format!("NOT THE VENDORS' HARDWARE: {FOREIGN_ROOTS}.");
                    format!("{}\n", self.screen.style.paint(Tone::Caution, &sentence))
                } else {
                    String::new()
                };
                format!("{word}: this evidence satisfies the policy `{policy}` at {at}.\n{foreign}{replay}")
            }
            Some(stage) => {
                let word = self.screen.style.paint(Tone::Bad, &format!("REJECTED as {}", stage.rejection()));
                let meaning = match stage {
                    Stage::Parse => "the bytes are not well-formed evidence, so nothing in them was believed",
                    Stage::Authenticate => "it is not shown that the maker of the hardware vouches for this evidence",
                    Stage::Appraise if self.report.trust_anchors().is_none() => {
                        "the policy has no rule for such evidence, so that nobody looked whether it is authentic"
                    }
                    Stage::Appraise => "the evidence is authentic, and it is not what the policy asks for",
                };
                format!(
                    "{word}: {meaning}.\nPolicy `{policy}`, at {at}. Do not send anything to what presented it.\n{replay}"
                )
            }
        }
    }

    fn is_foreign(&self) -> bool {
        rests_on_foreign_roots(self.report)
    }

    /// Of an acceptance. What weakens it is never green.
    fn tone(&self) -> Tone {
        if weakness::of(self.report, self.in_vain).is_empty() { Tone::Good } else { Tone::Caution }
    }

    /// The few facts by which a reader recognises what this is about.
    fn essentials(&self) -> String {
        let mut lines = vec![("platform", self.platform()), ("vouched for", self.voucher())];
        if self.report.stage() != Some(Stage::Parse) {
            let key = self.report.tee().key_checks();
            lines.push(("code", self.compared(key.code_fact, key.code)));
            // Under a paravisor it is not the host that supplies them.
            if let Some(tables) = self.report.fact("acpi_tables").filter(|_| self.report.wrapping() == Wrapping::Raw) {
                lines.push(("ACPI tables", tables.to_string()));
            }
            lines.push(("report data", self.compared(self.report.wrapping().report_data_fact(), key.report_data)));
            if let Some(status) = self.report.fact("tcb_status") {
                let advisories =
                    self.report.fact("advisories").map_or_else(|| "unknown".to_owned(), ToString::to_string);
                lines.push(("TCB status", format!("{status}; advisories: {advisories}")));
            }
            if let Some(open) = self.report.fact("bulletins_open") {
                let unseen = self.report.fact("bulletins_not_shown").map_or_else(String::new, ToString::to_string);
                lines.push(("bulletins", format!("open: {open}; answered or not, no report shows it: {unseen}")));
            }
            lines.extend(self.report.outlook().iter().map(|prospect| ("outlook", prospect.text.clone())));
        }
        if self.report.accepted() {
            lines.push(("bound to", bound_to(self.report.bound_to()).to_owned()));
        }
        if let Some(end) = self.report.valid_until() {
            let first = self.report.ends_first().unwrap_or("the first thing that this verdict rests on");
            lines.push(("valid until", format!("{end}: then {first} ends, the first of what this verdict rests on")));
        }
        lines.extend(self.inputs.iter().map(|inputs| ("inputs", inputs.clone())));
        let lines = lines.iter().map(|(name, value)| {
            let value = plain(value);
            let is_weak = match *name {
                "TCB status" => weakness::worse_than_up_to_date(self.report).is_some(),
                "bulletins" => weakness::open_bulletins(self.report).is_some(),
                _ => false,
            };
            let value = if is_weak { self.screen.style.paint(Tone::Caution, &value) } else { value };
            format!("  {name:<12}  {value}\n")
        });
        format!("\n{}", lines.collect::<String>())
    }

    /// What the vendors were asked for in vain.
    fn not_to_be_had(&self) -> String {
        if self.in_vain.is_empty() {
            return String::new();
        }
        let lines = self.in_vain.iter().map(|missing| format!("  {}\n", plain(missing)));
        format!("\nNot to be had, so that the vendor could not be asked\n{}", lines.collect::<String>())
    }

    /// The vendors' statements that the verdict rests on, and who brought each.
    fn endorsements(&self) -> String {
        let line = |endorsement: &Endorsement| {
            let Endorsement { kind, name, source, from, .. } = endorsement;
            let from = from.as_ref().map(|from| format!(": {from}")).unwrap_or_default();
            format!("  {kind:<12}  {}\n", plain(&format!("{name}, {}{from}", source.name())))
        };
        match self.report.endorsements() {
            [] => String::new(),
            all => format!("\nWhat vouches for them\n{}", all.iter().map(line).collect::<String>()),
        }
    }

    /// Beyond the first check that stopped the walk: all that has run out, for who replays old evidence.
    fn expired(&self, expired: &[Expired]) -> String {
        if expired.is_empty() {
            return String::new();
        }
        let lines = expired.iter().map(|expired| format!("  {}\n", plain(&window(expired))));
        format!("\nExpired at {}, or not yet valid\n{}", self.report.at(), lines.collect::<String>())
    }

    fn platform(&self) -> String {
        let tee = self.report.tee().title();
        match self.report.fact("product") {
            Some(FactValue::Text(product)) => format!("{tee}, {product}"),
            _ => tee.to_owned(),
        }
    }

    fn voucher(&self) -> String {
        let (vendor, key) = (self.report.tee().vendor(), self.report.tee().key_checks());
        let passed = |check| self.report.finding(check).filter(|finding| *finding.outcome() == Outcome::Pass);
        match (self.report.stage(), passed(key.root), passed(key.signature)) {
            (None | Some(Stage::Appraise), Some(root), Some(_)) if self.is_of_the_vendors() => {
                format!(
                    "{vendor}: the chain from its root ends in the key that signed this evidence ({})",
                    root.actual()
                )
            }
            (None | Some(Stage::Appraise), Some(root), Some(_)) => {
                format!("a root that this policy pins itself, which need not be {vendor}'s ({})", root.actual())
            }
            _ => format!("nobody, as far as was shown: not {vendor}, nor a root that the policy pins"),
        }
    }

    /// Whether the chain ended in a root of the vendors', as far as the report or the policy says.
    fn is_of_the_vendors(&self) -> bool {
        match self.report.trust_anchors() {
            Some(roots) => roots == Roots::Vendors,
            None => self.policy.trusts_only_vendors(),
        }
    }

    /// A decoded value, with what became of its comparison.
    fn compared(&self, fact: &str, check: Check) -> String {
        let value = self.report.fact(fact).map_or_else(|| "-".to_owned(), ToString::to_string);
        let judged = match self.report.finding(check).map(Finding::outcome) {
            Some(Outcome::Pass) => "as expected",
            Some(Outcome::Fail) => "NOT AS EXPECTED",
            Some(Outcome::NotChecked { .. }) if check == Check::SNP_GUEST_MEASUREMENT && self.is_endorsed() => {
                "as endorsed"
            }
            Some(Outcome::NotChecked { .. }) => "not compared with anything",
            Some(Outcome::NotApplicable(_)) => "nothing to compare",
            Some(Outcome::NotReached) | None => "not reached",
        };
        format!("{judged}: {}", self.screen.value(&value))
    }

    /// Whether an issuer that the policy names endorses the code: the utility VM of a container group.
    fn is_endorsed(&self) -> bool {
        matches!(self.report.finding(Check::UVM_MEASUREMENT).map(Finding::outcome), Some(Outcome::Pass))
    }

    /// What an acceptance does not say. Weak acceptances must not look like strong ones.
    fn caution(&self) -> String {
        if !self.report.accepted() {
            return String::new();
        }
        let mut text = String::new();
        for warning in self.report.warnings() {
            text.push_str(&format!("WARNING: {}\n\n", plain(warning)));
        }
        let waived =
            |check| matches!(self.report.finding(check).map(Finding::outcome), Some(Outcome::NotChecked { .. }));
        let code = (waived(Check::SNP_GUEST_MEASUREMENT) && !self.is_endorsed()) || waived(Check::TDX_TD_MRTD);
        let data = waived(Check::SNP_GUEST_REPORT_DATA) || waived(Check::TDX_TD_REPORT_DATA);
        if code {
            text.push_str(GENUINE_IS_NOT_SAFE);
        } else if data {
            text.push_str(NOT_FRESH);
        }
        if self.report.bound_to() == Some(BoundTo::Guest) {
            text.push_str(GUEST_IS_NOT_WORKLOAD);
        }
        if text.is_empty() {
            return text;
        }
        // Its paragraphs are broken for files; a terminal breaks them at its own width.
        let text = match self.screen.width {
            Some(_) => {
                let paragraphs = text.trim_end().split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
                paragraphs.collect::<Vec<_>>().join("\n\n")
            }
            None => text.trim_end().to_owned(),
        };
        format!("\n{}\n", self.screen.style.paint(Tone::Caution, &text))
    }

    fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.report.findings().iter().filter(|finding| *finding.outcome() == Outcome::Fail)
    }

    fn failures_in_full(&self) -> String {
        let blocks: String = self
            .failures()
            .map(|finding| {
                let check = finding.check();
                format!(
                    "  {} {}\n      expected   {}\n      found      {}\n{}      it says    {}\n      to do      {}\n      source     {}\n",
                    self.screen.style.paint(Tone::Bad, "✗"),
                    check.id(),
                    self.screen.value(&plain(finding.expected())),
                    self.screen.value(&plain(finding.actual())),
                    asked_by(check, "      policy     "),
                    check.stops(),
                    plain(finding.remedy()),
                    check.source(),
                )
            })
            .collect();
        if blocks.is_empty() { blocks } else { format!("\nWhat failed\n{blocks}") }
    }

    fn stage(&self, stage: Stage) -> String {
        let title = match stage {
            Stage::Parse => "What the bytes are",
            Stage::Authenticate => "Who vouches for them",
            Stage::Appraise => "Whether they are wanted",
        };
        let lines = self.report.findings().iter().filter(|finding| finding.check().stage() == stage);
        let title = self.screen.style.heading(title);
        format!("\n{title}\n{}", lines.map(|finding| self.line(finding)).collect::<String>())
    }

    fn line(&self, finding: &Finding) -> String {
        let id = finding.check().id();
        let (mark, tone, words) = match finding.outcome() {
            Outcome::Pass => {
                let tone = if weakness::is_weak_pass(finding) { Tone::Caution } else { Tone::Good };
                ("✓", tone, shortened(&plain(finding.actual())))
            }
            Outcome::Fail => ("✗", Tone::Bad, "FAILED: see \"What failed\"".to_owned()),
            Outcome::NotChecked { waived_by, why } => {
                ("!", Tone::Caution, format!("not checked: {} (policy: `{waived_by}`)", plain(why)))
            }
            Outcome::NotApplicable(why) => ("·", Tone::Quiet, format!("not applicable: {}", plain(why))),
            Outcome::NotReached => ("·", Tone::Quiet, "not reached".to_owned()),
        };
        format!("  {} {id:<30}  {words}\n", self.screen.style.paint(tone, mark))
    }

    fn failures_again(&self) -> String {
        let lines: String = self
            .failures()
            .map(|finding| {
                let (id, remedy) = (finding.check().id(), plain(finding.remedy()));
                format!("  {} {id:<30}  {remedy}\n", self.screen.style.paint(Tone::Bad, "✗"))
            })
            .collect();
        if lines.is_empty() { lines } else { format!("\nWhat to do\n{lines}") }
    }

    fn summary(&self) -> String {
        let count =
            |name: &str| self.report.findings().iter().filter(|finding| finding.outcome().name() == name).count();
        let counts = format!(
            "{} passed, {} failed, {} not checked, {} not applicable, {} not reached",
            count("pass"),
            count("fail"),
            count("not-checked"),
            count("not-applicable"),
            count("not-reached"),
        );
        match self.report.stage() {
            None => format!("\n{}: {counts}\n", self.screen.style.paint(self.tone(), "accepted")),
            Some(stage) => {
                let failed: Vec<_> = self.failures().map(|finding| finding.check().id()).collect();
                let status = exit::of_rejection(stage);
                let verdict = self.screen.style.paint(Tone::Bad, &format!("rejected, {}", stage.rejection()));
                format!("\n{verdict}: {}; {counts}; exit status {status}\n", failed.join(", "))
            }
        }
    }
}

const GENUINE_IS_NOT_SAFE: &str = "\
Genuine is not safe to send to. This verdict says that real hardware signed this evidence. The policy did not ask which code
runs in the guest, and anybody can run any code in a genuine guest. Before you send anything, verify with a policy that names
the measurement, and with the report data that you expect.
";

const NOT_FRESH: &str = "\
The report data was not compared: nothing shows that this evidence was made now, or for you. Give `--report-data`.
";

const GUEST_IS_NOT_WORKLOAD: &str = "\
Bound to the guest: everything that runs in that machine can read what is sent to it. This is not end-to-end.
";

const fn bound_to(claim: Option<BoundTo>) -> &'static str {
    match claim {
        Some(BoundTo::Workload) => "workload, as the policy says: its measured code admits no other",
        Some(BoundTo::Pod) => "pod, as the policy says: it is measured, and other code may be started in it",
        Some(BoundTo::Guest) => "guest, as the policy says: the whole machine, whatever runs in it",
        None => "nothing: the policy makes no claim about which code the evidence speaks for",
    }
}

/// The value of a check that passed, cut to what helps to read a line. Failures and `--format json` show values in full.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 72;
    if value.chars().count() <= SHOWN {
        return value.to_owned();
    }
    value.chars().take(SHOWN).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Style;
    use teegate_verifier::{Endorsements, Evidence, Tee, UnixTime, verify};

    const PLAIN: Screen = Screen { style: Style::Plain, length: Length::Whole, width: None };
    const COLOURED: Screen = Screen { style: Style::Coloured, ..PLAIN };

    fn refused(bytes: &[u8], screen: Screen) -> String {
        let policy = crate::policy::read("genuine").unwrap();
        let rejection =
            verify(&Evidence::sev_snp(bytes, &Endorsements::new()), &policy, UnixTime::from_seconds(0)).unwrap_err();
        report(rejection.report(), &policy, "gen\u{1b}uine", &[], screen)
    }

    #[test]
    fn a_refusal_is_said_first_explained_and_said_last() {
        let text = refused(&[2, 0, 0, 0], PLAIN);
        assert!(text.starts_with("REJECTED as malformed: the bytes are not well-formed evidence"), "{text}");
        assert!(
            text.contains(
                "\nWhat failed\n  ✗ snp.bytes.length\n      expected   1184 bytes\n      found      4 bytes\n"
            ),
            "{text}"
        );
        assert!(text.contains("\n  · snp.signature                   not reached\n"), "{text}");
        let last = text.lines().last().unwrap();
        assert!(
            last.starts_with("rejected, malformed: snp.bytes.length; ") && last.ends_with("; exit status 2"),
            "{last}"
        );
        assert!(!text.contains('\u{1b}'), "neither colour nor what the caller wrote reaches the terminal raw");
    }

    #[test]
    fn every_check_has_one_line_in_its_stage() {
        let text = refused(&[], PLAIN);
        for check in Check::all().filter(|check| check.tee() == Some(Tee::SevSnp)) {
            let lines = text.lines().filter(|line| line.split_whitespace().nth(1) == Some(check.id())).count();
            let expected = if check == Check::SNP_BYTES_LENGTH { 3 } else { 1 };
            assert_eq!(lines, expected, "{check}");
        }
    }

    #[test]
    fn colour_is_only_around_the_words() {
        let (plain, coloured) = (refused(&[], PLAIN), refused(&[], COLOURED));
        assert_ne!(plain, coloured);
        let mut stripped = coloured;
        for code in ["\u{1b}[32m", "\u{1b}[1;31m", "\u{1b}[33m", "\u{1b}[2m", "\u{1b}[1m", "\u{1b}[0m"] {
            stripped = stripped.replace(code, "");
        }
        assert_eq!(stripped, plain);
    }

    /// Made by the forge, and accepted because the policy pins the forge's root.
    #[test]
    fn an_acceptance_on_roots_that_are_not_the_vendors_is_not_green() {
        let set = teegate_forge::snp().build();
        let text = format!("{}\n[trust_anchors]\namd = ['''{}''']\n", teegate_measurements::GENUINE, set.ark_pem);
        let policy = Policy::parse(&text).unwrap();
        let mut pool = Endorsements::new();
        set.certificates().into_iter().for_each(|der| pool.add_certificate(der));
        let now = UnixTime::from_seconds(teegate_forge::time::AT);
        let attested = verify(&Evidence::sev_snp(&set.report, &pool), &policy, now).unwrap();
        let text = report(attested.report(), &policy, "own.toml", &[], COLOURED);
        for word in ["ACCEPTED", "NOT THE VENDORS' HARDWARE", "accepted"] {
            assert!(text.contains(&format!("\u{1b}[33m{word}")), "{word}: {text}");
        }
    }

    /// In the screenful as in the whole: whoever wrote the policy finds the line of it.
    #[test]
    fn a_failure_names_the_fields_of_the_policy_that_decide_it() {
        let set = teegate_forge::snp().build();
        let text = teegate_measurements::GENUINE.replacen(
            "signing_keys = [\"vcek\", \"vlek\"]",
            "signing_keys = [\"vlek\"]",
            1,
        );
        assert_ne!(text, teegate_measurements::GENUINE);
        let policy = Policy::parse(&format!("{text}\n[trust_anchors]\namd = ['''{}''']\n", set.ark_pem)).unwrap();
        let mut pool = Endorsements::new();
        set.certificates().into_iter().for_each(|der| pool.add_certificate(der));
        let now = UnixTime::from_seconds(teegate_forge::time::AT);
        let rejection = verify(&Evidence::sev_snp(&set.report, &pool), &policy, now).unwrap_err();
        assert_eq!(rejection.failed_checks(), ["snp.chain.leaf-kind"]);
        for (length, line) in [
            (Length::Whole, "\n      policy     `signing_keys`\n"),
            (Length::Short, "\n    policy    `signing_keys`\n"),
        ] {
            let text = report(rejection.report(), &policy, "own.toml", &[], Screen { length, ..PLAIN });
            assert!(text.contains(line), "{text}");
        }
        // What every policy asks the same names none.
        assert!(!refused(&[2, 0, 0, 0], PLAIN).contains("\n      policy     "));
    }

    #[test]
    fn a_long_value_is_cut_visibly() {
        assert_eq!(shortened(&"a".repeat(72)), "a".repeat(72));
        assert_eq!(shortened(&"a".repeat(73)), format!("{}…", "a".repeat(72)));
    }
}
