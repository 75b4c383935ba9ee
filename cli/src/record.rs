//! `teegate record`: on a TEE, take evidence and what the guest has for a later check, into a folder. Nothing is verified here: the
//! guest is not the one to judge itself.

use std::fs::{self, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use teegate_attester::aci::{Aci, Context};
use teegate_attester::azure_vtpm::{self, AzureVtpm};
use teegate_attester::coco::{Coco, NotLoopback};
use teegate_attester::configfs_tsm::{self, ConfigfsTsm, Report};
use teegate_attester::imds::{Imds, NotOnThisMachine};
use teegate_attester::sev_guest::{self, Certificates};
use teegate_attester::sev_snp::{Interface, SevSnp};
use teegate_attester::{Attester, AttesterError, RawEvidence};
use teegate_encoding::hex;
use teegate_intake::bundle::Kept;
use teegate_intake::evidence::{self, OwnedEvidence};
use teegate_intake::{Statement, endorsements};
use teegate_protocol::evidence::EvidenceKind;
use teegate_verifier::{Endorsements, ReportData, Tee, UnixTime, Wrapping};

use crate::output::{self, plain};
use crate::screen::Screen;
use crate::{exit, help, instant, verify};

/// On a TEE, take evidence and what a later check needs of this machine.
#[derive(Args)]
#[command(after_help = help::RECORD)]
pub(crate) struct RecordArgs {
    /// The folder to write; it must not be there yet, or be empty
    #[arg(long, value_name = "DIR")]
    into: PathBuf,

    /// The report data that the evidence shall carry: 64 bytes in hexadecimal; random, if neither is given
    #[arg(long, value_name = "HEX", value_parser = verify::report_data)]
    report_data: Option<ReportData>,

    /// The beginning of the report data: 1 to 64 bytes in hexadecimal, filled with zeros at the end
    #[arg(long, value_name = "HEX", value_parser = nonce, conflicts_with = "report_data")]
    nonce: Option<ReportData>,

    /// Who is asked: `configfs-tsm[=FOLDER]`, `coco[=http://IP:PORT]` on loopback, `azure-vtpm[=DEVICE[,http://IP:PORT]]`,
    /// `sev-guest[=DEVICE]`, `sev[=DEVICE]` or `aci[=FOLDER[,INTERFACE]]`, where INTERFACE is `configfs-tsm`, `sev-guest` or `sev`, each also
    /// with `=PATH`; the one that is there, if left out
    #[arg(long, value_name = "SOURCE")]
    source: Option<Source>,

    /// Where the event log of the boot lies, if its source does not send one [default: of a TD
    /// `/sys/firmware/acpi/tables/data/CCEL`, of a vTPM `/sys/kernel/security/tpm0/binary_bios_measurements`]
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,

    /// Nothing but errors: the exit status is the answer
    #[arg(long, short)]
    quiet: bool,
}

/// Where Linux shows the area that the ACPI table CCEL points to.
const CCEL: &str = "/sys/firmware/acpi/tables/data/CCEL";

/// What any source may take: a quote takes milliseconds, a TPM seconds, and a driver holds a question for a minute at most.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where evidence comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    ConfigfsTsm(PathBuf),
    Coco(Coco),
    /// The TPM device, and the metadata service.
    AzureVtpm(PathBuf, Imds),
    /// A driver of the guest, named by itself.
    SevSnp(Interface),
    /// The security context and the interface of the kernel, where they are named; else those of this container.
    Aci(Option<PathBuf>, Option<Interface>),
}

/// Every VM of Azure has this as the asset tag of its chassis.
const AZURE: (&str, &str) = ("/sys/class/dmi/id/chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77");

