//! The certificates of a signer who is no vendor of hardware, from its own to the root: each issued the one before it, may do
//! so, and says nothing that is not understood. Whose root it is, and when all of them are valid, is for the callers.

use super::certificate::Certificate;
use crate::signature::{Share, Signatures};
use crate::words::Text;

/// What forbids to rely on the first of `path`, where the last is taken to be a root; `None` where nothing does.
///
/// The order is that of the path: nothing is looked for elsewhere, so that two readers cannot find two paths.
pub(crate) fn complaint(path: &[Certificate], share: Share, signatures: &mut Signatures<'_>) -> Option<String> {
    let name = |certificate: &Certificate| said(certificate);
    let (Some(signer), Some(root)) = (path.first(), path.last()) else { return Some("no certificate".to_owned()) };
    if path.len() < 2 {
        return Some("one certificate: expected the signer's and at least its root's".to_owned());
    }
    if !signer.powers().is_ok_and(|powers| powers.may_sign_as_an_end()) {
        return Some(format!("{} may issue certificates, or not sign: expected an end entity", name(signer)));
    }
    for (below, pair) in path.windows(2).enumerate() {
        let [subject, issuer] = pair else { continue };
        if subject.issuer != issuer.subject {
            return Some(format!("{} names another issuer than {}, which follows it", name(subject), name(issuer)));
        }
        // The signer's own certificate counts for no step of a path (RFC 5280, section 4.2.1.9).
        let below = u32::try_from(below).unwrap_or(u32::MAX);
        if !issuer.powers().is_ok_and(|powers| powers.may_issue(below)) {
            return Some(format!("{} may not issue {}", name(issuer), name(subject)));
        }
        if !subject.is_signed_in_a_path_by(share, &issuer.key, signatures) {
            return Some(format!("{} did not sign {}", name(issuer), name(subject)));
        }
    }
    if root.issuer != root.subject || !root.is_signed_in_a_path_by(share, &root.key, signatures) {
        return Some(format!("{} is the last and no root: it did not sign itself", name(root)));
    }
    path.iter().find_map(|certificate| {
        certificate.extension_complaint_in_a_path().map(|complaint| format!("{complaint} in {}", name(certificate)))
    })
}

/// What a certificate is called.
pub(crate) fn said(certificate: &Certificate) -> String {
    match certificate.name_or("a certificate without a name") {
        Text::Name(name) => format!("`{name}`"),
        _ => "a certificate without a name".to_owned(),
    }
}
