//! TCB info (version 3) and QE identity (version 2), in the order and the compact form in which Intel's service writes them (PCS API v4).

use crate::json::{array, object, string};
use crate::time::rfc3339;

/// TCB info.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcbInfo {
    /// `TDX` or `SGX`.
    pub id: String,
    /// 3.
    pub version: u32,
    /// Unix seconds.
    pub issue_date: u64,
    /// Unix seconds.
    pub next_update: u64,
    /// 6 bytes.
    pub fmspc: Vec<u8>,
    /// 2 bytes.
    pub pce_id: Vec<u8>,
    /// 0.
    pub tcb_type: u32,
    /// tcbEvaluationDataNumber.
    pub evaluation_number: u32,
    /// tdxModule.
    pub module: Option<ModuleSigner>,
    /// tdxModuleIdentities.
    pub module_identities: Option<Vec<ModuleIdentity>>,
    /// tcbLevels.
    pub levels: Vec<TcbLevel>,
}

/// Whose TDX module it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSigner {
    /// MRSIGNERSEAM, 48 bytes.
    pub mrsigner: Vec<u8>,
    /// SEAMATTRIBUTES, 8 bytes.
    pub attributes: Vec<u8>,
    /// 8 bytes.
    pub attributes_mask: Vec<u8>,
}

/// One entry of tdxModuleIdentities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleIdentity {
    /// `TDX_` and the major version in two hex digits.
    pub id: String,
    /// Whose it is.
    pub signer: ModuleSigner,
    /// By isvsvn.
    pub levels: Vec<IsvLevel>,
}

/// A level by isvsvn: of a module or of the Quoting Enclave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsvLevel {
    /// Lowest SVN of the level.
    pub isvsvn: u16,
    /// tcbDate, Unix seconds.
    pub date: u64,
    /// tcbStatus, any text.
    pub status: String,
    /// advisoryIDs; when empty the member is left out.
    pub advisories: Vec<String>,
}

/// A level of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcbLevel {
    /// sgxtcbcomponents.
    pub sgx: [u8; 16],
    /// pcesvn.
    pub pcesvn: u16,
    /// tdxtcbcomponents.
    pub tdx: Option<[u8; 16]>,
    /// tcbDate, Unix seconds.
    pub date: u64,
    /// tcbStatus, any text.
    pub status: String,
    /// advisoryIDs; when empty the member is left out.
    pub advisories: Vec<String>,
}

/// QE identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QeIdentity {
    /// `TD_QE`, `QE` or `QVE`.
    pub id: String,
    /// 2.
    pub version: u32,
    /// Unix seconds.
    pub issue_date: u64,
    /// Unix seconds.
    pub next_update: u64,
    /// tcbEvaluationDataNumber.
    pub evaluation_number: u32,
    /// 4 bytes, memory order.
    pub miscselect: Vec<u8>,
    /// 4 bytes.
    pub miscselect_mask: Vec<u8>,
    /// 16 bytes, memory order.
    pub attributes: Vec<u8>,
    /// 16 bytes.
    pub attributes_mask: Vec<u8>,
    /// 32 bytes.
    pub mrsigner: Vec<u8>,
    /// isvprodid.
    pub isvprodid: u16,
    /// By isvsvn.
    pub levels: Vec<IsvLevel>,
}

/// A signed JSON text: the exact bytes of the `tcbInfo` or `enclaveIdentity` value, and the signature over them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedJson {
    /// What is signed, from `{` to `}`.
    pub body: String,
    /// r ‖ s of the TCB signing key.
    pub signature: [u8; 64],
}

impl SignedJson {
    /// The body of the service's answer: this text under `member`, and `signature` in hex.
    pub fn response(&self, member: &str) -> String {
        object(&[(member, self.body.clone()), ("signature", string(&hex::encode(self.signature)))])
    }
}

