//! The kernel's own interface: configfs-tsm, `/sys/kernel/config/tsm/report` (Linux,
//! `Documentation/ABI/testing/configfs-tsm-report`).
//!
//! A directory is made for each order, the 64 bytes are written to `inblob`, and `outblob` then holds the report or
//! quote. `generation` counts writes: anything but 1 afterwards means that somebody else wrote to the same directory.
//! `auxblob` may hold certificates, in the table of the GHCB specification. The directory is removed again whatever
//! happens.
//!
//! configfs has rules that an ordinary directory does not have: attributes appear with `mkdir` and go with `rmdir`. So
//! what is done to it stands behind a small trait, and the tests run the logic on an imitation in memory. The kernel
//! itself was not exercised by them.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use teegate_encoding::hex;
use teegate_protocol::certificate_table::{EntryKind, entries, is_empty_table};
use teegate_protocol::evidence::EvidenceKind;

use crate::apart::{Turn, apart};
use crate::{Answer, Attester, AttesterError, CERTIFICATE, CRL, RawEvidence, pem_chain};

/// Where the kernel puts it. For enclave-app it is not configurable: the source of evidence is not for the host to choose.
pub const ROOT: &str = "/sys/kernel/config/tsm/report";

/// The longest quote that is read; the kernel's own limit for TDX is 128 KiB.
const MAX_OUTBLOB_BYTES: usize = 256 << 10;

/// The longest certificate table that is read.
const MAX_AUXBLOB_BYTES: usize = 256 << 10;

/// What is done to one report directory.
trait Tsm: Send + Sync + 'static {
    /// `mkdir`: a new directory with its attributes.
    fn make(&self, name: &str) -> std::io::Result<()>;
    /// One `write` to an attribute.
    fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> std::io::Result<()>;
    /// All of an attribute, as far as `limit` bytes.
    fn read(&self, name: &str, attribute: &str, limit: usize) -> std::io::Result<Vec<u8>>;
    /// `rmdir`.
    fn remove(&self, name: &str) -> std::io::Result<()>;
}

/// configfs-tsm of this kernel. Answers one question at a time.
#[derive(Clone)]
pub struct ConfigfsTsm {
    root: PathBuf,
    tsm: Arc<dyn Tsm>,
    turn: Turn,
}

/// What the interface gave for one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What the bytes are, as the kernel's provider says.
    pub kind: EvidenceKind,
    /// The report or quote (`outblob`).
    pub bytes: Vec<u8>,
    /// The host's certificate table (`auxblob`), as it came; empty where there is none.
    pub certificate_table: Vec<u8>,
    /// What went wrong beside the evidence, in words.
    pub left_out: Vec<String>,
}

impl ConfigfsTsm {
    /// The interface at its fixed place.
    pub fn new() -> Self {
        Self::at(Path::new(ROOT))
    }

    /// The interface at another place.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), tsm: Arc::new(Configfs { root: root.to_owned() }), turn: Turn::default() }
    }

    /// Asks the kernel, and waits for it on this thread.
    ///
    /// # Errors
    /// The interface is not there, refuses a step, is not one of SEV-SNP or TDX, or has not answered the last question yet; or another
    /// process wrote to the same directory.
    pub fn report(&self, report_data: &[u8; 64]) -> Result<Report, AttesterError> {
        let order = Order { root: &self.root, tsm: self.tsm.as_ref() };
        // The kernel blocks while the quote is made, and may be given up before.
        let _turn = self.turn.take(&order.name())?;
        order.report(report_data)
    }

    /// Asks the kernel on a thread of its own, which removes its directory also when nobody waits for it any more. The caller bounds the
    /// time.
    ///
    /// # Errors
    /// As [`ConfigfsTsm::report`].
    pub async fn answer(&self, report_data: [u8; 64]) -> Result<Report, AttesterError> {
        let this = self.clone();
        apart(&self.to_string(), move || this.report(&report_data)).await
    }
}

impl Default for ConfigfsTsm {
    fn default() -> Self {
        Self::new()
    }
}

impl Attester for ConfigfsTsm {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        Box::pin(async move { self.answer(report_data).await.map(RawEvidence::from) })
    }
}

impl std::fmt::Display for ConfigfsTsm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "configfs-tsm ({})", self.root.display())
    }
}

