//! Intel's certificates and CRLs as templates, shaped like the published ones; serial numbers equal the key identifier, as Intel's do.

use super::sgx_extension::{self, SgxExtension};
use crate::certificate::{Certificate, Extension, Name};
use crate::crl::Crl;
use crate::der;
use crate::keys::{Key, SignatureAlgorithm};
use crate::time::{DAY, YEAR};

/// Who issues PCK certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PckCa {
    /// Multi-socket platforms: the SGX extension also has the platform instance id and the configuration.
    Platform,
    /// Single-socket platforms.
    Processor,
}

impl PckCa {
    fn name(self) -> Name {
        match self {
            Self::Platform => Name::intel("Intel SGX PCK Platform CA"),
            Self::Processor => Name::intel("Intel SGX PCK Processor CA"),
        }
    }

    fn crl_url(self) -> String {
        let ca = match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        };
        format!("https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca={ca}&encoding=der")
    }
}

const ROOT_CRL_URL: &str = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";

fn root_name() -> Name {
    Name::intel("Intel SGX Root CA")
}

/// Authority, CRL and subject identifiers, then usage and constraints: the five extensions of every Intel certificate, in Intel's order.
fn extensions(issuer: &Key, crl_url: &str, key: &Key, usage: Extension, constraints: Extension) -> Vec<Extension> {
    vec![
        Extension::authority_key_id(&issuer.key_identifier()),
        Extension::crl_distribution_point(crl_url),
        Extension::subject_key_id(&key.key_identifier()),
        usage,
        constraints,
    ]
}

fn certificate(subject: Name, issuer: Name, window: (u64, u64), key: &Key, signer: &Key) -> Certificate {
    Certificate {
        version: Some(2),
        serial: der::unsigned(&key.key_identifier()),
        issuer,
        subject,
        not_before: window.0,
        not_after: window.1,
        public_key_info: key.public_key_info(),
        extensions: Vec::new(),
        algorithm: SignatureAlgorithm::Ecdsa,
        inner_identifier: None,
        outer_identifier: None,
        signer: signer.clone(),
        damaged_signature: false,
    }
}

/// Intel SGX Root CA.
pub(super) fn root(key: &Key, at: u64) -> Certificate {
    let mut root = certificate(root_name(), root_name(), (at - 8 * YEAR, at + 23 * YEAR), key, key);
    let constraints = Extension::basic_constraints(true, Some(1));
    root.extensions = extensions(key, ROOT_CRL_URL, key, Extension::key_usage(1, 0x06), constraints);
    root
}

/// Intel SGX PCK Platform CA or Processor CA.
pub(super) fn pck_ca(ca: PckCa, key: &Key, root: &Key, at: u64) -> Certificate {
    let mut intermediate = certificate(ca.name(), root_name(), (at - 8 * YEAR, at + 7 * YEAR), key, root);
    let constraints = Extension::basic_constraints(true, Some(0));
    intermediate.extensions = extensions(root, ROOT_CRL_URL, key, Extension::key_usage(1, 0x06), constraints);
    intermediate
}

/// Intel SGX TCB Signing.
pub(super) fn tcb_signing(key: &Key, root: &Key, at: u64) -> Certificate {
    let window = (at - YEAR, at + 6 * YEAR);
    let mut signing = certificate(Name::intel("Intel SGX TCB Signing"), root_name(), window, key, root);
    let constraints = Extension::basic_constraints(false, None);
    signing.extensions = extensions(root, ROOT_CRL_URL, key, Extension::key_usage(6, 0xC0), constraints);
    signing
}

/// Intel SGX PCK Certificate.
pub(super) fn pck(ca: PckCa, sgx: &SgxExtension, key: &Key, issuer: &Key, at: u64) -> Certificate {
    let window = (at - YEAR, at + 6 * YEAR);
    let mut pck = certificate(Name::intel("Intel SGX PCK Certificate"), ca.name(), window, key, issuer);
    let constraints = Extension::basic_constraints(false, None);
    pck.extensions = extensions(issuer, &ca.crl_url(), key, Extension::key_usage(6, 0xC0), constraints);
    pck.extensions.push(Extension::new(sgx_extension::OID, sgx.to_der()));
    pck
}

fn crl(issuer: Name, window: (u64, u64), signer: &Key) -> Crl {
    Crl {
        version: Some(1),
        issuer,
        this_update: window.0,
        next_update: Some(window.1),
        entries: Vec::new(),
        // Always 1: Intel's CRL number says nothing about age.
        extensions: vec![Crl::number(1), Extension::authority_key_id(&signer.key_identifier())],
        algorithm: SignatureAlgorithm::Ecdsa,
        inner_identifier: None,
        outer_identifier: None,
        signer: signer.clone(),
        damaged_signature: false,
    }
}

/// The root's CRL, empty.
pub(super) fn root_crl(root: &Key, at: u64) -> Crl {
    crl(root_name(), (at - 100 * DAY, at + 265 * DAY), root)
}

/// The PCK CA's CRL, with somebody else's certificate on it.
pub(super) fn pck_crl(ca: PckCa, key: &Key, at: u64) -> Crl {
    let mut crl = crl(ca.name(), (at - 10 * DAY, at + 20 * DAY), key);
    crl.revoke(&der::unsigned(&[0xA5; 20]));
    for entry in &mut crl.entries {
        entry.reason = Some(1);
    }
    crl
}
