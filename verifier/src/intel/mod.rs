//! What Intel's platforms share: PCK certificates, collateral, and the words of both.

pub(crate) mod collateral;
pub(crate) mod pck;
pub(crate) mod powers;
pub(crate) mod words;
