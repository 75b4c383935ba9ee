//! What AMD's authorities may do, and what a leaf may not.

use crate::x509::certificate::Certificate;

/// What forbids root or intermediate to stand where they stand.
pub(super) fn authorities_complaint(ark: &Certificate, intermediate: &Certificate) -> Option<String> {
    [ark, intermediate].iter().find_map(|certificate| extension_complaint(certificate)).or_else(|| {
        match (ark.powers(), intermediate.powers()) {
            (Ok(root), _) if !root.may_issue(1) || !root.may_revoke() => {
                Some("the root may not issue or revoke".to_owned())
            }
            (Ok(_), Ok(issuer)) if !issuer.may_issue(0) => Some("the intermediate may not issue".to_owned()),
            (Ok(_), Ok(_)) => None,
            _ => Some(UNREADABLE_POWERS.to_owned()),
        }
    })
}

/// What forbids the leaf to stand where it stands: AMD's have neither basic constraints nor a key usage.
pub(super) fn leaf_complaint(leaf: &Certificate) -> Option<String> {
    extension_complaint(leaf).or_else(|| match leaf.powers() {
        Ok(leaf) if leaf.ca || leaf.path_length.is_some() || leaf.usage.is_some() => {
            Some("the leaf claims the powers of an authority".to_owned())
        }
        Ok(_) => None,
        Err(_) => Some(UNREADABLE_POWERS.to_owned()),
    })
}

fn extension_complaint(certificate: &Certificate) -> Option<String> {
    let name = certificate.common_name().unwrap_or("?");
    certificate.extension_complaint().map(|complaint| format!("{complaint} in {name}"))
}

const UNREADABLE_POWERS: &str = "basic constraints or key usage that cannot be read";
