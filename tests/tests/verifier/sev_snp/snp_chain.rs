//! SEV-SNP, authentication: the chain from the pinned ARK to the leaf, and its revocation (AMD 57230).

use teegate_forge::certificate::{Extension, Name};
use teegate_forge::keys::{Key, RsaRole, SignatureAlgorithm, pss_identifier};
use teegate_forge::snp::{LeafKind, Product, SnpBuilder, oid};
use teegate_forge::time::{AT, DAY, YEAR};
use teegate_verifier::Tee;

use crate::case::{Case, cases, refused};
use crate::subject::{SNP_DEVICE, Subject, good, snp, snp_set};

cases! {
    present ark_pinned path_signatures path_algorithms path_keys names usage leaf_kind csp validity
    revocation_state revocation_content age
}

fn present() -> Vec<Case> {
    let without = |index: usize| {
        good(Tee::SevSnp).with_pool(|pool| {
            pool.certificates.remove(index);
        })
    };
    vec![
        refused("snp.chain.present", without(0)).expected("SEV-VCEK").actual("none among the 2 supplied"),
        refused("snp.chain.present", without(1)).expected("SEV-Genoa"),
        refused("snp.chain.present", good(Tee::SevSnp).with_pool(|pool| pool.certificates.clear())),
        // The root need not be supplied: it is never taken from the pool.
        refused("snp.chain.present", without(0)).twin(without(2)),
        // Bytes behind a certificate make it another file.
        refused("snp.chain.present", good(Tee::SevSnp).with_pool(|pool| pool.certificates[0].push(0)))
            .actual("1 more could not be read"),
    ]
}

/// A whole hierarchy that differs from the pinned one in the keys alone.
fn forgery() -> Subject {
    snp(|device| device.ark_key(Key::rsa(RsaRole::Stranger)))
}

fn ark_pinned() -> Vec<Case> {
    let forgery_of_amd = good(Tee::SevSnp).under_vendors();
    let another_name = snp(|device| device.edit_intermediate(|ask| ask.issuer = Name::amd("ARK-Naples")));
    vec![
        refused("snp.chain.ark-pinned", forgery()).actual("another key under the name ARK-Genoa"),
        refused("snp.chain.ark-pinned", forgery_of_amd).actual("another key under the name ARK-Genoa"),
        refused("snp.chain.ark-pinned", another_name).expected("ARK-Genoa").actual("ARK-Naples"),
        // The root of another product is pinned, this one's is not.
        refused(
            "snp.chain.ark-pinned",
            good(Tee::SevSnp).under_root(SNP_DEVICE.clone().product(Product::Milan).ark_pem()),
        )
        .expected("ARK-Milan")
        .actual("ARK-Genoa"),
    ]
}

fn path_signatures() -> Vec<Case> {
    let leaf = snp(|device| device.edit_vek(|vek| vek.damaged_signature = true));
    let ask = snp(|device| device.edit_intermediate(|ask| ask.damaged_signature = true));
    let strangers_leaf = snp(|device| device.edit_vek(|vek| vek.signer = Key::rsa(RsaRole::Stranger)));
    let arks_leaf = snp(|device| device.edit_vek(|vek| vek.signer = Key::rsa(RsaRole::Ark)));
    let own_ask = snp(|device| device.edit_intermediate(|ask| ask.signer = Key::rsa(RsaRole::Ask)));
    // A forged hierarchy that hides its root: only the signature can tell.
    let hidden = forgery().with_pool(|pool| {
        pool.certificates.pop();
    });
    vec![
        refused("snp.chain.path", leaf).actual("SEV-VCEK is not signed by SEV-Genoa"),
        refused("snp.chain.path", ask).actual("SEV-Genoa is not signed by the pinned root"),
        refused("snp.chain.path", strangers_leaf).actual("SEV-VCEK is not signed by SEV-Genoa"),
        refused("snp.chain.path", arks_leaf).actual("SEV-VCEK is not signed by SEV-Genoa"),
        refused("snp.chain.path", own_ask).actual("SEV-Genoa is not signed by the pinned root"),
        refused("snp.chain.path", hidden).actual("SEV-Genoa is not signed by the pinned root"),
    ]
}

