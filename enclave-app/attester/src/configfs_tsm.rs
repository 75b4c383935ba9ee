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

use teegate_protocol::evidence::EvidenceKind;

use crate::{Answer, Attester, AttesterError, CERTIFICATE, CRL, RawEvidence, pem_chain};

/// Where the kernel puts it. Not configurable: the source of evidence is not for the host to choose.
const REPORT_ROOT: &str = "/sys/kernel/config/tsm/report";

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

/// configfs-tsm of this kernel.
pub struct ConfigfsTsm {
    tsm: Arc<dyn Tsm>,
}

impl ConfigfsTsm {
    /// The interface at its fixed place.
    pub fn new() -> Self {
        Self { tsm: Arc::new(Configfs { root: PathBuf::from(REPORT_ROOT) }) }
    }
}

impl Default for ConfigfsTsm {
    fn default() -> Self {
        Self::new()
    }
}

impl Attester for ConfigfsTsm {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        let tsm = Arc::clone(&self.tsm);
        // The kernel blocks while the quote is made, and a thread that is never waited for again still removes its
        // directory.
        Box::pin(async move {
            tokio::task::spawn_blocking(move || report(tsm.as_ref(), &report_data))
                .await
                .unwrap_or(Err(AttesterError::Ended))
        })
    }
}

fn report(tsm: &dyn Tsm, report_data: &[u8; 64]) -> Result<RawEvidence, AttesterError> {
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|error| unreachable("a random name", &error))?;
    let name = format!("teegate-{}", hex::encode(suffix));
    tsm.make(&name).map_err(|error| unreachable("making a report directory", &error))?;
    let _removed = Removed { tsm, name: &name };
    tsm.write(&name, "inblob", report_data).map_err(|error| unreachable("writing `inblob`", &error))?;
    let read = |attribute: &str, limit| {
        tsm.read(&name, attribute, limit).map_err(|error| unreachable(&format!("reading `{attribute}`"), &error))
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
    // Read last: whoever wrote between the two has changed it.
    let generation = text(read("generation", 32)?, "generation")?;
    if generation != "1" {
        return Err(AttesterError::OtherReportData);
    }
    // Absent on TDX and on older kernels.
    let table = tsm.read(&name, "auxblob", MAX_AUXBLOB_BYTES).unwrap_or_default();
    let endorsements = if kind == EvidenceKind::SnpReport { pem_chain(certificates(&table)?)? } else { None };
    Ok(RawEvidence { kind, bytes, endorsements, event_log: None })
}

fn unreachable(step: &str, error: &dyn std::fmt::Display) -> AttesterError {
    AttesterError::Unreachable { source: format!("configfs-tsm ({REPORT_ROOT})"), reason: format!("{step}: {error}") }
}

fn text(bytes: Vec<u8>, attribute: &str) -> Result<String, AttesterError> {
    let text = String::from_utf8(bytes)
        .map_err(|_| AttesterError::malformed(format!("`{attribute}` of configfs-tsm"), "text"))?;
    Ok(text.trim_end_matches('\n').to_owned())
}

struct Removed<'a> {
    tsm: &'a dyn Tsm,
    name: &'a str,
}

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.tsm.remove(self.name) {
            tracing::warn!(%error, "configfs-tsm: a report directory could not be removed");
        }
    }
}

/// An entry of the certificate table: GUID in its textual order, offset, length, both little-endian.
const ENTRY_BYTES: usize = 24;

/// GUIDs of the GHCB specification, in the order in which they are written.
const CERTIFICATE_GUIDS: [&str; 4] = [
    "63da758de6644564adc5f4b93be8accd", // VCEK
    "4ab7b379bbac4fe4a02f05aef327c782", // ASK, and ASVK
    "c0b406a4a803495297433fb6014cd0ae", // ARK
    "a8074bc2a25a483eaae639c045a0b8a1", // VLEK
];
const CRL_GUID: &str = "92f81bc358114d3d97ffd19f88dc67ea";

