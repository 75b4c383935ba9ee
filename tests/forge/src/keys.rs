//! The forged vendors' keys, and every signature that is made with them.
//!
//! An RSA-4096 key takes half a second to two seconds to generate, so those are generated once per process, when first needed, and shared: by role,
//! not by product. Elliptic-curve keys take well under a millisecond and are fresh wherever they are asked for.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RsaEncoding,
};

use crate::der;

/// Who holds an RSA key. Every role has a key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsaRole {
    /// AMD Root Key.
    Ark,
    /// AMD SEV Key, which signs VCEKs.
    Ask,
    /// AMD SEV VLEK Key, which signs VLEKs.
    Asvk,
    /// Somebody who is none of these.
    Stranger,
    /// Somebody whose RSA key has 2,048 bits.
    Short,
    /// Attestation key of a vTPM: 2,048 bits.
    Ak,
    /// That of another VM.
    OtherAk,
}

/// A private key.
#[derive(Clone)]
pub struct Key(Arc<Private>);

enum Private {
    Rsa(rsa::KeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
}

impl Key {
    /// The RSA key of this role in this process.
    pub fn rsa(role: RsaRole) -> Self {
        static KEYS: [OnceLock<Key>; 7] = [const { OnceLock::new() }; 7];
        let is_short = matches!(role, RsaRole::Short | RsaRole::Ak | RsaRole::OtherAk);
        let size = if is_short { KeySize::Rsa2048 } else { KeySize::Rsa4096 };
        KEYS[role as usize]
            .get_or_init(|| Self(Arc::new(Private::Rsa(rsa::KeyPair::generate(size).expect("RSA key generation")))))
            .clone()
    }

    /// A fresh P-256 key.
    pub fn p256() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("P-256 key generation");
        Self(Arc::new(Private::P256(key)))
    }

    /// A fresh P-384 key.
    pub fn p384() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("P-384 key generation");
        Self(Arc::new(Private::P384(key)))
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn public_key_info(&self) -> Vec<u8> {
        let algorithm = match &*self.0 {
            Private::Rsa(_) => der::sequence(&[der::oid("1.2.840.113549.1.1.1"), der::null()]),
            Private::P256(_) => der::sequence(&[der::oid("1.2.840.10045.2.1"), der::oid("1.2.840.10045.3.1.7")]),
            Private::P384(_) => der::sequence(&[der::oid("1.2.840.10045.2.1"), der::oid("1.3.132.0.34")]),
        };
        der::sequence(&[algorithm, der::bit_string(0, &self.public_key_bits())])
    }

    /// SHA-1 of the subjectPublicKey bits (RFC 5280, 4.2.1.2, method 1).
    pub fn key_identifier(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.public_key_bits()).as_ref().to_vec()
    }

    /// The point x ‖ y of an elliptic-curve key, big-endian.
    pub fn point(&self) -> Vec<u8> {
        match &*self.0 {
            Private::Rsa(_) => panic!("an RSA key has no point"),
            _ => self.public_key_bits()[1..].to_vec(),
        }
    }

    /// The modulus of an RSA key of 2,048 bits, big-endian: its 256 bytes stand behind the headers of RSAPublicKey and a zero. Its
    /// exponent is 65,537.
    pub fn modulus(&self) -> Vec<u8> {
        let bits = self.public_key_bits();
        assert_eq!(bits.len(), 270, "an RSA key of 2,048 bits");
        bits[9..265].to_vec()
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256, as a TPM signs quotes.
    pub fn sign_pkcs1_sha256(&self, message: &[u8]) -> Vec<u8> {
        self.sign_rsa(&signature::RSA_PKCS1_SHA256, message)
    }

    /// Signs with the algorithm that belongs to the key: r ‖ s big-endian for ECDSA, the bare signature for RSA (PSS, SHA-384).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &*self.0 {
            Private::Rsa(_) => self.sign_rsa(&signature::RSA_PSS_SHA384, message),
            Private::P256(key) | Private::P384(key) => {
                key.sign(&SystemRandom::new(), message).expect("ECDSA signing").as_ref().to_vec()
            }
        }
    }

    fn sign_rsa(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let Private::Rsa(key) = &*self.0 else { panic!("an RSA signature was asked of an elliptic-curve key") };
        let mut out = vec![0; key.public_modulus_len()];
        key.sign(encoding, &SystemRandom::new(), message, &mut out).expect("RSA signing");
        out
    }

    fn public_key_bits(&self) -> Vec<u8> {
        match &*self.0 {
            // RSAPublicKey of PKCS #1, DER.
            Private::Rsa(key) => key.public_key().as_ref().to_vec(),
            Private::P256(key) | Private::P384(key) => key.public_key().as_ref().to_vec(),
        }
    }
}