impl Source {
    /// The one that is there.
    fn find() -> Result<Self, String> {
        if aci_context().is_ok() {
            return Ok(Self::Aci(None, None));
        }
        // Before configfs-tsm: a kernel may have that there too, and no report behind it.
        let is_azure = fs::read_to_string(AZURE.0).is_ok_and(|tag| tag.trim() == AZURE.1);
        if is_azure && Path::new(azure_vtpm::DEVICE).exists() {
            return Ok(Self::AzureVtpm(azure_vtpm::DEVICE.into(), Imds::default()));
        }
        let folder = Path::new(configfs_tsm::ROOT);
        if folder.is_dir() {
            return Ok(Self::ConfigfsTsm(folder.to_owned()));
        }
        // `/dev/sev` alone may be a host's, and is asked where it is named.
        if Path::new(sev_guest::SEV_GUEST).exists() {
            return Ok(Self::SevSnp(Interface::SevGuest(sev_guest::SEV_GUEST.into())));
        }
        let coco = Coco::default();
        if TcpStream::connect_timeout(&coco.address(), Duration::from_secs(1)).is_ok() {
            return Ok(Self::Coco(coco));
        }
        Err(format!(
            "no source of evidence is here: `{}` is not a folder (a TEE guest has it with Linux from 6.7 on and configfs \
             mounted), there is no `{}` (an SEV-SNP guest with Linux from 5.19 on), and nothing answers at {} (the CoCo guest API, with \
             its attestation feature); run this inside the TEE, or name the source with `--source`",
            configfs_tsm::ROOT,
            sev_guest::SEV_GUEST,
            coco.address()
        ))
    }

    fn take(&self, report_data: &ReportData, event_log: Option<&Path>) -> Result<Taken, String> {
        match self {
            Self::ConfigfsTsm(folder) => {
                let tsm = ConfigfsTsm::at(folder);
                bare(wait_until(self, tsm.answer(report_data.0))?, "outblob of configfs-tsm")
            }
            Self::SevSnp(interface) => {
                let guest = SevSnp::by(interface);
                let report = wait_until(self, guest.answer(report_data.0, Certificates::Asked))?;
                bare(report, "answer of the firmware")
            }
            Self::Coco(coco) => {
                let answer = wait_for(coco, report_data)?;
                let evidence = evidence::recognise(&answer, None)
                    .map_err(|error| error.named("answer of the CoCo guest API").to_string())?;
                Ok(Taken { evidence, auxblob: Vec::new(), raw: None })
            }
            Self::AzureVtpm(device, imds) => {
                let log = event_log.unwrap_or(Path::new(azure_vtpm::EVENT_LOG));
                let vtpm = AzureVtpm::at(device, *imds).with_event_log(log);
                wrapped(wait_until(self, vtpm.evidence(report_data.0))?)
            }
            Self::Aci(folder, interface) => {
                let context = folder.as_deref().map_or_else(aci_context, Context::in_folder);
                let context = context.map_err(|error| error.to_string())?;
                let interface =
                    interface.clone().map_or_else(Interface::find, Ok).map_err(|error| error.to_string())?;
                output::note(&format!("the report comes from {interface}"));
                let aci = Aci::new(context, SevSnp::by(&interface));
                wrapped(wait_until(self, aci.evidence(report_data.0))?)
            }
        }
    }
}

/// The security context of the container that this runs in.
fn aci_context() -> Result<Context, AttesterError> {
    Context::find(Path::new("/"), &|name| std::env::var(name).ok())
}

/// A report or quote that nothing wraps.
fn bare(report: Report, named: &str) -> Result<Taken, String> {
    for what in &report.left_out {
        output::note(&format!("evidence was taken, with a shortcoming: {what}"));
    }
    let tee = if report.kind == EvidenceKind::TdxQuote { Tee::Tdx } else { Tee::SevSnp };
    let evidence = evidence::recognise(&report.bytes, Some(tee)).map_err(|error| error.named(named).to_string())?;
    Ok(Taken { evidence, auxblob: report.certificate_table, raw: None })
}

/// What wraps the platform's report, whole, with the report in it.
fn wrapped(raw: RawEvidence) -> Result<Taken, String> {
    for what in &raw.left_out {
        output::note(&format!("evidence was taken, with a shortcoming: {what}"));
    }
    let evidence = evidence::recognise(&raw.bytes, None);
    let evidence = evidence.map_err(|error| error.named("evidence of the source").to_string())?;
    Ok(Taken { evidence, auxblob: Vec::new(), raw: Some(raw) })
}

fn wait_for(coco: &Coco, report_data: &ReportData) -> Result<Bytes, String> {
    wait_until(coco, coco.answer(report_data.0))
}

