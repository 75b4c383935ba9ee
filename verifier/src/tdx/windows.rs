//! Which of the supplied certificates, CRLs and collateral a quote could use, by what they say: for [`crate::expired`].

use std::sync::Arc;

use super::choose::TCB_SIGNING_NAME;
use super::quote::{Certification, Quote};
use crate::evidence::Endorsements;
use crate::intel::pck;
use crate::roots::PinnedRoots;
use crate::windows::Windows;
use crate::x509::certificate::Certificate;
use crate::x509::pem;

/// PCK certificate, its CA, the pinned root, the TCB signing certificate, both CRLs, TCB info and QE identity.
pub(crate) fn look_at_windows(
    quote: &Quote<'_>,
    endorsements: &Endorsements,
    anchors: PinnedRoots<'_>,
    windows: &mut Windows,
) {
    let carried = match quote.certification {
        Certification::Chain(text) => pem::certificates(text).unwrap_or_default(),
        Certification::Platform { .. } => Vec::new(),
    };
    let carried: Vec<_> =
        carried.into_iter().filter_map(|der| Certificate::parse(&der.into()).ok().map(Arc::new)).collect();
    let pool: Vec<&Arc<Certificate>> =
        endorsements.certificates.iter().filter_map(|brought| brought.item.read().ok()).collect();
    let leaves: Vec<_> = match quote.certification {
        Certification::Chain(_) => carried.iter().filter(|leaf| pck::parse(leaf).is_ok()).collect(),
        Certification::Platform { cpu_svn, pce_svn, pce_id } => pool
            .iter()
            .copied()
            .filter(|leaf| {
                pck::parse(leaf)
                    .is_ok_and(|pck| pck.cpu_svn == *cpu_svn && pck.pce_svn == pce_svn && pck.pce_id == *pce_id)
            })
            .collect(),
    };
    windows.certificates(leaves.iter().copied());

    let authorities: Vec<_> = carried
        .iter()
        .chain(pool.iter().copied())
        .filter(|ca| leaves.iter().any(|leaf| leaf.issuer == ca.subject))
        .collect();
    windows.certificates(authorities.iter().copied());
    let roots: Vec<_> =
        anchors.roots().iter().filter(|root| authorities.iter().any(|ca| ca.issuer == root.subject)).collect();
    windows.certificates(roots.iter().copied());
    windows.certificates(pool.iter().copied().filter(|signer| {
        signer.common_name() == Some(TCB_SIGNING_NAME) && roots.iter().any(|root| root.subject == signer.issuer)
    }));
    for issuer in [roots.first(), authorities.first()].into_iter().flatten() {
        windows.lists(&endorsements.crls, &issuer.subject);
    }

    let platforms: Vec<_> = leaves.iter().filter_map(|leaf| pck::parse(leaf).ok()).map(|pck| pck.fmspc).collect();
    windows.collateral(endorsements.tcb_infos.iter().filter_map(|brought| {
        let hint = brought.item.hint()?;
        let fmspc = platforms.iter().find(|fmspc| hint.is_for(fmspc)).filter(|_| hint.id == "TDX")?;
        let what = format!("TCB info of FMSPC {fmspc}, evaluation {}", hint.evaluation_number);
        Some((what, hint.issue_date.0, hint.next_update.0))
    }));
    windows.collateral(endorsements.qe_identities.iter().filter_map(|brought| {
        let hint = brought.item.hint()?;
        let what = format!("QE identity `{}`, evaluation {}", hint.id, hint.evaluation_number);
        (hint.id == "TD_QE").then_some((what, hint.issue_date.0, hint.next_update.0))
    }));
}
