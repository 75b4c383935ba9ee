//! What Intel's authorities may do, and what those may who only sign.

use crate::x509::certificate::Certificate;

/// What forbids a CA to stand where it stands, with so many authorities below it.
pub(crate) fn authority_complaint(authority: &Certificate, name: &str, below: u32) -> Option<String> {
    match authority.powers() {
        Ok(powers) if powers.may_issue(below) && powers.may_revoke() => None,
        Ok(_) => Some(format!("{name} may not issue or revoke")),
        Err(error) => Some(format!("{name}: {}", error.0)),
    }
}

/// What forbids an end entity to sign what it signs: Intel's are no authorities, and their key usage says that they sign.
pub(crate) fn signer_complaint(signer: &Certificate) -> Option<&'static str> {
    match signer.powers() {
        Ok(powers) if powers.only_signs() => None,
        Ok(powers) if powers.ca || powers.may_revoke() || powers.may_issue(0) => {
            Some("claims the powers of an authority")
        }
        Ok(_) => Some("its key usage does not say that it signs, or says that it issues"),
        Err(_) => Some("basic constraints or key usage that cannot be read"),
    }
}
