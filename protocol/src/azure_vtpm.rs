//! The evidence JSON of an Azure vTPM, as agents of Confidential Containers write it for the attesters `az-snp-vtpm` and `az-tdx-vtpm`.
//! It is also the value of a record of these kinds in an envelope.
//!
//! Version 0 has no member `version` and writes bytes as arrays of numbers; versions 1 and 2 write a quote in hexadecimal and the
//! rest in base64url, with or without padding, since both were recorded. They have one shape: version 2 promises that the claims in
//! the paravisor's report hold the bytes that were asked for. Unknown, missing and repeated members are refused, and so are members that
//! stand without their names, by position.
//!
//! Which version it says is not judged: nothing signs that word. What the claims hold decides, and they are read whatever it says.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use teegate_encoding::{base64, hex};

use crate::evidence::EvidenceKind;
use crate::members::{Members, object};
use crate::words::Shown;

/// Evidence of an Azure vTPM, every part as it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VtpmEvidence {
    /// 0, 1 or 2, as its sender says; no verdict depends on it.
    pub version: u8,
    /// The paravisor's report (NV index 0x01400001).
    pub hcl_report: Vec<u8>,
    /// TPMS_ATTEST.
    pub message: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
    /// The values of the registers, from 0 on.
    pub pcrs: Vec<Vec<u8>>,
    /// What the platform adds.
    pub platform: VtpmPlatform,
}

/// What an Azure vTPM's evidence holds of its platform, beside what the paravisor's report does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VtpmPlatform {
    /// SEV-SNP: the VCEK, in PEM (version 0) or DER, where one came along. The report stands in the paravisor's.
    SevSnp(Option<Vec<u8>>),
    /// TDX: the quote.
    Tdx(Vec<u8>),
}

/// Why a text is no such evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VtpmError(String);

impl fmt::Display for VtpmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evidence of an Azure vTPM: {}", self.0)
    }
}

impl std::error::Error for VtpmError {}

fn not_json(error: &serde_json::Error) -> VtpmError {
    VtpmError(Shown(&error.to_string()).to_string())
}

impl VtpmEvidence {
    /// Reads it. The caller bounds its length.
    ///
    /// # Errors
    /// It is not JSON of one of these versions.
    pub fn parse(text: &[u8]) -> Result<Self, VtpmError> {
        // Version and platform show in a few members; the whole is then read by their rules.
        #[derive(Deserialize)]
        struct Hint {
            version: Option<u64>,
            td_quote: Option<IgnoredAny>,
            hcl_report: Option<IgnoredAny>,
        }
        let hint: Hint = object(text).map_err(|error| not_json(&error))?;
        match (hint.version, hint.td_quote.is_some(), hint.hcl_report.is_some()) {
            (None, false, false) => of_snp_0(text),
            (None, true, _) => of_tdx_0(text),
            (Some(version @ (1 | 2)), is_tdx, _) => {
                let version = if version == 1 { 1 } else { 2 };
                if is_tdx { of_tdx(text, version) } else { of_snp(text, version) }
            }
            (Some(other), ..) => Err(VtpmError(format!("version {other}: this release reads versions 0, 1 and 2"))),
            (None, false, true) => Err(VtpmError("neither `version` nor `td_quote`".to_owned())),
        }
    }

    /// The kind of a record that holds it.
    #[must_use]
    pub const fn kind(&self) -> EvidenceKind {
        match self.platform {
            VtpmPlatform::SevSnp(_) => EvidenceKind::AzSnpVtpm,
            VtpmPlatform::Tdx(_) => EvidenceKind::AzTdxVtpm,
        }
    }

    /// Writes it as version 1 or 2, whichever it says; version 0 is written no more, and becomes 1.
    #[must_use]
    pub fn to_json(&self) -> String {
        let pcrs: Vec<_> = self.pcrs.iter().map(hex::encode).collect();
        let quote =
            json!({ "signature": hex::encode(&self.signature), "message": hex::encode(&self.message), "pcrs": pcrs });
        let (version, report) = (self.version.max(1), base64::encode_url(&self.hcl_report));
        match &self.platform {
            VtpmPlatform::SevSnp(vcek) => {
                let vcek = vcek.as_ref().map(base64::encode_url);
                json!({ "version": version, "tpm_quote": quote, "hcl_report": report, "vcek": vcek })
            }
            VtpmPlatform::Tdx(td_quote) => {
                json!({ "version": version, "tpm_quote": quote, "hcl_report": report, "td_quote": base64::encode_url(td_quote) })
            }
        }
        .to_string()
    }
}

