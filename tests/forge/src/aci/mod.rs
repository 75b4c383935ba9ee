//! A forged issuer of utility VM endorsements, and the context of a container group of Confidential ACI: a root, an intermediate and a
//! signer, shaped like the recorded ones (all RSA, sha384WithRSAEncryption), and a COSE_Sign1 under them.

pub mod cose;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::certificate::{Attribute, Certificate, Extension, Name, oid};
use crate::der;
use crate::keys::{Key, RsaRole, SignatureAlgorithm};
use crate::time::{AT, YEAR};

/// What utility VMs are endorsed for, as the recorded signer has it.
pub const EKU: &str = "1.3.6.1.4.1.311.76.59.1.2";
/// The other usage that the recorded signer has.
pub const OTHER_EKU: &str = "1.3.6.1.4.1.311.76.59.1.1";
/// The line of releases.
pub const FEED: &str = "ContainerPlat-AMD-UVM";
/// What the VM measures to.
pub const MEASUREMENT: [u8; 48] = [0xAC; 48];

/// Who signs the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signs {
    /// The first certificate's key.
    Signer,
    /// The key of the certificate above.
    Intermediate,
    /// Somebody else's.
    Stranger,
}

/// Builds one context. Every field is what is written, true or not; nothing else follows from it.
#[derive(Clone)]
pub struct AciBuilder {
    /// The security policy.
    pub policy: Vec<u8>,
    /// The issuer that the header names; `None` is that of this root, for [`EKU`].
    pub issuer: Option<String>,
    /// The feed that the header names.
    pub feed: String,
    /// The extended key usages of the signer; none at all leaves the extension out.
    pub usages: Vec<&'static str>,
    /// The algorithm that the header names: PS384.
    pub algorithm: i64,
    /// How it is signed.
    pub signature: SignatureAlgorithm,
    /// Whether the algorithm stands where no signature covers it.
    pub algorithm_unprotected: bool,
    /// Who signs.
    pub signs: Signs,
    /// The payload; `None` is that of [`MEASUREMENT`] and [`AciBuilder::svn`].
    pub payload: Option<Vec<u8>>,
    /// The launch measurement in the payload.
    pub measurement: [u8; 48],
    /// The version in the payload, as JSON.
    pub svn: String,
    /// Which of signer (0), intermediate (1) and root (2) stand in the chain, in this order.
    pub chain: Vec<usize>,
    /// Unix seconds of the signer's window.
    pub signer_window: (u64, u64),
    /// Unix seconds of the intermediate's window.
    pub intermediate_window: (u64, u64),
    /// Whether the intermediate may issue certificates.
    pub intermediate_is_ca: bool,
    /// Whether the signer may.
    pub signer_is_ca: bool,
    /// Which certificate has one bit of its signature wrong.
    pub damaged_certificate: Option<usize>,
    /// Another digest as x5t.
    pub thumbprint: Option<[u8; 32]>,
    /// Further labels of the protected header, encoded.
    pub more: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What stands in the security context of a container group, without base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The security policy.
    pub security_policy: Vec<u8>,
    /// The endorsement of the VM.
    pub reference_info: Vec<u8>,
    /// The name of its issuer that is true.
    pub issuer: String,
}

impl Context {
    /// What a host binds to the policy.
    pub fn host_data(&self) -> [u8; 32] {
        sha256(&self.security_policy)
    }

    /// The two files, as the platform writes them.
    pub fn files(&self) -> [(&'static str, String); 2] {
        [
            ("security-policy-base64", STANDARD.encode(&self.security_policy)),
            ("reference-info-base64", STANDARD.encode(&self.reference_info)),
        ]
    }
}

impl AciBuilder {
    pub(crate) fn new() -> Self {
        Self {
            policy: b"package policy\n\napi_version := \"0.10.0\"\n".to_vec(),
            issuer: None,
            feed: FEED.to_owned(),
            usages: vec![OTHER_EKU, EKU],
            algorithm: -38,
            signature: SignatureAlgorithm::Pss,
            algorithm_unprotected: false,
            signs: Signs::Signer,
            payload: None,
            measurement: MEASUREMENT,
            svn: "\"100\"".to_owned(),
            chain: vec![0, 1, 2],
            signer_window: (AT - YEAR / 2, AT + YEAR / 2),
            intermediate_window: (AT - 4 * YEAR, AT + 16 * YEAR),
            intermediate_is_ca: true,
            signer_is_ca: false,
            damaged_certificate: None,
            thumbprint: None,
            more: Vec::new(),
        }
    }

