//! Conceptual message wrappers in JSON (CMW, RFC 9999): teegate's own envelope, a collection, and a single record of evidence.
//!
//! The manifest and the nonce of an envelope are not looked at here. What ties them to the evidence is the report data, and
//! that is for whoever asked for the evidence to compare: [`crate::envelope`] does, for client and gateway.

use serde_json::Value;
use teegate_encoding::base64;
use teegate_protocol::evidence::{Envelope, EvidenceKind};
use teegate_verifier::Tee;

use crate::aci;
use crate::azure_vtpm;
use crate::endorsements;
use crate::error::Defect;
use crate::json::Members;
use crate::unwrapped::Unwrapped;
use crate::words::{said, shown};

/// What a record of this kind holds.
pub(crate) fn of_record(kind: EvidenceKind, bytes: Vec<u8>, form: &'static str) -> Result<Unwrapped, Defect> {
    match kind {
        EvidenceKind::AzSnpVtpm | EvidenceKind::AzTdxVtpm => azure_vtpm::from_record(kind, &bytes, form),
        EvidenceKind::AciSnp => aci::from_record(&bytes, form),
        _ => Ok(Unwrapped::new(tee_of(kind)?, bytes, Vec::new(), form)),
    }
}

/// Whether these are the members of an envelope. Many wrap something that they call evidence; an envelope of ours has the manifest beside
/// it, and its type.
pub(crate) fn is_envelope(members: &Members<'_>) -> bool {
    members.has("evidence") && (members.has("manifest") || members.has("__cmwc_t"))
}

/// Whether this JSON array begins like a record: with a media type.
pub(crate) fn looks_like_record(text: &str) -> bool {
    let first = text.strip_prefix('[').and_then(|rest| rest.trim_start().strip_prefix('"'));
    first
        .and_then(|rest| rest.split_once('"'))
        .is_some_and(|(media_type, _)| media_type.contains('/') && media_type.len() < 128)
}

/// Takes the evidence out of the envelope that fills `text`.
pub(crate) fn from_envelope(text: &str) -> Result<Unwrapped, Defect> {
    let envelope = Envelope::parse(text.as_bytes()).map_err(|error| broken(error.to_string()))?;
    let form = "teegate envelope (CMW collection)";
    let mut found = of_record(envelope.evidence.kind, envelope.evidence.bytes, form)?;
    if let Some(carried) = envelope.endorsements {
        found.endorsements.extend(endorsements::statements(&carried.bytes)?);
    }
    Ok(Unwrapped { event_log: envelope.event_log, ..found })
}

/// `[type, base64url value]` or `[type, base64url value, indicator]`.
pub(crate) fn from_record(text: &str) -> Result<Unwrapped, Defect> {
    let elements: Vec<Value> = serde_json::from_str(text).map_err(|cause| broken(said(&cause)))?;
    let (media_type, value, indicator) = match elements.as_slice() {
        [Value::String(media_type), Value::String(value)] => (media_type, value, None),
        [Value::String(media_type), Value::String(value), indicator] => (media_type, value, Some(indicator)),
        _ => return Err(unrecognised("a JSON array that is not `[type, value]` or `[type, value, indicator]`")),
    };
    let Some(kind) = EvidenceKind::ALL.into_iter().find(|kind| kind.media_type() == media_type) else {
        return Err(unrecognised(format!("a CMW record of type `{}`", shown(media_type))));
    };
    if indicator.is_some_and(|indicator| indicator.as_u64() != Some(EVIDENCE_INDICATOR)) {
        return Err(broken(format!("the indicator is not {EVIDENCE_INDICATOR}, evidence")));
    }
    // With or without padding: attesters send both.
    let bytes = base64::decode_url_with_any_padding(value)
        .map_err(|cause| broken(format!("the value is not base64url: {cause}")))?;
    of_record(kind, bytes, "CMW record")
}

/// Bit 2 of the conceptual message indicator.
pub(crate) const EVIDENCE_INDICATOR: u64 = 1 << 2;

/// The platform whose evidence this is; `None` where this release does not verify it.
pub(crate) fn verified_tee(kind: EvidenceKind) -> Option<Tee> {
    match kind {
        EvidenceKind::SnpReport | EvidenceKind::AzSnpVtpm | EvidenceKind::AciSnp => Some(Tee::SevSnp),
        EvidenceKind::TdxQuote | EvidenceKind::AzTdxVtpm => Some(Tee::Tdx),
        _ => None,
    }
}