impl From<Report> for RawEvidence {
    fn from(report: Report) -> Self {
        let Report { kind, bytes, certificate_table, mut left_out } = report;
        let endorsements = chain(&certificate_table, &mut left_out);
        Self { kind, bytes, endorsements, event_log: None, left_out }
    }
}

/// The certificates of the host's table, as far as they can be used.
fn chain(table: &[u8], left_out: &mut Vec<String>) -> Option<teegate_protocol::evidence::Endorsements> {
    if table.is_empty() || is_empty_table(table) {
        return None;
    }
    let entries = match entries(table) {
        Ok(entries) => entries,
        Err(error) => {
            left_out.push(format!("the host's certificate table (`auxblob`): {error}"));
            return None;
        }
    };
    let labelled = entries.iter().filter_map(|entry| match entry.kind {
        EntryKind::Certificate => Some((CERTIFICATE, entry.content)),
        EntryKind::Crl => Some((CRL, entry.content)),
        EntryKind::Other => None,
    });
    pem_chain(labelled, left_out)
}

/// The one question that is asked in a directory of its own.
struct Order<'a> {
    root: &'a Path,
    tsm: &'a dyn Tsm,
}

impl Order<'_> {
    fn report(&self, report_data: &[u8; 64]) -> Result<Report, AttesterError> {
        let mut suffix = [0; 8];
        getrandom::fill(&mut suffix).map_err(|error| self.unreachable("a random name", &error))?;
        let name = format!("teegate-{}", hex::encode(suffix));
        self.tsm.make(&name).map_err(|error| self.not_made(&error))?;
        let directory = Directory { tsm: self.tsm, name: &name };
        let asked = self.ask(&name, report_data);
        let removed = directory.remove();
        let mut report = asked?;
        if let Err(error) = removed {
            report.left_out.push(format!("the report directory `{name}` could not be removed: {error}"));
        }
        Ok(report)
    }

    fn ask(&self, name: &str, report_data: &[u8; 64]) -> Result<Report, AttesterError> {
        let tsm = self.tsm;
        tsm.write(name, "inblob", report_data).map_err(|error| self.unreachable("writing `inblob`", &error))?;
        let read = |attribute: &str, limit| {
            tsm.read(name, attribute, limit)
                .map_err(|error| self.unreachable(&format!("reading `{attribute}`"), &error))
        };
        let bytes = read("outblob", MAX_OUTBLOB_BYTES)?;
        let provider = text(read("provider", 64)?, "provider")?;
        let kind = match provider.as_str() {
            "sev_guest" => EvidenceKind::SnpReport,
            "tdx_guest" => EvidenceKind::TdxQuote,
            _ => {
                return Err(AttesterError::malformed(
                    format!("`provider` of configfs-tsm, `{provider}`,"),
                    "`sev_guest` or `tdx_guest`",
                ));
            }
        };
        let mut left_out = Vec::new();
        let certificate_table = match (kind, tsm.read(name, "auxblob", MAX_AUXBLOB_BYTES)) {
            (EvidenceKind::SnpReport, Ok(table)) => table,
            (EvidenceKind::SnpReport, Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                left_out.push(format!("the host's certificate table (`auxblob`): {error}"));
                Vec::new()
            }
            // Absent on TDX and on older kernels.
            _ => Vec::new(),
        };
        // Read last: whoever wrote in between has changed it.
        if text(read("generation", 32)?, "generation")? != "1" {
            return Err(AttesterError::OtherReportData);
        }
        Ok(Report { kind, bytes, certificate_table, left_out })
    }

    fn not_made(&self, error: &std::io::Error) -> AttesterError {
        if error.kind() == std::io::ErrorKind::NotFound {
            let reason = "it is not there: is configfs mounted on `/sys/kernel/config`, and is this guest a TEE with Linux 6.7 or later?";
            return AttesterError::Missing { source: self.name(), reason: reason.to_owned() };
        }
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            let reason = format!("making a report directory: {error}; are you root?");
            return AttesterError::Missing { source: self.name(), reason };
        }
        self.unreachable("making a report directory", error)
    }

    fn unreachable(&self, step: &str, error: &dyn std::fmt::Display) -> AttesterError {
        AttesterError::Unreachable { source: self.name(), reason: format!("{step}: {error}") }
    }

    fn name(&self) -> String {
        format!("configfs-tsm ({})", self.root.display())
    }
}

