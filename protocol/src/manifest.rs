//! The manifest: what an instance says of itself for one epoch. Which keys seal to it and sign for it, which models it runs, and until when.
//!
//! It is UTF-8 JSON, hashed and sent as *exact bytes* and never re-serialised on the way. The TEE evidence binds those bytes
//! ([`crate::binding`]). So the members are true if the measured code is: keys and digests are made or computed by it; `app`, model names and
//! `limits` are merely asserted by it, and reports label them so.
//!
//! Parsing is strict: first byte `{`, at most 64 KiB and 4 levels, integers only, every member once, none unknown except under `ext`, which
//! is ignored. `v` is the version: another one is [`ManifestError::Version`], whatever else stands there.

use crate::fixed::hex_bytes;
use crate::json::{JsonError, Object, Value, parse_object, to_base64url};
use crate::limits;
use crate::ohttp::config::{ConfigError, KeyConfig};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;

/// The version that this crate reads and writes.
pub const VERSION: u64 = 1;

hex_bytes! {
    /// Name of a manifest: `SHA-256("teegate/1 manifest" || 0x00 || exact bytes)`, the first half of the [binding](crate::binding).
    pub struct ManifestDigest(32);
}

impl ManifestDigest {
    /// Digest of the exact bytes of a manifest.
    #[must_use]
    pub fn of(manifest: &[u8]) -> Self {
        Self(Sha256::new().chain_update(LABEL).chain_update(manifest).finalize().into())
    }
}

const LABEL: &[u8] = b"teegate/1 manifest\0";

hex_bytes! {
    /// Made at boot at random; with the TLS key and the receipt key it names an instance.
    pub struct InstanceId(16);
}

hex_bytes! {
    /// SHA-256 of the DER SubjectPublicKeyInfo of the instance's TLS key.
    pub struct SpkiDigest(32);
}

hex_bytes! {
    /// Ed25519 public key that signs receipts.
    pub struct ReceiptPublicKey(32);
}

hex_bytes! {
    /// SHA-256 of the effective configuration of the enclave-app.
    pub struct ConfigDigest(32);
}

hex_bytes! {
    /// Digest of a model, over every byte that was loaded: see [`ModelDigest::of_files`].
    pub struct ModelDigest(32);
}

/// A manifest, parsed. The exact bytes are not in it: see [`ManifestBytes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Random name of this boot of the enclave-app.
    pub instance_id: InstanceId,
    /// Number of the epoch, counted from the boot.
    pub epoch: u64,
    /// The manifest of the epoch before, if there was one in this boot.
    pub prev: Option<ManifestDigest>,
    /// Unix seconds: the keys were made at this time of the enclave's clock.
    pub not_before: u64,
    /// Unix seconds: end of the epoch; clients seal only until then.
    pub use_until: u64,
    /// Unix seconds: when the keys are zeroised.
    pub not_after: u64,
    /// Encoded list of key configurations, byte-identical to `/.well-known/ohttp-gateway`. See [`Manifest::key_configs`].
    pub ohttp_keys: Vec<u8>,
    /// The instance's TLS key.
    pub tls_spki_sha256: SpkiDigest,
    /// The key that signs execution receipts.
    pub receipt_key: ReceiptPublicKey,
    /// What can be run; at least one.
    pub models: Vec<ModelEntry>,
    /// The effective configuration.
    pub config_sha256: ConfigDigest,
    /// Version of the enclave-app, asserted by it.
    pub app_version: String,
    /// Limits of the enclave-app, asserted by it.
    pub limits: Limits,
}

/// A model that an instance runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelEntry {
    /// Name under which requests ask for it, asserted by the enclave-app: 1 to 128 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Version, likewise.
    pub version: String,
    /// Digest over every byte that was loaded.
    pub sha256: ModelDigest,
}

/// Limits that an instance asserts of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Longest padded body that it opens.
    pub sealed_body_bytes: u64,
    /// Most dimensions of a tensor.
    pub tensor_rank: u64,
    /// Most elements of a tensor.
    pub tensor_elements: u64,
    /// Whether requests of different tenants may run in one batch.
    pub cross_tenant_batching: bool,
}

/// One file of a model, for [`ModelDigest::of_files`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelFile {
    /// Name relative to the model's folder, `/` between parts.
    pub name: String,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
}

