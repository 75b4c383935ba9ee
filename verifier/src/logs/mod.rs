//! Event logs: what firmware and guest wrote down as they extended registers, and what it adds up to.

pub(crate) mod ccel;
