//! The numbers that more than one program must keep. *Fixed* ones are part of version 1: both sides agree on them.
//! *Configurable* ones carry a default and the bounds inside which a gateway, a client or a policy may move them; what an
//! enclave-app may be configured to stands in its own configuration, and its manifest says the result.

use std::fmt;
use std::time::Duration;

/// Bytes of a manifest.
pub const MANIFEST_BYTES: usize = 64 * 1024;
/// Levels of objects and arrays in a manifest.
pub const MANIFEST_DEPTH: usize = 4;
/// Models in a manifest.
pub const MODELS: usize = 64;
/// Skew that a verifier grants before `not_before`.
pub const SKEW: Duration = Duration::from_secs(60);
/// Bytes of an envelope.
pub const ENVELOPE_BYTES: usize = 1024 * 1024;
/// Bytes of the endorsements in an envelope.
pub const ENDORSEMENTS_BYTES: usize = 256 * 1024;
/// Bytes of a receipt.
pub const RECEIPT_BYTES: usize = 4 * 1024;
/// Bytes of a problem.
pub const PROBLEM_BYTES: usize = 16 * 1024;
/// Bytes of a list of key configurations.
pub const KEY_CONFIGS_BYTES: usize = 16 * 1024;
/// Fields of a Binary HTTP message, over all its field sections.
pub const BHTTP_FIELDS: usize = 64;
/// Bytes of the fields of a Binary HTTP message, names and values, over all its field sections.
pub const BHTTP_FIELD_BYTES: usize = 8 * 1024;
/// Bytes of the control data of a Binary HTTP request: method, scheme, authority and path together.
pub const BHTTP_CONTROL_BYTES: usize = 8 * 1024;
/// Informational responses before the final one.
pub const BHTTP_INFORMATIONAL: usize = 8;
/// Bytes of an HTTP header block outside the seal.
pub const HEADER_BLOCK_BYTES: usize = 16 * 1024;
/// At most so many re-seals that a client does by itself for one request.
pub const AUTOMATIC_RESEALS: u32 = 2;

/// Padded bytes of a sealed body, either direction.
pub const SEALED_BODY_BYTES: Limit =
    Limit { name: "sealed body bytes", default: 64 << 20, least: 64 << 10, most: 1 << 30 };
/// Longest life of a manifest that a policy accepts.
pub const MANIFEST_LIFE_SECONDS: Limit =
    Limit { name: "manifest life seconds", default: 7200, least: 60, most: 86_400 };
/// How often a gateway attests an instance again.
pub const REATTEST_SECONDS: Limit = Limit { name: "re-attest seconds", default: 120, least: 1, most: 3600 };
/// How old the last channel check may be.
pub const CHANNEL_AGE_SECONDS: Limit = Limit { name: "channel age seconds", default: 300, least: 1, most: 3600 };
/// How long a gateway holds a ciphertext when the client says nothing.
pub const HOLD_SECONDS: Limit = Limit { name: "hold seconds", default: 30, least: 0, most: 120 };
/// How long `GET /v1/instances` may wait for an instance.
pub const WAIT_SECONDS: Limit = Limit { name: "wait seconds", default: 0, least: 0, most: 30 };
/// Bytes held per tenant.
pub const HELD_BYTES_PER_TENANT: Limit =
    Limit { name: "held bytes per tenant", default: 64 << 20, least: 64 << 10, most: 4 << 30 };
/// Requests held per tenant.
pub const HELD_REQUESTS_PER_TENANT: Limit =
    Limit { name: "held requests per tenant", default: 256, least: 1, most: 65_536 };
/// Bytes held in all.
pub const HELD_BYTES: Limit = Limit { name: "held bytes", default: 512 << 20, least: 64 << 10, most: 64 << 30 };

/// A number that may be moved, inside bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What it limits, with its unit.
    pub name: &'static str,
    /// Used where nothing is configured.
    pub default: u64,
    /// The smallest value accepted.
    pub least: u64,
    /// The largest value accepted.
    pub most: u64,
}

impl Limit {
    /// `value`, or the default, if it lies inside the bounds.
    pub fn resolve(&self, value: Option<u64>) -> Result<u64, OutOfBounds> {
        let value = value.unwrap_or(self.default);
        if (self.least..=self.most).contains(&value) { Ok(value) } else { Err(OutOfBounds { limit: *self, value }) }
    }
}

/// A configured number that lies outside its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfBounds {
    /// The limit that was to be set.
    pub limit: Limit,
    /// The value that was given.
    pub value: u64,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limit { name, least, most, .. } = self.limit;
        write!(f, "{name}: {} lies outside {least} to {most}", self.value)
    }
}

impl std::error::Error for OutOfBounds {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_inside_its_bounds() {
        for limit in [
            SEALED_BODY_BYTES,
            MANIFEST_LIFE_SECONDS,
            REATTEST_SECONDS,
            CHANNEL_AGE_SECONDS,
            HOLD_SECONDS,
            WAIT_SECONDS,
            HELD_BYTES_PER_TENANT,
            HELD_REQUESTS_PER_TENANT,
            HELD_BYTES,
        ] {
            assert_eq!(limit.resolve(None), Ok(limit.default));
            assert_eq!(limit.resolve(Some(limit.most)), Ok(limit.most));
            let value = limit.most + 1;
            assert_eq!(limit.resolve(Some(value)), Err(OutOfBounds { limit, value }));
        }
    }
}
