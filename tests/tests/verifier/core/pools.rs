//! A statement that somebody adds to the pool makes evidence look neither better nor worse: the attested side hands in
//! endorsements of its own, and what the relying party already holds must outweigh them.

use teegate_forge::keys::{Key, RsaRole};
use teegate_forge::time::AT;
use teegate_verifier::{Rejection, Source, Tee};

use crate::subject::{Pool, Subject, TDX_DEVICE, good, snp, tdx, tdx_set};

const DAY: u64 = 86_400;

#[track_caller]
fn refused_by(subject: &Subject, check: &str) -> Rejection {
    let rejection = subject.rejected();
    assert_eq!(rejection.failed_checks(), [check], "{rejection}");
    rejection
}

/// The newest evaluation decides, not the latest signature: Intel signs several evaluations of one platform every day.
#[test]
fn an_older_evaluation_that_was_signed_later_does_not_help() {
    let newest = || {
        tdx(|device| {
            device
                .platform_status("OutOfDate")
                .edit_tcb_info(|info| info.evaluation_number = 21)
                .edit_qe_identity(|identity| identity.evaluation_number = 21)
        })
    };
    let older = tdx(|device| {
        device.tcb_info_window(AT - 60, AT + 5 * DAY).qe_identity_window(AT - 60, AT + 5 * DAY).evaluation_number(18)
    });
    older.accepted();
    refused_by(&newest(), "tdx.tcb.accepted");
    for front in [true, false] {
        let subject = newest().with_pool(|pool| {
            let at = usize::from(!front);
            pool.tcb_infos.insert(at, older.pool.tcb_infos[0].clone());
            pool.qe_identities.insert(at, older.pool.qe_identities[0].clone());
        });
        refused_by(&subject, "tdx.tcb.accepted");
    }
}

/// What any authentic list revokes is revoked; a newer list without the entry does not take it back.
#[test]
fn a_second_list_does_not_hide_a_revocation() {
    let revoking = snp(|device| device.revoke_intermediate());
    refused_by(&revoking, "snp.chain.revocation");
    let clean = snp(|device| device.crl_window(AT - 60, Some(AT + 300 * DAY)));
    clean.accepted();
    let both = clean.with_pool(|pool| pool.crls.extend(revoking.pool.crls));
    let rejection = refused_by(&both, "snp.chain.revocation");
    assert!(rejection.to_string().contains("is revoked"), "{rejection}");

    let revoking = tdx(|device| device.revoke(teegate_forge::tdx::Revoked::Pck));
    refused_by(&revoking, "tdx.chain.revocation");
    let later = |device: teegate_forge::tdx::TdxBuilder| {
        device.edit_pck_crl(|crl| (crl.this_update, crl.next_update) = (AT - 60, Some(AT + 25 * DAY)))
    };
    let clean = tdx(later);
    clean.accepted();
    refused_by(&clean.with_pool(|pool| pool.crls.extend(revoking.pool.crls)), "tdx.chain.revocation");
}

/// A list that cannot be read, or is not a complete list, is not the same as none.
#[test]
fn a_list_that_cannot_be_used_is_not_passed_over() {
    let lenient = |subject: Subject| subject.under("revocation", "\"if-supplied\"");
    lenient(snp(|device| device.without_crl())).accepted();
    let garbled = snp(|device| device.without_crl()).with_pool(|pool| pool.crls.push(vec![0x30, 0x03, 2, 1, 1]));
    let rejection = refused_by(&lenient(garbled), "snp.chain.revocation");
    assert!(rejection.to_string().contains("1 supplied could not be read"), "{rejection}");

    let partial = snp(|device| {
        device.edit_crl(|crl| {
            let mut extension = teegate_forge::certificate::Extension::new("2.5.29.28", vec![0x30, 0]);
            extension.critical = true;
            crl.extensions.push(extension);
        })
    });
    let rejection = refused_by(&lenient(partial), "snp.chain.revocation");
    assert!(rejection.to_string().contains("critical extension"), "{rejection}");
}