/// One algorithm with one set of parameters; only the default trailerField may be written or left out.
fn path_algorithms() -> Vec<Case> {
    use SignatureAlgorithm::{Pkcs1Sha384, Pss, PssExplicitTrailer, PssSha256, PssSha512};
    const SHA256: &str = "2.16.840.1.101.3.4.2.1";
    const SHA384: &str = "2.16.840.1.101.3.4.2.2";
    let mut cases = Vec::new();
    for algorithm in [PssSha256, PssSha512, Pkcs1Sha384] {
        cases.push(refused("snp.chain.path", snp(|device| device.edit_vek(move |vek| vek.algorithm = algorithm))));
        cases.push(refused(
            "snp.chain.path",
            snp(|device| device.edit_intermediate(move |ask| ask.algorithm = algorithm)),
        ));
    }
    for (hash, mask, salt, trailer) in [
        (SHA384, SHA384, 32, None),
        (SHA384, SHA256, 48, None),
        (SHA256, SHA384, 48, None),
        (SHA384, SHA384, 48, Some(2)),
    ] {
        let lying = snp(|device| {
            device.edit_vek(move |vek| {
                let identifier = pss_identifier(hash, mask, salt, trailer);
                (vek.inner_identifier, vek.outer_identifier) = (Some(identifier.clone()), Some(identifier));
            })
        });
        cases.push(refused("snp.chain.path", lying));
    }
    let cases: Vec<_> = cases.into_iter().map(|case| case.actual("another algorithm or other parameters")).collect();
    let written = snp(|device| device.edit_vek(|vek| vek.algorithm = PssExplicitTrailer));
    let left_out = snp(|device| device.edit_intermediate(|ask| ask.algorithm = Pss));
    let refusal = cases[0].clone();
    [cases, vec![refusal.clone().twin(written), refusal.twin(left_out)]].concat()
}

fn path_keys() -> Vec<Case> {
    let short = |device: SnpBuilder| device.intermediate_key(Key::rsa(RsaRole::Short));
    let short_root = SNP_DEVICE.clone().ark_key(Key::rsa(RsaRole::Short));
    let root = short_root.ark_pem();
    vec![
        refused("snp.chain.path", snp(short)).actual("SEV-Genoa has an RSA key of 2048 bits"),
        refused("snp.chain.path", snp_set(short_root.build()).under_root(root)).actual("an RSA key of 2048 bits"),
    ]
}

fn names() -> Vec<Case> {
    let named = |name: &'static str| {
        snp(|device| {
            device
                .edit_intermediate(move |ask| ask.subject = Name::amd(name))
                .edit_vek(move |vek| vek.issuer = Name::amd(name))
        })
    };
    ["SEV-Milan", "SEV-VLEK-Turin", "SEV-Genoa-B1", "ARK-Genoa-SEV"]
        .map(|name| refused("snp.chain.names-and-usage", named(name)).actual(format!("{name} under ARK-Genoa")))
        .to_vec()
}

fn usage() -> Vec<Case> {
    let ask =
        |extension: Extension| snp(|device| device.edit_intermediate(move |ask| ask.set_extension(extension.clone())));
    let ark = |extension: Extension| {
        let device = SNP_DEVICE.clone().edit_ark(move |ark| ark.set_extension(extension.clone()));
        let set = device.build();
        let root = set.ark_pem.clone();
        snp_set(set).under_root(root)
    };
    let leaf = |extension: Extension| snp(|device| device.edit_vek(move |vek| vek.set_extension(extension.clone())));
    let unknown = || Extension::critical("1.2.3.4", vec![5, 0]);
    let unread = |oid: &str| Extension::critical(oid, vec![0x30, 0x05, 0x01]);
    let case = |subject, actual: &str| refused("snp.chain.names-and-usage", subject).actual(actual);
    vec![
        case(ask(Extension::basic_constraints(false, None)), "the intermediate may not issue"),
        case(ask(Extension::key_usage(1, 0x02)), "the intermediate may not issue"),
        case(ark(Extension::basic_constraints(false, None)), "the root may not issue or revoke"),
        case(ark(Extension::basic_constraints(true, Some(0))), "the root may not issue or revoke"),
        case(ark(Extension::key_usage(1, 0x04)), "the root may not issue or revoke"),
        case(ark(Extension::key_usage(1, 0x02)), "the root may not issue or revoke"),
        case(leaf(Extension::basic_constraints(true, None)), "the leaf claims the powers of an authority"),
        case(leaf(Extension::key_usage(1, 0x04)), "the leaf claims the powers of an authority"),
        case(leaf(unknown()), "an unknown critical extension in SEV-VCEK"),
        case(ask(unknown()), "an unknown critical extension in SEV-Genoa"),
        case(ark(unknown()), "an unknown critical extension in ARK-Genoa"),
        case(snp(|device| device.duplicate_vek_extension(oid::BL_SPL)), "the same extension twice in SEV-VCEK"),
        case(
            snp(|device| device.edit_intermediate(|ask| ask.duplicate_extension("2.5.29.19"))),
            "the same extension twice in SEV-Genoa",
        ),
        case(ask(unread("2.5.29.19")), "cannot be read"),
        case(ask(unread("2.5.29.15")), "cannot be read"),
        // What is unknown and not critical may be there.
        case(leaf(unknown()), "an unknown critical").twin(leaf(Extension::new("1.2.3.4", vec![5, 0]))),
    ]
}