impl ModelDigest {
    /// Digest of a model: of a single file its SHA-256; of several the SHA-256 over `name || 0x00 || length (8 bytes, big endian) || sha256`
    /// of each, sorted by the bytes of the name.
    #[must_use]
    pub fn of_files(files: &[ModelFile]) -> Self {
        if let [only] = files {
            return Self(only.sha256);
        }
        let mut sorted: Vec<&ModelFile> = files.iter().collect();
        sorted.sort();
        let mut hash = Sha256::new();
        for file in sorted {
            hash.update(file.name.as_bytes());
            hash.update([0]);
            hash.update(file.length.to_be_bytes());
            hash.update(file.sha256);
        }
        Self(hash.finalize().into())
    }
}

/// A manifest together with the exact bytes that were hashed, and so with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestBytes {
    bytes: Vec<u8>,
    digest: ManifestDigest,
    manifest: Manifest,
}

impl ManifestBytes {
    /// Parses, and keeps the bytes.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Self, ManifestError> {
        let bytes = bytes.into();
        let manifest = Manifest::parse(&bytes)?;
        Ok(Self { digest: ManifestDigest::of(&bytes), bytes, manifest })
    }

    /// The exact bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their digest.
    #[must_use]
    pub const fn digest(&self) -> &ManifestDigest {
        &self.digest
    }

    /// What they say.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }
}

impl Manifest {
    /// Reads a manifest from its exact bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut object = parse_object(bytes, limits::MANIFEST_BYTES, limits::MANIFEST_DEPTH)?;
        // The version decides what everything else means, so it is judged first.
        let version = object.unsigned("v")?;
        if version != VERSION {
            return Err(ManifestError::Version { found: version });
        }
        let manifest = Self {
            instance_id: InstanceId(object.hex("instance_id")?),
            epoch: object.unsigned("epoch")?,
            prev: object.hex_or_null("prev")?.map(ManifestDigest),
            not_before: object.unsigned("not_before")?,
            use_until: object.unsigned("use_until")?,
            not_after: object.unsigned("not_after")?,
            ohttp_keys: object.base64url("ohttp_keys")?,
            tls_spki_sha256: SpkiDigest(object.hex("tls_spki_sha256")?),
            receipt_key: ReceiptPublicKey(object.hex("receipt_key")?),
            models: parse_models(&mut object)?,
            config_sha256: ConfigDigest(object.hex("config_sha256")?),
            app_version: parse_app(&mut object)?,
            limits: parse_limits(&mut object)?,
        };
        match object.take_optional("ext") {
            None | Some(Value::Object(_)) => {}
            Some(_) => return Err(object.invalid("ext", "an object").into()),
        }
        object.finish()?;
        manifest.check_consistency()?;
        Ok(manifest)
    }

    /// Writes the manifest, and reads it back, so that nothing is published that its readers refuse.
    pub fn to_bytes(&self) -> Result<ManifestBytes, ManifestError> {
        let wire = Wire {
            v: VERSION,
            instance_id: self.instance_id,
            epoch: self.epoch,
            prev: self.prev,
            not_before: self.not_before,
            use_until: self.use_until,
            not_after: self.not_after,
            ohttp_keys: to_base64url(&self.ohttp_keys),
            tls_spki_sha256: self.tls_spki_sha256,
            receipt_key: self.receipt_key,
            models: &self.models,
            config_sha256: self.config_sha256,
            app: WireApp { version: &self.app_version },
            limits: self.limits,
        };
        let bytes = serde_json::to_vec(&wire).map_err(|_| ManifestError::Encoding)?;
        ManifestBytes::parse(bytes)
    }

    /// Whether the manifest may be relied upon at `now` (Unix seconds): `not_before - 60 s <= now < not_after`, and its life is at most
    /// `max_life`. Whether a client may still *seal* to it is [`Manifest::may_seal`].
    pub fn check_window(&self, now: u64, max_life: Duration) -> Result<(), ManifestError> {
        let Self { not_before, not_after, .. } = *self;
        let life = not_after.saturating_sub(not_before);
        if life > max_life.as_secs() {
            return Err(ManifestError::LifeTooLong { life, max_life: max_life.as_secs() });
        }
        if now < not_before.saturating_sub(limits::SKEW.as_secs()) {
            return Err(ManifestError::NotYetValid { now, not_before });
        }
        if now >= not_after {
            return Err(ManifestError::Expired { now, not_after });
        }
        Ok(())
    }

    /// Whether the epoch still runs at `now` (Unix seconds): after `use_until` the keys only finish what is on its way.
    #[must_use]
    pub const fn may_seal(&self, now: u64) -> bool {
        now < self.use_until
    }

    /// The key configurations that this crate can seal to; the parser has made sure that there is one.
    pub fn key_configs(&self) -> Result<Vec<KeyConfig>, ConfigError> {
        KeyConfig::parse_list(&self.ohttp_keys)
    }

    /// The model of that name, and of that version if one is asked for.
    #[must_use]
    pub fn model(&self, name: &str, version: Option<&str>) -> Option<&ModelEntry> {
        self.models.iter().find(|model| model.name == name && version.is_none_or(|wanted| wanted == model.version))
    }

    /// What no single member shows.
    fn check_consistency(&self) -> Result<(), ManifestError> {
        let Self { not_before, use_until, not_after, .. } = *self;
        if !(not_before < use_until && use_until <= not_after) {
            return Err(ManifestError::Window { not_before, use_until, not_after });
        }
        // A gateway admits by "every model is permitted", which holds for no model at all: so there is at least one.
        if self.models.is_empty() {
            return Err(ManifestError::NoModel);
        }
        for (index, model) in self.models.iter().enumerate() {
            let twin = |other: &&ModelEntry| other.name == model.name && other.version == model.version;
            if self.models.iter().take(index).find(twin).is_some() {
                return Err(ManifestError::ModelTwice { name: model.name.clone(), version: model.version.clone() });
            }
        }
        if self.key_configs().map_err(ManifestError::Keys)?.is_empty() {
            return Err(ManifestError::Keys(ConfigError::NothingSupported));
        }
        Ok(())
    }
}

