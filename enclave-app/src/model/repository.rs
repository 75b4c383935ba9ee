//! A folder of models as Triton reads it: `NAME/VERSION/model.onnx`, where a version is a whole number from 1.
//!
//! Nothing else in it counts: no `config.pbtxt`, no other file, no folder whose name begins with a point. A folder of a
//! model without a model in it is an error, so that what was meant to be served is served.

use std::path::{Path, PathBuf};

use super::error::ModelError;

/// The file of a version.
const FILE: &str = "model.onnx";

/// Most entries of one folder that are looked at.
const MAX_ENTRIES: usize = 4096;

/// As many models as a configuration may have: more are not looked for.
pub(crate) const MAX_FOUND: usize = 64;

/// A model of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name of its folder.
    pub name: String,
    /// The name of the folder inside.
    pub version: String,
    /// The file.
    pub path: PathBuf,
}

/// What there is in a folder, by name, and of each name by version.
///
/// # Errors
/// [`ModelError`] names the folder that cannot be read, or that holds no model.
pub fn list(folder: &Path) -> Result<Vec<Found>, ModelError> {
    let mut found = Vec::new();
    for name in folders(folder)? {
        let model = folder.join(&name);
        let mut versions: Vec<String> = folders(&model)?.into_iter().filter(|version| is_version(version)).collect();
        if versions.is_empty() {
            return Err(ModelError::Repository { path: model, expected: "a folder of a version, such as `1`" });
        }
        versions.sort_by(|one, other| teegate_protocol::oip::version_order(one, other));
        for version in versions {
            let path = model.join(&version).join(FILE);
            if !path.is_file() {
                let expected = "a file `model.onnx`";
                return Err(ModelError::Repository { path: model.join(version), expected });
            }
            if found.len() == MAX_FOUND {
                let expected = "no more than 64 models, each version counted,";
                return Err(ModelError::Repository { path: folder.to_owned(), expected });
            }
            found.push(Found { name: name.clone(), version, path });
        }
    }
    if found.is_empty() {
        let expected = "models as `NAME/VERSION/model.onnx`";
        return Err(ModelError::Repository { path: folder.to_owned(), expected });
    }
    Ok(found)
}

/// The names of the folders in a folder, sorted, but for those that begin with a point and the one that file systems have.
fn folders(folder: &Path) -> Result<Vec<String>, ModelError> {
    let unreadable =
        |error: std::io::Error| ModelError::Unreadable { path: folder.to_owned(), reason: error.to_string() };
    let mut names = Vec::new();
    for (count, entry) in std::fs::read_dir(folder).map_err(unreadable)?.enumerate() {
        if count == MAX_ENTRIES {
            let expected = "no more than 4096 entries";
            return Err(ModelError::Repository { path: folder.to_owned(), expected });
        }
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Through links: Kubernetes mounts a folder as a link to one of another name.
        if !name.starts_with('.') && name != "lost+found" && entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn is_version(name: &str) -> bool {
    !name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn of(name: &str, files: &[&str]) -> Self {
            let folder = std::env::temp_dir().join(format!("teegate-repository-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            for file in files {
                let path = folder.join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, file).unwrap();
            }
            Self(folder)
        }

        fn list(&self) -> Result<Vec<String>, String> {
            let found = list(&self.0).map_err(|error| error.to_string())?;
            found.iter().for_each(|one| assert!(one.path.is_file()));
            Ok(found.into_iter().map(|one| format!("{}/{}", one.name, one.version)).collect())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_version_of_every_model_is_found_and_nothing_else() {
        let folder = Folder::of(
            "whole",
            &[
                "b/10/model.onnx",
                "b/9/model.onnx",
                "b/config.pbtxt",
                "b/assets/labels.txt",
                "b/010/model.onnx",
                "a/1/model.onnx",
                "a/1/README",
                ".hidden/1/model.onnx",
                "lost+found/x",
                "LICENSE",
            ],
        );
        assert_eq!(folder.list(), Ok(vec!["a/1".to_owned(), "b/9".to_owned(), "b/10".to_owned()]));
        // As Kubernetes mounts a volume.
        std::os::unix::fs::symlink(folder.0.join("a"), folder.0.join("c")).unwrap();
        assert_eq!(folder.list().unwrap().last().unwrap(), "c/1");
    }

    #[test]
    fn no_more_are_looked_for_than_can_be_served() {
        let files: Vec<String> = (1..=65).map(|version| format!("a/{version}/model.onnx")).collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        assert_eq!(Folder::of("most", &files[1..]).list().map(|found| found.len()), Ok(64));
        let error = Folder::of("more", &files).list().unwrap_err();
        assert!(error.contains("expected no more than 64 models"), "{error}");
    }

    #[test]
    fn a_folder_that_holds_no_model_is_named() {
        for (name, files, said) in [
            ("none", &["x"][..], "expected models as `NAME/VERSION/model.onnx`"),
            ("no-version", &["a/1/model.onnx", "b/model.onnx"], "/b`, expected a folder of a version, such as `1`"),
            ("other", &["a/1/model.onnx", "b/1/other.onnx"], "/b/1`, expected a file `model.onnx`"),
            ("cursor", &["a\u{1b}[2J\n/x"], "/a [2J `, expected a folder of a version"),
            ("folder", &["a/1/model.onnx/weights"], "/a/1`, expected a file `model.onnx`"),
        ] {
            let error = Folder::of(name, files).list().unwrap_err();
            assert!(error.contains(said), "{name}: {error}");
        }
        let error = list(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.contains("`/nowhere/at/all` cannot be read"), "{error}");
    }
}
