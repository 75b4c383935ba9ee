//! The kernel's own interface: configfs-tsm, `/sys/kernel/config/tsm/report` (Linux, `Documentation/ABI/testing/configfs-tsm-report`).
//!
//! A folder is made for the order, the 64 bytes are written to `inblob`, and `outblob` then holds the report or quote. `generation`
//! counts writes: anything but 1 afterwards means that somebody else wrote to the same folder. The folder is removed again
//! whatever happens.
//!
//! In configfs attributes appear with `mkdir` and go with `rmdir`, which no other file system imitates. So what is done to it stands
//! behind a small trait, and the tests run on an imitation in memory. The kernel itself was not exercised by them.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use teegate_intake::evidence;
use teegate_verifier::{ReportData, Tee};

use super::Taken;
use crate::output;

/// Where the kernel puts it.
pub(super) const ROOT: &str = "/sys/kernel/config/tsm/report";

/// The kernel's own limit for a TDX quote is 128 KiB; certificate tables are smaller.
const MAX_BLOB_BYTES: u64 = 256 << 10;

/// Takes evidence from the interface at `root`.
pub(super) fn take(root: &Path, report_data: &ReportData) -> Result<Taken, String> {
    if !root.is_dir() {
        return Err(format!(
            "configfs-tsm: `{}` is not a folder; a TEE guest has it with Linux from 6.7 on and configfs mounted on \
             `/sys/kernel/config`",
            root.display()
        ));
    }
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|error| format!("the system gave no random bytes: {error}"))?;
    take_through(&Configfs(root), &format!("teegate-{}", hex::encode(suffix)), report_data)
}

/// What is done to one report folder.
trait Tsm {
    /// `mkdir`: a new folder with its attributes.
    fn make(&self, name: &str) -> io::Result<()>;
    /// One `write` to an attribute.
    fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> io::Result<()>;
    /// All of an attribute.
    fn read(&self, name: &str, attribute: &str) -> io::Result<Vec<u8>>;
    /// `rmdir`.
    fn remove(&self, name: &str) -> io::Result<()>;
}

fn take_through(tsm: &dyn Tsm, name: &str, report_data: &ReportData) -> Result<Taken, String> {
    tsm.make(name).map_err(|error| {
        format!("configfs-tsm: no report folder can be made: {error}; is this guest a TEE, and are you root?")
    })?;
    let _removed = Removed { tsm, name };
    tsm.write(name, "inblob", &report_data.0).map_err(|error| failed("writing `inblob`", &error))?;
    let read =
        |attribute: &str| tsm.read(name, attribute).map_err(|error| failed(&format!("reading `{attribute}`"), &error));
    let outblob = read("outblob")?;
    let provider = String::from_utf8_lossy(&read("provider")?).trim().to_owned();
    let tee = match provider.as_str() {
        "sev_guest" => Tee::SevSnp,
        "tdx_guest" => Tee::Tdx,
        _ => {
            return Err(format!(
                "configfs-tsm: the provider is `{}`, expected `sev_guest` or `tdx_guest`",
                output::plain(&provider)
            ));
        }
    };
    // Absent on TDX and on older kernels.
    let auxblob = if tee == Tee::SevSnp { tsm.read(name, "auxblob").unwrap_or_default() } else { Vec::new() };
    // Read last: whoever wrote in between has changed it.
    let generation = String::from_utf8_lossy(&read("generation")?).trim().to_owned();
    if generation != "1" {
        return Err(format!(
            "configfs-tsm: another process wrote to the same report folder (generation `{}`, expected 1); try again",
            output::plain(&generation)
        ));
    }
    let evidence =
        evidence::recognise(&outblob, Some(tee)).map_err(|error| error.named("outblob of configfs-tsm").to_string())?;
    Ok(Taken { evidence, auxblob })
}

fn failed(step: &str, error: &io::Error) -> String {
    format!("configfs-tsm: {step} failed: {error}; another process may hold the device, so try again")
}

struct Removed<'a> {
    tsm: &'a dyn Tsm,
    name: &'a str,
}

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.tsm.remove(self.name) {
            output::note(&format!("configfs-tsm: the report folder `{}` could not be removed: {error}", self.name));
        }
    }
}

/// The real interface.
struct Configfs<'a>(&'a Path);

