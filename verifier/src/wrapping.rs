//! In what the evidence of a platform reaches its verifier.

use serde::Deserialize;
use std::fmt;

/// What lies around the evidence of a TEE. A policy has a profile for each (TEE, wrapping) that it accepts: what the 64 bytes
/// of the hardware's report say, and so what a verdict can speak for, is another thing in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Wrapping {
    /// Nothing: the report or quote as the device returns it.
    #[serde(rename = "none")]
    Raw,
    /// The paravisor of an Azure confidential VM: its own report, and a quote of the vTPM that it runs.
    AzureVtpm,
    /// A container group of Confidential ACI: its security policy, and the endorsement of its virtual machine.
    #[serde(rename = "aci")]
    AzureAci,
    /// Of a carriage that nobody builds.
    #[cfg(test)]
    MadeUp,
}

impl Wrapping {
    /// Every one that a policy can name.
    pub const ALL: &[Self] = &[Self::Raw, Self::AzureVtpm, Self::AzureAci];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::AzureVtpm => "azure-vtpm",
            Self::AzureAci => "aci",
            #[cfg(test)]
            Self::MadeUp => "made-up",
        }
    }

    /// The fact that holds the 64 bytes which the workload chose: under a paravisor those of the hardware's report are the
    /// paravisor's.
    pub const fn report_data_fact(self) -> &'static str {
        match self {
            Self::AzureVtpm => "extra_data",
            _ => "report_data",
        }
    }

    /// What a profile must have to judge evidence in it, in words that go behind the name of the TEE; nothing for bare evidence.
    pub(crate) const fn asked_for(self) -> &'static str {
        match self {
            Self::Raw => "",
            Self::AzureVtpm => {
                " whose evidence comes through the vTPM of an Azure confidential VM: one with `wrapping = \"azure-vtpm\"`"
            }
            Self::AzureAci => {
                " whose evidence comes from a container group of Confidential ACI: one with `wrapping = \"aci\"`"
            }
            #[cfg(test)]
            Self::MadeUp => " in a wrapping that nobody builds: one with `wrapping = \"made-up\"`",
        }
    }

    /// How a policy writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "none",
            Self::AzureVtpm => "azure-vtpm",
            Self::AzureAci => "aci",
            #[cfg(test)]
            Self::MadeUp => "made-up",
        }
    }
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
