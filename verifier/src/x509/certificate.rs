//! X.509 certificates (RFC 5280, section 4), borrowed from the bytes that the signature covers.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::der::{
    self, BIT_STRING, Der, DerError, IA5_STRING, INTEGER, NULL, OCTET_STRING, OID, PRINTABLE_STRING, ReadTime as _,
    SEQUENCE, SET, UTF8_STRING, context,
};
use crate::bytes::to_hex;
use crate::signature::{Digest, Scheme, Share, Signatures, Statement, sha256};
use crate::statement::{Readable, Source};
use crate::time::UnixTime;
use crate::words::Text;

/// An algorithm of a certificate's signature; every other is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SignatureAlgorithm {
    EcdsaSha256,
    EcdsaSha384,
    RsaPssSha384,
    /// Of no vendor of hardware: only [`Certificate::is_signed_in_a_path_by`] takes it.
    RsaPkcs1Sha256,
    /// The same.
    RsaPkcs1Sha384,
    /// Anything else, with other parameters or of another kind.
    Other,
}

/// The subject's public key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum PublicKey {
    /// An uncompressed point, 65 bytes.
    P256(Bytes),
    /// An uncompressed point, 97 bytes.
    P384(Bytes),
    /// An `RSAPublicKey`, with the bits of its modulus.
    Rsa { key: Bytes, bits: usize },
    /// 32 bytes. No certificate of a vendor has one.
    Ed25519(Bytes),
    /// Anything else.
    Other,
}

impl PublicKey {
    /// What kind of key this is, for reports.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::P256(_) => "a P-256 key".to_owned(),
            Self::P384(_) => "a P-384 key".to_owned(),
            Self::Rsa { bits, .. } => format!("an RSA key of {bits} bits"),
            Self::Ed25519(_) => "an Ed25519 key".to_owned(),
            Self::Other => "a key of another kind".to_owned(),
        }
    }

    /// Whether this key signed `statement`, paid out of `share`, in the form that X.509 gives signatures.
    pub(crate) fn signed(
        &self,
        share: Share,
        algorithm: SignatureAlgorithm,
        statement: Statement<'_>,
        signatures: &mut Signatures<'_>,
    ) -> bool {
        let (scheme, key) = match (self, algorithm) {
            (Self::P256(point), SignatureAlgorithm::EcdsaSha256) => (Scheme::EcdsaP256Der, point),
            (Self::P384(point), SignatureAlgorithm::EcdsaSha384) => (Scheme::EcdsaP384Der, point),
            (Self::Rsa { key, .. }, SignatureAlgorithm::RsaPssSha384) => (Scheme::RsaPssSha384, key),
            _ => return false,
        };
        signatures.endorsement_holds(share, scheme, key, statement)
    }
}

/// One extension, undecoded.
#[derive(Debug)]
pub(crate) struct Extension {
    pub(crate) oid: Bytes,
    pub(crate) critical: bool,
    pub(crate) value: Bytes,
}