/// What `source` answers, within the time that any of them may take.
fn wait_until<T>(
    source: &dyn std::fmt::Display,
    answer: impl Future<Output = Result<T, AttesterError>>,
) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("{source} cannot be asked: {error}"))?;
    let answer = runtime.block_on(async { tokio::time::timeout(DEADLINE, answer).await });
    answer
        .map_err(|_elapsed| format!("{source} did not answer within {} s", DEADLINE.as_secs()))?
        .map_err(|error| error.to_string())
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=').map_or((text, None), |(name, place)| (name, Some(place))) {
            ("configfs-tsm", place) => Ok(Self::ConfigfsTsm(place.unwrap_or(configfs_tsm::ROOT).into())),
            ("coco", None) => Ok(Self::Coco(Coco::default())),
            ("coco", Some(url)) => url.parse().map(Self::Coco).map_err(|error: NotLoopback| error.to_string()),
            ("azure-vtpm", None) => Ok(Self::AzureVtpm(azure_vtpm::DEVICE.into(), Imds::default())),
            ("azure-vtpm", Some(place)) => {
                let (device, service) =
                    place.split_once(',').map_or((place, None), |(device, url)| (device, Some(url)));
                let imds = service.map_or(Ok(Imds::default()), str::parse);
                imds.map(|imds| Self::AzureVtpm(device.into(), imds))
                    .map_err(|error: NotOnThisMachine| error.to_string())
            }
            ("sev-guest" | "sev", _) => text.parse().map(Self::SevSnp),
            ("aci", None) => Ok(Self::Aci(None, None)),
            ("aci", Some(place)) => {
                let (folder, interface) =
                    place.split_once(',').map_or((place, None), |(folder, interface)| (folder, Some(interface)));
                let folder = (!folder.is_empty()).then(|| PathBuf::from(folder));
                Ok(Self::Aci(folder, interface.map(str::parse).transpose()?))
            }
            _ => Err("expected `configfs-tsm`, `configfs-tsm=FOLDER`, `coco`, `coco=http://IP:PORT`, `azure-vtpm`, \
                      `azure-vtpm=DEVICE,http://IP:PORT`, `sev-guest`, `sev`, `aci`, `aci=FOLDER` or `aci=FOLDER,INTERFACE`"
                .to_owned()),
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigfsTsm(folder) => write!(f, "configfs-tsm ({})", folder.display()),
            Self::Coco(coco) => coco.fmt(f),
            Self::AzureVtpm(device, imds) => AzureVtpm::at(device, *imds).fmt(f),
            Self::SevSnp(interface) => interface.fmt(f),
            Self::Aci(None, _) => f.write_str("Confidential ACI"),
            Self::Aci(Some(folder), _) => write!(f, "Confidential ACI ({})", folder.display()),
        }
    }
}

/// What a source gave.
#[derive(Debug)]
struct Taken {
    evidence: OwnedEvidence,
    /// The certificate table of an SEV-SNP host.
    auxblob: Vec<u8>,
    /// Where the platform's report came wrapped in something else: all of it, as an enclave-app hands it out.
    raw: Option<RawEvidence>,
}

