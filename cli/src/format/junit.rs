//! JUnit XML, as CI systems read it: one test suite for each file of evidence, under its name, and one test case for each check.
//!
//! There is no standard; this keeps to what the schemas of Ant, Maven Surefire and Jenkins have in common.

use teegate_verifier::{BoundTo, Endorsement, Finding, Outcome, Report, Roots, Stage};

use super::about::{About, FOREIGN_ROOTS, File, rests_on_foreign_roots, verdict, window};
use super::sign;
use crate::output::plain;

/// The whole document.
pub(super) fn render(files: &[File<'_>]) -> String {
    let all: Vec<_> = files.iter().map(Counts::of).collect();
    let sum = |count: fn(&Counts) -> usize| all.iter().map(count).sum::<usize>().to_string();
    let [tests, failures, errors] = [sum(|one| one.tests), sum(|one| one.failures), sum(|one| one.errors)];
    let mut xml = Xml::default();
    xml.open(
        "testsuites",
        &[("name", "teegate verify"), ("tests", &tests), ("failures", &failures), ("errors", &errors)],
    );
    for (file, counts) in files.iter().zip(&all) {
        suite(&mut xml, file, counts);
    }
    xml.close("testsuites");
    xml.document
}

fn suite(xml: &mut Xml, file: &File<'_>, counts: &Counts) {
    let evidence = file.name.display().to_string();
    let tee = file.outcome.as_ref().map_or("unread", |(report, _)| report.tee().name());
    let name = format!("teegate.{tee}: {evidence}");
    let [tests, failures, errors, skipped] =
        [counts.tests, counts.failures, counts.errors, counts.skipped].map(|count| count.to_string());
    let at = file.outcome.as_ref().map(|(report, _)| report.at().to_string());
    let mut attributes = vec![
        ("name", name.as_str()),
        ("tests", &tests),
        ("failures", &failures),
        ("errors", &errors),
        ("skipped", &skipped),
        ("time", "0"),
    ];
    attributes.extend(at.as_ref().ok().map(|at| ("timestamp", at.as_str())));
    xml.open("testsuite", &attributes);
    xml.open("properties", &[]);
    match &file.outcome {
        Ok((report, about)) => properties(report, about),
        Err(_) => {
            vec![("tool", TOOL.to_owned()), ("verdict", file.verdict().to_owned()), ("evidence", evidence.clone())]
        }
    }
    .iter()
    .for_each(|(name, value)| xml.empty("property", &[("name", name), ("value", value)]));
    xml.close("properties");
    // Readers tell test cases apart by class and name, whatever suite they stand in.
    let class = format!("teegate.{tee}.{}", in_a_class(&evidence));
    match &file.outcome {
        Ok((report, about)) => {
            for finding in report.findings() {
                test_case(xml, &class, &evidence, finding);
            }
            if !about.expired.is_empty() {
                let lines: Vec<_> = about.expired.iter().map(|expired| plain(&window(expired))).collect();
                xml.text("system-out", &[], &format!("expired at {}:\n{}", report.at(), lines.join("\n")));
            }
        }
        Err(stop) => {
            let case = [("classname", class.as_str()), ("name", "evidence"), ("file", &evidence), ("time", "0")];
            xml.open("testcase", &case);
            xml.text("error", &[("type", file.verdict()), ("message", &stop.message)], &plain(&stop.message));
            xml.close("testcase");
        }
    }
    xml.close("testsuite");
}

const TOOL: &str = concat!("teegate ", env!("CARGO_PKG_VERSION"));

/// A path as a part of a class: readers split classes at the dots.
fn in_a_class(path: &str) -> String {
    path.chars().map(|c| if c.is_alphanumeric() || "/_-".contains(c) { c } else { '_' }).collect()
}

struct Counts {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

impl Counts {
    fn of(file: &File<'_>) -> Self {
        let Ok((report, _)) = &file.outcome else { return Self { tests: 1, failures: 0, errors: 1, skipped: 0 } };
        let count =
            |wanted: fn(&Outcome) -> bool| report.findings().iter().filter(|finding| wanted(finding.outcome())).count();
        Self {
            tests: report.findings().len(),
            failures: count(|outcome| *outcome == Outcome::Fail),
            errors: 0,
            skipped: count(|outcome| !matches!(outcome, Outcome::Pass | Outcome::Fail)),
        }
    }
}

fn properties(report: &Report, about: &About<'_>) -> Vec<(&'static str, String)> {
    let mut properties = vec![
        ("tool", TOOL.to_owned()),
        ("verdict", verdict(report).to_owned()),
        ("tee", report.tee().name().to_owned()),
        ("evidence", about.evidence.display().to_string()),
        ("policy", about.named.to_owned()),
        ("policy_sha256", sign::sha256(about.policy_text)),
        ("at", report.at().to_string()),
        ("replayed", report.replayed().to_string()),
    ];
    properties.extend(about.inputs.named().map(|(name, whose)| (input(name), whose)));
    let sometimes = [
        ("stage", report.stage().map(|stage| stage.rejection().to_owned())),
        ("trust_anchors", report.trust_anchors().map(|roots: Roots| roots.name().to_owned())),
        ("profile", report.profile().map(str::to_owned)),
        ("bound_to", report.bound_to().map(|bound: BoundTo| bound.name().to_owned())),
        ("valid_until", report.valid_until().map(|end| end.to_string())),
        ("ends_first", report.ends_first().map(str::to_owned)),
    ];
    properties.extend(sometimes.into_iter().filter_map(|(name, value)| Some((name, value?))));
    properties.extend(rests_on_foreign_roots(report).then(|| ("warning", FOREIGN_ROOTS.to_owned())));
    properties.extend(report.warnings().map(|warning| ("warning", warning.to_owned())));
    properties.extend(report.outlook().iter().map(|prospect| ("outlook", prospect.text.clone())));
    properties.extend(about.in_vain.iter().map(|missing| ("not_to_be_had", missing.clone())));
    properties.extend(report.endorsements().iter().map(|endorsement| ("endorsement", vouched_by(endorsement))));
    properties.extend(about.expired.iter().map(|expired| ("expired", window(expired))));
    properties
}

/// The property that says whose an input was.
fn input(name: &str) -> &'static str {
    match name {
        "policy" => "input.policy",
        "at" => "input.at",
        "report_data" => "input.report_data",
        "event_log" => "input.event_log",
        _ => "input.endorsements",
    }
}

/// One statement that the verdict rests on, and who brought it.
fn vouched_by(endorsement: &Endorsement) -> String {
    let Endorsement { kind, name, source, from, .. } = endorsement;
    let from = from.as_ref().map(|from| format!(" ({from})")).unwrap_or_default();
    format!("{kind} {name}: {}{from}", source.name())
}

fn test_case(xml: &mut Xml, class: &str, evidence: &str, finding: &Finding) {
    let check = finding.check();
    let class = format!("{class}.{}", stage(check.stage()));
    let case = [("classname", class.as_str()), ("name", check.id()), ("file", evidence), ("time", "0")];
    let skipped = match finding.outcome() {
        Outcome::Pass => return xml.empty("testcase", &case),
        Outcome::Fail => {
            let (expected, actual) = (plain(finding.expected()), plain(finding.actual()));
            let text = format!(
                "establishes: {}\nexpected: {expected}\nfound: {actual}\nsource: {}\nto do: {}",
                check.stops(),
                check.source(),
                plain(finding.remedy())
            );
            let message = format!("expected {expected}, found {actual}");
            xml.open("testcase", &case);
            xml.text("failure", &[("type", check.stage().rejection()), ("message", &message)], &text);
            return xml.close("testcase");
        }
        Outcome::NotChecked { waived_by, why } => format!("waived by `{waived_by}` of the policy: {why}"),
        Outcome::NotApplicable(why) => format!("not applicable: {why}"),
        Outcome::NotReached => "not reached: an earlier check failed".to_owned(),
    };
    xml.open("testcase", &case);
    xml.empty("skipped", &[("message", &skipped)]);
    xml.close("testcase");
}

const fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Parse => "parse",
        Stage::Authenticate => "authenticate",
        Stage::Appraise => "appraise",
    }
}