/// A parsed certificate: parts of the bytes that it was read from.
#[derive(Debug)]
pub(crate) struct Certificate {
    tbs: Bytes,
    pub(crate) serial: Bytes,
    pub(crate) issuer: Bytes,
    pub(crate) subject: Bytes,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    pub(crate) spki: Bytes,
    pub(crate) key: PublicKey,
    pub(crate) extensions: Vec<Extension>,
    /// RFC 5280, section 4.2 forbids it; such a certificate is read, so that the refusal can say why.
    pub(crate) repeats_an_extension: bool,
    pub(crate) algorithm: SignatureAlgorithm,
    signature: Bytes,
    name: OnceLock<Digest>,
    common_name: OnceLock<Option<Arc<str>>>,
    name_and_key: OnceLock<Arc<str>>,
    powers: OnceLock<der::Result<Powers>>,
    reading: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Readable for Certificate {
    type Hint = ();
    type Error = DerError;

    fn hint(_: &Bytes) -> Option<()> {
        None
    }

    fn read(der: &Bytes) -> Result<Self, DerError> {
        Self::parse(der)
    }
}

/// RFC 5280, section 4.1.2.2 allows 20, and some issue 21. A bound, because reports show serial numbers.
const MAX_SERIAL: usize = 32;
/// RFC 5280, appendix A.1, ub-common-name. A bound, because reports show names.
const MAX_COMMON_NAME: usize = 64;
/// No certificate of AMD or Intel has more than sixteen.
const MAX_EXTENSIONS: usize = 32;

impl Certificate {
    /// Parses one certificate, which must fill `input`.
    pub(crate) fn parse(input: &Bytes) -> der::Result<Self> {
        let part = |bytes: &[u8]| input.slice_ref(bytes);
        let mut outer = Der::new(input);
        let mut certificate = outer.nested(SEQUENCE)?;
        outer.end()?;
        let tbs = certificate.element(SEQUENCE)?;
        let algorithm = certificate.element(SEQUENCE)?;
        let signature = certificate.bit_string()?;
        certificate.end()?;

        let mut fields = Der::new(tbs.content);
        let mut version = fields.nested(context(0))?;
        if version.unsigned(INTEGER)? != 2 {
            return Err(DerError("a certificate that is not of version 3"));
        }
        version.end()?;
        let serial = fields.integer()?;
        if serial.len() > MAX_SERIAL {
            return Err(DerError("a serial number of more than 32 bytes"));
        }
        if fields.element(SEQUENCE)?.whole != algorithm.whole {
            return Err(DerError("two different signature algorithms in one certificate"));
        }
        let issuer = fields.element(SEQUENCE)?.whole;
        let mut validity = fields.nested(SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        validity.end()?;
        let subject = fields.element(SEQUENCE)?.whole;
        let spki = fields.element(SEQUENCE)?;
        let key = parse_key(input, spki.content)?;
        let (extensions, repeats_an_extension) = match fields.peek() {
            Some(_) => parse_extensions(input, fields.nested(context(3))?)?,
            None => (Vec::new(), false),
        };
        fields.end()?;
        Ok(Self {
            tbs: part(tbs.whole),
            serial: part(serial),
            issuer: part(issuer),
            subject: part(subject),
            not_before,
            not_after,
            spki: part(spki.whole),
            key,
            extensions,
            repeats_an_extension,
            algorithm: parse_algorithm(algorithm.content)?,
            signature: part(signature),
            name: OnceLock::new(),
            common_name: OnceLock::new(),
            name_and_key: OnceLock::new(),
            powers: OnceLock::new(),
            reading: OnceLock::new(),
        })
    }

    /// Whether `issuer` signed this certificate; paid out of `share`.
    pub(crate) fn is_signed_by(&self, share: Share, issuer: &PublicKey, signatures: &mut Signatures<'_>) -> bool {
        let statement = Statement { message: &self.tbs, signature: &self.signature, name: &self.name };
        issuer.signed(share, self.algorithm, statement, signatures)
    }

    /// Whether `issuer` signed this certificate, which stands in the path of a signer that a policy or a user names: such paths
    /// also use what no vendor of hardware uses.
    pub(crate) fn is_signed_in_a_path_by(
        &self,
        share: Share,
        issuer: &PublicKey,
        signatures: &mut Signatures<'_>,
    ) -> bool {
        let (scheme, key) = match (issuer, self.algorithm) {
            (PublicKey::Rsa { key, .. }, SignatureAlgorithm::RsaPkcs1Sha256) => (Scheme::RsaPkcs1Sha256, key),
            (PublicKey::Rsa { key, .. }, SignatureAlgorithm::RsaPkcs1Sha384) => (Scheme::RsaPkcs1Sha384, key),
            _ => return self.is_signed_by(share, issuer, signatures),
        };
        let statement = Statement { message: &self.tbs, signature: &self.signature, name: &self.name };
        signatures.endorsement_holds(share, scheme, key, statement)
    }

    /// What its key may be used for beyond the key usage, each as the content of an object identifier; `None` where that is
    /// not said.
    pub(crate) fn extended_key_usages(&self) -> der::Result<Option<Vec<&[u8]>>> {
        let Some(value) = self.extension(EXTENDED_KEY_USAGE) else { return Ok(None) };
        let mut outer = Der::new(value);
        let mut list = outer.nested(SEQUENCE)?;
        outer.end()?;
        let mut usages = Vec::new();
        while !list.is_empty() {
            usages.push(list.content(OID)?);
        }
        Ok(Some(usages))
    }

    /// As [`Certificate::extension_complaint`], where the extended key usage is processed too.
    pub(crate) fn extension_complaint_in_a_path(&self) -> Option<&'static str> {
        self.complaint_but_for(&[BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE])
    }

    /// Whether both are the same bytes, but for what no signature covers.
    pub(crate) fn is_the_same_as(&self, other: &Certificate) -> bool {
        self.tbs == other.tbs && self.signature == other.signature
    }

    /// Whether it signed itself, as a root does.
    pub(crate) fn is_self_signed(&self) -> bool {
        self.issuer == self.subject
            && self.is_signed_by(Share::Certificates(Source::Supplied), &self.key, &mut Signatures::stateless())
    }

