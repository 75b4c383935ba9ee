//! The paravisor's claims: JSON, of which the hardware's report holds the digest over the bytes as stored.

use teegate_encoding::json::{self, JsonError, Members};
use teegate_encoding::{base64, hex};

use crate::findings::Findings;

/// What is read of them. Members beside these are the paravisor's business.
pub(super) struct Claims {
    /// The public half of the vTPM's attestation key.
    pub(super) key: Key,
    /// What the guest wrote into NV index 0x01400002, 64 bytes.
    pub(super) user_data: UserData,
    /// Whether the guest's firmware started with Secure Boot.
    pub(super) secure_boot: Option<bool>,
    /// The VM's id.
    vm_id: Option<String>,
}

/// An RSA key of 2,048 bits.
pub(super) struct Key {
    /// Modulus, big-endian.
    pub(super) n: Vec<u8>,
    /// Exponent, big-endian.
    pub(super) e: Vec<u8>,
}

/// The member `user-data`.
pub(super) enum UserData {
    /// The oldest paravisors have none.
    Absent,
    /// 128 hexadecimal digits, in either case.
    Bytes([u8; 64]),
    /// Something else, of so many characters.
    Other(usize),
}

/// Why a claim cannot be read, in words.
pub(super) struct Unreadable(pub(super) String);

impl From<JsonError> for Unreadable {
    fn from(error: JsonError) -> Self {
        Self(error.to_string())
    }
}

/// The attestation key's id.
const AK: &str = "HCLAkPub";
/// Deepest nesting: recorded are three levels.
const DEPTH: usize = 8;
/// Most members of an object, and most keys.
const MOST: usize = 64;
/// Most members or elements of what is read for doubles alone.
const MOST_UNUSED: usize = 4_096;

impl Claims {
    /// Reads them strictly: no member twice, in no object of them, and exactly one attestation key.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(|_| Unreadable("claims that are not UTF-8".to_owned()))?;
        let members = Members::parse(text, DEPTH, MOST)?;
        members.each().try_for_each(|(_, value)| has_no_doubles(value))?;
        let keys = members.get("keys").ok_or_else(|| Unreadable("claims without `keys`".to_owned()))?;
        let configuration =
            members.get("vm-configuration").map(|text| Members::parse(text, DEPTH, MOST)).transpose()?;
        let of_vm = |name| configuration.as_ref().and_then(|members| members.get(name));
        Ok(Self {
            key: attestation_key(keys)?,
            user_data: members.get("user-data").map_or(UserData::Absent, user_data),
            secure_boot: of_vm("secure-boot").and_then(|text| match text {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            }),
            vm_id: of_vm("vmUniqueId").and_then(json::string),
        })
    }

    /// States what they say.
    pub(super) fn state(&self, findings: &mut Findings) {
        let facts = &mut findings.facts;
        facts.bytes("vtpm_key", &self.key.n);
        match &self.user_data {
            UserData::Bytes(bytes) => facts.bytes("user_data", bytes),
            UserData::Absent | UserData::Other(_) => facts.absent("user_data"),
        }
        match self.secure_boot {
            Some(on) => facts.flag("secure_boot", on),
            None => facts.absent("secure_boot"),
        }
        match &self.vm_id {
            Some(id) => facts.text("vm_id", id.chars().filter(|c| !c.is_control()).take(80).collect::<String>()),
            None => facts.absent("vm_id"),
        }
    }
}

/// No member stands twice in any object of this value, whether or not anything is read of it here: whoever reads more of the claims
/// sees the same as every other reader. Depth was counted over the claims as a whole.
fn has_no_doubles(text: &str) -> Result<(), JsonError> {
    match text.bytes().next() {
        Some(b'{') => {
            let members = Members::parse(text, DEPTH, MOST_UNUSED)?;
            members.each().try_for_each(|(_, value)| has_no_doubles(value))
        }
        Some(b'[') => json::elements(text, MOST_UNUSED)?.into_iter().try_for_each(has_no_doubles),
        _ => Ok(()),
    }
}

fn user_data(text: &str) -> UserData {
    let Some(written) = json::string(text) else { return UserData::Other(text.len()) };
    let bytes = hex::decode(written.to_ascii_lowercase()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(UserData::Other(written.chars().count()), UserData::Bytes)
}

fn attestation_key(keys: &str) -> Result<Key, Unreadable> {
    let mut found = None;
    for text in json::elements(keys, MOST)? {
        let key = Members::parse(text, DEPTH, MOST)?;
        let is_one = key.get("kid").and_then(json::string).as_deref() == Some(AK);
        if is_one && found.replace(key).is_some() {
            return Err(Unreadable(format!("more than one key `{AK}`")));
        }
    }
    let key = found.ok_or_else(|| Unreadable(format!("no key `{AK}`")))?;
    let member = |name: &str| key.get(name).and_then(json::string);
    if member("kty").as_deref() != Some("RSA") {
        return Err(Unreadable(format!("a key `{AK}` that is not RSA")));
    }
    let number = |name: &str| member(name).and_then(|text| base64::decode_url(&text).ok());
    match (number("n"), number("e")) {
        (Some(n), Some(e)) if n.len() == 256 && n.first().is_some_and(|first| first & 0x80 != 0) && e == [1, 0, 1] => {
            Ok(Key { n, e })
        }
        _ => Err(Unreadable(format!("a key `{AK}` that is not of 2,048 bits with the exponent 65,537"))),
    }
}
