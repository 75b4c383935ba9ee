//! Key configurations, RFC 9458 section 3, and the key pairs behind them.
//!
//! ```text
//! key id (1) || KEM id (2) || public key (Npk) || length of the list (2) || { KDF id (2) || AEAD id (2) } ...
//! ```
//!
//! In `application/ohttp-keys` each configuration is preceded by its length in two bytes. A configuration for a KEM or for suites that this
//! crate does not have is left out of the list, as the RFC asks; whatever is malformed refuses the whole list.

use super::exchange::SecretKey;
use super::suite::{Aead, HKDF_SHA256, Kem};
use crate::NoRandomness;
use crate::limits;
use std::fmt;

/// A public key to which requests are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyConfig {
    key_id: u8,
    kem: Kem,
    public_key: Vec<u8>,
    /// What the server opens, in its order of preference; never empty, each once.
    aeads: Vec<Aead>,
}

impl KeyConfig {
    /// The number by which a request names the key.
    #[must_use]
    pub const fn key_id(&self) -> u8 {
        self.key_id
    }

    /// The mechanism of the key.
    #[must_use]
    pub const fn kem(&self) -> Kem {
        self.kem
    }

    /// The encoded public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// The AEADs that the server opens, in its order of preference, all with HKDF-SHA256.
    #[must_use]
    pub fn aeads(&self) -> &[Aead] {
        &self.aeads
    }

    /// Writes one configuration.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.key_id];
        bytes.extend_from_slice(&self.kem.id().to_be_bytes());
        bytes.extend_from_slice(&self.public_key);
        // At most two suites of four bytes: the length fits.
        let suites_bytes = u16::try_from(self.aeads.len().saturating_mul(SUITE_BYTES)).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&suites_bytes.to_be_bytes());
        for aead in &self.aeads {
            bytes.extend_from_slice(&HKDF_SHA256.to_be_bytes());
            bytes.extend_from_slice(&aead.id().to_be_bytes());
        }
        bytes
    }

    /// Writes `application/ohttp-keys`. Put the strongest KEM first: many clients take the last that they support.
    #[must_use]
    pub fn encode_list<'a>(configs: impl IntoIterator<Item = &'a Self>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for config in configs {
            let encoded = config.encode();
            let length = u16::try_from(encoded.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&encoded);
        }
        bytes
    }

    /// Reads one configuration, which has to be one that this crate supports.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        Self::parse_one(bytes)?.ok_or(ConfigError::NothingSupported)
    }

    /// Reads `application/ohttp-keys`: the configurations that this crate supports, in their order, possibly none.
    pub fn parse_list(bytes: &[u8]) -> Result<Vec<Self>, ConfigError> {
        if bytes.len() > limits::KEY_CONFIGS_BYTES {
            return Err(ConfigError::TooLarge { actual: bytes.len() });
        }
        let mut configs: Vec<Self> = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (length, after) = take_u16(rest)?;
            let (encoded, after) = after.split_at_checked(length.into()).ok_or(ConfigError::Truncated)?;
            rest = after;
            let Some(config) = Self::parse_one(encoded)? else { continue };
            // Two keys under one id: which of them a request means would be anybody's guess.
            if configs.iter().any(|known| known.key_id == config.key_id) {
                return Err(ConfigError::KeyIdTwice { key_id: config.key_id });
            }
            configs.push(config);
        }
        Ok(configs)
    }

    /// `None` if the configuration is well-formed as far as it can be read, but nothing in it is supported.
    fn parse_one(bytes: &[u8]) -> Result<Option<Self>, ConfigError> {
        let (&key_id, rest) = bytes.split_first().ok_or(ConfigError::Truncated)?;
        let (kem_id, rest) = take_u16(rest)?;
        // The length of the public key depends on the KEM, so nothing more can be said of an unknown one.
        let Some(kem) = Kem::from_id(kem_id) else { return Ok(None) };
        let (public_key, rest) = rest.split_at_checked(kem.public_key_bytes()).ok_or(ConfigError::Truncated)?;
        let (suites_bytes, suites) = take_u16(rest)?;
        if suites.len() < suites_bytes.into() {
            return Err(ConfigError::Truncated);
        }
        if suites.len() > suites_bytes.into() {
            return Err(ConfigError::TrailingBytes);
        }
        if suites.is_empty() || !suites.len().is_multiple_of(SUITE_BYTES) {
            return Err(ConfigError::SuitesLength { actual: suites.len() });
        }
        let mut aeads = Vec::new();
        let mut rest = suites;
        while !rest.is_empty() {
            let (kdf_id, after) = take_u16(rest)?;
            let (aead_id, after) = take_u16(after)?;
            rest = after;
            match Aead::from_id(aead_id) {
                Some(aead) if kdf_id == HKDF_SHA256 && !aeads.contains(&aead) => aeads.push(aead),
                _ => {}
            }
        }
        if aeads.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { key_id, kem, public_key: public_key.to_vec(), aeads }))
    }
}

/// A KDF id and an AEAD id.
const SUITE_BYTES: usize = 4;

fn take_u16(bytes: &[u8]) -> Result<(u16, &[u8]), ConfigError> {
    let (value, rest) = bytes.split_first_chunk::<2>().ok_or(ConfigError::Truncated)?;
    Ok((u16::from_be_bytes(*value), rest))
}

/// A private key with its configuration. Zeroised when dropped; it has no `Debug` and no `Clone`, and nothing takes the secret out.
pub struct KeyPair {
    config: KeyConfig,
    secret: SecretKey,
}