fn vlek() -> Subject {
    snp(|device| device.vlek("forged-cloud"))
}

/// A provider's key must not pass for one chip's, nor the reverse.
fn leaf_kind() -> Vec<Case> {
    let case = |subject| refused("snp.chain.leaf-kind", subject);
    // The report says VCEK and what vouches for it is a VLEK, in its own name or in the VCEK's.
    let vlek_as_vcek = snp(|device| device.vlek("forged-cloud").signing_key(0));
    let renamed =
        snp(|device| device.vlek("forged-cloud").signing_key(0).edit_vek(|vek| vek.subject = Name::amd("SEV-VCEK")));
    let vcek_as_vlek = snp(|device| device.signing_key(1));
    vec![
        case(snp(|device| device.under_intermediate(LeafKind::Vlek))).actual("under the ASVK"),
        case(snp(|device| device.vlek("forged-cloud").under_intermediate(LeafKind::Vcek)))
            .actual("under the ASK")
            .twin(vlek()),
        case(vlek_as_vcek).actual("only a SEV-VLEK certificate").twin(vlek()),
        case(renamed).actual("vlek").twin(vlek()),
        case(vcek_as_vlek).actual("only a SEV-VCEK certificate"),
        case(snp(|device| device.csp_id("forged-cloud"))).actual("HWID present, CSP_ID present"),
        case(snp(|device| device.drop_vek_extension(oid::HWID))).actual("HWID absent, CSP_ID absent"),
        case(good(Tee::SevSnp)).twin(vlek()).under("signing_keys", "[\"vlek\"]").actual("does not allow"),
        case(vlek()).under("signing_keys", "[\"vcek\"]").actual("vlek, which the policy does not allow"),
    ]
}

fn csp() -> Vec<Case> {
    let other = snp(|device| device.vlek("another-cloud"));
    let unreadable = snp(|device| device.vlek("forged-cloud").vek_extension(oid::CSP_ID, vec![0x16, 0x05, 0x61]));
    vec![
        refused("snp.chain.csp", other.clone()).twin(vlek()).expected("forged-cloud").actual("another-cloud"),
        refused("snp.chain.csp", unreadable).twin(vlek()),
        refused("snp.chain.csp", other.clone()).twin(good(Tee::SevSnp)).twin_shows("not-applicable"),
        refused("snp.chain.csp", other.clone()).twin(other.under("csp_ids", "\"unchecked\"")).twin_shows("not-checked"),
    ]
}

