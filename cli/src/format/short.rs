//! A verification report in a screenful: the verdict with what weakens it, what failed with the command that helps, and a count of
//! each stage. Whatever the policy left open is named, by the field that leaves it open.

use std::collections::BTreeMap;

use teegate_verifier::{Check, Expired, FactValue, Finding, Outcome, Policy, Report, Roots, Stage, Topic};

use super::about::{asked_by, window};
use super::weakness::{self, Weakness};
use crate::exit;
use crate::output::plain;
use crate::screen::{Screen, Tone};

/// What is shown.
pub(super) struct Short<'a> {
    pub(super) report: &'a Report,
    pub(super) policy: &'a Policy,
    /// The policy as the user named it.
    pub(super) named: &'a str,
    pub(super) in_vain: &'a [String],
    pub(super) expired: &'a [Expired],
    pub(super) screen: Screen,
}

impl Short<'_> {
    /// The whole of it, not yet broken into the lines of a terminal.
    pub(super) fn text(&self) -> String {
        let weaknesses = weakness::of(self.report, self.in_vain);
        let mut text = self.verdict(&weaknesses);
        text.push_str(&self.weaknesses(&weaknesses));
        text.push_str(&self.failures());
        text.push_str(&self.also_out());
        text.push_str(&self.essentials());
        text.push_str(&self.stages());
        text.push_str(&self.summary());
        text
    }

    fn verdict(&self, weaknesses: &[Weakness]) -> String {
        let (policy, at) = (plain(self.named), self.report.at());
        let Some(stage) = self.report.stage() else {
            let tone = if weaknesses.is_empty() { Tone::Good } else { Tone::Caution };
            let word = self.screen.style.paint(tone, "ACCEPTED");
            let until = self.report.valid_until().map_or_else(String::new, |end| {
                let first = self.report.ends_first().unwrap_or("the first of what it rests on");
                format!(", until {end} (then {} ends)", plain(first))
            });
            return format!("{word}  satisfies `{policy}` at {at}{until}\n");
        };
        let word = self.screen.style.paint(Tone::Bad, "REJECTED");
        let meaning = match stage {
            Stage::Parse => "the bytes are not well-formed evidence".to_owned(),
            Stage::Authenticate => format!("{} was not shown to vouch for this evidence", self.report.tee().vendor()),
            Stage::Appraise if self.report.trust_anchors().is_none() => {
                "the policy has no rule for such evidence; nobody looked whether it is authentic".to_owned()
            }
            Stage::Appraise => "the evidence is authentic, and it is not what the policy asks for".to_owned(),
        };
        let replay = if self.report.replayed() { ", a time that was named" } else { "" };
        format!(
            "{word}  {}: {meaning}.\n          Do not send anything to what presented it.\n          policy `{policy}`, at {at}{replay}\n",
            stage.rejection()
        )
    }

    fn weaknesses(&self, weaknesses: &[Weakness]) -> String {
        let column = weaknesses.iter().map(|weakness| weakness.label.len()).max().unwrap_or_default();
        let line = |Weakness { label, sentence }: &Weakness| {
            let label = self.screen.style.paint(Tone::Caution, &format!("! {label:<column$}"));
            format!("{label}  {}\n", plain(sentence))
        };
        weaknesses.iter().map(line).collect()
    }

    fn failed(&self) -> impl Iterator<Item = &Finding> {
        self.report.findings().iter().filter(|finding| *finding.outcome() == Outcome::Fail)
    }

    fn failures(&self) -> String {
        let block = |finding: &Finding| {
            let id = finding.check().id();
            format!(
                "\n{}\n    expected  {}\n    found     {}\n{}    to do     {}\n    why       teegate verify --explain {id}\n",
                self.screen.style.paint(Tone::Bad, &format!("✗ {id}")),
                self.screen.value(&plain(finding.expected())),
                self.screen.value(&plain(finding.actual())),
                asked_by(finding.check(), "    policy    "),
                plain(finding.remedy()),
            )
        };
        self.failed().map(block).collect()
    }

    /// What has run out, beyond the first check that stopped the walk.
    fn also_out(&self) -> String {
        if self.expired.is_empty() {
            return String::new();
        }
        let lines = self.expired.iter().map(|expired| format!("    {}\n", plain(&window(expired))));
        let heading = self.screen.style.paint(Tone::Caution, "! Expired, or not yet valid");
        format!("\n{heading}\n{}", lines.collect::<String>())
    }

    fn essentials(&self) -> String {
        let report = self.report;
        let key = report.tee().key_checks();
        let mut lines = vec![("platform", self.platform()), ("vouched for", self.voucher())];
        let chosen = report.wrapping().report_data_fact();
        for (title, fact, check) in [("code", key.code_fact, key.code), ("report data", chosen, key.report_data)] {
            if let Some(value) = report.fact(fact) {
                lines.push((title, format!("{}: {}", self.compared(check), self.screen.value(&value.to_string()))));
            }
        }
        if report.accepted() {
            lines.push((
                "bound to",
                report.bound_to().map_or("nothing".to_owned(), |claim| format!("{} (the policy's word)", claim.name())),
            ));
        }
        let line = |(name, value): &(&str, String)| format!("  {name:<11}  {}\n", plain(value));
        format!("\n{}", lines.iter().map(line).collect::<String>())
    }

    fn platform(&self) -> String {
        let tee = self.report.tee().title();
        let more = [("product", ""), ("fmspc", "FMSPC ")].into_iter().filter_map(|(fact, before)| {
            let value = self.report.fact(fact).filter(|value| !matches!(value, FactValue::Absent))?;
            Some(format!(", {before}{value}"))
        });
        format!("{tee}{}", more.collect::<String>())
    }

    fn voucher(&self) -> String {
        let key = self.report.tee().key_checks();
        let passed = |check| self.report.finding(check).filter(|finding| *finding.outcome() == Outcome::Pass);
        match (self.report.stage(), passed(key.root), passed(key.signature)) {
            (None | Some(Stage::Appraise), Some(root), Some(_)) => match self.report.trust_anchors() {
                Some(Roots::Vendors) => root.actual().to_owned(),
                _ => format!("{}, a root that this policy names", root.actual()),
            },
            _ => format!("nobody, as far as was shown: not {}", self.report.tee().vendor()),
        }
    }

    fn compared(&self, check: Check) -> &'static str {
        match self.report.finding(check).map(Finding::outcome) {
            Some(Outcome::Pass) => "as expected",
            Some(Outcome::Fail) => "NOT AS EXPECTED",
            Some(Outcome::NotChecked { .. } | Outcome::NotApplicable(_)) => "compared with nothing",
            Some(Outcome::NotReached) | None => "not reached",
        }
    }

    /// A line for each stage that was reached, and below it what the policy leaves open there.
    fn stages(&self) -> String {
        let mut text = "\n".to_owned();
        for (stage, title) in [
            (Stage::Parse, "What the bytes are"),
            (Stage::Authenticate, "Who vouches for them"),
            (Stage::Appraise, "Whether they are wanted"),
        ] {
            let all: Vec<_> = self.report.findings().iter().filter(|own| own.check().stage() == stage).collect();
            let count = |name: &str| all.iter().filter(|finding| finding.outcome().name() == name).count();
            let [passed, failed, open, unreached] = ["pass", "fail", "not-checked", "not-reached"].map(count);
            if passed + failed + open == 0 {
                continue;
            }
            let mut words = format!("{passed} passed");
            for (number, of) in [(failed, "failed"), (open, "left open by the policy"), (unreached, "not reached")] {
                if number > 0 {
                    words.push_str(&format!(", {number} {of}"));
                }
            }
            let is_weak = open > 0 || all.iter().any(|finding| weakness::is_weak_pass(finding));
            let (mark, tone) = match (failed, is_weak || unreached > 0) {
                (0, false) => ("✓", Tone::Good),
                (0, true) => ("!", Tone::Caution),
                _ => ("✗", Tone::Bad),
            };
            text.push_str(&format!("  {} {title:<24} {words}\n", self.screen.style.paint(tone, mark)));
            text.push_str(&self.left_open(&all));
        }
        text
    }

    /// The fields of the policy that leave something open, by what they are about.
    fn left_open(&self, findings: &[&Finding]) -> String {
        let mut by_topic: BTreeMap<Topic, Vec<&str>> = BTreeMap::new();
        for finding in findings {
            if let Outcome::NotChecked { waived_by, .. } = finding.outcome() {
                let fields = by_topic.entry(self.topic(waived_by)).or_default();
                if !fields.contains(waived_by) {
                    fields.push(waived_by);
                }
            }
        }
        let line = |(topic, fields): (Topic, Vec<&str>)| {
            let about = match topic {
                Topic::Claim => "claim",
                Topic::Hardware => "platform",
                Topic::Vouching => "vouching",
                Topic::Code => "code",
                Topic::Freshness => "freshness",
                _ => "others",
            };
            format!("      {about:<9}  {}\n", fields.join(" "))
        };
        by_topic.into_iter().map(line).collect()
    }

    fn topic(&self, field: &str) -> Topic {
        let profiles = self.policy.document().profiles().iter().filter(|profile| profile.tee() == self.report.tee());
        let mut fields = profiles.flat_map(|profile| profile.rules());
        fields.find(|(own, _)| own.name == field).map_or(Topic::Hardware, |(own, _)| own.topic)
    }

    fn summary(&self) -> String {
        let count =
            |name: &str| self.report.findings().iter().filter(|finding| finding.outcome().name() == name).count();
        let counts = ["pass", "fail", "not-checked", "not-applicable", "not-reached"].map(count);
        let words = ["passed", "failed", "not checked", "not applicable", "not reached"];
        let counts: Vec<_> = counts
            .iter()
            .zip(words)
            .filter(|(number, word)| **number > 0 || *word == "failed")
            .map(|(number, word)| format!("{number} {word}"))
            .collect();
        let status = self.report.stage().map_or(exit::ACCEPTED, exit::of_rejection);
        format!("\n{}\nevery check: --long; exit status {status}\n", counts.join(", "))
    }
}
