//! The event log of the boot, as the kernel keeps it. It is not looked into: nothing of it is believed before a verifier has held it
//! against the quote.

use std::io::{ErrorKind, Read};
use std::path::Path;

/// Recorded ones have 25 to 45 KB. An envelope has room for 1 MiB in base64, all in all.
const MAX_BYTES: usize = 256 << 10;

/// The log; or, in words, why the evidence goes without.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let without =
        |why: &str| format!("the event log of the vTPM (`{}`): {why}; the evidence goes without", path.display());
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => without("it is not there: is securityfs mounted, and was it given to this container?"),
        ErrorKind::PermissionDenied => without("permission denied: the kernel shows it to root alone"),
        _ => without(&error.to_string()),
    })?;
    let mut log = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut log).map_err(|error| without(&error.to_string()))?;
    match log.len() {
        0 => Err(without("it is empty")),
        length if length > MAX_BYTES => Err(without(&format!("more than {MAX_BYTES} bytes"))),
        _ => Ok(log),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_taken_as_it_is_and_one_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("binary_bios_measurements");
        let said = |path: &Path| read(path).unwrap_err();
        let missing = said(&path);
        let place = format!("the event log of the vTPM (`{}`): ", path.display());
        assert_eq!(
            missing,
            format!(
                "{place}it is not there: is securityfs mounted, and was it given to this container?; the evidence goes without"
            )
        );
        for (length, why) in [(0, "it is empty"), (MAX_BYTES + 1, "more than 262144 bytes")] {
            std::fs::write(&path, vec![7; length]).unwrap();
            assert_eq!(said(&path), format!("{place}{why}; the evidence goes without"));
        }
        assert!(
            said(folder.path()).starts_with(&format!("the event log of the vTPM (`{}`): ", folder.path().display()))
        );
        for length in [1, MAX_BYTES] {
            std::fs::write(&path, vec![7; length]).unwrap();
            assert_eq!(read(&path), Ok(vec![7; length]));
        }
    }
}
