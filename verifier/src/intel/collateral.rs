//! TCB info and QE identity: Intel PCS API v4. Text until its signature holds over these exact bytes.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};
use std::fmt;

use super::words::{AdvisoryId, TcbStatus, bounded};
use crate::bytes::{Fmspc, array_from_hex};
use crate::place::in_words;
use crate::statement::Readable;
use crate::time::UnixTime;

/// A TCB info, version 3 (and what of it an SGX one shares).
#[derive(Debug, Deserialize)]
pub(crate) struct TcbInfo {
    #[serde(deserialize_with = "name")]
    pub(crate) id: String,
    pub(crate) version: u32,
    #[serde(rename = "issueDate")]
    pub(crate) issue_date: Date,
    #[serde(rename = "nextUpdate")]
    pub(crate) next_update: Date,
    pub(crate) fmspc: Hex<6>,
    #[serde(rename = "pceId")]
    pub(crate) pce_id: Hex<2>,
    /// How the components are to be compared; 0 is the one way that is defined.
    #[serde(rename = "tcbType")]
    pub(crate) tcb_type: u32,
    #[serde(rename = "tcbEvaluationDataNumber")]
    pub(crate) evaluation_number: u32,
    #[serde(rename = "tdxModule")]
    pub(crate) module: Option<Module>,
    #[serde(default, rename = "tdxModuleIdentities")]
    pub(crate) module_identities: Vec<ModuleIdentity>,
    #[serde(rename = "tcbLevels")]
    pub(crate) levels: Vec<TcbLevel>,
    /// The signed text itself.
    #[serde(skip)]
    pub(crate) text: Bytes,
}

/// Who signed a TDX module.
#[derive(Debug, Deserialize)]
pub(crate) struct Module {
    pub(crate) mrsigner: Hex<48>,
    pub(crate) attributes: Hex<8>,
}

/// A generation of TDX modules and its levels.
#[derive(Debug, Deserialize)]
pub(crate) struct ModuleIdentity {
    #[serde(deserialize_with = "name")]
    pub(crate) id: String,
    pub(crate) mrsigner: Hex<48>,
    pub(crate) attributes: Hex<8>,
    #[serde(rename = "tcbLevels")]
    pub(crate) levels: Vec<IsvLevel>,
}

/// A level of a platform.
#[derive(Debug, Deserialize)]
pub(crate) struct TcbLevel {
    pub(crate) tcb: Tcb,
    #[serde(rename = "tcbDate")]
    pub(crate) date: Date,
    #[serde(rename = "tcbStatus")]
    pub(crate) status: Status,
    #[serde(default, rename = "advisoryIDs")]
    pub(crate) advisories: Vec<AdvisoryId>,
}

/// The least SVNs of a level.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Tcb {
    #[serde(rename = "sgxtcbcomponents")]
    pub(crate) sgx: [Component; 16],
    #[serde(rename = "pcesvn")]
    pub(crate) pce_svn: u16,
    #[serde(rename = "tdxtcbcomponents")]
    pub(crate) tdx: Option<[Component; 16]>,
}

/// One component's SVN; category and type are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Component {
    pub(crate) svn: u8,
}

/// A level of an enclave or a module, by ISVSVN.
#[derive(Debug, Deserialize)]
pub(crate) struct IsvLevel {
    pub(crate) tcb: IsvTcb,
    #[serde(rename = "tcbDate")]
    pub(crate) date: Date,
    #[serde(rename = "tcbStatus")]
    pub(crate) status: Status,
    #[serde(default, rename = "advisoryIDs")]
    pub(crate) advisories: Vec<AdvisoryId>,
}

/// The least ISVSVN of a level.
#[derive(Debug, Deserialize)]
pub(crate) struct IsvTcb {
    pub(crate) isvsvn: u16,
}

/// The identity of the quoting enclave, version 2.
#[derive(Debug, Deserialize)]
pub(crate) struct QeIdentity {
    #[serde(deserialize_with = "name")]
    pub(crate) id: String,
    pub(crate) version: u32,
    #[serde(rename = "issueDate")]
    pub(crate) issue_date: Date,
    #[serde(rename = "nextUpdate")]
    pub(crate) next_update: Date,
    #[serde(rename = "tcbEvaluationDataNumber")]
    pub(crate) evaluation_number: u32,
    pub(crate) miscselect: Hex<4>,
    #[serde(rename = "miscselectMask")]
    pub(crate) miscselect_mask: Hex<4>,
    pub(crate) attributes: Hex<16>,
    #[serde(rename = "attributesMask")]
    pub(crate) attributes_mask: Hex<16>,
    pub(crate) mrsigner: Hex<32>,
    pub(crate) isvprodid: u16,
    #[serde(rename = "tcbLevels")]
    pub(crate) levels: Vec<IsvLevel>,
}

impl Readable for TcbInfo {
    type Hint = TcbInfoHint;
    type Error = String;

    fn hint(text: &Bytes) -> Option<TcbInfoHint> {
        serde_json::from_slice(text).ok()
    }