impl Tsm for Configfs<'_> {
    fn make(&self, name: &str) -> io::Result<()> {
        fs::create_dir(self.0.join(name))
    }

    fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        // configfs takes a binary attribute when the file is closed, so the one `write` must be whole.
        fs::OpenOptions::new().write(true).open(self.0.join(name).join(attribute))?.write_all(bytes)
    }

    fn read(&self, name: &str, attribute: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = fs::File::open(self.0.join(name).join(attribute))?;
        file.take(MAX_BLOB_BYTES + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_BLOB_BYTES) {
            Ok(bytes)
        } else {
            Err(io::Error::other(format!("more than {MAX_BLOB_BYTES} bytes")))
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.0.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    /// An imitation in memory: a report in shape only, with no signature, that no policy accepts.
    struct Imitation {
        folders: RefCell<BTreeMap<String, Vec<u8>>>,
        provider: &'static str,
        generation: &'static str,
        auxblob: Option<Vec<u8>>,
        fails: Option<&'static str>,
    }

    impl Imitation {
        fn new() -> Self {
            let folders = RefCell::default();
            Self { folders, provider: "sev_guest\n", generation: "1\n", auxblob: None, fails: None }
        }

        fn step(&self, step: &str) -> io::Result<()> {
            if self.fails == Some(step) { Err(io::Error::other("device or resource busy")) } else { Ok(()) }
        }

        fn take(&self) -> Result<Taken, String> {
            let taken = take_through(self, "teegate-1", &ReportData([9; 64]));
            assert!(self.folders.borrow().is_empty(), "a report folder was left behind");
            taken
        }
    }

    impl Tsm for Imitation {
        fn make(&self, name: &str) -> io::Result<()> {
            self.step("make")?;
            assert!(self.folders.borrow_mut().insert(name.to_owned(), Vec::new()).is_none());
            Ok(())
        }

        fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> io::Result<()> {
            self.step(attribute)?;
            *self.folders.borrow_mut().get_mut(name).unwrap() = bytes.to_vec();
            Ok(())
        }

        fn read(&self, name: &str, attribute: &str) -> io::Result<Vec<u8>> {
            self.step(attribute)?;
            match attribute {
                "outblob" => {
                    let mut report = vec![0; 1_184];
                    report[0] = 3;
                    report[0x50..0x90].copy_from_slice(&self.folders.borrow()[name]);
                    Ok(report)
                }
                "provider" => Ok(self.provider.into()),
                "generation" => Ok(self.generation.into()),
                "auxblob" => self.auxblob.clone().ok_or_else(|| io::ErrorKind::NotFound.into()),
                other => panic!("{other}"),
            }
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            assert!(self.folders.borrow_mut().remove(name).is_some());
            Ok(())
        }
    }

    #[test]
    fn a_report_over_the_bytes_comes_with_the_hosts_table() {
        let taken = Imitation { auxblob: Some(vec![1, 2]), ..Imitation::new() }.take().unwrap();
        assert_eq!((taken.evidence.tee, &taken.evidence.bytes[0x50..0x90]), (Tee::SevSnp, &[9; 64][..]));
        assert_eq!(taken.auxblob, [1, 2]);
        assert!(Imitation::new().take().unwrap().auxblob.is_empty());
    }

    #[test]
    fn another_writer_and_another_provider_are_named() {
        let error = Imitation { generation: "2\n", ..Imitation::new() }.take().unwrap_err();
        assert!(error.contains("generation `2`, expected 1"), "{error}");
        let error = Imitation { provider: "arm_cca_guest\n", ..Imitation::new() }.take().unwrap_err();
        assert!(error.contains("the provider is `arm_cca_guest`"), "{error}");
        // What it says it is and what it gives must agree.
        let error = Imitation { provider: "tdx_guest\n", ..Imitation::new() }.take().unwrap_err();
        assert!(error.contains("is sev-snp evidence, tdx was insisted on"), "{error}");
    }

    #[test]
    fn every_failing_step_is_named_and_leaves_nothing_behind() {
        for (step, named) in [
            ("make", "no report folder can be made: device or resource busy"),
            ("inblob", "writing `inblob` failed"),
            ("outblob", "reading `outblob` failed"),
            ("provider", "reading `provider` failed"),
            ("generation", "reading `generation` failed"),
        ] {
            let error = Imitation { fails: Some(step), ..Imitation::new() }.take().unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        let error = take(Path::new("/nonexistent/tsm"), &ReportData([0; 64])).unwrap_err();
        assert!(error.contains("`/nonexistent/tsm` is not a folder"), "{error}");
    }
}
