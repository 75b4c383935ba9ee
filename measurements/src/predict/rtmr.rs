//! RTMR0 to RTMR2 of a TD, event by event, from what the guest is made of: firmware, memory, ACPI tables, and a kernel that QEMU hands over.
//!
//! | register | extended by | with |
//! |---|---|---|
//! | RTMR0 | TDVF | TD HOB, the volume of variables (CFV), `SecureBoot` `PK` `KEK` `db` `dbx`, a separator, three ACPI files, boot variables |
//! | RTMR1 | TDVF | the kernel's PE hash, that a boot option is started, that boot services end |
//! | RTMR2 | the kernel's EFI stub, where it knows the protocol | its load options, its initrd |
//!
//! UEFI 2.10, section 38.4.1; EDK2, `OvmfPkg/Library/TdxHelperLib`, `OvmfPkg/Tcg/TdTcg2Dxe`, `OvmfPkg/AcpiPlatformDxe`. What builds of firmware and
//! VMM decide is a [`Choice`]: one value follows for each. An event that is not known leaves its register without a value.

use serde::Serialize;
use teegate_encoding::hex;
use teegate_verifier::Tee;

use super::acpi::{AcpiBlobs, AcpiOrigin};
use super::cc;
use super::digest::DigestAlgorithm;
use super::direct::TdKernel;
use super::hob::td_hob;
use super::input::PredictError;
use super::ovmf::Firmware;
use super::pcr::UkiBoot;
use super::prediction::{Predicted, Prediction};
use super::tdvf::{Kind, sections};
use super::variables::{GLOBAL, SECURITY, Variables, measured};

/// What a TD is made of, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct TdGuest<'a> {
    /// TDVF, whole.
    pub firmware: Option<&'a [u8]>,
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// The ACPI tables that the VMM composes.
    pub acpi: Option<AcpiBlobs<'a>>,
    /// A kernel that the VMM hands over, without a disk that anything boots from.
    pub kernel: Option<TdKernel<'a>>,
}

/// What a build of the firmware or the VMM decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Firmware without Secure Boot has no variable `SecureBoot`.
    SecureBootAbsent,
    /// Firmware with it, and no `PK`, has one that says 0.
    SecureBootOff,
    /// Some builds of EDK2 extend RTMR0 with the last separator.
    SeparatorInRtmr0,
    /// Others extend RTMR1 with it.
    SeparatorInRtmr1,
    /// The VMM hands over the kernel as its file has it.
    KernelAsFile,
    /// The VMM fills in its header.
    KernelByQemu,
}

impl Choice {
    /// All, each beside its alternative.
    pub const PAIRS: [[Self; 2]; 3] = [
        [Self::SecureBootAbsent, Self::SecureBootOff],
        [Self::SeparatorInRtmr0, Self::SeparatorInRtmr1],
        [Self::KernelAsFile, Self::KernelByQemu],
    ];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SecureBootAbsent => "no variable SecureBoot",
            Self::SecureBootOff => "SecureBoot 0",
            Self::SeparatorInRtmr0 => "last separator in RTMR0",
            Self::SeparatorInRtmr1 => "last separator in RTMR1",
            Self::KernelAsFile => "kernel as its file",
            Self::KernelByQemu => "kernel's header filled in by QEMU",
        }
    }
}

/// One event that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TdEvent {
    /// `rtmr0` to `rtmr2`.
    pub register: &'static str,
    /// What it is.
    pub what: &'static str,
    /// SHA-384; null where it is not predicted.
    #[serde(serialize_with = "digits")]
    pub digest: Option<Vec<u8>>,
    /// Over what, or why it is not predicted.
    pub of: String,
    /// Of which builds.
    #[serde(rename = "where", serialize_with = "choice", skip_serializing_if = "Option::is_none")]
    pub only: Option<Choice>,
    /// Whether it stands for any number of events, none included.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}

