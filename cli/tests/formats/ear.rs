//! Attestation results, read by a JOSE library and by the bare signature algorithm.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use super::place::{Curve, Place, VERDICTS};
use super::{note, status, stderr, stdout};

/// The claims of `token`, once two readers have found its signature to hold.
pub(super) fn read(token: &str, public: &[u8], curve: Curve) -> Value {
    let (name, algorithm, verification) = match curve {
        Curve::P256 => ("P-256", Algorithm::ES256, &ECDSA_P256_SHA256_FIXED),
        Curve::P384 => ("P-384", Algorithm::ES384, &ECDSA_P384_SHA384_FIXED),
    };
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    UnparsedPublicKey::new(verification, public).verify(input.as_bytes(), &signature).unwrap();

    let (x, y) = public[1..].split_at(public.len() / 2);
    let coordinate = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "EC", "crv": name, "x": coordinate(x), "y": coordinate(y) });
    let jwk: Jwk = serde_json::from_value(jwk).unwrap();
    let key = DecodingKey::from_jwk(&jwk).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp"]);
    validation.validate_exp = false;
    let decoded = jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap();

    let altered = String::from_utf8(URL_SAFE_NO_PAD.decode(input.split_once('.').unwrap().1).unwrap()).unwrap();
    let altered = altered.replacen("\"iat\":", "\"iat\":1", 1);
    let altered = format!(
        "{}.{}.{}",
        input.split_once('.').unwrap().0,
        URL_SAFE_NO_PAD.encode(altered),
        token.rsplit_once('.').unwrap().1
    );
    assert_ne!(altered, token);
    let refused = jsonwebtoken::decode::<Value>(altered, &key, &validation).unwrap_err();
    assert_eq!(refused.kind(), &jsonwebtoken::errors::ErrorKind::InvalidSignature);
    decoded.claims
}

fn result(place: &Place, verdict: &str, more: &[&str]) -> Value {
    let public = place.signing_key("ear-key.pem", Curve::P256);
    let output = place.verify(verdict, &[&["--format", "ear", "--ear-key", "ear-key.pem"], more].concat());
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1, "{}", stderr(&output));
    read(text.trim_end(), &public, Curve::P256)
}

/// The vector in the order of AR4SI: instance, configuration, executables, file system, hardware, runtime, storage, sourced.
fn vector(claims: &Value, tee: &str) -> Vec<i64> {
    let vector = &claims["submods"][tee]["ear_trustworthiness_vector"];
    [
        "instance-identity",
        "configuration",
        "executables",
        "file-system",
        "hardware",
        "runtime-opaque",
        "storage-opaque",
        "sourced-data",
    ]
    .iter()
    .map(|name| vector[name].as_i64().unwrap())
    .collect()
}

#[test]
fn every_verdict_is_a_signed_result_that_says_no_more_than_was_judged() {
    for place in Place::both() {
        for (verdict, _) in VERDICTS {
            let claims = result(&place, verdict, &[]);
            assert_eq!(claims["eat_profile"], "tag:ietf.org,2026:rats/ear#04");
            assert_eq!(claims["iat"], 1_780_272_000);
            assert_eq!(claims["ear_verifier_id"]["developer"], "teegate");
            assert!(claims["ear_verifier_id"]["build"].as_str().unwrap().starts_with("teegate "));
            let submods = claims["submods"].as_object().unwrap();
            assert_eq!(submods.keys().collect::<Vec<_>>(), [place.tee]);
            let appraisal = &claims["submods"][place.tee];
            let (status, values) = match verdict {
                // Forged hardware, under a root that the policy pins: never better than a warning.
                "accepted" => ("warning", [0, 2, 3, 0, 32, 2, 0, 0]),
                "malformed" => ("contraindicated", [1, 1, 1, 0, 1, 1, 0, 0]),
                "unauthentic" => ("contraindicated", [99, 0, 0, 0, 99, 0, 0, 0]),
                _ => ("contraindicated", [0, 96, 3, 0, 32, 96, 0, 0]),
            };
            assert_eq!(vector(&claims, place.tee), values, "{} {verdict}", place.tee);
            assert_eq!((&claims["ear_status"], &appraisal["ear_status"]), (&json!(status), &json!(status)));
            let verifier = &appraisal["ear_verifier_claims"];
            assert_eq!(verifier["stage"].as_str().unwrap_or("accepted"), verdict);
            assert!(verifier["checks"].as_object().unwrap().len() > 20);
            let lasts = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
            assert_eq!(lasts, if verdict == "accepted" { 24 * 60 * 60 } else { 5 * 60 });
            assert_eq!(verifier["replayed"], true, "the time was named");
            let roots = &verifier["trust_anchors"];
            match verdict {
                "accepted" => assert_eq!(roots, "policy"),
                "malformed" => assert!(roots.is_null()),
                // As far as the walk came.
                _ => assert!(roots.is_null() || roots == "policy", "{verdict} {roots}"),
            }
            // What nobody was shown to have said is nobody's claim.
            let authentic = matches!(verdict, "accepted" | "unacceptable");
            assert_eq!(appraisal["ear_attester_claims"].is_object(), authentic, "{verdict}");
            assert_eq!(verifier["tcb_status"].is_string(), authentic && place.tee == "tdx");
        }
    }
}

