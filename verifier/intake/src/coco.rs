//! The evidence JSON of Confidential Containers, as the attestation agent answers it and people save it. The protocol crate reads it;
//! here it becomes evidence. An SEV-SNP report is put together again from its fields, and that the result is right needs no trust in
//! anybody: the signature covers it.

use teegate_encoding::base64;
use teegate_protocol::coco::{ChainKind, CocoEvidence};

use crate::error::Defect;
use crate::json::Members;
use crate::statement::Statement;
use crate::unwrapped::Unwrapped;
use crate::wrapper::tee_of;

/// Whether `text` has the members of the attester `snp` or `tdx`.
pub(crate) fn looks_like_coco(text: &str) -> bool {
    let is_object = |text: &str| text.starts_with('{');
    is_object(text)
        && Members::parse(text).is_ok_and(|found| {
            found.raw("attestation_report").is_ok_and(is_object) || (found.has("quote") && found.has("cc_eventlog"))
        })
}

/// Answers of the agent inside other JSON, as those who pass them on wrap them (a request to Trustee's key broker: `tee-evidence`,
/// `tee-evidence.primary_evidence`): where each stands, and its text.
pub(crate) fn inside<'a>(members: &Members<'a>) -> Vec<(String, &'a str)> {
    look_into(members, DEPTH)
}

/// As deep as anybody wraps them.
const DEPTH: usize = 3;
/// As many are found; more than one is too many anyhow.
const MOST: usize = 4;

fn look_into<'a>(members: &Members<'a>, depth: usize) -> Vec<(String, &'a str)> {
    let mut found = Vec::new();
    for (name, text) in members.each().filter(|(_, text)| text.starts_with('{')) {
        if looks_like_coco(text) {
            found.push((name.to_owned(), text));
        } else if let (Some(depth), Ok(inner)) = (depth.checked_sub(1), Members::parse(text)) {
            let inside = look_into(&inner, depth).into_iter();
            found.extend(inside.map(|(place, text)| (format!("{name}.{place}"), text)));
        }
        if found.len() >= MOST {
            found.truncate(MOST);
            break;
        }
    }
    found
}

/// Takes the evidence out of the JSON that fills `text`.
pub(crate) fn unwrap(text: &str) -> Result<Unwrapped, Defect> {
    let evidence = CocoEvidence::parse(text.as_bytes()).map_err(|error| broken(error.to_string()))?;
    let endorsements = evidence
        .chain
        .into_iter()
        // The agent copies what the host supplied. An entry that is empty or unreadable takes nothing from the others: the verifier
        // names the certificate that it misses.
        .filter_map(|(kind, der)| Some((kind, Statement::from_der(der).ok()?)))
        .map(|entry| match entry {
            (ChainKind::Certificate, found @ Statement::Certificate(_))
            | (ChainKind::Crl, found @ Statement::Crl(_)) => Ok(found),
            _ => Err(broken("an entry of `cert_chain` is not of the kind that it says".to_owned())),
        })
        .collect::<Result<_, _>>()?;
    let event_log = evidence
        .event_log_base64
        .map(|text| base64::decode(text).map_err(|_| broken("`cc_eventlog` is not base64 with padding".to_owned())))
        .transpose()?;
    let form = "CoCo evidence JSON";
    Ok(Unwrapped { event_log, ..Unwrapped::new(tee_of(evidence.kind)?, evidence.bytes, endorsements, form) })
}

fn broken(defect: String) -> Defect {
    Defect::Broken {
        kind: "CoCo evidence",
        defect,
        remedy: "save the answer of the attestation agent (`/aa/evidence`) as it was sent, or take evidence in the guest with \
                 `teegate record --into DIR`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_verifier::Tee;

    #[test]
    fn a_quote_comes_with_its_event_log() {
        let text = r#"{"cc_eventlog":"ZXZlbnRz","quote":"cXVvdGU="}"#;
        assert!(looks_like_coco(text));
        let unwrapped = unwrap(text).unwrap();
        assert_eq!(
            (unwrapped.tee, unwrapped.bytes, unwrapped.event_log),
            (Tee::Tdx, b"quote".to_vec(), Some(b"events".to_vec()))
        );
        let message = unwrap(&text.replace("ZXZlbnRz", "?")).unwrap_err().to_string();
        assert!(message.contains("`cc_eventlog` is not base64 with padding"), "{message}");
        assert!(unwrap(&text.replace("\"ZXZlbnRz\"", "null")).unwrap().event_log.is_none());
    }

    #[test]
    fn other_json_is_not_taken_for_it() {
        for text in [
            "{}",
            r#"{"quote":{"message":[]},"report":[]}"#,
            r#"{"evidence":["a","b"]}"#,
            "[1]",
            r#"{"attestation_report":"AAAA"}"#,
        ] {
            assert!(!looks_like_coco(text), "{text}");
        }
    }
}