/// A quote in numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    signature: Vec<u8>,
    message: Vec<u8>,
    pcrs: Vec<Vec<u8>>,
}

/// A quote in hexadecimal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    signature: String,
    message: String,
    pcrs: Vec<String>,
}

impl Numbers {
    fn with(self, hcl_report: Vec<u8>, platform: VtpmPlatform) -> VtpmEvidence {
        let Self { signature, message, pcrs } = self;
        VtpmEvidence { version: 0, hcl_report, message, signature, pcrs, platform }
    }
}

impl Texts {
    fn with(self, version: u8, hcl_report: &str, platform: VtpmPlatform) -> Result<VtpmEvidence, VtpmError> {
        let bytes = |place: &str, text: &str| {
            hex::decode(text).map_err(|cause| VtpmError(format!("`tpm_quote.{place}` is not hexadecimal: {cause}")))
        };
        Ok(VtpmEvidence {
            version,
            hcl_report: url("hcl_report", hcl_report)?,
            message: bytes("message", &self.message)?,
            signature: bytes("signature", &self.signature)?,
            pcrs: self.pcrs.iter().map(|text| bytes("pcrs", text)).collect::<Result<_, _>>()?,
            platform,
        })
    }
}

fn url(place: &str, text: &str) -> Result<Vec<u8>, VtpmError> {
    base64::decode_url_with_any_padding(text).map_err(|cause| VtpmError(format!("`{place}` is not base64url: {cause}")))
}

fn of_snp_0(text: &[u8]) -> Result<VtpmEvidence, VtpmError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Evidence {
        quote: Members<Numbers>,
        report: Vec<u8>,
        vcek: Option<String>,
    }
    let Evidence { quote, report, vcek } = object(text).map_err(|error| not_json(&error))?;
    Ok(quote.0.with(report, VtpmPlatform::SevSnp(vcek.map(String::into_bytes))))
}

fn of_tdx_0(text: &[u8]) -> Result<VtpmEvidence, VtpmError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Evidence {
        tpm_quote: Members<Numbers>,
        hcl_report: Vec<u8>,
        td_quote: Vec<u8>,
    }
    let Evidence { tpm_quote, hcl_report, td_quote } = object(text).map_err(|error| not_json(&error))?;
    Ok(tpm_quote.0.with(hcl_report, VtpmPlatform::Tdx(td_quote)))
}

fn of_snp(text: &[u8], version: u8) -> Result<VtpmEvidence, VtpmError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Evidence {
        #[serde(rename = "version")]
        _version: IgnoredAny,
        tpm_quote: Members<Texts>,
        hcl_report: String,
        vcek: Option<String>,
    }
    let found: Evidence = object(text).map_err(|error| not_json(&error))?;
    let vcek = found.vcek.map(|text| url("vcek", &text)).transpose()?;
    found.tpm_quote.0.with(version, &found.hcl_report, VtpmPlatform::SevSnp(vcek))
}

