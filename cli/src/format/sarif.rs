//! SARIF 2.1.0 (OASIS, errata 01): the catalogue's checks as rules, and a result for each that failed.
//!
//! Only failures become results. The format could say `kind: pass`, but code scanning on GitHub does not read `kind` and
//! shows every result as an alert; the whole list of checks stands in the run's properties instead.

use std::path::{Component, Path};

use serde::Serialize;
use teegate_verifier::{Endorsement, Expired, Finding, Outcome, Prospect, Roots};

use super::about::{FOREIGN_ROOTS, File, rests_on_foreign_roots, verdict};
use super::checks::{Line, lines};
use super::inputs::Inputs;
use super::sign;
use crate::output::plain;

pub(crate) const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// A SARIF log.
#[derive(Serialize)]
pub(super) struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool,
    invocations: [Invocation; 1],
    artifacts: Vec<Artifact>,
    results: Vec<Outcoming>,
    properties: Kept<'a>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: &'static str,
    short_description: Text,
    help: Text,
    default_configuration: Level,
    properties: RuleProperties,
}

#[derive(Serialize)]
struct Level {
    level: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuleProperties {
    rejects_as: &'static str,
    source: &'static str,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    exit_code: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_execution_notifications: Vec<Notification>,
}

/// Something that no check refused and that a reader must not overlook.
#[derive(Serialize)]
struct Notification {
    level: &'static str,
    message: Text,
}

#[derive(Serialize)]
struct Artifact {
    location: ArtifactLocation,
    roles: [&'static str; 1],
}

#[derive(Clone, Serialize)]
struct ArtifactLocation {
    uri: String,
}

/// A `result`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcoming {
    rule_id: &'static str,
    rule_index: usize,
    kind: &'static str,
    level: &'static str,
    message: Text,
    locations: [Location; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
}

/// What the format has no place for: of one file as it is, of many in a list.
#[derive(Serialize)]
#[serde(untagged)]
enum Kept<'a> {
    One(Box<Properties<'a>>),
    Many { reports: Vec<Properties<'a>> },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    /// The file, where it is one of many.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<String>,
    verdict: &'static str,
    stage: Option<&'static str>,
    tee: &'static str,
    policy: String,
    policy_sha256: String,
    trust_anchors: Option<&'static str>,
    at: String,
    replayed: bool,
    inputs: &'a Inputs,
    valid_until: Option<String>,
    ends_first: Option<&'a str>,
    warnings: Vec<&'a str>,
    outlook: &'a [Prospect],
    expired: &'a [Expired],
    not_to_be_had: &'a [String],
    endorsements: &'a [Endorsement],
    checks: Vec<Line<'a>>,
}

/// The log of these files, of which `status` is the highest. One run, because code scanning takes one for each upload.
pub(super) fn log<'a>(files: &[File<'a>], status: u8) -> Log<'a> {
    let mut run = Collected::default();
    files.iter().for_each(|file| run.add(file, files.len() > 1));
    let driver = Driver { name: "teegate", semantic_version: env!("CARGO_PKG_VERSION"), rules: run.rules };
    let properties = match <[Properties<'_>; 1]>::try_from(run.properties) {
        Ok([one]) if files.len() == 1 => Kept::One(Box::new(one)),
        Ok(one) => Kept::Many { reports: one.into() },
        Err(many) => Kept::Many { reports: many },
    };
    let run = Run {
        tool: Tool { driver },
        // There is a verdict; whether it pleases is said by the exit code.
        invocations: [Invocation {
            execution_successful: files.iter().all(|file| file.outcome.is_ok()),
            exit_code: status,
            tool_execution_notifications: run.notifications,
        }],
        artifacts: run.artifacts,
        results: run.results,
        properties,
    };
    Log { schema: SCHEMA, version: "2.1.0", runs: [run] }
}

/// What the files give, joined: each rule and each artifact once.
#[derive(Default)]
struct Collected<'a> {
    rules: Vec<Rule>,
    artifacts: Vec<Artifact>,
    results: Vec<Outcoming>,
    notifications: Vec<Notification>,
    properties: Vec<Properties<'a>>,
}

impl<'a> Collected<'a> {
    fn add(&mut self, file: &File<'a>, is_one_of_many: bool) {
        let location = ArtifactLocation { uri: uri_reference(file.name) };
        if !self.artifacts.iter().any(|artifact| artifact.location.uri == location.uri) {
            self.artifacts.push(Artifact { location: location.clone(), roles: ["analysisTarget"] });
        }
        let (report, about) = match &file.outcome {
            Ok((report, about)) => (*report, about),
            Err(stop) => {
                let place = self.rule(unread_rule());
                self.results.push(unread(place, &stop.message, &location));
                return;
            }
        };
        let places: Vec<_> = report.findings().iter().map(|finding| self.rule(rule(finding))).collect();
        let failed = report.findings().iter().zip(places).filter(|(finding, _)| *finding.outcome() == Outcome::Fail);
        self.results.extend(failed.map(|(finding, place)| result(place, finding, &location)));
        // Code scanning shows results and nothing else, so an acceptance that must not look like one of the vendors' is one.
        if rests_on_foreign_roots(report) {
            let place = self.rule(foreign_roots_rule());
            self.results.push(foreign_roots(place, &location));
        }
        let warnings =
            report.warnings().map(|warning| Notification { level: "warning", message: text(&plain(warning)) });
        self.notifications.extend(warnings);
        self.properties.push(Properties {
            evidence: is_one_of_many.then_some(location.uri),
            verdict: verdict(report),
            stage: report.stage().map(teegate_verifier::Stage::rejection),
            tee: report.tee().name(),
            policy: about.named.to_owned(),
            policy_sha256: sign::sha256(about.policy_text),
            trust_anchors: report.trust_anchors().map(Roots::name),
            at: report.at().to_string(),
            replayed: report.replayed(),
            inputs: about.inputs,
            valid_until: report.valid_until().map(|end| end.to_string()),
            ends_first: report.ends_first(),
            warnings: report.warnings().collect(),
            outlook: report.outlook(),
            expired: about.expired,
            not_to_be_had: about.in_vain,
            endorsements: report.endorsements(),
            checks: lines(report),
        });
    }