    /// Whether it is valid at `now`, both ends included.
    pub(crate) fn is_valid_at(&self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The value of an extension.
    pub(crate) fn extension(&self, oid: &[u8]) -> Option<&[u8]> {
        self.extensions.iter().find(|extension| extension.oid == oid).map(|extension| &*extension.value)
    }

    /// The subject's common name.
    pub(crate) fn common_name(&self) -> Option<&str> {
        self.name().as_deref()
    }

    /// The same to be kept, or what is said of who has none.
    pub(crate) fn name_or(&self, none: &'static str) -> Text {
        self.name().clone().map_or(Text::Borrowed(none), Text::Name)
    }

    /// The same, shared.
    pub(crate) fn name(&self) -> &Option<Arc<str>> {
        self.common_name.get_or_init(|| common_name(&self.subject).map(Arc::from))
    }

    /// The subject's common name and the first 8 bytes of the digest of its key: names repeat, keys do not.
    pub(crate) fn name_and_key(&self) -> String {
        self.shared_name_and_key().to_string()
    }

    /// The same to be kept: the digest is made once.
    pub(crate) fn shared_name_and_key(&self) -> &Arc<str> {
        self.name_and_key.get_or_init(|| {
            let digest = sha256(&[&self.spki]);
            let short = to_hex(digest.first_chunk::<8>().unwrap_or(&[0; 8]));
            format!("{} (key {short})", self.common_name().unwrap_or("?")).into()
        })
    }

    /// The issuer's common name.
    pub(crate) fn issuer_name(&self) -> Option<&str> {
        common_name(&self.issuer)
    }

    /// What its vendor's extensions say, in the type of the one platform that reads them, and read once; `None` where another
    /// was first.
    pub(crate) fn read_once<T: Any + Send + Sync>(&self, read: impl FnOnce(&Self) -> T) -> Option<&T> {
        self.reading.get_or_init(|| Box::new(read(self))).downcast_ref()
    }

    /// What the basic constraints and key usage allow the subject to do.
    pub(crate) fn powers(&self) -> der::Result<Powers> {
        *self.powers.get_or_init(|| self.read_powers())
    }

    fn read_powers(&self) -> der::Result<Powers> {
        let (ca, path_length) = match self.extension(BASIC_CONSTRAINTS) {
            Some(value) => parse_basic_constraints(value)?,
            None => (false, None),
        };
        let usage = self.extension(KEY_USAGE).map(parse_key_usage).transpose()?;
        Ok(Powers { ca, path_length, usage })
    }

    /// What in its extensions forbids to rely on it (RFC 5280, section 4.2): one that is critical and not processed
    /// here, or one that stands twice.
    pub(crate) fn extension_complaint(&self) -> Option<&'static str> {
        self.complaint_but_for(&[BASIC_CONSTRAINTS, KEY_USAGE])
    }

    fn complaint_but_for(&self, processed: &[&[u8]]) -> Option<&'static str> {
        if self.repeats_an_extension {
            Some("the same extension twice")
        } else if self.extensions.iter().any(|extension| extension.critical && !processed.contains(&&*extension.oid)) {
            Some("an unknown critical extension")
        } else {
            None
        }
    }
}

/// What a certificate allows its subject to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Powers {
    pub(crate) ca: bool,
    pub(crate) path_length: Option<u32>,
    /// Key usage, bit 0 (digitalSignature) highest; `None` where the extension is absent.
    pub(crate) usage: Option<u16>,
}

impl Powers {
    /// May issue certificates, with at most `below` intermediates beneath it.
    pub(crate) fn may_issue(&self, below: u32) -> bool {
        self.ca
            && self.path_length.is_none_or(|length| length >= below)
            && self.usage.is_some_and(|usage| usage & KEY_CERT_SIGN != 0)
    }

    /// May sign what is no certificate and no list, and nothing of those: what an end entity of Intel's does.
    pub(crate) fn only_signs(&self) -> bool {
        !self.ca
            && self.usage.is_some_and(|usage| usage & DIGITAL_SIGNATURE != 0 && usage & (KEY_CERT_SIGN | CRL_SIGN) == 0)
    }

    /// The same of a signer of whom nothing is said but by the names of its issuers: a key usage may be absent.
    pub(crate) fn may_sign_as_an_end(&self) -> bool {
        !self.ca && self.usage.is_none_or(|_| self.only_signs())
    }

    /// May sign CRLs.
    pub(crate) fn may_revoke(&self) -> bool {
        self.usage.is_some_and(|usage| usage & CRL_SIGN != 0)
    }
}

