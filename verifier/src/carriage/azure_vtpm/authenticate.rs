//! Who vouches for the vTPM: the hardware's report binds the paravisor's claims, these name the key, and the key signed the quote.

use super::claims::Claims;
use super::hcl::Claim;
use super::quote::{Attest, Registers, Selection, TpmQuote};
use crate::bytes::ReportData;
use crate::carriage::offered::{Offered, Workload};
use crate::check::Check;
use crate::findings::{Comparison, Findings, Stop};
use crate::signature::sha256;
use crate::stage::{Authentic, Unverified};
use crate::words::words;

/// Claims and quote, once they are traced to the hardware's report.
pub(crate) struct Vouched<'a> {
    pub(super) claims: Claims,
    pub(super) quote: Authentic<Attest<'a>>,
    pub(super) registers: Registers,
}

/// Claim -> vouched for. Ends at the first check that fails.
pub(crate) fn authenticate<'a>(
    Claim { claims, td_report, quote }: Claim<'a>,
    offered: Offered<'_>,
    asked: bool,
    findings: &mut Findings,
) -> Result<(Vouched<'a>, Workload), Stop> {
    match offered.privilege_level {
        None => findings.not_applicable(Check::HCL_PRIVILEGE, "this TEE has no privilege levels"),
        Some(level) => {
            let (expected, actual) = ("VMPL 0".into(), words!("VMPL {}", u64::from(level)));
            findings.require(level == 0, Comparison { check: Check::HCL_PRIVILEGE, expected, actual })?;
        }
    }
    bind(claims, offered, findings)?;
    match td_report {
        None => {
            findings.not_applicable(Check::HCL_TDX_QUOTE, "the report inside the paravisor's is the one that is judged")
        }
        Some((report_data, mrtd)) => {
            let same_data = report_data == offered.report_data.0;
            let actual = match (same_data, mrtd == *offered.launch_measurement) {
                (true, true) => "the same".into(),
                (false, _) => words!("another REPORTDATA: {}", &ReportData(report_data).0),
                (true, false) => words!("another MRTD: {}", &mrtd[..]),
            };
            let holds = same_data && mrtd == *offered.launch_measurement;
            let expected = "a TDREPORT that says the same as the quote".into();
            findings.require(holds, Comparison { check: Check::HCL_TDX_QUOTE, expected, actual })?;
        }
    }
    let read = Claims::read(claims);
    let actual = read.as_ref().err().map_or_else(|| "one".into(), |fault| fault.0.clone().into());
    let expected = "claims with exactly one attestation key (HCLAkPub)".into();
    let claims = findings.require_some(read.ok(), Comparison { check: Check::HCL_AK, expected, actual })?;
    let (quote, registers) = signed(quote, &claims, asked, findings)?;
    let mut report_data = [0; 64];
    for (to, from) in report_data.iter_mut().zip(quote.get().extra_data) {
        *to = *from;
    }
    Ok((Vouched { claims, quote, registers }, Workload { report_data: ReportData(report_data) }))
}

/// The hardware's report data is the digest of the claims, as stored, and zeros.
fn bind(claims: &[u8], offered: Offered<'_>, findings: &mut Findings) -> Result<(), Stop> {
    let digest = sha256(&[claims]);
    let bound = offered.report_data.0.strip_prefix(&digest).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    let (expected, actual) = (words!("{} and 32 zero bytes", &digest), words!("{}", &offered.report_data.0));
    findings.require(bound, Comparison { check: Check::HCL_BINDING, expected, actual })
}

/// TPM_ALG_SHA256.
const SHA256: u16 = 0x000B;

/// The quote, its registers, and what is wrong with either in words.
fn signed<'a>(
    quote: &'a TpmQuote,
    claims: &Claims,
    asked: bool,
    findings: &mut Findings,
) -> Result<(Authentic<Attest<'a>>, Registers), Stop> {
    let mut refuse = |expected: &'static str, actual: String| {
        findings.fail(Comparison { check: Check::HCL_QUOTE, expected: expected.into(), actual: actual.into() })
    };
    if quote.message.is_empty() {
        return Err(refuse("a quote of the vTPM", "none".to_owned()));
    }
    let attest = match Attest::read(&quote.message) {
        Ok(attest) => attest.signed(&quote.signature),
        Err(fault) => return Err(refuse("a quote (TPMS_ATTEST)", fault.0)),
    };
    const SELECTED: &str = "one selection: the SHA-256 bank with all 24 registers";
    match attest.selection {
        Selection::Several(count) => return Err(refuse(SELECTED, format!("{count} selections"))),
        Selection::One { bank, .. } if bank != SHA256 => return Err(refuse(SELECTED, format!("bank {bank:#06x}"))),
        Selection::One { bits: [0xFF, 0xFF, 0xFF], .. } => {}
        Selection::One { bits, .. } => {
            let bits = bits.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
            return Err(refuse(SELECTED, format!("the bits {bits}")));
        }
    }
    let Some(registers) = quote.registers() else {
        return Err(refuse("24 values of 32 bytes", lengths(quote)));
    };
    if !attest.is_of(&registers) {
        return Err(refuse("values of the registers that the quote is about", "values with another digest".to_owned()));
    }
    let length = attest.extra_data.len();
    if length > 64 || (asked && length != 64) {
        return Err(refuse("64 bytes that the caller chose (extraData)", format!("{length} bytes")));
    }
    let authentic = Unverified::new(attest).authenticated_by(&claims.key);
    let expected = "a quote of all 24 registers, by the attestation key";
    let compared = Comparison::of_signature(Check::HCL_QUOTE, expected, authentic.is_some());
    Ok((findings.require_some(authentic, compared)?, registers))
}

fn lengths(quote: &TpmQuote) -> String {
    match quote.pcrs.iter().find(|value| value.len() != 32) {
        Some(odd) => format!("{} values, one of {} bytes", quote.pcrs.len(), odd.len()),
        None => format!("{} values", quote.pcrs.len()),
    }
}
