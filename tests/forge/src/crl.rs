//! A certificate revocation list as a template (RFC 5280, section 5.1).

use crate::certificate::{Extension, Name, oid, signed};
use crate::der;
use crate::keys::{Key, SignatureAlgorithm};

/// One revoked certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// Content octets of the serial number.
    pub serial: Vec<u8>,
    /// Unix seconds.
    pub revoked_at: u64,
    /// reasonCode, as an entry extension.
    pub reason: Option<u8>,
}

/// A CRL that has not been signed yet.
#[derive(Clone)]
pub struct Crl {
    /// Version number as encoded: 1 means v2. `None` leaves it out (v1).
    pub version: Option<u64>,
    /// Issuer.
    pub issuer: Name,
    /// Unix seconds.
    pub this_update: u64,
    /// Unix seconds; `None` leaves the field out.
    pub next_update: Option<u64>,
    /// The list; when empty the field is left out.
    pub entries: Vec<RevokedCertificate>,
    /// Extensions in the order in which they are written.
    pub extensions: Vec<Extension>,
    /// How it is signed.
    pub algorithm: SignatureAlgorithm,
    /// Another AlgorithmIdentifier (DER) inside the signed part.
    pub inner_identifier: Option<Vec<u8>>,
    /// Another AlgorithmIdentifier (DER) beside the signature.
    pub outer_identifier: Option<Vec<u8>>,
    /// Who signs it.
    pub signer: Key,
    /// Spoil the signature by one bit.
    pub damaged_signature: bool,
}

impl Crl {
    /// cRLNumber.
    pub fn number(number: u64) -> Extension {
        Extension::new(oid::CRL_NUMBER, der::integer(number))
    }

    /// Puts the certificate with these serial content octets on the list.
    pub fn revoke(&mut self, serial: &[u8]) {
        let revoked_at = self.this_update;
        self.entries.push(RevokedCertificate { serial: serial.to_vec(), revoked_at, reason: None });
    }

    /// Encodes and signs.
    pub fn to_der(&self) -> Vec<u8> {
        let identifier = self.algorithm.identifier(&self.signer);
        let mut parts: Vec<Vec<u8>> = self.version.map(der::integer).into_iter().collect();
        parts.extend([
            self.inner_identifier.clone().unwrap_or_else(|| identifier.clone()),
            self.issuer.to_der(),
            der::time(self.this_update),
        ]);
        parts.extend(self.next_update.map(der::time));
        if !self.entries.is_empty() {
            let entries: Vec<Vec<u8>> = self.entries.iter().map(RevokedCertificate::to_der).collect();
            parts.push(der::sequence(&entries));
        }
        if !self.extensions.is_empty() {
            let extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::to_der).collect();
            parts.push(der::explicit(0, &der::sequence(&extensions)));
        }
        signed(
            &der::sequence(&parts),
            self.algorithm,
            self.outer_identifier.clone().unwrap_or(identifier),
            &self.signer,
            self.damaged_signature,
        )
    }
}

impl RevokedCertificate {
    fn to_der(&self) -> Vec<u8> {
        let mut parts = vec![der::element(der::tag::INTEGER, &self.serial), der::time(self.revoked_at)];
        parts.extend(self.reason.map(|reason| {
            let value = der::element(der::tag::ENUMERATED, &[reason]);
            der::sequence(&[Extension::new(oid::CRL_REASON, value).to_der()])
        }));
        der::sequence(&parts)
    }
}
