//! TCB info and QE identity: Intel PCS API v4. Text until its signature holds over these exact bytes.

use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;
use std::fmt;

use crate::bytes::{Fmspc, array_from_hex};
use crate::time::UnixTime;

/// A TCB info, version 3 (and what of it an SGX one shares).
#[derive(Debug, Deserialize)]
pub(crate) struct TcbInfo<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
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
    #[serde(borrow, default, rename = "tdxModuleIdentities")]
    pub(crate) module_identities: Vec<ModuleIdentity<'a>>,
    #[serde(borrow, rename = "tcbLevels")]
    pub(crate) levels: Vec<TcbLevel<'a>>,
    /// The signed text itself.
    #[serde(skip)]
    pub(crate) text: &'a str,
}

/// Who signed a TDX module.
#[derive(Debug, Deserialize)]
pub(crate) struct Module {
    pub(crate) mrsigner: Hex<48>,
    pub(crate) attributes: Hex<8>,
}

/// A generation of TDX modules and its levels.
#[derive(Debug, Deserialize)]
pub(crate) struct ModuleIdentity<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    pub(crate) mrsigner: Hex<48>,
    pub(crate) attributes: Hex<8>,
    #[serde(borrow, rename = "tcbLevels")]
    pub(crate) levels: Vec<IsvLevel<'a>>,
}

/// A level of a platform.
#[derive(Debug, Deserialize)]
pub(crate) struct TcbLevel<'a> {
    pub(crate) tcb: Tcb,
    #[serde(rename = "tcbDate")]
    pub(crate) date: Date,
    #[serde(borrow, rename = "tcbStatus")]
    pub(crate) status: Cow<'a, str>,
    #[serde(borrow, default, rename = "advisoryIDs")]
    pub(crate) advisories: Vec<Cow<'a, str>>,
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
pub(crate) struct IsvLevel<'a> {
    pub(crate) tcb: IsvTcb,
    #[serde(rename = "tcbDate")]
    pub(crate) date: Date,
    #[serde(borrow, rename = "tcbStatus")]
    pub(crate) status: Cow<'a, str>,
    #[serde(borrow, default, rename = "advisoryIDs")]
    pub(crate) advisories: Vec<Cow<'a, str>>,
}

/// The least ISVSVN of a level.
#[derive(Debug, Deserialize)]
pub(crate) struct IsvTcb {
    pub(crate) isvsvn: u16,
}

/// The identity of the quoting enclave, version 2.
#[derive(Debug, Deserialize)]
pub(crate) struct QeIdentity<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
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
    #[serde(borrow, rename = "tcbLevels")]
    pub(crate) levels: Vec<IsvLevel<'a>>,
}

impl<'a> TcbInfo<'a> {
    /// Reads the signed text. Members that are named here may not occur twice.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let info: Self = serde_json::from_str(text).map_err(|error| format!("TCB info: {error}"))?;
        Ok(Self { text, ..info })
    }
}

impl<'a> QeIdentity<'a> {
    /// Reads the signed text. Members that are named here may not occur twice.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("QE identity: {error}"))
    }
}

/// Bytes in hexadecimal, of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hex<const N: usize>(pub(crate) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        array_from_hex(&text)
            .map(Self)
            .ok_or_else(|| de::Error::custom(format_args!("expected {} hexadecimal digits", 2 * N)))
    }
}

/// An instant in the form of Intel's collateral.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date(pub(crate) UnixTime);

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        UnixTime::parse(&text).map(Self).map_err(de::Error::custom)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What of a TCB info is needed to choose it from a pool; unsigned, so a hint and no more.
#[derive(Deserialize)]
pub(crate) struct TcbInfoHint<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
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
pub(crate) struct QeIdentityHint<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(rename = "issueDate")]
    pub(crate) issue_date: Date,
    #[serde(rename = "nextUpdate")]
    pub(crate) next_update: Date,
    #[serde(rename = "tcbEvaluationDataNumber")]
    pub(crate) evaluation_number: u32,
    #[serde(default)]
    version: u32,
}

impl TcbInfoHint<'_> {
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

impl QeIdentityHint<'_> {
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

impl TcbInfo<'_> {
    pub(crate) fn dated(&self) -> Dated {
        Dated { evaluation: self.evaluation_number, from: self.issue_date.0, until: self.next_update.0 }
    }
}

impl QeIdentity<'_> {
    pub(crate) fn dated(&self) -> Dated {
        Dated { evaluation: self.evaluation_number, from: self.issue_date.0, until: self.next_update.0 }
    }
}