impl Taken {
    /// The file that is verified later, by its name in the folder.
    fn file(&self) -> File {
        match &self.raw {
            Some(raw) => File::new("evidence.json", &raw.bytes),
            None => File::new("evidence.bin", &self.evidence.bytes),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &RecordArgs) -> ExitCode {
    output::be_quiet(args.quiet);
    match record(args) {
        Ok(text) => output::finish(&Screen::shows(text), exit::ACCEPTED),
        Err(message) => output::fail(&message),
    }
}

fn record(args: &RecordArgs) -> Result<String, String> {
    let into = &args.into;
    must_be_free(into)?;
    let source = args.source.clone().map_or_else(Source::find, Ok)?;
    let report_data = args.report_data.or(args.nonce).map_or_else(random, Ok)?;
    let taken = source.take(&report_data, args.event_log.as_deref())?;
    let name = taken.file().name;
    let mut files = vec![taken.file()];
    let Taken { evidence, auxblob, raw } = taken;
    must_carry(&evidence, &report_data)?;
    let at = instant::now()?;

    for (position, statement) in Kept::new(&evidence, []).statements.iter().enumerate() {
        if let Statement::Certificate(der) | Statement::Crl(der) = statement {
            let kind = statement.label().kind;
            files.push(File::new(&format!("{ENDORSEMENTS}/{kind}-{}.der", position.saturating_add(1)), der));
        }
    }
    if auxblob.iter().any(|byte| *byte != 0) {
        match endorsements::recognise("auxblob", &auxblob, &mut Endorsements::new()) {
            Ok(()) => files.push(File::new(&format!("{ENDORSEMENTS}/auxblob.bin"), &auxblob)),
            // The host supplies it, and what it supplies must not keep the guest from being recorded.
            Err(error) => output::note(&format!("the host's certificates are left out: {error}")),
        }
    }
    if let Some(came) = raw.as_ref().and_then(|raw| raw.endorsements.as_ref()) {
        files.push(File::new(&format!("{ENDORSEMENTS}/host-certificates.pem"), &came.bytes));
    }
    let event_log = match &raw {
        // Behind a paravisor the registers of a TD are not the guest's, whose log is about the vTPM's.
        Some(raw) => raw.event_log.clone(),
        None => event_log(&evidence, args.event_log.as_deref())?,
    };
    if let Some(log) = &event_log {
        files.push(File::new(EVENT_LOG, log));
    }
    let manifest = manifest(&source, evidence.tee, at, &report_data, &files)?;
    files.push(File::new("recorded.json", manifest.as_bytes()));
    write(into, &files)?;
    Ok(next(into, &name, &source, &evidence, at, &report_data, event_log.is_some()))
}

const ENDORSEMENTS: &str = "endorsements";
const EVENT_LOG: &str = "event-log.bin";

fn must_be_free(into: &Path) -> Result<(), String> {
    match fs::read_dir(into) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                Err(format!("`{}` is not empty; name a new folder, so that no two recordings mix", into.display()))
            }
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("`{}` cannot be a folder to write: {error}", into.display())),
    }
}

/// Another process may share the source, and an old server may bind something else than it was asked to.
fn must_carry(evidence: &OwnedEvidence, asked: &ReportData) -> Result<(), String> {
    let facts = evidence.inspect();
    let facts =
        facts.map_err(|error| format!("what the source gave is not well formed: {error}; nothing was written"))?;
    let carried = facts
        .iter()
        .find(|(name, _)| *name == evidence.wrapping().report_data_fact())
        .map(|(_, value)| value.to_string());
    if carried == Some(asked.to_string()) {
        return Ok(());
    }
    Err(format!(
        "the evidence carries other report data than was asked for: asked {asked}, found {}; another process may be using the \
         same source, so try again; nothing was written",
        carried.unwrap_or_else(|| "none".to_owned())
    ))
}

/// The one that came along; else, where there are registers, the one that the firmware left.
fn event_log(evidence: &OwnedEvidence, path: Option<&Path>) -> Result<Option<Vec<u8>>, String> {
    if evidence.event_log.is_some() {
        return Ok(evidence.event_log.clone());
    }
    let (usual, registers) = match (evidence.wrapping(), evidence.tee) {
        (Wrapping::AzureVtpm, _) => (azure_vtpm::EVENT_LOG, "PCRs"),
        (_, Tee::Tdx) => (CCEL, "RTMRs"),
        _ => return Ok(None),
    };
    let path = path.unwrap_or(Path::new(usual));
    if !path.exists() {
        output::note(&format!(
            "no event log: `{}` is not there, so nobody can later say what the {registers} were extended with",
            path.display()
        ));
        return Ok(None);
    }
    evidence::load_event_log(path).map(Some).map_err(|error| error.to_string())
}

fn random() -> Result<ReportData, String> {
    let mut bytes = [0; 64];
    getrandom::fill(&mut bytes).map_err(|error| format!("the system gave no random bytes: {error}"))?;
    Ok(ReportData(bytes))
}

/// Parses the value of `--nonce`.
fn nonce(text: &str) -> Result<ReportData, String> {
    let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap_or_default();
    let mut data = [0; 64];
    match data.get_mut(..bytes.len()) {
        Some(start) if !bytes.is_empty() => {
            start.copy_from_slice(&bytes);
            Ok(ReportData(data))
        }
        _ => Err("expected 1 to 64 bytes in hexadecimal".to_owned()),
    }
}

