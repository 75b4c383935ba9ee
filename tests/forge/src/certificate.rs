//! An X.509 certificate as a template: every part can be overridden before it is signed (RFC 5280, section 4.1).

use crate::der;
use crate::keys::{Key, SignatureAlgorithm};

/// Object identifiers that more than one vendor uses.
pub mod oid {
    #![expect(missing_docs, reason = "the names are those of X.509")]
    pub const COMMON_NAME: &str = "2.5.4.3";
    pub const COUNTRY: &str = "2.5.4.6";
    pub const LOCALITY: &str = "2.5.4.7";
    pub const STATE: &str = "2.5.4.8";
    pub const ORGANIZATION: &str = "2.5.4.10";
    pub const ORGANIZATIONAL_UNIT: &str = "2.5.4.11";
    pub const SUBJECT_KEY_ID: &str = "2.5.29.14";
    pub const KEY_USAGE: &str = "2.5.29.15";
    pub const BASIC_CONSTRAINTS: &str = "2.5.29.19";
    pub const CRL_NUMBER: &str = "2.5.29.20";
    pub const CRL_REASON: &str = "2.5.29.21";
    pub const CRL_DISTRIBUTION_POINTS: &str = "2.5.29.31";
    pub const AUTHORITY_KEY_ID: &str = "2.5.29.35";
}

/// A distinguished name: one attribute per RDN, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub Vec<Attribute>);

/// One attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Dotted form.
    pub oid: String,
    /// Tag of the string type.
    pub tag: u8,
    /// The text.
    pub value: String,
}

impl Name {
    /// The name with which AMD writes this common name: the common name stands last.
    pub fn amd(common_name: &str) -> Self {
        Self(vec![
            Attribute::utf8(oid::ORGANIZATIONAL_UNIT, "Engineering"),
            Attribute::printable(oid::COUNTRY, "US"),
            Attribute::utf8(oid::LOCALITY, "Santa Clara"),
            Attribute::utf8(oid::STATE, "CA"),
            Attribute::utf8(oid::ORGANIZATION, "Advanced Micro Devices"),
            Attribute::utf8(oid::COMMON_NAME, common_name),
        ])
    }

    /// The name with which Intel writes this common name: the common name stands first.
    pub fn intel(common_name: &str) -> Self {
        Self(vec![
            Attribute::utf8(oid::COMMON_NAME, common_name),
            Attribute::utf8(oid::ORGANIZATION, "Intel Corporation"),
            Attribute::utf8(oid::LOCALITY, "Santa Clara"),
            Attribute::utf8(oid::STATE, "CA"),
            Attribute::printable(oid::COUNTRY, "US"),
        ])
    }

    /// DER.
    pub fn to_der(&self) -> Vec<u8> {
        let rdns: Vec<Vec<u8>> = self
            .0
            .iter()
            .map(|a| der::set(&[der::sequence(&[der::oid(&a.oid), der::element(a.tag, a.value.as_bytes())])]))
            .collect();
        der::sequence(&rdns)
    }
}

impl Attribute {
    /// With a UTF8String.
    pub fn utf8(oid: &str, value: &str) -> Self {
        Self { oid: oid.to_owned(), tag: der::tag::UTF8_STRING, value: value.to_owned() }
    }

    /// With a PrintableString.
    pub fn printable(oid: &str, value: &str) -> Self {
        Self { oid: oid.to_owned(), tag: der::tag::PRINTABLE_STRING, value: value.to_owned() }
    }
}

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Dotted form.
    pub oid: String,
    /// Written only when true.
    pub critical: bool,
    /// What stands inside the OCTET STRING `extnValue`.
    pub value: Vec<u8>,
}

impl Extension {
    /// An extension that is not critical.
    pub fn new(oid: &str, value: Vec<u8>) -> Self {
        Self { oid: oid.to_owned(), critical: false, value }
    }

    /// The same, critical.
    pub fn critical(oid: &str, value: Vec<u8>) -> Self {
        Self { oid: oid.to_owned(), critical: true, value }
    }

    /// keyUsage, critical: one octet of bits and the count of its unused bits.
    pub fn key_usage(unused: u8, bits: u8) -> Self {
        Self::critical(oid::KEY_USAGE, der::bit_string(unused, &[bits]))
    }

    /// basicConstraints, critical; cA false is the empty sequence.
    pub fn basic_constraints(ca: bool, path_length: Option<u64>) -> Self {
        let mut parts = Vec::new();
        if ca {
            parts.push(der::boolean(true));
        }
        parts.extend(path_length.map(der::integer));
        Self::critical(oid::BASIC_CONSTRAINTS, der::sequence(&parts))
    }