#[test]
fn what_the_policy_waives_is_not_claimed() {
    let snp = || Place::snp(|device| device);
    let chip = teegate_encoding::hex::encode(teegate_forge::snp().report_fields().chip_id);
    let cases = [
        ("revocation = \"required\"", "revocation = \"unchecked\"".to_owned(), [0, 2, 3, 0, 32, 2, 0, 0]),
        ("chip_ids = \"unchecked\"", format!("chip_ids = [\"{chip}\"]"), [32, 2, 3, 0, 32, 2, 0, 0]),
        (
            "policy_flags = { required = [], forbidden = [\"cxl\"], unknown = \"rejected\" }",
            "policy_flags = \"unchecked\"".to_owned(),
            [0, 0, 3, 0, 32, 2, 0, 0],
        ),
    ];
    for (line, by, values) in cases {
        let claims = result(&snp().with_policy(line, &by), "accepted", &[]);
        assert_eq!(vector(&claims, "sev-snp"), values, "{by}");
        assert_eq!(claims["ear_status"], "warning", "{by}");
    }
    // `genuine` leaves platform and code open: an acceptance, and no affirmation.
    for place in Place::both() {
        let tee = place.tee;
        let claims = result(&place.with_genuine(), "accepted", &[]);
        assert_eq!(vector(&claims, tee), [0, 0, 0, 0, 32, 2, 0, 0]);
        assert_eq!(claims["ear_status"], "warning");
    }
    // A status short of UpToDate is Intel's judgement, whoever accepts it.
    let outdated = Place::tdx(|device| device.platform_status("OutOfDate"))
        .with_policy("tcb_status = [\"UpToDate\"]", "tcb_status = [\"UpToDate\", \"OutOfDate\"]");
    let claims = result(&outdated, "accepted", &[]);
    assert_eq!(vector(&claims, "tdx"), [0, 2, 3, 0, 32, 2, 0, 0]);
    assert_eq!(claims["ear_status"], "warning");
}

/// What the attester says is what the bytes say; the rest stands on the verifier's authority.
#[test]
fn claims_stand_under_the_authority_that_makes_them() {
    for place in Place::both() {
        let inspected: Value = serde_json::from_str(&stdout(&place.inspect("evidence/report.bin"))).unwrap();
        let said = inspected["facts"].as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
        let claims = result(&place, "accepted", &[]);
        let appraisal = &claims["submods"][place.tee];
        let attester = appraisal["ear_attester_claims"].as_object().unwrap();
        let said: Vec<_> = said.map(|(name, _)| name).collect();
        assert_eq!(attester.keys().collect::<Vec<_>>(), said);
        assert!(said.iter().all(|name| appraisal["ear_verifier_claims"][name.as_str()].is_null()));
    }
}

#[test]
fn a_result_without_endorsements_recognises_no_hardware() {
    for place in Place::both() {
        let public = place.signing_key("ear-key.pem", Curve::P384);
        let args = ["verify", "evidence/report.bin", "--policy", "evidence/policy.toml", "--format", "ear"];
        let output = place.run(&[&args[..], &["--at", super::place::AT, "--ear-key", "ear-key.pem"]].concat(), false);
        assert_eq!(status(&output), 3);
        let claims = read(stdout(&output).trim_end(), &public, Curve::P384);
        assert_eq!(vector(&claims, place.tee), [0, 0, 0, 0, 97, 0, 0, 0]);
    }
}

