//! A model in an OCI image layout (image-spec 1.1): a folder with `oci-layout`, `index.json` and `blobs/sha256/`.
//!
//! ```text
//! index.json -> the one manifest, or the one that is asked for by digest or tag -> the one layer that is an ONNX model
//! ```
//!
//! What is followed is named by a digest, and what has another one is refused. Layers as ORAS pushes a file (its name in
//! `org.opencontainers.image.title`), as CNCF's ModelPack has weights, raw or in a tar archive, and as KitOps writes a
//! ModelKit's model, in a tar archive. Compressed layers are not unpacked here.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use teegate_encoding::hex;

use super::error::{MAX_MODEL_BYTES, ModelError, shown};
use super::tar;

/// The longest `index.json` and manifest.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// What stands beside a model in its archive.
const MAX_BESIDE_BYTES: u64 = 64 << 20;

/// What every layout has.
const MARK: &str = "oci-layout";

/// Where a layer says which file it was.
const TITLES: [&str; 3] = ["org.opencontainers.image.title", "org.cncf.model.filepath", "org.cnai.model.filepath"];

/// Where an index says which tag a manifest has.
const TAG: &str = "org.opencontainers.image.ref.name";

/// Layers that are a model by their type, whatever their name.
const MODEL_TYPES: [&str; 5] = [
    "application/onnx",
    "application/x-onnx",
    "application/vnd.cncf.model.weight.v1.",
    "application/vnd.cnai.model.weight.v1.",
    "application/vnd.kitops.modelkit.model.v1.",
];

/// The types of [`MODEL_TYPES`] that may be archives; elsewhere `tar` is only what ORAS calls a file that has no type.
const VENDOR: &str = "application/vnd.";
const DEFAULT_OF_ORAS: &str = "application/vnd.oci.image.layer.v1.tar";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    layers: Vec<Descriptor>,
}

/// The bytes of the model in a layout. `asked` is the digest, `sha256:` and 64 digits, or the tag of a manifest.
///
/// # Errors
/// [`ModelError::Layout`] names the folder, what is wrong in it and what was expected.
pub(super) fn read(folder: &Path, asked: Option<&str>) -> Result<Vec<u8>, ModelError> {
    let wrong = |reason: String| ModelError::Layout { path: folder.to_owned(), reason };
    if !folder.join(MARK).is_file() {
        let expected = "it is a folder without `oci-layout`; expected an ONNX file or an OCI image layout, and a folder of models is named with `model_repository`";
        return Err(wrong(expected.to_owned()));
    }
    let index = bounded(&folder.join("index.json"), MAX_JSON_BYTES).map_err(wrong)?;
    let index: Index = json("index.json", &index).map_err(wrong)?;
    let manifest = chosen(&index.manifests, asked).map_err(wrong)?;
    if !manifest.media_type.ends_with("manifest.v1+json") && !manifest.media_type.ends_with("manifest.v2+json") {
        let kind = shown(manifest.media_type.as_bytes());
        return Err(wrong(format!("what index.json names is no manifest but `{kind}`; name the digest of one")));
    }
    let manifest = blob(folder, manifest, MAX_JSON_BYTES).map_err(wrong)?;
    let manifest: Manifest = json("the manifest", &manifest).map_err(wrong)?;
    let layer = the_model(&manifest.layers).map_err(wrong)?;
    let bytes = blob(folder, layer, MAX_MODEL_BYTES + MAX_BESIDE_BYTES).map_err(wrong)?;
    if is_archive(&layer.media_type) { unpacked(bytes).map_err(wrong) } else { Ok(bytes) }
}

fn chosen<'a>(manifests: &'a [Descriptor], asked: Option<&str>) -> Result<&'a Descriptor, String> {
    // A tag can be any text; a digest is met by nothing else.
    let is_asked = |one: &&Descriptor| match asked {
        None => true,
        Some(digest) if digest.starts_with("sha256:") => one.digest == digest,
        Some(tag) => one.annotations.get(TAG).is_some_and(|its| its == tag),
    };
    let mut fitting = manifests.iter().filter(is_asked);
    let first = fitting.next();
    // One under several tags stands there several times.
    let other = fitting.find(|other| first.is_some_and(|first| first.digest != other.digest));
    match (first, other, asked) {
        (Some(one), None, _) => Ok(one),
        (Some(one), Some(other), _) => Err(format!(
            "index.json has several manifests, such as {} and {}; name one with `oci_manifest`",
            shown(one.digest.as_bytes()),
            shown(other.digest.as_bytes())
        )),
        (None, _, Some(asked)) => {
            let known: Vec<_> = manifests.iter().take(8).map(|one| shown(one.digest.as_bytes())).collect();
            Err(format!("index.json has no manifest `{}`, it has {}", shown(asked.as_bytes()), known.join(", ")))
        }
        (None, _, None) => Err("index.json has no manifest".to_owned()),
    }
}