fn of_tdx(text: &[u8], version: u8) -> Result<VtpmEvidence, VtpmError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Evidence {
        #[serde(rename = "version")]
        _version: IgnoredAny,
        tpm_quote: Members<Texts>,
        hcl_report: String,
        td_quote: String,
    }
    let found: Evidence = object(text).map_err(|error| not_json(&error))?;
    let quote = url("td_quote", &found.td_quote)?;
    found.tpm_quote.0.with(version, &found.hcl_report, VtpmPlatform::Tdx(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(platform: VtpmPlatform) -> VtpmEvidence {
        VtpmEvidence {
            version: 2,
            hcl_report: b"HCLA".to_vec(),
            message: vec![1, 2],
            signature: vec![3],
            pcrs: vec![vec![4; 32]; 24],
            platform,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for platform in
            [VtpmPlatform::SevSnp(None), VtpmPlatform::SevSnp(Some(vec![5; 7])), VtpmPlatform::Tdx(vec![6; 5])]
        {
            for version in [1, 2] {
                let sent = VtpmEvidence { version, ..evidence(platform.clone()) };
                assert_eq!(VtpmEvidence::parse(sent.to_json().as_bytes()), Ok(sent));
            }
        }
        assert_eq!(evidence(VtpmPlatform::Tdx(Vec::new())).kind(), EvidenceKind::AzTdxVtpm);
        assert_eq!(evidence(VtpmPlatform::SevSnp(None)).kind(), EvidenceKind::AzSnpVtpm);
    }

    #[test]
    fn version_0_is_written_in_numbers() {
        let snp = r#"{"quote":{"signature":[3],"message":[1,2],"pcrs":[[4,4]]},"report":[72],"vcek":"PEM"}"#;
        let found = VtpmEvidence::parse(snp.as_bytes()).unwrap();
        assert_eq!((found.version, found.hcl_report, found.pcrs), (0, vec![72], vec![vec![4, 4]]));
        assert_eq!(found.platform, VtpmPlatform::SevSnp(Some(b"PEM".to_vec())));
        let tdx = r#"{"tpm_quote":{"signature":[3],"message":[1],"pcrs":[]},"hcl_report":[72],"td_quote":[9]}"#;
        assert_eq!(VtpmEvidence::parse(tdx.as_bytes()).unwrap().platform, VtpmPlatform::Tdx(vec![9]));
    }

    #[test]
    fn what_is_not_of_these_versions_is_refused_with_its_place() {
        let good = evidence(VtpmPlatform::Tdx(vec![6; 5])).to_json();
        for (from, to, why) in [
            ("\"version\":2", "\"version\":3", "version 3: this release reads versions 0, 1 and 2"),
            ("\"version\":2", "\"version\":2,\"version\":1", "duplicate field `version`"),
            ("\"version\":2", "\"version\":2,\"more\":1", "unknown field `more`"),
            ("\"message\":\"0102\"", "\"message\":\"010\"", "`tpm_quote.message` is not hexadecimal"),
            ("\"hcl_report\":\"SENMQQ\"", "\"hcl_report\":\"SEN+QQ\"", "`hcl_report` is not base64url"),
            (",\"signature\":\"03\"", "", "missing field `signature`"),
        ] {
            assert!(good.contains(from), "{good}");
            let refused = VtpmEvidence::parse(good.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
        for text in ["", "[]", "{}", r#"{"hcl_report":[1]}"#] {
            VtpmEvidence::parse(text.as_bytes()).unwrap_err();
        }
    }

    /// A derived reader takes an array in the order of the fields for an object. No agent writes that, and no other reader takes it.
    #[test]
    fn members_by_position_are_refused() {
        let good = evidence(VtpmPlatform::SevSnp(None)).to_json();
        let quote: serde_json::Value = serde_json::from_str(&good).unwrap();
        let quote = quote.get("tpm_quote").unwrap();
        let by_position = json!([quote.get("signature"), quote.get("message"), quote.get("pcrs")]);
        assert!(good.contains(&quote.to_string()), "{good}");
        let numbers = r#"{"signature":[3],"message":[1],"pcrs":[]}"#;
        let snp_0 = format!(r#"{{"quote":{numbers},"report":[72]}}"#);
        let tdx_0 = format!(r#"{{"tpm_quote":{numbers},"hcl_report":[72],"td_quote":[9]}}"#);
        let tdx = evidence(VtpmPlatform::Tdx(vec![6; 5])).to_json();
        for (named, from, to) in [
            (&good, quote.to_string(), by_position.to_string()),
            (&tdx, quote.to_string(), by_position.to_string()),
            (&snp_0, numbers.to_owned(), "[[3],[1],[]]".to_owned()),
            (&tdx_0, numbers.to_owned(), "[[3],[1],[]]".to_owned()),
        ] {
            VtpmEvidence::parse(named.as_bytes()).unwrap();
            let refused = VtpmEvidence::parse(named.replace(&from, &to).as_bytes()).unwrap_err().to_string();
            assert!(refused.contains("invalid type: sequence, expected an object"), "{refused}");
        }
        // The whole of it neither.
        let refused = VtpmEvidence::parse(b"[2,null,\"\"]").unwrap_err().to_string();
        assert!(refused.contains("invalid type: sequence, expected an object"), "{refused}");
    }
}