fn digits<S: serde::Serializer>(bytes: &Option<Vec<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => serializer.serialize_some(&hex::encode(bytes)),
        None => serializer.serialize_none(),
    }
}

fn choice<S: serde::Serializer>(choice: &Option<Choice>, serializer: S) -> Result<S::Ok, S::Error> {
    choice.map(Choice::name).serialize(serializer)
}

/// The boot of a TD: its events, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdBoot {
    /// Those of RTMR0, then of RTMR1 and RTMR2.
    pub events: Vec<TdEvent>,
    /// Where the ACPI tables behind RTMR0 are from, where it has a value.
    pub acpi: Option<String>,
    /// The declared shape of the VM from which they were rebuilt, where they were.
    pub rebuilt_acpi_tables: Option<String>,
    /// The builds that are thought of.
    builds: Vec<[Choice; 3]>,
}

impl TdBoot {
    /// Of a guest, for builds of these choices; those of which none is named count both.
    ///
    /// # Errors
    /// Where firmware, memory, tables or kernel are not what they should be.
    pub fn of(guest: &TdGuest<'_>, choices: &[Choice]) -> Result<Self, PredictError> {
        let [secure_boot, separator, kernel] = Choice::PAIRS.map(|pair| {
            let named: Vec<_> = pair.into_iter().filter(|choice| choices.contains(choice)).collect();
            if named.is_empty() { pair.to_vec() } else { named }
        });
        let builds = secure_boot.iter().flat_map(|first| {
            let kernel = &kernel;
            separator.iter().flat_map(move |second| kernel.iter().map(move |third| [*first, *second, *third]))
        });
        let builds: Vec<_> = builds.collect();
        let is_thought_of =
            |event: &TdEvent| event.only.is_none_or(|only| builds.iter().any(|build| build.contains(&only)));
        let mut events = rtmr0(guest)?;
        events.extend(rtmr1(guest, kernel.contains(&Choice::KernelByQemu))?);
        events.extend(rtmr2(guest)?);
        events.retain(is_thought_of);
        // Where RTMR0 has no value, no tables stand behind it.
        let has_value = events.iter().all(|event| event.register != "rtmr0" || event.digest.is_some());
        let measured = guest.acpi.filter(|_| has_value);
        let acpi = measured.map(|acpi| format!("acpi tables: {}", acpi.origin));
        let rebuilt_acpi_tables = measured.and_then(|acpi| match acpi.origin {
            AcpiOrigin::Rebuilt(shape) => Some(shape.to_owned()),
            AcpiOrigin::Files => None,
        });
        Ok(Self { events, acpi, rebuilt_acpi_tables, builds })
    }

    /// The same boot, where it is known to start this unified kernel image: what it extends RTMR2 with is known then.
    ///
    /// # Errors
    /// As [`UkiBoot::of`].
    pub fn of_image(mut self, uki: &[u8]) -> Result<Self, PredictError> {
        let image = UkiBoot::of(uki, DigestAlgorithm::Sha384)?;
        let mut list = List(Vec::new(), "rtmr2");
        for digest in image.pcr11 {
            list.digest("UKI", digest, "name or content of a section, in the order of PCR 11".to_owned(), None);
        }
        for digest in image.pcr9 {
            list.digest("UKI", digest, "load options or initrd, in the order of PCR 9".to_owned(), None);
        }
        self.events.retain(|event| event.register != "rtmr2");
        self.events.append(&mut list.0);
        Ok(self)
    }

    /// The events of a register in one build.
    fn in_build(&self, register: &str, build: [Choice; 3]) -> Vec<&TdEvent> {
        let is_own =
            |event: &&TdEvent| event.register == register && event.only.is_none_or(|only| build.contains(&only));
        self.events.iter().filter(is_own).collect()
    }

