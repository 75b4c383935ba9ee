//! The forms in which people's tools print and providers answer evidence, beside those of `formats`: the same bytes come out, and the
//! same verdict; twins that are cut, doubled or of another kind are refused by name. The list that documents them is held to be whole.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use teegate_forge as forge;
use teegate_forge::certificate::Extension;
use teegate_forge::der;
use teegate_intake::{Defect, evidence};
use teegate_tests::harness::note;
use teegate_verifier::Tee;

use crate::formats::{quote_v5, recorded};
use crate::subject::{SNP_DEVICE, good};

/// What each tool prints of a file, in forms that everybody's machine makes: the options, and the name that it is recognised under.
const TOOLS: [(&[&str], &str); 9] = [
    (&["xxd"], "hex dump"),
    (&["xxd", "-p"], "hexadecimal text"),
    (&["xxd", "-g1", "-c24", "-u"], "hex dump"),
    (&["xxd", "-i"], "array of a program's source"),
    (&["hexdump", "-C"], "hex dump"),
    (&["od", "-A", "x", "-t", "x1z"], "hex dump"),
    (&["od", "-t", "x1"], "hex dump"),
    (&["od", "-A", "d", "-t", "x1", "-w32"], "hex dump"),
    (&["base64"], "base64 text"),
];

