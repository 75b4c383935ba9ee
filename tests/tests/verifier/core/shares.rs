//! What many statements may not hide: the share of work of each source is spent on its own statements, one share for each
//! kind, and what of the user's was not looked at is refused instead of passed over.

use teegate_forge::keys::{Key, RsaRole};
use teegate_forge::tdx::{Revoked, SignedJson};
use teegate_forge::time::{AT, DAY};
use teegate_verifier::Source;

use crate::subject::{Pool, SNP_DEVICE, Subject, TDX_DEVICE, snp, tdx, tdx_set};

#[track_caller]
fn refused(what: &str, subject: &Subject, check: &str, word: &str) {
    let rejection = subject.rejected();
    assert_eq!(rejection.failed_checks(), [check], "{what}");
    assert!(rejection.to_string().contains(word), "{what}: {rejection}");
}

/// A revoked PCK, with the revocation in the user's hand: copies of the PCK in the quote do not spend what these are paid of.
#[test]
fn copies_in_a_quote_leave_no_list_of_the_users_unread() {
    let mut set = TDX_DEVICE.build();
    let device = TDX_DEVICE.clone().edit_chain(|chain| {
        let pck = chain[0].clone();
        *chain = vec![pck; 8];
    });
    set.quote = device.build().quote;
    // What the attester brings along, in its own copies: everything old, genuine, in its window.
    let old = TDX_DEVICE
        .clone()
        .edit_tcb_signing(|c| c.not_after += 1)
        .edit_pck_ca(|c| c.not_after += 1)
        .edit_pck(|c| c.not_after += 1)
        .edit_root_crl(|c| c.this_update -= DAY)
        .edit_pck_crl(|c| c.this_update -= 2 * DAY)
        .tcb_info_window(AT - 8 * DAY, AT + 20 * DAY)
        .qe_identity_window(AT - 8 * DAY, AT + 20 * DAY)
        .build();
    let evidence = Pool {
        source: Source::Evidence,
        certificates: vec![old.tcb_signing.clone(), old.pck_ca.clone()],
        crls: old.crls(),
        tcb_infos: vec![old.tcb_info.clone()],
        qe_identities: vec![old.qe_identity.clone()],
        ..Pool::default()
    };
    for count in [1_u64, 31, 32, 33, 64, 127, 128] {
        // The user's: every list of the PCK CA of the last days, all of which revoke this PCK.
        let lists: Vec<_> = (0..count)
            .map(|n| {
                TDX_DEVICE
                    .clone()
                    .revoke(Revoked::Pck)
                    .edit_pck_crl(move |c| (c.this_update, c.next_update) = (AT - 60 - n * 600, Some(AT + 25 * DAY)))
                    .build()
                    .pck_crl
            })
            .collect();
        let subject = tdx_set(set.clone()).with_pool(|p| {
            p.certificates.push(set.pck_ca.clone());
            p.crls.truncate(1);
            p.crls.extend(lists);
        });
        let word = if count < 128 { "the PCK certificate is revoked" } else { "more lists" };
        refused(&format!("{count} lists"), &subject, "tdx.chain.revocation", word);
        let both = subject.with_pool(|p| p.others = evidence.clone().to_endorsements());
        refused(&format!("{count} lists, and the evidence's"), &both, "tdx.chain.revocation", word);
    }
}

/// The same, where the user's own pool holds a fleet's PCKs.
#[test]
fn a_fleet_of_pcks_leaves_no_list_of_the_users_unread() {
    let set = TDX_DEVICE.clone().certification_data_3().build();
    let chain = set.pck_chain();
    let revoking = TDX_DEVICE.clone().revoke(Revoked::Pck).edit_pck_crl(|c| c.this_update = AT - 60).build();
    let old = TDX_DEVICE
        .clone()
        .edit_tcb_signing(|c| c.not_after += 1)
        .edit_pck_ca(|c| c.not_after += 1)
        .edit_pck(|c| c.not_after += 1)
        .edit_root_crl(|c| c.this_update -= DAY)
        .edit_pck_crl(|c| c.this_update -= 2 * DAY)
        .tcb_info_window(AT - 8 * DAY, AT + 20 * DAY)
        .qe_identity_window(AT - 8 * DAY, AT + 20 * DAY)
        .build();
    let evidence = Pool {
        source: Source::Evidence,
        certificates: vec![old.tcb_signing.clone(), old.pck.clone(), old.pck_ca.clone()],
        crls: old.crls(),
        tcb_infos: vec![old.tcb_info.clone()],
        qe_identities: vec![old.qe_identity.clone()],
        ..Pool::default()
    };
    let others: Vec<_> = (0..256_u64)
        .map(|n| {
            TDX_DEVICE
                .clone()
                .with_keys(|k| k.pck = Key::p256())
                .edit_pck(move |c| {
                    c.set_serial(1000 + n);
                    c.not_after += DAY + n;
                })
                .build()
                .pck
        })
        .collect();
    for count in [0_usize, 100, 256] {
        let subject = tdx_set(set.clone()).with_pool(|p| {
            p.certificates.push(chain[1].clone());
            p.certificates.extend(others[..count].to_vec());
            p.crls = revoking.crls();
            p.others = evidence.clone().to_endorsements();
        });
        refused(&format!("{count} other PCKs"), &subject, "tdx.chain.revocation", "the PCK certificate is revoked");
    }
}

