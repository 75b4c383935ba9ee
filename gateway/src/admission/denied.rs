//! Why a request is not let in. Nothing here holds a byte of what was shown.

use std::fmt;

/// Why a request is not let in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Denied {
    /// No credential at all.
    Nothing,
    /// More than one `Authorization`.
    Twice,
    /// An `Authorization` that is not `Bearer`.
    Scheme,
    /// A token that nobody has.
    Unknown,
    /// A token that is no JWT that is taken: its form.
    JwtForm,
    /// The same: its algorithm.
    JwtAlgorithm,
    /// The same: no key is there for it, or more than one.
    JwtKey,
    /// The same: its signature.
    JwtSignature,
    /// A token that cannot be judged: the keys of its issuer are not at hand.
    JwtNoKeys,
    /// An authentic JWT of another issuer.
    JwtIssuer,
    /// An authentic JWT for somebody else.
    JwtAudience,
    /// An authentic JWT before or after its time.
    JwtTime,
    /// Two credentials of different tenants.
    TwoTenants,
    /// A client certificate without exactly one SPIFFE ID of the trust domain.
    Certificate,
    /// A client certificate that has expired since the connection began.
    CertificateTime,
    /// A credential that is good, and of no tenant.
    NoTenant,
}

impl Denied {
    /// As metrics show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Twice => "twice",
            Self::Scheme => "scheme",
            Self::Unknown => "unknown",
            Self::JwtForm => "jwt-form",
            Self::JwtAlgorithm => "jwt-algorithm",
            Self::JwtKey => "jwt-key",
            Self::JwtNoKeys => "jwt-no-keys",
            Self::JwtSignature => "jwt-signature",
            Self::JwtIssuer => "jwt-issuer",
            Self::JwtAudience => "jwt-audience",
            Self::JwtTime => "jwt-time",
            Self::TwoTenants => "two-tenants",
            Self::Certificate => "certificate",
            Self::CertificateTime => "certificate-time",
            Self::NoTenant => "no-tenant",
        }
    }

    /// Whether it is known who asks, and that he may not.
    pub fn is_known(self) -> bool {
        matches!(self, Self::NoTenant)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => {
                "this gateway asks for a credential: `Authorization: Bearer …`, or a client certificate where it takes those"
            }
            Self::Twice => "expected one header field `authorization`, found more",
            Self::Scheme => "expected `Authorization: Bearer …`",
            // Whoever has no token that holds is told no more.
            Self::Unknown | Self::JwtForm | Self::JwtAlgorithm | Self::JwtKey | Self::JwtSignature => {
                "the token is not one that this gateway admits"
            }
            Self::JwtNoKeys => "this gateway cannot judge tokens now: the keys of their issuer are out of its reach",
            Self::JwtIssuer => "the token is of another issuer",
            Self::JwtAudience => "the token is for another audience",
            Self::JwtTime => "the token has expired, is not valid yet, or does not say until when it is",
            Self::TwoTenants => "the token and the client certificate are of different tenants",
            Self::Certificate => "the client certificate has not exactly one SPIFFE ID of this gateway's trust domain",
            Self::CertificateTime => "the client certificate has expired: connect with a new one",
            Self::NoTenant => "the credential is good, and of no tenant of this gateway",
        })
    }
}
