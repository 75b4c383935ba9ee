//! Evidence under the paravisor of an Azure confidential VM: each defect by itself, and the check that must find it.

use teegate_forge::azure::{Attest, AzureBuilder, Hcl, Jwk, pcr_digest};
use teegate_forge::keys::{Key, RsaRole};
use teegate_verifier::{Check, Tee, TpmQuote, Verifier, Wrapping};

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, azure};

cases! {
    bytes_of_the_paravisors_report
    who_asked_the_hardware
    what_the_hardware_signed
    the_td_report_inside
    the_attestation_key
    the_quote
    another_register_in_the_place_of_one
    another_challenge
    user_data
    paravisor
    secure_boot
    boot_registers
    initdata
}

fn good(tee: Tee) -> Subject {
    azure(tee, |vm| vm)
}

/// On both TEEs, exactly this check.
fn on_both(check: &str, actual: &str, edit: impl Fn(AzureBuilder) -> AzureBuilder) -> Vec<Case> {
    Tee::all().map(|tee| refused(check, azure(tee, &edit)).twin(good(tee)).actual(actual)).collect()
}

#[test]
fn both_are_accepted_and_say_in_what_they_were_carried() {
    for tee in Tee::all() {
        let report = good(tee).accepted();
        assert_eq!((report.tee(), report.wrapping()), (tee, Wrapping::AzureVtpm));
        let (tdx, privilege) = if tee == Tee::Tdx { ("pass", "not-applicable") } else { ("not-applicable", "pass") };
        for (check, outcome) in [(Check::HCL_TDX_QUOTE, tdx), (Check::HCL_PRIVILEGE, privilege)] {
            assert_eq!(report.finding(check).unwrap().outcome().name(), outcome, "{tee} {check}");
        }
        // The hardware's own 64 bytes are the paravisor's; the workload's are those of the quote.
        assert_eq!(report.fact("extra_data").unwrap().to_string(), "a5".repeat(64));
        assert_ne!(report.fact("report_data").unwrap().to_string(), "a5".repeat(64));
    }
}

fn bytes_of_the_paravisors_report() -> Vec<Case> {
    type Edit = fn(&mut Hcl);
    let edits: [(Edit, &str); 17] = [
        (|hcl| hcl.signature = *b"HCLB", "48434c42"),
        (|hcl| hcl.header_version = 0, "0"),
        (|hcl| hcl.header_version = 3, "3"),
        (|hcl| hcl.request_type = 1, "1"),
        (|hcl| hcl.status = 1, "1"),
        (|hcl| hcl.reserved[11] = 1, "another byte at 11"),
        (|hcl| hcl.data_version = 2, "2"),
        (|hcl| hcl.report_type = 1, "1"),
        (|hcl| hcl.hash_type = 2, "2"),
        (|hcl| hcl.hash_type = 3, "3"),
        (|hcl| hcl.length = Some(1_236), "1236"),
        (|hcl| hcl.length = Some(u32::MAX), "4294967295"),
        (|hcl| hcl.data_length = Some(20), "20"),
        (|hcl| hcl.claims_length = Some(u32::MAX), ""),
        (|hcl| hcl.claims_length = Some(0), ""),
        (|hcl| *hcl.tail.last_mut().unwrap() = 1, "another byte at"),
        (|hcl| hcl.tail.resize(20_000, 0), " bytes"),
    ];
    let mut cases: Vec<_> =
        edits.into_iter().flat_map(|(edit, actual)| on_both("hcl.bytes", actual, |vm| vm.edit_hcl(edit))).collect();
    // The report of one TEE is not judged as that of the other.
    for (tee, other) in [(Tee::SevSnp, 4), (Tee::Tdx, 2)] {
        let subject = azure(tee, |vm| vm.edit_hcl(move |hcl| hcl.report_type = other));
        cases.push(refused("hcl.bytes", subject).twin(good(tee)).actual(other.to_string()));
    }
    let behind = azure(Tee::Tdx, |vm| vm.edit_hcl(|hcl| hcl.hardware.resize(1_184, 1)));
    cases.push(refused("hcl.bytes", behind).twin(good(Tee::Tdx)).actual("another byte at 0"));
    cases
}

