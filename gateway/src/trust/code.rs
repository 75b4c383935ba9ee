//! Which code an instance runs, for counting: the launch measurement that its accepted evidence states.

use std::sync::Arc;

use teegate_encoding::hex;
use teegate_verifier::{FactValue, Report};

/// The launch measurement of a platform, by the name of its fact.
const FACTS: [&str; 2] = ["measurement", "mrtd"];

/// In hexadecimal; empty where the platform states none.
pub(crate) fn code_of(report: &Report) -> Arc<str> {
    let stated = FACTS.iter().find_map(|name| match report.fact(name) {
        Some(FactValue::Bytes(bytes)) => Some(hex::encode(bytes.as_slice())),
        _ => None,
    });
    stated.unwrap_or_default().into()
}
