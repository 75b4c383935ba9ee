//! The shapes in which tools keep what vouches for evidence: each gives the same endorsements, and what was changed in it is refused for
//! what was changed.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use teegate_forge as forge;
use teegate_forge::snp::SnpSet;
use teegate_forge::tdx::TdxSet;
use teegate_intake::{Statement, endorsements};
use teegate_verifier::Endorsements;

use crate::subject::{Pool, SNP_DEVICE, TDX_DEVICE, snp_set, tdx_set};

/// JSON indented as Python's `json.dump(…, indent=4)` and `jq` write it: members in their order, and white space between them.
fn indented(json: &str) -> String {
    let (mut out, mut depth, mut in_string, mut escaped) = (String::new(), 0_usize, false, false);
    for c in json.chars() {
        let line = |depth: usize| format!("\n{}", " ".repeat(4 * depth));
        match c {
            _ if in_string => {
                (in_string, escaped) = (escaped || c != '"', !escaped && c == '\\');
                out.push(c);
            }
            '{' | '[' => {
                depth += 1;
                out.extend([c.to_string(), line(depth)]);
            }
            '}' | ']' => {
                depth -= 1;
                out.extend([line(depth), c.to_string()]);
            }
            ',' => out.extend([",".to_owned(), line(depth)]),
            ':' => out.push_str(": "),
            '"' => {
                in_string = true;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    out
}

fn percent_encoded(pem: &str) -> String {
    pem.replace(' ', "%20").replace('\n', "%0A").replace('+', "%2B").replace('=', "%3D")
}

/// Everything that Intel's services say of a platform, in each shape that tools keep it in.
fn collateral(set: &TdxSet) -> Vec<(&'static str, String)> {
    let plain: serde_json::Value = serde_json::from_str(&set.dcap_collateral(true)).unwrap();
    let bytes = ["root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"];
    let spelt = |spell: &dyn Fn(Vec<u8>) -> serde_json::Value| {
        let mut changed = plain.clone();
        for name in bytes {
            changed[name] = spell(hex::decode(plain[name].as_str().unwrap()).unwrap());
        }
        changed.to_string()
    };
    let chain = |name: &str| plain[name].as_str().unwrap().to_owned();
    let lists = [&set.root_crl, &set.pck_crl];
    let library = |spell: &dyn Fn(&Vec<u8>) -> serde_json::Value, answers: [serde_json::Value; 2]| {
        json!({
            "version": "3.1", "tee_type": 0x81, "pck_crl_issuer_chain": chain("pck_crl_issuer_chain"),
            "root_ca_crl": spell(lists[0]), "pck_crl": spell(lists[1]),
            "tcb_info_issuer_chain": chain("tcb_info_issuer_chain"), "tcb_info": answers[0],
            "qe_identity_issuer_chain": chain("qe_identity_issuer_chain"), "qe_identity": answers[1],
        })
        .to_string()
    };
    let [tcb_info, identity] = [set.tcb_info_response(), set.qe_identity_response()];
    let text = |tail: &str| [&tcb_info, &identity].map(|answer| json!(format!("{answer}{tail}")));
    let platforms = |identity: &str| {
        let [root, pck] = lists.map(hex::encode);
        let leaf = percent_encoded(&forge::pem::certificate(&set.pck));
        let [ca, signing] = ["pck_crl_issuer_chain", "tcb_info_issuer_chain"].map(|name| percent_encoded(&chain(name)));
        format!(
            r#"{{"platforms":[],"collaterals":{{"version":"4.0","pck_certs":[{{"enc_ppid":"3082ff00","certs":[{{"tcbm":"30820101","cert":"{leaf}"}}]}}],"tcbinfos":[{{"fmspc":"x","sgx_tcbinfo":null,"tdx_tcbinfo":{tcb_info}}}],"pckcacrl":{{"processorCrl":"","platformCrl":"{pck}"}},"qeidentity":"","tdqeidentity":{identity},"rootcacrl_cdp":"https://host/x.der","certificates":{{"SGX-PCK-Certificate-Issuer-Chain":{{"PROCESSOR":"","PLATFORM":"{ca}"}},"SGX-TCB-Info-Issuer-Chain":"{signing}","SGX-Enclave-Identity-Issuer-Chain":"{signing}"}},"rootcacrl":"{root}"}}}}"#
        )
    };
    vec![
        ("dcap-qvl, hexadecimal", plain.to_string()),
        ("dcap-qvl, base64", spelt(&|bytes| json!(STANDARD.encode(bytes)))),
        ("dcap-qvl, base64url", spelt(&|bytes| json!(URL_SAFE_NO_PAD.encode(bytes)))),
        ("dcap-qvl, byte arrays", spelt(&|bytes| json!(bytes))),
        (
            "Intel's library, hexadecimal and NUL",
            library(&|list| json!(format!("{}\0", hex::encode(list))), text("\0")),
        ),
        (
            "Intel's library, byte arrays",
            library(&|list| json!(list), [&tcb_info, &identity].map(|text| json!(text.as_bytes()))),
        ),
        ("Intel's library, base64", library(&|list| json!(STANDARD.encode(list)), text("\n"))),
        ("Intel's library, PEM", library(&|list| json!(forge::pem::crl(list)), text(""))),
        ("administrator tool, indented", indented(&platforms(&identity))),
        // Intel's own writes on one line, with a blank behind each mark, and identities as the text that was served.
        (
            "administrator tool, as Intel's",
            indented(&platforms(&json!(identity).to_string())).lines().map(str::trim).collect::<Vec<_>>().join(" "),
        ),
        ("administrator tool, on one line", platforms(&identity)),
    ]
}

fn loaded(text: &str) -> Result<endorsements::Loaded, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    endorsements::load(&[file.path().to_owned()]).map_err(|error| error.to_string())
}

/// The checks that fail for the quote of `set`, with these endorsements alone.
fn failed_with(set: &TdxSet, found: &Endorsements) -> Vec<&'static str> {
    let mut subject = tdx_set(set.clone());
    subject.pool = Pool { others: found.clone(), ..Pool::default() };
    subject.judge().map_or_else(|rejection| rejection.failed_checks(), |_| Vec::new())
}

#[test]
fn collateral_in_every_tool_s_shape_is_the_same_collateral() {
    let set = TDX_DEVICE.build();
    let mut statements: Vec<(&str, Vec<Statement>)> = Vec::new();
    for (shape, text) in collateral(&set) {
        let found = loaded(&text).unwrap_or_else(|error| panic!("{shape}: {error}"));
        assert_eq!(failed_with(&set, &found.endorsements()), [""; 0], "{shape}");
        assert!(found.respelt.is_empty() && found.ignored.is_empty(), "{shape}");
        let mut all: Vec<_> =
            found.statements().filter(|found| !matches!(found, Statement::Certificate(_))).cloned().collect();
        all.sort();
        statements.push((shape, all));
    }
    let (_, first) = &statements[0];
    assert_eq!(first.len(), 4);
    for (shape, all) in &statements {
        assert_eq!(all, first, "{shape}");
    }
}

/// The twins: a digit of what Intel signed, a list that is missing, a signature that is none.
#[test]
fn collateral_that_was_changed_is_refused_for_what_was_changed() {
    let set = TDX_DEVICE.build();
    let date = set.tcb_info.body.split("\"issueDate\":\"").nth(1).unwrap()[..20].to_owned();
    for (shape, text) in collateral(&set) {
        if shape.contains("byte arrays") && shape.contains("library") {
            continue;
        }
        let changed = text.replacen(&date, &format!("{}1Z", &date[..18]), 1);
        assert_ne!(changed, text, "{shape}");
        let found = loaded(&changed).unwrap();
        assert_eq!(failed_with(&set, &found.endorsements()), ["tdx.collateral.signer"], "{shape}");
        assert!(found.respelt.is_empty(), "{shape}: the spelling is Intel's");
    }
    for (shape, edit, says) in [
        ("dcap-qvl, base64", ("\"pck_crl\"", "\"pck\""), "member `pck_crl` is missing"),
        ("Intel's library, base64", ("\"pck_crl\"", "\"pck\""), "member `pck_crl` is missing"),
        (
            "dcap-qvl, base64",
            ("\"tcb_info_signature\":\"", "\"tcb_info_signature\":\"AAAA"),
            "holds 67 bytes, a signature has 64",
        ),
        (
            "dcap-qvl, base64",
            ("\"tcb_info_signature\":\"", "\"tcb_info_signature\":\"*"),
            "`tcb_info_signature` is neither hexadecimal, base64 nor",
        ),
        (
            "dcap-qvl, byte arrays",
            ("\"pck_crl\":[48,", "\"pck_crl\":[300,"),
            "`pck_crl` is neither PEM, hexadecimal, base64 nor an array",
        ),
        (
            "Intel's library, PEM",
            ("{\\\"tcbInfo\\\":", "{\\\"tcb\\\":"),
            "`tcb_info_signature` is missing, and `tcb_info` is not the answer",
        ),
        (
            "administrator tool, on one line",
            ("\"signature\":\"", "\"signature\":\"00"),
            "holds 65 bytes, a signature has 64",
        ),
        (
            "administrator tool, on one line",
            ("\"collaterals\":{", "\"collaterals\":null,\"other\":{"),
            "`collaterals` holds no collateral",
        ),
    ] {
        let (_, text) = collateral(&set).into_iter().find(|(name, _)| *name == shape).unwrap();
        assert!(text.contains(edit.0), "{shape}: {}", edit.0);
        let error = loaded(&text.replacen(edit.0, edit.1, 1)).unwrap_err();
        assert!(error.contains(says), "{shape}: {error}");
    }
}

/// Two faults that look alike to a verifier: text that a program has written again, and text that Intel did not sign.
#[test]
fn text_that_a_program_wrote_again_is_told_from_text_that_was_changed() {
    let set = TDX_DEVICE.build();
    let answer = set.tcb_info_response();
    let sorted = serde_json::from_str::<serde_json::Value>(&answer).unwrap().to_string();
    assert_ne!(sorted, answer, "this program writes members in another order");
    for (text, how) in [
        (indented(&answer), Some("white space")),
        (sorted, Some("another order")),
        (answer.clone(), None),
        (answer.replacen("TDX", "TDY", 1), None),
    ] {
        let found = loaded(&text).unwrap();
        let respelt: Vec<_> = found.respelt.iter().map(|respelt| (respelt.kind, respelt.how)).collect();
        match how {
            Some(how) => assert!(matches!(respelt[..], [("tcb-info", words)] if words.contains(how)), "{respelt:?}"),
            None => assert!(respelt.is_empty(), "{respelt:?}"),
        }
        let mut subject = tdx_set(set.clone());
        subject.pool.tcb_infos.clear();
        subject.pool.others = found.endorsements();
        let failed = subject.judge().map_or_else(|rejection| rejection.failed_checks(), |_| Vec::new());
        assert_eq!(failed.is_empty(), text == answer, "{failed:?}");
    }
}

/// No text that Intel served is taken for one that was written again.
#[test]
fn recorded_collateral_is_in_intel_s_spelling() {
    let Some(fixtures) = crate::recorded::fixtures() else { return };
    let found = endorsements::load(&[fixtures.join("dcap-collateral/pool")]).unwrap();
    let texts = found
        .statements()
        .filter(|statement| matches!(statement, Statement::TcbInfo { .. } | Statement::QeIdentity { .. }));
    assert!(texts.count() >= 20);
    assert_eq!(found.respelt, []);
}

/// A container's security context (`host-amd-cert-base64`), and DER that a tool wrote as base64.
#[test]
fn base64_of_an_endorsement_is_the_endorsement() {
    let set: SnpSet = SNP_DEVICE.build();
    let [vcek, rest @ ..] = &set.certificates()[..] else { panic!() };
    let thim = json!({
        "vcekCert": forge::pem::certificate(vcek), "tcbm": "DB18", "cacheControl": "86400", "certificateChain": forge::pem::chain(rest),
    });
    let (thim, list) = (STANDARD.encode(thim.to_string()), STANDARD.encode(set.crl.as_ref().unwrap()));
    let lines: String =
        thim.as_bytes().chunks(76).map(|line| format!("{}\n", std::str::from_utf8(line).unwrap())).collect();
    for text in [&thim, &lines] {
        let mut found = loaded(text).unwrap().endorsements();
        assert_eq!(found.len(), set.certificates().len());
        found.extend(&loaded(&list).unwrap().endorsements());
        let mut subject = snp_set(set.clone());
        subject.pool = Pool { others: found, ..Pool::default() };
        assert!(subject.judge().is_ok());
    }
    // The twins: base64 of words, of half a certificate, and of base64.
    for (bytes, says) in [
        (&b"some words, and no endorsement"[..], "not recognised: found text without a PEM block"),
        (&vcek[..300], "not a well-formed DER certificate or revocation list: an element runs past the end"),
        (thim.as_bytes(), "not recognised: found text without a PEM block"),
    ] {
        let error = loaded(&STANDARD.encode(bytes)).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

/// Intel's tools fetch what every kind of platform needs: what is for others, however much, changes nothing.
#[test]
fn collateral_of_many_platforms_is_that_of_the_one() {
    let set = TDX_DEVICE.build();
    let (_, text) =
        collateral(&set).into_iter().find(|(shape, _)| *shape == "administrator tool, on one line").unwrap();
    let others: String = (1..=48_u8)
        .map(|number| {
            let other = TDX_DEVICE.clone().fmspc([number, 0, 0, 0, 0, 0]).build();
            let sgx = other.tcb_info_response().replace("\"TDX\"", "\"SGX\"");
            format!(r#"{{"fmspc":"{number}","sgx_tcbinfo":{sgx},"tdx_tcbinfo":{}}},"#, other.tcb_info_response())
        })
        .collect();
    let qve = set.qe_identity_response().replace("TD_QE", "QVE");
    let sgx = set.qe_identity_response().replace("TD_QE", "QE");
    let text = text.replacen("\"tcbinfos\":[", &format!("\"tcbinfos\":[{others}"), 1).replacen(
        "\"qeidentity\":\"\"",
        &format!("\"qeidentity\":{sgx},\"qveidentity\":{qve}"),
        1,
    );
    let found = loaded(&text).unwrap();
    assert_eq!(found.statements().filter(|found| matches!(found, Statement::TcbInfo { .. })).count(), 97);
    assert_eq!(failed_with(&set, &found.endorsements()), [""; 0]);
}
