//! The algorithms, by their registered numbers, and the only code that calls them.
//!
//! HPKE base mode (RFC 9180) seals and opens requests; the response key comes out of the HPKE context by the derivation of RFC 9458
//! section 4.4. Every combination here uses HKDF-SHA256.

use crate::NoRandomness;
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::{AeadInOut, KeyInit, Nonce};
use chacha20poly1305::ChaCha20Poly1305;
use hkdf::Hkdf;
use hpke::aead::AeadTag;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem as HpkeKem, OpModeR, OpModeS, Serializable};
use sha2::Sha256;
use std::convert::Infallible;
use zeroize::Zeroizing;

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

    /// Length of a key (`Nk`).
    const fn key_bytes(self) -> usize {
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

/// Length of a nonce (`Nn`), the same for every AEAD in use.
const NONCE_BYTES: usize = 12;
/// Length of a tag (`Nt`), the same for every AEAD in use.
pub(super) const TAG_BYTES: usize = 16;

/// A private key of one KEM; zeroised when dropped. It has no `Debug` and no `Clone`. Boxed, because moving the key itself would leave its
/// bytes behind wherever it was.
pub(super) struct SecretKey(Box<<X25519HkdfSha256 as HpkeKem>::PrivateKey>);

#[cfg(test)]
impl SecretKey {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        Self(Box::new(Deserializable::from_bytes(bytes).expect("32 bytes")))
    }
}

/// What sealing or opening a request yields besides the text: the secret from which the response key is derived.
pub(super) struct ResponseSecret {
    aead: Aead,
    /// Salt of the derivation, together with the response nonce.
    enc: Vec<u8>,
    exported: Zeroizing<Vec<u8>>,
}

/// A failure inside a primitive. There is no detail, on purpose: which step failed is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CryptoFailed;

/// Makes a key pair: the secret, and the encoded public key.
pub(super) fn generate_key_pair(kem: Kem) -> Result<(SecretKey, Vec<u8>), NoRandomness> {
    match kem {
        Kem::X25519 => {
            let mut material = Zeroizing::new([0_u8; 32]);
            getrandom::fill(material.as_mut_slice()).map_err(|_| NoRandomness)?;
            let (secret, public) = X25519HkdfSha256::derive_keypair(material.as_slice());
            Ok((SecretKey(Box::new(secret)), public.to_bytes().to_vec()))
        }
    }
}

/// Seals `plaintext` to `public_key` in base mode with an empty AAD: `enc`, the ciphertext, and the response secret.
pub(super) fn seal(
    (kem, aead): (Kem, Aead),
    public_key: &[u8],
    info: &[u8],
    plaintext: &[u8],
    response_label: &[u8],
) -> Result<(Vec<u8>, ResponseSecret), CryptoFailed> {
    match (kem, aead) {
        (Kem::X25519, Aead::Aes128Gcm) => {
            seal_with::<X25519HkdfSha256, hpke::aead::AesGcm128>(aead, public_key, info, plaintext, response_label)
        }
        (Kem::X25519, Aead::ChaCha20Poly1305) => seal_with::<X25519HkdfSha256, hpke::aead::ChaCha20Poly1305>(
            aead,
            public_key,
            info,
            plaintext,
            response_label,
        ),
    }
}

fn seal_with<K: HpkeKem, A: hpke::aead::Aead>(
    aead: Aead,
    public_key: &[u8],
    info: &[u8],
    plaintext: &[u8],
    response_label: &[u8],
) -> Result<(Vec<u8>, ResponseSecret), CryptoFailed> {
    let public_key = K::PublicKey::from_bytes(public_key).map_err(|_| CryptoFailed)?;
    let mut random = SystemRandom { failed: false };
    let (enc, mut context) =
        hpke::setup_sender_with_rng::<A, HkdfSha256, K>(&OpModeS::Base, &public_key, info, &mut random)
            .map_err(|_| CryptoFailed)?;
    if random.failed {
        return Err(CryptoFailed);
    }
    let ciphertext = context.seal(plaintext, b"").map_err(|_| CryptoFailed)?;
    let mut exported = Zeroizing::new(vec![0; aead.response_nonce_bytes()]);
    context.export(response_label, &mut exported).map_err(|_| CryptoFailed)?;
    Ok((ciphertext, ResponseSecret { aead, enc: enc.to_bytes().to_vec(), exported }))
}

/// getrandom(2) behind the infallible trait that HPKE asks for. `hpke`'s own panics when there are no random bytes; this one remembers, and
/// what was made from the bytes that are missing is thrown away.
struct SystemRandom {
    failed: bool,
}

impl TryRng for SystemRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.failed |= getrandom::fill(bytes).is_err();
        Ok(())
    }
}

impl TryCryptoRng for SystemRandom {}

/// Opens what [`seal`] sealed, in the buffer that holds it: `text` is the ciphertext before and the plaintext after.
pub(super) fn open_in_place(
    aead: Aead,
    secret_key: &SecretKey,
    enc: &[u8],
    info: &[u8],
    (text, tag): (&mut [u8], &[u8]),
    response_label: &[u8],
) -> Result<ResponseSecret, CryptoFailed> {
    let SecretKey(secret_key) = secret_key;
    match aead {
        Aead::Aes128Gcm => open_with::<X25519HkdfSha256, hpke::aead::AesGcm128>(
            aead,
            secret_key,
            enc,
            info,
            (text, tag),
            response_label,
        ),
        Aead::ChaCha20Poly1305 => open_with::<X25519HkdfSha256, hpke::aead::ChaCha20Poly1305>(
            aead,
            secret_key,
            enc,
            info,
            (text, tag),
            response_label,
        ),
    }
}