impl TcbInfo {
    /// Compact JSON.
    pub fn to_json(&self) -> String {
        let mut members = vec![
            ("id", string(&self.id)),
            ("version", self.version.to_string()),
            ("issueDate", date(self.issue_date)),
            ("nextUpdate", date(self.next_update)),
            ("fmspc", upper(&self.fmspc)),
            ("pceId", upper(&self.pce_id)),
            ("tcbType", self.tcb_type.to_string()),
            ("tcbEvaluationDataNumber", self.evaluation_number.to_string()),
        ];
        members.extend(self.module.as_ref().map(|module| ("tdxModule", object(&module.members()))));
        members.extend(
            self.module_identities
                .as_ref()
                .map(|identities| ("tdxModuleIdentities", array(identities.iter().map(ModuleIdentity::to_json)))),
        );
        members.push(("tcbLevels", array(self.levels.iter().map(TcbLevel::to_json))));
        object(&members)
    }
}

impl QeIdentity {
    /// Compact JSON.
    pub fn to_json(&self) -> String {
        object(&[
            ("id", string(&self.id)),
            ("version", self.version.to_string()),
            ("issueDate", date(self.issue_date)),
            ("nextUpdate", date(self.next_update)),
            ("tcbEvaluationDataNumber", self.evaluation_number.to_string()),
            ("miscselect", upper(&self.miscselect)),
            ("miscselectMask", upper(&self.miscselect_mask)),
            ("attributes", upper(&self.attributes)),
            ("attributesMask", upper(&self.attributes_mask)),
            ("mrsigner", upper(&self.mrsigner)),
            ("isvprodid", self.isvprodid.to_string()),
            ("tcbLevels", array(self.levels.iter().map(IsvLevel::to_json))),
        ])
    }
}

impl ModuleSigner {
    /// Intel's: everything zero, every attribute compared.
    pub fn intel() -> Self {
        Self { mrsigner: vec![0; 48], attributes: vec![0; 8], attributes_mask: vec![0xFF; 8] }
    }

    fn members(&self) -> Vec<(&'static str, String)> {
        vec![
            ("mrsigner", upper(&self.mrsigner)),
            ("attributes", upper(&self.attributes)),
            ("attributesMask", upper(&self.attributes_mask)),
        ]
    }
}

impl ModuleIdentity {
    fn to_json(&self) -> String {
        let mut members = vec![("id", string(&self.id))];
        members.extend(self.signer.members());
        members.push(("tcbLevels", array(self.levels.iter().map(IsvLevel::to_json))));
        object(&members)
    }
}

impl IsvLevel {
    /// A level without advisories.
    pub fn new(isvsvn: u16, date: u64, status: &str) -> Self {
        Self { isvsvn, date, status: status.to_owned(), advisories: Vec::new() }
    }

    fn to_json(&self) -> String {
        let tcb = object(&[("isvsvn", self.isvsvn.to_string())]);
        level(tcb, self.date, &self.status, &self.advisories)
    }
}

impl TcbLevel {
    fn to_json(&self) -> String {
        let mut members = vec![
            ("sgxtcbcomponents", components(&self.sgx, "BIOS", "Early Microcode Update")),
            ("pcesvn", self.pcesvn.to_string()),
        ];
        members.extend(self.tdx.as_ref().map(|svns| ("tdxtcbcomponents", components(svns, "OS/VMM", "TDX Module"))));
        level(object(&members), self.date, &self.status, &self.advisories)
    }
}

/// The first component says what it is, as Intel's do; the members are optional.
fn components(svns: &[u8; 16], category: &str, kind: &str) -> String {
    array(svns.iter().enumerate().map(|(index, svn)| {
        let mut members = vec![("svn", svn.to_string())];
        if index == 0 {
            members.extend([("category", string(category)), ("type", string(kind))]);
        }
        object(&members)
    }))
}

fn level(tcb: String, level_date: u64, status: &str, advisories: &[String]) -> String {
    let mut members = vec![("tcb", tcb), ("tcbDate", date(level_date)), ("tcbStatus", string(status))];
    if !advisories.is_empty() {
        members.push(("advisoryIDs", array(advisories.iter().map(|id| string(id)))));
    }
    object(&members)
}

fn date(unix: u64) -> String {
    string(&rfc3339(unix))
}

fn upper(bytes: &[u8]) -> String {
    string(&hex::encode_upper(bytes))
}