fn parse_models(object: &mut Object) -> Result<Vec<ModelEntry>, JsonError> {
    let mut models = Vec::new();
    for mut entry in object.objects("models", limits::MODELS)? {
        models.push(ModelEntry {
            name: parse_label(&mut entry, "name")?,
            version: parse_label(&mut entry, "version")?,
            sha256: ModelDigest(entry.hex("sha256")?),
        });
        entry.finish()?;
    }
    Ok(models)
}

fn parse_app(object: &mut Object) -> Result<String, JsonError> {
    let mut app = object.object("app")?;
    let version = parse_label(&mut app, "version")?;
    app.finish()?;
    Ok(version)
}

fn parse_limits(object: &mut Object) -> Result<Limits, JsonError> {
    let mut members = object.object("limits")?;
    let limits = Limits {
        sealed_body_bytes: members.unsigned("sealed_body_bytes")?,
        tensor_rank: members.unsigned("tensor_rank")?,
        tensor_elements: members.unsigned("tensor_elements")?,
        cross_tenant_batching: members.boolean("cross_tenant_batching")?,
    };
    members.finish()?;
    Ok(limits)
}

/// Names and versions end up in paths, logs and terminals, so their alphabet is narrow.
fn parse_label(object: &mut Object, member: &str) -> Result<String, JsonError> {
    let label = object.text(member)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
    if (1..=128).contains(&label.len()) && label.bytes().all(allowed) {
        Ok(label)
    } else {
        Err(object.invalid(member, "1 to 128 of `A-Z a-z 0-9 . _ - +`"))
    }
}

/// The members in the order in which they are written.
#[derive(Serialize)]
struct Wire<'a> {
    v: u64,
    instance_id: InstanceId,
    epoch: u64,
    prev: Option<ManifestDigest>,
    not_before: u64,
    use_until: u64,
    not_after: u64,
    ohttp_keys: String,
    tls_spki_sha256: SpkiDigest,
    receipt_key: ReceiptPublicKey,
    models: &'a [ModelEntry],
    config_sha256: ConfigDigest,
    app: WireApp<'a>,
    limits: Limits,
}

#[derive(Serialize)]
struct WireApp<'a> {
    version: &'a str,
}

