//! Several statements of one place, all of them the vendor's own: the one that nothing speaks against is chosen, now and
//! later, whoever brought the others.

use teegate_forge::certificate::Extension;
use teegate_forge::keys::{Key, RsaRole};
use teegate_forge::tdx::PckCa;
use teegate_forge::time::{AT, DAY, YEAR};
use teegate_verifier::{Source, Tee};

use crate::subject::{Pool, SNP_DEVICE, TDX_DEVICE, good, snp, tdx, tdx_set};
use crate::until_random::never_too_late;

#[test]
fn texts_under_an_older_signer_are_found_beside_a_newer_one() {
    let other = tdx(|d| {
        d.with_keys(|k| k.tcb_signing = Key::p256()).edit_tcb_signing(|c| {
            c.set_serial(0x99);
            c.not_after += YEAR;
        })
    });
    let other = other.pool.certificates[0].clone();
    let both = good(Tee::Tdx).with_pool(|pool| pool.certificates.push(other.clone()));
    both.accepted();
    let evidence = good(Tee::Tdx).with_pool(|pool| {
        pool.others =
            Pool { source: Source::Evidence, certificates: vec![other.clone()], ..Pool::default() }.to_endorsements()
    });
    evidence.accepted();
    let later = tdx(|d| {
        d.with_keys(|k| k.tcb_signing = Key::p256()).edit_tcb_signing(|c| {
            c.set_serial(0x99);
            c.not_before = AT + 5 * DAY;
            c.not_after += YEAR;
        })
    });
    let later = good(Tee::Tdx).with_pool(|pool| pool.certificates.push(later.pool.certificates[0].clone()));
    never_too_late("a signer of the future", &later, &[AT + 5 * DAY, AT + 6 * DAY]);
}

#[test]
fn a_leaf_under_a_revoked_intermediate_is_passed_over() {
    // The same chip key, certified again under an intermediate of another key that AMD has revoked.
    let under_revoked = SNP_DEVICE
        .clone()
        .intermediate_key(Key::rsa(RsaRole::Stranger))
        .edit_intermediate(|c| c.set_serial(0x77))
        .vek_validity(AT - 60, AT + 20 * YEAR)
        .build();
    let subject = snp(|d| d.edit_crl(|crl| crl.revoke(&[0x77])));
    subject.accepted();
    let with = subject.clone().with_pool(|p| {
        p.certificates.push(under_revoked.vek.clone());
        p.certificates.push(under_revoked.intermediate.clone());
    });
    with.accepted();
    let stranger = subject.clone().with_pool(|p| {
        p.others = Pool {
            source: Source::Evidence,
            certificates: vec![under_revoked.vek.clone(), under_revoked.intermediate.clone()],
            ..Pool::default()
        }
        .to_endorsements();
    });
    stranger.accepted();
    let later = SNP_DEVICE
        .clone()
        .intermediate_key(Key::rsa(RsaRole::Stranger))
        .edit_intermediate(|c| c.set_serial(0x77))
        .vek_validity(AT + 5 * DAY, AT + 20 * YEAR)
        .build();
    let later = subject.with_pool(|p| {
        p.certificates.push(later.vek.clone());
        p.certificates.push(later.intermediate.clone());
    });
    never_too_late("a leaf under a revoked intermediate, later", &later, &[AT + 5 * DAY, AT + 6 * DAY]);
}

#[test]
fn a_ca_with_an_unknown_critical_extension_is_passed_over() {
    let again = |from: u64| {
        TDX_DEVICE
            .clone()
            .edit_pck_ca(move |c| {
                c.set_serial(0x98);
                c.not_before = from;
                c.not_after += YEAR;
                c.extensions.push(Extension::critical("1.2.3.4", vec![5, 0]));
            })
            .build()
            .pck_ca
    };
    let now = good(Tee::Tdx).with_pool(|p| p.certificates.push(again(AT - 60)));
    now.accepted();
    let later = good(Tee::Tdx).with_pool(|p| p.certificates.push(again(AT + 5 * DAY)));
    never_too_late("a CA with a critical extension, later", &later, &[AT + 5 * DAY, AT + 6 * DAY]);
}

#[test]
fn a_pck_whose_ca_has_no_list_is_passed_over() {
    // The same PCK key under the Processor CA, from a time to come; whose list nobody has.
    let other = TDX_DEVICE
        .clone()
        .certification_data_3()
        .pck_issuer(PckCa::Processor)
        .edit_pck(|c| {
            c.not_before = AT + 5 * DAY;
            c.not_after += YEAR;
        })
        .build();
    let set = TDX_DEVICE.clone().certification_data_3().build();
    let chain = set.pck_chain();
    let subject = tdx_set(set).with_pool(|p| {
        p.certificates.extend(chain);
        p.certificates.extend(other.pck_chain());
    });
    never_too_late("PCK under another CA, later", &subject, &[AT + 5 * DAY, AT + 6 * DAY]);
}
