//! How the parts of an evaluation converged, in words that are written only when somebody reads them: a few small numbers until then.

use std::fmt;

use super::tcb::Evaluation;
use crate::intel::words::TcbStatus;

/// No status has this number.
const NOT_EVALUATED: u8 = u8::MAX;

fn number(status: TcbStatus) -> u8 {
    let place = TcbStatus::ALL.iter().position(|own| *own == status);
    place.and_then(|place| place.try_into().ok()).unwrap_or(NOT_EVALUATED)
}

fn name(number: u8) -> &'static str {
    TcbStatus::ALL.get(usize::from(number)).map_or("not evaluated", |status| status.name())
}

/// Platform, module, quoting enclave, and what they converged to.
pub(super) fn packed(launch: &Evaluation) -> u64 {
    let module = launch.module.map_or(NOT_EVALUATED, number);
    u64::from(u32::from_le_bytes([number(launch.platform), module, number(launch.qe), number(launch.converged)]))
}

/// The same as a sentence.
pub(super) fn write(packed: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let [platform, module, qe, converged, ..] = packed.to_le_bytes().map(name);
    write!(f, "platform {platform}, module {module}, QE {qe}: {converged}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Value, words};

    #[test]
    fn every_status_comes_back_by_its_name() {
        for status in TcbStatus::ALL {
            let packed =
                u32::from_le_bytes([number(status), NOT_EVALUATED, number(TcbStatus::Revoked), number(status)]);
            let words = words!("{}", Value::Packed(packed.into(), write)).to_string();
            assert_eq!(words, format!("platform {status}, module not evaluated, QE Revoked: {status}"));
        }
    }
}