    /// The place of the rule, which is added where it is not there yet.
    fn rule(&mut self, rule: Rule) -> usize {
        let known = self.rules.iter().position(|known| known.id == rule.id);
        known.unwrap_or_else(|| {
            self.rules.push(rule);
            self.rules.len() - 1
        })
    }
}

fn text(text: &str) -> Text {
    Text { text: text.to_owned() }
}

/// The rule of [`foreign_roots`]: no check, since the policy's author asked for it.
const FOREIGN_ROOTS_RULE: &str = "report.trust-anchors";

fn foreign_roots_rule() -> Rule {
    Rule {
        id: FOREIGN_ROOTS_RULE,
        short_description: text(
            "an acceptance rests on the roots of AMD or Intel, and not on others that a policy pins",
        ),
        help: text("take `[trust_anchors]` out of the policy, unless the evidence is meant to be of forged hardware"),
        default_configuration: Level { level: "warning" },
        properties: RuleProperties { rejects_as: "nothing", source: "cli/FORMATS.md, SARIF" },
    }
}

fn foreign_roots(rule_index: usize, location: &ArtifactLocation) -> Outcoming {
    let artifact_location = location.clone();
    Outcoming {
        rule_id: FOREIGN_ROOTS_RULE,
        rule_index,
        kind: "fail",
        level: "warning",
        message: text(FOREIGN_ROOTS),
        locations: [Location { physical_location: PhysicalLocation { artifact_location } }],
    }
}

/// The rule of [`unread`]: no check, since none was reached.
const UNREAD_RULE: &str = "report.evidence";

fn unread_rule() -> Rule {
    Rule {
        id: UNREAD_RULE,
        short_description: text("a file that was named holds evidence that can be judged"),
        help: text("name the file that holds the report or quote, as `teegate verify --help` lists the forms"),
        default_configuration: Level { level: "error" },
        properties: RuleProperties { rejects_as: "malformed", source: "cli/FORMATS.md, SARIF" },
    }
}

fn unread(rule_index: usize, message: &str, location: &ArtifactLocation) -> Outcoming {
    let artifact_location = location.clone();
    Outcoming {
        rule_id: UNREAD_RULE,
        rule_index,
        kind: "fail",
        level: "error",
        message: text(&plain(message)),
        locations: [Location { physical_location: PhysicalLocation { artifact_location } }],
    }
}

fn rule(finding: &Finding) -> Rule {
    let check = finding.check();
    Rule {
        id: check.id(),
        short_description: text(check.stops()),
        help: text(check.remedy()),
        default_configuration: Level { level: "error" },
        properties: RuleProperties { rejects_as: check.stage().rejection(), source: check.source() },
    }
}

fn result(rule_index: usize, finding: &Finding, location: &ArtifactLocation) -> Outcoming {
    let check = finding.check();
    let message = format!(
        "{}: expected {}, found {}; to do: {}",
        check.stage().rejection(),
        plain(finding.expected()),
        plain(finding.actual()),
        plain(finding.remedy())
    );
    let artifact_location = location.clone();
    Outcoming {
        rule_id: check.id(),
        rule_index,
        kind: "fail",
        level: "error",
        message: text(&message),
        locations: [Location { physical_location: PhysicalLocation { artifact_location } }],
    }
}

/// The path as a URI reference (RFC 3986): its segments percent-encoded, relative as it was given. An absolute path
/// becomes a `file` URI; standard input a name that no file of a repository has.
pub(crate) fn uri_reference(path: &Path) -> String {
    if path == Path::new("-") {
        return "stdin".to_owned();
    }
    let segments: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(percent_encoded(name.as_encoded_bytes())),
            Component::ParentDir => Some("..".to_owned()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect();
    let joined = segments.join("/");
    match (path.is_absolute(), joined.as_str()) {
        (true, _) => format!("file:///{joined}"),
        (false, "") => ".".to_owned(),
        (false, _) => joined,
    }
}

fn percent_encoded(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uri_references() {
        for (path, uri) in [
            ("evidence/report.bin", "evidence/report.bin"),
            ("./a b/é#?.bin", "a%20b/%C3%A9%23%3F.bin"),
            ("c:d", "c%3Ad"),
            ("../x", "../x"),
            ("/var/x y", "file:///var/x%20y"),
            ("-", "stdin"),
            (".", "."),
        ] {
            assert_eq!(uri_reference(Path::new(path)), uri);
        }
    }
}