/// Why a manifest was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestError {
    /// Not strict JSON of the members of version 1.
    Json(JsonError),
    /// Another version than the one this crate reads.
    Version {
        /// The version that stands there.
        found: u64,
    },
    /// `not_before < use_until <= not_after` does not hold.
    Window {
        /// Unix seconds.
        not_before: u64,
        /// Unix seconds.
        use_until: u64,
        /// Unix seconds.
        not_after: u64,
    },
    /// `models` is empty.
    NoModel,
    /// A name and version stand twice in `models`.
    ModelTwice {
        /// The name.
        name: String,
        /// The version.
        version: String,
    },
    /// `ohttp_keys` is not a list of key configurations with at least one that this crate supports.
    Keys(ConfigError),
    /// The manifest lives longer than the policy accepts.
    LifeTooLong {
        /// `not_after - not_before`, in seconds.
        life: u64,
        /// What is accepted, in seconds.
        max_life: u64,
    },
    /// The manifest is from the future, by more than the skew.
    NotYetValid {
        /// Unix seconds.
        now: u64,
        /// Unix seconds.
        not_before: u64,
    },
    /// The keys are gone.
    Expired {
        /// Unix seconds.
        now: u64,
        /// Unix seconds.
        not_after: u64,
    },
    /// The manifest could not be written as JSON.
    Encoding,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "manifest: {error}"),
            Self::Version { found } => write!(f, "manifest: version {found}, this build reads version {VERSION}"),
            Self::Window { not_before, use_until, not_after } => write!(
                f,
                "manifest: not_before {not_before} < use_until {use_until} <= not_after {not_after} does not hold"
            ),
            Self::NoModel => f.write_str("manifest: `models` is empty, expected at least one"),
            Self::ModelTwice { name, version } => {
                write!(f, "manifest: model `{name}` version `{version}` stands twice")
            }
            Self::Keys(error) => write!(f, "manifest: `ohttp_keys`: {error}"),
            Self::LifeTooLong { life, max_life } => {
                write!(f, "manifest: lives {life} s, at most {max_life} s are accepted")
            }
            Self::NotYetValid { now, not_before } => write!(
                f,
                "manifest: not valid before {not_before} (less {} s of skew), it is {now}",
                limits::SKEW.as_secs()
            ),
            Self::Expired { now, not_after } => {
                write!(f, "manifest: ended at {not_after}, it is {now}: fetch it again")
            }
            Self::Encoding => f.write_str("manifest: could not be written as JSON"),
        }
    }
}

impl std::error::Error for ManifestError {}

