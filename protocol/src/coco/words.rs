//! What `serde` says of JSON that does not fit, as far as it may be repeated: it quotes names and values, and those are as long as
//! whoever wrote them wants.

use super::error::CocoError;
use crate::words::Shown;

/// The answer is not the JSON that was expected, with the place and, in short, why.
pub(super) fn not_json(error: &serde_json::Error) -> CocoError {
    CocoError::new(
        format!("answer of the attestation agent ({})", bounded(&error.to_string())),
        "evidence of the attester `snp` or `tdx`",
    )
}

/// What was found, cut; what was expected, which is ours; the place.
fn bounded(message: &str) -> String {
    let (found, ours) = message.rsplit_once(", expected ").map_or_else(
        || {
            message
                .rsplit_once(" at line ")
                .map_or((message, String::new()), |(found, at)| (found, format!(" at line {at}")))
        },
        |(found, expected)| (found, format!(", expected {expected}")),
    );
    format!("{}{ours}", Shown(found))
}

#[cfg(test)]
mod tests {
    use super::super::CocoEvidence;

    #[test]
    fn whatever_is_refused_little_of_it_is_repeated() {
        let long = "z".repeat(200_000);
        for (json, expected) in [
            (format!("{{\"attestation_report\":\"{long}\",\"cert_chain\":null}}"), "a string, expected an object"),
            (format!("{{\"{long}\":1,\"attestation_report\":{{\"version\":2}}}}"), "unknown field `zzz"),
            (format!("{{\"quote\":\"\",\"cc_eventlog\":null,\"{long}\":1}}"), "unknown field `zzz"),
            (format!("{{\"quote\":[\"{long}\"],\"cc_eventlog\":null}}"), "expected a string"),
            (format!("{{\"attestation_report\":{{\"version\":\"{long}\"}},\"cert_chain\":null}}"), "expected u32"),
            (
                format!("{{\"attestation_report\":{{\"_author_key_en\":\"{long}\"}},\"cert_chain\":null}}"),
                "expected u32",
            ),
            (
                format!("{{\"quote\":\"\",\"cc_eventlog\":null,\"\\u001b[2J, expected {long}\":1}}"),
                "unknown field `\\u{1b}",
            ),
        ] {
            let words = CocoEvidence::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(words.contains(expected), "{words}");
            assert!(!words.contains(&"z".repeat(81)) && words.len() < 1_000, "{} bytes: {words:.200}", words.len());
            assert!(!words.contains('\u{1b}'), "{words}");
        }
    }
}
