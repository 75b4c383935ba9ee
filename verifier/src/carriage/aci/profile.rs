//! What a profile says of Confidential ACI.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::did::Did;
use crate::place::shortened;
use crate::rule::{Expect, Form, Listed, Waivable};

/// Every expectation of a container group, beside those of the platform. All fields must be written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AciProfile {
    pub(super) uvm_issuers: Waivable<Vec<Did>>,
    pub(super) uvm_feeds: Waivable<Vec<String>>,
    /// Of the endorsement, which is not the `guest_svn` of the report.
    pub(super) uvm_svn: Expect<u32>,
    pub(super) uvm_signer_validity: Waivable<Required>,
}

/// The one word that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Required {
    Required,
}

impl Form for Required {}

impl Listed for Did {}

impl<'de> Deserialize<'de> for Did {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Did::parse(&text).map_err(|why| D::Error::custom(format_args!("`{}`: {why}", shortened(&text, 80))))
    }
}

impl AciProfile {
    /// Whether endorsements that this accepts are of code that somebody named: by issuer, line of releases and version.
    pub(crate) const fn pins_code(&self) -> bool {
        self.uvm_issuers.required().is_some() && self.uvm_feeds.required().is_some() && self.uvm_svn.is_asked()
    }
}
