//! `teegate predict tdx`: MRTD and RTMRs of a TD, and its events beside the log of a boot.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use teegate_measurements::predict::{
    self, AcpiBlobs, AcpiOrigin, Choice, Compared, Outcome, PageOrder, Prediction, TdBoot, TdEvent, TdGuest, TdKernel,
};

use super::{Document, Shown, about, command, of_file, read, text};
use crate::output::{self, plain};
use crate::screen::Screen;
use crate::verify::Format;
use crate::{exit, help};

#[derive(Args)]
#[command(after_help = help::PREDICT_TDX)]
#[group(id = "input", required = true, multiple = true, args = ["firmware", "event_log", "uki", "kernel"])]
pub(super) struct TdxArgs {
    /// TDVF firmware, whole and raw: MRTD, and a part of RTMR0
    #[arg(long, value_name = "FILE")]
    firmware: Option<PathBuf>,
    /// How the VMM adds pages
    #[arg(long, value_enum, default_value_t = OrderName::Either, requires = "firmware")]
    page_order: OrderName,
    /// Event log of a boot (CCEL): RTMR0 to RTMR3, as the log says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["memory", "acpi", "acpi_tables", "kernel", "against"])]
    event_log: Option<PathBuf>,
    /// Unified kernel image that boots: RTMR2
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "against"])]
    uki: Option<PathBuf>,
    /// Memory of the TD, in MiB, or with `M` or `G` behind it
    #[arg(long, value_name = "SIZE", value_parser = memory, requires = "firmware")]
    memory: Option<u64>,
    /// Folder of ACPI tables that `ci/acpi.sh` rebuilt from a VM's shape
    #[arg(long, value_name = "FOLDER", requires = "firmware")]
    acpi: Option<PathBuf>,
    /// Or QEMU's `etc/acpi/tables`
    #[arg(long, value_name = "FILE", conflicts_with = "acpi", requires_all = ["firmware", "acpi_rsdp", "acpi_loader"])]
    acpi_tables: Option<PathBuf>,
    /// And its `etc/acpi/rsdp`
    #[arg(long, value_name = "FILE", requires = "acpi_tables")]
    acpi_rsdp: Option<PathBuf>,
    /// And its `etc/table-loader`
    #[arg(long, value_name = "FILE", requires = "acpi_tables")]
    acpi_loader: Option<PathBuf>,
    /// A kernel that QEMU hands to the firmware (`-kernel`), with nothing else to boot from: RTMR1, RTMR2, and the rest of RTMR0
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Its initial memory disk
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Its command line
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = "", hide_default_value = true)]
    append: String,
    /// What the builds of firmware and VMM do, where it is known; may be given again
    #[arg(long, value_enum, value_name = "BUILD")]
    build: Vec<BuildName>,
    /// Event log of a boot (CCEL) to hold the events against, one by one
    #[arg(long, value_name = "FILE", conflicts_with = "reference_values")]
    against: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Clone, Copy, ValueEnum)]
enum OrderName {
    /// Each page and its content before the next
    PageByPage,
    /// All pages of a section, then their content
    TwoPasses,
    /// Both values: either is of this firmware
    Either,
}

#[derive(Clone, Copy, ValueEnum)]
enum BuildName {
    /// Firmware without Secure Boot: no variable `SecureBoot`
    SecureBootAbsent,
    /// Firmware with Secure Boot, turned off: `SecureBoot` is 0
    SecureBootOff,
    /// The last separator extends RTMR0
    SeparatorRtmr0,
    /// The last separator extends RTMR1
    SeparatorRtmr1,
    /// The VMM hands over the kernel as its file has it
    KernelAsFile,
    /// QEMU fills in the kernel's header
    KernelByQemu,
}

