//! A forecast as SARIF 2.1.0: a result for each bundle that is refused (error), cannot be read (error), or will be refused too soon
//! (warning), under the check that refuses it.

use serde_json::{Value, json};

use super::within::in_words;
use super::{Standing, View, Watched};
use crate::format::{SARIF_SCHEMA, uri_reference};
use crate::output::plain;

/// The log.
pub(super) fn log(view: &View) -> Value {
    let mut rules: Vec<&str> = Vec::new();
    let mut results = Vec::new();
    for watched in view.watched.iter().filter(|watched| view.standing(watched) != Standing::Holds) {
        let rule = rule(watched);
        let index = rules.iter().position(|known| *known == rule).unwrap_or_else(|| {
            rules.push(rule);
            rules.len() - 1
        });
        results.push(result(view, watched, rule, index));
    }
    let rules: Vec<_> = rules
        .iter()
        .map(|id| json!({ "id": id, "shortDescription": { "text": format!("`{id}` refuses the evidence, now or soon") } }))
        .collect();
    json!({
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "teegate", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{ "executionSuccessful": true, "exitCode": view.status() }],
            "results": results,
        }],
    })
}

/// The check that refuses it; of what cannot be read, and of what ends by no check, a word of our own.
fn rule(watched: &Watched) -> &'static str {
    match &watched.outcome {
        Ok(forecast) => forecast.refused_by.first().copied().unwrap_or("watch.end"),
        Err(_) => "watch.unreadable",
    }
}

fn result(view: &View, watched: &Watched, rule: &str, index: usize) -> Value {
    let message = match &watched.outcome {
        Err(stop) => stop.message.clone(),
        Ok(forecast) => {
            let when = match forecast.accepted_until {
                None => "refused now".to_owned(),
                Some(until) => {
                    let left = in_words(until.seconds().saturating_sub(view.at.seconds()));
                    format!("accepted until {until}, for {left}, and refused then")
                }
            };
            format!("{when}: {}; to do: {}", forecast.reason, forecast.remedy)
        }
    };
    let level = if view.standing(watched) == Standing::Ends { "warning" } else { "error" };
    json!({
        "ruleId": rule,
        "ruleIndex": index,
        "kind": "fail",
        "level": level,
        "message": { "text": plain(&message) },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri_reference(&view.folder.join(&watched.file)) },
        }}],
    })
}