#[test]
fn a_result_names_its_policy_and_the_challenge_that_the_caller_named() {
    let place = Place::snp(|device| device);
    let zeros = "00".repeat(64);
    let claims = result(&place, "accepted", &["--report-data", &zeros]);
    let appraisal = &claims["submods"]["sev-snp"];
    assert_eq!(appraisal["eat_nonce"], json!("A".repeat(86)));
    let ids = appraisal["ear_appraisal_policy_ids"].as_array().unwrap();
    let id = ids[0].as_str().unwrap();
    let digest = id.strip_prefix("evidence/policy.toml;sha256=").unwrap();
    assert!(ids.len() == 1 && digest.len() == 64 && digest != "0".repeat(64), "{id}");

    // Not asked for, or not held: no nonce.
    assert!(result(&place, "accepted", &[])["submods"]["sev-snp"]["eat_nonce"].is_null());
    let other = result(&place, "accepted", &["--report-data", &"11".repeat(64)]);
    assert_eq!(other["ear_status"], "contraindicated");
    assert!(other["submods"]["sev-snp"]["eat_nonce"].is_null());
}

/// A reader that looks at the clock and at nothing else takes a verdict about now, and none that was replayed.
#[test]
fn every_result_ends_and_a_replayed_one_has_ended() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let place = Place::snp(|device| device.at(now));
    let public = place.signing_key("ear-key.pem", Curve::P256);
    let args = ["verify", "evidence/report.bin", "--policy", "evidence/policy.toml", "--format", "ear"];
    let output = place.run(&[&args[..], &["--ear-key", "ear-key.pem"]].concat(), true);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let token = stdout(&output);
    let claims = read(token.trim_end(), &public, Curve::P256);
    let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    assert!(iat >= now && exp == iat + 24 * 60 * 60, "{claims}");
    assert_eq!(claims["submods"]["sev-snp"]["ear_verifier_claims"]["replayed"], false);
    assert_eq!(takes_by_the_clock(token.trim_end(), &public), Ok(()));

    // The first thing that it rests on ends before the day is over.
    let soon = Place::snp(|device| device.at(now).crl_window(now - 60, Some(now + 3_600)));
    let public = soon.signing_key("ear-key.pem", Curve::P256);
    let output = soon.run(&[&args[..], &["--ear-key", "ear-key.pem"]].concat(), true);
    assert_eq!(read(stdout(&output).trim_end(), &public, Curve::P256)["exp"], now + 3_600);

    let past = Place::snp(|device| device);
    let public = past.signing_key("ear-key.pem", Curve::P256);
    let output = past.verify("accepted", &["--format", "ear", "--ear-key", "ear-key.pem"]);
    let refused = takes_by_the_clock(stdout(&output).trim_end(), &public);
    assert_eq!(refused, Err(jsonwebtoken::errors::ErrorKind::ExpiredSignature));
}

/// Whether a reader takes the token that checks signature and `exp`, as libraries do unasked.
fn takes_by_the_clock(token: &str, public: &[u8]) -> Result<(), jsonwebtoken::errors::ErrorKind> {
    let (x, y) = public[1..].split_at(public.len() / 2);
    let coordinate = |bytes| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": coordinate(x), "y": coordinate(y) });
    let key = DecodingKey::from_jwk(&serde_json::from_value::<Jwk>(jwk).unwrap()).unwrap();
    let read = jsonwebtoken::decode::<Value>(token, &key, &Validation::new(Algorithm::ES256));
    read.map(drop).map_err(|error| error.into_kind())
}

#[test]
fn a_missing_or_wrong_key_is_said_before_anything_is_verified_with_how_to_make_one() {
    let place = Place::snp(|device| device);
    let refused = |more: &[&str]| {
        let output = place.verify("accepted", more);
        assert_eq!((status(&output), stdout(&output)), (1, String::new()));
        stderr(&output)
    };
    let how = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ear-key.pem";
    let missing = refused(&["--format", "ear"]);
    assert!(missing.contains("no `--ear-key FILE` was given") && missing.contains(how), "{missing}");
    let absent = refused(&["--format", "ear", "--ear-key", "nowhere.pem"]);
    assert!(absent.contains("`nowhere.pem`: cannot be read") && absent.contains(how), "{absent}");
    let wrong = refused(&["--format", "ear", "--ear-key", "evidence/endorsements/chain.pem"]);
    assert!(wrong.contains("holds no `BEGIN PRIVATE KEY`") && wrong.contains(how), "{wrong}");
    let idle = refused(&["--format", "json", "--ear-key", "evidence/endorsements/chain.pem"]);
    assert!(idle.contains("add `--format ear`"), "{idle}");

    // The command that the error names makes a key that is taken.
    let made = std::process::Command::new("sh").args(["-c", how]).current_dir(place.folder()).output().unwrap();
    if !made.status.success() {
        return note("`openssl genpkey` did not run here, so the advice of `--ear-key` was not tried");
    }
    let output = place.verify("accepted", &["--format", "ear", "--ear-key", "ear-key.pem"]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
}
