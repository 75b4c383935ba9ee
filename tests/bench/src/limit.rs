//! The limit of a case: its signature verifications and nothing else, with fresh keys over messages of the same length.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, KeyPair, ParsedPublicKey, RSA_PSS_2048_8192_SHA384, RSA_PSS_SHA384, RsaKeyPair,
    VerificationAlgorithm,
};

struct Signed {
    algorithm: &'static dyn VerificationAlgorithm,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// What a measurement ends with.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Signatures to verify.
pub struct Limit(Vec<Signed>);

impl Limit {
    /// ECDSA P-256 with SHA-256 over messages of these lengths.
    pub fn p256(lengths: &[usize]) -> Outcome<Self> {
        lengths.iter().map(|length| ecdsa(true, *length)).collect::<Outcome<_>>().map(Self)
    }

    /// ECDSA P-384 with SHA-384 over one message, and RSA-4096 PSS with SHA-384 over the others.
    pub fn p384_with_rsa(length: usize, rsa_lengths: &[usize]) -> Outcome<Self> {
        let mut all = vec![ecdsa(false, length)?];
        for length in rsa_lengths {
            let pair = RsaKeyPair::generate(KeySize::Rsa4096)?;
            let message = vec![0x5A; *length];
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PSS_SHA384, &SystemRandom::new(), &message, &mut signature)?;
            all.push(Signed {
                algorithm: &RSA_PSS_2048_8192_SHA384,
                key: pair.public_key().as_ref().to_vec(),
                message,
                signature,
            });
        }
        Ok(Self(all))
    }

    /// Whether every signature holds.
    pub fn verify(&self) -> bool {
        self.0.iter().all(|signed| {
            ParsedPublicKey::new(signed.algorithm, &signed.key)
                .is_ok_and(|key| key.verify_sig(&signed.message, &signed.signature).is_ok())
        })
    }
}

fn ecdsa(p256: bool, length: usize) -> Outcome<Signed> {
    let (signing, algorithm): (_, &'static dyn VerificationAlgorithm) = if p256 {
        (&ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED)
    } else {
        (&ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED)
    };
    let pair = EcdsaKeyPair::generate(signing)?;
    let message = vec![0x5A; length];
    let signature = pair.sign(&SystemRandom::new(), &message)?.as_ref().to_vec();
    Ok(Signed { algorithm, key: pair.public_key().as_ref().to_vec(), message, signature })
}
