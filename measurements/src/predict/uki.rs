//! A unified kernel image: systemd's stub, and beside it the kernel and all that it starts with, each a section.
//!
//! UAPI Group, *Unified Kernel Image (UKI)*; systemd-stub(7). What a stub does depends on its version, and only those are known whose boots
//! were compared.

use super::cpio;
use super::input::PredictError;
use super::pe::Image;

/// Its parts. A section that is absent or empty is not measured.
pub(super) struct Uki<'a> {
    pub(super) image: Image<'a>,
    pub(super) kernel: &'a [u8],
    pub(super) command_line: &'a str,
    pub(super) initrd: &'a [u8],
    /// What the stub puts behind the initrd, which the kernel takes as one with it.
    pub(super) behind_initrd: Vec<u8>,
    /// What the stub measures, in its order.
    pub(super) measured: Vec<(&'static str, &'a [u8])>,
    /// The stub's version, as it says itself, cut to a line.
    pub(super) stub: String,
    /// Whether the firmware loads the kernel for the stub, and so measures it.
    pub(super) kernel_is_loaded_by_firmware: bool,
}

/// What versions of the stub do, one row for each whose boots were compared.
struct Version {
    number: u32,
    /// Whether it measures `.uname` and `.sbat`.
    measures_uname_and_sbat: bool,
    /// Whether it hands `.osrel` to the guest as a file.
    hands_on_os_release: bool,
    /// Whether the firmware loads the kernel. Later ones do it themselves, unless Secure Boot and shim are there.
    loads_by_firmware: bool,
}

const VERSIONS: &[Version] = &[
    Version { number: 252, measures_uname_and_sbat: false, hands_on_os_release: false, loads_by_firmware: true },
    Version { number: 254, measures_uname_and_sbat: true, hands_on_os_release: false, loads_by_firmware: true },
    Version { number: 255, measures_uname_and_sbat: true, hands_on_os_release: false, loads_by_firmware: true },
    Version { number: 257, measures_uname_and_sbat: true, hands_on_os_release: true, loads_by_firmware: true },
    Version { number: 262, measures_uname_and_sbat: true, hands_on_os_release: true, loads_by_firmware: false },
];

/// The order in which a stub measures.
const MEASURED: &[&str] =
    &[".linux", ".osrel", ".cmdline", ".initrd", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey"];

/// The order in which it hands sections on, and under which names.
const HANDED_ON: &[(&str, &str)] =
    &[(".pcrsig", "tpm2-pcr-signature.json"), (".pcrpkey", "tpm2-pcr-public-key.pem"), (".osrel", "os-release")];

/// What makes the boot depend on the machine, or the initrd on more than its section.
const UNPREDICTABLE: &[(&str, &str)] = &[
    (".profile", "which profile boots is chosen at the boot"),
    (".dtbauto", "the machine decides which device tree is taken"),
    (".hwids", "the machine decides which device tree is taken"),
    (".efifw", "the machine decides which firmware is taken"),
    (".ucode", "the stub joins it with the initrd, and no boot of such an image was compared"),
];

impl<'a> Uki<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, PredictError> {
        let image = Image::parse("UKI", bytes)?;
        let input = image.input;
        if let Some((name, why)) = UNPREDICTABLE.iter().find(|(name, _)| image.has(name)) {
            return Err(input.wrong(format_args!("it has a section `{name}`: {why}")));
        }
        let stub = stub(&image)?;
        let number = number(&stub);
        let version = VERSIONS.iter().find(|version| Some(version.number) == number).ok_or_else(|| {
            input.wrong(format_args!(
                "its stub is `{stub}`: what one measures depends on its version, and boots were compared of systemd-stub {}",
                compared()
            ))
        })?;
        // To the stub, a section without bytes is none.
        let section = |name: &str| Ok(image.section(name)?.filter(|content| !content.is_empty()));
        let mut measured = Vec::new();
        let is_measured = |name: &&&str| version.measures_uname_and_sbat || !matches!(**name, ".uname" | ".sbat");
        for name in MEASURED.iter().filter(is_measured) {
            if let Some(content) = section(name)? {
                measured.push((*name, content));
            }
        }
        let kernel = section(".linux")?
            .ok_or_else(|| input.wrong("it has no section `.linux`, or an empty one: it is no unified kernel image"))?;
        let command_line = section(".cmdline")?.ok_or_else(|| {
            input.wrong(
                "it has no section `.cmdline`, or an empty one: whoever starts it chooses the command line, so no value of it can be \
                 pinned",
            )
        })?;
        let command_line = std::str::from_utf8(command_line)
            .ok()
            .filter(|text| text.trim() == *text && text.chars().all(|c| c == ' ' || c.is_ascii_graphic()));
        let command_line = command_line.ok_or_else(|| {
            input.wrong(
                "its command line has other characters than ASCII, or space at its ends (a line feed from `echo`): what of that the \
                 kernel is handed differs between versions of the stub",
            )
        })?;
        let initrd = section(".initrd")?.unwrap_or_default();
        let mut behind_initrd = Vec::new();
        for (name, file) in HANDED_ON.iter().filter(|(name, _)| version.hands_on_os_release || *name != ".osrel") {
            if let Some(content) = section(name)? {
                if behind_initrd.is_empty() {
                    behind_initrd.resize(cpio::filling(initrd.len()), 0);
                }
                behind_initrd.extend(cpio::extra(file, content));
            }
        }
        let kernel_is_loaded_by_firmware = version.loads_by_firmware;
        Ok(Self { kernel, command_line, initrd, behind_initrd, measured, stub, kernel_is_loaded_by_firmware, image })
    }

    /// The stub's own code: all sections but those that it measures or hands on.
    pub(super) fn stub_code(&self) -> Vec<&'a [u8]> {
        let payload = MEASURED.iter().chain(HANDED_ON.iter().map(|(name, _)| name));
        let sections = self.image.sections.iter();
        let own = sections.filter(|section| !payload.clone().any(|name| section.is_named(name)));
        let input = self.image.input;
        own.filter_map(|section| input.slice(section.offset, section.raw_size, "a section").ok()).collect()
    }
}

/// The versions whose boots were compared, in words.
fn compared() -> String {
    let numbers: Vec<_> = VERSIONS.iter().map(|version| version.number.to_string()).collect();
    match numbers.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => numbers.concat(),
    }
}

/// `.sdmagic` of the stub: `#### LoaderInfo: systemd-stub 252.39-1 ####`.
fn stub(image: &Image<'_>) -> Result<String, PredictError> {
    let magic = image.section(".sdmagic")?;
    let text = magic.and_then(|magic| std::str::from_utf8(magic).ok());
    let named = text.and_then(|text| text.split_once("LoaderInfo: ")).and_then(|(_, rest)| rest.split_once(" ####"));
    named.map(|(name, _)| name.chars().take(40).collect()).ok_or_else(|| {
        image.input.wrong("it has no section `.sdmagic` that names its stub: only images on systemd-stub are known")
    })
}

/// The first number in `systemd-stub 252.39-1~deb12u2`.
fn number(stub: &str) -> Option<u32> {
    let digits: String = stub.strip_prefix("systemd-stub ")?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