const DIGITAL_SIGNATURE: u16 = 0x8000;
const KEY_CERT_SIGN: u16 = 0x8000 >> 5;
const CRL_SIGN: u16 = 0x8000 >> 6;

const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13]; // 2.5.29.19
const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F]; // 2.5.29.15
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x25]; // 2.5.29.37
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03]; // 2.5.4.3

const ECDSA_WITH_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02]; // 1.2.840.10045.4.3.2
const ECDSA_WITH_SHA384: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03]; // 1.2.840.10045.4.3.3
const RSASSA_PSS: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0A]; // 1.2.840.113549.1.1.10
const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01]; // 1.2.840.113549.1.1.1
const SHA256_WITH_RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B]; // 1.2.840.113549.1.1.11
const SHA384_WITH_RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0C]; // 1.2.840.113549.1.1.12
const ED25519: &[u8] = &[0x2B, 0x65, 0x70]; // 1.3.101.112
const MGF1: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x08]; // 1.2.840.113549.1.1.8
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02]; // 2.16.840.1.101.3.4.2.2
const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]; // 1.2.840.10045.2.1
const PRIME256V1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07]; // 1.2.840.10045.3.1.7
const SECP384R1: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22]; // 1.3.132.0.34

/// The algorithm that an `AlgorithmIdentifier` names (its content); shared with CRLs.
pub(super) fn parse_algorithm(content: &[u8]) -> der::Result<SignatureAlgorithm> {
    let mut fields = Der::new(content);
    let oid = fields.content(OID)?;
    Ok(match oid {
        ECDSA_WITH_SHA256 if fields.is_empty() => SignatureAlgorithm::EcdsaSha256,
        ECDSA_WITH_SHA384 if fields.is_empty() => SignatureAlgorithm::EcdsaSha384,
        RSASSA_PSS if is_pss_sha384(fields).unwrap_or(false) => SignatureAlgorithm::RsaPssSha384,
        SHA256_WITH_RSA if is_null(fields) => SignatureAlgorithm::RsaPkcs1Sha256,
        SHA384_WITH_RSA if is_null(fields) => SignatureAlgorithm::RsaPkcs1Sha384,
        _ => SignatureAlgorithm::Other,
    })
}

/// Whether the parameters are the NULL that RFC 4055, section 5 asks for.
fn is_null(mut parameters: Der<'_>) -> bool {
    parameters.content(NULL).is_ok_and(<[u8]>::is_empty) && parameters.is_empty()
}

/// Whether the parameters say SHA-384, MGF1 with SHA-384, salt 48 and trailer 1, and nothing else.
///
/// AMD writes the default trailerField in some certificates and leaves it out in others; strict DER would leave it out.
fn is_pss_sha384(mut fields: Der<'_>) -> der::Result<bool> {
    let mut parameters = fields.nested(SEQUENCE)?;
    fields.end()?;
    let hash = is_sha384(&mut parameters.nested(context(0))?)?;
    let mut wrapper = parameters.nested(context(1))?;
    let mut mask = wrapper.nested(SEQUENCE)?;
    wrapper.end()?;
    let mask = mask.content(OID)? == MGF1 && is_sha384(&mut mask)?;
    let salt = wrapped_number(&mut parameters, context(2))? == 48;
    let trailer = parameters.is_empty() || wrapped_number(&mut parameters, context(3))? == 1;
    parameters.end()?;
    Ok(hash && mask && salt && trailer)
}

fn wrapped_number(fields: &mut Der<'_>, tag: u8) -> der::Result<u32> {
    let mut wrapper = fields.nested(tag)?;
    let number = wrapper.unsigned(INTEGER)?;
    wrapper.end()?;
    Ok(number)
}

fn is_sha384(fields: &mut Der<'_>) -> der::Result<bool> {
    let mut algorithm = fields.nested(SEQUENCE)?;
    fields.end()?;
    let named = algorithm.content(OID)? == SHA384;
    if !algorithm.is_empty() {
        algorithm.content(NULL)?;
    }
    algorithm.end()?;
    Ok(named)
}

/// The key of a `SubjectPublicKeyInfo` that stands alone and fills `input`.
pub(crate) fn public_key(input: &Bytes) -> der::Result<PublicKey> {
    let mut outer = Der::new(input);
    let spki = outer.content(SEQUENCE)?;
    outer.end()?;
    parse_key(input, spki)
}

