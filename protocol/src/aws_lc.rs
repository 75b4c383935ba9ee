//! The one file that names the cryptographic library, aws-lc-rs.
//!
//! Randomness is taken from the system (`getrandom`) and never from the library, which ends the process when it gets none: here that is an
//! error. What the library wipes, read in aws-lc 0.47 and aws-lc-rs 1.19: whatever it frees (`OPENSSL_free` clears before it gives back), so
//! every private key, every HMAC state and every AEAD key; its own copies of private scalars; and the shared secret of an agreement. What it
//! does not: registers, and stack frames of arithmetic and of digests, through which the secrets of a single exchange pass; enclave-app overwrites
//! the stack after each.

use crate::NoRandomness;
use aws_lc_rs::aead::{
    AES_128_GCM, Aad, Algorithm as AeadAlgorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey as PeerKey, X25519};
use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, Prk};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

/// A failure inside a primitive. There is no detail, on purpose: which step failed is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CryptoFailed;

/// SHA-256 of `parts`, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let digest = match parts {
        [one] => digest::digest(&SHA256, one),
        _ => {
            let mut context = digest::Context::new(&SHA256);
            for part in parts {
                context.update(part);
            }
            context.finish()
        }
    };
    array(digest.as_ref())
}

/// `bytes` as an array, which is as long as what the library returns there.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

/// 32 bytes of the system's randomness, wiped when dropped.
fn random_seed() -> Result<Zeroizing<[u8; 32]>, NoRandomness> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|_| NoRandomness)?;
    Ok(seed)
}

/// HKDF-Extract with SHA-256 (RFC 5869 section 2.2), the input in parts. It is HMAC: the library's own `Salt::extract` does not hand out what it
/// extracted, and extracts again for every output.
pub(crate) fn hkdf_extract(salt: &[u8], input: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, salt));
    for part in input {
        context.update(part);
    }
    Zeroizing::new(array(context.sign().as_ref()))
}

/// HKDF-Expand with SHA-256 (RFC 5869 section 2.3) over the parts of `info` until `output` is full.
pub(crate) fn hkdf_expand(secret: &[u8; 32], info: &[&[u8]], output: &mut [u8]) -> Result<(), CryptoFailed> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let length = Length(output.len());
    let secret = Prk::new_less_safe(HKDF_SHA256, secret);
    secret.expand(info, length).and_then(|okm| okm.fill(output)).map_err(|_| CryptoFailed)
}

/// A private key of X25519 with its public key; wiped when dropped. It has no `Debug` and no `Clone`. It lies where the library allocated it,
/// so that moving this leaves nothing behind.
pub(crate) struct X25519Key {
    private: PrivateKey,
    public: [u8; 32],
}

impl X25519Key {
    /// Makes a key.
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        Ok(Self::from_bytes(&*random_seed()?))
    }

    /// The key of 32 bytes, which X25519 clamps (RFC 7748 section 5).
    #[expect(clippy::expect_used, reason = "each says why it holds")]
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let private = PrivateKey::from_private_key(&X25519, bytes).expect("any 32 bytes are a key of X25519");
        let public = private.compute_public_key().expect("a private key of X25519 has its public key beside it");
        Self { public: array(public.as_ref()), private }
    }

    /// The encoded public key.
    pub(crate) fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The shared secret with the owner of `peer`. A public key of small order, with which the secret would be zero, is refused (RFC 7748
    /// section 6.1; RFC 9180 section 7.1.4).
    pub(crate) fn agree(&self, peer: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, CryptoFailed> {
        let peer = PeerKey::new(&X25519, peer);
        agreement::agree(&self.private, peer, CryptoFailed, |secret| Ok(Zeroizing::new(array(secret))))
    }
}

/// Authenticated encryption. Keys have [`key_bytes`](Self::key_bytes), nonces 12 and tags 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cipher {
    /// AES-128-GCM.
    Aes128Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
}

/// Length of a nonce.
pub(crate) const NONCE_BYTES: usize = 12;
/// Length of a tag.
pub(crate) const TAG_BYTES: usize = 16;

impl Cipher {
    fn algorithm(self) -> &'static AeadAlgorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }

