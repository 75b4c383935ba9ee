//! The paravisor's report: a header, the hardware's report, and the paravisor's claims as JSON, of which the hardware's report holds
//! the digest. It is what NV index 0x01400001 of the vTPM holds. No document of Microsoft's gives the whole layout; the one below is
//! of recorded machines (header versions 1 and 2), and what was never recorded is refused. No signature covers header and request, so
//! that each field has to be what it was in every recorded report, and the lengths have to fit. The header's version may be one of two:
//! whoever carries the report can write the other one unseen, and nothing rests on it.
//!
//! | offset | length | field, little-endian |
//! |---|---|---|
//! | 0 | 4 | `HCLA` |
//! | 4 | 4 | header version, 1 or 2 |
//! | 8 | 4 | length of all but the tail: 1,236 and that of the claims |
//! | 12 | 4 | request type, 2 |
//! | 16 | 4 | status, 0 |
//! | 20 | 12 | zero |
//! | 32 | 1,184 | SEV-SNP report; or TDREPORT (1,024), then zeros |
//! | 1,216 | 4 | 20 and the length of the claims |
//! | 1,220 | 4 | data version, 1 |
//! | 1,224 | 4 | report type: 2 SEV-SNP, 4 TDX |
//! | 1,228 | 4 | hash type: 1 SHA-256 |
//! | 1,232 | 4 | length of the claims |
//! | 1,236 | | the claims, then zeros to the end of the NV index |

use teegate_encoding::hex;

use super::claims::Claims;
use super::quote::TpmQuote;
use crate::check::{Check, Tee};
use crate::findings::{Comparison, Findings, Stop};
use crate::reader::{OutOfBounds, Reader};
use crate::words::words;

/// What lies around the evidence of a TEE under the paravisor of an Azure confidential VM, as received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureVtpm {
    /// The paravisor's report, with or without the zeros that fill its NV index.
    pub hcl_report: Vec<u8>,
    /// The quote of the vTPM that the paravisor runs.
    pub quote: TpmQuote,
}

impl AzureVtpm {
    /// The SEV-SNP report that stands in the paravisor's, 1,184 bytes; empty where that is too short to hold one. What stands there
    /// in a paravisor's report of TDX is a TDREPORT, which nobody outside of its machine can authenticate.
    pub fn sev_snp_report(&self) -> &[u8] {
        self.hcl_report.get(HARDWARE..HARDWARE + SNP_REPORT).unwrap_or_default()
    }

    /// The TEE that the paravisor's report names; `None` where it names none that is known.
    pub fn tee(&self) -> Option<Tee> {
        let word = self.hcl_report.get(REPORT_TYPE..)?.first_chunk()?;
        let begins = self.hcl_report.starts_with(SIGNATURE);
        [Tee::SevSnp, Tee::Tdx].into_iter().find(|tee| begins && report_type(*tee) == u32::from_le_bytes(*word))
    }
}

/// `HCLA`.
const SIGNATURE: &[u8; 4] = b"HCLA";
/// Where the hardware's report stands.
const HARDWARE: usize = 32;
/// So much room is kept for it.
const SNP_REPORT: usize = 1_184;
/// So much of that a TDREPORT takes.
const TD_REPORT: usize = 1_024;
/// Where its type stands.
const REPORT_TYPE: usize = 1_224;
/// Header, hardware's report and request before the claims.
const BEFORE_CLAIMS: u32 = 1_236;
/// The part of that which the length at 1,216 counts.
const REQUEST: u32 = 20;
/// The largest NV index that is believed to be one; recorded are 2,048 and 2,600 bytes.
const MOST: usize = 16_384;

const fn report_type(tee: Tee) -> u32 {
    match tee {
        Tee::SevSnp => 2,
        Tee::Tdx => 4,
    }
}

/// What the bytes say, believed by nobody.
pub(crate) struct Claim<'a> {
    /// The claims, exactly as stored: their digest is what the hardware signed.
    pub(super) claims: &'a [u8],
    /// REPORTDATA and MRTD of the TDREPORT, which nothing here authenticates.
    pub(super) td_report: Option<([u8; 64], [u8; 48])>,
    pub(super) quote: &'a TpmQuote,
}