fn text(bytes: Vec<u8>, attribute: &str) -> Result<String, AttesterError> {
    let text = String::from_utf8(bytes)
        .map_err(|_| AttesterError::malformed(format!("`{attribute}` of configfs-tsm"), "text"))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

/// A report directory, which goes whatever happens.
struct Directory<'a> {
    tsm: &'a dyn Tsm,
    name: &'a str,
}

impl Directory<'_> {
    /// Removes it, and says how that went.
    fn remove(self) -> std::io::Result<()> {
        let removed = self.tsm.remove(self.name);
        std::mem::forget(self);
        removed
    }
}

impl Drop for Directory<'_> {
    fn drop(&mut self) {
        let _unwinding = self.tsm.remove(self.name);
    }
}

/// The real interface.
struct Configfs {
    root: PathBuf,
}

impl Configfs {
    fn attribute(&self, name: &str, attribute: &str) -> PathBuf {
        self.root.join(name).join(attribute)
    }
}

impl Tsm for Configfs {
    fn make(&self, name: &str) -> std::io::Result<()> {
        std::fs::create_dir(self.root.join(name))
    }

    fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> std::io::Result<()> {
        // configfs takes a binary attribute when the file is closed, so the one `write` must be whole.
        std::fs::OpenOptions::new().write(true).open(self.attribute(name, attribute))?.write_all(bytes)
    }

    fn read(&self, name: &str, attribute: &str, limit: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(self.attribute(name, attribute))?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit { Err(std::io::Error::other(format!("more than {limit} bytes"))) } else { Ok(bytes) }
    }

