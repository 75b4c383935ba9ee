//! The manifest: what an instance says of itself for one epoch. Which keys seal to it and sign for it, which models it runs, and until when.
//!
//! It is UTF-8 JSON, hashed and sent as *exact bytes* and never re-serialised on the way. The TEE evidence binds those bytes
//! ([`crate::binding`]). So the members are true if the measured code is: keys and digests are made or computed by it; `app`, model names and
//! `limits` are merely asserted by it, and reports label them so.
//!
//! Parsing is strict: first byte `{`, at most 64 KiB and 4 levels, integers only, every member once, none unknown except under `ext`, which
//! is ignored. `v` is the version: another one is [`ManifestError::Version`], whatever else stands there.

use crate::aws_lc::sha256;
use crate::fixed::hex_bytes;
use crate::json::{JsonError, Object, Value, parse_object, to_base64url};
use crate::limits;
use crate::ohttp::config::{ConfigError, KeyConfig};
use crate::ohttp::suite::Kem;
use crate::oip::version_order;
use serde::Serialize;
use std::time::Duration;

mod error;

pub use error::{ManifestError, VERSION};

hex_bytes! {
    /// Name of a manifest: `SHA-256("teegate/1 manifest" || 0x00 || exact bytes)`, the first half of the [binding](crate::binding).
    pub struct ManifestDigest(32);
}

impl ManifestDigest {
    /// Digest of the exact bytes of a manifest.
    #[must_use]
    pub fn of(manifest: &[u8]) -> Self {
        Self(sha256(&[LABEL, manifest]))
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

impl SpkiDigest {
    /// Digest of the subject public key info of a certificate, in DER.
    #[must_use]
    pub fn of(spki: &[u8]) -> Self {
        Self(sha256(&[spki]))
    }
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

/// Key id of the Oblivious HTTP key of `kem` in `epoch`: `(2 * epoch + k) mod 256`, where `k` is 0 for X25519. So no two keys that live at the same
/// time share an id.
#[must_use]
pub const fn ohttp_key_id(epoch: u64, kem: Kem) -> u8 {
    let k = match kem {
        Kem::X25519 => 0,
    };
    let [.., low] = epoch.to_be_bytes();
    low.wrapping_mul(2).wrapping_add(k)
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
    /// Name under which requests ask for it, asserted by the enclave-app: 1 to 128 of `A-Z a-z 0-9 . _ - +`, and
    /// not `.` or `..`, which are no names in a path.
    pub name: String,
    /// Version, likewise.
    pub version: String,
    /// Digest over every byte that was loaded.
    pub sha256: ModelDigest,
}

/// Limits that an instance asserts of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Longest padded body that it opens.
    pub sealed_body_bytes: u64,
    /// Most dimensions of a tensor.
    pub tensor_rank: u64,
    /// Most elements of a tensor.
    pub tensor_elements: u64,
    /// Whether requests of different tenants may run in one batch. Of which models: [`Manifest::shares_runs`].
    pub cross_tenant_batching: bool,
    /// The models whose requests may, where they are named. The member is left out when there is none, so that a manifest
    /// of an instance that batches nothing has the bytes that it always had; a reader that is older than the member
    /// refuses a manifest that has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub batching: Vec<BatchedModel>,
}

/// A model whose requests may share a run with those of other callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchedModel {
    /// Its name, one of the manifest's models.
    pub name: String,
    /// Its version, likewise.
    pub version: String,
    /// Most rows (elements of the first dimension) of such a run, all requests together; at least 2.
    pub max_rows: u64,
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
        let mut listed = Vec::new();
        for file in sorted {
            listed.extend_from_slice(file.name.as_bytes());
            listed.push(0);
            listed.extend_from_slice(&file.length.to_be_bytes());
            listed.extend_from_slice(&file.sha256);
        }
        Self(sha256(&[&listed]))
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
            limits: &self.limits,
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

    /// The model of that name, and of that version if one is asked for; otherwise of the greatest that there is
    /// ([`version_order`]), which is the one that a request without a version runs.
    #[must_use]
    pub fn model(&self, name: &str, version: Option<&str>) -> Option<&ModelEntry> {
        let known = self.models.iter().filter(|model| model.name == name);
        let wanted = known.filter(|model| version.is_none_or(|wanted| wanted == model.version));
        wanted.max_by(|one, other| version_order(&one.version, &other.version))
    }

    /// Whether a request to this model may run in one batch with requests of other callers, which a process that was taken
    /// over by one of them could then see. Where no model is named it may be any.
    #[must_use]
    pub fn shares_runs(&self, model: &ModelEntry) -> bool {
        let Limits { cross_tenant_batching, batching, .. } = &self.limits;
        *cross_tenant_batching && (batching.is_empty() || batching.iter().any(|batched| batched.is(model)))
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
        self.check_batching()
    }

    /// Whoever names batched models says that there are some, and names each once and none that it does not run.
    fn check_batching(&self) -> Result<(), ManifestError> {
        let Limits { cross_tenant_batching, batching, .. } = &self.limits;
        if !batching.is_empty() && !cross_tenant_batching {
            return Err(ManifestError::Batching { reason: "it names models, but `cross_tenant_batching` is false" });
        }
        for (index, batched) in batching.iter().enumerate() {
            if !self.models.iter().any(|model| batched.is(model)) {
                return Err(ManifestError::Batching {
                    reason: "it names a model and version that `models` does not have",
                });
            }
            let is_twin = |other: &BatchedModel| other.name == batched.name && other.version == batched.version;
            if batching.iter().take(index).any(is_twin) {
                return Err(ManifestError::Batching { reason: "it names a model and version twice" });
            }
        }
        Ok(())
    }
}

impl BatchedModel {
    fn is(&self, model: &ModelEntry) -> bool {
        self.name == model.name && self.version == model.version
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
        batching: parse_batching(&mut members)?,
    };
    members.finish()?;
    Ok(limits)
}

fn parse_batching(limits: &mut Object) -> Result<Vec<BatchedModel>, JsonError> {
    let mut batching = Vec::new();
    let Some(entries) = limits.optional_objects("batching", limits::MODELS)? else { return Ok(batching) };
    for mut entry in entries {
        let (name, version) = (parse_label(&mut entry, "name")?, parse_label(&mut entry, "version")?);
        let max_rows = entry.unsigned("max_rows")?;
        if max_rows < 2 {
            return Err(entry.invalid("max_rows", "2 or more"));
        }
        batching.push(BatchedModel { name, version, max_rows });
        entry.finish()?;
    }
    // A list that says nothing would be a second way to write the same.
    if batching.is_empty() {
        Err(limits.invalid("batching", "at least one model, or no such member"))
    } else {
        Ok(batching)
    }
}

/// Names and versions end up in paths, logs and terminals, so their alphabet is narrow.
fn parse_label(object: &mut Object, member: &str) -> Result<String, JsonError> {
    let label = object.text(member)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
    let is_path = matches!(label.as_str(), "." | "..");
    if (1..=128).contains(&label.len()) && label.bytes().all(allowed) && !is_path {
        Ok(label)
    } else {
        Err(object.invalid(member, "1 to 128 of `A-Z a-z 0-9 . _ - +`, and not `.` or `..`"))
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
    limits: &'a Limits,
}

#[derive(Serialize)]
struct WireApp<'a> {
    version: &'a str,
}

#[cfg(test)]
mod tests;
