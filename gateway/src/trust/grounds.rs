//! What an accepted verdict about an instance rests on, for whoever looks after the fleet: which code it runs, which statements end
//! when, and what refuses it then.

use std::sync::Arc;

use teegate_encoding::hex;
use teegate_intake::forecast::Forecast;
use teegate_verifier::{FactValue, Report, UnixTime};

/// The launch measurement of a platform, by the name of its fact.
const CODE: [&str; 2] = ["measurement", "mrtd"];

/// What an accepted verdict rests on.
#[derive(Clone, Debug, Default)]
pub struct Grounds {
    code: String,
    ends: Vec<Ending>,
    forecast: Option<Arc<Forecast>>,
}

/// A statement of a vendor's that has an end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ending {
    /// When it ends.
    pub until: UnixTime,
    /// `certificate`, `crl`, `tcb-info` or `qe-identity`.
    pub kind: &'static str,
    /// Subject, issuer, or platform.
    pub name: String,
}

impl Grounds {
    pub(crate) fn of(report: &Report, forecast: Option<Arc<Forecast>>) -> Self {
        let stated = CODE.iter().find_map(|name| match report.fact(name) {
            Some(FactValue::Bytes(bytes)) => Some(hex::encode(bytes.as_slice())),
            _ => None,
        });
        let ends = report
            .endorsements()
            .iter()
            .filter_map(|one| Some(Ending { until: one.until?, kind: one.kind, name: one.name.to_string() }));
        Self { code: stated.unwrap_or_default(), ends: ends.collect(), forecast }
    }

    /// The launch measurement that its evidence states, in hexadecimal; empty where its platform states none.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The statements that it rests on.
    pub fn ends(&self) -> &[Ending] {
        &self.ends
    }

    /// Until when the vendors' statements and the policy accept its evidence, and what refuses it then.
    pub fn forecast(&self) -> Option<&Arc<Forecast>> {
        self.forecast.as_ref()
    }
}
