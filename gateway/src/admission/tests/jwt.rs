//! JSON Web Tokens: written by another library, or by hand where no library would.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, KeyPair as _, RsaEncoding, RsaKeyPair};
use jsonwebtoken::{EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use teegate_encoding::base64;

use super::*;
use crate::clock::Clock;
use crate::trust::testing::{START, clock, set_wall};

/// Two keys of different kinds, and what the file says of them.
pub(super) struct Keys {
    ed: KeyPair,
    ec: KeyPair,
}

impl Keys {
    pub(super) fn new() -> Self {
        let ed = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        Self { ed, ec: KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap() }
    }

    pub(super) fn ed_jwk(&self, kid: &str) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": base64::encode_url(self.ed.public_key_raw()) })
    }

    fn ec_jwk(&self, kid: &str) -> Value {
        let point = self.ec.public_key_raw();
        let (x, y) = (base64::encode_url(&point[1..33]), base64::encode_url(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": x, "y": y })
    }

    /// By `jsonwebtoken`.
    pub(super) fn sign(&self, header: &Header, claims: &Value) -> String {
        let key = match header.alg {
            jsonwebtoken::Algorithm::EdDSA => EncodingKey::from_ed_der(&self.ed.serialize_der()),
            _ => EncodingKey::from_ec_der(&self.ec.serialize_der()),
        };
        jsonwebtoken::encode(header, claims, &key).unwrap()
    }

    /// By hand, with any header: signed by the Ed25519 key.
    fn sign_raw(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64::encode_url(header), base64::encode_url(claims));
        let key = signature::Ed25519KeyPair::from_pkcs8(&self.ed.serialize_der()).unwrap();
        format!("{message}.{}", base64::encode_url(key.sign(message.as_bytes())))
    }
}

const TABLE: &str = "[admission]\n[admission.jwt]\nkeys = 'jwks.json'\nalgorithms = ['EdDSA', 'ES256', 'RS256', 'PS256']\n\
                     issuer = 'https://issuer.example'\naudience = 'teegate'\ntenant_claim = 'team'\n\
                     [[tenant]]\nname = 'a'\nmodels = ['a']\njwt = ['team-a']\n";

fn keeper(jwks: &Value) -> Result<Gatekeeper, String> {
    let folder = Folder::new();
    folder.write("jwks.json", &jwks.to_string());
    Gatekeeper::load(&folder.settings(TABLE)).map_err(|error| error.to_string())
}

pub(super) fn set(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

pub(super) fn claims() -> Value {
    json!({ "iss": "https://issuer.example", "aud": "teegate", "exp": START + 600, "nbf": START, "team": "team-a" })
}

/// What becomes of a token: the name of its tenant.
pub(super) fn judged(keeper: &Gatekeeper, clock: &Clock, token: &str) -> Result<&'static str, Denied> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    keeper.admit(&headers, &Certificate::None, &clock.now()).map(|member| member.tenant().name())
}

pub(super) fn header(alg: jsonwebtoken::Algorithm, kid: Option<&str>) -> Header {
    Header { kid: kid.map(str::to_owned), ..Header::new(alg) }
}

#[tokio::test(start_paused = true)]
async fn an_authentic_token_is_its_claim() {
    let (keys, clock) = (Keys::new(), clock());
    let keeper = keeper(&set(&[keys.ed_jwk("one"), keys.ec_jwk("two")])).unwrap();
    use jsonwebtoken::Algorithm::{ES256, EdDSA};
    for header in [header(EdDSA, Some("one")), header(ES256, Some("two")), header(EdDSA, None), header(ES256, None)] {
        assert_eq!(judged(&keeper, &clock, &keys.sign(&header, &claims())), Ok("a"), "{header:?}");
    }
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        judged(&keeper, &clock, &keys.sign(&header(EdDSA, Some("one")), &claims))
    };
    for (name, value, expected) in [
        ("aud", json!(["other", "teegate"]), Ok("a")),
        ("aud", json!(["other"]), Err(Denied::JwtAudience)),
        ("aud", json!([]), Err(Denied::JwtAudience)),
        ("aud", json!("Teegate"), Err(Denied::JwtAudience)),
        ("aud", json!({ "teegate": true }), Err(Denied::JwtAudience)),
        ("aud", Value::Null, Err(Denied::JwtAudience)),
        ("iss", json!("https://issuer.example/"), Err(Denied::JwtIssuer)),
        ("iss", json!(["https://issuer.example"]), Err(Denied::JwtIssuer)),
        ("exp", json!(START - 29), Ok("a")),
        ("exp", json!(START - 30), Err(Denied::JwtTime)),
        ("exp", json!(1_780_272_000.5), Ok("a")),
        ("exp", json!((START + 600).to_string()), Err(Denied::JwtTime)),
        ("exp", json!(-1), Err(Denied::JwtTime)),
        ("exp", json!(1e300), Err(Denied::JwtTime)),
        ("exp", Value::Null, Err(Denied::JwtTime)),
        ("nbf", json!(START + 30), Ok("a")),
        ("nbf", json!(START + 31), Err(Denied::JwtTime)),
        ("nbf", json!("now"), Err(Denied::JwtTime)),
        ("team", json!("team-b"), Err(Denied::NoTenant)),
        ("team", json!("a"), Err(Denied::NoTenant)),
        ("team", json!(["team-a"]), Err(Denied::NoTenant)),
        ("team", json!("TEAM-A"), Err(Denied::NoTenant)),
        ("other", json!({ "deep": [1, 2, 3] }), Ok("a")),
    ] {
        assert_eq!(with(name, value.clone()), expected, "{name} = {value}");
    }
    for name in ["iss", "aud", "exp", "team"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        assert!(judged(&keeper, &clock, &keys.sign(&header(EdDSA, None), &claims)).is_err(), "{name}");
    }
    // While the clock of this machine is not to be believed, nothing that has an end is.
    let token = keys.sign(&header(EdDSA, None), &claims());
    set_wall(START - 3_600);
    assert!(clock.now().is_set_back);
    assert_eq!(judged(&keeper, &clock, &token), Err(Denied::JwtTime));
}