    fn remove(&self, name: &str) -> std::io::Result<()> {
        std::fs::remove_dir(self.root.join(name))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::tests::{BOTH, SOME_CERTIFICATE, SOME_LIST};

    /// An imitation of configfs-tsm in memory: a report of sixty-four bytes and a little more, no signature, nothing
    /// that any policy accepts.
    struct Imitation {
        directories: Mutex<BTreeMap<String, Vec<u8>>>,
        provider: &'static str,
        generation: &'static str,
        auxblob: Option<Vec<u8>>,
        fails: Option<&'static str>,
        /// Told when `outblob` is read, and what the reading waits for.
        holds: Option<(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>)>,
    }

    impl Imitation {
        fn new() -> Self {
            Self {
                directories: Mutex::default(),
                provider: "sev_guest\n",
                generation: "1\n",
                auxblob: None,
                fails: None,
                holds: None,
            }
        }

        fn step(&self, step: &str) -> std::io::Result<()> {
            if self.fails == Some(step) { Err(std::io::Error::other("device or resource busy")) } else { Ok(()) }
        }
    }

    impl Tsm for Imitation {
        fn make(&self, name: &str) -> std::io::Result<()> {
            self.step("make")?;
            assert!(self.directories.lock().unwrap().insert(name.to_owned(), Vec::new()).is_none());
            Ok(())
        }

        fn write(&self, name: &str, attribute: &str, bytes: &[u8]) -> std::io::Result<()> {
            assert_eq!(attribute, "inblob");
            self.step("write")?;
            *self.directories.lock().unwrap().get_mut(name).unwrap() = bytes.to_vec();
            Ok(())
        }

        fn read(&self, name: &str, attribute: &str, _: usize) -> std::io::Result<Vec<u8>> {
            self.step(attribute)?;
            match attribute {
                "outblob" => {
                    if let Some((begun, end)) = &self.holds {
                        begun.send(()).unwrap();
                        let _told = end.lock().unwrap().recv();
                    }
                    let mut report = vec![0; 1184];
                    report[0x50..0x90].copy_from_slice(&self.directories.lock().unwrap()[name]);
                    Ok(report)
                }
                "provider" => Ok(self.provider.into()),
                "generation" => Ok(self.generation.into()),
                "auxblob" => self.auxblob.clone().ok_or_else(|| std::io::ErrorKind::NotFound.into()),
                other => panic!("{other}"),
            }
        }

        fn remove(&self, name: &str) -> std::io::Result<()> {
            self.step("remove")?;
            assert!(self.directories.lock().unwrap().remove(name).is_some());
            Ok(())
        }
    }

    /// The interface on such an imitation, of this provider.
    pub(crate) fn imitated(provider: &'static str) -> ConfigfsTsm {
        over(Imitation { provider, ..Imitation::new() })
    }

    fn over(tsm: Imitation) -> ConfigfsTsm {
        ConfigfsTsm { root: ROOT.into(), tsm: Arc::new(tsm), turn: Turn::default() }
    }

    /// A table of these kinds and contents.
    fn table(documents: &[(&[u8; 16], &[u8])]) -> Vec<u8> {
        let (mut entries, mut contents) = (Vec::new(), Vec::new());
        for (guid, content) in documents {
            let offset = u32::try_from(24 * (documents.len() + 1) + contents.len()).unwrap();
            let length = u32::try_from(content.len()).unwrap();
            entries.extend([&guid[..], &offset.to_le_bytes(), &length.to_le_bytes()].concat());
            contents.extend_from_slice(content);
        }
        [entries, vec![0; 24], contents, vec![0; 8]].concat()
    }

    const VCEK: &[u8; 16] = b"\x63\xda\x75\x8d\xe6\x64\x45\x64\xad\xc5\xf4\xb9\x3b\xe8\xac\xcd";
    const LIST: &[u8; 16] = b"\x92\xf8\x1b\xc3\x58\x11\x4d\x3d\x97\xff\xd1\x9f\x88\xdc\x67\xea";
    const OTHER: &[u8; 16] = &[9; 16];

    fn ask(tsm: &Imitation) -> Result<Report, AttesterError> {
        let report = Order { root: Path::new(ROOT), tsm }.report(&[9; 64]);
        assert!(tsm.directories.lock().unwrap().is_empty(), "a report directory was left behind");
        report
    }

    fn with_table(auxblob: Vec<u8>) -> RawEvidence {
        let evidence = RawEvidence::from(ask(&Imitation { auxblob: Some(auxblob), ..Imitation::new() }).unwrap());
        assert_eq!((evidence.kind, evidence.report_data()), (EvidenceKind::SnpReport, Some([9; 64])));
        evidence
    }

    fn pem(evidence: RawEvidence) -> String {
        String::from_utf8(evidence.endorsements.unwrap().bytes).unwrap()
    }

    #[test]
    fn a_report_over_the_bytes_and_its_certificates() {
        let auxblob = table(&[(VCEK, SOME_CERTIFICATE), (OTHER, SOME_LIST), (LIST, SOME_LIST)]);
        let tsm = Imitation { auxblob: Some(auxblob.clone()), ..Imitation::new() };
        assert_eq!(ask(&tsm).unwrap().certificate_table, auxblob);
        let evidence = with_table(auxblob);
        assert_eq!(evidence.left_out, [""; 0]);
        assert_eq!(pem(evidence), BOTH);
        let tsm = Imitation { provider: "tdx_guest\n", ..Imitation::new() };
        assert_eq!(ask(&tsm).unwrap().kind, EvidenceKind::TdxQuote);
    }

    #[test]
    fn an_empty_or_unreadable_entry_is_passed_over_and_said() {
        for (content, why) in [
            (&b""[..], "empty"),
            (b"no DER", "unreadable: an element runs past the end"),
            (&SOME_CERTIFICATE[..9], "unreadable: an element runs past the end"),
        ] {
            let evidence = with_table(table(&[(VCEK, SOME_CERTIFICATE), (VCEK, content), (LIST, SOME_LIST)]));
            assert_eq!(evidence.left_out, [format!("entry 1 of the host's certificates, CERTIFICATE: {why}")]);
            assert_eq!(pem(evidence), BOTH);
        }
    }

    #[test]
    fn a_table_that_cannot_be_read_is_passed_over_whole_and_said() {
        let good = table(&[(VCEK, SOME_CERTIFICATE)]);
        for (auxblob, why) in [
            (good[..40].to_vec(), "entry 0 points outside the table of 40 bytes"),
            (good[..49].to_vec(), "entry 0 points outside the table of 49 bytes"),
            (vec![7; 5], "the all-zero entry that ends the table is missing"),
        ] {
            let evidence = with_table(auxblob);
            assert_eq!(evidence.left_out, [format!("the host's certificate table (`auxblob`): {why}")]);
            assert_eq!(evidence.endorsements, None);
        }
        // The twins: none, and one of zeros, are no complaint.
        for auxblob in [vec![], vec![0; 4_096]] {
            let evidence = with_table(auxblob);
            assert_eq!((evidence.endorsements, evidence.left_out), (None, vec![]));
        }
        let evidence = RawEvidence::from(ask(&Imitation { fails: Some("auxblob"), ..Imitation::new() }).unwrap());
        assert_eq!(evidence.left_out, ["the host's certificate table (`auxblob`): device or resource busy"]);
        let evidence = RawEvidence::from(ask(&Imitation::new()).unwrap());
        assert_eq!((evidence.endorsements, evidence.left_out), (None, vec![]));
    }

    #[test]
    fn a_directory_that_stays_is_said() {
        let tsm = Imitation { fails: Some("remove"), ..Imitation::new() };
        let report = Order { root: Path::new(ROOT), tsm: &tsm }.report(&[9; 64]).unwrap();
        assert!(report.left_out[0].ends_with("could not be removed: device or resource busy"), "{report:?}");
    }

    #[test]
    fn another_writer_is_noticed() {
        let tsm = Imitation { generation: "2\n", ..Imitation::new() };
        assert_eq!(ask(&tsm), Err(AttesterError::OtherReportData));
    }

    #[test]
    fn a_kernel_that_holds_the_question_keeps_nobody_and_is_not_asked_another() {
        let ((begun, has_begun), (end, may_end)) = (mpsc::channel(), mpsc::channel());
        let tsm = over(Imitation { holds: Some((begun, Mutex::new(may_end))), ..Imitation::new() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let asked = runtime.spawn({
            let tsm = tsm.clone();
            async move { tsm.evidence([9; 64]).await }
        });
        runtime.block_on(tokio::task::yield_now());
        has_begun.recv().unwrap();
        let refused = runtime.block_on(tsm.evidence([8; 64])).unwrap_err();
        let said = "evidence: configfs-tsm (/sys/kernel/config/tsm/report) could not be asked: it has not answered the last question yet";
        assert!(refused.to_string() == said && refused.may_pass(), "{refused}");
        // A thread of the runtime's would be waited for here, and for ever.
        drop((asked, runtime));
        end.send(()).unwrap();
        while tsm.turn.take("").is_err() {
            std::thread::yield_now();
        }
        end.send(()).unwrap();
        assert_eq!(tsm.report(&[7; 64]).map(RawEvidence::from).unwrap().report_data(), Some([7; 64]));
    }

    #[test]
    fn every_failing_step_is_named_and_leaves_nothing_behind() {
        for (step, named) in [
            ("make", "making a report directory"),
            ("write", "writing `inblob`"),
            ("outblob", "reading `outblob`"),
            ("provider", "reading `provider`"),
            ("generation", "reading `generation`"),
        ] {
            match ask(&Imitation { fails: Some(step), ..Imitation::new() }) {
                Err(AttesterError::Unreachable { reason, .. }) => assert!(reason.starts_with(named), "{reason}"),
                other => panic!("{step}: {other:?}"),
            }
        }
        let tsm = Imitation { provider: "arm_cca_guest\n", ..Imitation::new() };
        assert!(matches!(ask(&tsm), Err(AttesterError::Malformed { place, .. }) if place.contains("arm_cca_guest")));
    }

    #[test]
    fn without_the_interface_the_error_says_what_to_look_at() {
        match ConfigfsTsm::at(Path::new("/nonexistent/tsm/report")).report(&[9; 64]) {
            Err(AttesterError::Missing { source, reason }) => {
                assert_eq!(source, "configfs-tsm (/nonexistent/tsm/report)");
                assert!(reason.contains("is configfs mounted"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
        let denied = std::io::ErrorKind::PermissionDenied.into();
        let order = Order { root: Path::new(ROOT), tsm: &Imitation::new() };
        assert!(order.not_made(&denied).to_string().ends_with("permission denied; are you root?"));
        // Waiting mends neither, but it mends a device that is busy.
        assert!(!order.not_made(&denied).may_pass());
        assert!(order.not_made(&std::io::ErrorKind::ResourceBusy.into()).may_pass());
    }
}