    fn key(self, key: &[u8]) -> Result<LessSafeKey, CryptoFailed> {
        UnboundKey::new(self.algorithm(), key).map(LessSafeKey::new).map_err(|_| CryptoFailed)
    }

    /// Encrypts `text` where it lies, and returns the tag.
    pub(crate) fn seal_in_place(
        self,
        key: &[u8],
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], CryptoFailed> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key(key)?.seal_in_place_separate_tag(nonce, Aad::from(associated), text);
        tag.map(|tag| array(tag.as_ref())).map_err(|_| CryptoFailed)
    }

    /// Decrypts `text` where it lies. If `tag` does not hold, which is compared in constant time, it is left without meaning.
    pub(crate) fn open_in_place(
        self,
        key: &[u8],
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        (text, tag): (&mut [u8], &[u8]),
    ) -> Result<(), CryptoFailed> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key(key)?.open_in_place_separate_tag(nonce, Aad::from(associated), tag, text);
        opened.map(|_| ()).map_err(|_| CryptoFailed)
    }

    /// Decrypts `text` into memory of its own.
    pub(crate) fn open(
        self,
        key: &[u8],
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        (text, tag): (&[u8], &[u8]),
    ) -> Result<Vec<u8>, CryptoFailed> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let mut opened = vec![0; text.len()];
        let key = self.key(key)?;
        key.open_separate_gather(nonce, Aad::from(associated), text, tag, &mut opened).map_err(|_| CryptoFailed)?;
        Ok(opened)
    }
}

/// A private key of Ed25519; wiped when dropped. It has no `Debug` and no `Clone`.
pub(crate) struct Ed25519Key(Ed25519KeyPair);

impl Ed25519Key {
    /// Makes a key.
    pub(crate) fn generate() -> Result<Self, NoRandomness> {
        Ok(Self::from_seed(&*random_seed()?))
    }

    /// The key of a seed, RFC 8032 section 5.1.5.
    #[expect(clippy::expect_used, reason = "it says why it holds")]
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are a seed of Ed25519"))
    }

    /// The encoded public key.
    pub(crate) fn public(&self) -> [u8; 32] {
        array(self.0.public_key().as_ref())
    }

    /// Signs `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], CryptoFailed> {
        self.0.try_sign(message).map(|signature| array(signature.as_ref())).map_err(|_| CryptoFailed)
    }
}

/// Whether `signature` is one of `message` under `key`, by the strictest reading of RFC 8032 section 5.1.7: without the cofactor; `S` below the
/// order of the group and `R` in its one encoding, which the library sees to; and neither the key nor `R` of small order, nor the key in
/// another encoding than its one, which it leaves open.
pub(crate) fn ed25519_holds(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let (r, _) = signature.split_at(32);
    !is_small_order(key)
        && !is_small_order(&array(r))
        && is_reduced(key)
        && UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

/// Whether a point, encoded, is one of the eight whose order divides eight: under such a key one signature holds for many messages. Looked up by
/// the coordinate `y`, in every encoding of it; the sign of `x` does not matter.
fn is_small_order(point: &[u8; 32]) -> bool {
    SMALL_ORDER.contains(&without_sign(point))
}

/// Whether `y` is below the prime 2^255 - 19, as RFC 8032 section 5.1.3 asks of an encoding.
fn is_reduced(point: &[u8; 32]) -> bool {
    without_sign(point).iter().rev().lt(PRIME.iter().rev())
}

fn without_sign(point: &[u8; 32]) -> [u8; 32] {
    let mut y = *point;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    y
}

/// 2^255 - 19, little-endian.
const PRIME: [u8; 32] = with_lowest(0xed);

/// `y` of the points of small order, little-endian: 0 (order 4), 1 (order 1), -1 (order 2), the two of order 8, and 0 and 1 once more, written as
/// the prime and one above it.
const SMALL_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    with_lowest(0xec),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    PRIME,
    with_lowest(0xee),
];

/// A number close below 2^255: `lowest`, then ones, then 0x7f.
const fn with_lowest(lowest: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = lowest;
    bytes[31] = 0x7f;
    bytes
}

#[cfg(test)]
mod tests;