    /// subjectKeyIdentifier.
    pub fn subject_key_id(id: &[u8]) -> Self {
        Self::new(oid::SUBJECT_KEY_ID, der::octet_string(id))
    }

    /// authorityKeyIdentifier with a key identifier alone.
    pub fn authority_key_id(id: &[u8]) -> Self {
        Self::new(oid::AUTHORITY_KEY_ID, der::sequence(&[der::implicit(0, id)]))
    }

    /// cRLDistributionPoints with one URL.
    pub fn crl_distribution_point(url: &str) -> Self {
        let full_name = der::explicit(0, &der::implicit(6, url.as_bytes()));
        let point = der::sequence(&[der::explicit(0, &full_name)]);
        Self::new(oid::CRL_DISTRIBUTION_POINTS, der::sequence(&[point]))
    }

    /// DER.
    pub fn to_der(&self) -> Vec<u8> {
        let mut parts = vec![der::oid(&self.oid)];
        if self.critical {
            parts.push(der::boolean(true));
        }
        parts.push(der::octet_string(&self.value));
        der::sequence(&parts)
    }
}

/// A certificate that has not been signed yet. Whatever is set here is what gets signed.
#[derive(Clone)]
pub struct Certificate {
    /// Version number as encoded: 2 means v3. `None` leaves it out (v1).
    pub version: Option<u64>,
    /// Content octets of the serial number, written as they are.
    pub serial: Vec<u8>,
    /// Issuer.
    pub issuer: Name,
    /// Subject.
    pub subject: Name,
    /// Unix seconds.
    pub not_before: u64,
    /// Unix seconds.
    pub not_after: u64,
    /// SubjectPublicKeyInfo, DER.
    pub public_key_info: Vec<u8>,
    /// Extensions in the order in which they are written; none at all leaves the field out.
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

impl Certificate {
    /// Encodes and signs.
    pub fn to_der(&self) -> Vec<u8> {
        let identifier = self.algorithm.identifier(&self.signer);
        let outer = self.outer_identifier.clone().unwrap_or(identifier);
        signed(&self.to_be_signed(), self.algorithm, outer, &self.signer, self.damaged_signature)
    }

    /// What is signed: TBSCertificate, DER.
    pub fn to_be_signed(&self) -> Vec<u8> {
        let identifier = self.algorithm.identifier(&self.signer);
        let mut parts = Vec::new();
        parts.extend(self.version.map(|version| der::explicit(0, &der::integer(version))));
        parts.extend([
            der::element(der::tag::INTEGER, &self.serial),
            self.inner_identifier.clone().unwrap_or(identifier),
            self.issuer.to_der(),
            der::sequence(&[der::time(self.not_before), der::time(self.not_after)]),
            self.subject.to_der(),
            self.public_key_info.clone(),
        ]);
        if !self.extensions.is_empty() {
            let extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::to_der).collect();
            parts.push(der::explicit(3, &der::sequence(&extensions)));
        }
        der::sequence(&parts)
    }

    /// Sets the serial number to this value.
    pub fn set_serial(&mut self, value: u64) {
        self.serial = der::unsigned(&value.to_be_bytes());
    }

    /// Replaces the extension of the same OID, or adds it at the end.
    pub fn set_extension(&mut self, extension: Extension) {
        match self.extensions.iter_mut().find(|existing| existing.oid == extension.oid) {
            Some(existing) => *existing = extension,
            None => self.extensions.push(extension),
        }
    }

    /// Removes every extension of this OID.
    pub fn drop_extension(&mut self, oid: &str) {
        let before = self.extensions.len();
        self.extensions.retain(|extension| extension.oid != oid);
        assert_ne!(before, self.extensions.len(), "the certificate has no extension {oid} to drop");
    }

    /// Writes the extension of this OID once more, at the end.
    pub fn duplicate_extension(&mut self, oid: &str) {
        let copy = self.extensions.iter().find(|extension| extension.oid == oid);
        let copy = copy.unwrap_or_else(|| panic!("the certificate has no extension {oid} to repeat")).clone();
        self.extensions.push(copy);
    }

    /// Puts another key into the certificate.
    pub fn set_public_key(&mut self, key: &Key) {
        self.public_key_info = key.public_key_info();
    }
}

/// `SIGNED{}`: what is signed, the identifier beside it, the signature over it.
pub(crate) fn signed(
    tbs: &[u8],
    algorithm: SignatureAlgorithm,
    identifier: Vec<u8>,
    signer: &Key,
    damaged: bool,
) -> Vec<u8> {
    let mut signature = algorithm.sign(signer, tbs);
    if damaged {
        let last = signature.len() - 1;
        signature[last] ^= 1;
    }
    der::sequence(&[tbs.to_vec(), identifier, der::bit_string(0, &signature)])
}
