//! Digests of initdata and of ACI policies, in the field of each platform.

use teegate_measurements::ReferenceValues;
use teegate_measurements::predict::{InitdataFor, aci_policy, initdata};
use teegate_verifier::Tee;

use crate::value;

fn file(algorithm: &str) -> String {
    format!("version = \"0.1.0\"\nalgorithm = \"{algorithm}\"\n\n[data]\n\"aa.toml\" = '''\n'''\n")
}

/// By Python's hashlib, over the text of [`file`]; PCR 8 is SHA-256 of 32 zero bytes and that.
const SHA256: &str = "0325d24fac4bf41e4281a1d7648c14105769b20518c7b5a6550e29b99dd09a38";
const SHA384: &str = "96c9a1fc54f4b3051187827bec44a0d2a3a0c4d9e908cc2cfb07d7edc909d99d3fe6fe3ec9e2507347a63b6a0b92b3f8";
const PCR8: &str = "a02814542391e5b14f2cc20a21629bef83843528ae53910cb2e0e4555bee5306";

#[test]
fn the_digest_of_initdata_stands_in_the_field_of_each_platform() {
    let (short, long) = (file("sha256"), file("sha384"));
    let of = |text: &str, place| initdata(text.as_bytes(), place).unwrap();
    for (prediction, field, expected) in [
        (of(&short, InitdataFor::SevSnp), "host_data", SHA256.to_owned()),
        (of(&short, InitdataFor::AzureVtpm), "pcr8", PCR8.to_owned()),
        (of(&long, InitdataFor::Tdx), "mrconfigid", SHA384.to_owned()),
        (of(&short, InitdataFor::Tdx), "mrconfigid", format!("{SHA256}{}", "00".repeat(16))),
    ] {
        assert_eq!((prediction.values[0].field, value(&prediction)), (field, expected));
    }
    let text = of(&short, InitdataFor::SevSnp).reference_values("pod", "teegate predict initdata x", None).unwrap();
    assert!(ReferenceValues::parse(&text).is_ok() && text.contains(SHA256), "{text}");
}

#[test]
fn initdata_whose_digest_does_not_fit_is_refused_before_a_guest_refuses_it() {
    let places = [InitdataFor::SevSnp, InitdataFor::Tdx, InitdataFor::AzureVtpm];
    for (algorithm, place, says) in [
        ("sha384", InitdataFor::AzureVtpm, "extends PCR 8 with a digest of sha256 and refuses any other"),
        ("sha512", InitdataFor::AzureVtpm, "extends PCR 8 with a digest of sha256 and refuses any other"),
        ("sha384", InitdataFor::SevSnp, "HOST_DATA has 32 bytes"),
        ("sha512", InitdataFor::SevSnp, "HOST_DATA has 32 bytes"),
        ("sha512", InitdataFor::Tdx, "MRCONFIGID has 48 bytes"),
    ] {
        let error = initdata(file(algorithm).as_bytes(), place).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
    for place in places {
        for (text, says) in [
            (file("sha256").replace("0.1.0", "0.2.0"), "version = \"0.1.0\""),
            (file("md5"), "`algorithm` to be"),
            // Spellings that the agents do not read: a guest would not start with them.
            (file("sha-256"), "`algorithm` to be"),
            (file("sha-2-56"), "`algorithm` to be"),
            (file("SHA256"), "`algorithm` to be"),
            (file("sha256") + "number = 5\n", "`number` in `[data]` is no string"),
            (file("sha256") + "[data.inner]\n", "`inner` in `[data]` is no string"),
            (file("sha256").replace("[data]", "[other]"), "a table `[data]`"),
            (file("sha256") + "[", "no TOML"),
            (String::new(), "version = \"0.1.0\""),
        ] {
            let error = initdata(text.as_bytes(), place).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
        assert!(initdata(&[0xFF], place).unwrap_err().to_string().contains("not UTF-8"));
        for (carried, says) in [
            (b"H4sIAAAAAAAAA0vOSy1JBQC".as_slice(), "it is gzip in base64, as an annotation carries initdata"),
            (&[0x1F, 0x8B, 8, 0], "it is gzip: "),
        ] {
            let error = initdata(carried, place).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
    }
}

#[test]
fn a_policy_of_aci_is_hashed_as_text_whichever_way_it_is_carried() {
    let rego = b"# a comment\npackage policy\n\napi_version := \"0.11.0\"\n";
    let carried = teegate_encoding::base64::encode(rego);
    let own = aci_policy(rego).unwrap();
    assert_eq!(
        (own.tee, value(&own).as_str()),
        (Some(Tee::SevSnp), "e9cb2e8767ac52710c5ca18e1c0b5a44c574e3520393727de2749f7db2cc9d2d")
    );
    assert_eq!(value(&aci_policy(carried.as_bytes()).unwrap()), value(&own));
    assert_eq!(value(&aci_policy(format!("{carried}\n").as_bytes()).unwrap()), value(&own));
    // One space more is another policy.
    assert_ne!(value(&aci_policy(&[rego.as_slice(), b" "].concat()).unwrap()), value(&own));
    let open = aci_policy(b"package policy\nallow_all := true\n").unwrap();
    assert!(open.notes.iter().any(|note| note.contains("allows everything")), "{open:?}");
    let not_rego = teegate_encoding::base64::encode("hello");
    for (bytes, says) in [
        (b"hello, world".as_slice(), "neither Rego"),
        (not_rego.as_bytes(), "what it holds is no Rego"),
        (&[0xFF], "not text"),
        (b"", "what it holds is no Rego"),
        (b"H4sIAAAAAAAAA0vOSy1JBQC", "gzip in base64, as an annotation carries initdata"),
        (b"{\"properties\": {\"ccePolicy\": \"cA==\"}}", "JSON with a member `ccePolicy`, as a template has"),
        (b"{}", "policy: JSON: expected the policy alone"),
    ] {
        let error = aci_policy(bytes).unwrap_err().to_string();
        assert!(error.contains(says), "{says}: {error}");
    }
}

/// The policy that a recorded container's HOST_DATA was taken of, where it is there.
#[test]
fn a_recorded_container_shows_the_digest_of_its_policy() {
    let Some(folder) = crate::found::shared("fixtures/snp/milan-v2-azure-ms-aci", "HOST_DATA of a recorded container")
    else {
        return;
    };
    let found = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path());
    let policy =
        found.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("policy")));
    let Some(policy) = policy else {
        return crate::found::note("skipped: HOST_DATA of a recorded container: no policy beside it");
    };
    let prediction = aci_policy(&std::fs::read(policy).unwrap()).unwrap();
    assert!(value(&prediction).starts_with("cadd74f7"), "{}", value(&prediction));
}
