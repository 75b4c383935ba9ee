//! Junk in the pool changes nothing: not the verdict, not a check, not a fact, however much of it there is, wherever it
//! stands, and whatever it copies from what is genuine. A name, a date, a number and a public key cost nothing to copy.

use serde_json::Value;
use teegate_forge::certificate::Certificate;
use teegate_forge::crl::Crl;
use teegate_forge::keys::{Key, RsaRole};
use teegate_forge::tdx::SignedJson;
use teegate_forge::time::{AT, DAY, YEAR};
use teegate_verifier::{Source, Tee};

use crate::subject::{Pool, SNP_DEVICE, Subject, TDX_DEVICE, good, snp, tdx};

/// One kind of junk: what it would push out, and one such thing. `tdx-type-3` is a quote that carries no chain.
struct Junk {
    kind: &'static str,
    subject: fn() -> Subject,
    pool: Pool,
}

fn good_snp() -> Subject {
    good(Tee::SevSnp)
}

fn good_tdx() -> Subject {
    good(Tee::Tdx)
}

/// A quote whose PCK chain has to be supplied.
fn type_3() -> Subject {
    let set = TDX_DEVICE.clone().certification_data_3().build();
    let chain = set.pck_chain();
    crate::subject::tdx_set(set).with_pool(|pool| pool.certificates.extend(chain))
}

/// The certificate, later and longer valid than the genuine one, signed by a stranger; with the genuine key or another.
fn claim(certificate: &mut Certificate, stranger: &Key, key: Option<&Key>) {
    (certificate.not_before, certificate.not_after) = (AT - 60, AT + 20 * YEAR);
    certificate.signer = stranger.clone();
    if let Some(key) = key {
        certificate.set_public_key(key);
    }
}

fn certificates(kind: &'static str, subject: fn() -> Subject, certificates: Vec<Vec<u8>>) -> Junk {
    Junk { kind, subject, pool: Pool { certificates, ..Pool::default() } }
}

fn snp_junk() -> Vec<Junk> {
    let stranger = || Key::rsa(RsaRole::Stranger);
    let leaf = |key: Option<Key>| {
        let set = SNP_DEVICE.clone().edit_vek(move |vek| claim(vek, &stranger(), key.as_ref())).build();
        vec![set.vek]
    };
    let intermediate = |key: Option<Key>| {
        let set = SNP_DEVICE.clone().edit_intermediate(move |ask| claim(ask, &stranger(), key.as_ref())).build();
        vec![set.intermediate]
    };
    let ark = SNP_DEVICE.clone().ark_key(stranger()).build().ark;
    let list = snp(move |device| {
        device.crl_window(AT - 30, Some(AT + YEAR)).edit_crl(move |crl| crl.signer = stranger()).revoke_intermediate()
    });
    vec![
        certificates("VCEK of the same name and chip", good_snp, leaf(Some(Key::p384()))),
        certificates("VCEK of the same key", good_snp, leaf(None)),
        certificates("ASK of the same name", good_snp, intermediate(Some(stranger()))),
        certificates("ASK of the same key", good_snp, intermediate(None)),
        certificates("ARK of the same name", good_snp, vec![ark]),
        Junk {
            kind: "CRL of the same issuer",
            subject: good_snp,
            pool: Pool { crls: list.pool.crls, ..Pool::default() },
        },
    ]
}

