//! The evidence JSON of Confidential Containers: what the attestation agent answers for the attesters `snp` and `tdx`
//! (guest-components, `attestation-agent/attester`), from its v0.9 on.
//!
//! An enclave receives it from the guest API, and a verifier finds it in files; both want the bytes that the processor signed, so
//! the reading is here, once. Unknown and missing members are refused.

mod chain;
mod error;
mod snp;
mod words;

use serde::Deserialize;
use serde::de::IgnoredAny;
use teegate_encoding::base64;

pub use chain::{Chain, ChainKind};
pub use error::CocoError;

use crate::evidence::EvidenceKind;
use crate::members::object;
use words::not_json;

/// Evidence as the platform signed it, out of the agent's JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CocoEvidence {
    /// A raw report or a raw quote.
    pub kind: EvidenceKind,
    /// The report or quote.
    pub bytes: Vec<u8>,
    /// Certificates and revocation lists that came along, said to be DER.
    pub chain: Chain,
    /// The event log of the boot as sent: base64, not decoded.
    pub event_log_base64: Option<String>,
}

impl CocoEvidence {
    /// Reads the agent's JSON. The caller bounds its length.
    pub fn parse(json: &[u8]) -> Result<Self, CocoError> {
        // Which platform it is shows in one member; the rest of the object is then read by that platform's rules.
        #[derive(Deserialize)]
        struct Hint {
            attestation_report: Option<IgnoredAny>,
            quote: Option<IgnoredAny>,
        }
        match object(json).map_err(|error| not_json(&error))? {
            Hint { attestation_report: Some(_), quote: None } => {
                let (bytes, chain) = snp::rebuild(json)?;
                Ok(Self { kind: EvidenceKind::SnpReport, bytes, chain, event_log_base64: None })
            }
            Hint { attestation_report: None, quote: Some(_) } => {
                let TdxEvidence { quote, cc_eventlog, .. } = object(json).map_err(|error| not_json(&error))?;
                let bytes = base64::decode(quote)
                    .map_err(|_| CocoError::new("`quote` of the attestation agent", "base64 with padding"))?;
                let kind = EvidenceKind::TdxQuote;
                Ok(Self { kind, bytes, chain: Vec::new(), event_log_base64: cc_eventlog })
            }
            _ => Err(CocoError::new(
                "answer of the attestation agent",
                "evidence of the attester `snp` (member `attestation_report`) or `tdx` (member `quote`); is this guest another TEE, or none?",
            )),
        }
    }
}

/// The agent's answer for the attester `tdx`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TdxEvidence {
    quote: String,
    #[serde(deserialize_with = "Option::deserialize")]
    cc_eventlog: Option<String>,
    /// The agent's own log of what it extended at run time, written from guest-components v0.10 to v0.14. No register of the
    /// quote is judged by it.
    #[serde(default, rename = "aa_eventlog")]
    _aa_eventlog: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_comes_out_with_its_log_as_sent() {
        let evidence = CocoEvidence::parse(br#"{"cc_eventlog":"ZXZlbnRz","quote":"cXVvdGU="}"#).unwrap();
        assert_eq!((evidence.kind, evidence.bytes), (EvidenceKind::TdxQuote, b"quote".to_vec()));
        assert_eq!(evidence.event_log_base64.as_deref(), Some("ZXZlbnRz"));
    }

    #[test]
    fn the_agents_own_log_may_be_there_and_is_not_needed() {
        for log in ["null", "\"\"", "\"INIT sha384/00\\nexample event\""] {
            let json = format!("{{\"cc_eventlog\":null,\"aa_eventlog\":{log},\"quote\":\"cXVvdGU=\"}}");
            let evidence = CocoEvidence::parse(json.as_bytes()).unwrap();
            assert_eq!((evidence.bytes, evidence.event_log_base64), (b"quote".to_vec(), None));
        }
        let error = CocoEvidence::parse(br#"{"cc_eventlog":null,"aa_eventlog":[],"quote":""}"#).unwrap_err();
        assert!(error.to_string().contains("invalid type: sequence, expected a string"), "{error}");
    }

    #[test]
    fn strange_answers_are_told_apart() {
        for (json, place) in [
            ("{}", "answer of the attestation agent"),
            ("null", "answer of the attestation agent"),
            (r#"{"quote":"?","cc_eventlog":null}"#, "`quote` of the attestation agent"),
            (r#"{"quote":"AA","cc_eventlog":null}"#, "`quote` of the attestation agent"),
            (r#"{"quote":""}"#, "missing field `cc_eventlog`"),
            (r#"{"quote":"","quote":"","cc_eventlog":null}"#, "duplicate field `quote`"),
            (r#"{"quote":"","hcl_report":"","cc_eventlog":null}"#, "unknown field `hcl_report`"),
            (r#"{"quote":"","attestation_report":{}}"#, "answer of the attestation agent"),
            // By position: as a derived reader would take it.
            (r#"[null,"cXVvdGU="]"#, "invalid type: sequence, expected an object"),
            (r#"{"attestation_report":[null],"cert_chain":null}"#, "invalid type: sequence, expected an object"),
        ] {
            let error = CocoEvidence::parse(json.as_bytes()).unwrap_err();
            assert!(error.place.contains(place), "{json}: {error}");
        }
        let deep = format!("{{\"quote\":{}", "[".repeat(100_000));
        assert!(CocoEvidence::parse(deep.as_bytes()).unwrap_err().place.contains("EOF while parsing"));
    }
}