    /// The value of each register whose events are all known, for each build; and of the others, what is not known.
    pub fn prediction(&self) -> Prediction {
        let (mut values, mut notes) = (Vec::<Predicted>::new(), Vec::<String>::new());
        for register in REGISTERS {
            let unknown = self.events.iter().filter(|event| event.register == register && event.digest.is_none());
            let unknown: Vec<_> = unknown.map(|event| format!("{} ({})", event.what, event.of)).collect();
            if !unknown.is_empty() {
                notes.push(format!("{register} has no value here; not predicted of it: {}", unknown.join("; ")));
                continue;
            }
            for build in &self.builds {
                let events = self.in_build(register, *build);
                let value = events
                    .iter()
                    .filter_map(|event| event.digest.as_ref())
                    .fold(vec![0; 48], |value, digest| DigestAlgorithm::Sha384.of(&[&value, digest]));
                let only: Vec<_> = events.iter().filter_map(|event| event.only).map(Choice::name).collect();
                let acpi = self.acpi.iter().filter(|_| register == "rtmr0").cloned();
                let of: Vec<_> = std::iter::once(format!("{} events", events.len()))
                    .chain(only.into_iter().map(str::to_owned))
                    .chain(acpi)
                    .collect();
                let one = Predicted { field: register, value, of: of.join(", ") };
                if !values.contains(&one) {
                    values.push(one);
                }
            }
        }
        let lists = REGISTERS.iter().filter(|field| values.iter().filter(|one| one.field == **field).count() > 1);
        if lists.count() > 1 {
            notes.push(MIXTURES.to_owned());
        }
        let has = |register: &str| values.iter().any(|one| one.field == register);
        let is_by_kernel = self.events.iter().any(|event| event.register == "rtmr2" && event.what == "load options");
        let applies = [true, has("rtmr2") && is_by_kernel, has("rtmr0"), true];
        notes.extend(NOTES.iter().zip(applies).filter(|(_, applies)| *applies).map(|(note, _)| (*note).to_owned()));
        Prediction { kind: "tdx", tee: Some(Tee::Tdx), values, notes }
    }

    pub(super) fn builds(&self) -> impl Iterator<Item = ([Choice; 3], [Vec<&TdEvent>; 3])> {
        self.builds.iter().map(|build| (*build, REGISTERS.map(|register| self.in_build(register, *build))))
    }
}

/// Those that are predicted, in the order of the log's numbers from 1 on.
pub(super) const REGISTERS: [&str; 3] = ["rtmr0", "rtmr1", "rtmr2"];

const MIXTURES: &str = "several registers have a value for each build, and a policy that lists them takes any of one register beside any of \
     another, also where no build has both; name the build (`--build`), or take it from the log of a guest that you started (`--against`)";

const NOTES: [&str; 4] = [
    "RTMRs hold for EDK2 from 2022-11 to before 2025-05, whose events are those of recorded logs: later builds measure more (the boot menu, the \
     boot order of fw_cfg) and have other boot options; and for QEMU's `q35` without devices that something boots from",
    "RTMR2 is that of a kernel whose EFI stub holds the GUID of EFI_CC_MEASUREMENT_PROTOCOL; whether it used it in a boot of a TD was not compared",
    "the three files of ACPI tables are measured as given, whole, in the order of EDK2's source: no recorded log has the files beside it, so their \
     events were not compared. That they are those of this VM is the word of whoever rebuilt them, and what AML does is not looked at",
    "hold it once against the log of a guest that you started (`--against`) before pinning it",
];

