//! What a verifier must accept, although it looks odd: real hardware and real services look like that.

use teegate_forge::certificate::Extension;
use teegate_forge::keys::{Key, RsaRole};
use teegate_forge::snp::Product;
use teegate_forge::tdx::PckCa;
use teegate_verifier::{FactValue, Report, Tee};

use crate::subject::{good, snp, tdx};

fn text<'r>(report: &'r Report, name: &str) -> Option<&'r FactValue> {
    report.fact(name)
}

fn says(report: &Report, name: &str, value: &str) {
    let shown = serde_json::to_value(report).unwrap();
    assert_eq!(shown["facts"][name], value, "{name}: {:?}", text(report, name));
}

#[test]
fn every_product_and_version_of_a_report() {
    for (product, name) in
        [(Product::Milan, "milan"), (Product::Genoa, "genoa"), (Product::Siena, "genoa"), (Product::Turin, "turin")]
    {
        for version in [2, 3, 4, 5] {
            let subject = snp(|device| device.product(product).version(version));
            let subject = if version == 2 { subject.under("platform_info", "\"unchecked\"") } else { subject };
            says(&subject.accepted(), "product", name);
            let vlek = snp(|device| device.product(product).version(version).vlek("forged-cloud"));
            let vlek = if version == 2 { vlek.under("platform_info", "\"unchecked\"") } else { vlek };
            let report = vlek.accepted();
            says(&report, "csp_id", "forged-cloud");
            says(&report, "signing_key", "vlek");
        }
    }
}

#[test]
fn every_version_body_and_ca_of_a_quote() {
    for ca in [PckCa::Platform, PckCa::Processor] {
        tdx(|device| device.pck_issuer(ca)).accepted();
        for body_type in [2, 3, 4] {
            says(&tdx(|device| device.pck_issuer(ca).version_5(body_type)).accepted(), "tcb_status", "UpToDate");
        }
    }
}

/// The order of a pool means nothing, and what is in it for other platforms changes nothing.
#[test]
fn pools_in_any_order_with_anything_beside() {
    let others = [
        snp(|device| device.product(Product::Milan)),
        snp(|device| device.product(Product::Turin)),
        snp(|device| device.vlek("forged-cloud")),
        tdx(|device| device.fmspc([9; 6])),
        tdx(|device| device.pck_issuer(PckCa::Processor)),
    ];
    for tee in [Tee::SevSnp, Tee::Tdx] {
        let mut subject = good(tee);
        for other in &others {
            // The other platform's root has this one's name and key; its lists are others' or the same list again.
            subject.pool.certificates.extend(other.pool.certificates.clone());
            subject.pool.crls.extend(other.pool.crls.clone());
            subject.pool.tcb_infos.extend(other.pool.tcb_infos.clone());
            subject.pool.qe_identities.extend(other.pool.qe_identities.clone());
        }
        let forwards = subject.accepted();
        subject.pool.certificates.reverse();
        subject.pool.crls.reverse();
        subject.pool.tcb_infos.reverse();
        subject.pool.qe_identities.reverse();
        let backwards = subject.accepted();
        assert_eq!(serde_json::to_value(forwards).unwrap(), serde_json::to_value(backwards).unwrap());
    }
}

/// AMD has issued an intermediate again, with another key: the one that signed this leaf is found.
#[test]
fn two_intermediates_of_one_name() {
    let other = snp(|device| device.intermediate_key(Key::rsa(RsaRole::Asvk)));
    let other = &other.pool.certificates[1];
    for at in [0, 2] {
        good(Tee::SevSnp).with_pool(|pool| pool.certificates.insert(at, other.clone())).accepted();
    }
}

/// A renewed leaf of the same key, an expired one beside it; a fresh text beside a stale one.
#[test]
fn the_current_statement_is_chosen() {
    let at = teegate_forge::time::AT;
    let expired = snp(|device| device.vek_validity(at - 200, at - 100));
    for index in [0, 3] {
        let old = expired.pool.certificates[0].clone();
        good(Tee::SevSnp).with_pool(|pool| pool.certificates.insert(index, old)).accepted();
    }
    let stale = snp(|device| device.crl_window(at - 200, Some(at - 100)));
    good(Tee::SevSnp).with_pool(|pool| pool.crls.extend(stale.pool.crls)).accepted();

    let stale = tdx(|device| {
        device
            .tcb_info_window(at - 200, at - 100)
            .qe_identity_window(at - 200, at - 100)
            .edit_pck_crl(move |crl| (crl.this_update, crl.next_update) = (at - 200, Some(at - 100)))
    });
    let subject = good(Tee::Tdx).with_pool(|pool| {
        pool.tcb_infos.splice(0..0, stale.pool.tcb_infos);
        pool.qe_identities.splice(0..0, stale.pool.qe_identities);
        pool.crls.splice(0..0, stale.pool.crls);
    });
    subject.accepted();
}

/// SGX collateral of the same platform beside the TDX one.
#[test]
fn the_text_for_this_tee_is_chosen() {
    let sgx = tdx(|device| {
        device
            .edit_tcb_info(|info| "SGX".clone_into(&mut info.id))
            .edit_qe_identity(|identity| "QE".clone_into(&mut identity.id))
    });
    for front in [true, false] {
        let subject = good(Tee::Tdx).with_pool(|pool| {
            let at = if front { 0 } else { 1 };
            pool.tcb_infos.insert(at, sgx.pool.tcb_infos[0].clone());
            pool.qe_identities.insert(at, sgx.pool.qe_identities[0].clone());
        });
        subject.accepted();
    }
}

/// Extensions that nobody has heard of, not critical, are no reason to refuse.
#[test]
fn unknown_extensions_that_are_not_critical() {
    let extension = || Extension::new("1.3.6.1.4.1.99999.1", vec![4, 1, 7]);
    snp(|device| device.edit_vek(move |vek| vek.extensions.push(extension()))).accepted();
    tdx(|device| device.edit_pck(move |pck| pck.extensions.push(extension()))).accepted();
}

/// An acceptance ends with the first thing that it rests on.
#[test]
fn an_acceptance_ends_with_what_it_rests_on() {
    let at = teegate_forge::time::AT;
    let until = |report: Report| report.valid_until().unwrap().seconds();
    assert_eq!(until(good(Tee::SevSnp).accepted()), at + 335 * 86_400, "the CRL");
    assert_eq!(until(good(Tee::Tdx).accepted()), at + 20 * 86_400, "TCB info, QE identity and PCK CRL");
    assert_eq!(until(snp(|device| device.vek_validity(at - 10, at + 10)).accepted()), at + 10, "the leaf");
}