/// A level below the paravisor can ask the hardware too, with claims of its own making.
fn who_asked_the_hardware() -> Vec<Case> {
    let subject =
        |vmpl: u32| azure(Tee::SevSnp, |vm| vm.snp(|device| device.vmpl(vmpl))).under("vmpl", &vmpl.to_string());
    vec![refused("hcl.privilege", subject(2)).twin(subject(0)).actual("VMPL 2")]
}

fn what_the_hardware_signed() -> Vec<Case> {
    // The same JSON in another spelling: the digest is over the bytes as stored.
    let mut cases = on_both("hcl.binding", "", |vm| {
        vm.edit_hcl(|hcl| {
            let value: serde_json::Value = serde_json::from_slice(&hcl.claims).unwrap();
            hcl.claims = serde_json::to_vec_pretty(&value).unwrap();
        })
    });
    cases.extend(on_both("hcl.binding", "", |vm| vm.edit_hcl(|hcl| hcl.claims.push(b' '))));
    // Another machine's report, with claims that name a key of the forger's.
    cases.extend(on_both("hcl.binding", "", |vm| vm.edit_hcl(|hcl| hcl.claims = hcl.claims.to_ascii_uppercase())));
    for tee in Tee::all() {
        let claims = good(tee).vtpm.unwrap().hcl_report[1_236..].to_vec();
        let end = claims.iter().rposition(|byte| *byte != 0).unwrap();
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&pcr_digest(&[claims[..=end].to_vec()]));
        // The twin shows that this is the digest; zeros must follow it.
        let of = |bytes| azure(tee, |vm| vm.platform_report_data(bytes));
        let twin = of(bytes);
        bytes[63] = 1;
        cases.push(refused("hcl.binding", of(bytes)).twin(twin).actual("01"));
    }
    // The right report of the paravisor, and the quote of another TD.
    let mut quote_of_another = good(Tee::Tdx);
    quote_of_another.evidence = azure(Tee::Tdx, |vm| vm.ak(Key::rsa(RsaRole::OtherAk))).evidence;
    cases.push(refused("hcl.binding", quote_of_another).twin(good(Tee::Tdx)));
    // A TDREPORT that says what the claims want is nobody's word.
    let td_report = azure(Tee::Tdx, |vm| vm.platform_report_data([7; 64]).edit_td_report(|(data, _)| *data = [0; 64]));
    cases.push(refused("hcl.binding", td_report).twin(good(Tee::Tdx)).actual("0707"));
    cases
}

fn the_td_report_inside() -> Vec<Case> {
    let with = |edit: fn(&mut ([u8; 64], [u8; 48]))| azure(Tee::Tdx, |vm| vm.edit_td_report(edit));
    vec![
        refused("hcl.tdx-quote", with(|(data, _)| data[0] ^= 1)).twin(good(Tee::Tdx)).actual("another REPORTDATA"),
        refused("hcl.tdx-quote", with(|(_, mrtd)| mrtd[47] ^= 1)).twin(good(Tee::Tdx)).actual("another MRTD"),
    ]
}

