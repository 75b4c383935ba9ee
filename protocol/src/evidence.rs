//! The envelope in which evidence travels: a CMW collection (RFC 9999) in JSON, `application/cmw+json`.
//!
//! A collection is an object of labels; each holds a record, `[type, base64url value]` or `[type, value, indicator]`. Ours has the labels
//! `manifest` and `evidence`, and, where there is something to say, `endorsements`, `event-log` and `nonce`. Nothing in it is trusted: the
//! verifier judges the evidence, and the [binding](crate::binding) then says whether the manifest is the one that the evidence speaks of.
//!
//! Bounded to 1 MiB; an unknown or duplicate label, a nested collection or a tunnel is refused. A general CMW reader would accept them, and
//! an envelope with two `evidence` members would mean one thing to one reader and another to the next.

use crate::aws_lc::sha256;
use crate::binding::Nonce;
use crate::fixed::hex_bytes;
use crate::json::{JsonError, Object, Value, from_base64url, parse_object, to_base64url};
use crate::limits;
use crate::words::Shown;
use serde_json::json;
use std::fmt;

/// Type of our collection (`__cmwc_t`): it carries the version of the envelope.
pub const COLLECTION_TYPE: &str = "urn:teegate:envelope:1";

/// What an attester hands out: evidence for one manifest, and what helps to verify it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The exact bytes of the manifest.
    pub manifest: Vec<u8>,
    /// What the TEE said.
    pub evidence: TeeEvidence,
    /// Certificates and collateral that came along; self-authenticating, so the host may supply them.
    pub endorsements: Option<Endorsements>,
    /// The runtime event log, where the platform has one.
    pub event_log: Option<Vec<u8>>,
    /// The challenge that the evidence answers, for the reader's convenience: who checks freshness compares with the nonce it sent.
    pub nonce: Option<Nonce>,
}

hex_bytes! {
    /// SHA-256 of a vendor's statement as it is handed on: the name by which a gateway's list offers it.
    pub struct EndorsementDigest(32);
}

impl EndorsementDigest {
    /// Digest of a statement.
    #[must_use]
    pub fn of(statement: &[u8]) -> Self {
        Self(sha256(&[statement]))
    }
}

/// Evidence of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeeEvidence {
    /// What the bytes are said to be.
    pub kind: EvidenceKind,
    /// The bytes, as the platform gave them.
    pub bytes: Vec<u8>,
}

/// The kinds of evidence, each with its media type in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EvidenceKind {
    /// Raw SEV-SNP attestation report.
    SnpReport,
    /// Raw TDX quote.
    TdxQuote,
    /// Azure vTPM: HCL report over an SEV-SNP report, and a TPM quote.
    AzSnpVtpm,
    /// Azure vTPM: HCL report over a TDX quote, and a TPM quote.
    AzTdxVtpm,
    /// Azure Container Instances: SEV-SNP report and UVM endorsements.
    AciSnp,
}

impl EvidenceKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::SnpReport, Self::TdxQuote, Self::AzSnpVtpm, Self::AzTdxVtpm, Self::AciSnp];

    /// The type in the CMW record.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::SnpReport => "application/vnd.teegate.snp-report",
            Self::TdxQuote => "application/vnd.teegate.tdx-quote",
            Self::AzSnpVtpm => "application/vnd.teegate.az-snp-vtpm",
            Self::AzTdxVtpm => "application/vnd.teegate.az-tdx-vtpm",
            Self::AciSnp => "application/vnd.teegate.aci-snp",
        }
    }
}

/// Endorsements of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endorsements {
    /// How they are written.
    pub kind: EndorsementsKind,
    /// The bytes, at most 256 KiB.
    pub bytes: Vec<u8>,
}

/// How endorsements are written, each with its media type in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndorsementsKind {
    /// Concatenated PEM: `CERTIFICATE` and `X509 CRL` blocks.
    PemCertificateChain,
    /// DCAP collateral in JSON.
    Json,
}

impl EndorsementsKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::PemCertificateChain, Self::Json];

    /// The type in the CMW record.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::PemCertificateChain => "application/pem-certificate-chain",
            Self::Json => "application/json",
        }
    }
}