fn open_with<K: HpkeKem, A: hpke::aead::Aead>(
    aead: Aead,
    secret_key: &K::PrivateKey,
    enc: &[u8],
    info: &[u8],
    (text, tag): (&mut [u8], &[u8]),
    response_label: &[u8],
) -> Result<ResponseSecret, CryptoFailed> {
    let encapped = K::EncappedKey::from_bytes(enc).map_err(|_| CryptoFailed)?;
    let tag = AeadTag::<A>::from_bytes(tag).map_err(|_| CryptoFailed)?;
    let mut context = hpke::setup_receiver::<A, HkdfSha256, K>(&OpModeR::Base, secret_key, &encapped, info)
        .map_err(|_| CryptoFailed)?;
    context.open_inout_detached(text.into(), b"", &tag).map_err(|_| CryptoFailed)?;
    let mut exported = Zeroizing::new(vec![0; aead.response_nonce_bytes()]);
    context.export(response_label, &mut exported).map_err(|_| CryptoFailed)?;
    Ok(ResponseSecret { aead, enc: enc.to_vec(), exported })
}

impl ResponseSecret {
    #[cfg(test)]
    pub(super) fn from_parts(aead: Aead, enc: &[u8], exported: &[u8]) -> Self {
        Self { aead, enc: enc.to_vec(), exported: Zeroizing::new(exported.to_vec()) }
    }

    /// Length of the nonce that stands before the sealed response.
    pub(super) fn nonce_bytes(&self) -> usize {
        self.aead.response_nonce_bytes()
    }

    /// The `enc` of the request, for tests and for naming the exchange.
    pub(super) fn enc(&self) -> &[u8] {
        &self.enc
    }

    /// Seals a response under the key that `response_nonce` yields: `response_nonce || ciphertext`, written once.
    pub(super) fn seal(&self, response_nonce: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoFailed> {
        let (key, nonce) = self.derive(response_nonce)?;
        let length = response_nonce.len().checked_add(plaintext.len()).and_then(|n| n.checked_add(TAG_BYTES));
        let mut sealed = Vec::with_capacity(length.ok_or(CryptoFailed)?);
        sealed.extend_from_slice(response_nonce);
        sealed.extend_from_slice(plaintext);
        let text = sealed.get_mut(response_nonce.len()..).ok_or(CryptoFailed)?;
        let tag = match self.aead {
            Aead::Aes128Gcm => encrypt::<Aes128Gcm>(&key, &nonce, text),
            Aead::ChaCha20Poly1305 => encrypt::<ChaCha20Poly1305>(&key, &nonce, text),
        }?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens a response under the key that `response_nonce` yields.
    pub(super) fn open(&self, response_nonce: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, CryptoFailed> {
        let (key, nonce) = self.derive(response_nonce)?;
        match self.aead {
            Aead::Aes128Gcm => decrypt::<Aes128Gcm>(&key, &nonce, ciphertext),
            Aead::ChaCha20Poly1305 => decrypt::<ChaCha20Poly1305>(&key, &nonce, ciphertext),
        }
    }

    /// `prk = Extract(enc || response_nonce, exported)`, then `key` and `nonce` by `Expand`: RFC 9458 section 4.4.
    fn derive(&self, response_nonce: &[u8]) -> Result<(Zeroizing<Vec<u8>>, [u8; NONCE_BYTES]), CryptoFailed> {
        let mut salt = self.enc.clone();
        salt.extend_from_slice(response_nonce);
        let prk = Hkdf::<Sha256>::new(Some(&salt), &self.exported);
        let mut key = Zeroizing::new(vec![0; self.aead.key_bytes()]);
        prk.expand(b"key", &mut key).map_err(|_| CryptoFailed)?;
        let mut nonce = [0; NONCE_BYTES];
        prk.expand(b"nonce", &mut nonce).map_err(|_| CryptoFailed)?;
        Ok((key, nonce))
    }
}

/// Encrypts in place, and returns the tag.
fn encrypt<C: KeyInit + AeadInOut>(key: &[u8], nonce: &[u8], text: &mut [u8]) -> Result<Vec<u8>, CryptoFailed> {
    let cipher = C::new_from_slice(key).map_err(|_| CryptoFailed)?;
    let nonce = Nonce::<C>::try_from(nonce).map_err(|_| CryptoFailed)?;
    cipher.encrypt_inout_detached(&nonce, b"", text.into()).map(|tag| tag.to_vec()).map_err(|_| CryptoFailed)
}

fn decrypt<C: KeyInit + aes_gcm::aead::Aead>(
    key: &[u8],
    nonce: &[u8],
    ciphertext: &[u8],
) -> Result<Vec<u8>, CryptoFailed> {
    let cipher = C::new_from_slice(key).map_err(|_| CryptoFailed)?;
    let nonce = Nonce::<C>::try_from(nonce).map_err(|_| CryptoFailed)?;
    cipher.decrypt(&nonce, ciphertext).map_err(|_| CryptoFailed)
}