/// The same for SEV-SNP, where the policy allows masked chip ids.
#[test]
fn a_fleet_of_vceks_leaves_no_list_of_the_users_unread() {
    let masked = snp(|d| d.masked_chip_id().revoke_intermediate().crl_window(AT - 60, Some(AT + 300 * DAY)))
        .under("masked_chip_id", "\"allowed\"");
    refused("alone", &masked, "snp.chain.revocation", "is revoked");
    let old = SNP_DEVICE.build();
    let others: Vec<_> = (0..256_u64)
        .map(|n| SNP_DEVICE.clone().vek_key(Key::p384()).vek_validity(AT - 60, AT + 9_000 * DAY + n).build().vek)
        .collect();
    let own_leaf = masked.pool.certificates[0].clone();
    for count in [0_usize, 256] {
        let subject = masked.clone().with_pool(|p| {
            p.certificates.remove(0);
            p.certificates.extend(others[..count].to_vec());
            p.others = Pool {
                source: Source::Evidence,
                certificates: vec![own_leaf.clone()],
                crls: old.crl.clone().into_iter().collect(),
                ..Pool::default()
            }
            .to_endorsements();
        });
        refused(&format!("{count} other VCEKs"), &subject, "snp.chain.revocation", "is revoked");
    }
}

#[test]
fn a_fleet_that_is_too_large_is_named() {
    // SNP, chip id masked: every VCEK of the fleet looks alike.
    let masked = snp(|d| d.masked_chip_id()).under("masked_chip_id", "\"allowed\"");
    masked.accepted();
    for count in [200_u64, 300] {
        let others: Vec<_> = (0..count)
            .map(|n| SNP_DEVICE.clone().vek_key(Key::p384()).vek_validity(AT - 60, AT + 9_000 * DAY + n).build().vek)
            .collect();
        let subject = masked.clone().with_pool(|p| p.certificates.extend(others));
        if count < 256 {
            subject.accepted();
        } else {
            refused("a fleet of VCEKs", &subject, "snp.chain.path", "more than 256 certificates supplied");
        }
    }
    let set = TDX_DEVICE.clone().certification_data_3().build();
    let chain = set.pck_chain();
    let type_3 = tdx_set(set).with_pool(|p| p.certificates.extend(chain));
    type_3.accepted();
    for count in [200_u64, 254, 300] {
        let others: Vec<_> = (0..count)
            .map(|n| {
                TDX_DEVICE
                    .clone()
                    .with_keys(|k| k.pck = Key::p256())
                    .edit_pck(move |c| {
                        c.set_serial(1000 + n);
                        c.not_after += DAY + n
                    })
                    .build()
                    .pck
            })
            .collect();
        let subject = type_3.clone().with_pool(|p| p.certificates.extend(others));
        match count {
            200 => drop(subject.accepted()),
            254 => refused("the signer", &subject, "tdx.collateral.signer", "more than 256 certificates supplied"),
            _ => refused("a fleet of PCKs", &subject, "tdx.chain.pck", "more than 256 certificates supplied"),
        }
    }
}

/// A list that nobody signed, or that nobody can read, where the policy can do without one: of the user's it is refused.
#[test]
fn a_strangers_useless_list_where_none_is_needed_changes_nothing() {
    let subject = snp(|d| d.without_crl()).under("revocation", "\"if-supplied\"");
    subject.accepted();
    let junk = snp(|d| d.edit_crl(|crl| crl.signer = Key::rsa(RsaRole::Stranger)));
    for (source, word) in
        [(Source::Supplied, Some("could not be read")), (Source::Evidence, None), (Source::Relayed, None)]
    {
        for (list, word) in [(junk.pool.crls[0].clone(), word.map(|_| "did not sign")), (vec![0x30, 3, 2, 1, 1], word)]
        {
            let with = subject.clone().with_pool(|p| {
                p.others = Pool { source, crls: vec![list], ..Pool::default() }.to_endorsements();
            });
            match word {
                Some(word) => refused(source.name(), &with, "snp.chain.revocation", word),
                None => assert_eq!(said(&with), said(&subject), "{}", source.name()),
            }
        }
    }
}

/// Everything that an accepted verdict says.
fn said(subject: &Subject) -> serde_json::Value {
    serde_json::to_value(subject.accepted()).unwrap()
}

/// The user's newest text says that the platform is revoked; junk of the user's own stands before it. What the evidence brings
/// along does not decide in its place.
#[test]
fn junk_texts_leave_no_text_of_the_users_unread() {
    let revoked = tdx(|device| device.platform_status("Revoked"));
    let old = tdx(|device| device.tcb_info_window(AT - 8 * DAY, AT + 20 * DAY).evaluation_number(19));
    for (count, check, word) in [(8_u32, "tdx.tcb.accepted", "Revoked"), (128, "tdx.collateral.signer", "more texts")] {
        let subject = revoked.clone().with_pool(|pool| {
            let junk = (0..count).map(|n| {
                let set = tdx(move |device| device.evaluation_number(100 + n));
                SignedJson { signature: [1; 64], ..set.pool.tcb_infos[0].clone() }
            });
            pool.tcb_infos.extend(junk.collect::<Vec<_>>());
        });
        refused(&format!("{count} texts"), &subject, check, word);
        let both = subject.with_pool(|pool| {
            let texts = Pool { source: Source::Evidence, tcb_infos: old.pool.tcb_infos.clone(), ..Pool::default() };
            pool.others = texts.to_endorsements();
        });
        refused(&format!("{count} texts, and the evidence's"), &both, check, word);
    }
}
