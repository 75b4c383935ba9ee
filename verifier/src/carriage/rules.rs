//! What a policy says of a carriage, beside what it says of the platform: the one place in which a wrapping leads to the rules of
//! its carriage.

use serde::Deserialize;
use toml::de::ValueDeserializer;

use super::aci::{self, AciProfile};
use super::azure_vtpm::{self, VtpmProfile};
use crate::check::Check;
use crate::report::BoundTo;
use crate::rule::{Ask, Field, Pin, Undertaken};
use crate::wrapping::Wrapping;

/// The rules of a profile that are about its carriage, in the types of that carriage.
#[derive(Debug)]
pub(crate) enum Beside {
    /// There are none.
    Nothing,
    /// Of an Azure vTPM.
    AzureVtpm(Box<VtpmProfile>),
    /// Of Confidential ACI.
    Aci(Box<AciProfile>),
}

/// Every field that a profile for this wrapping has beside those of its platform, in the order in which policies are written.
pub(crate) fn fields_of(wrapping: Wrapping) -> Vec<&'static Field> {
    match wrapping {
        Wrapping::AzureVtpm => azure_vtpm::FIELDS.iter().map(|row| &row.field).collect(),
        Wrapping::AzureAci => aci::FIELDS.iter().map(|row| &row.field).collect(),
        _ => Vec::new(),
    }
}

/// The fields by which this check of a carriage is judged.
pub(crate) fn asked_by(check: Check) -> Vec<&'static Field> {
    let vtpm = azure_vtpm::FIELDS.iter().filter(|row| row.apart.contains(&check)).map(|row| &row.field);
    vtpm.chain(aci::FIELDS.iter().filter(|row| row.check == check).map(|row| &row.field)).collect()
}

/// Whether this launch measurement is of a carrier that speaks for others: whoever asks it for a bare report chooses nothing of it.
pub(crate) fn is_paravisor(measurement: &[u8]) -> bool {
    azure_vtpm::is_known(measurement)
}

impl Beside {
    /// The rules for this wrapping, as they are written.
    ///
    /// # Errors
    /// The library's, with the place.
    pub(crate) fn load(wrapping: Wrapping, written: ValueDeserializer<'_>) -> Result<Self, toml::de::Error> {
        match wrapping {
            Wrapping::AzureVtpm => VtpmProfile::deserialize(written).map(Box::new).map(Self::AzureVtpm),
            Wrapping::AzureAci => AciProfile::deserialize(written).map(Box::new).map(Self::Aci),
            _ => Ok(Self::Nothing),
        }
    }

    /// Every field, in the order in which policies are written, with what is asked there.
    pub(crate) fn asks(&self) -> Vec<(&'static Field, Ask)> {
        match self {
            Self::Nothing => Vec::new(),
            Self::AzureVtpm(profile) => {
                azure_vtpm::FIELDS.iter().map(|row| (&row.field, (row.asks)(profile))).collect()
            }
            Self::Aci(profile) => aci::FIELDS.iter().map(|row| (&row.field, (row.asks)(profile))).collect(),
        }
    }

    /// What counts only beside something else: `code` is what pins the platform's own code, `bound_to` what the profile claims.
    pub(crate) fn undertaken(&self, code: Vec<Pin>, bound_to: Option<BoundTo>) -> Vec<Undertaken> {
        match self {
            Self::Nothing | Self::Aci(_) => Vec::new(),
            Self::AzureVtpm(profile) => azure_vtpm::undertaken(profile, code, bound_to),
        }
    }

    /// Whether it pins what this field of the platform would pin: there is another way to say which code is expected.
    pub(crate) fn stands_for(&self, field: &str) -> bool {
        match self {
            Self::Nothing | Self::AzureVtpm(_) => false,
            // An endorsement by a named issuer, of a named line of releases and of a least version, says which code it is.
            Self::Aci(profile) => field == "measurement" && profile.pins_code(),
        }
    }

    /// The field without which no claim about a workload rests on anything in this carriage: what whoever starts the guest binds to it.
    pub(crate) const fn binds_by(&self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::AzureVtpm(_) => Some("pcr8"),
            Self::Aci(_) => Some("host_data"),
        }
    }

    /// A field that says something which another makes impossible, and why.
    pub(crate) fn contradiction(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Nothing | Self::AzureVtpm(_) => None,
            Self::Aci(profile) => aci::contradiction(profile),
        }
    }
}
