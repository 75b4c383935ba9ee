//! What seals and opens one exchange: HPKE base mode (RFC 9180) the request, and the key that comes out of its context the response, by the
//! derivation of RFC 9458 section 4.4.

use super::hpke;
use super::suite::{Aead, Kem};
use crate::NoRandomness;
use crate::aws_lc::{CryptoFailed, NONCE_BYTES, TAG_BYTES, X25519Key, hkdf_expand, hkdf_extract};
use zeroize::Zeroizing;

/// A private key of one KEM; zeroised when dropped. It has no `Debug` and no `Clone`.
pub(super) enum SecretKey {
    /// DHKEM(X25519, HKDF-SHA256).
    X25519(X25519Key),
}

impl SecretKey {
    /// Makes a key.
    pub(super) fn generate(kem: Kem) -> Result<Self, NoRandomness> {
        match kem {
            Kem::X25519 => X25519Key::generate().map(Self::X25519),
        }
    }

    /// The key of known bytes: the RFCs print theirs.
    #[cfg(test)]
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self::X25519(X25519Key::from_bytes(bytes))
    }

    /// The encoded public key.
    pub(super) fn public_key(&self) -> Vec<u8> {
        match self {
            Self::X25519(key) => key.public().to_vec(),
        }
    }
}

/// What sealing or opening a request yields besides the text: the secret from which the response key is derived.
pub(super) struct ResponseSecret {
    aead: Aead,
    /// Salt of the derivation, together with the response nonce.
    enc: Vec<u8>,
    exported: Zeroizing<Vec<u8>>,
}

/// Seals `plaintext` to `public_key` in base mode with an empty AAD: `header || enc || ciphertext`, written once, and the response secret.
pub(super) fn seal(
    (kem, aead): (Kem, Aead),
    public_key: &[u8],
    (header, info): (&[u8], &[u8]),
    plaintext: &[u8],
    response_label: &[u8],
) -> Result<(Vec<u8>, ResponseSecret), CryptoFailed> {
    let ephemeral = SecretKey::generate(kem).map_err(|NoRandomness| CryptoFailed)?;
    seal_with(&ephemeral, aead, public_key, (header, info), plaintext, response_label)
}

/// [`seal`] with an ephemeral key that has not been used and will not be used again.
pub(super) fn seal_with(
    ephemeral: &SecretKey,
    aead: Aead,
    public_key: &[u8],
    (header, info): (&[u8], &[u8]),
    plaintext: &[u8],
    response_label: &[u8],
) -> Result<(Vec<u8>, ResponseSecret), CryptoFailed> {
    let SecretKey::X25519(ephemeral) = ephemeral;
    let shared_secret = hpke::encapsulate(ephemeral, fixed(public_key)?)?;
    let context = hpke::Context::new((Kem::X25519, aead), &shared_secret, info)?;
    let enc = ephemeral.public();
    let response = ResponseSecret::of(&context, aead, enc, response_label)?;
    let sealed = write_once(&[header, enc], plaintext, |text| context.seal_in_place(b"", text))?;
    Ok((sealed, response))
}

/// Opens what [`seal`] sealed, in the buffer that holds it: `text` is the ciphertext before and the plaintext after.
pub(super) fn open_in_place(
    aead: Aead,
    secret_key: &SecretKey,
    enc: &[u8],
    info: &[u8],
    text: (&mut [u8], &[u8]),
    response_label: &[u8],
) -> Result<ResponseSecret, CryptoFailed> {
    let SecretKey::X25519(secret_key) = secret_key;
    let shared_secret = hpke::decapsulate(fixed(enc)?, secret_key)?;
    let context = hpke::Context::new((Kem::X25519, aead), &shared_secret, info)?;
    let response = ResponseSecret::of(&context, aead, enc, response_label)?;
    context.open_in_place(b"", text)?;
    Ok(response)
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], CryptoFailed> {
    bytes.try_into().map_err(|_| CryptoFailed)
}

/// `before`, then `plaintext` as `seal` leaves it, then the tag that `seal` returns: one allocation, in which the text is sealed where it lies.
fn write_once(
    before: &[&[u8]],
    plaintext: &[u8],
    seal: impl FnOnce(&mut [u8]) -> Result<[u8; TAG_BYTES], CryptoFailed>,
) -> Result<Vec<u8>, CryptoFailed> {
    let start: usize = before.iter().map(|part| part.len()).sum();
    let length = start.checked_add(plaintext.len()).and_then(|length| length.checked_add(TAG_BYTES));
    let mut sealed = Vec::with_capacity(length.ok_or(CryptoFailed)?);
    for part in before {
        sealed.extend_from_slice(part);
    }
    sealed.extend_from_slice(plaintext);
    let tag = seal(sealed.get_mut(start..).ok_or(CryptoFailed)?)?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

impl ResponseSecret {
    fn of(context: &hpke::Context, aead: Aead, enc: &[u8], label: &[u8]) -> Result<Self, CryptoFailed> {
        let mut exported = Zeroizing::new(vec![0; aead.response_nonce_bytes()]);
        context.export(label, &mut exported)?;
        Ok(Self { aead, enc: enc.to_vec(), exported })
    }

    #[cfg(test)]
    pub(super) fn from_parts(aead: Aead, enc: &[u8], exported: &[u8]) -> Self {
        Self { aead, enc: enc.to_vec(), exported: Zeroizing::new(exported.to_vec()) }
    }

    /// Length of the nonce that stands before the sealed response.
    pub(super) fn nonce_bytes(&self) -> usize {
        self.aead.response_nonce_bytes()
    }

    /// Seals a response under the key that `response_nonce` yields: `response_nonce || ciphertext`, written once.
    pub(super) fn seal(&self, response_nonce: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoFailed> {
        let (key, nonce) = self.derive(response_nonce)?;
        let cipher = self.aead.cipher();
        write_once(&[response_nonce], plaintext, |text| cipher.seal_in_place(&key, nonce, b"", text))
    }

    /// Opens a response under the key that `response_nonce` yields. `ciphertext` ends with its tag.
    pub(super) fn open(&self, response_nonce: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, CryptoFailed> {
        let (text, tag) = ciphertext.split_last_chunk::<TAG_BYTES>().ok_or(CryptoFailed)?;
        let (key, nonce) = self.derive(response_nonce)?;
        self.aead.cipher().open(&key, nonce, b"", (text, tag))
    }

    /// `prk = Extract(enc || response_nonce, exported)`, then `key` and `nonce` by `Expand`: RFC 9458 section 4.4.
    fn derive(&self, response_nonce: &[u8]) -> Result<(Zeroizing<Vec<u8>>, [u8; NONCE_BYTES]), CryptoFailed> {
        let salt = [self.enc.as_slice(), response_nonce].concat();
        let prk = hkdf_extract(&salt, &[&self.exported]);
        let mut key = Zeroizing::new(vec![0; self.aead.key_bytes()]);
        hkdf_expand(&prk, &[b"key"], &mut key)?;
        let mut nonce = [0; NONCE_BYTES];
        hkdf_expand(&prk, &[b"nonce"], &mut nonce)?;
        Ok((key, nonce))
    }
}