/// A document under construction. Names are ours; attributes and text may be anybody's.
struct Xml {
    document: String,
}

impl Default for Xml {
    fn default() -> Self {
        Self { document: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned() }
    }
}

impl Xml {
    fn tag(&mut self, name: &str, attributes: &[(&str, &str)], end: &str) {
        self.document.push_str(&format!("<{name}"));
        for (key, value) in attributes {
            self.document.push_str(&format!(" {key}=\"{}\"", escaped(&plain(value))));
        }
        self.document.push_str(end);
    }

    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, ">\n");
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, "/>\n");
    }

    /// An element that holds `text`, whose line feeds are our own.
    fn text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.tag(name, attributes, ">");
        self.document.push_str(&escaped(text));
        self.close(name);
    }

    fn close(&mut self, name: &str) {
        self.document.push_str(&format!("</{name}>\n"));
    }
}

/// Text as XML 1.0 can hold it: markup escaped (`>` as well, or `]]>` would not be well-formed), and every character
/// that XML cannot write at all replaced by U+FFFD.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'.. => safe.push(c),
            _ => safe.push('\u{FFFD}'),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(escaped("]]></failure><a b=\"&\">"), "]]&gt;&lt;/failure&gt;&lt;a b=&quot;&amp;&quot;&gt;");
        assert_eq!(escaped("\0\u{1}\u{1b}\u{FFFE}\u{FFFF}\n"), "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\n");
        let mut xml = Xml::default();
        xml.empty("a", &[("b", "\0\n\u{202E}<")]);
        assert!(xml.document.ends_with("<a b=\"\\u{0}\\u{a}\\u{202e}&lt;\"/>\n"), "{}", xml.document);
    }
}