impl From<BuildName> for Choice {
    fn from(name: BuildName) -> Self {
        match name {
            BuildName::SecureBootAbsent => Self::SecureBootAbsent,
            BuildName::SecureBootOff => Self::SecureBootOff,
            BuildName::SeparatorRtmr0 => Self::SeparatorInRtmr0,
            BuildName::SeparatorRtmr1 => Self::SeparatorInRtmr1,
            BuildName::KernelAsFile => Self::KernelAsFile,
            BuildName::KernelByQemu => Self::KernelByQemu,
        }
    }
}

fn memory(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['G', 'g']) {
        Some(digits) => (digits, 30),
        None => (text.strip_suffix(['M', 'm']).unwrap_or(text), 20),
    };
    let number: Option<u64> = digits.parse().ok().filter(|number| *number > 0 && *number < 1 << 32);
    number.map(|number| number << shift).ok_or_else(|| "expected MiB, as in `2048`, `2048M` or `2G`".to_owned())
}

/// Runs the command.
pub(super) fn run(args: &TdxArgs) -> ExitCode {
    match predicted(args).and_then(|all| written(&all, args)) {
        Ok((text, status)) => output::finish(&text, status),
        Err(message) => output::fail(&message),
    }
}

/// What there is to say.
struct All {
    prediction: Prediction,
    boot: Option<TdBoot>,
    compared: Option<Compared>,
}

fn predicted(args: &TdxArgs) -> Result<All, String> {
    let orders: &[PageOrder] = match args.page_order {
        OrderName::PageByPage => &[PageOrder::PageByPage],
        OrderName::TwoPasses => &[PageOrder::TwoPasses],
        OrderName::Either => &PageOrder::ALL,
    };
    let boot = boot(args)?;
    let compared = match (&args.against, &boot) {
        (Some(file), Some(boot)) => {
            let log = read(file, MAX_LOG_BYTES)?;
            Some(boot.against(&log).map_err(|error| format!("`{}`: {error}", file.display()))?)
        }
        _ => None,
    };
    let parts = [
        args.firmware
            .as_deref()
            .map(|file| of_file(file, predict::MAX_FIRMWARE_BYTES, |bytes| predict::mrtd(bytes, orders))),
        args.event_log.as_deref().map(|file| of_file(file, MAX_LOG_BYTES, predict::rtmrs)),
        // Before the boot, which counts the image's events: this says which image they are of.
        args.uki.as_deref().map(|file| of_file(file, predict::MAX_IMAGE_BYTES, predict::rtmr2)),
        boot.as_ref().map(|boot| Ok(boot.prediction())),
    ];
    let mut joined: Option<Prediction> = None;
    for part in parts.into_iter().flatten() {
        let part = part?;
        joined = Some(match joined {
            None => part,
            Some(others) => others.and(part).map_err(|error| error.to_string())?,
        });
    }
    let mut prediction = joined.ok_or_else(|| "name `--firmware`, `--event-log`, `--uki` or `--kernel`".to_owned())?;
    prediction.values.sort_by_key(|one| one.field);
    Ok(All { prediction, boot, compared })
}

/// The boot of the TD, where more is asked than what the firmware alone says.
fn boot(args: &TdxArgs) -> Result<Option<TdBoot>, String> {
    let acpi = acpi(args)?;
    if args.memory.is_none() && acpi.is_none() && args.kernel.is_none() && args.against.is_none() {
        return Ok(None);
    }
    let whole = |file: &Option<PathBuf>, most| file.as_deref().map(|file| read(file, most)).transpose();
    let firmware = whole(&args.firmware, predict::MAX_FIRMWARE_BYTES)?;
    let kernel = whole(&args.kernel, predict::MAX_IMAGE_BYTES)?;
    let initrd = whole(&args.initrd, predict::MAX_FILE_BYTES)?.unwrap_or_default();
    let guest = TdGuest {
        firmware: firmware.as_deref(),
        memory: args.memory,
        acpi: acpi.as_ref().map(|acpi| AcpiBlobs {
            tables: &acpi.tables,
            rsdp: &acpi.rsdp,
            loader: &acpi.loader,
            origin: acpi.shape.as_deref().map_or(AcpiOrigin::Files, AcpiOrigin::Rebuilt),
        }),
        kernel: kernel.as_deref().map(|kernel| TdKernel { kernel, initrd: &initrd, command_line: &args.append }),
    };
    let choices: Vec<Choice> = args.build.iter().copied().map(Choice::from).collect();
    let inputs = [("firmware", args.firmware.as_deref()), ("the kernel", args.kernel.as_deref())];
    let boot = TdBoot::of(&guest, &choices).map_err(|error| about(&error, &inputs))?;
    let Some(file) = &args.uki else { return Ok(Some(boot)) };
    let image = read(file, predict::MAX_IMAGE_BYTES)?;
    boot.of_image(&image).map(Some).map_err(|error| format!("`{}`: {error}", file.display()))
}