const MANIFEST_TYPE: &str = "application/vnd.teegate.manifest+json";
const EVENT_LOG_TYPE: &str = "application/vnd.teegate.event-log";
const NONCE_TYPE: &str = "application/vnd.teegate.nonce";

/// Indicator bits of RFC 9999: bit 1 endorsements, bit 2 evidence.
const ENDORSEMENTS_INDICATOR: u64 = 1 << 1;
const EVIDENCE_INDICATOR: u64 = 1 << 2;

/// A collection of records has two levels: the object, and an array in it.
const DEPTH: usize = 2;

impl Envelope {
    /// Reads an envelope.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut labels = parse_object(bytes, limits::ENVELOPE_BYTES, DEPTH)?;
        match labels.take_optional("__cmwc_t") {
            None => {}
            Some(Value::Text(found)) if found == COLLECTION_TYPE => {}
            Some(Value::Text(found)) => return Err(EnvelopeError::CollectionType { found }),
            Some(_) => return Err(labels.invalid("__cmwc_t", "a string").into()),
        }

        let manifest = Record::required(&mut labels, "manifest")?.of_type(MANIFEST_TYPE, None)?;
        let evidence = {
            let record = Record::required(&mut labels, "evidence")?;
            let kind = EvidenceKind::ALL.into_iter().find(|kind| kind.media_type() == record.media_type);
            let Some(kind) = kind else { return Err(record.unknown_type()) };
            TeeEvidence { kind, bytes: record.of_type(kind.media_type(), Some(EVIDENCE_INDICATOR))? }
        };
        let endorsements = match Record::optional(&mut labels, "endorsements")? {
            None => None,
            Some(record) => {
                let kind = EndorsementsKind::ALL.into_iter().find(|kind| kind.media_type() == record.media_type);
                let Some(kind) = kind else { return Err(record.unknown_type()) };
                Some(Endorsements { kind, bytes: record.of_type(kind.media_type(), Some(ENDORSEMENTS_INDICATOR))? })
            }
        };
        let event_log = match Record::optional(&mut labels, "event-log")? {
            None => None,
            Some(record) => Some(record.of_type(EVENT_LOG_TYPE, None)?),
        };
        let nonce = match Record::optional(&mut labels, "nonce")? {
            None => None,
            Some(record) => {
                let bytes: Result<[u8; 32], _> = record.of_type(NONCE_TYPE, None)?.try_into();
                Some(bytes.map(Nonce::from_bytes).map_err(|_| labels.invalid("nonce", "exactly 32 bytes"))?)
            }
        };
        labels.finish()?;

        let envelope = Self { manifest, evidence, endorsements, event_log, nonce };
        envelope.check_sizes()?;
        Ok(envelope)
    }

    /// Writes an envelope.
    pub fn to_json(&self) -> Result<Vec<u8>, EnvelopeError> {
        self.check_sizes()?;
        let mut labels = serde_json::Map::new();
        labels.insert("__cmwc_t".into(), json!(COLLECTION_TYPE));
        labels.insert("manifest".into(), json!([MANIFEST_TYPE, to_base64url(&self.manifest)]));
        let TeeEvidence { kind, bytes } = &self.evidence;
        labels.insert("evidence".into(), json!([kind.media_type(), to_base64url(bytes), EVIDENCE_INDICATOR]));
        if let Some(Endorsements { kind, bytes }) = &self.endorsements {
            labels
                .insert("endorsements".into(), json!([kind.media_type(), to_base64url(bytes), ENDORSEMENTS_INDICATOR]));
        }
        if let Some(event_log) = &self.event_log {
            labels.insert("event-log".into(), json!([EVENT_LOG_TYPE, to_base64url(event_log)]));
        }
        if let Some(nonce) = &self.nonce {
            labels.insert("nonce".into(), json!([NONCE_TYPE, to_base64url(nonce.as_bytes())]));
        }
        let bytes = serde_json::to_vec(&labels).map_err(|_| EnvelopeError::Encoding)?;
        if bytes.len() > limits::ENVELOPE_BYTES {
            return Err(JsonError::TooLarge { limit: limits::ENVELOPE_BYTES, actual: bytes.len() }.into());
        }
        Ok(bytes)
    }

    fn check_sizes(&self) -> Result<(), EnvelopeError> {
        let endorsements = self.endorsements.as_ref().map_or(0, |endorsements| endorsements.bytes.len());
        for (label, actual, limit) in [
            ("manifest", self.manifest.len(), limits::MANIFEST_BYTES),
            ("endorsements", endorsements, limits::ENDORSEMENTS_BYTES),
        ] {
            if actual > limit {
                return Err(EnvelopeError::MemberTooLarge { label, actual, limit });
            }
        }
        Ok(())
    }
}

