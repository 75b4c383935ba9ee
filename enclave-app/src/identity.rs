//! The keys of one boot, all made here, after the kernel's random number generator is ready, and never leaving the
//! process.
//!
//! The TLS key and the receipt key live as long as the process; the keys that open requests live an epoch
//! ([`crate::epoch`]). Each stands in the manifest, and the manifest in the evidence, so that the three together name
//! an instance.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use teegate_protocol::manifest::{InstanceId, SpkiDigest};
use teegate_protocol::receipt::ReceiptKey;

/// Why there is no identity.
#[derive(Debug)]
pub enum IdentityError {
    /// The kernel gave no random bytes.
    NoRandomness,
    /// The TLS certificate could not be made.
    Certificate(rcgen::Error),
}

impl std::fmt::Display for IdentityError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoRandomness => f.write_str("the system gave no random bytes: getrandom(2) failed"),
            Self::Certificate(source) => write!(f, "TLS certificate could not be made: {source}"),
        }
    }
}

impl std::error::Error for IdentityError {}

/// What names this boot of the program, and the private keys behind it. No `Debug`, no `Clone`.
pub struct Identity {
    instance_id: InstanceId,
    receipt_key: ReceiptKey,
    tls_spki_sha256: SpkiDigest,
    certificate: CertificateDer<'static>,
    tls_key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    /// Makes all keys. Blocks until the kernel's generator is ready, which it says only through getrandom(2).
    ///
    /// # Errors
    /// [`IdentityError`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, IdentityError> {
        let mut instance_id = [0; 16];
        getrandom::fill(&mut instance_id).map_err(|_| IdentityError::NoRandomness)?;
        let receipt_key = ReceiptKey::generate().map_err(|_| IdentityError::NoRandomness)?;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(IdentityError::Certificate)?;
        // Nobody judges by name or issuer: the key counts, and it counts because the manifest names it.
        let parameters =
            rcgen::CertificateParams::new(["enclave.invalid".to_owned()]).map_err(IdentityError::Certificate)?;
        let certificate = parameters.self_signed(&key).map_err(IdentityError::Certificate)?;
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        Ok(Self {
            instance_id: InstanceId(instance_id),
            receipt_key,
            tls_spki_sha256: SpkiDigest::of(&spki),
            certificate: certificate.der().clone(),
            tls_key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    /// Random name of this boot.
    pub fn instance_id(&self) -> InstanceId {
        self.instance_id
    }

    /// The key that signs execution receipts.
    pub fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the TLS key.
    pub fn tls_spki_sha256(&self) -> SpkiDigest {
        self.tls_spki_sha256
    }

    /// The self-signed certificate and its key, for the listener.
    pub(crate) fn tls(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        (self.certificate.clone(), PrivateKeyDer::Pkcs8(self.tls_key.clone_key()))
    }
}
