//! The 64 bytes of report data that tie TEE evidence to a manifest, and to a challenge where there is one.
//!
//! ```text
//! [ 0:32] SHA-256("teegate/1 manifest" || 0x00 || manifest)
//! [32:64] 32 zero bytes                                                    epoch evidence, cacheable
//!      or SHA-256("teegate/1 fresh"    || 0x00 || nonce32)                 a client's own challenge
//!      or SHA-256("teegate/1 channel"  || 0x00 || nonce32 || exporter32)   the gateway's own connection
//! ```
//!
//! A verifier asks for one mode and compares all 64 bytes. The labels keep the modes apart: no nonce makes fresh evidence look like epoch or
//! channel evidence. The first half is the manifest's digest itself ([`ManifestDigest`]), the same value that names the manifest in headers,
//! receipts and `prev`.

use crate::NoRandomness;
use crate::aws_lc::sha256;
use crate::json::{from_base64url, to_base64url};
use crate::manifest::ManifestDigest;
use std::fmt;
use std::str::FromStr;

/// Binding of epoch evidence: the manifest alone. Says nothing about *when*; the window in the manifest does.
#[must_use]
pub fn epoch(manifest: &ManifestDigest) -> [u8; 64] {
    join(manifest, [0; 32])
}

/// Binding of fresh evidence: the manifest and a client's own challenge.
#[must_use]
pub fn fresh(manifest: &ManifestDigest, nonce: &Nonce) -> [u8; 64] {
    join(manifest, sha256(&[FRESH_LABEL, &nonce.0]))
}

/// Binding of channel evidence: the manifest, the gateway's challenge and the connection on which it arrived.
#[must_use]
pub fn channel(manifest: &ManifestDigest, nonce: &Nonce, exporter: &Exporter) -> [u8; 64] {
    join(manifest, sha256(&[CHANNEL_LABEL, &nonce.0, &exporter.0]))
}

const FRESH_LABEL: &[u8] = b"teegate/1 fresh\0";
const CHANNEL_LABEL: &[u8] = b"teegate/1 channel\0";

fn join(manifest: &ManifestDigest, challenge: [u8; 32]) -> [u8; 64] {
    let mut binding = [0; 64];
    let (first, second) = binding.split_at_mut(32);
    first.copy_from_slice(manifest.as_bytes());
    second.copy_from_slice(&challenge);
    binding
}

/// A challenge: exactly 32 bytes, on the wire as 43 characters of base64url without padding.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// A challenge that was never used before.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }

    /// A challenge that somebody else made.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_base64url(&self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({self})")
    }
}

impl FromStr for Nonce {
    type Err = NotANonce;

    fn from_str(text: &str) -> Result<Self, NotANonce> {
        // The length is checked before anything is decoded: a nonce arrives in a query string.
        if text.len() != NONCE_CHARACTERS {
            return Err(NotANonce);
        }
        from_base64url(text).and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(NotANonce)
    }
}

const NONCE_CHARACTERS: usize = 43;

/// A text that is not exactly 32 bytes in base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotANonce;

impl fmt::Display for NotANonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a nonce: expected exactly 32 bytes in base64url without padding (43 characters)")
    }
}

impl std::error::Error for NotANonce {}

/// What the TLS 1.3 connection says of itself: RFC 9266 `tls-exporter`, that is the exporter with label [`Exporter::LABEL`], no context,
/// 32 bytes. Both ends compute it, neither sends it.
#[derive(Clone, PartialEq, Eq)]
pub struct Exporter([u8; 32]);

impl Exporter {
    /// Label for the exporter of RFC 8446 section 7.5.
    pub const LABEL: &'static [u8] = b"EXPORTER-Channel-Binding";

    /// The value that one's own end of the connection computed.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use teegate_encoding::hex;

    use super::*;

    fn digest() -> ManifestDigest {
        ManifestDigest::of(b"{}")
    }

    /// Recomputed from the page's formula by another tool:
    /// `printf 'teegate/1 fresh\0' | cat - <(head -c32 /dev/zero) | sha256sum` and so on.
    #[test]
    fn bytes_of_the_three_modes() {
        let nonce = Nonce::from_bytes([0; 32]);
        assert_eq!(
            hex::encode(epoch(&digest())),
            concat!(
                "915ae20ef57e940900a3fa1ca8440f72eefcd8edd481f504cb74b2880b977606",
                "0000000000000000000000000000000000000000000000000000000000000000"
            )
        );
        assert_eq!(
            hex::encode(&fresh(&digest(), &nonce)[32..]),
            "2fdc2c8637451968e6e316853f4ab385a9d7d34dea50f5ad106883c88ece7409"
        );
        let exporter = Exporter::from_bytes([1; 32]);
        assert_eq!(
            hex::encode(&channel(&digest(), &nonce, &exporter)[32..]),
            "836f5aeca7433bb74431b97a54a2e1be83856122ca4e4382997a6e9ece66217d"
        );
    }

    #[test]
    fn every_input_counts() {
        let (nonce, exporter) = (Nonce::from_bytes([7; 32]), Exporter::from_bytes([8; 32]));
        let base = channel(&digest(), &nonce, &exporter);
        assert_ne!(base, channel(&ManifestDigest::of(b"{ }"), &nonce, &exporter));
        assert_ne!(base, channel(&digest(), &Nonce::from_bytes([8; 32]), &exporter));
        assert_ne!(base, channel(&digest(), &nonce, &Exporter::from_bytes([7; 32])));
        assert_ne!(base[32..], fresh(&digest(), &nonce)[32..]);
    }

    #[test]
    fn a_nonce_has_one_spelling() {
        let nonce = Nonce::generate().expect("randomness");
        assert_eq!(nonce.to_string().parse(), Ok(nonce.clone()));
        let text = "A".repeat(43);
        assert_eq!(text.parse(), Ok(Nonce::from_bytes([0; 32])));
        // The last character carries four bits; the two others must be zero.
        assert_eq!(format!("{}B", "A".repeat(42)).parse::<Nonce>(), Err(NotANonce));
        for refused in ["", "A", &"A".repeat(42), &"A".repeat(44), &format!("{text}="), &"+".repeat(43)] {
            assert_eq!(refused.parse::<Nonce>(), Err(NotANonce), "{refused}");
        }
    }
}
