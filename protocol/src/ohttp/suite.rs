//! The algorithms, by their registered numbers.

use crate::aws_lc::{Cipher, NONCE_BYTES};

/// Key encapsulation mechanism, IANA "HPKE KEM Identifiers".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kem {
    /// DHKEM(X25519, HKDF-SHA256).
    X25519,
}

impl Kem {
    /// The mechanism of that number, if this crate has it.
    #[must_use]
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0020 => Some(Self::X25519),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::X25519 => 0x0020,
        }
    }

    /// Length of a public key (`Npk`).
    #[must_use]
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::X25519 => 32,
        }
    }

    /// Length of an encapsulated key (`Nenc`).
    #[must_use]
    pub const fn enc_bytes(self) -> usize {
        match self {
            Self::X25519 => 32,
        }
    }
}

/// HKDF-SHA256, the only key derivation function in use: IANA "HPKE KDF Identifiers".
pub const HKDF_SHA256: u16 = 0x0001;

/// Authenticated encryption, IANA "HPKE AEAD Identifiers".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Aead {
    /// AES-128-GCM.
    Aes128Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
}

impl Aead {
    /// The algorithm of that number, if this crate has it.
    #[must_use]
    pub const fn from_id(id: u16) -> Option<Self> {
        match id {
            0x0001 => Some(Self::Aes128Gcm),
            0x0003 => Some(Self::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::Aes128Gcm => 0x0001,
            Self::ChaCha20Poly1305 => 0x0003,
        }
    }

    pub(super) const fn cipher(self) -> Cipher {
        match self {
            Self::Aes128Gcm => Cipher::Aes128Gcm,
            Self::ChaCha20Poly1305 => Cipher::ChaCha20Poly1305,
        }
    }

    /// Length of a key (`Nk`).
    pub(super) const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::ChaCha20Poly1305 => 32,
        }
    }

    /// `max(Nn, Nk)`: length of the exported secret and of the response nonce, RFC 9458 section 4.4.
    #[must_use]
    pub const fn response_nonce_bytes(self) -> usize {
        let key_bytes = self.key_bytes();
        if key_bytes > NONCE_BYTES { key_bytes } else { NONCE_BYTES }
    }
}