struct List(Vec<TdEvent>, &'static str);

impl List {
    fn digest(&mut self, what: &'static str, digest: Vec<u8>, of: String, only: Option<Choice>) {
        self.0.push(TdEvent { register: self.1, what, digest: Some(digest), of, only, open: false });
    }

    fn over(&mut self, what: &'static str, bytes: &[u8], of: impl Into<String>, only: Option<Choice>) {
        self.digest(what, DigestAlgorithm::Sha384.of(&[bytes]), of.into(), only);
    }

    fn unknown(&mut self, what: &'static str, why: &str, open: bool) {
        self.0.push(TdEvent { register: self.1, what, digest: None, of: why.to_owned(), only: None, open });
    }
}

const ZEROS: [u8; 4] = [0; 4];

fn rtmr0(guest: &TdGuest<'_>) -> Result<Vec<TdEvent>, PredictError> {
    let mut list = List(Vec::new(), "rtmr0");
    let firmware = guest.firmware.map(Firmware::parse).transpose()?;
    let sections = firmware.as_ref().map(sections).transpose()?;
    match (&sections, guest.memory) {
        (Some(sections), Some(memory)) => {
            list.over("TD HOB", &td_hob(sections, memory)?, format!("{} MiB of memory", memory >> 20), None);
        }
        (None, _) => list.unknown("TD HOB", "no firmware is named", false),
        (_, None) => list.unknown("TD HOB", "no memory is named", false),
    }
    let mut is_enrolled = false;
    match sections.as_ref().and_then(|sections| sections.iter().find(|section| section.kind == Kind::Variables)) {
        None if sections.is_some() => {
            return Err(PredictError::about(
                "firmware",
                "its metadata of TDX name no volume of variables (CFV), which TDVF measures",
            ));
        }
        None => list.unknown("variables", "no firmware is named", true),
        Some(volume) => {
            list.over("CFV", volume.content, "the volume of variables in the firmware", None);
            is_enrolled = secure_boot(&mut list, volume.content)?;
        }
    }
    if sections.is_some() {
        list.over("separator", &ZEROS, "behind the variables of Secure Boot", None);
    }
    match &guest.acpi {
        Some(acpi) => {
            let names = acpi.names_of_tables()?.join(" ");
            for (file, bytes) in acpi.measured()? {
                let of = if file == "etc/acpi/tables" { format!("{file}: {names}") } else { file.to_owned() };
                list.over("ACPI DATA", bytes, of, None);
            }
        }
        None => {
            for file in ["etc/table-loader", "etc/acpi/rsdp", "etc/acpi/tables"] {
                list.unknown("ACPI DATA", &format!("{file}: no ACPI tables are given (`--acpi`)"), false);
            }
        }
    }
    match &guest.kernel {
        Some(_) => {
            list.over("BootOrder", &[0, 0], "one boot option", None);
            list.over("Boot0000", &ui_app(), "UiApp of OVMF", None);
            if is_enrolled {
                list.unknown("authority", "which key of Secure Boot let the kernel pass", true);
            }
            list.over("separator", &ZEROS, "as the boot option starts", Some(Choice::SeparatorInRtmr0));
        }
        None => list.unknown("boot variables", "they are of the machine's devices; known only with `--kernel`", true),
    }
    Ok(list.0)
}

/// `SecureBoot`, `PK`, `KEK`, `db`, `dbx`. Whether a `PK` is enrolled.
fn secure_boot(list: &mut List, volume: &[u8]) -> Result<bool, PredictError> {
    let variables = Variables::read(volume)?;
    if variables.get(SECURITY, "dbt").is_some() {
        return Err(PredictError::about(
            "the variables in the firmware",
            "`dbt` is among them, and no log of such a boot was compared",
        ));
    }
    let platform_key = variables.get(GLOBAL, "PK");
    if platform_key.is_some() {
        list.unknown("SecureBoot", "a PK is enrolled, so it is 1 or, where it was turned off, 0", false);
    } else {
        let absent = measured(GLOBAL, "SecureBoot", &[]);
        let off = measured(GLOBAL, "SecureBoot", &[0]);
        list.over("SecureBoot", &absent, "nothing", Some(Choice::SecureBootAbsent));
        list.over("SecureBoot", &off, "0", Some(Choice::SecureBootOff));
    }
    for (guid, name) in [(GLOBAL, "PK"), (GLOBAL, "KEK"), (SECURITY, "db"), (SECURITY, "dbx")] {
        let value = variables.get(guid, name).unwrap_or_default();
        list.over(name, &measured(guid, name, value), format!("{} bytes in the firmware", value.len()), None);
    }
    Ok(platform_key.is_some())
}

fn rtmr1(guest: &TdGuest<'_>, by_qemu: bool) -> Result<Vec<TdEvent>, PredictError> {
    let mut list = List(Vec::new(), "rtmr1");
    let Some(kernel) = &guest.kernel else {
        list.unknown("boot", "it is of what boots from which disk; known only with `--kernel`", true);
        return Ok(list.0);
    };
    let as_file = Some(Choice::KernelAsFile);
    list.digest("kernel", kernel.as_file()?, "PE hash of the file".to_owned(), as_file);
    if by_qemu {
        match guest.memory {
            None if !kernel.initrd.is_empty() => {
                list.unknown("kernel", "where QEMU loads the initrd depends on the memory, and none is named", false);
                if let Some(last) = list.0.last_mut() {
                    last.only = Some(Choice::KernelByQemu);
                }
            }
            memory => {
                let digest = kernel.by_qemu(memory.unwrap_or_default())?;
                let of = "PE hash of the file with its header filled in".to_owned();
                list.digest("kernel", digest, of, Some(Choice::KernelByQemu));
            }
        }
    }
    let mut action = |text: &'static str| list.over("action", text.as_bytes(), text, None);
    action("Calling EFI Application from Boot Option");
    list.over("separator", &ZEROS, "as the boot option starts", Some(Choice::SeparatorInRtmr1));
    let mut action = |text: &'static str| list.over("action", text.as_bytes(), text, None);
    action("Exit Boot Services Invocation");
    action("Exit Boot Services Returned with Success");
    Ok(list.0)
}

fn rtmr2(guest: &TdGuest<'_>) -> Result<Vec<TdEvent>, PredictError> {
    let mut list = List(Vec::new(), "rtmr2");
    let Some(kernel) = &guest.kernel else {
        list.unknown("kernel", "it is of what boots; known only with `--kernel` or `--uki`", true);
        return Ok(list.0);
    };
    let options = kernel.load_options()?;
    if !cc::is_known([kernel.kernel]) {
        let why = "its EFI stub does not hold the GUID of EFI_CC_MEASUREMENT_PROTOCOL, without which nothing extends an RTMR; Linux 6.12 does";
        list.unknown("kernel", why, true);
        return Ok(list.0);
    }
    match options {
        Some(options) => list.over("load options", &options, "the command line, in UTF-16 with a zero", None),
        None => list.unknown("load options", "no log of a boot without a command line was compared", true),
    }
    if !kernel.initrd.is_empty() {
        list.over("initrd", kernel.initrd, format!("{} bytes", kernel.initrd.len()), None);
    }
    Ok(list.0)
}

/// The load option under which OVMF has its own menu: attributes 0x109 (active, hidden, an application), length of the path, name, path (a file
/// in a firmware volume, both by GUID), end.
fn ui_app() -> Vec<u8> {
    const PATH: [u8; 44] = [
        0x04, 0x07, 20, 0, 0xc9, 0xbd, 0xb8, 0x7c, 0xeb, 0xf8, 0x34, 0x4f, 0xaa, 0xea, 0x3e, 0xe4, 0xaf, 0x65, 0x16,
        0xa1, //
        0x04, 0x06, 20, 0, 0x21, 0xaa, 0x2c, 0x46, 0x14, 0x76, 0x03, 0x45, 0x83, 0x6e, 0x8a, 0xb6, 0xf4, 0x66, 0x23,
        0x31, //
        0x7f, 0xff, 4, 0,
    ];
    let name: Vec<u8> = "UiApp\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    [&0x109_u32.to_le_bytes()[..], &44_u16.to_le_bytes(), &name, &PATH].concat()
}