/// A file of the recording, by its name in the folder.
struct File {
    name: String,
    bytes: Vec<u8>,
}

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: bytes.to_vec() }
    }
}

/// Schema `teegate/recorded/1`: what was asked, of whom, when. Nothing in it is believed by any check.
fn manifest(
    source: &Source,
    tee: Tee,
    at: UnixTime,
    report_data: &ReportData,
    files: &[File],
) -> Result<String, String> {
    #[derive(Serialize)]
    struct Recorded {
        schema: &'static str,
        creator: &'static str,
        tee: &'static str,
        source: String,
        at: String,
        report_data: String,
        files: Vec<Entry>,
    }
    #[derive(Serialize)]
    struct Entry {
        name: String,
        bytes: usize,
    }
    let files = files.iter().map(|file| Entry { name: file.name.clone(), bytes: file.bytes.len() }).collect();
    let recorded = Recorded {
        schema: "teegate/recorded/1",
        creator: concat!("teegate ", env!("CARGO_PKG_VERSION")),
        tee: tee.name(),
        source: source.to_string(),
        at: at.to_string(),
        report_data: report_data.to_string(),
        files,
    };
    let mut text = serde_json::to_string_pretty(&recorded).map_err(|error| format!("cannot be written: {error}"))?;
    text.push('\n');
    Ok(text)
}

/// Writes the folder whole or not at all: beside its place, then renamed into it.
fn write(into: &Path, files: &[File]) -> Result<(), String> {
    let failed = |cause: std::io::Error| format!("`{}` cannot be written: {cause}", into.display());
    let parent = into.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new()
        .prefix(".teegate-")
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(parent)
        .map_err(failed)?;
    fs::create_dir(folder.path().join(ENDORSEMENTS)).map_err(failed)?;
    for file in files {
        let mut place = fs::File::create_new(folder.path().join(&file.name)).map_err(failed)?;
        std::io::Write::write_all(&mut place, &file.bytes).and_then(|()| place.sync_all()).map_err(failed)?;
    }
    // An empty folder is replaced; one that has been filled meanwhile is an error.
    fs::rename(folder.path(), into).map_err(failed)?;
    let _renamed = folder.keep();
    Ok(())
}

