//! The firmware's answer: MSG_REPORT_RSP (AMD 56860 rev. 1.58, table 23).

use crate::AttesterError;

/// STATUS, REPORT_SIZE, 24 reserved bytes; then the report.
const REPORT: usize = 0x20;
const REPORT_BYTES: usize = 1_184;

/// The report in it, 1,184 bytes; `source` is who answered, for the error.
///
/// # Errors
/// The firmware says that there is none, or one of another size than any that is known.
pub fn report(response: &[u8], source: &str) -> Result<Vec<u8>, AttesterError> {
    let word = |offset: usize| response.get(offset..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let reason = match word(0) {
        Some(0) => None,
        Some(0x16) => Some("the firmware's status 0x16, invalid parameters".to_owned()),
        Some(0x27) => Some("the firmware's status 0x27, no key of the kind that was asked for".to_owned()),
        status => Some(format!("the firmware's status {:#x}", status.unwrap_or(u32::MAX))),
    };
    if let Some(reason) = reason {
        return Err(AttesterError::Refused { source: source.to_owned(), reason, is_early: false });
    }
    let size = word(4).and_then(|size| usize::try_from(size).ok());
    let report = response.get(REPORT..).and_then(|rest| rest.get(..REPORT_BYTES));
    match (size, report) {
        (Some(REPORT_BYTES), Some(report)) => Ok(report.to_vec()),
        (size, _) => Err(AttesterError::malformed(
            format!("REPORT_SIZE of the firmware's answer, {},", size.unwrap_or_default()),
            format!("{REPORT_BYTES}"),
        )),
    }
}