struct Acpi {
    tables: Vec<u8>,
    rsdp: Vec<u8>,
    loader: Vec<u8>,
    /// Of the VM from which they were rebuilt, if they were.
    shape: Option<String>,
}

/// What `ci/acpi.sh` writes of a shape is a line.
const MAX_SHAPE_BYTES: usize = 16 << 10;
/// Firmware gives a log 64 KiB; more than this no reader takes.
const MAX_LOG_BYTES: usize = 1 << 20;

fn acpi(args: &TdxArgs) -> Result<Option<Acpi>, String> {
    let of = |tables: &Path, rsdp: &Path, loader: &Path, shape: Option<String>| {
        let [tables, rsdp, loader] = [tables, rsdp, loader].map(|file| read(file, predict::MAX_ACPI_BYTES));
        Ok(Some(Acpi { tables: tables?, rsdp: rsdp?, loader: loader?, shape }))
    };
    match (&args.acpi, &args.acpi_tables, &args.acpi_rsdp, &args.acpi_loader) {
        (Some(folder), ..) => {
            let file = folder.join("shape");
            let shape = read(&file, MAX_SHAPE_BYTES);
            let shape = shape.map_err(|error| format!("{error}; `ci/acpi.sh --into` makes such a folder"))?;
            let shape = String::from_utf8(shape).map_err(|_| format!("`{}` is no line of text", file.display()))?;
            if let (Some(own), Some(asked)) = (memory_of(&shape), args.memory)
                && own != asked
            {
                return Err(format!(
                    "`--memory` is {} MiB, and the tables in `{}` were rebuilt of a VM with {} MiB (`-m` in `{}`): no VM has both; rebuild \
                     them with `ci/acpi.sh`, or name that memory",
                    asked >> 20,
                    folder.display(),
                    own >> 20,
                    file.display()
                ));
            }
            let [tables, rsdp, loader] = ["acpi-tables", "acpi-rsdp", "table-loader"].map(|name| folder.join(name));
            of(&tables, &rsdp, &loader, Some(plain(shape.trim()).to_string()))
        }
        (None, Some(tables), Some(rsdp), Some(loader)) => of(tables, rsdp, loader, None),
        _ => Ok(None),
    }
}

