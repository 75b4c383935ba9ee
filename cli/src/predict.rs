//! `teegate predict`: what hardware will measure, from the files that a guest is made of. Nothing is asked of a machine.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use teegate_measurements::predict::{
    self, CpuSignature, DigestAlgorithm, InitdataFor, PredictError, Prediction, SnpGuest, SnpKernel, SnpVmm,
};
use teegate_verifier::Tee;

use crate::output::{self, plain};
use crate::screen::Screen;
use crate::verify::{Format, TeeName};
use crate::{exit, file, help};

mod tdx;
mod unused;

/// Compute what hardware will measure of a guest, before it runs
#[derive(Args)]
#[command(after_help = help::PREDICT)]
pub(crate) struct PredictArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The launch digest of an SEV-SNP guest (`measurement`), from its firmware and kernel, or from an IGVM file
    SevSnp(SevSnpArgs),
    /// MRTD of a TD from its firmware, and RTMRs from what it is made of, from an image, or from an event log
    Tdx(tdx::TdxArgs),
    /// PCR 4, 9 and 11 of a guest with a TPM that boots a unified kernel image
    Pcr(PcrArgs),
    /// What initdata of Kata and CoCo becomes: HOST_DATA, MRCONFIGID, or PCR 8
    Initdata(InitdataArgs),
    /// HOST_DATA of a Confidential ACI container group, from its policy
    AciPolicy(AciArgs),
}

/// How the values are shown.
#[derive(Args)]
struct Shown {
    /// How to show them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write reference values in TOML, which `teegate policy fill` and `teegate verify` take
    #[arg(long, conflicts_with = "format")]
    reference_values: bool,
    /// What the reference values belong to
    #[arg(long, value_name = "TEXT", default_value = "predicted", requires = "reference_values")]
    name: String,
}

#[derive(Args)]
#[command(after_help = help::PREDICT_SEV_SNP)]
struct SevSnpArgs {
    /// OVMF firmware with the metadata of SEV, whole and raw
    #[arg(long, value_name = "FILE", required_unless_present = "igvm")]
    firmware: Option<PathBuf>,
    /// An IGVM file instead, which says all there is to say
    #[arg(long, value_name = "FILE", conflicts_with_all = ["firmware", "kernel", "vcpus", "cpu", "cpu_family", "vmm"])]
    igvm: Option<PathBuf>,
    /// A kernel that the VMM hands to the firmware (`-kernel`, with `kernel-hashes=on`)
    #[arg(long, value_name = "FILE", requires = "firmware")]
    kernel: Option<PathBuf>,
    /// Its initial memory disk
    #[arg(long, value_name = "FILE", requires = "kernel")]
    initrd: Option<PathBuf>,
    /// Its command line
    #[arg(long, value_name = "TEXT", requires = "kernel", default_value = "", hide_default_value = true)]
    append: String,
    /// Virtual processors
    #[arg(long, value_name = "N", required_unless_present = "igvm", value_parser = vcpus())]
    vcpus: Option<u32>,
    /// The processor that QEMU shows the guest
    #[arg(long, value_name = "NAME", value_parser = cpu_named)]
    cpu: Option<CpuSignature>,
    /// Or its family, as `lscpu` shows it
    #[arg(long, value_name = "N", conflicts_with = "cpu", requires_all = ["cpu_model", "cpu_stepping"])]
    cpu_family: Option<u32>,
    /// And its model
    #[arg(long, value_name = "N", requires = "cpu_family")]
    cpu_model: Option<u32>,
    /// And its stepping
    #[arg(long, value_name = "N", requires = "cpu_family")]
    cpu_stepping: Option<u32>,
    /// SEV_FEATURES of the guest: 0x1, or 0x21 where the kernel of the host turns debug swap on
    #[arg(long, value_name = "BITS", default_value = "0x1", value_parser = bits)]
    guest_features: u64,
    /// Who starts the guest
    #[arg(long, value_enum, default_value_t = VmmName::Qemu)]
    vmm: VmmName,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Clone, Copy, ValueEnum)]
enum VmmName {
    Qemu,
    Ec2,
    Gce,
}

