//! What can be written, true or not: the keys of an instance, and every field of a bundle.

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use crate::edits::Edits;
use crate::keys::Key;

/// When everything is signed and logged: 2025-03-01T00:00:00Z, which has long passed wherever a clock is asked.
pub const SIGNED_AT: u64 = 1_740_787_200;
/// Who signs.
pub const IDENTITY: &str = "https://github.com/example/guest/.github/workflows/release.yml@refs/tags/v1";
/// Who says that it is them.
pub const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// `id-kp-codeSigning`.
const CODE_SIGNING: &str = "1.3.6.1.5.5.7.3.3";

/// The keys of one instance.
#[derive(Clone)]
pub struct Instance {
    /// Fulcio's root.
    pub root: Key,
    /// Fulcio's intermediate.
    pub intermediate: Key,
    /// Rekor.
    pub log: Key,
    /// A second log, which stands in the trusted root as well.
    pub other_log: Key,
    /// The certificate transparency log.
    pub ct_log: Key,
    /// Root of the timestamp authority.
    pub tsa_root: Key,
    /// The timestamp authority.
    pub tsa: Key,
}

/// Which Rekor has the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rekor {
    /// `hashedrekord` 0.0.1, with a signed entry timestamp.
    V1,
    /// `hashedrekord` 0.0.2, which has no time of its own.
    V2,
}

/// The name in the leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Of a person.
    Email(String),
    /// Of a workload.
    Uri(String),
    /// None at all.
    None,
}

/// What stands in the leaf of certificate transparency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sct {
    /// A timestamp that holds.
    Valid,
    /// None.
    Missing,
    /// One by another key.
    ByStranger,
    /// One over another certificate.
    OfOther,
}

/// Builds one bundle and the trusted root for it. Every field is what is written, true or not.
#[derive(Clone)]
pub struct SigstoreBuilder {
    /// The instance that the trusted root names.
    pub trusted: Instance,
    /// The instance that signs, usually the same.
    pub acting: Instance,
    /// What is signed.
    pub file: Vec<u8>,
    /// Who signs.
    pub identity: Identity,
    /// The OpenID Connect issuer; `None` leaves both extensions out.
    pub issuer: Option<String>,
    /// Whether the issuer stands in the older extension (57264.1.1) alone.
    pub old_issuer: bool,
    /// Unix seconds from which the leaf is valid, and until when.
    pub leaf_window: (u64, u64),
    /// The extended key usage of the leaf.
    pub leaf_usage: &'static str,
    /// What stands in the leaf of certificate transparency.
    pub sct: Sct,
    /// The time in the SCT, Unix seconds.
    pub sct_at: u64,
    /// Another key than the leaf's signs the file.
    pub signed_by_stranger: bool,
    /// Which log.
    pub rekor: Rekor,
    /// The time that the log gives the entry, Unix seconds (version 1).
    pub integrated_at: u64,
    /// Whether the signed entry timestamp is by somebody else.
    pub set_by_stranger: bool,
    /// Whether the checkpoint is by somebody else.
    pub checkpoint_by_stranger: bool,
    /// Whether the checkpoint is by the second log of the trusted root.
    pub checkpoint_by_other_log: bool,
    /// Whether the proof leads to the root of another tree.
    pub other_tree: bool,
    /// Whether an RFC 3161 timestamp stands in the bundle, and of when.
    pub timestamp: Option<u64>,
    /// Whether the timestamp is of another signature.
    pub timestamp_of_other: bool,
    /// Whether the timestamp is by somebody else.
    pub timestamp_by_stranger: bool,
    pub(super) body: Edits<Value>,
    pub(super) bundle: Edits<Value>,
    pub(super) root: Edits<Value>,
}

impl Instance {
    /// Fresh keys.
    pub fn fresh() -> Self {
        Self {
            root: Key::p384(),
            intermediate: Key::p384(),
            log: Key::p256(),
            other_log: Key::p256(),
            ct_log: Key::p256(),
            tsa_root: Key::p256(),
            tsa: Key::p256(),
        }
    }
}

impl SigstoreBuilder {
    pub(crate) fn new() -> Self {
        let instance = Instance::fresh();
        Self {
            trusted: instance.clone(),
            acting: instance,
            file: b"schema = 1\nname = \"app 0.1.0\"\n".to_vec(),
            identity: Identity::Uri(IDENTITY.to_owned()),
            issuer: Some(ISSUER.to_owned()),
            old_issuer: false,
            leaf_window: (SIGNED_AT - 60, SIGNED_AT + 540),
            leaf_usage: CODE_SIGNING,
            sct: Sct::Valid,
            sct_at: SIGNED_AT - 60,
            signed_by_stranger: false,
            rekor: Rekor::V1,
            integrated_at: SIGNED_AT,
            set_by_stranger: false,
            checkpoint_by_stranger: false,
            checkpoint_by_other_log: false,
            other_tree: false,
            timestamp: None,
            timestamp_of_other: false,
            timestamp_by_stranger: false,
            body: Edits::default(),
            bundle: Edits::default(),
            root: Edits::default(),
        }
    }

    /// As the second version of Rekor has it: the time comes from a timestamp authority.
    pub fn rekor_v2(mut self) -> Self {
        self.rekor = Rekor::V2;
        self.timestamp = Some(SIGNED_AT);
        self
    }

    /// One change to the fields.
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Changes what the log has, before it is logged.
    pub fn edit_body(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.body.push(edit);
        self
    }

    /// Changes the finished bundle.
    pub fn edit_bundle(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.bundle.push(edit);
        self
    }

    /// Changes the finished trusted root.
    pub fn edit_root(mut self, edit: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.root.push(edit);
        self
    }
}

/// SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What a log is called by: SHA-256 of its key.
pub(super) fn log_id(key: &Key) -> [u8; 32] {
    sha256(&key.public_key_info())
}