/// The memory that a shape names in QEMU's words: `-m 2048`, `-m 2G`, `-m size=2G,slots=4`; the last one counts. None where it names none,
/// or in words that are not known.
fn memory_of(shape: &str) -> Option<u64> {
    let words: Vec<&str> = shape.split_whitespace().collect();
    let mut named = words.windows(2).filter_map(|pair| match pair {
        ["-m" | "--m", value] => Some(*value),
        _ => None,
    });
    let value = named.next_back()?;
    let size = value.split(',').find_map(|part| part.strip_prefix("size=")).or_else(|| value.split(',').next())?;
    let end = size.find(|c: char| !c.is_ascii_digit()).unwrap_or(size.len());
    let (digits, suffix) = size.split_at_checked(end)?;
    let shift = match suffix {
        "K" | "k" => 10,
        "" | "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Schema `teegate/prediction/1`, with the events of the boot.
#[derive(Serialize)]
struct WithEvents<'a> {
    #[serde(flatten)]
    document: Document<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acpi_tables: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<&'a [TdEvent]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<&'a Compared>,
}

fn written(all: &All, args: &TdxArgs) -> Result<(String, u8), String> {
    let All { prediction, boot, compared } = all;
    let acpi = boot.as_ref().and_then(|boot| boot.acpi.as_deref());
    let status = if compared.as_ref().is_none_or(Compared::is_same) { exit::ACCEPTED } else { exit::FOUND };
    if args.shown.reference_values {
        // Whoever reads the value is told what stands behind it.
        let taken = args.event_log.as_ref().map(|_| "acpi tables: as the log has them, not looked at");
        let source = acpi.or(taken).map_or_else(command, |acpi| format!("{}; {acpi}", command()));
        let rebuilt = boot.as_ref().and_then(|boot| boot.rebuilt_acpi_tables.as_deref());
        let text =
            prediction.reference_values(&args.shown.name, &source, rebuilt).map_err(|error| error.to_string())?;
        return Ok((text, status));
    }
    match args.shown.format {
        Format::Json => {
            let document = Document { schema: "teegate/prediction/1", prediction };
            let events = boot.as_ref().map(|boot| boot.events.as_slice());
            let document = WithEvents { document, acpi_tables: acpi, events, against: compared.as_ref() };
            Ok((output::to_json(&serde_json::json!(document))?, status))
        }
        Format::Text => {
            let events = boot.as_ref().map(|boot| listed(&boot.events)).unwrap_or_default();
            let compared = compared.as_ref().map(beside).unwrap_or_default();
            Ok((Screen::shows(format!("{}{events}{compared}", text(prediction))), status))
        }
    }
}

fn listed(events: &[TdEvent]) -> String {
    let mut text = "\nevents, in order:\n".to_owned();
    for event in events {
        let only = event.only.map(|only| format!(" [{}]", only.name())).unwrap_or_default();
        let digest = event.digest.as_ref().map_or_else(|| "not predicted".to_owned(), teegate_encoding::hex::encode);
        text +=
            &format!("{:<6} {:<12} {digest}{only}\n{:<19} of {}\n", event.register, event.what, "", plain(&event.of));
    }
    text
}

fn beside(compared: &Compared) -> String {
    let mut text = format!("\nbeside the log, as: {}\n", compared.build.join(", "));
    for event in &compared.events {
        let outcome = match event.outcome {
            Outcome::Same => "same",
            Outcome::NotPredicted => "not predicted",
            Outcome::Differs => "DIFFERS",
        };
        text += &format!("{:<6} {:>2} {outcome:<13} {}\n", event.register, event.number, plain(&event.words));
    }
    text += if compared.is_same() {
        "nothing that is predicted differs\n"
    } else {
        "what follows a difference in its register is not compared\n"
    };
    text
}

#[cfg(test)]
mod tests {
    use super::memory_of;

    #[test]
    fn the_memory_of_a_shape_is_read_as_qemu_reads_it() {
        for (shape, mib) in [
            ("QEMU emulator version 7.2: -machine q35 -smp 2 -m 256M -nodefaults", Some(256)),
            ("x: -m 2048", Some(2048)),
            ("x: -m 4G,slots=3,maxmem=32G", Some(4096)),
            ("x: -m slots=3,size=4g", Some(4096)),
            ("x: -m 1024K -m 2g with a TPM", Some(2048)),
            ("x: -machine q35", None),
            ("x: -m", None),
            ("x: -m 4E", None),
            ("x: -m 99999999999999T", None),
        ] {
            assert_eq!(memory_of(shape), mib.map(|mib: u64| mib << 20), "{shape}");
        }
    }
}