#[derive(Args)]
#[command(after_help = help::PREDICT_PCR)]
struct PcrArgs {
    /// The unified kernel image
    #[arg(long, value_name = "FILE")]
    uki: PathBuf,
    /// Bank of the TPM
    #[arg(long, value_enum, default_value_t = BankName::Sha256)]
    bank: BankName,
    /// Under which TEE the guest with that TPM runs: the table that reference values stand in
    #[arg(long, value_enum)]
    tee: Option<TeeName>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Clone, Copy, ValueEnum)]
enum BankName {
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Args)]
#[command(after_help = help::PREDICT_INITDATA)]
struct InitdataArgs {
    /// initdata.toml, as it is given to the runtime
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where its digest goes
    #[arg(long, value_enum)]
    platform: PlaceName,
    /// With `azure-vtpm`, under which TEE the guest runs: the table that reference values stand in
    #[arg(long, value_enum)]
    tee: Option<TeeName>,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Clone, Copy, ValueEnum)]
enum PlaceName {
    /// HOST_DATA
    SevSnp,
    /// MRCONFIGID
    Tdx,
    /// PCR 8
    AzureVtpm,
}

#[derive(Args)]
#[command(after_help = help::PREDICT_ACI_POLICY)]
struct AciArgs {
    /// The policy: Rego, or Rego in base64 as a template carries it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    shown: Shown,
}

fn vcpus() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(predict::MAX_VCPUS))
}

fn cpu_named(name: &str) -> Result<CpuSignature, String> {
    CpuSignature::named(name).map_err(|error| error.to_string())
}

fn bits(text: &str) -> Result<u64, String> {
    let read = text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |digits| u64::from_str_radix(digits, 16).ok());
    read.ok_or_else(|| "expected a number, in decimal or in hexadecimal with `0x`".to_owned())
}

/// The verb whose options, which clap read, are refused, and why: one of them goes unused.
pub(crate) fn refused(matches: &clap::ArgMatches) -> Option<(&str, String)> {
    unused::refused(matches)
}

/// Runs the command.
pub(crate) fn run(args: &PredictArgs) -> ExitCode {
    let (prediction, shown) = match &args.verb {
        Verb::SevSnp(args) => (sev_snp(args), &args.shown),
        Verb::Tdx(args) => return tdx::run(args),
        Verb::Pcr(args) => {
            let bank = match args.bank {
                BankName::Sha256 => DigestAlgorithm::Sha256,
                BankName::Sha384 => DigestAlgorithm::Sha384,
                BankName::Sha512 => DigestAlgorithm::Sha512,
            };
            (
                of_file(&args.uki, predict::MAX_IMAGE_BYTES, |bytes| predict::pcrs(bytes, bank))
                    .and_then(|one| under(one, args.tee)),
                &args.shown,
            )
        }
        Verb::Initdata(args) => {
            let place = match args.platform {
                PlaceName::SevSnp => InitdataFor::SevSnp,
                PlaceName::Tdx => InitdataFor::Tdx,
                PlaceName::AzureVtpm => InitdataFor::AzureVtpm,
            };
            (
                of_file(&args.file, predict::MAX_INITDATA_BYTES, |bytes| predict::initdata(bytes, place))
                    .and_then(|one| under(one, args.tee)),
                &args.shown,
            )
        }
        Verb::AciPolicy(args) => (of_file(&args.file, predict::MAX_ACI_POLICY_BYTES, predict::aci_policy), &args.shown),
    };
    match prediction.and_then(|prediction| written(&prediction, shown)) {
        Ok(text) => output::finish(&text, exit::ACCEPTED),
        Err(message) => output::fail(&message),
    }
}

/// The same values, of a guest under this TEE.
fn under(prediction: Prediction, tee: Option<TeeName>) -> Result<Prediction, String> {
    match (tee.map(Tee::from), prediction.tee) {
        (Some(named), Some(own)) if named != own => Err(format!("this is of {own}, and `--tee` names {named}")),
        (named, own) => {
            let mut notes = prediction.notes;
            notes.extend(named.map(|named| format!("it is taken for a guest under {named}")));
            Ok(Prediction { tee: named.or(own), notes, ..prediction })
        }
    }
}

