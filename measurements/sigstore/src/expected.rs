//! Whom the user expects to have signed.

use sigstore_verify::VerificationPolicy;

use crate::error::Error;

/// An identity and who vouched for it. Neither means anything alone: another issuer may know another person by the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    identity: String,
    issuer: String,
}

impl Expected {
    /// `identity`: the e-mail address or URI in the certificate, letter for letter. `issuer`: the URL of the OpenID Connect issuer, letter
    /// for letter. Either is refused where it is empty.
    pub fn new(identity: impl Into<String>, issuer: impl Into<String>) -> Result<Self, Error> {
        let (identity, issuer) = (identity.into(), issuer.into());
        if identity.is_empty() {
            return Err(Error::new("no identity: expected the e-mail address or URI that the certificate is for"));
        }
        if issuer.is_empty() {
            return Err(Error::new(
                "no issuer: expected the URL of the OpenID Connect issuer that vouched for the identity",
            ));
        }
        Ok(Self { identity, issuer })
    }

    /// The e-mail address or URI.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The URL of the issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Everything is checked, and both names with it.
    pub(crate) fn policy(&self) -> VerificationPolicy {
        VerificationPolicy::new(self.identity.as_str(), self.issuer.as_str())
    }
}
