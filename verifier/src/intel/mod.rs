//! What Intel's platforms share: PCK certificates, collateral, the words of both, and the root of all.

pub(crate) mod collateral;
pub(crate) mod pck;
pub(crate) mod powers;
pub(crate) mod roots;
pub(crate) mod words;