fn tdx_junk() -> Vec<Junk> {
    let device = || TDX_DEVICE.clone();
    let stranger = Key::p256();
    let by = |key: Option<Key>| {
        let stranger = stranger.clone();
        move |certificate: &mut Certificate| claim(certificate, &stranger, key.as_ref())
    };
    let ca = |key| vec![device().edit_pck_ca(by(key)).build().pck_ca];
    let pck = |key| vec![device().edit_pck(by(key)).build().pck];
    let signing = |key| vec![device().edit_tcb_signing(by(key)).build().tcb_signing];
    let root = device().with_keys(|keys| keys.root = Key::p256()).build().root;
    let other = teegate_forge::tdx().keys().tcb_signing;
    let (one, two) = (other.clone(), other);
    let texts = tdx(move |device| {
        device.evaluation_number(99).tcb_info_signed_by(one.clone()).qe_identity_signed_by(two.clone())
    });
    let by_a_stranger = || {
        let signer = stranger.clone();
        move |crl: &mut Crl| {
            crl.this_update = AT - 30;
            crl.signer = signer.clone();
        }
    };
    let root_list = tdx(|device| device.edit_root_crl(by_a_stranger()));
    let pck_list = tdx(|device| device.edit_pck_crl(by_a_stranger()));
    let lists = |kind, crls: Vec<Vec<u8>>| Junk { kind, subject: good_tdx, pool: Pool { crls, ..Pool::default() } };
    vec![
        certificates("PCK CA of the same name", good_tdx, ca(Some(Key::p256()))),
        certificates("PCK CA of the same key", good_tdx, ca(None)),
        certificates("PCK CA, where the chain is supplied", type_3, ca(Some(Key::p256()))),
        certificates("PCK CA of the same key, where the chain is supplied", type_3, ca(None)),
        certificates("PCK of the same platform, where the chain is supplied", type_3, pck(Some(Key::p256()))),
        certificates("PCK of the same key, where the chain is supplied", type_3, pck(None)),
        certificates("root of the same name", good_tdx, vec![root]),
        certificates("TCB signer of the same name", good_tdx, signing(Some(Key::p256()))),
        certificates("TCB signer of the same key", good_tdx, signing(None)),
        lists("CRL of the root", vec![root_list.pool.crls[0].clone()]),
        lists("CRL of the PCK CA", vec![pck_list.pool.crls[1].clone()]),
        Junk {
            kind: "TCB info of a higher evaluation",
            subject: good_tdx,
            pool: Pool { tcb_infos: texts.pool.tcb_infos, ..Pool::default() },
        },
        Junk {
            kind: "QE identity of a higher evaluation",
            subject: good_tdx,
            pool: Pool { qe_identities: texts.pool.qe_identities, ..Pool::default() },
        },
    ]
}

/// `count` different things of that kind. Only what the signature is made of differs: nobody signed any of them.
fn many(pool: &Pool, count: u32) -> Pool {
    let numbered = |der: &Vec<u8>, number: u32| {
        let mut der = der.clone();
        let end = der.len() - 4;
        der[end..].copy_from_slice(&(0x1000_0000 | number).to_be_bytes());
        der
    };
    let ders = |ders: &[Vec<u8>]| (0..count).flat_map(|n| ders.iter().map(move |der| numbered(der, n))).collect();
    let texts = |texts: &[SignedJson]| {
        let numbered = |text: &SignedJson, number: u32| {
            let mut text = text.clone();
            text.signature[60..].copy_from_slice(&number.to_be_bytes());
            text
        };
        (0..count).flat_map(|n| texts.iter().map(move |text| numbered(text, n))).collect()
    };
    Pool {
        certificates: ders(&pool.certificates),
        crls: ders(&pool.crls),
        tcb_infos: texts(&pool.tcb_infos),
        qe_identities: texts(&pool.qe_identities),
        ..Pool::default()
    }
}

fn add(pool: &mut Pool, junk: Pool, in_front: bool) {
    fn put<T>(to: &mut Vec<T>, from: Vec<T>, in_front: bool) {
        let at = if in_front { 0 } else { to.len() };
        to.splice(at..at, from);
    }
    put(&mut pool.certificates, junk.certificates, in_front);
    put(&mut pool.crls, junk.crls, in_front);
    put(&mut pool.tcb_infos, junk.tcb_infos, in_front);
    put(&mut pool.qe_identities, junk.qe_identities, in_front);
}

#[track_caller]
fn report(subject: &Subject, what: &str) -> Value {
    match subject.judge() {
        Ok(attested) => serde_json::to_value(attested.report()).unwrap(),
        Err(rejection) => panic!("{what}: must be accepted, but: {rejection}"),
    }
}

fn every_kind() -> Vec<Junk> {
    snp_junk().into_iter().chain(tdx_junk()).collect()
}

#[test]
fn junk_changes_neither_verdict_nor_checks_nor_facts() {
    for Junk { kind, subject, pool } in every_kind() {
        let clean = report(&subject(), kind);
        for count in [1, 16, 17, 64, 65] {
            for in_front in [true, false] {
                let what = format!("{count} x {kind}, {}", if in_front { "in front" } else { "behind" });
                let junk = many(&pool, count);
                assert_eq!(report(&subject().with_pool(|pool| add(pool, junk, in_front)), &what), clean, "{what}");
            }
        }
    }
}

/// Whoever is judged may hand in as much as it likes: that costs bounded work, and what the user supplied still counts.
#[test]
fn a_flood_from_the_evidence_costs_the_user_nothing() {
    let strangers = [Source::Evidence, Source::Relayed, Source::Bundle];
    for (Junk { kind, subject, pool }, stranger) in every_kind().into_iter().zip(strangers.into_iter().cycle()) {
        let clean = report(&subject(), kind);
        let brought = Pool { source: stranger, ..many(&pool, 10_000) }.to_endorsements();
        let flooded = subject().with_pool(|pool| pool.others = brought);
        let begun = std::time::Instant::now();
        assert_eq!(report(&flooded, kind), clean, "{kind}, {}", stranger.name());
        // A generous bound: 10,000 signatures of AMD's size would take longer than reading 10,000 certificates does.
        let took = begun.elapsed();
        assert!(took.as_secs() < 20, "{kind}: {took:?}");
    }
}