fn sev_snp(args: &SevSnpArgs) -> Result<Prediction, String> {
    if let Some(file) = &args.igvm {
        return of_file(file, predict::MAX_IGVM_BYTES, predict::igvm);
    }
    let missing = || "`--firmware` and `--vcpus` are needed".to_owned();
    let firmware_file = args.firmware.as_deref().ok_or_else(missing)?;
    let firmware = read(firmware_file, predict::MAX_FIRMWARE_BYTES)?;
    let measured = |file: &Option<PathBuf>| file.as_deref().map(|file| read(file, predict::MAX_FILE_BYTES)).transpose();
    let (kernel, initrd) = (measured(&args.kernel)?, measured(&args.initrd)?.unwrap_or_default());
    let cpu = match (args.cpu, args.cpu_family, args.cpu_model, args.cpu_stepping) {
        (named, None, ..) => named,
        (_, Some(family), Some(model), Some(stepping)) => {
            Some(CpuSignature::of(family, model, stepping).map_err(|error| error.to_string())?)
        }
        _ => return Err("family, model and stepping of a processor belong together".to_owned()),
    };
    let guest = SnpGuest {
        firmware: &firmware,
        kernel: kernel.as_deref().map(|kernel| SnpKernel { kernel, initrd: &initrd, command_line: &args.append }),
        vcpus: args.vcpus.ok_or_else(missing)?,
        cpu,
        guest_features: args.guest_features,
        vmm: match args.vmm {
            VmmName::Qemu => SnpVmm::Qemu,
            VmmName::Ec2 => SnpVmm::Ec2,
            VmmName::Gce => SnpVmm::Gce,
        },
    };
    let prediction = predict::sev_snp(&guest).map_err(|error| about(&error, &[("firmware", Some(firmware_file))]))?;
    if let (Some(file), Some(kernel)) = (&args.kernel, &kernel)
        && !predict::is_bzimage(kernel)
    {
        output::note(&format!(
            "`--kernel`: `{}` is no bzImage (`HdrS` at 0x202), and whatever is handed over is measured; is it the right file, and not \
             swapped with the initrd?",
            file.display()
        ));
    }
    Ok(prediction)
}

fn of_file(
    file: &Path,
    most: usize,
    predict: impl FnOnce(&[u8]) -> Result<Prediction, PredictError>,
) -> Result<Prediction, String> {
    predict(&read(file, most)?).map_err(|error| format!("`{}`: {error}", file.display()))
}

/// The error with the file that it is about, among these inputs; one about a number, or about who starts the guest, is about none.
fn about(error: &PredictError, files: &[(&str, Option<&Path>)]) -> String {
    let named = files.iter().find(|(name, _)| error.input().is_some_and(|input| input.ends_with(name)));
    named.and_then(|(_, file)| *file).map_or_else(|| error.to_string(), |file| format!("`{}`: {error}", file.display()))
}

fn read(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    file::read(path, most).map_err(|what| format!("`{}` {what}", path.display()))
}

/// Schema `teegate/prediction/1`.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    #[serde(flatten)]
    prediction: &'a Prediction,
}

fn written(prediction: &Prediction, shown: &Shown) -> Result<String, String> {
    if shown.reference_values {
        return prediction.reference_values(&shown.name, &command(), None).map_err(|error| error.to_string());
    }
    match shown.format {
        Format::Json => output::to_json(&serde_json::json!(Document { schema: "teegate/prediction/1", prediction })),
        Format::Text => Ok(Screen::shows(text(prediction))),
    }
}

fn text(prediction: &Prediction) -> String {
    let mut text = String::new();
    for one in &prediction.values {
        let value = teegate_encoding::hex::encode(&one.value);
        text += &format!("{:<12} {value}\n{:<12} of {}\n", one.field, "", plain(&one.of));
    }
    if !prediction.notes.is_empty() {
        text += "\n";
    }
    for note in &prediction.notes {
        text += &format!("note: {}\n", plain(note));
    }
    text
}

/// The command that was called, as a shell would take it again.
fn command() -> String {
    let words = std::env::args_os().skip(1).map(|word| {
        let word = word.to_string_lossy().into_owned();
        let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,".contains(c));
        if is_plain { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    std::iter::once("teegate".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