/// How a certificate or CRL is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSASSA-PSS, SHA-384, salt 48; parameters without trailerField (52 bytes), as in CRLs and in leaves since December 2024.
    Pss,
    /// The same with an explicit trailerField 1 (57 bytes), as in AMD's CA certificates.
    PssExplicitTrailer,
    /// RSASSA-PSS with SHA-256, salt 32, and says so.
    PssSha256,
    /// RSASSA-PSS with SHA-512, salt 64, and says so.
    PssSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Pkcs1Sha384,
    /// ECDSA with the hash of its curve: SHA-256 for P-256, SHA-384 for P-384.
    Ecdsa,
}

impl SignatureAlgorithm {
    /// Its AlgorithmIdentifier; for ECDSA the key decides.
    pub fn identifier(self, signer: &Key) -> Vec<u8> {
        const SHA256: &str = "2.16.840.1.101.3.4.2.1";
        const SHA384: &str = "2.16.840.1.101.3.4.2.2";
        const SHA512: &str = "2.16.840.1.101.3.4.2.3";
        match self {
            Self::Pss => pss_identifier(SHA384, SHA384, 48, None),
            Self::PssExplicitTrailer => pss_identifier(SHA384, SHA384, 48, Some(1)),
            Self::PssSha256 => pss_identifier(SHA256, SHA256, 32, None),
            Self::PssSha512 => pss_identifier(SHA512, SHA512, 64, None),
            Self::Pkcs1Sha384 => der::sequence(&[der::oid("1.2.840.113549.1.1.12"), der::null()]),
            Self::Ecdsa => match &*signer.0 {
                Private::P384(_) => der::sequence(&[der::oid("1.2.840.10045.4.3.3")]),
                _ => der::sequence(&[der::oid("1.2.840.10045.4.3.2")]),
            },
        }
    }

    /// The signature value as it stands in the BIT STRING.
    pub fn sign(self, signer: &Key, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Pss | Self::PssExplicitTrailer => signer.sign_rsa(&signature::RSA_PSS_SHA384, message),
            Self::PssSha256 => signer.sign_rsa(&signature::RSA_PSS_SHA256, message),
            Self::PssSha512 => signer.sign_rsa(&signature::RSA_PSS_SHA512, message),
            Self::Pkcs1Sha384 => signer.sign_rsa(&signature::RSA_PKCS1_SHA384, message),
            Self::Ecdsa => {
                let fixed = signer.sign(message);
                let (r, s) = fixed.split_at(fixed.len() / 2);
                der::sequence(&[r, s].map(|part| der::element(der::tag::INTEGER, &der::unsigned(part))))
            }
        }
    }
}

/// AlgorithmIdentifier of RSASSA-PSS with any parameters, true or not: hash OIDs in dotted form, salt length, trailerField if written.
pub fn pss_identifier(hash: &str, mgf_hash: &str, salt: u64, trailer: Option<u64>) -> Vec<u8> {
    let hash_identifier = |hash: &str| der::sequence(&[der::oid(hash), der::null()]);
    let mgf = der::sequence(&[der::oid("1.2.840.113549.1.1.8"), hash_identifier(mgf_hash)]);
    let mut parameters =
        vec![der::explicit(0, &hash_identifier(hash)), der::explicit(1, &mgf), der::explicit(2, &der::integer(salt))];
    parameters.extend(trailer.map(|value| der::explicit(3, &der::integer(value))));
    der::sequence(&[der::oid("1.2.840.113549.1.1.10"), der::sequence(&parameters)])
}