/// Where nothing leads to the pin, the report says what is wrong with the best of what was handed in, as without junk.
#[test]
fn where_nothing_is_right_the_report_says_what_is_wrong() {
    let forged_root = snp(|device| device.ark_key(Key::rsa(RsaRole::Stranger)));
    assert_eq!(forged_root.rejected().failed_checks(), ["snp.chain.ark-pinned"]);
    let hidden = forged_root.with_pool(|pool| drop(pool.certificates.pop()));
    assert_eq!(hidden.rejected().failed_checks(), ["snp.chain.path"]);
    let forged = tdx(|device| device.with_keys(|keys| keys.root = Key::p256()));
    assert_eq!(forged.rejected().failed_checks(), ["tdx.chain.root-pinned"]);
}

/// The intermediate was issued again under its old key, the first of the two was revoked, or its time is over: the other one
/// stands, in whatever order they come, and no verdict outlives it.
#[test]
fn of_an_intermediate_that_was_issued_twice_the_one_that_stands_is_taken() {
    let again = |edit: fn(&mut Certificate)| {
        SNP_DEVICE
            .clone()
            .edit_intermediate(move |ask| {
                ask.set_serial(0x77);
                edit(ask);
            })
            .build()
            .intermediate
    };
    let clean = good_snp();
    for (what, other) in [
        ("out of its time", again(|ask| (ask.not_before, ask.not_after) = (AT - YEAR, AT - DAY))),
        ("of a time to come", again(|ask| (ask.not_before, ask.not_after) = (AT + DAY, AT + 30 * YEAR))),
        ("no authority", again(|ask| ask.drop_extension("2.5.29.19"))),
    ] {
        for front in [true, false] {
            let subject = clean.clone().with_pool(|pool| {
                let at = if front { 0 } else { pool.certificates.len() };
                pool.certificates.insert(at, other.clone());
            });
            assert_eq!(report(&subject, what), report(&clean, what), "{what}");
            // And when its time has come, the verdict is no other.
            let (own, later) = (clean.clone().at(AT + 2 * DAY), subject.at(AT + 2 * DAY));
            assert_eq!(own.accepted().valid_until(), later.accepted().valid_until(), "{what}");
        }
    }
    let revoked = again(|ask| ask.not_after += YEAR);
    let listed = snp(|device| device.edit_crl(|crl| crl.revoke(&[0x77])));
    let both = listed.clone().with_pool(|pool| pool.certificates.insert(0, revoked.clone()));
    both.accepted();
    let alone = listed.with_pool(|pool| pool.certificates[1] = revoked);
    assert_eq!(alone.rejected().failed_checks(), ["snp.chain.revocation"]);
}

/// What was supplied and what was fetched go first, and every statement that a verdict rests on says who brought it.
#[test]
fn a_report_says_who_brought_what() {
    for (tee, kinds) in [
        (Tee::SevSnp, vec!["certificate", "certificate", "crl"]),
        (Tee::Tdx, vec!["certificate", "certificate", "certificate", "crl", "crl", "tcb-info", "qe-identity"]),
    ] {
        for source in Source::ALL {
            let report = good(tee).brought_by(source).accepted();
            assert_eq!(report.endorsements().iter().map(|one| one.kind).collect::<Vec<_>>(), kinds);
            // A quote carries its PCK chain itself.
            let brought = report.endorsements().iter().filter(|one| !one.name.starts_with("Intel SGX PCK"));
            let sources: Vec<_> = brought.map(|one| one.source).filter(|one| *one != source).collect();
            let lists = report.endorsements().iter().filter(|one| one.kind == "crl");
            assert!(sources.is_empty() && lists.clone().all(|list| list.source == source), "{sources:?}");
        }
        // The same bytes from two sides are the user's.
        let twice = good(tee).with_pool(|pool| {
            pool.others = Pool { source: Source::Evidence, ..pool.clone() }.to_endorsements();
            pool.source = Source::Fetched;
        });
        let report = twice.accepted();
        let lists = report.endorsements().iter().filter(|one| one.kind == "crl");
        assert!(lists.clone().count() > 0 && lists.clone().all(|list| list.source == Source::Fetched));
    }
}