fn parse_key(input: &Bytes, spki: &[u8]) -> der::Result<PublicKey> {
    let mut fields = Der::new(spki);
    let mut algorithm = fields.nested(SEQUENCE)?;
    let key = fields.bit_string()?;
    fields.end()?;
    let part = || input.slice_ref(key);
    Ok(match algorithm.content(OID)? {
        EC_PUBLIC_KEY => match (algorithm.content(OID)?, key) {
            (PRIME256V1, [4, ..]) if key.len() == 65 => PublicKey::P256(part()),
            (SECP384R1, [4, ..]) if key.len() == 97 => PublicKey::P384(part()),
            _ => PublicKey::Other,
        },
        RSA_ENCRYPTION => PublicKey::Rsa { key: part(), bits: modulus_bits(key)? },
        ED25519 if algorithm.is_empty() && key.len() == 32 => PublicKey::Ed25519(part()),
        _ => PublicKey::Other,
    })
}

fn modulus_bits(key: &[u8]) -> der::Result<usize> {
    let modulus = Der::new(key).nested(SEQUENCE)?.integer()?;
    let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    Ok(modulus.len().saturating_mul(8).saturating_sub(usize::try_from(leading).unwrap_or(0)))
}

fn parse_extensions(input: &Bytes, mut wrapper: Der<'_>) -> der::Result<(Vec<Extension>, bool)> {
    let mut list = wrapper.nested(SEQUENCE)?;
    wrapper.end()?;
    if list.is_empty() {
        return Err(DerError("an empty list of extensions")); // RFC 5280, section 4.1: SIZE (1..MAX)
    }
    let mut extensions: Vec<Extension> = Vec::with_capacity(16);
    let mut repeated = false;
    while !list.is_empty() {
        let (oid, critical, value) = parse_extension(&mut list)?;
        repeated |= extensions.iter().any(|earlier| earlier.oid == oid);
        if extensions.len() == MAX_EXTENSIONS {
            return Err(DerError("more than 32 extensions"));
        }
        extensions.push(Extension { oid: input.slice_ref(oid), critical, value: input.slice_ref(value) });
    }
    Ok((extensions, repeated))
}

/// One `Extension`, as object identifier, criticality and value; shared with CRLs.
pub(super) fn parse_extension<'a>(list: &mut Der<'a>) -> der::Result<(&'a [u8], bool, &'a [u8])> {
    let mut fields = list.nested(SEQUENCE)?;
    let oid = fields.content(OID)?;
    let critical = fields.peek() == Some(der::BOOLEAN) && fields.boolean()?;
    let value = fields.content(OCTET_STRING)?;
    fields.end()?;
    Ok((oid, critical, value))
}

fn parse_basic_constraints(value: &[u8]) -> der::Result<(bool, Option<u32>)> {
    let mut outer = Der::new(value);
    let mut fields = outer.nested(SEQUENCE)?;
    outer.end()?;
    let ca = fields.peek() == Some(der::BOOLEAN) && fields.boolean()?;
    let path_length = if fields.is_empty() { None } else { Some(fields.unsigned(INTEGER)?) };
    fields.end()?;
    Ok((ca, path_length))
}

fn parse_key_usage(value: &[u8]) -> der::Result<u16> {
    let mut outer = Der::new(value);
    let bits = outer.content(BIT_STRING)?;
    outer.end()?;
    match bits {
        [0..=7, first] => Ok(u16::from_be_bytes([*first, 0])),
        [0..=7, first, second] => Ok(u16::from_be_bytes([*first, *second])),
        _ => Err(DerError("a key usage that is not one or two bytes")),
    }
}

/// The common name in a `Name`, all of its bytes given; `None` unless there is exactly one, of the length that is allowed.
pub(crate) fn common_name(name: &[u8]) -> Option<&str> {
    let mut sets = Der::new(name).nested(SEQUENCE).ok()?;
    let mut found = None;
    while !sets.is_empty() {
        let mut set = sets.nested(SET).ok()?;
        while !set.is_empty() {
            let mut attribute = set.nested(SEQUENCE).ok()?;
            let oid = attribute.content(OID).ok()?;
            let value = attribute.any().ok()?;
            if oid == COMMON_NAME {
                if found.is_some() || ![UTF8_STRING, PRINTABLE_STRING, IA5_STRING].contains(&value.tag) {
                    return None;
                }
                let name = std::str::from_utf8(value.content).ok()?;
                // RFC 5280, appendix A.1: of 1 to 64 characters. An empty one would leave a report without words.
                if name.is_empty() || name.chars().count() > MAX_COMMON_NAME {
                    return None;
                }
                found = Some(name);
            }
        }
    }
    found
}
