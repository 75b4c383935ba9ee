//! The folder of `teegate demo --serve`: what a service would publish about itself, made for one run, and a request to send it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::policy::ForgedGuest;
use crate::atomic::{self, Existing};

pub(super) const ROOT: &str = "forged-root.pem";
pub(super) const VALUES: &str = "values.toml";
pub(super) const OTHER_VALUES: &str = "other-values.toml";
pub(super) const SAMPLE: &str = "sample.json";
const SAMPLE_ROW: &str = "sample.csv";
/// A gateway of one's own before the same enclave-app, and what it reads.
pub(super) const OWN_GATEWAY: &str = "gateway.toml";
const OWN_POLICY: &str = "policy.toml";
const ENDORSEMENTS: &str = "endorsements";
const GATEWAY: &str = "gateway.url";
/// Locked for as long as a run serves from the folder. It stays: a lock file that goes away is locked twice by whoever opened
/// it before.
const LOCK: &str = ".lock";

/// All of it, in the order in which it is written: the address comes last, so that whoever waits for it finds the rest.
pub(super) const FILES: [&str; 9] =
    [ROOT, VALUES, OTHER_VALUES, SAMPLE, SAMPLE_ROW, ENDORSEMENTS, OWN_POLICY, OWN_GATEWAY, GATEWAY];

/// The folder. While the service runs, and no longer, it holds the service's address.
pub(super) struct Published {
    folder: PathBuf,
    lock: File,
}

impl Published {
    /// Makes the folder, or takes that of an earlier run.
    pub(super) fn into(folder: &Path) -> Result<Self, String> {
        let named = folder.display().to_string();
        let cannot = |what: &dyn std::fmt::Display| format!("`{named}` cannot be used: {what}");
        fs::create_dir_all(folder).map_err(|cause| cannot(&cause))?;
        for entry in fs::read_dir(folder).map_err(|cause| cannot(&cause))?.flatten() {
            let name = entry.file_name();
            if name != LOCK && !FILES.iter().any(|own| name == *own) {
                return Err(cannot(&format_args!(
                    "it holds `{}`, which no earlier run has written; name a folder that is empty or does not exist",
                    name.display()
                )));
            }
        }
        let folder = folder.canonicalize().map_err(|cause| cannot(&cause))?;
        let lock = File::create(folder.join(LOCK)).map_err(|cause| cannot(&cause))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(cannot(&"a run that has not ended serves from it; end that one, or name another folder"));
            }
            Err(TryLockError::Error(cause)) => return Err(cannot(&format_args!("`{LOCK}` cannot be locked: {cause}"))),
        }
        let published = Self { folder, lock };
        published.without_address().map_err(|cause| cannot(&cause))?;
        Ok(published)
    }

    /// Where it is, from anywhere.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes everything but the address; `sample` is the request of the model.
    pub(super) fn describe(&self, guest: &ForgedGuest, sample: &[u8]) -> Result<(), String> {
        self.write(ROOT, guest.root())?;
        self.write(VALUES, &guest.reference_values("the code that runs here"))?;
        let other = guest.with_other_measurement().reference_values("demo, other code");
        self.write(OTHER_VALUES, &other)?;
        self.write(SAMPLE, &String::from_utf8_lossy(sample))?;
        self.write(SAMPLE_ROW, &row(sample).ok_or("the request of the model is not one tensor of numbers")?)
    }

    /// Writes what starts one more gateway before `instance`: its configuration, the policy and what the vendor signed.
    pub(super) fn configure(&self, instance: &str, policy: &str, endorsements: &Path) -> Result<(), String> {
        let cannot = |path: &Path, cause: std::io::Error| format!("`{}` cannot be used: {cause}", path.display());
        let own = self.folder.join(ENDORSEMENTS);
        fs::create_dir_all(&own).map_err(|cause| cannot(&own, cause))?;
        for entry in fs::read_dir(endorsements).map_err(|cause| cannot(endorsements, cause))?.flatten() {
            let bytes = fs::read(entry.path()).map_err(|cause| cannot(&entry.path(), cause))?;
            atomic::write(&own.join(entry.file_name()), &bytes, Existing::Replace)?;
        }
        self.write(OWN_POLICY, policy)?;
        self.write(OWN_GATEWAY, &own_gateway(instance))
    }

    /// Writes the address of the gateway, from when on requests are answered.
    pub(super) fn announce(&self, url: &str) -> Result<(), String> {
        self.write(GATEWAY, &format!("{url}\n"))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        atomic::write(&self.folder.join(name), text.as_bytes(), Existing::Replace)
    }

    fn without_address(&self) -> std::io::Result<()> {
        match fs::remove_file(self.folder.join(GATEWAY)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // A file that cannot be removed names a gateway that answers no longer, which whoever asks it is told.
        let _removed = self.without_address();
        // Not only closed: a child that is about to become another program has the same open file for a moment.
        let _unlocked = self.lock.unlock();
    }
}