/// Bytes -> claim, with what it says stated as facts.
pub(crate) fn parse<'a>(vtpm: &'a AzureVtpm, tee: Tee, findings: &mut Findings) -> Result<Claim<'a>, Stop> {
    let read = read(&vtpm.hcl_report, tee);
    let (expected, actual) = match &read {
        Ok(_) => ("a report of the paravisor for this TEE".into(), words!("{} bytes", vtpm.hcl_report.len())),
        Err(Fault { expected, actual }) => (expected.clone().into(), actual.clone().into()),
    };
    let (claims, td_report) =
        findings.require_some(read.ok(), Comparison { check: Check::HCL_BYTES, expected, actual })?;
    if let Ok(claims) = Claims::read(claims) {
        claims.state(findings);
    }
    vtpm.quote.state(findings);
    Ok(Claim { claims, td_report, quote: &vtpm.quote })
}

/// What was expected of the bytes, and what they say.
struct Fault {
    expected: String,
    actual: String,
}

impl From<OutOfBounds> for Fault {
    fn from(OutOfBounds { offset, wanted, left }: OutOfBounds) -> Self {
        Self { expected: format!("{wanted} bytes at {offset}"), actual: format!("{left} bytes") }
    }
}

/// The claims as stored, and what a TDREPORT says.
type Parts<'a> = (&'a [u8], Option<([u8; 64], [u8; 48])>);

fn read(bytes: &[u8], tee: Tee) -> Result<Parts<'_>, Fault> {
    let must = |holds: bool, expected: &'static str, actual: u32| {
        if holds { Ok(()) } else { Err(Fault { expected: expected.into(), actual: actual.to_string() }) }
    };
    if bytes.len() > MOST {
        return Err(Fault { expected: format!("at most {MOST} bytes"), actual: format!("{} bytes", bytes.len()) });
    }
    let mut reader = Reader::new(bytes);
    let signature: &[u8; 4] = reader.array()?;
    if signature != SIGNATURE {
        return Err(Fault { expected: "the signature `HCLA`".into(), actual: hex::encode(signature) });
    }
    let version = reader.u32_le()?;
    must(matches!(version, 1 | 2), "header version 1 or 2", version)?;
    let length = reader.u32_le()?;
    let request = reader.u32_le()?;
    must(request == 2, "request type 2", request)?;
    let status = reader.u32_le()?;
    must(status == 0, "status 0", status)?;
    let reserved = reader.bytes(12)?;
    zero(reserved, "zeros in the reserved bytes of the header")?;
    let hardware = reader.bytes(SNP_REPORT)?;
    let data_length = reader.u32_le()?;
    let data_version = reader.u32_le()?;
    must(data_version == 1, "data version 1", data_version)?;
    let kind = reader.u32_le()?;
    must(
        kind == report_type(tee),
        match tee {
            Tee::SevSnp => "report type 2, of SEV-SNP",
            Tee::Tdx => "report type 4, of TDX",
        },
        kind,
    )?;
    let hash = reader.u32_le()?;
    must(hash == 1, "hash type 1, SHA-256", hash)?;
    let claims_length = reader.u32_le()?;
    must(
        claims_length.checked_add(REQUEST) == Some(data_length),
        "a length of the data that is 20 more than that of the claims",
        data_length,
    )?;
    must(
        claims_length.checked_add(BEFORE_CLAIMS) == Some(length),
        "a length of the report that is 1,236 more than that of the claims",
        length,
    )?;
    let claims = reader.bytes(usize::try_from(claims_length).unwrap_or(usize::MAX))?;
    zero(reader.rest(), "zeros behind the claims")?;
    Ok((claims, if tee == Tee::Tdx { Some(td_report(hardware)?) } else { None }))
}

fn zero(bytes: &[u8], expected: &'static str) -> Result<(), Fault> {
    match bytes.iter().position(|byte| *byte != 0) {
        None => Ok(()),
        Some(place) => Err(Fault { expected: expected.into(), actual: format!("another byte at {place} of them") }),
    }
}

/// REPORTDATA and MRTD of a TDREPORT (Intel TDX module ABI, TDREPORT_STRUCT): at 128, and in TDINFO_STRUCT from 512 behind
/// ATTRIBUTES and XFAM.
fn td_report(room: &[u8]) -> Result<([u8; 64], [u8; 48]), Fault> {
    let mut reader = Reader::new(room);
    reader.bytes(128)?;
    let report_data = *reader.array()?;
    reader.bytes(512 - 192)?;
    reader.bytes(16)?;
    let mrtd = *reader.array()?;
    reader.bytes(TD_REPORT - 576)?;
    zero(reader.rest(), "zeros behind the TDREPORT")?;
    Ok((report_data, mrtd))
}