/// The one layer that is a model.
fn the_model(layers: &[Descriptor]) -> Result<&Descriptor, String> {
    let mut models = layers.iter().filter(|layer| is_model(layer));
    match (models.next(), models.next()) {
        (Some(model), None) => Ok(model),
        (Some(_), Some(_)) => Err("several layers are models, expected one".to_owned()),
        (None, _) => {
            let types: Vec<_> = layers.iter().take(8).map(|layer| shown(layer.media_type.as_bytes())).collect();
            Err(format!(
                "no layer is an ONNX model: expected a file named `….onnx`, or a layer of ModelPack or KitOps, found {}",
                types.join(", ")
            ))
        }
    }
}

/// By name where it has one: an archive may be called after the folder that is in it.
fn is_model(layer: &Descriptor) -> bool {
    let is_model_type = MODEL_TYPES.iter().any(|kind| layer.media_type.starts_with(kind));
    match TITLES.iter().find_map(|title| layer.annotations.get(*title)) {
        Some(title) if title.ends_with(".onnx") => true,
        Some(_) => is_model_type && is_archive(&layer.media_type),
        None => is_model_type,
    }
}

fn is_archive(media_type: &str) -> bool {
    media_type.starts_with(VENDOR) && media_type.contains(".tar") && media_type != DEFAULT_OF_ORAS
}

/// The one model in an archive, in the memory that held the archive.
fn unpacked(mut archive: Vec<u8>) -> Result<Vec<u8>, String> {
    if archive.starts_with(&[0x1f, 0x8b]) || archive.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Err(
            "the model's layer is compressed; pack it without (`kit pack --compression none`, `modctl build --raw`)"
                .to_owned(),
        );
    }
    let files = tar::files(&archive).map_err(|error| format!("the model's layer: {error}"))?;
    let mut models = files.into_iter().filter(|(name, _)| name.ends_with(".onnx"));
    match (models.next(), models.next()) {
        (Some((_, place)), None) => {
            archive.truncate(place.end);
            archive.drain(..place.start);
            Ok(archive)
        }
        (Some((one, _)), Some((other, _))) => Err(format!(
            "the archive of the model holds several, such as `{}` and `{}`",
            shown(one.as_bytes()),
            shown(other.as_bytes())
        )),
        (None, _) => Err("the archive of the model holds no file `….onnx`".to_owned()),
    }
}

/// The bytes that a descriptor names: as long as it says, and of its digest.
fn blob(folder: &Path, descriptor: &Descriptor, most: u64) -> Result<Vec<u8>, String> {
    let digest = &descriptor.digest;
    let digits = digest.strip_prefix("sha256:").filter(|digits| is_sha256(digits));
    let digits = digits.ok_or_else(|| format!("digest `{}` is no sha256", shown(digest.as_bytes())))?;
    if descriptor.size > most {
        return Err(format!("blob {digits} has {} bytes, expected at most {most}", descriptor.size));
    }
    let bytes = bounded(&folder.join("blobs/sha256").join(digits), descriptor.size)?;
    let actual = hex::encode(Sha256::digest(&bytes));
    if bytes.len() as u64 != descriptor.size || actual != digits {
        return Err(format!(
            "blob {digits} has {} bytes and sha256 {actual}, expected {} bytes",
            bytes.len(),
            descriptor.size
        ));
    }
    Ok(bytes)
}

/// 64 digits of lower-case hex.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn bounded(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("`{}` cannot be read: {error}", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > most {
        return Err(format!("`{}` has more than {most} bytes", path.display()));
    }
    Ok(bytes)
}

fn json<'a, T: Deserialize<'a>>(what: &str, bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes)
        .map_err(|error| format!("{what} is not what it should be: {}", shown(error.to_string().as_bytes())))
}

#[cfg(test)]
mod tests;