/// What a tool prints of the bytes; `None` where this machine does not have it.
fn printed(tool: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(tool[0]).args(&tool[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success(), "{tool:?}");
    Some(output.stdout)
}

/// Evidence that was forged, and all that was recorded where it is at hand.
fn samples() -> Vec<(String, Tee, Vec<u8>)> {
    let forged = [Tee::SevSnp, Tee::Tdx].map(|tee| ("forged".to_owned(), tee, good(tee).evidence));
    let version_5 =
        [2, 3].map(|body| (format!("forged, body {body}"), Tee::Tdx, forge::tdx().version_5(body).build().quote));
    forged.into_iter().chain(version_5).chain(recorded().unwrap_or_default()).collect()
}

fn assert_same(id: &str, form: &str, tee: Tee, raw: &[u8], text: &[u8]) {
    let found = evidence::recognise(text, None).unwrap_or_else(|error| panic!("{id}, {form}: {error}"));
    assert_eq!((found.tee, found.form), (tee, form), "{id}");
    assert!(found.bytes == raw, "{id}, {form}: other bytes");
}

#[test]
fn what_a_tool_prints_is_the_same_evidence() {
    for (tool, form) in TOOLS {
        let mut number = 0;
        for (id, tee, raw) in samples() {
            let Some(text) = printed(tool, &raw) else { continue };
            // What `xxd` reads from its input has no name, so there is no declaration around it.
            assert_same(&id, form, tee, &raw, &text);
            number += 1;
        }
        match number {
            0 => note(&format!("not run: evidence as printed by {}, which is not installed", tool.join(" "))),
            number => assert!(number >= 4, "{tool:?}: {number}"),
        }
    }
}

/// The twins: a line that is missing, and words of the machine's byte order.
#[test]
fn half_a_dump_and_a_dump_of_words_are_named() {
    let raw = good(Tee::Tdx).evidence;
    if let Some(text) = printed(&["xxd"], &raw) {
        let lines: Vec<_> = std::str::from_utf8(&text).unwrap().lines().collect();
        let without = [&lines[..20], &lines[21..]].concat().join("\n");
        let error = evidence::recognise(without.as_bytes(), None).unwrap_err();
        assert!(
            error.to_string().contains("line 21 has the address `00000150`, and 320 bytes stand before it"),
            "{error}"
        );
    }
    for tool in [&["hexdump"][..], &["od"], &["od", "-A", "x", "-t", "x2"], &["od", "-t", "x8"]] {
        let Some(text) = printed(tool, &raw) else { continue };
        let error = evidence::recognise(&text, None).unwrap_err();
        assert!(
            matches!(error.defect(), Defect::Broken { kind: "hex dump", defect, .. } if defect.contains("is printed in words")),
            "{tool:?}: {error}"
        );
    }
}

#[test]
fn one_member_of_any_json_is_the_same_evidence_and_two_are_none() {
    for (id, tee, raw) in samples() {
        let (hex, base64, url) = (hex::encode(&raw), STANDARD.encode(&raw), URL_SAFE_NO_PAD.encode(&raw));
        for (json, member, form) in [
            (
                json!({"intel_quote": hex, "signing_address": "0x11", "event_log": []}),
                "intel_quote",
                "hexadecimal text in JSON",
            ),
            (
                json!({"quote": format!("0x{hex}"), "event_log": "[]", "vm_config": "{}"}),
                "quote",
                "hexadecimal text in JSON",
            ),
            (json!({"success": {"quote": base64}, "nonce": "00".repeat(32)}), "success.quote", "base64 text in JSON"),
            (json!({"quote": url}), "quote", "base64 text in JSON"),
            (json!({"tee": "x", "evidence": {"raw": raw}}), "evidence.raw", "byte numbers in JSON"),
        ] {
            for text in [json.to_string(), format!("\u{feff}{json:#}\n")] {
                assert_same(&id, form, tee, &raw, text.as_bytes());
                let found = evidence::recognise(text.as_bytes(), None).unwrap();
                assert_eq!(found.member.as_deref(), Some(member), "{id}");
            }
            let mut twice = json.clone();
            twice["other"] = json!({ "attestation": base64 });
            let error = evidence::recognise(twice.to_string().as_bytes(), None).unwrap_err().to_string();
            assert!(
                error.contains("evidence in more than one place") && error.contains("`other.attestation` ("),
                "{id}: {error}"
            );
            assert!(error.contains(&format!("`{member}` (")) && error.len() < 1_500, "{id}: {error}");
        }
    }
}

/// Those who pass the agent's answer on wrap it; the log of the boot comes along, and other evidence beside it is ambiguous.
#[test]
fn the_agent_s_answer_inside_other_json_is_taken_whole() {
    let log = forge::tdx::event_log::encode(&[]);
    let tdx = forge::coco::tdx_evidence_with_log(&good(Tee::Tdx).evidence, Some(&log));
    let set = SNP_DEVICE.build();
    for (tee, raw, answer) in [
        (Tee::Tdx, good(Tee::Tdx).evidence, tdx.clone()),
        (Tee::SevSnp, set.report.clone(), set.coco_evidence()),
        (Tee::SevSnp, set.report.clone(), forge::coco::older_snp_evidence(&set.report, None)),
    ] {
        for (json, member) in [
            (format!(r#"{{"tee-pubkey":{{"kty":"EC"}},"tee-evidence":{answer}}}"#), "tee-evidence"),
            (
                format!(r#"{{"tee-evidence":{{"primary_evidence":{answer},"additional_evidence":"{{}}"}}}}"#),
                "tee-evidence.primary_evidence",
            ),
        ] {
            assert_same("forged", "CoCo evidence JSON", tee, &raw, json.as_bytes());
            let found = evidence::recognise(json.as_bytes(), None).unwrap();
            let alone = evidence::recognise(answer.as_bytes(), None).unwrap();
            assert_eq!(found.member.as_deref(), Some(member));
            assert_eq!((found.event_log, found.endorsements.len()), (alone.event_log, alone.endorsements.len()));
        }
        let other = STANDARD.encode(good(Tee::Tdx).evidence);
        for twice in [format!(r#"{{"a":{answer},"b":{answer}}}"#), format!(r#"{{"a":{answer},"b":"{other}"}}"#)] {
            let error = evidence::recognise(twice.as_bytes(), None).unwrap_err().to_string();
            assert!(error.contains("holds evidence in more than one place, "), "{error}");
        }
    }
}

/// A byte of the evidence that changed is the verifier's to see: it comes out as it stands.
#[test]
fn a_member_that_was_changed_is_rejected_and_not_lost() {
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let subject = good(tee);
        let judge = |raw: &[u8]| {
            let text = json!({ "report": STANDARD.encode(raw), "quote": null }).to_string();
            let found = evidence::recognise(text.as_bytes(), None).unwrap();
            subject.clone().with_evidence(|evidence| *evidence = found.bytes).judge()
        };
        assert!(judge(&subject.evidence).is_ok());
        let mut changed = subject.evidence.clone();
        changed[0x60] ^= 1;
        let expected = if tee == Tee::Tdx { "tdx.signature" } else { "snp.signature" };
        assert_eq!(judge(&changed).unwrap_err().failed_checks(), [expected]);
    }
}

fn cbor(members: &[(&str, Result<&[u8], &str>)]) -> Vec<u8> {
    let text = |text: &str| [&[0x78, text.len() as u8], text.as_bytes()].concat();
    let mut map = vec![0xA0 + members.len() as u8];
    for (name, value) in members {
        map.extend(text(name));
        match value {
            Ok(blob) => map.extend([&[0x5A][..], &u32::try_from(blob.len()).unwrap().to_be_bytes(), blob].concat()),
            Err(words) => map.extend(text(words)),
        }
    }
    map
}

#[test]
fn a_configfs_tsm_report_in_json_or_cbor_is_that_of_its_folder() {
    let set = forge::snp().build();
    let table = set.certificate_table();
    let provider = "sev_guest\n";
    for encode in [
        |bytes: &[u8]| STANDARD.encode(bytes),
        |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes),
        |bytes: &[u8]| hex::encode(bytes),
    ] {
        let json =
            json!({"auxblob": encode(&table), "outblob": encode(&set.report), "provider": provider, "generation": 1});
        let cbor = cbor(&[("auxblob", Ok(&table)), ("outblob", Ok(&set.report)), ("provider", Err(provider))]);
        for (form, text) in
            [("configfs-tsm report in JSON", json.to_string().into_bytes()), ("configfs-tsm report in CBOR", cbor)]
        {
            assert_same("forged", form, Tee::SevSnp, &set.report, &text);
            let found = evidence::recognise(&text, None).unwrap();
            assert_eq!(found.endorsements.len(), set.certificates().len());
        }
    }
    for (id, tee, raw) in samples() {
        let json = json!({"outblob": URL_SAFE_NO_PAD.encode(&raw), "provider": "x", "auxblob": ""}).to_string();
        assert_same(&id, "configfs-tsm report in JSON", tee, &raw, json.as_bytes());
        let cbor = cbor(&[("outblob", Ok(&raw)), ("provider", Err("x")), ("auxblob", Ok(&[]))]);
        assert_same(&id, "configfs-tsm report in CBOR", tee, &raw, &cbor);
    }
    // The twins: half a table, a blob that is no text of bytes, and one that is no evidence.
    for (json, says) in [
        (
            json!({"outblob": STANDARD.encode(&set.report), "auxblob": STANDARD.encode(&table[..80])}),
            "not a well-formed SNP certificate table",
        ),
        (json!({"outblob": "?"}), "not a well-formed configfs-tsm report: `outblob` is neither base64 nor hexadecimal"),
        (json!({"outblob": STANDARD.encode([9; 300])}), "not recognised: found 300 bytes that begin with 0909"),
    ] {
        let error = evidence::recognise(json.to_string().as_bytes(), None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// The message has no place for the fields of a later body.
#[test]
fn quotes_of_version_5_come_out_of_google_s_message() {
    let mut number = 0;
    for (id, tee, raw) in samples() {
        if tee == Tee::Tdx && raw[0] == 5 && raw[48] < 4 {
            let message = quote_v5(&raw);
            assert_same(&id, "go-tdx-guest quote", tee, &raw, &message);
            let outer = [crate::formats::field(1, b"ak"), crate::formats::field(9, &message)].concat();
            assert_same(&id, "go-tpm-tools attestation", tee, &raw, &outer);
            number += 1;
        }
    }
    assert!(number >= 2, "{number}");
    // The twins: a body type that is not known, and fields that this body does not have.
    let raw = forge::tdx().version_5(2).build().quote;
    for (raw, says) in [
        (
            {
                let mut raw = raw.clone();
                raw[48] = 9;
                raw
            },
            "`td_quote_body_type` is 9, expected 2 or 3",
        ),
        (
            {
                let mut raw = forge::tdx().version_5(3).build().quote;
                raw[48] = 2;
                raw
            },
            "`td_quote_body_v5` has field 13, which is not known here",
        ),
    ] {
        let error = evidence::recognise(&quote_v5(&raw), None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let dice = [(1, vec![1; 8]), (6, vec![2; 60]), (10, vec![]), (11, vec![3; 96])];
    let dice: Vec<u8> = dice.iter().flat_map(|(number, content)| crate::formats::field(*number, content)).collect();
    let error = evidence::recognise(&dice, None).unwrap_err().to_string();
    assert!(error.contains("found a `DiceQuote` of go-tdx-guest"), "{error}");
}

/// Certificates that carry a quote are named, and the command that is named takes it out.
#[test]
fn a_certificate_with_a_quote_in_it_is_named_with_the_command_that_takes_it_out() {
    let quote = good(Tee::Tdx).evidence;
    let carrying = |oid: &'static str, value: Vec<u8>| {
        let edit =
            move |pck: &mut forge::certificate::Certificate| pck.set_extension(Extension::new(oid, value.clone()));
        forge::tdx().edit_pck(edit).build().pck_chain().remove(0)
    };
    let folder = tempfile::tempdir().unwrap();
    let wrapped = der::element(der::tag::OCTET_STRING, &quote);
    for (oid, value, name) in [
        ("1.2.840.113741.1337.6", quote.clone(), "1.2.840.113741.1337.6, Intel's RA-TLS"),
        ("1.3.6.1.4.1.62397.1.1", wrapped, "1.3.6.1.4.1.62397.1.1, dstack's quote"),
    ] {
        let certificate = carrying(oid, value);
        let pem = forge::pem::certificate(&certificate);
        for bytes in [certificate, pem.into_bytes()] {
            let error = evidence::recognise(&bytes, None).unwrap_err();
            let Defect::Unrecognised { found, .. } = error.defect() else { panic!("{error}") };
            assert!(
                found.starts_with(&format!(
                    "an RA-TLS certificate, with evidence in the extension {name}; `openssl asn1parse"
                )),
                "{found}"
            );
            // No platform that is insisted on makes evidence of it.
            for tee in [Tee::SevSnp, Tee::Tdx] {
                let insisted = evidence::recognise(&bytes, Some(tee)).unwrap_err();
                assert_eq!(insisted.to_string(), error.to_string());
            }
            std::fs::write(folder.path().join("FILE"), &bytes).unwrap();
            let command = found.split('`').nth(1).unwrap();
            let shell = Command::new("sh").args(["-c", command]).current_dir(folder.path()).output().unwrap();
            if !Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success()) {
                note("not run: the command that takes a quote out of a certificate, since openssl is not installed");
                continue;
            }
            assert!(shell.status.success(), "{command}: {}", String::from_utf8_lossy(&shell.stderr));
            let taken = std::fs::read(folder.path().join("evidence.bin")).unwrap();
            assert!(taken == quote, "{command}: {} bytes", taken.len());
        }
    }
    // The twin: a certificate without one is an endorsement.
    let plain = forge::tdx().build().pck_chain().remove(0);
    assert!(evidence::recognise(&plain, None).unwrap_err().to_string().contains("found an endorsement, not evidence"));
}

/// What was recorded of other kinds is named for what it is, whatever is insisted on.
#[test]
fn recorded_evidence_of_other_kinds_is_named() {
    let Some(fixtures) = crate::recorded::fixtures() else { return };
    let mut named = 0;
    for (kind, file, found) in [
        ("azure-hcl", "tpm-quote.msg", "a TPM quote (`TPMS_ATTEST`)"),
        ("azure-hcl", "tpm-quote-v1.json", "a TPM quote (`message`, `pcrs`)"),
        ("azure-hcl", "var-data.bin", "the runtime claims of an Azure HCL report"),
        ("nitro", "attestation.cbor", "a document in COSE"),
        ("cca", "cca-example-token.cbor", "an attestation token of Arm CCA"),
        ("nvidia", "report.bin", "an SPDM exchange"),
    ] {
        let folders = std::fs::read_dir(fixtures.join(kind)).unwrap().map(|entry| entry.unwrap().path().join(file));
        for path in folders.filter(|path| path.is_file()) {
            for insist in [None, Some(Tee::SevSnp), Some(Tee::Tdx)] {
                let error = evidence::load(&path, insist).unwrap_err();
                assert!(
                    matches!(error.defect(), Defect::Unrecognised { found: words, .. } if words.starts_with(found)),
                    "{error}"
                );
            }
            named += 1;
        }
    }
    note(&format!("recorded evidence of other kinds that is named: {named}"));
    assert!(named >= 14, "only {named}");
}

/// The lists of FORMS.md: every name of a form stands there and in the source, and every row names a test that there is.
#[test]
fn the_list_of_forms_is_that_of_the_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let folder = |path: &str| {
        let entries = std::fs::read_dir(root.join(path)).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
            .map(|path| read(&path))
            .collect::<String>()
    };
    let document = read(&root.join("verifier/intake/FORMS.md"));
    let source = folder("verifier/intake/src");
    let own = source.clone() + &folder("verifier/intake/tests");

    let mut rows = 0;
    let mut called = std::collections::BTreeSet::new();
    for row in document.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| form ")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let (state, test) = (cells[2], cells.last().unwrap().trim_matches('`'));
        assert!(matches!(state, "taken" | "named") && matches!(cells.len(), 4 | 5), "{row}");
        let (place, name) = test.split_once("::").unwrap();
        let tests = if place == "intake" {
            own.clone()
        } else {
            let tests = std::fs::read_dir(root.join("tests/tests/verifier")).unwrap();
            let file = tests.map(|entry| entry.unwrap().path().join(format!("{place}.rs"))).find(|file| file.is_file());
            read(&file.unwrap_or_else(|| panic!("no file {place}.rs")))
        };
        let head = format!("    fn {name}() {{");
        let at =
            tests.find(&head).or_else(|| tests.find(head.trim_start())).unwrap_or_else(|| panic!("no test {test}"));
        assert!(tests[..at].trim_end().ends_with("#[test]"), "{test} is no test");
        if cells.len() == 5 {
            let names: Vec<_> = cells[3].split('`').skip(1).step_by(2).collect();
            assert_eq!(names.is_empty(), state == "named", "{row}");
            called.extend(names.into_iter().map(str::to_owned));
        }
        rows += 1;
    }
    assert!(rows >= 30, "{rows} rows");
    for name in &called {
        assert!(source.contains(&format!("\"{name}\"")), "the source has no form `{name}`");
    }
    // The other way round: whatever is found as something is found in the list.
    let forms = [Tee::SevSnp, Tee::Tdx].into_iter().flat_map(|tee| crate::formats::forms(tee, &good(tee).evidence));
    let names = forms.map(|(name, _)| name).chain(TOOLS.map(|(_, name)| name));
    for name in
        names.chain(["teegate envelope (CMW collection)", "CMW collection in CBOR", teegate_intake::bundle::FORM])
    {
        assert!(called.contains(name), "FORMS.md lacks `{name}`");
    }
    let fields = source.split("form: \"").skip(1).filter_map(|rest| rest.split_once('"')).map(|(name, _)| name);
    for name in fields.filter(|name| !name.is_empty()) {
        assert!(called.contains(name), "FORMS.md lacks `{name}`");
    }
}
