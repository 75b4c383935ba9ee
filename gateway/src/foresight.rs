//! What a start would find, said without one (`--check-config`): the folders that it writes into, what they remember of policies, and
//! whether listeners may be plain. Nothing is made or written here.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::admission::exposure;
use crate::config::Config;
use crate::discovery::sources::Prepared;
use crate::reload::{Loaded, Ratchet};
use crate::state::{Look, StateDir};
use crate::trust::Seen;

/// Judges what a start would do beyond reading its files; gives what to know beside it.
///
/// # Errors
/// The sentence with which a start would end.
pub fn judge(config: &Config, loaded: &Loaded) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    for (key, listen, is_tls) in
        [("listen", &config.listen, config.tls.is_some()), ("operator_listen", &config.operator_listen, false)]
    {
        // A name is looked up by a start.
        if let Ok(address) = listen.parse::<SocketAddr>() {
            exposure::check(key, address, is_tls, config.plain_http.as_deref())?;
        }
    }
    Prepared::of(&config.discovery).map_err(|error| error.to_string())?;
    if let Some(path) = &config.state_dir {
        can_be_used("state_dir", path)?;
        let held = match StateDir::look(path)? {
            Look::Absent => None,
            Look::Free(state) => Some(state),
            Look::Held(state) => {
                notes.push(format!(
                    "`state_dir`: `{}` is in use by a gateway that runs, and a start has to wait for its end",
                    path.display()
                ));
                Some(state)
            }
        };
        if let Some(state) = &held {
            Seen::open(state)?;
        }
        let ratchet = Ratchet::look(held.as_ref())?;
        let checked = ratchet.check(&loaded.policy, config.reload.weaker.as_deref());
        checked.map_err(|refused| format!("policy `{}`: {refused}", config.policy.display()))?;
    }
    if let Some(path) = &config.refused_dir {
        can_be_used("refused_dir", path)?;
    }
    if let (true, Some(path)) = (config.collateral.is_online, &config.collateral.cache) {
        can_be_used("collateral.cache", path)?;
    }
    Ok(notes)
}

/// Whether files can be written into the folder, or it can be made.
fn can_be_used(key: &str, folder: &Path) -> Result<(), String> {
    let cannot = |why: &str| format!("`{key}`: `{}` {why}", folder.display());
    let mut place: PathBuf = folder.to_owned();
    loop {
        match fs::metadata(&place) {
            Ok(found) if !found.is_dir() => {
                let which = if place == folder { "it".to_owned() } else { format!("`{}`", place.display()) };
                return Err(cannot(&format!("cannot be used: {which} is no folder")));
            }
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::NotFound => match place.parent() {
                Some(parent) if parent.as_os_str().is_empty() => place = PathBuf::from("."),
                Some(parent) => place = parent.to_owned(),
                None => return Err(cannot(&format!("cannot be made: {error}"))),
            },
            Err(error) => return Err(cannot(&format!("cannot be used: {error}"))),
        }
    }
    let verb = if place == folder { "written" } else { "made" };
    access(&place, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| cannot(&format!("cannot be {verb}: {}", io::Error::from(error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_to_be_one_that_files_can_be_written_into() {
        let place = tempfile::tempdir().unwrap();
        let inside = |name: &str| place.path().join(name);
        fs::write(inside("file"), "").unwrap();
        assert_eq!(can_be_used("state_dir", place.path()), Ok(()));
        assert_eq!(can_be_used("state_dir", &inside("a/b/c")), Ok(()));
        assert!(!inside("a").exists(), "nothing is made");
        assert_eq!(can_be_used("state_dir", Path::new("not-here/either")), Ok(()), "beside this process");
        let error = can_be_used("refused_dir", &inside("file")).unwrap_err();
        assert!(error.starts_with("`refused_dir`: `") && error.ends_with("cannot be used: it is no folder"), "{error}");
        let error = can_be_used("refused_dir", &inside("file/below")).unwrap_err();
        assert!(error.contains("file/below` cannot be used: "), "{error}");
    }
}
