//! All targets.

mod attester;
mod azure;
mod deploy;
mod enclave;
mod encoding;
mod files;
mod intake;
mod platforms;
mod policy;
mod predict;
mod protocol;
pub(crate) mod sigstore;
mod statements;
pub(crate) mod verify;

use teegate_fuzz_engine::Target;

/// All of them, the ground floor first.
pub fn all() -> impl Iterator<Item = &'static Target> {
    [
        encoding::TARGETS,
        platforms::TARGETS,
        azure::TARGETS,
        statements::TARGETS,
        sigstore::TARGETS,
        attester::TARGETS,
        protocol::TARGETS,
        enclave::TARGETS,
        intake::TARGETS,
        policy::TARGETS,
        predict::TARGETS,
        deploy::TARGETS,
        files::TARGETS,
        verify::TARGETS,
    ]
    .into_iter()
    .flatten()
}

/// The target of this name.
pub fn named(name: &str) -> Option<&'static Target> {
    all().find(|target| target.name == name)
}
