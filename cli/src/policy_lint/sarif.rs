//! Remarks about a policy as SARIF 2.1.0: a rule for each field and kind of remark, a result at its line and column. What is borne is
//! suppressed, with its reason (section 3.35 of the standard); an acknowledgement that bears nothing is a result in its own file.

use std::path::Path;

use serde_json::{Value, json};
use teegate_measurements::{Acknowledged, Remark, Review, Reviewed, Stale, StaleKind};

use super::{Files, what_is_wrong};
use crate::format::{SARIF_SCHEMA, uri_reference};
use crate::output::{plain, short};

/// The log. `status` is what the command ends with.
pub(super) fn log(files: &Files<'_>, review: &Review, status: u8) -> Value {
    let mut run = Run { rules: Vec::new(), results: Vec::new(), has_suppressions: files.accept.is_some() };
    review.remarks.iter().for_each(|reviewed| run.remark(files.policy, reviewed));
    let accept = files.accept.map(uri_reference);
    review.stale.iter().for_each(|stale| run.stale(accept.as_deref().unwrap_or_default(), stale));
    let analysed = [Some(uri_reference(Path::new(files.policy))), accept];
    let artifacts: Vec<_> = analysed
        .iter()
        .flatten()
        .map(|uri| json!({ "location": { "uri": uri }, "roles": ["analysisTarget"] }))
        .collect();
    json!({
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "teegate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": run.rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{ "executionSuccessful": true, "exitCode": status }],
            "artifacts": artifacts,
            "results": run.results,
        }],
    })
}

struct Run {
    rules: Vec<Value>,
    results: Vec<Value>,
    /// Of a scan that knows of suppressions, each result says whether it is suppressed.
    has_suppressions: bool,
}

/// Where something stands.
struct Place<'a> {
    uri: &'a str,
    line: usize,
    column: usize,
}

impl Run {
    fn remark(&mut self, policy: &str, reviewed: &Reviewed) {
        let Remark { severity, kind, line, column, field, opens, instead } = &reviewed.remark;
        let field = field_of_any_profile(field);
        let rule = json!({
            "id": format!("policy.{field}.{}", kind.name()),
            "shortDescription": { "text": format!("`{field}` {}", kind.says()) },
            "defaultConfiguration": { "level": severity.name() },
        });
        let uri = uri_reference(Path::new(policy));
        let place = Place { uri: &uri, line: *line, column: *column };
        let message = format!("{}: {}; instead: {}", reviewed.remark.field, opens, instead);
        self.add(rule, severity.name(), &message, &place, reviewed.acknowledged.as_ref());
    }

    fn stale(&mut self, uri: &str, stale: &Stale) {
        let (id, says) = match stale.kind {
            StaleKind::Expired => ("accept.expired", "an acknowledgement whose time is over bears nothing"),
            StaleKind::Unused => ("accept.unused", "an acknowledgement answers to a remark"),
        };
        let level = stale.severity.name();
        let rule = json!({
            "id": id,
            "shortDescription": { "text": says },
            "defaultConfiguration": { "level": level },
        });
        let place = Place { uri, line: stale.line, column: stale.column };
        let message = format!("{} [{}]: {}", short(&stale.field), stale.remark.name(), what_is_wrong(stale));
        self.add(rule, level, &message, &place, None);
    }

    fn add(&mut self, rule: Value, level: &str, message: &str, place: &Place<'_>, borne: Option<&Acknowledged>) {
        let id = rule.get("id").cloned();
        let known = self.rules.iter().position(|known| known.get("id") == id.as_ref());
        let index = known.unwrap_or_else(|| {
            self.rules.push(rule);
            self.rules.len() - 1
        });
        let mut result = json!({
            "ruleId": id,
            "ruleIndex": index,
            "kind": "fail",
            "level": level,
            "message": { "text": plain(message) },
            "locations": [{ "physicalLocation": {
                "artifactLocation": { "uri": place.uri },
                "region": { "startLine": place.line, "startColumn": place.column },
            }}],
        });
        if self.has_suppressions
            && let Some(members) = result.as_object_mut()
        {
            let suppression = |borne: &Acknowledged| json!({ "kind": "external", "status": "accepted", "justification": plain(&borne.reason) });
            let list: Vec<_> = borne.map(suppression).into_iter().collect();
            members.insert("suppressions".to_owned(), Value::Array(list));
        }
        self.results.push(result);
    }
}

/// `sev-snp.strict.debug` as `sev-snp.debug`: what a rule says holds of every profile.
fn field_of_any_profile(field: &str) -> String {
    match (field.split_once('.'), field.rsplit_once('.')) {
        (Some((first, _)), Some((_, last))) => format!("{first}.{last}"),
        _ => field.to_owned(),
    }
}
