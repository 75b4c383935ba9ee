//! Of several statements under one name and key, the one that stands is chosen: beside it lies another that would be refused
//! by itself, and runs longer, so that nothing but what is wrong with it speaks against it.

use teegate_forge::certificate::{Certificate, Extension};
use teegate_forge::keys::Key;
use teegate_forge::snp::Product;
use teegate_forge::tdx::TdxBuilder;
use teegate_forge::time::{AT, DAY, YEAR};
use teegate_verifier::Tee;

use crate::subject::{SNP_DEVICE, Subject, TDX_DEVICE, good, snp, tdx, tdx_set};

/// What is wrong with the other one.
type Edit = fn(&mut Certificate);

const SERIAL: u8 = 0x77;

/// `other` is refused where it stands alone in place of the certificate at `place`, and changes nothing beside it.
#[track_caller]
fn is_passed_over(what: &str, subject: &Subject, place: usize, other: &[u8], check: &str) {
    subject.accepted();
    let alone = subject.clone().with_pool(|pool| pool.certificates[place] = other.to_vec());
    assert_eq!(alone.rejected().failed_checks(), [check], "{what}, alone");
    for at in [0, subject.pool.certificates.len()] {
        let both = subject.clone().with_pool(|pool| pool.certificates.insert(at, other.to_vec()));
        if let Err(rejection) = both.judge() {
            panic!("{what}, beside the good one, at {at}: {rejection}");
        }
    }
}

fn listed(c: &mut Certificate) {
    c.serial = vec![SERIAL];
}

fn of_the_future(c: &mut Certificate) {
    c.not_before = AT + DAY;
}

fn no_authority(c: &mut Certificate) {
    c.set_extension(Extension::basic_constraints(false, None));
}

fn an_authority(c: &mut Certificate) {
    c.set_extension(Extension::key_usage(0, 0x04));
}

fn of_an_unknown_kind(c: &mut Certificate) {
    c.extensions.push(Extension::critical("1.2.3.4", vec![5, 0]));
}

#[test]
fn an_intermediate_of_amd() {
    let subject = snp(|device| device.edit_crl(|crl| crl.revoke(&[SERIAL])));
    let known_revoked: Edit = |c| c.serial = vec![2, 0, 1];
    for (what, edit, check) in [
        ("revoked by a list", listed as Edit, "snp.chain.revocation"),
        ("known to be revoked", known_revoked, "snp.chain.revocation"),
        ("of the future", of_the_future, "snp.chain.validity"),
        ("no authority", no_authority, "snp.chain.names-and-usage"),
    ] {
        let other = SNP_DEVICE.clone().edit_intermediate(move |c| {
            c.not_after += YEAR;
            edit(c);
        });
        is_passed_over(what, &subject, 1, &other.build().intermediate, check);
    }
}

#[test]
fn a_ca_of_intel() {
    let carried = TDX_DEVICE.clone().certification_data_3().edit_root_crl(|crl| crl.revoke(&[SERIAL])).build();
    let chain = carried.pck_chain();
    let subject = tdx_set(carried).with_pool(|pool| pool.certificates.splice(0..0, chain[..2].to_vec()).for_each(drop));
    for (what, edit, check) in [
        ("revoked by a list", listed as Edit, "tdx.chain.revocation"),
        ("of the future", of_the_future, "tdx.chain.pck"),
        ("no authority", no_authority, "tdx.chain.pck"),
    ] {
        let other = TDX_DEVICE.clone().edit_pck_ca(move |c| {
            c.not_after += YEAR;
            edit(c);
        });
        is_passed_over(what, &subject, 1, &other.build().pck_ca, check);
    }
}

#[test]
fn a_signer_of_intel() {
    let subject = tdx(|device| device.edit_root_crl(|crl| crl.revoke(&[SERIAL])));
    for (what, edit, check) in [
        ("revoked by a list", listed as Edit, "tdx.chain.revocation"),
        ("of the future", of_the_future, "tdx.collateral.signer"),
        ("another key usage", an_authority, "tdx.collateral.signer"),
        ("an unknown extension", of_an_unknown_kind, "tdx.collateral.signer"),
    ] {
        let other = TDX_DEVICE.clone().edit_tcb_signing(move |c| {
            c.not_after += YEAR;
            edit(c);
        });
        is_passed_over(what, &subject, 0, &other.build().tcb_signing, check);
    }
}

/// Of the leaves of a platform: the one that is not revoked; where there is none, the one that signed, so that it is refused
/// for what it is.
#[test]
fn a_leaf_of_intel() {
    let device = || TDX_DEVICE.clone().certification_data_3().edit_pck_crl(|crl| crl.revoke(&[SERIAL]));
    let with_leaves = |edit: fn(TdxBuilder) -> TdxBuilder| {
        let set = edit(device()).build();
        let chain = set.pck_chain();
        tdx_set(set).with_pool(|pool| pool.certificates.splice(0..0, chain[..2].to_vec()).for_each(drop))
    };
    let revoked = TDX_DEVICE.clone().edit_pck(|c| {
        c.not_after += YEAR;
        listed(c);
    });
    let revoked = revoked.build().pck;
    is_passed_over("revoked by a list", &with_leaves(|device| device), 0, &revoked, "tdx.chain.revocation");

    let stranger = TDX_DEVICE.clone().with_keys(|keys| keys.pck = Key::p256()).edit_pck(|c| c.not_after += 2 * YEAR);
    let stranger = stranger.build().pck;
    let subject = with_leaves(|device| device).with_pool(|pool| {
        pool.certificates[0] = revoked;
        pool.certificates.insert(0, stranger);
    });
    assert_eq!(subject.rejected().failed_checks(), ["tdx.chain.revocation"]);
}

/// A leaf that says another TCB than the report is not looked at where others say the same, though its key signed.
#[test]
fn a_leaf_of_amd() {
    let other_key = |days: u64| {
        let device = SNP_DEVICE.clone().vek_key(Key::p384()).vek_validity(AT - DAY, AT + (9_000 + days) * DAY);
        device.build().vek
    };
    let mut older = Product::Genoa.tcb();
    older.microcode -= 1;
    let alone = snp(|device| device.vek_tcb(older));
    assert_eq!(alone.rejected().failed_checks(), ["snp.leaf.tcb"]);
    let subject = alone.with_pool(|pool| pool.certificates.extend([other_key(1), other_key(2)]));
    assert_eq!(subject.rejected().failed_checks(), ["snp.signature"]);
}

/// A TCB info of a form that this release does not read says nothing of another that it does.
#[test]
fn a_text_of_a_form_that_is_not_known() {
    let other = tdx(|device| {
        device.edit_tcb_info(|info| {
            info.version = 4;
            info.evaluation_number += 1;
        })
    });
    assert_eq!(other.rejected().failed_checks(), ["tdx.collateral.fresh"]);
    for at in [0, 1] {
        let both = good(Tee::Tdx).with_pool(|pool| pool.tcb_infos.insert(at, other.pool.tcb_infos[0].clone()));
        both.accepted();
    }
}
