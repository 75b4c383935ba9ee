//! Which of the supplied certificates and CRLs a report could use, by what they say: for [`crate::expired`].

use std::sync::Arc;

use super::leaf;
use super::report::{Report, SigningKey};
use super::tcb::{Product, TcbVersion};
use crate::evidence::Endorsements;
use crate::roots::PinnedRoots;
use crate::windows::Windows;
use crate::x509::certificate::Certificate;

/// Leaf, intermediate, pinned root and, where the policy asks, the root's CRLs.
pub(crate) fn look_at_windows(
    report: &Report<'_>,
    endorsements: &Endorsements,
    anchors: PinnedRoots<'_>,
    lists: bool,
    windows: &mut Windows,
) {
    let pool: Vec<&Arc<Certificate>> =
        endorsements.certificates.iter().filter_map(|brought| brought.item.read().ok()).collect();
    let name = match report.signing_key {
        SigningKey::Vcek => "SEV-VCEK",
        SigningKey::Vlek => "SEV-VLEK",
    };
    let leaves: Vec<_> =
        pool.iter().copied().filter(|leaf| leaf.common_name() == Some(name) && is_for(report, leaf)).collect();
    windows.certificates(leaves.iter().copied());

    let intermediates: Vec<_> =
        pool.iter().copied().filter(|ca| leaves.iter().any(|leaf| leaf.issuer == ca.subject)).collect();
    windows.certificates(intermediates.iter().copied());

    let roots: Vec<_> =
        anchors.roots().iter().filter(|root| intermediates.iter().any(|ca| ca.issuer == root.subject)).collect();
    windows.certificates(roots.iter().copied());
    if let Some(root) = roots.first().filter(|_| lists) {
        windows.lists(&endorsements.crls, &root.subject);
    }
}

/// Whether the leaf speaks of this chip (a VLEK speaks of none) and of the reported TCB.
fn is_for(report: &Report<'_>, leaf: &Certificate) -> bool {
    let (hwid, _) = leaf::identity(leaf);
    let chip = report.has_masked_chip_id() || hwid.is_none_or(|hwid| report.chip_id.0.starts_with(hwid));
    let tcb = leaf::product_name(leaf).and_then(Product::from_name).is_some_and(|product| {
        TcbVersion::read(report.reported_tcb, product).is_some_and(|reported| leaf::tcb(leaf, product) == Ok(reported))
    });
    chip && tcb
}
