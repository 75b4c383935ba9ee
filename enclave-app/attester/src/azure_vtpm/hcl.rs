//! The HCL report, as far as an attester has to read it: which hardware report is inside, and which user data its claims
//! name. (Azure, guest attestation of confidential VMs; layout as of header version 2.) Little-endian; the whole buffer, its
//! tail of zeros included, goes into the evidence as it came.
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 4 | `HCLA` |
//! | 32 | 1184 | SEV-SNP report, or TD report of 1,024 bytes and zeros |
//! | 1224 | 4 | report type: 2 SEV-SNP, 4 TDX |
//! | 1232 | 4 | length of the claims |
//! | 1236 | n | the claims, JSON, hashed as they stand |

use teegate_encoding::hex;
use teegate_encoding::json::{Members, string};

use crate::AttesterError;

const SIGNATURE: &[u8] = b"HCLA";
const REPORT: usize = 32;
const REPORT_TYPE: usize = 1_224;
const CLAIMS_LENGTH: usize = 1_232;
const CLAIMS: usize = 1_236;
/// A TD report has fewer bytes than the place for a report.
const TD_REPORT_BYTES: usize = 1_024;

/// The claims are flat but for lists of keys.
const DEPTH: usize = 8;
const MEMBERS: usize = 64;

/// The hardware below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hardware {
    /// SEV-SNP; its report needs no answer of anybody else.
    SevSnp,
    /// TDX, with the TD report of 1,024 bytes, over which a quote is asked for.
    Tdx(Vec<u8>),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hcl {
    /// The hardware that the report is of.
    pub hardware: Hardware,
    /// `user-data` of the claims; `None` where they have none, as in the first releases.
    pub user_data: Option<Vec<u8>>,
}

impl Hcl {
    /// Reads the report as NV index 0x01400001 has it.
    ///
    /// # Errors
    /// [`AttesterError::Malformed`] where it is shorter than it says, of no known hardware, or its claims are no JSON object or name
    /// `user-data` that is no hexadecimal text.
    pub fn parse(blob: &[u8]) -> Result<Self, AttesterError> {
        if blob.get(..SIGNATURE.len()) != Some(SIGNATURE) {
            return Err(wrong("the beginning", "`HCLA`"));
        }
        let hardware = match number(blob, REPORT_TYPE)? {
            2 => Hardware::SevSnp,
            4 => {
                let report = blob.get(REPORT..REPORT + TD_REPORT_BYTES);
                Hardware::Tdx(report.ok_or_else(|| wrong("the TD report", "1,024 bytes"))?.to_vec())
            }
            _ => return Err(wrong("the report type", "2 (SEV-SNP) or 4 (TDX)")),
        };
        let length = usize::try_from(number(blob, CLAIMS_LENGTH)?).unwrap_or(usize::MAX);
        let claims = blob.get(CLAIMS..).and_then(|rest| rest.get(..length));
        let claims = claims.ok_or_else(|| wrong("the length of the claims", "no more than the report has"))?;
        let object = || wrong("the claims", "a JSON object");
        let text = std::str::from_utf8(claims).map_err(|_| object())?;
        let members = Members::parse(text, DEPTH, MEMBERS).map_err(|_| object())?;
        let user_data = match members.get("user-data") {
            None => None,
            Some(text) => {
                let digits = string(text).and_then(|digits| hex::decode(digits).ok());
                Some(digits.ok_or_else(|| wrong("`user-data`", "hexadecimal digits"))?)
            }
        };
        Ok(Self { hardware, user_data })
    }
}

fn number(blob: &[u8], offset: usize) -> Result<u32, AttesterError> {
    let bytes = blob.get(offset..).and_then(|rest| rest.first_chunk());
    bytes.map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(|| wrong("its length", "at least 1,236 bytes"))
}

fn wrong(place: &str, expected: &str) -> AttesterError {
    AttesterError::malformed(format!("{place} of the HCL report"), expected)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A blob of this type over these claims, with a tail of zeros.
    pub(crate) fn blob(report_type: u8, claims: &str) -> Vec<u8> {
        let mut blob = vec![0; CLAIMS];
        blob[..4].copy_from_slice(SIGNATURE);
        blob[REPORT..REPORT + TD_REPORT_BYTES].fill(7);
        blob[REPORT_TYPE] = report_type;
        blob[CLAIMS_LENGTH..CLAIMS].copy_from_slice(&u32::try_from(claims.len()).unwrap().to_le_bytes());
        blob.extend(claims.bytes());
        blob.extend([0; 20]);
        blob
    }

    #[test]
    fn hardware_and_user_data_are_found() {
        let digits = "AB".repeat(64);
        let claims = format!(r#"{{"keys":[{{"kid":"HCLAkPub","key_ops":["sign"]}}],"user-data":"{digits}"}}"#);
        let snp = Hcl::parse(&blob(2, &claims)).unwrap();
        assert_eq!(snp, Hcl { hardware: Hardware::SevSnp, user_data: Some(vec![0xAB; 64]) });
        let tdx = Hcl::parse(&blob(4, &claims)).unwrap();
        assert_eq!(tdx.hardware, Hardware::Tdx(vec![7; 1_024]));
        assert_eq!(Hcl::parse(&blob(2, "{}")).unwrap().user_data, None);
    }

    #[test]
    fn what_is_no_report_is_refused_by_its_place() {
        let good = blob(2, "{}");
        let with = |at: usize, byte: u8| {
            let mut changed = good.clone();
            changed[at] = byte;
            changed
        };
        for (bytes, place) in [
            (vec![], "the beginning of the HCL report"),
            (with(0, b'h'), "the beginning of the HCL report"),
            (good[..1_235].to_vec(), "its length of the HCL report"),
            (with(REPORT_TYPE, 3), "the report type of the HCL report"),
            (with(CLAIMS_LENGTH + 3, 0xFF), "the length of the claims of the HCL report"),
            (with(CLAIMS_LENGTH, 3), "the claims of the HCL report"),
            (with(CLAIMS, 0xFF), "the claims of the HCL report"),
            (blob(2, r#"{"user-data":"","user-data":""}"#), "the claims of the HCL report"),
            (blob(2, &format!("{{\"a\":{}{}}}", "[".repeat(9), "]".repeat(9))), "the claims of the HCL report"),
            (blob(2, r#"{"user-data":7}"#), "`user-data` of the HCL report"),
            (blob(2, r#"{"user-data":"abc"}"#), "`user-data` of the HCL report"),
        ] {
            match Hcl::parse(&bytes) {
                Err(AttesterError::Malformed { place: found, .. }) => assert_eq!(found, place),
                other => panic!("{place}: {other:?}"),
            }
        }
    }
}
