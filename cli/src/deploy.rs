//! `teegate deploy`: what has to agree with a pod's manifest, written in one step, and whether it still does.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use teegate_encoding::hex;
use teegate_measurements::deploy::{Deployed, Deployment, Platform, drift};

use crate::atomic::{self, Existing};
use crate::exit::{self, Stop};
use crate::{help, output};

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Options of `deploy`.
#[derive(Args)]
#[command(after_help = help::DEPLOY)]
pub(crate) struct DeployArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Write a pod's initdata (with the agent policy that binds its image), the annotation, and the policy that expects them
    #[command(after_help = help::DEPLOY_INITDATA)]
    Initdata(InitdataArgs),
}

#[derive(Args)]
struct InitdataArgs {
    /// The manifest with the Pod, Deployment or StatefulSet, YAML or JSON, as Kubernetes gets it; `-` is standard input
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
    /// Where the pod runs, and so where the digest of its initdata is measured
    #[arg(long, value_enum)]
    platform: PlatformName,
    /// Which workload, where the manifest holds several: its name, or `KIND/NAME` or `KIND/NAMESPACE/NAME` where two share one
    #[arg(long, value_name = "[KIND/]NAME")]
    name: Option<String>,
    /// The folder of `initdata.toml`, `patch.yaml` and `policy.toml`
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// Write nothing: say whether the files in the folder still fit the manifest
    #[arg(long)]
    check: bool,
    /// Replace `policy.toml` as well where it exists; without it, one that does not accept the new initdata is an error
    #[arg(long, conflicts_with = "check")]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlatformName {
    /// AKS with peer pods (`kata-remote`) on AMD sizes: PCR 8
    AzureSnp,
    /// AKS with peer pods (`kata-remote`) on Intel sizes: PCR 8
    AzureTdx,
    /// Kata on bare metal (`kata-qemu-snp`): HOST_DATA
    KataSnp,
    /// Kata on bare metal (`kata-qemu-tdx`): MRCONFIGID
    KataTdx,
}

impl From<PlatformName> for Platform {
    fn from(name: PlatformName) -> Self {
        match name {
            PlatformName::AzureSnp => Self::AzureSnp,
            PlatformName::AzureTdx => Self::AzureTdx,
            PlatformName::KataSnp => Self::KataSnp,
            PlatformName::KataTdx => Self::KataTdx,
        }
    }
}

/// Runs `teegate deploy`.
pub(crate) fn run(args: &DeployArgs) -> ExitCode {
    let Verb::Initdata(args) = &args.verb;
    match initdata(args) {
        Ok(text) => output::finish(&text, exit::ACCEPTED),
        Err(stop) => output::stop(&stop),
    }
}

fn initdata(args: &InitdataArgs) -> Result<String, Stop> {
    let text = read(&args.manifest)?;
    let made = Deployment::of(&text, args.name.as_deref(), args.platform.into())
        .map_err(|error| format!("`{}`: {error}", args.manifest.display()))?;
    let place = |name: &str| args.into.join(name);
    let policy = place("policy.toml");
    if !args.check {
        let existing = policy.try_exists().map_err(|error| format!("`{}`: {error}", policy.display()))?;
        if existing && !args.force {
            // It holds what its author wrote since: it is judged, never overwritten.
            let own = read(&policy)?;
            let deployed = Deployed { initdata: &made.initdata, patch: &made.patch, policy: &own };
            differs(&policy, drift(&Deployment { workload: without_annotation(&made), ..made.clone() }, deployed))?;
        }
        std::fs::create_dir_all(&args.into).map_err(|error| format!("`{}`: {error}", args.into.display()))?;
        if !existing || args.force {
            atomic::write(&policy, made.policy.as_bytes(), Existing::Replace)?;
        }
        atomic::write(&place("initdata.toml"), made.initdata.as_bytes(), Existing::Replace)?;
        atomic::write(&place("patch.yaml"), made.patch.as_bytes(), Existing::Replace)?;
    }
    let (initdata, patch, own) = (read(&place("initdata.toml"))?, read(&place("patch.yaml"))?, read(&policy)?);
    let deployed = Deployed { initdata: &initdata, patch: &patch, policy: &own };
    let workload = if args.check { made.workload.clone() } else { without_annotation(&made) };
    differs(&args.into, drift(&Deployment { workload, ..made.clone() }, deployed))?;
    let container = &made.workload.container;
    Ok(format!(
        "{} {}: {} runs {}\n{} = {}\nannotation: {} bytes\n",
        made.workload.kind,
        made.workload.name,
        container.name,
        container.image,
        made.measured.field,
        hex::encode(&made.measured.value),
        made.annotation.len()
    ))
}

/// The annotation in the manifest is about to be patched, so that an old one says nothing.
fn without_annotation(made: &Deployment) -> teegate_measurements::deploy::Workload {
    let mut workload = made.workload.clone();
    workload.annotation = None;
    workload
}

fn differs(place: &Path, found: Vec<String>) -> Result<(), Stop> {
    if found.is_empty() {
        return Ok(());
    }
    let message = format!("`{}`: {}", place.display(), found.join("; "));
    Err(Stop { status: exit::FOUND, message })
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| format!("`{}`: {error}", path.display());
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_string(&mut text)
    };
    read.map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("`{}`: more than {MAX_BYTES} bytes", path.display()));
    }
    Ok(text)
}