pub(crate) fn tee_of(kind: EvidenceKind) -> Result<Tee, Defect> {
    verified_tee(kind).ok_or_else(|| {
        unrecognised(format!("evidence of type `{}`, which this release does not verify", kind.media_type()))
    })
}

pub(crate) fn unrecognised(found: impl Into<String>) -> Defect {
    Defect::Unrecognised {
        found: found.into(),
        expected: "a teegate envelope or another CMW that holds an SEV-SNP report or a TDX quote, or CoCo evidence JSON",
        remedy: "pass the raw report or quote, as bytes, in hexadecimal or in base64 (`-` reads standard input); certificates and \
                 collateral go to `--endorsements`",
    }
}

pub(crate) fn broken(defect: String) -> Defect {
    Defect::Broken { kind: "CMW", defect, remedy: "save the answer of the attester as it was sent" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_protocol::evidence::{Endorsements, EndorsementsKind, TeeEvidence};

    const CERTIFICATE_PEM: &str = "-----BEGIN CERTIFICATE-----\nMA4wDKADAgECAgEHMAAwAA==\n-----END CERTIFICATE-----\n";

    fn envelope(kind: EvidenceKind) -> Envelope {
        let pem = CERTIFICATE_PEM.repeat(2).into_bytes();
        Envelope {
            manifest: b"{}".to_vec(),
            evidence: TeeEvidence { kind, bytes: vec![1, 2, 3] },
            endorsements: Some(Endorsements { kind: EndorsementsKind::PemCertificateChain, bytes: pem }),
            event_log: None,
            nonce: None,
        }
    }

    fn text(envelope: &Envelope) -> String {
        String::from_utf8(envelope.to_json().unwrap()).unwrap()
    }

    #[test]
    fn an_envelope_gives_its_evidence_and_its_endorsements() {
        for (kind, tee) in [(EvidenceKind::SnpReport, Tee::SevSnp), (EvidenceKind::TdxQuote, Tee::Tdx)] {
            let unwrapped = from_envelope(&text(&envelope(kind))).unwrap();
            assert_eq!((unwrapped.tee, unwrapped.bytes), (tee, vec![1, 2, 3]));
            assert_eq!(unwrapped.endorsements.len(), 2);
        }
        assert_eq!(from_envelope(&text(&envelope(EvidenceKind::TdxQuote))).unwrap().event_log, None);
        let with_log = Envelope { event_log: Some(vec![9; 7]), ..envelope(EvidenceKind::TdxQuote) };
        assert_eq!(from_envelope(&text(&with_log)).unwrap().event_log, Some(vec![9; 7]));
        let refused = from_envelope(&text(&envelope(EvidenceKind::AciSnp))).unwrap_err().to_string();
        assert!(refused.contains("is no JSON") || refused.contains("security context"), "{refused}");
    }

    #[test]
    fn an_envelope_that_is_not_well_formed_says_where() {
        let mut broken = envelope(EvidenceKind::SnpReport);
        broken.endorsements = Some(Endorsements { kind: EndorsementsKind::Json, bytes: b"{}".to_vec() });
        assert!(matches!(from_envelope(&text(&broken)), Err(Defect::Unrecognised { .. })));
        let twice = text(&envelope(EvidenceKind::SnpReport)).replacen('{', "{\"evidence\":[],", 1);
        assert!(from_envelope(&twice).unwrap_err().to_string().contains("`evidence` stands twice"));
        let other = text(&envelope(EvidenceKind::SnpReport)).replace("envelope:1", "envelope:2");
        assert!(from_envelope(&other).unwrap_err().to_string().contains("urn:teegate:envelope:2"));
    }

    #[test]
    fn a_record_of_evidence_stands_alone() {
        let record = |rest: &str| from_record(&format!("[\"application/vnd.teegate.tdx-quote\",{rest}]"));
        let unwrapped = record("\"-_8\"").unwrap();
        assert_eq!((unwrapped.tee, unwrapped.bytes), (Tee::Tdx, vec![0xFB, 0xFF]));
        assert!(record("\"-_8\",4").is_ok());
        assert_eq!(record("\"-_8=\"").unwrap().bytes, [0xFB, 0xFF]);
        assert!(record("\"-_8\",2").unwrap_err().to_string().contains("the indicator is not 4"));
        assert!(record("\"+/8=\"").unwrap_err().to_string().contains("not base64url"));
        assert!(
            from_record("[\"text/plain\",\"AA\"]")
                .unwrap_err()
                .to_string()
                .contains("a CMW record of type `text/plain`")
        );
        assert!(matches!(from_record(&"[".repeat(100_000)), Err(Defect::Broken { .. })));
    }
}
