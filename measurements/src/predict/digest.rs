//! The digests that platforms measure with. The one file here that names the cryptographic library.

use aws_lc_rs::digest;

/// SHA-384 over the parts, one after the other.
pub(super) fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    let mut context = digest::Context::new(&digest::SHA384);
    parts.iter().for_each(|part| context.update(part));
    let mut bytes = [0; 48];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// A hash that is taken part by part.
pub(super) struct Hash(digest::Context);

impl Hash {
    pub(super) fn new(algorithm: DigestAlgorithm) -> Self {
        Self(digest::Context::new(algorithm.library()))
    }

    pub(super) fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

/// A digest by the name that configuration and TPM banks give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-384, 48 bytes.
    Sha384,
    /// SHA-512, 64 bytes.
    Sha512,
}

impl DigestAlgorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its name, lower case and without a hyphen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// How many bytes it has.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn library(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// Over the parts, one after the other.
    pub(super) fn of(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut hash = Hash::new(self);
        parts.iter().for_each(|part| hash.update(part));
        hash.finish()
    }
}
