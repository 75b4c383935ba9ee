//! What a gateway publishes for its clients: the policy that they should ask, and the keys that sign its release receipts.
//!
//! Neither proves anything by itself. A policy counts where its digest was learned elsewhere; keys count where the one that signs is
//! pinned already. So a statement of keys is how a client that knows one learns of the next, in time, and is nothing to begin with.

use serde::Serialize;

use crate::aws_lc::sha256;
use crate::fixed::hex_bytes;
use crate::json::parse_object;
use crate::limits;
use crate::manifest::ReceiptPublicKey;
use crate::receipt::{ReceiptError, ReceiptKey, Signed, VERSION, check_version};

hex_bytes! {
    /// SHA-256 of the exact bytes of a policy.
    pub struct PolicyDigest(32);
}

impl PolicyDigest {
    /// Digest of a policy as it is written.
    #[must_use]
    pub fn of(policy: &[u8]) -> Self {
        Self(sha256(&[policy]))
    }
}

/// The keys that sign the release receipts of a gateway, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptKeys {
    /// The key that signs now, this statement too.
    pub current: ReceiptPublicKey,
    /// The key that will sign next, for clients to pin beside the current one before it does.
    pub next: Option<ReceiptPublicKey>,
    /// Unix seconds of the gateway's clock: an old statement may name a next key that was given up.
    pub claimed_time: u64,
}

const LABEL: &[u8] = b"teegate/1 receipt-keys\0";
const KIND: &str = "receipt-keys";
const DEPTH: usize = 1;

impl ReceiptKeys {
    /// Writes and signs the statement with `key`, which has to be the current one.
    ///
    /// # Errors
    /// It is another key.
    pub fn sign(&self, key: &ReceiptKey) -> Result<Signed, ReceiptError> {
        if key.public() != self.current {
            return Err(ReceiptError::Signing);
        }
        let Self { current, next, claimed_time } = *self;
        let wire = Wire { v: VERSION, kind: KIND, current, next, claimed_time };
        let bytes = serde_json::to_vec(&wire).map_err(|_| ReceiptError::Encoding)?;
        key.sign(LABEL, bytes)
    }

    /// The statement, once its signature holds under the key that it names as the current one. It says only that whoever holds that key
    /// says so: whether the key is a gateway's, and one that is pinned, is for the caller to compare.
    ///
    /// # Errors
    /// It cannot be read, or the signature does not hold.
    pub fn verify(signed: &Signed) -> Result<Self, ReceiptError> {
        let mut object = parse_object(&signed.bytes, limits::RECEIPT_BYTES, DEPTH)?;
        check_version(object.unsigned("v")?)?;
        if object.text("kind")? != KIND {
            return Err(object.invalid("kind", "`receipt-keys`").into());
        }
        let current = ReceiptPublicKey(object.hex("current")?);
        let next = object.hex_or_null("next")?.map(ReceiptPublicKey);
        let keys = Self { current, next, claimed_time: object.unsigned("claimed_time")? };
        object.finish()?;
        signed.holds(LABEL, &current)?;
        Ok(keys)
    }
}

#[derive(Serialize)]
struct Wire {
    v: u64,
    kind: &'static str,
    current: ReceiptPublicKey,
    next: Option<ReceiptPublicKey>,
    claimed_time: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonError;

    fn keys() -> (ReceiptKey, ReceiptKeys) {
        let key = ReceiptKey::from_seed(&[9; 32]);
        let next = ReceiptKey::from_seed(&[8; 32]).public();
        let keys = ReceiptKeys { current: key.public(), next: Some(next), claimed_time: 1_800_000_000 };
        (key, keys)
    }

    #[test]
    fn what_the_current_key_signs_is_verified_and_no_other_key_signs_it() {
        let (key, keys) = keys();
        assert_eq!(ReceiptKeys::verify(&keys.sign(&key).unwrap()), Ok(keys));
        let alone = ReceiptKeys { next: None, ..keys };
        assert_eq!(ReceiptKeys::verify(&alone.sign(&key).unwrap()), Ok(alone));
        assert_eq!(
            keys.sign(&ReceiptKey::from_seed(&[8; 32])),
            Err(ReceiptError::Signing),
            "the next one does not sign"
        );
    }

    #[test]
    fn any_other_bit_is_refused_and_so_is_another_key_in_its_place() {
        let (key, keys) = keys();
        let signed = keys.sign(&key).unwrap();
        for bit in 0..signed.bytes.len() * 8 {
            let mut flipped = signed.clone();
            flipped.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(ReceiptKeys::verify(&flipped).is_err(), "{bit}");
        }
        for bit in 0..512 {
            let mut flipped = signed.clone();
            flipped.signature[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(ReceiptKeys::verify(&flipped), Err(ReceiptError::Unauthentic));
        }
        // The next key does not vouch for itself.
        let text = String::from_utf8(signed.bytes.clone()).unwrap();
        let (current, next) = (keys.current.to_string(), keys.next.unwrap().to_string());
        let swapped = text.replace(&current, "c").replace(&next, &current).replace("\"c\"", &format!("\"{next}\""));
        let swapped = Signed { bytes: swapped.into_bytes(), ..signed };
        assert_eq!(ReceiptKeys::verify(&swapped), Err(ReceiptError::Unauthentic));
    }

    #[test]
    fn a_statement_is_read_strictly_and_is_no_receipt() {
        let (key, keys) = keys();
        let text = String::from_utf8(keys.sign(&key).unwrap().bytes).unwrap();
        let refusal = |from: &str, to: &str| {
            assert!(text.contains(from), "{from} stands in {text}");
            ReceiptKeys::verify(&key.sign(LABEL, text.replacen(from, to, 1).into_bytes()).unwrap()).unwrap_err()
        };
        assert_eq!(refusal(r#""v":1"#, r#""v":2"#), ReceiptError::Version { found: 2 });
        assert!(matches!(refusal(r#""v":1"#, r#""v":1,"more":0"#), ReceiptError::Json(JsonError::Unknown { .. })));
        assert!(matches!(refusal("receipt-keys", "release"), ReceiptError::Json(JsonError::Invalid { .. })));
        let next = format!("\"{}\"", keys.next.unwrap());
        assert!(matches!(refusal(&next, "\"\""), ReceiptError::Json(JsonError::Invalid { .. })));
        let other_label = key.sign(b"teegate/1 release\0", text.clone().into_bytes()).unwrap();
        assert_eq!(ReceiptKeys::verify(&other_label), Err(ReceiptError::Unauthentic));
    }

    #[test]
    fn a_policy_is_named_by_every_byte_of_it() {
        let digest = PolicyDigest::of(b"schema = 1\n");
        assert_ne!(digest, PolicyDigest::of(b"schema = 1"));
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
}
