//! The part of X.509 (RFC 5280) that AMD's and Intel's hierarchies use, parsed in place and strictly.

pub(crate) mod certificate;
pub(crate) mod chains;
pub(crate) mod cose;
pub(crate) mod crl;
pub(crate) mod der;
pub(crate) mod path;
pub(crate) mod pool;
pub(crate) mod revocation;

pub(crate) use teegate_encoding::pem;