impl KeyPair {
    /// Makes an X25519 key that opens both AEADs.
    pub fn generate(key_id: u8) -> Result<Self, NoRandomness> {
        let kem = Kem::X25519;
        let secret = SecretKey::generate(kem)?;
        let aeads = vec![Aead::Aes128Gcm, Aead::ChaCha20Poly1305];
        Ok(Self { config: KeyConfig { key_id, kem, public_key: secret.public_key(), aeads }, secret })
    }

    /// What clients may know of it.
    #[must_use]
    pub const fn config(&self) -> &KeyConfig {
        &self.config
    }

    /// A key pair of known bytes: the RFC prints its secret key.
    #[cfg(test)]
    pub(super) const fn from_parts(config: KeyConfig, secret: SecretKey) -> Self {
        Self { config, secret }
    }

    pub(super) const fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

/// Why key configurations were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The bytes end inside a configuration.
    Truncated,
    /// Bytes follow the end of a configuration.
    TrailingBytes,
    /// The list of suites is empty or not a multiple of four bytes.
    SuitesLength {
        /// Its length in bytes.
        actual: usize,
    },
    /// Two supported configurations have one key id.
    KeyIdTwice {
        /// The id.
        key_id: u8,
    },
    /// More bytes than a list may have.
    TooLarge {
        /// How many it has.
        actual: usize,
    },
    /// No KEM, or no suite, that this crate supports.
    NothingSupported,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("key configuration ends early"),
            Self::TrailingBytes => f.write_str("bytes follow the end of a key configuration"),
            Self::SuitesLength { actual } => {
                write!(f, "the suites of a key configuration have {actual} bytes, expected a multiple of {SUITE_BYTES} above 0")
            }
            Self::KeyIdTwice { key_id } => write!(f, "two key configurations have the key id {key_id}"),
            Self::TooLarge { actual } => write!(
                f,
                "{actual} bytes of key configurations, at most {} are accepted",
                limits::KEY_CONFIGS_BYTES
            ),
            Self::NothingSupported => f.write_str(
                "no supported key configuration: expected X25519 (0x0020) with HKDF-SHA256 and AES-128-GCM or ChaCha20-Poly1305",
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(key_id: u8) -> KeyConfig {
        KeyPair::generate(key_id).expect("randomness").config().clone()
    }

    fn with_length(config: &[u8]) -> Vec<u8> {
        [&u16::try_from(config.len()).expect("short").to_be_bytes(), config].concat()
    }

    #[test]
    fn a_list_is_read_in_its_order() {
        let configs = [config(4), config(2)];
        let list = KeyConfig::encode_list(&configs);
        assert_eq!(list.len(), 2 * (2 + 1 + 2 + 32 + 2 + 8));
        assert_eq!(KeyConfig::parse_list(&list), Ok(configs.to_vec()));
        assert_eq!(KeyConfig::parse_list(&[]), Ok(vec![]));
        assert_eq!(KeyConfig::parse(&configs[0].encode()), Ok(configs[0].clone()));
    }

    #[test]
    fn what_is_not_supported_is_left_out() {
        let known = config(4);
        let mut other_kem = config(5).encode();
        other_kem[1..3].copy_from_slice(&0x647a_u16.to_be_bytes());
        other_kem.extend([0; 1184]);
        let mut other_suites = config(6).encode();
        other_suites[40] = 2; // AES-256-GCM
        other_suites[42] = 2; // HKDF-SHA384
        let list = [with_length(&other_kem), with_length(&known.encode()), with_length(&other_suites)].concat();
        assert_eq!(KeyConfig::parse_list(&list), Ok(vec![known]));
        assert_eq!(KeyConfig::parse(&other_kem), Err(ConfigError::NothingSupported));
        assert_eq!(KeyConfig::parse(&other_suites), Err(ConfigError::NothingSupported));
        other_suites[40] = 1;
        let one = KeyConfig::parse(&other_suites).expect("one suite is left");
        assert_eq!(one.aeads(), [Aead::Aes128Gcm]);
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let good = config(4).encode();
        for end in 0..good.len() {
            let refused = KeyConfig::parse(&good[..end]);
            assert_eq!(refused, Err(ConfigError::Truncated), "{end}");
            assert!(end == 0 || KeyConfig::parse_list(&with_length(&good)[..end]).is_err(), "{end}");
        }
        assert_eq!(KeyConfig::parse(&[good.clone(), vec![0]].concat()), Err(ConfigError::TrailingBytes));
        let suites = |length: u8, bytes: usize| {
            let mut config = good[..37].to_vec();
            config[36] = length;
            config.extend(std::iter::repeat_n(0, bytes));
            KeyConfig::parse(&config)
        };
        assert_eq!(suites(0, 0), Err(ConfigError::SuitesLength { actual: 0 }));
        assert_eq!(suites(6, 6), Err(ConfigError::SuitesLength { actual: 6 }));
        let twice = [with_length(&good), with_length(&config(4).encode())].concat();
        assert_eq!(KeyConfig::parse_list(&twice), Err(ConfigError::KeyIdTwice { key_id: 4 }));
        assert_eq!(KeyConfig::parse_list(&[0xff, 0xff, 1]), Err(ConfigError::Truncated));
        let long = vec![0; limits::KEY_CONFIGS_BYTES + 1];
        assert_eq!(KeyConfig::parse_list(&long), Err(ConfigError::TooLarge { actual: long.len() }));
    }
}
