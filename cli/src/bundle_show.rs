//! What a bundle holds, in words and for programs: sizes, names and windows. Only its digest was checked.

use std::fmt::Write as _;

use serde::Serialize;
use teegate_intake::Label;
use teegate_intake::bundle::{Bundle, Conclusion, SCHEMA};

use crate::bundle::maker::{called, shown};
use crate::output::{plain, short};

/// The whole text.
pub(crate) fn text(bundle: &Bundle, digest: &str) -> String {
    let kept = &bundle.kept;
    let mut text = NOT_VERIFIED.to_owned();
    let log = kept.event_log.as_ref().map_or_else(|| "none".to_owned(), |log| format!("{} bytes", log.len()));
    let report_data = bundle.report_data.map_or_else(|| "none".to_owned(), |bytes| bytes.to_string());
    let policy = format!("`{}`, {} bytes", short(&called(&bundle.policy)), bundle.policy.text.len());
    for (name, value) in [
        ("digest", digest.to_owned()),
        ("made by", short(&bundle.creator)),
        ("evidence", format!("{}, {} bytes", kept.tee, kept.evidence.len())),
        ("event log", log),
        ("policy", policy),
        ("time", bundle.at.to_string()),
        ("report data", report_data),
        ("concluded", shown(&bundle.recorded)),
    ] {
        let _infallible = writeln!(text, "  {name:<12}  {}", plain(&value));
    }
    let _infallible = writeln!(text, "\nWhat vouches for the evidence: {} statements", kept.statements.len());
    for statement in &kept.statements {
        let Label { kind, name, from, until } = statement.label();
        let name = name.map_or_else(|| "(no name)".to_owned(), |name| short(&name));
        let time = |time: Option<String>| time.map_or_else(|| "?".to_owned(), |time| short(&time));
        let size = statement.len();
        let _infallible = writeln!(text, "  {kind:<12}  {size:>6} bytes  {} to {}  {name}", time(from), time(until));
    }
    text
}

const NOT_VERIFIED: &str = "\
NOT VERIFIED. This is what the bundle says of itself; only its digest was checked.
To verify it: `teegate bundle verify`.

";

/// Schema `teegate/bundle-contents/1`.
pub(crate) fn json(bundle: &Bundle, digest: &str) -> Result<String, String> {
    let kept = &bundle.kept;
    let contents = Contents {
        schema: "teegate/bundle-contents/1",
        verified: false,
        bundle_schema: SCHEMA,
        digest,
        creator: &bundle.creator,
        tee: kept.tee.name(),
        evidence_bytes: kept.evidence.len(),
        event_log_bytes: kept.event_log.as_ref().map(Vec::len),
        policy_name: &bundle.policy.name,
        policy_bytes: bundle.policy.text.len(),
        at: bundle.at.to_string(),
        report_data: bundle.report_data.map(|bytes| bytes.to_string()),
        recorded: &bundle.recorded,
        endorsements: kept
            .statements
            .iter()
            .map(|statement| {
                let Label { kind, name, from, until } = statement.label();
                Entry { kind, bytes: statement.len(), name, from, until }
            })
            .collect(),
    };
    let mut text =
        serde_json::to_string_pretty(&contents).map_err(|error| format!("the contents cannot be written: {error}"))?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Contents<'a> {
    schema: &'static str,
    verified: bool,
    bundle_schema: &'static str,
    digest: &'a str,
    creator: &'a str,
    tee: &'static str,
    evidence_bytes: usize,
    event_log_bytes: Option<usize>,
    policy_name: &'a str,
    policy_bytes: usize,
    at: String,
    report_data: Option<String>,
    recorded: &'a Conclusion,
    endorsements: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    kind: &'static str,
    bytes: usize,
    name: Option<String>,
    from: Option<String>,
    until: Option<String>,
}
