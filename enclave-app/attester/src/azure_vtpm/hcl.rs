//! The HCL report, as far as an attester has to read it: which hardware report is inside, and which user data its claims
//! name and which key. (Azure, guest attestation of confidential VMs; layout as of header version 2.) Little-endian; the whole buffer, its
//! tail of zeros included, goes into the evidence as it came.
//!
//! | offset | size | |
//! |---|---|---|
//! | 0 | 4 | `HCLA` |
//! | 32 | 1184 | SEV-SNP report, or TD report of 1,024 bytes and zeros; its report data begin with the hash of the claims |
//! | 1224 | 4 | report type: 2 SEV-SNP, 4 TDX |
//! | 1228 | 4 | hash type: 1 SHA-256 |
//! | 1232 | 4 | length of the claims |
//! | 1236 | n | the claims, JSON, hashed as they stand |

use sha2::{Digest, Sha256};
use teegate_encoding::json::{Members, elements, string};
use teegate_encoding::{base64, hex};

use crate::tpm::RsaPublic;
use crate::{AttesterError, SNP_REPORT_DATA};

const SIGNATURE: &[u8] = b"HCLA";
const REPORT: usize = 32;
const REPORT_TYPE: usize = 1_224;
const HASH_TYPE: usize = 1_228;
const CLAIMS_LENGTH: usize = 1_232;
const CLAIMS: usize = 1_236;
/// A TD report has fewer bytes than the place for a report.
const TD_REPORT_BYTES: usize = 1_024;
/// `REPORTDATA` of a TD report (REPORTMACSTRUCT).
const TD_REPORT_DATA: usize = 128;
/// The hash type that every recorded machine has.
const SHA256: u32 = 1;
/// The id of the attestation key among the claims' keys.
const AK: &str = "HCLAkPub";

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
    /// Whether the hardware's report is over the claims beside it. So it is taken to be where they are hashed with something else than
    /// SHA-256, which is for whoever verifies to judge.
    pub is_over_its_claims: bool,
    /// The attestation key that the claims name; `None` where they name none, several, or one that cannot be read.
    pub attestation_key: Option<RsaPublic>,
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
        let (hardware, report_data) = match number(blob, REPORT_TYPE)? {
            2 => (Hardware::SevSnp, SNP_REPORT_DATA),
            4 => {
                let report = blob.get(REPORT..REPORT + TD_REPORT_BYTES);
                let report = report.ok_or_else(|| wrong("the TD report", "1,024 bytes"))?;
                (Hardware::Tdx(report.to_vec()), TD_REPORT_DATA)
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
        let bound = blob.get(REPORT + report_data..).and_then(|rest| rest.first_chunk::<32>());
        let is_over_its_claims =
            number(blob, HASH_TYPE)? != SHA256 || bound.is_some_and(|bound| *bound == *Sha256::digest(claims));
        let attestation_key = members.get("keys").and_then(attestation_key);
        Ok(Self { hardware, user_data, is_over_its_claims, attestation_key })
    }
}

/// The one key of that id in a list of JSON Web Keys (RFC 7518, 6.3.1).
fn attestation_key(keys: &str) -> Option<RsaPublic> {
    let mut found = None;
    for text in elements(keys, MEMBERS).ok()? {
        let key = Members::parse(text, DEPTH, MEMBERS).ok()?;
        if key.get("kid").and_then(string).as_deref() == Some(AK) && found.replace(key).is_some() {
            return None;
        }
    }
    let key = found?;
    let number = |name: &str| base64::decode_url(string(key.get(name)?)?).ok();
    let exponent = number("e").filter(|bytes| bytes.len() <= 4)?;
    let exponent = exponent.iter().fold(0, |value: u32, byte| value << 8 | u32::from(*byte));
    Some(RsaPublic { modulus: number("n")?, exponent })
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

    /// A blob of this type over these claims, to which its report is bound, with a tail of zeros.
    pub(crate) fn blob(report_type: u8, claims: &str) -> Vec<u8> {
        let mut blob = vec![0; CLAIMS];
        blob[..4].copy_from_slice(SIGNATURE);
        blob[REPORT..REPORT + TD_REPORT_BYTES].fill(7);
        let bound = REPORT + if report_type == 4 { TD_REPORT_DATA } else { SNP_REPORT_DATA };
        blob[bound..bound + 32].copy_from_slice(&Sha256::digest(claims));
        (blob[REPORT_TYPE], blob[HASH_TYPE]) = (report_type, 1);
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
        let user_data = Some(vec![0xAB; 64]);
        let expected = Hcl { hardware: Hardware::SevSnp, user_data, is_over_its_claims: true, attestation_key: None };
        assert_eq!(snp, expected);
        let whole = blob(4, &claims);
        let tdx = Hcl::parse(&whole).unwrap();
        assert_eq!(tdx.hardware, Hardware::Tdx(whole[REPORT..REPORT + TD_REPORT_BYTES].to_vec()));
        assert_eq!(Hcl::parse(&blob(2, "{}")).unwrap().user_data, None);
    }

    #[test]
    fn a_report_over_other_claims_is_told_and_another_hash_is_left_to_who_verifies() {
        for (report_type, offset) in [(2, 0x50), (4, 128)] {
            let good = blob(report_type, r#"{"user-data":"00"}"#);
            let over = |blob: &[u8]| Hcl::parse(blob).unwrap().is_over_its_claims;
            assert!(over(&good), "the twin");
            for at in [REPORT + offset, REPORT + offset + 31, CLAIMS + 14] {
                let mut changed = good.clone();
                changed[at] ^= 1;
                assert!(!over(&changed), "{report_type} {at}");
                changed[HASH_TYPE] = 2;
                assert!(over(&changed), "{report_type} {at}, by another hash");
            }
            // Behind the 32 bytes there is no digest.
            let mut changed = good.clone();
            changed[REPORT + offset + 32] ^= 1;
            assert!(over(&changed));
        }
    }

    #[test]
    fn the_one_attestation_key_is_found() {
        let named = |keys: &str| Hcl::parse(&blob(2, &format!(r#"{{"keys":{keys}}}"#))).unwrap().attestation_key;
        let key = r#"{"kid":"HCLAkPub","kty":"RSA","e":"AQAB","n":"xcU"}"#;
        let other = r#"{"kid":"HCLEkPub","kty":"RSA","e":"Aw","n":"AA"}"#;
        let found = RsaPublic { modulus: vec![0xC5; 2], exponent: 65_537 };
        assert_eq!(named(&format!("[{key}]")), Some(found.clone()));
        assert_eq!(named(&format!("[{other},{key}]")), Some(found));
        for keys in [
            "[]".to_owned(),
            format!("[{other}]"),
            format!("[{key},{key}]"),
            format!("[{key},7]"),
            key.to_owned(),
            format!("[{}]", key.replace("AQAB", "AQABAAA")),
            format!("[{}]", key.replace("xcU", "xcU=")),
            format!("[{}]", key.replace(r#""e":"AQAB","#, "")),
            format!("[{}]", key.replace(r#""xcU""#, "7")),
        ] {
            assert_eq!(named(&keys), None, "{keys}");
        }
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