/// The configuration. Paths start from its folder; the ports are not those of the gateway that runs already.
fn own_gateway(instance: &str) -> String {
    format!(
        "# A gateway of your own before the enclave-app of this run of `teegate demo --serve`, on FORGED hardware:\n\
         #   teegate-gateway --config {OWN_GATEWAY}\n\
         # `teegate-gateway --help` and gateway/example.toml say what else there is.\n\
         listen = \"127.0.0.1:8090\"\noperator_listen = \"127.0.0.1:9090\"\npolicy = {OWN_POLICY:?}\nendorsements = [{ENDORSEMENTS:?}]\n\
         # Where the enclave-app listens until the run ends.\ninstances = [{instance:?}]\n\
         # Everybody on this machine; a service has `[admission]` and `[[tenant]]`.\nadmission = \"none\"\n"
    )
}

/// The numbers of the only tensor of a request, on one line with commas between them.
fn row(request: &[u8]) -> Option<String> {
    let request: Value = serde_json::from_slice(request).ok()?;
    let [tensor] = request.get("inputs")?.as_array()?.as_slice() else { return None };
    let numbers = tensor.get("data")?.as_array()?.iter();
    let cells = numbers.map(|number| number.is_number().then(|| number.to_string())).collect::<Option<Vec<_>>>()?;
    Some(format!("{}\n", cells.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_an_earlier_run_is_taken_and_one_with_anything_else_is_not() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        let address = folder.join(GATEWAY);
        let published = Published::into(&folder).unwrap();
        published.announce("http://127.0.0.1:1").unwrap();
        assert_eq!(fs::read_to_string(&address).unwrap(), "http://127.0.0.1:1\n");
        drop(published);
        assert!(!address.exists(), "it outlives the gateway");
        // A run that was killed leaves it behind, and nothing that holds the folder.
        fs::write(&address, "http://127.0.0.1:2\n").unwrap();
        let published = Published::into(&folder).unwrap();
        assert!(!address.exists() && published.folder().is_absolute());
        // One that runs keeps it.
        published.announce("http://127.0.0.1:3").unwrap();
        let refused = Published::into(&folder).err().unwrap();
        assert!(refused.contains("a run that has not ended serves from it"), "{refused}");
        assert_eq!(fs::read_to_string(&address).unwrap(), "http://127.0.0.1:3\n");
        drop(published);
        drop(Published::into(&folder).unwrap());
        fs::write(folder.join("diary.txt"), "").unwrap();
        let refused = Published::into(&folder).err().unwrap();
        assert!(refused.contains("it holds `diary.txt`, which no earlier run has written"), "{refused}");
    }

    #[test]
    fn a_gateway_of_ones_own_reads_what_lies_beside_its_configuration() {
        let (place, vendor) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(vendor.path().join("chain.pem"), "a chain").unwrap();
        let published = Published::into(place.path()).unwrap();
        published.configure("127.0.0.1:4433", "a policy", vendor.path()).unwrap();
        let text = fs::read_to_string(place.path().join(OWN_GATEWAY)).unwrap();
        assert!(text.lines().all(|line| !line.starts_with(' ')), "{text}");
        assert!(text.contains("\npolicy = \"policy.toml\"\nendorsements = [\"endorsements\"]\n"), "{text}");
        assert!(text.contains("\ninstances = [\"127.0.0.1:4433\"]\n"), "{text}");
        assert_eq!(fs::read_to_string(place.path().join("policy.toml")).unwrap(), "a policy");
        assert_eq!(fs::read_to_string(place.path().join("endorsements/chain.pem")).unwrap(), "a chain");
        // A later run takes all of it for its own.
        drop(published);
        Published::into(place.path()).unwrap();
    }

    #[test]
    fn a_row_is_the_numbers_of_the_only_tensor() {
        let request = |tensors: &str| format!("{{\"inputs\": [{tensors}]}}");
        let row = |tensors: &str| row(request(tensors).as_bytes());
        let tensor = r#"{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [24.63, 1841.0, -2]}"#;
        assert_eq!(row(tensor).as_deref(), Some("24.63,1841.0,-2\n"));
        assert_eq!(row(&format!("{tensor}, {tensor}")), None);
        assert_eq!(row(r#"{"data": ["a,b"]}"#), None);
    }
}