/// Names, dates and numbers cost nothing to forge; what nobody signed does not push out what was signed.
#[test]
fn unsigned_namesakes_push_nothing_out() {
    let stranger = snp(|device| {
        device
            .intermediate_key(Key::rsa(RsaRole::Stranger))
            .edit_intermediate(|issuer| issuer.not_before = AT - 60)
            .crl_window(AT - 30, Some(AT + 400 * DAY))
            .edit_crl(|crl| crl.signer = Key::rsa(RsaRole::Stranger))
            .vek_key(Key::p384())
            .vek_validity(AT - 60, AT + 9_000 * DAY)
    });
    let subject = good(Tee::SevSnp).with_pool(|pool| {
        pool.certificates.splice(0..0, stranger.pool.certificates[..2].to_vec());
        pool.crls.splice(0..0, stranger.pool.crls);
    });
    subject.accepted();

    let stranger = tdx(|device| {
        let other = teegate_forge::tdx().keys();
        device
            .evaluation_number(99)
            .tcb_info_signed_by(other.tcb_signing.clone())
            .qe_identity_signed_by(other.tcb_signing)
            .platform_status("Revoked")
    });
    let subject = good(Tee::Tdx).with_pool(|pool| {
        pool.tcb_infos.splice(0..0, stranger.pool.tcb_infos);
        pool.qe_identities.splice(0..0, stranger.pool.qe_identities);
    });
    subject.accepted();
}

/// With a masked chip id every leaf of the product looks right: the one that signed is found.
#[test]
fn a_masked_report_finds_its_own_leaf() {
    let masked = snp(|device| device.masked_chip_id()).under("masked_chip_id", "\"allowed\"");
    masked.accepted();
    let other = snp(|device| device.vek_key(Key::p384()).vek_validity(AT - 60, AT + 9_000 * DAY));
    masked.with_pool(|pool| pool.certificates.insert(0, other.pool.certificates[0].clone())).accepted();
}

/// What AMD had revoked before this release is refused even where no list is asked for.
#[test]
fn a_known_revocation_needs_no_list() {
    let first_ask = |serial: [u8; 3]| {
        snp(move |device| device.edit_intermediate(move |c| c.serial = serial.to_vec()).without_crl())
    };
    for revocation in ["\"if-supplied\"", "\"unchecked\""] {
        first_ask([2, 0, 2]).under("revocation", revocation).accepted();
        let rejection = refused_by(&first_ask([2, 0, 1]).under("revocation", revocation), "snp.chain.revocation");
        assert!(rejection.to_string().contains("before this release"), "{rejection}");
    }
    assert_eq!(good(Tee::SevSnp).accepted().fact("product").unwrap().to_string(), "genoa");
}

/// What the user supplied stays the user's, though the same came along with the evidence and stands first.
#[test]
fn the_same_bytes_from_two_sources_are_the_users() {
    let subject = good(Tee::SevSnp);
    let own = subject.pool.clone();
    let both = subject.brought_by(Source::Evidence);
    let sources = |subject: &Subject| {
        let report = subject.accepted();
        report.endorsements().iter().map(|line| line.source).collect::<Vec<_>>()
    };
    assert!(sources(&both).iter().all(|source| *source == Source::Evidence));
    let both = both.with_pool(|pool| pool.others = own.to_endorsements());
    assert!(sources(&both).iter().all(|source| *source == Source::Supplied));
}

/// Work on signatures has a bound for each source: what stands in the quote itself is not starved by what came with it.
#[test]
fn what_comes_along_starves_no_certificate_of_the_quote() {
    let stranger = Key::p256();
    let namesakes: Vec<_> = (0..300)
        .map(|serial| {
            let stranger = stranger.clone();
            let device = TDX_DEVICE.clone().edit_pck_ca(move |ca| {
                ca.set_serial(serial);
                ca.signer = stranger.clone();
            });
            device.build().pck_ca
        })
        .collect();
    for source in [Source::Evidence, Source::Supplied] {
        let others = Pool { source, certificates: namesakes.clone(), ..Pool::default() };
        let subject = good(Tee::Tdx).with_pool(|pool| {
            pool.source = Source::Fetched;
            pool.others = others.to_endorsements();
        });
        subject.accepted();
    }
}

/// The bound counts signatures that hold as well: whoever supplies hundreds of other platforms' certificates has spent it.
#[test]
fn good_signatures_are_counted_too() {
    let set = TDX_DEVICE.clone().certification_data_3().build();
    let chain = set.pck_chain();
    let subject = tdx_set(set).with_pool(|pool| pool.certificates.extend(chain[..2].to_vec()));
    let others: Vec<_> = (0..300)
        .map(|number| {
            let device = TDX_DEVICE.clone().with_keys(|keys| keys.pck = Key::p256()).edit_pck(move |pck| {
                pck.set_serial(1_000 + number);
                pck.not_after += DAY;
            });
            device.build().pck
        })
        .collect();
    let with = |count: usize| {
        let others = others[..count].to_vec();
        subject.clone().with_pool(|pool| pool.certificates.extend(others))
    };
    with(100).accepted();
    refused_by(&with(300), "tdx.chain.pck");
}
