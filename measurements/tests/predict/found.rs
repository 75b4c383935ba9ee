//! What tests run on where it is there, and say that they did not run where it is not.

use std::io::Write;
use std::path::{Path, PathBuf};

pub(crate) fn note(text: &str) {
    // Not `eprintln!`, which the test harness keeps to itself.
    let mut terminal = std::io::stderr();
    writeln!(terminal, "note: {text}").unwrap();
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file or a folder beside the repository.
pub(crate) fn shared(path: &str, of: &str) -> Option<PathBuf> {
    let found = root().join("../shared").join(path);
    let is_there = found.exists();
    if !is_there {
        note(&format!("skipped: {of}: ../shared/{path} is not there"));
    }
    is_there.then_some(found)
}

/// A file of Debian's packages, which `ci/debian.sh` unpacks.
pub(crate) fn debian(path: &str, of: &str) -> Option<PathBuf> {
    let found = root().join(".cache/debian").join(path);
    let is_there = found.is_file();
    if !is_there {
        note(&format!("skipped: {of}: .cache/debian/{path} is not there (ci/debian.sh)"));
    }
    is_there.then_some(found)
}

/// What `ci/acpi.sh --check` leaves behind.
pub(crate) fn acpi(path: &str, of: &str) -> Option<PathBuf> {
    let found = root().join(".cache/acpi").join(path);
    let is_there = found.is_file();
    if !is_there {
        note(&format!("skipped: {of}: .cache/acpi/{path} is not there (ci/acpi.sh --check)"));
    }
    is_there.then_some(found)
}

/// The folder into which `ci/sev_snp_measure.sh` installs another implementation.
pub(crate) fn sev_snp_measure(of: &str) -> Option<PathBuf> {
    let found = root().join(".cache/sev-snp-measure");
    let is_there = found.join("sevsnpmeasure/guest.py").is_file();
    if !is_there {
        note(&format!("skipped: {of}: sev-snp-measure is not there (ci/sev_snp_measure.sh)"));
    }
    is_there.then_some(found)
}
