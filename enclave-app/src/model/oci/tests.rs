use super::*;
use std::path::PathBuf;

/// A layout in a folder of its own.
struct Layout {
    folder: PathBuf,
    index: Vec<serde_json::Value>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Enough of a model.
const ONNX: &[u8] = &[8, 9];

impl Layout {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("teegate-oci-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        std::fs::write(folder.join(MARK), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { folder, index: Vec::new() }
    }

    /// Writes a blob, and its descriptor.
    fn blob(&self, media_type: &str, content: &[u8], title: Option<(&str, &str)>) -> serde_json::Value {
        let digits = hex::encode(Sha256::digest(content));
        std::fs::write(self.folder.join("blobs/sha256").join(&digits), content).unwrap();
        let annotations: BTreeMap<&str, &str> = title.into_iter().collect();
        serde_json::json!({
            "mediaType": media_type, "digest": format!("sha256:{digits}"), "size": content.len(), "annotations": annotations,
        })
    }

    /// Writes a manifest of these layers, into the index too.
    fn manifest(&mut self, tag: &str, layers: &[serde_json::Value]) -> String {
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}", None);
        let manifest =
            serde_json::json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        let descriptor = self.blob(MANIFEST, manifest.to_string().as_bytes(), Some((TAG, tag)));
        let digest = descriptor["digest"].as_str().unwrap().to_owned();
        self.index.push(descriptor);
        self.write_index();
        digest
    }

    fn write_index(&self) {
        let index = serde_json::json!({"schemaVersion": 2, "manifests": self.index});
        std::fs::write(self.folder.join("index.json"), index.to_string()).unwrap();
    }

