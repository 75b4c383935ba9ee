//! `teegate deploy`: what has to agree with a pod's manifest, written in one step, and whether it still does.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use teegate_encoding::hex;
use teegate_measurements::deploy::{Deployed, Deployment, Platform, drift};

use crate::atomic::Place;
use crate::exit::{self, Stop};
use crate::verify::Format;
use crate::{file, help, output};

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

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
    /// How to show what was written, or what differs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
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
    let answered = initdata(args).and_then(|(made, found)| match args.format {
        Format::Json => {
            let status = if found.is_empty() { exit::ACCEPTED } else { exit::FOUND };
            Ok((output::to_json(&in_json(&made, &found))?, status))
        }
        Format::Text => differs(&args.into, found).map(|()| (in_words(&made), exit::ACCEPTED)),
    });
    match answered {
        Ok((text, status)) => output::finish(&text, status),
        Err(stop) => output::stop(&stop),
    }
}

/// What belongs to the manifest, and where the files differ from it.
fn initdata(args: &InitdataArgs) -> Result<(Deployment, Vec<String>), Stop> {
    let text = read(&args.manifest)?;
    let made = Deployment::of(&text, args.name.as_deref(), args.platform.into())
        .map_err(|error| format!("`{}`: {error}", named(&args.manifest)))?;
    let place = |name: &str| args.into.join(name);
    let policy = place("policy.toml");
    if !args.check {
        let is_there = |path: &Path| path.try_exists().map_err(|error| format!("`{}`: {error}", path.display()));
        let existing = is_there(&policy)?;
        if existing && !args.force {
            // It holds what its author wrote since: it is judged, never overwritten.
            let own = read(&policy)?;
            let deployed = Deployed { initdata: &made.initdata, patch: &made.patch, policy: &own };
            differs(&policy, drift(&Deployment { workload: without_annotation(&made), ..made.clone() }, deployed))?;
        }
        for name in ["initdata.toml", "patch.yaml"] {
            // What an earlier run wrote stands beside its policy. This may be somebody's own.
            if !existing && !args.force && is_there(&place(name))? {
                let message = format!(
                    "`{}` is there already and no policy.toml beside it: name another folder, or give `--force` to replace it",
                    place(name).display()
                );
                return Err(message.into());
            }
        }
        std::fs::create_dir_all(&args.into).map_err(|error| format!("`{}`: {error}", args.into.display()))?;
        // Every place is made sure of before the first is written, so that none of the three stands beside those of another run.
        let mut writes = vec![
            (Place::open(&place("initdata.toml"))?, &made.initdata),
            (Place::open(&place("patch.yaml"))?, &made.patch),
        ];
        if !existing || args.force {
            writes.push((Place::open(&policy)?, &made.policy));
        }
        for (place, text) in writes {
            place.write(text.as_bytes())?;
        }
    }
    let written = |name: &str| {
        let remedy = if args.check { "; without `--check` it is written" } else { "" };
        read(&place(name)).map_err(|error| format!("{error}{remedy}"))
    };
    let (initdata, patch, own) = (written("initdata.toml")?, written("patch.yaml")?, written("policy.toml")?);
    let deployed = Deployed { initdata: &initdata, patch: &patch, policy: &own };
    let workload = if args.check { made.workload.clone() } else { without_annotation(&made) };
    let found = drift(&Deployment { workload, ..made.clone() }, deployed);
    Ok((made, found))
}

fn in_words(made: &Deployment) -> String {
    let container = &made.workload.container;
    format!(
        "{} {}: {} runs {}\n{} = {}\nannotation: {} bytes\n",
        made.workload.kind,
        made.workload.name,
        container.name,
        container.image,
        made.measured.field,
        hex::encode(&made.measured.value),
        made.annotation.len()
    )
}

fn in_json(made: &Deployment, found: &[String]) -> serde_json::Value {
    let workload = &made.workload;
    serde_json::json!({
        "schema": "teegate/deploy-initdata/1",
        "workload": {
            "kind": workload.kind,
            "name": workload.name,
            "namespace": workload.namespace,
            "container": workload.container.name,
            "image": workload.container.image,
        },
        "platform": made.platform.name(),
        "measured": { "field": made.measured.field, "value": hex::encode(&made.measured.value) },
        "annotation_bytes": made.annotation.len(),
        "differences": found,
    })
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
    let failed = |what: String| format!("`{}` {what}", named(path));
    let bytes = if path == Path::new("-") {
        file::at_most(std::io::stdin().lock(), MAX_BYTES).map_err(failed)?
    } else {
        file::read(path, MAX_BYTES).map_err(failed)?
    };
    String::from_utf8(bytes).map_err(|_| failed("is not UTF-8 text".to_owned()))
}

fn named(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}
