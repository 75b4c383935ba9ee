//! Evidence of an Azure vTPM: the JSON that agents of Confidential Containers answer (`az-snp-vtpm`, `az-tdx-vtpm`, versions 0, 1 and 2),
//! which is also the value of a record in an envelope; and a paravisor's report alone, which can be looked at and not verified.

use teegate_protocol::azure_vtpm::{VtpmEvidence, VtpmPlatform};
use teegate_protocol::evidence::EvidenceKind;
use teegate_verifier::{AzureVtpm, Tee, TpmQuote};

use crate::endorsements;
use crate::error::Defect;
use crate::json::Members;
use crate::unwrapped::Unwrapped;

/// Whether `text` has the members of such evidence, of whatever version.
pub(crate) fn looks_like_it(text: &str) -> bool {
    text.starts_with('{') && Members::parse(text).is_ok_and(|members| is_it(&members))
}

fn is_it(members: &Members<'_>) -> bool {
    let begins = |name: &str, with: char| members.raw(name).is_ok_and(|text| text.starts_with(with));
    (members.has("hcl_report") && members.has("tpm_quote")) || (begins("quote", '{') && begins("report", '['))
}

/// Takes it out of the JSON that fills `text`.
pub(crate) fn unwrap(text: &str) -> Result<Unwrapped, Defect> {
    let evidence = VtpmEvidence::parse(text.as_bytes()).map_err(|error| broken(error.to_string()))?;
    of(evidence, "evidence JSON of an Azure vTPM")
}

/// Takes it out of the value of a record of this kind.
pub(crate) fn from_record(kind: EvidenceKind, value: &[u8], form: &'static str) -> Result<Unwrapped, Defect> {
    let evidence = VtpmEvidence::parse(value).map_err(|error| broken(error.to_string()))?;
    if evidence.kind() != kind {
        let (said, holds) = (kind.media_type(), evidence.kind().media_type());
        return Err(broken(format!("a record of type `{said}` that holds evidence of type `{holds}`")));
    }
    of(evidence, form)
}

fn of(evidence: VtpmEvidence, form: &'static str) -> Result<Unwrapped, Defect> {
    let VtpmEvidence { hcl_report, message, signature, pcrs, platform, .. } = evidence;
    let vtpm = AzureVtpm { hcl_report, quote: TpmQuote { message, signature, pcrs } };
    let (tee, bytes, endorsements) = match platform {
        VtpmPlatform::SevSnp(vcek) => {
            // As in a host's table: what is empty or unreadable takes nothing from the others.
            let vcek = vcek.and_then(|bytes| endorsements::statements(&bytes).ok()).unwrap_or_default();
            (Tee::SevSnp, vtpm.sev_snp_report().to_vec(), vcek)
        }
        VtpmPlatform::Tdx(quote) => (Tee::Tdx, quote, Vec::new()),
    };
    Ok(Unwrapped { vtpm: Some(vtpm), ..Unwrapped::new(tee, bytes, endorsements, form) })
}

/// A paravisor's report as it stands in NV index 0x01400001, with no quote of its vTPM beside it: the report of the platform, where
/// it is SEV-SNP's, or nothing.
pub(crate) fn alone(bytes: &[u8], form: &'static str) -> Option<Unwrapped> {
    let vtpm = AzureVtpm { hcl_report: bytes.to_vec(), quote: TpmQuote::default() };
    let tee = vtpm.tee()?;
    let report = if tee == Tee::SevSnp { vtpm.sev_snp_report().to_vec() } else { Vec::new() };
    Some(Unwrapped { vtpm: Some(vtpm), ..Unwrapped::new(tee, report, Vec::new(), form) })
}

fn broken(defect: String) -> Defect {
    Defect::Broken {
        kind: "evidence of an Azure vTPM",
        defect,
        remedy: "save the answer of the attestation agent (`/aa/evidence`) as it was sent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_json_is_not_taken_for_it() {
        for text in ["{}", r#"{"quote":"a","report":[]}"#, r#"{"hcl_report":"a"}"#, r#"{"tpm_quote":{}}"#, "[1]"] {
            assert!(!looks_like_it(text), "{text}");
        }
        assert!(looks_like_it(r#"{"hcl_report":"a","tpm_quote":{}}"#));
        assert!(looks_like_it(r#"{"quote":{},"report":[1]}"#));
    }

    #[test]
    fn a_record_holds_what_it_says() {
        let tdx =
            r#"{"version":2,"tpm_quote":{"signature":"","message":"","pcrs":[]},"hcl_report":"","td_quote":"AA"}"#;
        let found = from_record(EvidenceKind::AzTdxVtpm, tdx.as_bytes(), "here").unwrap();
        assert_eq!((found.tee, found.bytes, found.form), (Tee::Tdx, vec![0], "here"));
        let refused = from_record(EvidenceKind::AzSnpVtpm, tdx.as_bytes(), "here").unwrap_err().to_string();
        assert!(refused.contains("holds evidence of type `application/vnd.teegate.az-tdx-vtpm`"), "{refused}");
    }
}