    fn read(&self, asked: Option<&str>) -> Result<Vec<u8>, String> {
        read(&self.folder, asked).map_err(|error| error.to_string())
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A tar archive of one file.
fn archive(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..263].copy_from_slice(b"ustar\0");
    let sum: usize = header.iter().map(|byte| usize::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut out = [&header[..], content].concat();
    out.resize(out.len().next_multiple_of(512) + 1024, 0);
    out
}

const TITLE: &str = TITLES[0];
const FILEPATH: &str = TITLES[1];
const KITOPS: &str = "application/vnd.kitops.modelkit.model.v1.tar";

#[test]
fn the_layers_of_the_usual_tools_are_read() {
    let tar = archive("folder/model.onnx", ONNX);
    for (media_type, content, title) in [
        // `oras push … model.onnx` and `model.onnx:application/onnx`, with and without a name.
        (DEFAULT_OF_ORAS, ONNX, Some((TITLE, "model.onnx"))),
        ("application/octet-stream", ONNX, Some((TITLE, "a/model.onnx"))),
        ("application/onnx", ONNX, Some((TITLE, "model.onnx"))),
        ("application/onnx", ONNX, None),
        // ModelPack, raw and packed, by its present and its former name.
        ("application/vnd.cncf.model.weight.v1.raw", ONNX, Some((FILEPATH, "model.onnx"))),
        ("application/vnd.cncf.model.weight.v1.raw", ONNX, None),
        ("application/vnd.cncf.model.weight.v1.tar", &tar, Some((FILEPATH, "model.onnx"))),
        ("application/vnd.cnai.model.weight.v1.raw", ONNX, Some((TITLES[2], "model.onnx"))),
        // A ModelKit, whose layer may be called after its folder.
        (KITOPS, &tar, None),
        (KITOPS, &tar, Some((FILEPATH, "folder"))),
    ] {
        let mut layout = Layout::new("usual");
        let beside = [
            layout.blob("application/vnd.cncf.model.doc.v1.raw", b"words", Some((FILEPATH, "README.md"))),
            layout.blob("application/vnd.cncf.model.weight.v1.raw", b"other", Some((FILEPATH, "x.safetensors"))),
        ];
        let model = layout.blob(media_type, content, title);
        layout.manifest("v1", &[beside[0].clone(), model, beside[1].clone()]);
        assert_eq!(layout.read(None), Ok(ONNX.to_vec()), "{media_type} {title:?}");
    }
}

#[test]
fn of_several_manifests_one_is_asked_for() {
    let mut layout = Layout::new("several");
    let mut add = |tag: &str, content: &[u8]| {
        let layer = layout.blob("application/onnx", content, None);
        layout.manifest(tag, &[layer])
    };
    let (first, second) = (add("v1", b"one"), add("v2", b"two"));
    for (asked, found) in [(first.as_str(), b"one"), ("v1", b"one"), (&second, b"two"), ("v2", b"two")] {
        assert_eq!(layout.read(Some(asked)), Ok(found.to_vec()), "{asked}");
    }
    let error = layout.read(None).unwrap_err();
    assert!(error.contains("several manifests") && error.contains("name one with `oci_manifest`"), "{error}");
    let error = layout.read(Some("v3")).unwrap_err();
    assert!(error.contains("no manifest `v3`, it has sha256:"), "{error}");
}

#[test]
fn a_digest_is_met_by_no_tag_of_that_text() {
    let mut layout = Layout::new("tag");
    let layer = layout.blob("application/onnx", b"good", None);
    let good = layout.manifest("v1", &[layer]);
    let layer = layout.blob("application/onnx", b"evil", None);
    layout.manifest(&good, &[layer]);
    assert_eq!(layout.read(Some(&good)), Ok(b"good".to_vec()));
    // Nor where the one that is meant is gone.
    layout.index.remove(0);
    layout.write_index();
    let error = layout.read(Some(&good)).unwrap_err();
    assert!(error.contains(&format!("no manifest `{good}`")), "{error}");
}

#[test]
fn one_manifest_under_two_tags_is_one() {
    let mut layout = Layout::new("tags");
    let layer = layout.blob("application/onnx", ONNX, None);
    let digest = layout.manifest("v1", std::slice::from_ref(&layer));
    assert_eq!(layout.manifest("latest", &[layer]), digest);
    for asked in [Some(digest.as_str()), Some("v1"), Some("latest"), None] {
        assert_eq!(layout.read(asked), Ok(ONNX.to_vec()), "{asked:?}");
    }
    // Another one is another one, after however many of the first.
    let other = layout.blob("application/onnx", b"other", None);
    layout.manifest("v2", &[other]);
    assert!(layout.read(None).unwrap_err().contains("several manifests"));
    assert_eq!(layout.read(Some(&digest)), Ok(ONNX.to_vec()));
}

#[test]
fn what_is_not_what_it_is_called_is_refused() {
    let mut layout = Layout::new("changed");
    let layer = layout.blob("application/onnx", ONNX, None);
    let manifest = layout.manifest("v1", std::slice::from_ref(&layer));
    assert!(layout.read(None).is_ok());
    for digest in [layer["digest"].as_str().unwrap(), &manifest] {
        let blob = layout.folder.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
        let good = std::fs::read(&blob).unwrap();
        let mut bad = good.clone();
        bad[0] ^= 1;
        for bad in [bad, good[1..].to_vec(), Vec::new()] {
            std::fs::write(&blob, bad).unwrap();
            let error = layout.read(None).unwrap_err();
            assert!(error.contains(&format!("expected {} bytes", good.len())), "{error}");
        }
        std::fs::write(&blob, [&good[..], b" "].concat()).unwrap();
        let error = layout.read(None).unwrap_err();
        assert!(error.contains(&format!("has more than {} bytes", good.len())), "{error}");
        std::fs::remove_file(&blob).unwrap();
        assert!(layout.read(None).unwrap_err().contains("cannot be read"));
        std::fs::write(&blob, good).unwrap();
    }
    assert!(layout.read(None).is_ok());
}

#[test]
fn what_leads_to_no_model_says_what_was_expected() {
    let tar = archive("folder/model.onnx", ONNX);
    let two = [&archive("a.onnx", ONNX)[..1024], &archive("b.onnx", ONNX)].concat();
    for (media_type, content, title, said) in [
        ("application/octet-stream", ONNX, Some((TITLE, "model.bin")), "no layer is an ONNX model"),
        ("application/octet-stream", ONNX, None, "found application/octet-stream"),
        (KITOPS, b"\x1f\x8b\x08", None, "is compressed; pack it without"),
        (KITOPS, ONNX, None, "the model's layer: the archive does not end"),
        (KITOPS, &archive("model.gguf", ONNX), None, "holds no file `….onnx`"),
        (KITOPS, &two, None, "holds several, such as `a.onnx` and `b.onnx`"),
    ] {
        let mut layout = Layout::new("nothing");
        let layer = layout.blob(media_type, content, title);
        layout.manifest("v1", &[layer]);
        let error = layout.read(None).unwrap_err();
        assert!(error.contains(said), "{media_type}: {error}");
    }
    let mut layout = Layout::new("twice");
    let layers = [layout.blob("application/onnx", ONNX, None), layout.blob(KITOPS, &tar, None)];
    layout.manifest("v1", &layers);
    assert!(layout.read(None).unwrap_err().contains("several layers are models"));

    for (change, said) in [
        (serde_json::json!({"mediaType": "application/vnd.oci.image.index.v1+json"}), "is no manifest but"),
        (serde_json::json!({"digest": "sha512:00"}), "is no sha256"),
        (serde_json::json!({"digest": "sha256:../../../etc/passwd"}), "is no sha256"),
        (serde_json::json!({"size": 5 << 20}), "expected at most 4194304"),
    ] {
        let mut layout = Layout::new("index");
        let layer = layout.blob("application/onnx", ONNX, None);
        layout.manifest("v1", &[layer]);
        layout.index[0].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        layout.write_index();
        let error = layout.read(None).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let layout = Layout::new("empty");
    layout.write_index();
    assert!(layout.read(None).unwrap_err().ends_with("index.json has no manifest"));
    std::fs::write(layout.folder.join("index.json"), "[]").unwrap();
    assert!(layout.read(None).unwrap_err().contains("index.json is not what it should be"));
    std::fs::remove_file(layout.folder.join(MARK)).unwrap();
    assert!(layout.read(None).unwrap_err().contains("a folder without `oci-layout`"));
}
