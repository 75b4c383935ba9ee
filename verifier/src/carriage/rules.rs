//! What a policy says of a carriage, beside what it says of the platform: the one place in which a wrapping leads to the rules of
//! its carriage.

use serde::Deserialize;
use toml::de::ValueDeserializer;

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
}

/// Every field that a profile for this wrapping has beside those of its platform, in the order in which policies are written.
pub(crate) fn fields_of(wrapping: Wrapping) -> Vec<&'static Field> {
    match wrapping {
        Wrapping::AzureVtpm => azure_vtpm::FIELDS.iter().map(|row| &row.field).collect(),
        _ => Vec::new(),
    }
}

/// The fields by which this check of a carriage is judged.
pub(crate) fn asked_by(check: Check) -> Vec<&'static Field> {
    azure_vtpm::FIELDS.iter().filter(|row| row.check == check).map(|row| &row.field).collect()
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
        }
    }

    /// What counts only beside something else: `code` is what pins the platform's own code, `bound_to` what the profile claims.
    pub(crate) fn undertaken(&self, code: Vec<Pin>, bound_to: Option<BoundTo>) -> Vec<Undertaken> {
        match self {
            Self::Nothing => Vec::new(),
            Self::AzureVtpm(profile) => azure_vtpm::undertaken(profile, code, bound_to),
        }
    }

    /// Whether it pins what this field of the platform would pin: there is another way to say which code is expected.
    pub(crate) const fn stands_for(&self, _field: &str) -> bool {
        match self {
            Self::Nothing | Self::AzureVtpm(_) => false,
        }
    }
}
