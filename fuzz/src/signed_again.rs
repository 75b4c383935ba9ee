//! Questions to the verifier with changes that the forged platforms of this process sign.

use teegate_forge as forge;
use teegate_forge::snp::{SnpBuilder, SnpSet};
use teegate_forge::tdx::{Revoked, SignedJson, TdxBuilder, TdxSet};
use teegate_forge::time::AT;
use teegate_fuzz_engine::mutate::{self, Mutator};
use teegate_verifier::Tee;

use crate::case::{Case, Part};
use crate::forged::{ROOTS, SNP, SNP_DEVICE, TDX, TDX_DEVICE};

pub(crate) fn snp(set: &SnpSet, report: &[u8]) -> Case {
    let mut parts = vec![Part::Evidence(report.to_vec())];
    parts.extend(set.certificates().into_iter().take(2).map(Part::Certificate));
    parts.extend(set.crl.clone().map(Part::List));
    Case { tee: Tee::SevSnp, roots: ROOTS.clone(), signed: None, parts }
}

pub(crate) fn tdx(set: &TdxSet) -> Case {
    let json = |json: &SignedJson| [&json.signature[..], json.body.as_bytes()].concat();
    let mut parts = vec![Part::Evidence(set.quote.clone())];
    parts.extend(set.certificates().into_iter().map(Part::Certificate));
    parts.extend(set.crls().into_iter().map(Part::List));
    parts.extend([Part::TcbInfo(json(&set.tcb_info)), Part::QeIdentity(json(&set.qe_identity))]);
    Case { tee: Tee::Tdx, roots: ROOTS.clone(), signed: None, parts }
}

/// A case of this process's own platform, with changes that it signs.
pub(crate) fn signed_again(mutator: &mut Mutator<'_>, tee: Tee) -> Case {
    match tee {
        // Three signatures of RSA-4096 for each changed endorsement; a changed report costs one of P-384.
        Tee::SevSnp if mutator.random.once_in(32) => {
            let set = endorsed(mutator, SNP_DEVICE.clone()).build();
            snp(&set, &set.report)
        }
        Tee::SevSnp => snp(&SNP, &reported(mutator, SNP_DEVICE.clone()).report()),
        Tee::Tdx => tdx(&quoted(mutator, TDX_DEVICE.clone()).build()),
        tee => unreachable!("no seeds of {tee}"),
    }
}

fn patch(mutator: &mut Mutator<'_>, length: usize) -> (usize, Vec<u8>) {
    let at = mutator.random.below(length - 8);
    let mut bytes = vec![0; 1 + mutator.random.below(8)];
    mutate::few_bytes(mutator, &mut bytes);
    (at, bytes)
}

fn reported(mutator: &mut Mutator<'_>, mut device: SnpBuilder) -> SnpBuilder {
    for _ in 0..mutator.changes() {
        let number = mutator.random.next();
        let few = u32::try_from(number % 9).unwrap_or(0);
        device = match mutator.random.below(10) {
            0 => device.policy(0x3_0000 | 1 << (number % 27)),
            1 => device.vmpl(few),
            2 => device.guest_svn(few),
            3 => device.platform_info(number % 64),
            4 => device.signing_key(few),
            5 => device.version(few),
            6 => device.cpuid(0x19 + (number % 3) as u8, (number >> 8) as u8, 0),
            7 => device.signature_algo(few),
            _ => {
                let (at, bytes) = patch(mutator, 0x2A0);
                device.patch_before_signing(at, &bytes)
            }
        };
    }
    device
}

fn endorsed(mutator: &mut Mutator<'_>, device: SnpBuilder) -> SnpBuilder {
    let number = mutator.random.next();
    let other = AT - 100_000 + number % 200_000;
    match mutator.random.below(8) {
        0 => device.revoke(number % 3),
        1 => device.revoke_intermediate(),
        2 => device.crl_window(other, None),
        3 => device.vek_validity(other, AT + 1_000),
        4 => {
            let mut value = forge::der::integer(number % 300);
            mutate::der(mutator, &mut value);
            device.vek_extension(forge::snp::oid::BL_SPL, value)
        }
        5 => {
            let mut value = vec![4; 64];
            mutate::bytes(mutator, &mut value);
            device.hwid(&value)
        }
        6 => device.edit_intermediate(move |certificate| certificate.set_serial(number)),
        _ => device.edit_crl(move |list| list.this_update = other),
    }
}

fn quoted(mutator: &mut Mutator<'_>, mut device: TdxBuilder) -> TdxBuilder {
    const REVOKED: [Revoked; 3] = [Revoked::Pck, Revoked::PckCa, Revoked::TcbSigning];
    for _ in 0..mutator.changes() {
        let number = mutator.random.next();
        let other = AT - 100_000 + number % 200_000;
        let changed = |mutator: &mut Mutator<'_>, text: &str| {
            let mut body = text.as_bytes().to_vec();
            mutate::json(mutator, &mut body);
            String::from_utf8_lossy(&body).into_owned()
        };
        device = match mutator.random.below(10) {
            0 => {
                let body = changed(mutator, &TDX.tcb_info.body);
                device.edit_tcb_info_text(move |text| text.clone_from(&body))
            }
            1 => {
                let body = changed(mutator, &TDX.qe_identity.body);
                device.edit_qe_identity_text(move |text| text.clone_from(&body))
            }
            2 => device.attributes(0x1000_0000 | 1 << (number % 64)),
            3 => device.xfam(3 | 1 << (number % 64)),
            4 => device.revoke(REVOKED[mutator.random.below(REVOKED.len())]),
            5 => device.tcb_info_window(other, other + number % 300_000),
            6 => {
                let replaced = vec![(format!("{}", 1 + number % 7), forge::der::integer(number % 70_000))];
                device.edit_sgx_extension(move |extension| extension.replaced.clone_from(&replaced))
            }
            7 => device.platform_tcb([(number % 8) as u8; 16], (number >> 8) as u16 % 20),
            8 => device.version_5(2 + (number % 3) as u16),
            _ => {
                let (at, bytes) = patch(mutator, 48 + 584);
                device.patch_before_signing(at, &bytes)
            }
        };
    }
    device
}