/// Both ends belong to the validity.
fn validity() -> Vec<Case> {
    let leaf = |not_before, not_after| snp(|device| device.vek_validity(not_before, not_after));
    let ask = |not_before, not_after| {
        snp(|device| device.edit_intermediate(move |ask| (ask.not_before, ask.not_after) = (not_before, not_after)))
    };
    let ark = |not_before, not_after| {
        let device = SNP_DEVICE.clone();
        let set = device.edit_ark(move |ark| (ark.not_before, ark.not_after) = (not_before, not_after)).build();
        let root = set.ark_pem.clone();
        snp_set(set).under_root(root)
    };
    let case = |subject, certificate: &str, twin| {
        refused("snp.chain.validity", subject).actual(format!("{certificate} valid from")).twin(twin)
    };
    vec![
        case(leaf(AT - YEAR, AT - 1), "the leaf", leaf(AT - YEAR, AT)),
        case(leaf(AT + 1, AT + YEAR), "the leaf", leaf(AT, AT + YEAR)),
        case(ask(AT - YEAR, AT - 1), "the intermediate", ask(AT - YEAR, AT)),
        case(ask(AT + 1, AT + YEAR), "the intermediate", ask(AT, AT + YEAR)),
        case(ark(AT - YEAR, AT - 1), "the ARK", ark(AT - YEAR, AT)),
        case(ark(AT + 1, AT + YEAR), "the ARK", ark(AT, AT + YEAR)),
    ]
}

/// Signed by this product's ARK, and thisUpdate <= now < nextUpdate.
fn revocation_state() -> Vec<Case> {
    let case = |subject, actual: &str| refused("snp.chain.revocation", subject).actual(actual);
    let window = |from: u64, to: Option<u64>| snp(|device| device.crl_window(from, to));
    let none = || snp(|device| device.without_crl());
    let damaged = || snp(|device| device.edit_crl(|crl| crl.damaged_signature = true));
    let asks = snp(|device| device.edit_crl(|crl| crl.signer = Key::rsa(RsaRole::Ask)));
    let strangers = snp(|device| device.edit_crl(|crl| crl.signer = Key::rsa(RsaRole::Stranger)));
    let pkcs1 = snp(|device| device.edit_crl(|crl| crl.algorithm = SignatureAlgorithm::Pkcs1Sha384));
    let milans = snp(|device| device.edit_crl(|crl| crl.issuer = Name::amd("ARK-Milan")));
    vec![
        case(none(), "none was supplied"),
        case(none(), "none").twin(none().under("revocation", "\"if-supplied\"")).twin_shows("not-checked"),
        case(none(), "none").twin(none().under("revocation", "\"unchecked\"")).twin_shows("not-checked"),
        case(damaged(), "a list of ARK-Genoa that it did not sign"),
        // What is supplied is judged, whether it was asked for or not.
        case(damaged().under("revocation", "\"if-supplied\""), "a list of ARK-Genoa that it did not sign"),
        case(
            window(AT - 2 * DAY, Some(AT - DAY)).under("revocation", "\"if-supplied\""),
            "the list of ARK-Genoa is for",
        ),
        case(asks, "a list of ARK-Genoa that it did not sign"),
        case(strangers, "a list of ARK-Genoa that it did not sign"),
        case(pkcs1, "a list of ARK-Genoa that it did not sign"),
        case(milans, "none was supplied"),
        case(window(AT - 2 * DAY, Some(AT)), "the list of ARK-Genoa is for").twin(window(AT - 2 * DAY, Some(AT + 1))),
        case(window(AT + 1, Some(AT + DAY)), "the list of ARK-Genoa is of").twin(window(AT, Some(AT + DAY))),
        case(window(AT - DAY, None), "the list of ARK-Genoa has no nextUpdate"),
    ]
}

fn first_ask() -> Subject {
    snp(|device| device.edit_intermediate(|ask| ask.set_serial(0x2_0001)))
}

/// The list that revokes, and an innocent one that is newer; in either order.
fn two_lists(swapped: bool) -> Subject {
    let innocent = snp(|device| device.crl_window(AT - DAY, Some(AT + DAY)));
    let mut subject = snp(|device| device.revoke_intermediate());
    subject.pool.crls.extend(innocent.pool.crls);
    if swapped {
        subject.pool.crls.reverse();
    }
    subject
}

fn two_lists_twin() -> Subject {
    let strangers = snp(|device| device.edit_crl(|crl| crl.signer = Key::rsa(RsaRole::Stranger)).revoke(0x2_0002));
    // What the ARK did not sign revokes nothing, and spoils nothing.
    good(Tee::SevSnp).with_pool(|pool| pool.crls.splice(0..0, strangers.pool.crls).for_each(drop))
}