fn the_attestation_key() -> Vec<Case> {
    type Edit = fn(&mut String);
    let mut cases = on_both("hcl.ak", "more than one key `HCLAkPub`", |vm| {
        vm.edit_claims(|claims| claims.keys.push(Jwk::of("HCLAkPub", "sign", &Key::rsa(RsaRole::OtherAk))))
    });
    cases.extend(on_both("hcl.ak", "no key `HCLAkPub`", |vm| vm.edit_claims(|claims| drop(claims.keys.remove(0)))));
    cases.extend(on_both("hcl.ak", "that is not RSA", |vm| {
        vm.edit_claims(|claims| claims.keys[0].kty = "EC".to_owned())
    }));
    cases.extend(on_both("hcl.ak", "not of 2,048 bits", |vm| {
        vm.edit_claims(|claims| claims.keys[0].e = "Aw".to_owned())
    }));
    cases.extend(on_both("hcl.ak", "not of 2,048 bits", |vm| vm.edit_claims(|claims| claims.keys[0].n.truncate(340))));
    cases.extend(on_both("hcl.ak", "member `user-data` stands twice", |vm| {
        vm.edit_claims(|claims| claims.user_data.push(claims.user_data[0].clone()))
    }));
    let texts: [(Edit, &str); 10] = [
        // What is not read here is for another reader, who is to see one thing as well, however deep it lies.
        (|text| *text = text.replacen('{', r#"{"x":{"a":1,"\u0061":2},"#, 1), "member `a` stands twice"),
        (|text| *text = text.replacen('{', r#"{"x":[[],[{"b":{"c":1,"c":1}}]],"#, 1), "member `c` stands twice"),
        (|text| *text = text.replacen(r#""kid""#, r#""x":[{"d":1,"d":1}],"kid""#, 1), "member `d` stands twice"),
        (
            |text| *text = text.replacen(r#""secure-boot""#, r#""x":{"e":1,"e":1},"secure-boot""#, 1),
            "member `e` stands twice",
        ),
        (|text| *text = text.replacen('{', r#"{"k\u0065ys":[],"#, 1), "member `keys` stands twice"),
        (|text| *text = text.replacen(r#""kid""#, r#""kid":"x","kid""#, 1), "member `kid` stands twice"),
        (|text| *text = text.replacen(r#""secure-boot""#, r#""secure-boot":false,"secure-boot""#, 1), "stands twice"),
        (|text| *text = text.replacen(r#""keys""#, r#""other""#, 1), "claims without `keys`"),
        (|text| *text = format!("{}{}", "[".repeat(100_000 % 900), text), "nested"),
        (|text| text.push('x'), ""),
    ];
    cases.extend(texts.into_iter().flat_map(|(edit, why)| on_both("hcl.ak", why, move |vm| vm.edit_claims_text(edit))));
    cases
}

/// In two objects a member of one name is two members, and what is not read may be anything.
#[test]
fn members_of_the_same_name_may_stand_in_two_objects() {
    for tee in Tee::all() {
        let own = r#"{"x":[{"a":1},{"a":[1,{"a":null}]},"{\"b\":1,\"b\":1}"],"y":{"a":{"a":{}}},"#;
        azure(tee, |vm| vm.edit_claims_text(|text| *text = text.replacen('{', own, 1))).accepted();
    }
}

fn the_quote() -> Vec<Case> {
    type Edit = fn(&mut Attest);
    // Another VM's quote, and one in another scheme.
    let mut cases = on_both("hcl.quote", "no valid signature", |vm| vm.quote_signed_by(Key::rsa(RsaRole::OtherAk)));
    cases.extend(on_both("hcl.quote", "no valid signature", |vm| {
        vm.edit_quote(|quote| quote.signature = Key::rsa(RsaRole::Ak).sign(&quote.message))
    }));
    cases.extend(on_both("hcl.quote", "no valid signature", |vm| vm.edit_quote(|quote| quote.signature[255] ^= 1)));
    cases.extend(on_both("hcl.quote", "no valid signature", |vm| vm.edit_quote(|quote| quote.signature.truncate(255))));
    cases.extend(on_both("hcl.quote", "none", |vm| vm.edit_quote(|quote| quote.message.clear())));
    let edits: [(Edit, &str); 14] = [
        (|attest| attest.magic ^= 1, "bytes that no TPM has made"),
        (|attest| attest.kind = 0x8017, "no quote"),
        (|attest| attest.safe = 2, "2 where the clock"),
        (|attest| attest.trailing.push(0), "1 bytes behind the end"),
        (|attest| attest.selections.clear(), "0 selections"),
        (|attest| attest.selections.push((0x0004, vec![0xFF; 3])), "2 selections"),
        (|attest| attest.selection_count = Some(u32::MAX), "4294967295 selections"),
        (|attest| attest.selections[0].0 = 0x0004, "bank 0x0004"),
        (|attest| attest.selections[0].0 = 0x000C, "bank 0x000c"),
        (|attest| attest.selections[0].1 = vec![0xFF, 0xFF, 0x7F], "the bits ffff7f"),
        (|attest| attest.selections[0].1 = vec![0xFF, 0xFF, 0xFF, 0x00], "the bits ffffff00"),
        (|attest| attest.selections[0].1 = Vec::new(), "the bits "),
        (|attest| attest.digest[0] ^= 1, "values with another digest"),
        (|attest| attest.digest.clear(), "values with another digest"),
    ];
    cases.extend(edits.into_iter().flat_map(|(edit, why)| on_both("hcl.quote", why, move |vm| vm.edit_attest(edit))));
    cases.extend(on_both("hcl.quote", "23 values", |vm| vm.edit_quote(|quote| drop(quote.pcrs.pop()))));
    cases.extend(on_both("hcl.quote", "25 values", |vm| vm.edit_quote(|quote| quote.pcrs.push(vec![0; 32]))));
    cases.extend(on_both("hcl.quote", "one of 20 bytes", |vm| vm.edit_quote(|quote| quote.pcrs[23].truncate(20))));
    cases.extend(on_both("hcl.quote", "another digest", |vm| vm.edit_quote(|quote| quote.pcrs.swap(4, 9))));
    cases.extend(on_both("hcl.quote", "another digest", |vm| vm.edit_quote(|quote| quote.pcrs[11][0] ^= 1)));
    cases
}

/// PCR 23 can be reset by whoever runs in the guest, and then extended to any value that PCR 11 should have. A genuine quote over {0 to
/// 10, 23} and its twelve values has the right digest, and in the place of PCR 11 whatever one likes.
fn another_register_in_the_place_of_one() -> Vec<Case> {
    const BITS: [u8; 3] = [0xFF, 0x07, 0x80];
    let quoted = |vm: AzureBuilder, list: fn(&mut Vec<Vec<u8>>)| {
        vm.pcr(23, pcr_digest(&[b"forged register 11".to_vec()]))
            .edit_attest(|attest| attest.selections[0].1 = BITS.to_vec())
            .edit_attest(|attest| {
                let all = teegate_forge::azure::default_pcrs();
                let mut twelve = all[..11].to_vec();
                twelve.push(all[11].clone());
                attest.digest = pcr_digest(&twelve);
            })
            .edit_quote(move |quote| {
                quote.pcrs.truncate(12);
                list(&mut quote.pcrs);
            })
    };
    let lists: [fn(&mut Vec<Vec<u8>>); 3] = [
        |_| {},
        // As many entries as a bank has: the twelve again.
        |list| list.extend_from_within(..),
        |list| {
            list.reverse();
            list.extend_from_within(..);
        },
    ];
    lists.into_iter().flat_map(|list| on_both("hcl.quote", "the bits ff0780", move |vm| quoted(vm, list))).collect()
}

/// Where particular bytes are asked for they are 64, and those.
fn another_challenge() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [0, 24, 48, 63, 65, 70] {
        let why = format!("{length} bytes");
        cases.extend(on_both("hcl.quote", &why, move |vm| vm.asked(&vec![0xA5; length])));
    }
    for (tee, check) in [(Tee::SevSnp, "snp.guest.report-data"), (Tee::Tdx, "tdx.td.report-data")] {
        let other = azure(tee, |vm| vm.asked(&[0xA6; 64]));
        cases.push(refused(check, other).twin(good(tee)).actual("a6a6"));
        // The hardware's own bytes are no answer to anybody.
        let of_the_hardware = azure(tee, |vm| vm);
        let bytes = of_the_hardware.accepted().fact("report_data").unwrap().to_string();
        cases.push(refused(check, of_the_hardware.under("report_data", &format!("\"{bytes}\""))).twin(good(tee)));
    }
    cases
}

/// The paravisor's claims hold the 64 bytes as well; evidence of version 1 is accepted where a policy says so.
fn user_data() -> Vec<Case> {
    type Edit = fn(&mut String);
    let mut cases = on_both("hcl.user-data", "a6a6", |vm| vm.user_data([0xA6; 64]));
    cases.extend(on_both("hcl.user-data", "0000", |vm| vm.user_data([0; 64])));
    cases.extend(on_both("hcl.user-data", "no user-data", |vm| vm.edit_claims(|claims| claims.user_data.clear())));
    let texts: [(Edit, &str); 3] = [
        (|text| text.truncate(126), "126 characters"),
        (|text| text.push_str("00"), "130 characters"),
        (|text| text.replace_range(..1, "g"), "128 characters"),
    ];
    for (edit, why) in texts {
        cases.extend(on_both("hcl.user-data", why, move |vm| {
            vm.edit_claims(move |claims| edit(&mut claims.user_data[0].1))
        }));
    }
    cases
}

#[test]
fn user_data_in_either_case_is_taken_and_version_1_by_its_name_alone() {
    for tee in Tee::all() {
        azure(tee, |vm| vm.edit_claims(|claims| claims.user_data[0].1.make_ascii_lowercase())).accepted();
        let version_1 = azure(tee, |vm| vm.user_data([0; 64]));
        assert_eq!(version_1.rejected().failed_checks(), ["hcl.user-data"]);
        let report = version_1.under("user_data", "\"unchecked\"").accepted();
        let finding = report.finding(Check::HCL_USER_DATA).unwrap();
        assert_eq!(finding.outcome().name(), "not-checked");
        // Shorter challenges were recorded: they pass where nobody asks for particular ones, with zeros behind them.
        let short = azure(tee, |vm| vm.asked(b"challenge")).under("report_data", "\"unchecked\"");
        assert_eq!(short.accepted().fact("extra_data").unwrap().to_string(), hex::encode(b"challenge"));
    }
}

/// A short challenge is nobody's who wrote something longer, and no challenge is nobody's at all.
#[test]
fn user_data_goes_on_with_zeros_behind_a_challenge_that_is_there() {
    for tee in Tee::all() {
        let judged = |challenge: &'static [u8], written: [u8; 64]| {
            azure(tee, |vm| vm.asked(challenge).user_data(written)).under("report_data", "\"unchecked\"").judge()
        };
        let mut written = [0; 64];
        written[..9].copy_from_slice(b"challenge");
        judged(b"challenge", written).unwrap();
        written[63] = 1;
        for (challenge, written) in [(&b"challenge"[..], written), (&[][..], [0; 64])] {
            let refused = judged(challenge, written).unwrap_err();
            assert_eq!(refused.failed_checks(), ["hcl.user-data"], "{tee} {challenge:?}");
        }
    }
}

/// Another paravisor could say what it likes of its vTPM.
fn paravisor() -> Vec<Case> {
    let snp = azure(Tee::SevSnp, |vm| vm.snp(|device| device.measurement([0x4E; 48])));
    let tdx = azure(Tee::Tdx, |vm| vm.tdx(|device| device.mrtd([0x7E; 48])));
    vec![
        refused("hcl.launch", snp).and("snp.guest.measurement").twin(good(Tee::SevSnp)).actual("4e4e"),
        refused("hcl.launch", tdx).and("tdx.td.mrtd").twin(good(Tee::Tdx)).actual("7e7e"),
    ]
}

fn secure_boot() -> Vec<Case> {
    let mut cases = on_both("hcl.secure-boot", "off", |vm| {
        vm.edit_claims(|claims| claims.vm_configuration[1].1 = "false".to_owned())
    });
    cases.extend(on_both("hcl.secure-boot", "not said", |vm| {
        vm.edit_claims(|claims| drop(claims.vm_configuration.remove(1)))
    }));
    cases
}

/// The right initdata under another image is enforced by nobody.
fn boot_registers() -> Vec<Case> {
    [4, 7, 9, 11, 12]
        .into_iter()
        .flat_map(|number: usize| {
            let other = format!("{number:02x}").repeat(32);
            let expected = format!("pcr{number}: ");
            let cases = on_both("hcl.pcr.boot", &other.clone(), move |vm| vm.pcr(number, hex::decode(&other).unwrap()));
            cases.into_iter().map(move |case| case.expected(expected.clone()))
        })
        .collect()
}

fn initdata() -> Vec<Case> {
    on_both("hcl.pcr8", "", |vm| vm.pcr(8, teegate_forge::azure::initdata_pcr(&[0x1E; 32])))
}

/// The other registers are nobody's claim.
#[test]
fn registers_that_no_field_names_may_say_anything() {
    for tee in Tee::all() {
        for number in [0, 1, 2, 3, 5, 6, 10, 13, 14, 15, 16, 23] {
            azure(tee, |vm| vm.pcr(number, vec![0xEE; 32])).accepted();
        }
    }
}

/// Cut anywhere, or with another byte anywhere, nothing is accepted but what no signature covers, and nothing panics.
#[test]
fn no_length_and_no_byte_of_a_paravisors_report_is_taken_for_another_but_its_header_version() {
    for tee in Tee::all() {
        let subject = good(tee);
        let whole = subject.vtpm.clone().unwrap();
        let end = 1_236 + whole.hcl_report[1_236..].iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let verifier = Verifier::new();
        let judged = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut changed = subject.clone();
            edit(&mut changed.vtpm.as_mut().unwrap().hcl_report);
            changed.judge_with(&verifier)
        };
        for length in (0..end).step_by(7).chain(1_200..1_240) {
            let rejection = judged(&|bytes| bytes.truncate(length)).unwrap_err();
            assert_eq!(rejection.failed_checks(), ["hcl.bytes"], "{tee} {length}");
        }
        // Without the zeros behind the claims it is the same report.
        judged(&|bytes| bytes.truncate(end)).unwrap();
        for place in 0..whole.hcl_report.len() {
            // Of a TDREPORT only REPORTDATA and MRTD are looked at: nothing outside of its machine can authenticate it.
            let free = tee == Tee::Tdx && (32..32 + 1_024).contains(&place);
            let looked_at = (32 + 128..32 + 192).contains(&place) || (32 + 528..32 + 576).contains(&place);
            if free && !looked_at {
                continue;
            }
            // Every place costs some signatures: of the longer parts a sample.
            if (32..1_216).contains(&place) && place % 16 != 0 || (1_240..end).contains(&place) && place % 5 != 0 {
                continue;
            }
            let flipped = judged(&|bytes| bytes[place] ^= 0x10);
            assert!(flipped.is_err(), "{tee}: byte {place} says something else unseen");
        }
        // Header and request: each bit, and of the version every other byte. No signature covers them, and of two versions, 1 and
        // 2, one can be written for the other; nothing rests on that.
        assert!(matches!(whole.hcl_report[4..8], [1 | 2, 0, 0, 0]));
        for place in (0..32).chain(1_216..1_236) {
            let flips: Vec<u8> = if place == 4 { (1..=255).collect() } else { (0..8).map(|bit| 1 << bit).collect() };
            for flip in flips {
                let failed = judged(&|bytes| bytes[place] ^= flip).err().map(|rejection| rejection.failed_checks());
                let expected = ((place, flip) != (4, 1 ^ 2)).then(|| vec!["hcl.bytes"]);
                assert_eq!(failed, expected, "{tee}: byte {place} ^ {flip:#04x}");
            }
        }
    }
}

/// Every bit of the message, the signature and the values.
#[test]
fn every_bit_of_a_quote_counts() {
    let subject = good(Tee::SevSnp);
    let verifier = Verifier::new();
    let refused = |edit: &dyn Fn(&mut TpmQuote), what: &str| {
        let mut changed = subject.clone();
        edit(&mut changed.vtpm.as_mut().unwrap().quote);
        let failed = changed.judge_with(&verifier).unwrap_err().failed_checks();
        assert!(failed.iter().all(|id| *id == "hcl.quote"), "{what}: {failed:?}");
    };
    let quote = &subject.vtpm.as_ref().unwrap().quote;
    for bit in 0..quote.message.len() * 8 {
        refused(&|quote| quote.message[bit / 8] ^= 1 << (bit % 8), "message");
    }
    for length in 0..quote.message.len() {
        refused(&|quote| quote.message.truncate(length), "cut");
    }
    for bit in (0..quote.signature.len() * 8).step_by(31) {
        refused(&|quote| quote.signature[bit / 8] ^= 1 << (bit % 8), "signature");
    }
    for register in 0..24 {
        refused(&|quote| quote.pcrs[register][register] ^= 1, "register");
    }
}