#[tokio::test(start_paused = true)]
async fn a_header_chooses_among_what_is_configured_and_nothing_else() {
    let (keys, clock) = (Keys::new(), clock());
    let keeper = keeper(&set(&[keys.ed_jwk("one"), keys.ec_jwk("two")])).unwrap();
    let claims = claims().to_string();
    let raw = |header: &str| judged(&keeper, &clock, &keys.sign_raw(header, &claims));
    let own = keys.ed_jwk("own");
    for (header, expected) in [
        (r#"{"alg":"EdDSA","kid":"one"}"#.to_owned(), Ok("a")),
        // Where it says its key is to be found is not looked at: neither good nor bad.
        (r#"{"alg":"EdDSA","jku":"http://127.0.0.1:1/jwks","x5u":"http://127.0.0.1:1/","x5c":["AA"]}"#.into(), Ok("a")),
        (format!(r#"{{"alg":"EdDSA","kid":"one","jwk":{own}}}"#), Ok("a")),
        (format!(r#"{{"alg":"EdDSA","kid":"own","jwk":{own}}}"#), Err(Denied::JwtKey)),
        (r#"{"alg":"none"}"#.into(), Err(Denied::JwtAlgorithm)),
        (r#"{"alg":"None","kid":"one"}"#.into(), Err(Denied::JwtAlgorithm)),
        (r#"{"alg":"eddsa"}"#.into(), Err(Denied::JwtAlgorithm)),
        (r#"{"alg":"HS256","kid":"one"}"#.into(), Err(Denied::JwtAlgorithm)),
        (r#"{"alg":"ES384","kid":"one"}"#.into(), Err(Denied::JwtAlgorithm)),
        (r#"{"alg":["EdDSA"]}"#.into(), Err(Denied::JwtAlgorithm)),
        (r#"{"alg":1}"#.into(), Err(Denied::JwtAlgorithm)),
        (r#"{"kid":"one"}"#.into(), Err(Denied::JwtAlgorithm)),
        (r#"{"alg":"EdDSA","alg":"EdDSA"}"#.into(), Err(Denied::JwtForm)),
        (r#"{"alg":"EdDSA","kid":"one","kid":"two"}"#.into(), Err(Denied::JwtForm)),
        (r#"{"alg":"EdDSA","crit":["exp"]}"#.into(), Err(Denied::JwtForm)),
        (r#"{"alg":"EdDSA","crit":[]}"#.into(), Err(Denied::JwtForm)),
        (r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#.into(), Err(Denied::JwtForm)),
        (r#"{"alg":"EdDSA","kid":1}"#.into(), Err(Denied::JwtForm)),
        (r#"{"alg":"EdDSA","kid":null}"#.into(), Err(Denied::JwtForm)),
        (r#"{"alg":"EdDSA","kid":["one"]}"#.into(), Err(Denied::JwtForm)),
        (r#"{"alg":"EdDSA","kid":""}"#.into(), Err(Denied::JwtKey)),
        (r#"{"alg":"EdDSA","kid":"../../../../etc/passwd"}"#.into(), Err(Denied::JwtKey)),
        (r#"{"alg":"EdDSA","kid":"http://127.0.0.1:1/one"}"#.into(), Err(Denied::JwtKey)),
        (r#"{"alg":"EdDSA","kid":"one' OR '1'='1"}"#.into(), Err(Denied::JwtKey)),
        // A key of another kind is no key for it.
        (r#"{"alg":"EdDSA","kid":"two"}"#.into(), Err(Denied::JwtKey)),
        (r#"{"alg":"ES256","kid":"one"}"#.into(), Err(Denied::JwtKey)),
        (r#"{"alg":"ES256","kid":"two"}"#.into(), Err(Denied::JwtSignature)),
        (r#"["EdDSA"]"#.into(), Err(Denied::JwtForm)),
        (format!(r#"{{"alg":"EdDSA","x":{}{}}}"#, "[".repeat(100), "]".repeat(100)), Err(Denied::JwtForm)),
    ] {
        assert_eq!(raw(&header), expected, "{header}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_signed_by_a_key_of_the_file_is_nothing() {
    let (keys, stranger, clock) = (Keys::new(), Keys::new(), clock());
    let jwk = keys.ed_jwk("one");
    let keeper = keeper(&set(std::slice::from_ref(&jwk))).unwrap();
    let header = header(jsonwebtoken::Algorithm::EdDSA, Some("one"));
    let token = keys.sign(&header, &claims());
    assert_eq!(judged(&keeper, &clock, &token), Ok("a"), "the passing twin");
    assert_eq!(judged(&keeper, &clock, &stranger.sign(&header, &claims())), Err(Denied::JwtSignature));
    // The public key, as whoever knows it would write it, as the secret of an HMAC.
    let public = keys.ed.public_key_raw();
    for secret in [public, base64::encode_url(public).as_bytes(), jwk.to_string().as_bytes()] {
        let hs256 = Header { kid: Some("one".into()), ..Header::new(jsonwebtoken::Algorithm::HS256) };
        let forged = jsonwebtoken::encode(&hs256, &claims(), &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(judged(&keeper, &clock, &forged), Err(Denied::JwtAlgorithm));
    }
    let parts: Vec<&str> = token.split('.').collect();
    let other = base64::encode_url(claims().to_string().replace("team-a", "team-b"));
    for (what, forged, denied) in [
        ("no signature", format!("{}.{}.", parts[0], parts[1]), Denied::JwtSignature),
        ("two parts", format!("{}.{}", parts[0], parts[1]), Denied::JwtForm),
        ("four parts", format!("{token}.{}", parts[2]), Denied::JwtForm),
        ("other claims", format!("{}.{other}.{}", parts[0], parts[2]), Denied::JwtSignature),
        ("a longer signature", format!("{token}AA"), Denied::JwtSignature),
        ("padding", format!("{token}="), Denied::JwtForm),
        ("no header", format!(".{}.{}", parts[1], parts[2]), Denied::JwtForm),
    ] {
        assert_eq!(judged(&keeper, &clock, &forged), Err(denied), "{what}");
    }
    let twice = r#"{"iss":"https://issuer.example","aud":"teegate","exp":9999999999,"team":"team-b","team":"team-a"}"#;
    assert_eq!(judged(&keeper, &clock, &keys.sign_raw(r#"{"alg":"EdDSA"}"#, twice)), Err(Denied::JwtForm));
}

#[tokio::test(start_paused = true)]
async fn rsa_takes_the_padding_that_is_configured() {
    let clock = clock();
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
    let (n, e) = (n.big_endian_without_leading_zero().to_vec(), e.big_endian_without_leading_zero().to_vec());
    let jwk = |alg: Option<&str>| {
        let mut jwk = json!({ "kty": "RSA", "n": base64::encode_url(&n), "e": base64::encode_url(&e) });
        if let Some(alg) = alg {
            jwk["alg"] = json!(alg);
        }
        jwk
    };
    let sign = |alg: &str, padding: &'static dyn RsaEncoding| {
        let header = base64::encode_url(json!({ "alg": alg }).to_string());
        let message = format!("{header}.{}", base64::encode_url(claims().to_string()));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", base64::encode_url(signature))
    };
    let (rs, ps) = (sign("RS256", &signature::RSA_PKCS1_SHA256), sign("PS256", &signature::RSA_PSS_SHA256));
    let any = keeper(&set(&[jwk(None)])).unwrap();
    assert_eq!((judged(&any, &clock, &rs), judged(&any, &clock, &ps)), (Ok("a"), Ok("a")));
    let crossed = sign("PS256", &signature::RSA_PKCS1_SHA256);
    assert_eq!(judged(&any, &clock, &crossed), Err(Denied::JwtSignature));
    let only = keeper(&set(&[jwk(Some("PS256"))])).unwrap();
    assert_eq!((judged(&only, &clock, &rs), judged(&only, &clock, &ps)), (Err(Denied::JwtKey), Ok("a")));
    let long = sign("RS512", &signature::RSA_PKCS1_SHA512);
    assert_eq!(judged(&any, &clock, &long), Err(Denied::JwtAlgorithm), "not among those that are named");
}

#[tokio::test(start_paused = true)]
async fn a_file_of_keys_that_leaves_a_doubt_is_refused() {
    let (keys, other, clock) = (Keys::new(), Keys::new(), clock());
    let (ed, ec) = (keys.ed_jwk("one"), keys.ec_jwk("two"));
    let with = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    for (jwks, said) in [
        (json!({}), "`keys` is missing"),
        (json!([ed]), "it is no JWKS"),
        (json!({ "keys": ed }), "`keys` is not understood"),
        (set(&[]), "it has no key"),
        (set(&[ed.clone(), with(&ec, "kid", json!("one"))]), "key 2 of `keys`: its `kid` is that of another key"),
        (set(&[json!({ "kty": "oct", "k": "AAAA" })]), "it is a symmetric key"),
        (set(&[with(&ed, "d", json!("AAAA"))]), "it is a private key"),
        (set(&[with(&ed, "x", json!("AAAA"))]), "a coordinate has 3 bytes, expected 32"),
        (set(&[with(&ed, "kid", json!(1))]), "`kid` is not a string"),
        (set(&[with(&ed, "use", json!("enc"))]), "it has no key"),
        (set(&[with(&ed, "crv", json!("X25519"))]), "it has no key"),
        (
            set(&[json!({ "kty": "RSA", "n": base64::encode_url([0xFF; 128]), "e": "AQAB" })]),
            "its modulus has not 2048",
        ),
        (set(&[with(&ec, "alg", json!("ES384"))]), "no key is for any of `admission.jwt.algorithms`"),
    ] {
        let error = keeper(&jwks).map(|_| ()).unwrap_err();
        assert!(error.contains(said), "{jwks}: {error}");
    }
    // Without a `kid` a token leaves no choice, or is not taken.
    let header = header(jsonwebtoken::Algorithm::EdDSA, None);
    let token = keys.sign(&header, &claims());
    let two = keeper(&set(&[ed.clone(), other.ed_jwk("three")])).unwrap();
    assert_eq!(judged(&two, &clock, &token), Err(Denied::JwtKey));
    let one = keeper(&set(&[ed, with(&other.ed_jwk("three"), "use", json!("enc")), ec])).unwrap();
    assert_eq!(judged(&one, &clock, &token), Ok("a"));
}
