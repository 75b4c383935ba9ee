//! A unified kernel image: systemd's stub, and beside it the kernel and all that it starts with, each a section.
//!
//! UAPI Group, *Unified Kernel Image (UKI)*; systemd-stub(7).

use super::input::PredictError;
use super::pe::Image;

/// Its parts. A section that is absent is not measured.
pub(super) struct Uki<'a> {
    pub(super) image: Image<'a>,
    pub(super) kernel: &'a [u8],
    pub(super) command_line: &'a str,
    pub(super) initrd: &'a [u8],
    /// What the stub measures, in its order.
    pub(super) measured: Vec<(&'static str, &'a [u8])>,
    /// The stub's version, as it says itself.
    pub(super) stub: &'a str,
}

/// The order in which a stub measures, and from which version on it measures each.
const MEASURED: &[(&str, u32)] = &[
    (".linux", 252),
    (".osrel", 252),
    (".cmdline", 252),
    (".initrd", 252),
    (".splash", 252),
    (".dtb", 252),
    (".uname", 255),
    (".sbat", 255),
    (".pcrpkey", 252),
];

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
        let version = version(stub).filter(|version| *version >= 252);
        let Some(version) = version else {
            return Err(input.wrong(format_args!(
                "its stub is `{}`: PCR 11 is known from systemd-stub 252 on",
                stub.chars().take(40).collect::<String>()
            )));
        };
        if (253..255).contains(&version) {
            return Err(input.wrong(format_args!(
                "its stub is of version {version}: whether those of 253 and 254 measure `.uname` and `.sbat` was not compared; take 252, \
                 or 255 and newer"
            )));
        }
        let mut measured = Vec::new();
        for (name, since) in MEASURED.iter().filter(|(_, since)| *since <= version) {
            debug_assert!(*since >= 252);
            if let Some(content) = image.section(name)? {
                measured.push((*name, content));
            }
        }
        let part = |name: &str| measured.iter().find(|(own, _)| *own == name).map(|(_, content)| *content);
        let kernel =
            part(".linux").ok_or_else(|| input.wrong("it has no section `.linux`: it is no unified kernel image"))?;
        let command_line = part(".cmdline").ok_or_else(|| {
            input.wrong("it has no section `.cmdline`: whoever starts it chooses the command line, so no value of it can be pinned")
        })?;
        let command_line = std::str::from_utf8(command_line).ok().filter(|text| {
            text.trim() == *text && !text.is_empty() && text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
        });
        let command_line = command_line.ok_or_else(|| {
            input.wrong(
                "its command line is empty, or has other characters than ASCII, or space at its ends (a line feed from `echo`): what of \
                 that the kernel is handed differs between versions of the stub",
            )
        })?;
        let initrd = part(".initrd").unwrap_or_default();
        Ok(Self { kernel, command_line, initrd, measured, stub, image })
    }
}

/// `.sdmagic` of the stub: `#### LoaderInfo: systemd-stub 252.39-1 ####`.
fn stub<'a>(image: &Image<'a>) -> Result<&'a str, PredictError> {
    let magic = image.section(".sdmagic")?;
    let text = magic.and_then(|magic| std::str::from_utf8(magic).ok());
    let named = text.and_then(|text| text.split_once("LoaderInfo: ")).and_then(|(_, rest)| rest.split_once(" ####"));
    named.map(|(name, _)| name).ok_or_else(|| {
        image.input.wrong("it has no section `.sdmagic` that names its stub: only images on systemd-stub are known")
    })
}

/// The first number in `systemd-stub 252.39-1~deb12u2`.
fn version(stub: &str) -> Option<u32> {
    let digits: String = stub.strip_prefix("systemd-stub ")?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