    /// Reads the signed text. Members that are named here may not occur twice.
    fn read(text: &Bytes) -> Result<Self, String> {
        let info: Self = from_json(text).map_err(|error| format!("TCB info: {}", said(&error)))?;
        Ok(Self { text: text.clone(), ..info })
    }
}

impl Readable for QeIdentity {
    type Hint = QeIdentityHint;
    type Error = String;

    fn hint(text: &Bytes) -> Option<QeIdentityHint> {
        serde_json::from_slice(text).ok()
    }

    /// Reads the signed text. Members that are named here may not occur twice.
    fn read(text: &Bytes) -> Result<Self, String> {
        from_json(text).map_err(|error| format!("QE identity: {}", said(&error)))
    }
}

/// A text is UTF-8 as a whole, and not looked at again string by string.
fn from_json<'t, T: Deserialize<'t>>(text: &'t [u8]) -> serde_json::Result<T> {
    match std::str::from_utf8(text) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(text),
    }
}

/// What the library says of a text that does not fit: it quotes what it found, and of that a line is repeated.
fn said(error: &serde_json::Error) -> String {
    in_words(&error.to_string())
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_str(Words(bounded))
}

/// The status of a level: one that collateral may name, or another word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Known(TcbStatus),
    Unknown(String),
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Words(|word: &str| {
            let known = TcbStatus::from_name(word).filter(|status| !status.is_of_a_relaunch());
            known.map_or_else(|| Self::Unknown(bounded(word)), Self::Known)
        }))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(status) => status.fmt(f),
            Self::Unknown(word) => f.write_str(word),
        }
    }
}

impl<'de> Deserialize<'de> for AdvisoryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Words(Self::from_name))
    }
}

/// Reads a text as what a function makes of it, without keeping the text.
struct Words<F>(F);

impl<T, F: FnOnce(&str) -> T> de::Visitor<'_> for Words<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
        Ok((self.0)(word))
    }
}

/// Bytes in hexadecimal, of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hex<const N: usize>(pub(crate) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(Words(|text: &str| array_from_hex(text).map(Self)))?
            .ok_or_else(|| de::Error::custom(format_args!("expected {} hexadecimal digits", 2 * N)))
    }
}

/// An instant in the form of Intel's collateral.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date(pub(crate) UnixTime);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Words(UnixTime::parse))?.map(Self).map_err(de::Error::custom)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What of a TCB info is needed to choose it from a pool; unsigned, so a hint and no more.
#[derive(Deserialize)]
pub(crate) struct TcbInfoHint {
    #[serde(deserialize_with = "name")]
    pub(crate) id: String,
    #[serde(rename = "issueDate")]
    pub(crate) issue_date: Date,
    #[serde(rename = "nextUpdate")]
    pub(crate) next_update: Date,
    pub(crate) fmspc: Hex<6>,
    #[serde(rename = "tcbEvaluationDataNumber")]
    pub(crate) evaluation_number: u32,
    #[serde(default)]
    version: u32,
    #[serde(default, rename = "tcbType")]
    tcb_type: u32,
}

/// What of a QE identity is needed to choose it from a pool; unsigned, so a hint and no more.
#[derive(Deserialize)]
pub(crate) struct QeIdentityHint {
    #[serde(deserialize_with = "name")]
    pub(crate) id: String,
    #[serde(rename = "issueDate")]
    pub(crate) issue_date: Date,
    #[serde(rename = "nextUpdate")]
    pub(crate) next_update: Date,
    #[serde(rename = "tcbEvaluationDataNumber")]
    pub(crate) evaluation_number: u32,
    #[serde(default)]
    version: u32,
}

impl TcbInfoHint {
    pub(crate) fn is_for(&self, fmspc: &Fmspc) -> bool {
        self.fmspc.0 == fmspc.0
    }

    /// Whether it is of the version and type that [`TcbInfo`] reads.
    pub(crate) fn is_of_the_known_form(&self) -> bool {
        self.version == 3 && self.tcb_type == 0
    }

    pub(crate) fn dated(&self) -> Dated {
        Dated { evaluation: self.evaluation_number, from: self.issue_date.0, until: self.next_update.0 }
    }
}

impl QeIdentityHint {
    /// Whether it is of the version that [`QeIdentity`] reads.
    pub(crate) fn is_of_the_known_form(&self) -> bool {
        self.version == 2
    }

    pub(crate) fn dated(&self) -> Dated {
        Dated { evaluation: self.evaluation_number, from: self.issue_date.0, until: self.next_update.0 }
    }
}

/// What a text says of its own place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dated {
    pub(crate) evaluation: u32,
    /// issueDate: before it, the text does not hold.
    pub(crate) from: UnixTime,
    /// nextUpdate: from it on, the text does not hold.
    pub(crate) until: UnixTime,
}

impl TcbInfo {
    pub(crate) fn dated(&self) -> Dated {
        Dated { evaluation: self.evaluation_number, from: self.issue_date.0, until: self.next_update.0 }
    }
}

impl QeIdentity {
    pub(crate) fn dated(&self) -> Dated {
        Dated { evaluation: self.evaluation_number, from: self.issue_date.0, until: self.next_update.0 }
    }
}