/// The certificates of the table; entries with other GUIDs are passed over.
fn certificates(table: &[u8]) -> Result<Vec<(&'static str, &[u8])>, AttesterError> {
    let malformed = || {
        AttesterError::malformed(
            "certificate table of configfs-tsm (`auxblob`)",
            "entries of GUID, offset and length inside the table, ended by a zero entry",
        )
    };
    let mut parts = Vec::new();
    let mut entries = table;
    while !entries.is_empty() {
        let (entry, rest) = entries.split_first_chunk::<ENTRY_BYTES>().ok_or_else(malformed)?;
        entries = rest;
        if entry.iter().all(|byte| *byte == 0) {
            break;
        }
        let (guid, numbers) = entry.split_at(16);
        let number = |bytes: Option<&[u8; 4]>| {
            bytes.and_then(|b| usize::try_from(u32::from_le_bytes(*b)).ok()).ok_or_else(malformed)
        };
        let (offset, length) = (number(numbers.first_chunk())?, number(numbers.last_chunk())?);
        let end = offset.checked_add(length).ok_or_else(malformed)?;
        let der = table.get(offset..end).ok_or_else(malformed)?;
        let guid = hex::encode(guid);
        if CERTIFICATE_GUIDS.contains(&guid.as_str()) {
            parts.push((CERTIFICATE, der));
        } else if guid == CRL_GUID {
            parts.push((CRL, der));
        }
    }
    Ok(parts)
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
        if !Path::new(&self.root).is_dir() {
            return Err(std::io::Error::other(
                "not there: is configfs mounted, and is this guest a TEE with a kernel from 6.7?",
            ));
        }
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
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use super::*;

    /// An imitation of configfs-tsm in memory: a report of sixty-four bytes and a little more, no signature, nothing
    /// that any policy accepts.
    struct Imitation {
        directories: Mutex<BTreeMap<String, Vec<u8>>>,
        provider: &'static str,
        generation: &'static str,
        auxblob: Option<Vec<u8>>,
        fails: Option<&'static str>,
    }

    impl Imitation {
        fn new() -> Self {
            Self {
                directories: Mutex::default(),
                provider: "sev_guest\n",
                generation: "1\n",
                auxblob: None,
                fails: None,
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
            assert!(self.directories.lock().unwrap().remove(name).is_some());
            Ok(())
        }
    }

    fn entry(guid: &str, offset: u32, length: u32) -> Vec<u8> {
        [hex::decode(guid).unwrap(), offset.to_le_bytes().to_vec(), length.to_le_bytes().to_vec()].concat()
    }

    fn table(entries: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
        [entries.concat().as_slice(), &[0; 24], data, &[0; 8]].concat()
    }

    #[test]
    fn a_report_over_the_bytes_and_its_certificates() {
        let guids = [CERTIFICATE_GUIDS[0], "ecae0c0f95024 3b1afa20ae2e0d565b6", CRL_GUID];
        let guids = guids.map(|guid| guid.replace(' ', ""));
        let entries = [entry(&guids[0], 96, 2), entry(&guids[1], 98, 1), entry(&guids[2], 99, 2)];
        let tsm = Imitation { auxblob: Some(table(&entries, &[0x30, 1, 7, 0x30, 2])), ..Imitation::new() };
        let evidence = report(&tsm, &[9; 64]).unwrap();
        assert_eq!(evidence.kind, EvidenceKind::SnpReport);
        assert_eq!(evidence.report_data(), Some([9; 64].as_slice()));
        let pem = String::from_utf8(evidence.endorsements.unwrap().bytes).unwrap();
        assert_eq!(
            pem,
            "-----BEGIN CERTIFICATE-----\nMAE=\n-----END CERTIFICATE-----\n-----BEGIN X509 CRL-----\nMAI=\n-----END X509 CRL-----\n"
        );
        assert!(tsm.directories.lock().unwrap().is_empty());
        let tsm = Imitation { provider: "tdx_guest\n", ..Imitation::new() };
        assert_eq!(report(&tsm, &[9; 64]).unwrap().kind, EvidenceKind::TdxQuote);
    }

    #[test]
    fn another_writer_is_noticed() {
        let tsm = Imitation { generation: "2\n", ..Imitation::new() };
        assert_eq!(report(&tsm, &[9; 64]), Err(AttesterError::OtherReportData));
        assert!(tsm.directories.lock().unwrap().is_empty());
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
            let tsm = Imitation { fails: Some(step), ..Imitation::new() };
            match report(&tsm, &[9; 64]) {
                Err(AttesterError::Unreachable { reason, .. }) => assert!(reason.starts_with(named), "{reason}"),
                other => panic!("{step}: {other:?}"),
            }
            assert!(tsm.directories.lock().unwrap().is_empty(), "{step}");
        }
        let tsm = Imitation { provider: "arm_cca_guest\n", ..Imitation::new() };
        assert!(
            matches!(report(&tsm, &[9; 64]), Err(AttesterError::Malformed { place, .. }) if place.contains("arm_cca_guest"))
        );
    }

    #[test]
    fn a_certificate_table_stays_inside_itself() {
        let vcek = CERTIFICATE_GUIDS[0];
        for bad in [
            table(&[entry(vcek, 0, 9999)], &[]),
            table(&[entry(vcek, u32::MAX, u32::MAX)], &[]),
            entry(vcek, 0, 4)[..23].to_vec(),
        ] {
            assert!(matches!(certificates(&bad), Err(AttesterError::Malformed { .. })), "{bad:?}");
        }
        assert_eq!(certificates(&[]), Ok(vec![]));
        assert_eq!(certificates(&[0; 4096]), Ok(vec![]));
        assert_eq!(certificates(&entry(vcek, 0, 4)), Ok(vec![(CERTIFICATE, &entry(vcek, 0, 4)[..4])]));
    }

    #[test]
    fn without_the_interface_the_error_says_what_to_look_at() {
        let tsm = Configfs { root: PathBuf::from("/nonexistent/tsm/report") };
        match report(&tsm, &[9; 64]) {
            Err(AttesterError::Unreachable { reason, .. }) => {
                assert!(reason.contains("is configfs mounted"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
    }
}
