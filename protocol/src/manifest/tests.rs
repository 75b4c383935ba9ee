use super::*;
use crate::ohttp::KeyPair;
use sha2::{Digest, Sha256};

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
            batching: vec![],
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
    let versions = |versions: &[&str]| {
        let model = |version: &&str| ModelEntry { version: (*version).into(), ..manifest.models[0].clone() };
        Manifest { models: versions.iter().map(model).collect(), ..manifest.clone() }
    };
    // A request without a version means the highest, wherever it stands.
    for listed in [["9", "10", "beta"], ["10", "beta", "9"], ["beta", "9", "10"]] {
        let several = versions(&listed);
        assert_eq!(several.model("mnist-8", None).map(|model| model.version.as_str()), Some("10"));
        assert_eq!(several.model("mnist-8", Some("9")).map(|model| model.version.as_str()), Some("9"));
    }
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
        let twice = format!(r#"{{"{name}":{},{}"#, members[name], text().trim_start_matches('{'));
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
    assert!(invalid("models[0].name")(&refusal("mnist-8", ".")));
    assert!(invalid("models[0].name")(&refusal("mnist-8", "..")));
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
    let long =
        format!(r#"{{"ext":{{"a":"{}"}},{}"#, "a".repeat(limits::MANIFEST_BYTES), text().trim_start_matches('{'));
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

fn batched(name: &str, version: &str, max_rows: u64) -> BatchedModel {
    BatchedModel { name: name.into(), version: version.into(), max_rows }
}

/// A manifest whose limits say this of batching, on top of the usual one.
fn batching(cross_tenant_batching: bool, batching: &[BatchedModel]) -> Manifest {
    let mut manifest = manifest();
    manifest.models.push(ModelEntry { name: "minilm".into(), ..manifest.models[0].clone() });
    manifest.limits = Limits { cross_tenant_batching, batching: batching.to_vec(), ..manifest.limits };
    manifest
}

#[test]
fn an_instance_that_batches_nothing_writes_what_it_always_wrote() {
    // What readers before the member `batching` know, and all that they accept.
    let limits = r#""limits":{"sealed_body_bytes":67108864,"tensor_rank":16,"tensor_elements":2147483648,"cross_tenant_batching":false}}"#;
    assert!(text().ends_with(limits), "{}", text());
    // A manifest of theirs that says that runs may be shared names no model: then it may be any.
    let theirs = text().replacen("batching\":false", "batching\":true", 1);
    let theirs = Manifest::parse(theirs.as_bytes()).expect("accepted");
    assert_eq!(
        theirs,
        Manifest { limits: Limits { cross_tenant_batching: true, ..manifest().limits }, ..theirs.clone() }
    );
    assert!(theirs.shares_runs(&theirs.models[0]));
    assert!(!manifest().shares_runs(&manifest().models[0]));
}

#[test]
fn a_client_can_see_whose_requests_share_a_run() {
    let batches = batching(true, &[batched("minilm", "1", 32)]);
    let bytes = batches.to_bytes().expect("accepted");
    let text = String::from_utf8(bytes.as_bytes().to_vec()).expect("UTF-8");
    let member = r#""cross_tenant_batching":true,"batching":[{"name":"minilm","version":"1","max_rows":32}]}}"#;
    assert!(text.ends_with(member), "{text}");
    assert_eq!(bytes.manifest(), &batches);
    let shares: Vec<bool> = batches.models.iter().map(|model| batches.shares_runs(model)).collect();
    assert_eq!(shares, [false, true]);
    let all = batching(true, &[batched("minilm", "1", 2), batched("mnist-8", "1", u64::MAX)]);
    let all = all.to_bytes().expect("accepted");
    assert!(all.manifest().models.iter().all(|model| all.manifest().shares_runs(model)));
}

#[test]
fn what_is_said_of_batching_has_one_form_and_contradicts_nothing() {
    let refused = |manifest: Manifest| match manifest.to_bytes() {
        Err(ManifestError::Batching { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let one = batched("minilm", "1", 32);
    let reason = refused(batching(false, std::slice::from_ref(&one)));
    assert_eq!(reason, "it names models, but `cross_tenant_batching` is false");
    for (name, version) in [("other", "1"), ("minilm", "2")] {
        let reason = refused(batching(true, &[batched(name, version, 32)]));
        assert_eq!(reason, "it names a model and version that `models` does not have", "{name} {version}");
    }
    let reason = refused(batching(true, &[one.clone(), batched("minilm", "1", 8)]));
    assert_eq!(reason, "it names a model and version twice");
    let few = batching(true, &[batched("minilm", "1", 1)]).to_bytes().expect_err("refused");
    assert!(invalid("limits.batching[0].max_rows")(&few), "{few}");
    for (member, at) in [
        (r#""batching":[]"#, "limits.batching"),
        (r#""batching":null"#, "limits.batching"),
        (r#""batching":[[]]"#, "limits.batching"),
        (r#""batching":[{"name":"mnist-8","version":"1","max_rows":-2}]"#, "limits.batching[0].max_rows"),
        (r#""batching":[{"name":"..","version":"1","max_rows":2}]"#, "limits.batching[0].name"),
    ] {
        let refused = refusal(r#""cross_tenant_batching":false"#, &format!(r#""cross_tenant_batching":true,{member}"#));
        assert!(invalid(at)(&refused), "{member}: {refused}");
    }
    let more = r#""cross_tenant_batching":true,"batching":[{"name":"mnist-8","version":"1","max_rows":2,"more":0}]"#;
    let unknown = ManifestError::Json(JsonError::Unknown { member: "limits.batching[0].more".into() });
    assert_eq!(refusal(r#""cross_tenant_batching":false"#, more), unknown);
    let entry = r#"{"name":"mnist-8","version":"1","max_rows":2},"#.repeat(65);
    let many = format!(r#""cross_tenant_batching":true,"batching":[{}]"#, entry.trim_end_matches(','));
    assert!(invalid("limits.batching")(&refusal(r#""cross_tenant_batching":false"#, &many)));
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

#[test]
fn key_ids_of_neighbouring_epochs_differ() {
    assert_eq!(ohttp_key_id(0, Kem::X25519), 0);
    assert_eq!(ohttp_key_id(3, Kem::X25519), 6);
    assert_eq!(ohttp_key_id(128, Kem::X25519), 0);
    assert_eq!(ohttp_key_id(u64::MAX, Kem::X25519), 254);
}
