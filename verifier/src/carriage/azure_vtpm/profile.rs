//! What a profile says of an Azure vTPM, beside what it says of the platform.

use serde::Deserialize;

use crate::bytes::Pcr;
use crate::rule::{Expect, Form, Waivable};

/// Every expectation of an Azure vTPM, beside those of the platform. All fields must be written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VtpmProfile {
    pub(super) user_data: Waivable<Required>,
    pub(super) secure_boot: Waivable<Required>,
    pub(super) pcr4: Expect<Pcr>,
    pub(super) pcr7: Expect<Pcr>,
    pub(super) pcr8: Expect<Pcr>,
    pub(super) pcr9: Expect<Pcr>,
    pub(super) pcr11: Expect<Pcr>,
    pub(super) pcr12: Expect<Pcr>,
    /// The event log of the guest's boot. One that is there is judged under either word.
    #[serde(default = "Waivable::unwritten")]
    pub(super) vtpm_log: Waivable<Required>,
}

/// The one word that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Required {
    Required,
}

impl Form for Required {}

impl VtpmProfile {
    /// The registers that say which image booted, by the names of their fields and their numbers.
    pub(super) fn boot(&self) -> [(&'static str, usize, &Expect<Pcr>); 5] {
        [
            ("pcr4", 4, &self.pcr4),
            ("pcr7", 7, &self.pcr7),
            ("pcr9", 9, &self.pcr9),
            ("pcr11", 11, &self.pcr11),
            ("pcr12", 12, &self.pcr12),
        ]
    }
}
