//! Hybrid public key encryption, RFC 9180: base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, and one message in a context.
//!
//! The names are the RFC's. A context seals or opens once, with the sequence number 0, for which the nonce is `base_nonce` itself (section 5.2).

use super::suite::{Aead, HKDF_SHA256, Kem};
use crate::aws_lc::{CryptoFailed, NONCE_BYTES, TAG_BYTES, X25519Key, hkdf_expand, hkdf_extract};
use zeroize::Zeroizing;

const VERSION: &[u8] = b"HPKE-v1";
const MODE_BASE: u8 = 0x00;

/// `Encap`, section 4.1: the shared secret with the owner of `public_key`. What is encapsulated is the public key of `ephemeral`.
pub(super) fn encapsulate(ephemeral: &X25519Key, public_key: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, CryptoFailed> {
    extract_and_expand(&*ephemeral.agree(public_key)?, ephemeral.public(), public_key)
}

/// `Decap`, section 4.1: the shared secret with whoever made `enc`.
pub(super) fn decapsulate(enc: &[u8; 32], secret_key: &X25519Key) -> Result<Zeroizing<[u8; 32]>, CryptoFailed> {
    extract_and_expand(&*secret_key.agree(enc)?, enc, secret_key.public())
}

/// `ExtractAndExpand`, section 4.1, with `kem_context = enc || pkRm`.
fn extract_and_expand(
    dh: &[u8; 32],
    enc: &[u8; 32],
    public_key: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, CryptoFailed> {
    let [high, low] = Kem::X25519.id().to_be_bytes();
    let labelled = Labelled { suite_id: &[b'K', b'E', b'M', high, low] };
    let eae_prk = labelled.extract(b"", b"eae_prk", dh);
    let mut shared_secret = Zeroizing::new([0; 32]);
    labelled.expand(&eae_prk, b"shared_secret", &[enc, public_key], shared_secret.as_mut_slice())?;
    Ok(shared_secret)
}

/// What a shared secret and `info` lead to: the key of one message, and the secret of the exports.
pub(super) struct Context {
    aead: Aead,
    suite_id: [u8; 10],
    key: Zeroizing<[u8; 32]>,
    base_nonce: [u8; NONCE_BYTES],
    exporter_secret: Zeroizing<[u8; 32]>,
}

impl Context {
    /// `KeySchedule`, section 5.1, in base mode: without a pre-shared key.
    pub(super) fn new((kem, aead): (Kem, Aead), shared_secret: &[u8; 32], info: &[u8]) -> Result<Self, CryptoFailed> {
        let suite_id = suite_id(kem, aead);
        let labelled = Labelled { suite_id: &suite_id };
        let psk_id_hash = labelled.extract(b"", b"psk_id_hash", b"");
        let info_hash = labelled.extract(b"", b"info_hash", info);
        let key_schedule_context: [&[u8]; 3] = [&[MODE_BASE], psk_id_hash.as_slice(), info_hash.as_slice()];
        let secret = labelled.extract(shared_secret, b"secret", b"");
        let mut context = Self {
            aead,
            suite_id,
            key: Zeroizing::new([0; 32]),
            base_nonce: [0; NONCE_BYTES],
            exporter_secret: Zeroizing::new([0; 32]),
        };
        let key = context.key.get_mut(..aead.key_bytes()).ok_or(CryptoFailed)?;
        labelled.expand(&secret, b"key", &key_schedule_context, key)?;
        labelled.expand(&secret, b"base_nonce", &key_schedule_context, &mut context.base_nonce)?;
        labelled.expand(&secret, b"exp", &key_schedule_context, context.exporter_secret.as_mut_slice())?;
        Ok(context)
    }

    /// `Export`, section 5.3, until `output` is full.
    pub(super) fn export(&self, exporter_context: &[u8], output: &mut [u8]) -> Result<(), CryptoFailed> {
        Labelled { suite_id: &self.suite_id }.expand(&self.exporter_secret, b"sec", &[exporter_context], output)
    }

    /// `Seal`, section 5.2, of the one message, where it lies: its tag.
    pub(super) fn seal_in_place(self, aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG_BYTES], CryptoFailed> {
        self.aead.cipher().seal_in_place(self.message_key()?, self.base_nonce, aad, text)
    }

    /// `Open`, section 5.2, of the one message, where it lies.
    pub(super) fn open_in_place(self, aad: &[u8], text: (&mut [u8], &[u8])) -> Result<(), CryptoFailed> {
        self.aead.cipher().open_in_place(self.message_key()?, self.base_nonce, aad, text)
    }

    /// The key is as long as the AEAD's keys are (`Nk`).
    fn message_key(&self) -> Result<&[u8], CryptoFailed> {
        self.key.get(..self.aead.key_bytes()).ok_or(CryptoFailed)
    }
}

/// `"HPKE" || kem_id || kdf_id || aead_id`, section 5.1.
fn suite_id(kem: Kem, aead: Aead) -> [u8; 10] {
    let [kem_high, kem_low] = kem.id().to_be_bytes();
    let [kdf_high, kdf_low] = HKDF_SHA256.to_be_bytes();
    let [aead_high, aead_low] = aead.id().to_be_bytes();
    [b'H', b'P', b'K', b'E', kem_high, kem_low, kdf_high, kdf_low, aead_high, aead_low]
}

/// The labelled functions of section 4, of one suite.
struct Labelled<'a> {
    suite_id: &'a [u8],
}

impl Labelled<'_> {
    /// `LabeledExtract`.
    fn extract(&self, salt: &[u8], label: &[u8], ikm: &[u8]) -> Zeroizing<[u8; 32]> {
        hkdf_extract(salt, &[VERSION, self.suite_id, label, ikm])
    }

    /// `LabeledExpand`, with `info` in at most three parts, until `output` is full.
    fn expand(&self, secret: &[u8; 32], label: &[u8], info: &[&[u8]], output: &mut [u8]) -> Result<(), CryptoFailed> {
        let length = u16::try_from(output.len()).map_err(|_| CryptoFailed)?.to_be_bytes();
        let mut parts: Vec<&[u8]> = vec![&length, VERSION, self.suite_id, label];
        parts.extend_from_slice(info);
        hkdf_expand(secret, &parts, output)
    }
}

#[cfg(test)]
mod tests;