impl From<JsonError> for ManifestError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ohttp::KeyPair;

    const NOW: u64 = 1_800_000_000;

    fn manifest() -> Manifest {
        let key_pair = KeyPair::generate(6).expect("randomness");
        Manifest {
            instance_id: InstanceId([1; 16]),
            epoch: 3,
            prev: Some(ManifestDigest([2; 32])),
            not_before: NOW,
            use_until: NOW + 3600,
            not_after: NOW + 4200,
            ohttp_keys: KeyConfig::encode_list([key_pair.config()]),
            tls_spki_sha256: SpkiDigest([3; 32]),
            receipt_key: ReceiptPublicKey([4; 32]),
            models: vec![ModelEntry { name: "mnist-8".into(), version: "1".into(), sha256: ModelDigest([5; 32]) }],
            config_sha256: ConfigDigest([6; 32]),
            app_version: "0.1.0".into(),
            limits: Limits {
                sealed_body_bytes: 64 << 20,
                tensor_rank: 16,
                tensor_elements: 1 << 31,
                cross_tenant_batching: false,
            },
        }
    }

    fn text() -> String {
        String::from_utf8(manifest().to_bytes().expect("accepted").as_bytes().to_vec()).expect("UTF-8")
    }

    /// The refusal after `from`, which has to be there, was replaced by `to`.
    fn refusal(from: &str, to: &str) -> ManifestError {
        let text = text();
        assert!(text.contains(from), "{from} stands in {text}");
        Manifest::parse(text.replacen(from, to, 1).as_bytes()).expect_err("refused")
    }

    fn invalid(member: &str) -> impl Fn(&ManifestError) -> bool {
        move |error| matches!(error, ManifestError::Json(JsonError::Invalid { member: found, .. }) if found == member)
    }

    #[test]
    fn what_is_written_is_read_and_named_by_its_bytes() {
        let manifest = manifest();
        let bytes = manifest.to_bytes().expect("accepted");
        assert_eq!(Manifest::parse(bytes.as_bytes()), Ok(manifest.clone()));
        assert_eq!(bytes.manifest(), &manifest);
        let named = Sha256::new().chain_update("teegate/1 manifest").chain_update([0]).chain_update(bytes.as_bytes());
        assert_eq!(bytes.digest().as_bytes()[..], named.finalize()[..]);
        assert_eq!(bytes.digest().to_string().parse(), Ok(*bytes.digest()));
        assert_eq!(manifest.model("mnist-8", None), manifest.models.first());
        assert_eq!(manifest.model("mnist-8", Some("1")), manifest.models.first());
        assert_eq!(manifest.model("mnist-8", Some("2")), None);
        let first = Manifest { prev: None, ..manifest };
        assert_eq!(first.to_bytes().expect("accepted").manifest(), &first);
    }

    #[test]
    fn white_space_makes_another_manifest() {
        let spaced = text().replacen(':', ": ", 1);
        let other = ManifestBytes::parse(spaced.as_bytes()).expect("accepted");
        assert_ne!(other.digest(), &ManifestDigest::of(text().as_bytes()));
    }

    #[test]
    fn ext_is_ignored_and_nothing_else_is() {
        let extended = text().replacen(r#"{"v":1"#, r#"{"ext":{"a":[{"b":-1}]},"v":1"#, 1);
        assert!(Manifest::parse(extended.as_bytes()).is_ok());
        let too_deep = ManifestError::Json(JsonError::TooDeep { limit: 4 });
        assert_eq!(refusal(r#"{"v":1"#, r#"{"ext":{"a":[{"b":[]}]},"v":1"#), too_deep);
        assert!(invalid("ext")(&refusal(r#"{"v":1"#, r#"{"ext":[],"v":1"#)));
        let unknown = |member: &str| ManifestError::Json(JsonError::Unknown { member: member.into() });
        assert_eq!(refusal(r#"{"v":1"#, r#"{"extra":0,"v":1"#), unknown("extra"));
        assert_eq!(refusal(r#"{"name":"#, r#"{"extra":0,"name":"#), unknown("models[0].extra"));
        assert_eq!(refusal(r#""app":{"#, r#""app":{"extra":0,"#), unknown("app.extra"));
        assert_eq!(refusal(r#""limits":{"#, r#""limits":{"extra":0,"#), unknown("limits.extra"));
    }

    #[test]
    fn every_member_is_needed_and_none_may_stand_twice() {
        let value: serde_json::Value = serde_json::from_str(&text()).expect("JSON");
        let members = value.as_object().expect("object");
        assert_eq!(members.len(), 14);
        for name in members.keys() {
            let mut without = members.clone();
            without.remove(name);
            let bytes = serde_json::to_vec(&without).expect("JSON");
            let missing = ManifestError::Json(JsonError::Missing { member: name.clone() });
            assert_eq!(Manifest::parse(&bytes), Err(missing));
            let twice = format!(r#"{{"{name}":{},{}"#, members[name], &text()[1..]);
            let duplicate = ManifestError::Json(JsonError::Duplicate { member: name.clone() });
            assert_eq!(Manifest::parse(twice.as_bytes()), Err(duplicate));
        }
    }

    #[test]
    fn values_are_strict_and_the_member_is_named() {
        assert_eq!(refusal(r#""v":1"#, r#""v":2,"new":0"#), ManifestError::Version { found: 2 });
        assert!(invalid("epoch")(&refusal(r#""epoch":3"#, r#""epoch":3.0"#)));
        assert!(invalid("epoch")(&refusal(r#""epoch":3"#, r#""epoch":"3""#)));
        assert!(invalid("epoch")(&refusal(r#""epoch":3"#, r#""epoch":-3"#)));
        assert!(invalid("config_sha256")(&refusal("0606", "0A06")));
        assert!(invalid("config_sha256")(&refusal("0606", "06")));
        assert!(invalid("models[0].sha256")(&refusal("0505", "05zz")));
        assert!(invalid("models[0].name")(&refusal("mnist-8", "")));
        assert!(invalid("models[0].name")(&refusal("mnist-8", "../mnist")));
        assert!(invalid("models[0].name")(&refusal("mnist-8", &"m".repeat(129))));
        assert!(invalid("ohttp_keys")(&refusal(r#""ohttp_keys":""#, r#""ohttp_keys":"="#)));
        assert!(invalid("app")(&refusal(r#""app":{"version":"0.1.0"}"#, r#""app":["0.1.0"]"#)));
        assert!(invalid("limits")(&refusal(r#""limits":{"#, r#""limits":[],"x":{"#)));
        let models = refusal(r#""models":["#, r#""models":[["mnist-8","1","00"],"#);
        assert!(invalid("models")(&models), "an array where an object stands");
        let entry = r#"{"name":"a","version":"1","sha256":""},"#;
        assert!(invalid("models")(&refusal(r#""models":["#, &format!(r#""models":[{}"#, entry.repeat(64)))));
        assert_eq!(refusal(r#"{"v""#, "\u{feff}{\"v\""), ManifestError::Json(JsonError::NotAnObject));
        assert_eq!(refusal(r#"{"v""#, r#" {"v""#), ManifestError::Json(JsonError::NotAnObject));
        let long = format!(r#"{{"ext":{{"a":"{}"}},{}"#, "a".repeat(limits::MANIFEST_BYTES), &text()[1..]);
        assert!(matches!(
            Manifest::parse(long.as_bytes()),
            Err(ManifestError::Json(JsonError::TooLarge { limit: limits::MANIFEST_BYTES, .. }))
        ));
    }

    #[test]
    fn members_have_to_agree() {
        for (use_until, not_after) in [(NOW, NOW + 1), (NOW + 2, NOW + 1), (NOW - 1, NOW - 1)] {
            let refused = Manifest { use_until, not_after, ..manifest() }.to_bytes();
            assert_eq!(refused, Err(ManifestError::Window { not_before: NOW, use_until, not_after }));
        }
        assert_eq!(Manifest { models: vec![], ..manifest() }.to_bytes(), Err(ManifestError::NoModel));
        let mut twice = manifest();
        twice.models.push(ModelEntry { sha256: ModelDigest([9; 32]), ..twice.models[0].clone() });
        let refused = ManifestError::ModelTwice { name: "mnist-8".into(), version: "1".into() };
        assert_eq!(twice.to_bytes(), Err(refused));
        twice.models[1].version = "2".into();
        assert!(twice.to_bytes().is_ok());
        let refused = Manifest { ohttp_keys: vec![0], ..manifest() }.to_bytes();
        assert_eq!(refused, Err(ManifestError::Keys(ConfigError::Truncated)));
        let refused = Manifest { ohttp_keys: vec![], ..manifest() }.to_bytes();
        assert_eq!(refused, Err(ManifestError::Keys(ConfigError::NothingSupported)));
    }

    #[test]
    fn the_window_has_its_edges() {
        let manifest = manifest();
        let max_life = Duration::from_secs(7200);
        let (not_before, not_after) = (NOW, NOW + 4200);
        let early = ManifestError::NotYetValid { now: NOW - 61, not_before };
        assert_eq!(manifest.check_window(NOW - 61, max_life), Err(early));
        assert_eq!(manifest.check_window(NOW - 60, max_life), Ok(()));
        assert_eq!(manifest.check_window(not_after - 1, max_life), Ok(()));
        let late = ManifestError::Expired { now: not_after, not_after };
        assert_eq!(manifest.check_window(not_after, max_life), Err(late));
        assert_eq!(manifest.check_window(NOW, Duration::from_secs(4200)), Ok(()));
        let long = ManifestError::LifeTooLong { life: 4200, max_life: 4199 };
        assert_eq!(manifest.check_window(NOW, Duration::from_secs(4199)), Err(long));
        assert!(manifest.may_seal(NOW + 3599) && !manifest.may_seal(NOW + 3600));
        let ancient = Manifest { not_before: 0, use_until: 1, not_after: u64::MAX, ..manifest };
        assert!(matches!(ancient.check_window(NOW, max_life), Err(ManifestError::LifeTooLong { .. })));
    }

    #[test]
    fn no_prefix_and_no_flipped_bit_panics() {
        let text = text();
        for end in 0..text.len() {
            assert!(Manifest::parse(&text.as_bytes()[..end]).is_err());
        }
        let digest = ManifestDigest::of(text.as_bytes());
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // It may still be a manifest, but it is another one.
            if let Ok(other) = ManifestBytes::parse(flipped) {
                assert_ne!(other.digest(), &digest);
            }
        }
    }

    #[test]
    fn a_model_is_digested_over_all_its_files() {
        let file = |name: &str, byte| ModelFile { name: name.into(), length: 1, sha256: [byte; 32] };
        assert_eq!(ModelDigest::of_files(&[file("model.onnx", 7)]), ModelDigest([7; 32]));
        let (a, b) = (file("a", 1), file("b", 2));
        let mut listed = Vec::new();
        for (name, byte) in [(b'a', 1), (b'b', 2)] {
            listed.extend([name, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
            listed.extend([byte; 32]);
        }
        let digest = ModelDigest(Sha256::digest(&listed).into());
        assert_eq!(ModelDigest::of_files(&[a.clone(), b.clone()]), digest);
        assert_eq!(ModelDigest::of_files(&[b, a]), digest);
    }
}