    /// Encodes and signs.
    pub fn build(&self) -> Context {
        let certificates = self.certificates();
        let issuer = format!("did:x509:0:sha256:{}::eku:{EKU}", URL_SAFE_NO_PAD.encode(sha256(&certificates[2])));
        let chain: Vec<Vec<u8>> = self.chain.iter().map(|index| cose::bytes(&certificates[*index])).collect();
        let chain = if let [only] = chain.as_slice() { only.clone() } else { cose::array(&chain) };
        let first = self.chain.first().map_or(0, |first| *first);
        let thumbprint = self.thumbprint.unwrap_or_else(|| sha256(&certificates[first]));
        let algorithm = (cose::number(1), cose::number(self.algorithm));
        let mut protected = vec![
            (cose::number(3), cose::text("application/json")),
            (cose::number(33), chain),
            (cose::number(34), cose::array(&[cose::number(-16), cose::bytes(&thumbprint)])),
            (cose::text("iss"), cose::text(self.issuer.as_deref().unwrap_or(&issuer))),
            (cose::text("feed"), cose::text(&self.feed)),
            (cose::text("signingtime"), cose::tagged(1, &cose::number(AT as i64))),
        ];
        let mut unprotected = vec![(cose::text("timestamp"), cose::bytes(b"not taken apart"))];
        if self.algorithm_unprotected {
            unprotected.insert(0, algorithm)
        } else {
            protected.insert(0, algorithm)
        }
        protected.extend(self.more.iter().cloned());
        let (protected, unprotected) = (cose::map(&protected), cose::map(&unprotected));
        let payload = self.payload.clone().unwrap_or_else(|| self.payload().into_bytes());
        let key = match self.signs {
            Signs::Signer => signer_key(),
            Signs::Intermediate => intermediate_key(),
            Signs::Stranger => Key::rsa(RsaRole::Stranger),
        };
        let signature = self.signature.sign(&key, &cose::to_be_signed(&protected, &payload));
        Context {
            security_policy: self.policy.clone(),
            reference_info: cose::sign1(&protected, &unprotected, &payload, &signature),
            issuer,
        }
    }

    fn payload(&self) -> String {
        let (svn, measurement) = (&self.svn, hex::encode(self.measurement));
        format!(
            "{{\n  \"x-ms-sevsnpvm-guestsvn\": {svn},\n  \"x-ms-sevsnpvm-launchmeasurement\": \"{measurement}\"\n}}"
        )
    }

    /// Signer, intermediate, root.
    fn certificates(&self) -> [Vec<u8>; 3] {
        let ca = |is_ca: bool| {
            let usage = if is_ca { Extension::key_usage(1, 0x86) } else { Extension::key_usage(7, 0x80) };
            vec![usage, Extension::basic_constraints(is_ca, None)]
        };
        let mut extensions = ca(self.signer_is_ca);
        if !self.usages.is_empty() {
            let usages: Vec<Vec<u8>> = self.usages.iter().map(|usage| der::oid(usage)).collect();
            extensions.push(Extension::new("2.5.29.37", der::sequence(&usages)));
        }
        let [root, intermediate] = ["Forged Supply Chain RSA Root CA", "Forged SCD Products RSA CA"];
        let signer = (signer_key(), "ContainerPlat", intermediate, self.signer_window, extensions);
        let above = (intermediate_key(), intermediate, root, self.intermediate_window, ca(self.intermediate_is_ca));
        let top = (root_key(), root, root, (AT - 4 * YEAR, AT + 20 * YEAR), ca(true));
        let signers = [intermediate_key(), root_key(), root_key()];
        let mut serial = 0;
        [signer, above, top].map(|(key, subject, issuer, (not_before, not_after), extensions)| {
            serial += 1;
            Certificate {
                version: Some(2),
                serial: vec![serial],
                issuer: name(issuer),
                subject: name(subject),
                not_before,
                not_after,
                public_key_info: key.public_key_info(),
                extensions,
                algorithm: SignatureAlgorithm::Pkcs1Sha384,
                inner_identifier: None,
                outer_identifier: None,
                signer: signers[usize::from(serial) - 1].clone(),
                damaged_signature: self.damaged_certificate == Some(usize::from(serial) - 1),
            }
            .to_der()
        })
    }
}

fn name(common_name: &str) -> Name {
    Name(vec![
        Attribute::printable(oid::COUNTRY, "US"),
        Attribute::printable(oid::ORGANIZATION, "Forged Corporation"),
        Attribute::printable(oid::COMMON_NAME, common_name),
    ])
}

fn root_key() -> Key {
    Key::rsa(RsaRole::Ark)
}

fn intermediate_key() -> Key {
    Key::rsa(RsaRole::Ask)
}

fn signer_key() -> Key {
    Key::rsa(RsaRole::Asvk)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("32 bytes")
}