fn revocation_content() -> Vec<Case> {
    let revoked = "is revoked";
    let case = |subject, twin| refused("snp.chain.revocation", subject).actual(revoked).twin(twin);
    // Leaves bear serial 0 and another issuer: an entry of serial 0 must not revoke every one of them.
    let of_zero = || snp(|device| device.revoke(0));
    let long = |device: SnpBuilder| {
        device.edit_crl(|crl| {
            for serial in 1..200_u32 {
                crl.revoke(&[0x40, (serial >> 8) as u8, serial as u8]);
            }
        })
    };
    vec![
        case(snp(|device| device.revoke_intermediate()), of_zero()),
        case(snp(|device| device.vlek("forged-cloud").revoke_intermediate()), vlek()),
        case(snp(|device| long(device).revoke(0x2_0002)), snp(long)),
        // The first ASK of Genoa was revoked by AMD in 2022: that is known without any list.
        refused("snp.chain.revocation", first_ask()).actual("revoked by AMD before this release"),
        refused("snp.chain.revocation", first_ask().under("revocation", "\"unchecked\""))
            .actual("revoked by AMD before this release"),
        // An old list that revokes is not outdone by a newer one that does not, nor hidden behind one.
        case(two_lists(false), two_lists_twin()),
        case(two_lists(true), two_lists_twin()),
        // A list that is none of its issuer's whole, and says so in a critical extension, serves for nothing.
        refused("snp.chain.revocation", snp(|device| device.edit_crl(|crl| crl.extensions[1].critical = true)))
            .actual("with a critical extension"),
        // Another ASK of the same root is revoked, not this one.
        case(snp(|device| device.revoke_intermediate()), snp(|device| device.revoke(0x2_0003))),
    ]
}

/// A list that has not run out may still be too old for the policy, counted from its thisUpdate and to the second.
fn age() -> Vec<Case> {
    let issued = |ago: u64| snp(move |device| device.crl_window(AT - ago, Some(AT + 300 * DAY)));
    let case = |ago| {
        let rule = "{ days = 30 }";
        refused("snp.chain.age", issued(ago)).twin(issued(30 * DAY - 1)).under("max_collateral_age", rule)
    };
    // A newer list beside the old one is the one whose age counts.
    let both = issued(40 * DAY).with_pool(|pool| pool.crls.extend(issued(DAY).pool.crls));
    vec![
        case(30 * DAY).expected("less than 30 days before 2026-06-01").actual("issued 2026-05-02T00:00:00Z"),
        case(90 * DAY).twin(both.under("max_collateral_age", "{ days = 30 }")),
        refused("snp.chain.age", issued(30 * DAY).under("max_collateral_age", "{ days = 30 }"))
            .twin(issued(30 * DAY).under("max_collateral_age", "{ days = 31 }")),
        refused("snp.chain.age", issued(30 * DAY).under("max_collateral_age", "{ days = 30 }"))
            .twin(issued(30 * DAY))
            .twin_shows("not-checked"),
    ]
}

/// Where no list is asked for, or none was supplied, there is none whose age could be judged, and the report says so.
#[test]
fn without_a_list_there_is_no_age() {
    let lenient = snp(|device| device.without_crl())
        .under("revocation", "\"if-supplied\"")
        .under("max_collateral_age", "{ days = 30 }")
        .accepted();
    assert_eq!(lenient.finding(teegate_verifier::Check::SNP_CHAIN_AGE).unwrap().outcome().name(), "not-applicable");
    let mut policy = good(Tee::SevSnp).under("max_collateral_age", "{ days = 30 }").policy;
    policy.set(Tee::SevSnp, "revocation", "\"unchecked\"");
    let error = teegate_verifier::Policy::parse(&policy.to_toml()).unwrap_err().to_string();
    assert!(
        error.contains("`max_collateral_age` asks how old the revocation list is") && error.contains("line "),
        "{error}"
    );
    for (days, says) in [("0", "expected 1 to 3650"), ("3651", "expected 1 to 3650"), ("\"30\"", "invalid type")] {
        let mut policy = good(Tee::SevSnp).policy;
        policy.set(Tee::SevSnp, "max_collateral_age", &format!("{{ days = {days} }}"));
        let error = teegate_verifier::Policy::parse(&policy.to_toml()).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("line "), "{days}: {error}");
    }
}