fn next(
    into: &Path,
    name: &str,
    source: &Source,
    evidence: &OwnedEvidence,
    at: UnixTime,
    report_data: &ReportData,
    has_log: bool,
) -> String {
    let (folder, source) = (plain(&into.display().to_string()), plain(&source.to_string()));
    let (tee, length) = (evidence.tee, evidence.bytes.len());
    let log = if has_log { format!(" --event-log {folder}/{EVENT_LOG}") } else { String::new() };
    format!(
        "Recorded in `{folder}`, from {source}: {tee} evidence of {length} bytes over the report data\n  {report_data}\n\
         NOT VERIFIED. Next, on a machine that you trust:\n\
         \x20 teegate fetch {folder}/{name} --into {folder}/{ENDORSEMENTS}\n\
         \x20 teegate bundle create {folder}/{name} --endorsements {folder}/{ENDORSEMENTS}{log} \\\n\
         \x20   --policy POLICY --at {at} --report-data {report_data} --output {folder}.bundle.json\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_named_with_or_without_its_place() {
        let parse = |text: &str| text.parse::<Source>();
        assert_eq!(parse("configfs-tsm"), Ok(Source::ConfigfsTsm(configfs_tsm::ROOT.into())));
        assert_eq!(parse("configfs-tsm=/a=b"), Ok(Source::ConfigfsTsm("/a=b".into())));
        assert_eq!(parse("coco").map(|source| source.to_string()).unwrap(), "the CoCo guest API at 127.0.0.1:8006");
        assert_eq!(
            parse("coco=http://[::1]:1").map(|source| source.to_string()).unwrap(),
            "the CoCo guest API at [::1]:1"
        );
        let azure = parse("azure-vtpm").map(|source| source.to_string()).unwrap();
        assert_eq!(azure, "the vTPM (/dev/tpmrm0) and Azure's metadata service at 169.254.169.254:80");
        let azure = parse("azure-vtpm=/dev/tpm1,http://127.0.0.1:1").map(|source| source.to_string()).unwrap();
        assert_eq!(azure, "the vTPM (/dev/tpm1) and Azure's metadata service at 127.0.0.1:1");
        assert!(parse("azure-vtpm=/dev/tpm1,http://192.0.2.1").unwrap_err().contains("expected `http://IP`"));
        let aci = parse("aci=/security-context-1").map(|source| source.to_string()).unwrap();
        assert_eq!(
            (parse("aci"), aci.as_str()),
            (Ok(Source::Aci(None, None)), "Confidential ACI (/security-context-1)")
        );
        let device = || Interface::SevGuest("/dev/x".into());
        assert_eq!(parse("aci=,sev-guest=/dev/x"), Ok(Source::Aci(None, Some(device()))));
        assert_eq!(parse("aci=/a,sev"), Ok(Source::Aci(Some("/a".into()), Some(Interface::Sev("/dev/sev".into())))));
        assert_eq!(parse("sev-guest=/dev/x"), Ok(Source::SevSnp(device())));
        assert_eq!(parse("aci=/a,tpm").unwrap_err(), "`tpm` is none of `configfs-tsm`, `sev-guest` and `sev`");
        for wrong in ["coco=http://192.0.2.1:8006", "coco=https://127.0.0.1:8006", "tpm", ""] {
            assert!(parse(wrong).unwrap_err().contains("expected `"), "{wrong}");
        }
    }

    #[test]
    fn a_nonce_is_filled_with_zeros() {
        let mut expected = [0; 64];
        expected[..2].copy_from_slice(&[0xAB, 0xCD]);
        assert_eq!(nonce("0xABcd"), Ok(ReportData(expected)));
        assert_eq!(nonce(&"0a".repeat(64)), Ok(ReportData([10; 64])));
        for wrong in ["", "0x", "a", "zz", &"0a".repeat(65)] {
            assert!(nonce(wrong).unwrap_err().contains("1 to 64 bytes"), "{wrong}");
        }
    }

    #[test]
    fn a_recording_is_written_whole_into_a_folder_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("new");
        let files = [File::new("evidence.bin", b"e"), File::new("endorsements/crl-1.der", b"c")];
        write(&into, &files).unwrap();
        assert_eq!(fs::read(into.join("endorsements/crl-1.der")).unwrap(), b"c");
        assert!(must_be_free(&into).unwrap_err().contains("is not empty"));
        assert!(write(&into, &files).unwrap_err().contains("cannot be written"));
        let broken = [File::new("evidence.bin", b"e"), File::new("no/such/folder", b"")];
        let other = folder.path().join("other");
        let error = write(&other, &broken).unwrap_err();
        assert!(error.contains(&format!("`{}` cannot be written", other.display())), "{error}");
        fs::create_dir(folder.path().join("empty")).unwrap();
        must_be_free(&folder.path().join("empty")).unwrap();
        write(&folder.path().join("empty"), &files).unwrap();
        // Neither half a folder nor one of the temporary ones is left.
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["empty", "new"]);
        assert!(must_be_free(&into.join("evidence.bin")).unwrap_err().contains("cannot be a folder"));
    }

    #[test]
    fn evidence_over_other_report_data_is_refused() {
        let mut report = vec![0; 1_184];
        report[0] = 2;
        report[0x0A] = 2; // POLICY bit 17
        report[0x34] = 1; // ECDSA P-384
        (report[0x2A0], report[0x2E8]) = (1, 1); // R and S, not zero
        report[0x50..0x90].fill(7);
        let evidence = evidence::recognise(&report, None).unwrap();
        // The twin first: the same report, with what it carries.
        must_carry(&evidence, &ReportData([7; 64])).unwrap();
        let refused = must_carry(&evidence, &ReportData([8; 64])).unwrap_err();
        assert!(refused.contains("carries other report data than was asked for"), "{refused}");
        let cut = evidence::recognise(&report[..1_000], None).unwrap();
        assert!(must_carry(&cut, &ReportData([7; 64])).unwrap_err().contains("is not well formed"));
    }
}
