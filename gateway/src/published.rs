//! What the operator publishes for clients, and `publishing.rs` serves: a policy, and the key that signs receipts next.
//!
//! The policy is for clients to hold instances against, and nothing that this gateway judges by. Its bytes are those of the file as it
//! was when it was read last: at the start, and at each reload that was taken. A client takes it only under a digest that it has from elsewhere, so serving it costs no trust.

use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};
use teegate_protocol::manifest::ReceiptPublicKey;
use teegate_protocol::published::PolicyDigest;
use teegate_verifier::Policy;

/// The longest policy that is published, in bytes; clients read no longer one.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// What is published, and may be replaced.
#[derive(Debug, Default)]
pub struct Published {
    contents: RwLock<Arc<Contents>>,
    /// The statement about keys that was signed last, and when.
    pub(crate) statement: Mutex<Option<(u64, Bytes)>>,
}

/// What is published at a time.
#[derive(Debug, Default)]
pub struct Contents {
    pub(crate) policy: Option<ClientPolicy>,
    pub(crate) next_receipt_key: Option<ReceiptPublicKey>,
}

/// A policy, byte for byte, and its digest as an entity tag.
#[derive(Debug)]
pub(crate) struct ClientPolicy {
    pub(crate) bytes: Bytes,
    pub(crate) tag: HeaderValue,
}

impl Published {
    /// These from the beginning.
    pub fn of(contents: Contents) -> Self {
        Self { contents: RwLock::new(Arc::new(contents)), statement: Mutex::default() }
    }

    /// And these from now on.
    pub fn take(&self, contents: Contents) {
        let before = self.contents();
        let tag = |contents: &Contents| contents.policy.as_ref().map(|policy| policy.tag.clone());
        if tag(&before) != tag(&contents) {
            tracing::info!(target: "audit", sha256 = ?tag(&contents), "another policy is published for clients");
        }
        if before.next_receipt_key != contents.next_receipt_key {
            let next = contents.next_receipt_key.map(|key| key.to_string());
            tracing::info!(target: "audit", next, "another key is announced as the next one that signs receipts");
        }
        *self.contents.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(contents);
        // What was signed says what was announced before.
        *self.statement.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What is published now.
    pub(crate) fn contents(&self) -> Arc<Contents> {
        Arc::clone(&self.contents.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Contents {
    /// Reads the policy for clients, and the public key (64 hexadecimal digits) that will sign receipts next.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn load(policy: Option<&Path>, next_receipt_key: Option<&str>) -> Result<Self, String> {
        let next_receipt_key = next_receipt_key.map(|text| {
            text.parse().map_err(|_| {
                "`next_receipt_key` is not understood: expected 64 lower-case hexadecimal digits of a public key, as \
                 `teegate-gateway --public-key SEED-FILE` prints it"
            })
        });
        let policy = policy.map(|path| {
            ClientPolicy::load(path).map_err(|what| format!("`client_policy`, `{}`: {what}", path.display()))
        });
        Ok(Self { policy: policy.transpose()?, next_receipt_key: next_receipt_key.transpose()? })
    }
}

impl ClientPolicy {
    fn load(path: &Path) -> Result<Self, String> {
        let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
        let mut text = String::new();
        file.take(MAX_POLICY_BYTES.saturating_add(1))
            .read_to_string(&mut text)
            .map_err(|error| format!("cannot be read: {error}"))?;
        if u64::try_from(text.len()).is_ok_and(|length| length > MAX_POLICY_BYTES) {
            return Err(format!("has more than {MAX_POLICY_BYTES} bytes"));
        }
        // Clients would refuse what does not load, and what claims nothing about whose keys they seal to.
        let policy = Policy::parse(&text).map_err(|error| error.to_string())?;
        if policy.weakest_bound_to().is_none() {
            return Err(
                "a profile does not say what its evidence is bound to (`bound_to`), so no client would seal by it"
                    .to_owned(),
            );
        }
        Ok(Self::of(text.into_bytes()))
    }

    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        let tag = HeaderValue::from_str(&format!("\"{}\"", PolicyDigest::of(&bytes)));
        // A digest in quotes is a value.
        Self { bytes: bytes.into(), tag: tag.unwrap_or_else(|_| HeaderValue::from_static("\"\"")) }
    }

    /// Whether the client has these very bytes already (RFC 9110, section 13.1.2).
    pub(crate) fn is_had(&self, headers: &HeaderMap) -> bool {
        let had = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        had.flat_map(|value| value.split(',')).any(|tag| tag.trim().trim_start_matches("W/") == self.tag)
    }
}
