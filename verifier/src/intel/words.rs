//! The words of Intel's collateral: statuses and advisories.

use std::fmt;

/// No name, status or advisory of Intel's is longer. A bound, because reports show them; what is longer equals none of Intel's.
const MAX_NAME: usize = 64;

/// As much of a name as a report shows.
pub(super) fn bounded(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

/// A status as Intel spells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TcbStatus {
    UpToDate,
    SWHardeningNeeded,
    ConfigurationNeeded,
    ConfigurationAndSWHardeningNeeded,
    OutOfDate,
    OutOfDateConfigurationNeeded,
    Revoked,
    TDRelaunchAdvised,
    TDRelaunchAdvisedConfigurationNeeded,
}

impl TcbStatus {
    /// Every status.
    pub(crate) const ALL: [Self; 9] = [
        Self::UpToDate,
        Self::SWHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSWHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::Revoked,
        Self::TDRelaunchAdvised,
        Self::TDRelaunchAdvisedConfigurationNeeded,
    ];

    /// Its name, as Intel spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SWHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSWHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::Revoked => "Revoked",
            Self::TDRelaunchAdvised => "TDRelaunchAdvised",
            Self::TDRelaunchAdvisedConfigurationNeeded => "TDRelaunchAdvisedConfigurationNeeded",
        }
    }

    /// The status of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether it is a conclusion about a TD that goes on running, which stands in no collateral.
    pub(crate) const fn is_of_a_relaunch(self) -> bool {
        matches!(self, Self::TDRelaunchAdvised | Self::TDRelaunchAdvisedConfigurationNeeded)
    }

    /// Whether it names a configuration that is needed.
    pub(crate) const fn needs_configuration(self) -> bool {
        matches!(
            self,
            Self::ConfigurationNeeded
                | Self::ConfigurationAndSWHardeningNeeded
                | Self::OutOfDateConfigurationNeeded
                | Self::TDRelaunchAdvisedConfigurationNeeded
        )
    }

    /// Whether it says that there is something newer.
    pub(crate) const fn is_out_of_date(self) -> bool {
        matches!(self, Self::OutOfDate | Self::OutOfDateConfigurationNeeded)
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A security advisory of Intel's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AdvisoryId {
    /// `INTEL-SA-` and five digits, as all of them are.
    IntelSa(u32),
    /// Something else.
    Other(String),
}

impl AdvisoryId {
    /// The advisory of this name.
    pub(crate) fn from_name(name: &str) -> Self {
        let digits = name
            .strip_prefix("INTEL-SA-")
            .filter(|digits| digits.len() == 5 && digits.bytes().all(|digit| digit.is_ascii_digit()));
        match digits.and_then(|digits| digits.parse().ok()) {
            Some(number) => Self::IntelSa(number),
            // A report may say of a platform no more than the advisory that it is open to.
            None if name.is_empty() => Self::Other("(empty)".to_owned()),
            None => Self::Other(bounded(name)),
        }
    }
}

impl fmt::Display for AdvisoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IntelSa(number) => write!(f, "INTEL-SA-{number:05}"),
            Self::Other(name) => f.write_str(name),
        }
    }
}
