//! The paravisor's claims: JSON, hashed as it stands.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::keys::Key;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    /// `kid`.
    pub kid: String,
    /// `kty`.
    pub kty: String,
    /// `key_ops`, one of them.
    pub operation: String,
    /// `e`, base64url.
    pub e: String,
    /// `n`, base64url.
    pub n: String,
}

/// The claims, in the order in which they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `keys`.
    pub keys: Vec<Jwk>,
    /// `vm-configuration`: names, and values as they are written.
    pub vm_configuration: Vec<(String, String)>,
    /// `user-data`, each time that it is written: names and texts.
    pub user_data: Vec<(String, String)>,
}

impl Jwk {
    /// This RSA key of 2,048 bits under this id.
    pub fn of(kid: &str, operation: &str, key: &Key) -> Self {
        Self {
            kid: kid.to_owned(),
            kty: "RSA".to_owned(),
            operation: operation.to_owned(),
            e: "AQAB".to_owned(),
            n: URL_SAFE_NO_PAD.encode(key.modulus()),
        }
    }

    fn to_json(&self) -> String {
        let Self { kid, kty, operation, e, n } = self;
        format!(r#"{{"kid":"{kid}","key_ops":["{operation}"],"kty":"{kty}","e":"{e}","n":"{n}"}}"#)
    }
}

impl Claims {
    /// Those of a paravisor whose guest wrote these 64 bytes.
    pub fn new(ak: &Key, ek: &Key, user_data: &[u8; 64]) -> Self {
        let written = [
            ("console-enabled", "true"),
            ("secure-boot", "true"),
            ("tpm-enabled", "true"),
            ("tpm-persisted", "false"),
            ("vmUniqueId", r#""0F0E0D0C-0B0A-0908-0706-050403020100""#),
        ];
        Self {
            keys: vec![Jwk::of("HCLAkPub", "sign", ak), Jwk::of("HCLEkPub", "encrypt", ek)],
            vm_configuration: written.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            user_data: vec![("user-data".to_owned(), hex::encode_upper(user_data))],
        }
    }

    /// The text.
    pub fn to_json(&self) -> String {
        let keys = self.keys.iter().map(Jwk::to_json).collect::<Vec<_>>().join(",");
        let members =
            self.vm_configuration.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect::<Vec<_>>();
        let mut text = format!(r#"{{"keys":[{keys}],"vm-configuration":{{{}}}"#, members.join(","));
        for (name, value) in &self.user_data {
            text.push_str(&format!(r#","{name}":"{value}""#));
        }
        text.push('}');
        text
    }
}