/// A CMW record in JSON.
struct Record {
    label: &'static str,
    media_type: String,
    value: Vec<u8>,
    indicator: Option<u64>,
}

impl Record {
    fn required(labels: &mut Object, label: &'static str) -> Result<Self, EnvelopeError> {
        let value = labels.take(label)?;
        Self::read(labels, label, value)
    }

    fn optional(labels: &mut Object, label: &'static str) -> Result<Option<Self>, EnvelopeError> {
        labels.take_optional(label).map(|value| Self::read(labels, label, value)).transpose()
    }

    fn read(labels: &Object, label: &'static str, value: Value) -> Result<Self, EnvelopeError> {
        let refused = || labels.invalid(label, "a CMW record: [type, base64url value] or [type, value, indicator]");
        let Value::Array(elements) = value else { return Err(refused().into()) };
        let mut elements = elements.into_iter();
        let (Some(Value::Text(media_type)), Some(Value::Text(text)), indicator, None) =
            (elements.next(), elements.next(), elements.next(), elements.next())
        else {
            return Err(refused().into());
        };
        let indicator = match indicator {
            None => None,
            Some(Value::Integer(indicator)) => Some(u64::try_from(indicator).map_err(|_| refused())?),
            Some(_) => return Err(refused().into()),
        };
        let value = from_base64url(&text).ok_or_else(|| labels.invalid(label, "base64url without padding"))?;
        Ok(Self { label, media_type, value, indicator })
    }

    /// The value, if the record has that type and, where it has an indicator at all, that indicator.
    fn of_type(self, media_type: &str, indicator: Option<u64>) -> Result<Vec<u8>, EnvelopeError> {
        if self.media_type != media_type {
            return Err(self.unknown_type());
        }
        match self.indicator {
            Some(found) if Some(found) != indicator => Err(EnvelopeError::Indicator { label: self.label, found }),
            _ => Ok(self.value),
        }
    }

    fn unknown_type(self) -> EnvelopeError {
        EnvelopeError::MediaType { label: self.label, found: self.media_type }
    }
}

/// Why an envelope was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Not strict JSON of the labels of version 1.
    Json(JsonError),
    /// Another kind or version of collection.
    CollectionType {
        /// The type that stands in `__cmwc_t`.
        found: String,
    },
    /// A record of a type that does not belong under that label.
    MediaType {
        /// The label.
        label: &'static str,
        /// The type that stands there.
        found: String,
    },
    /// A record that says it is another conceptual message than its label.
    Indicator {
        /// The label.
        label: &'static str,
        /// The indicator that stands there.
        found: u64,
    },
    /// A member longer than it may be.
    MemberTooLarge {
        /// The label.
        label: &'static str,
        /// Its length in bytes.
        actual: usize,
        /// The longest accepted.
        limit: usize,
    },
    /// The envelope could not be written as JSON.
    Encoding,
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "envelope: {error}"),
            Self::CollectionType { found } => {
                write!(f, "envelope: collection type `{}`, this build reads `{COLLECTION_TYPE}`", Shown(found))
            }
            Self::MediaType { label, found } => {
                write!(f, "envelope: `{label}` has the unknown type `{}`", Shown(found))
            }
            Self::Indicator { label, found } => write!(f, "envelope: `{label}` has the wrong indicator {found}"),
            Self::MemberTooLarge { label, actual, limit } => {
                write!(f, "envelope: `{label}` has {actual} bytes, at most {limit} are accepted")
            }
            Self::Encoding => f.write_str("envelope: could not be written as JSON"),
        }
    }
}

impl std::error::Error for EnvelopeError {}

impl From<JsonError> for EnvelopeError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

#[cfg(test)]
mod tests;
