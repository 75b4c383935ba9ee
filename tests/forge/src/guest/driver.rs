//! An SEV-SNP guest whose kernel has the driver's device, in place of the guest API: a socket behind which the firmware is, for the stand-in
//! of the driver (`device/sev_guest.c`); and, in a container group of Confidential ACI, the security contexts, true and false ones.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use teegate_forge as forge;
use teegate_forge::aci::AciBuilder;
use teegate_forge::sev_guest::{DEFECTS, Defect, Firmware};

use crate::args::Args;
use crate::device::Device;

type Edit = fn(&mut AciBuilder);

/// What is wrong with a security context, by the name of its folder; `good` is the one that nothing is wrong with.
const CONTEXTS: [(&str, Edit); 6] = [
    ("good", |_| {}),
    ("other-policy", |aci| aci.policy = b"package policy\n\nallow_all := true\n".to_vec()),
    ("older-svn", |aci| aci.svn = "\"99\"".to_owned()),
    ("other-feed", |aci| aci.feed = "ContainerPlat-AMD-UVM-Preview".to_owned()),
    ("other-issuer", |aci| aci.issuer = Some(forge::aci().build().issuer.replace("59.1.2", "59.1.3"))),
    ("other-measurement", |aci| aci.measurement = [0xEE; 48]),
];

/// Writes its files, says where it is, and answers until the process is ended.
pub(crate) fn serve(args: &Args, device: &Device, at: u64) -> Result<(), String> {
    let dir = std::path::absolute(&args.dir).map_err(|error| format!("`{}`: {error}", args.dir.display()))?;
    let written = |error: std::io::Error| format!("cannot write into `{}`: {error}", dir.display());
    let issuer = forge::aci().build().issuer;
    let more: &[_] = if args.aci { &[("uvm_issuer", issuer.into()), ("uvm_svn", 100.into())] } else { &[] };
    device.write_files(&dir, more).map_err(written)?;
    let (socket, file) = (dir.join("firmware.socket"), dir.join("sev-guest"));
    let mut ready = serde_json::json!({ "socket": socket.display().to_string(), "driver": file.display().to_string() });
    // A character device that answers to no such request: what does is in front of the program.
    symlink("/dev/null", &file).map_err(written)?;
    if args.aci {
        let Some(thim) = device.thim() else { return Err("--aci: Confidential ACI is SEV-SNP".to_owned()) };
        for (name, edit) in CONTEXTS {
            write_context(&dir.join("contexts").join(name), edit, &thim, at).map_err(written)?;
        }
        ready["contexts"] = dir.join("contexts").display().to_string().into();
    }
    let listener = UnixListener::bind(&socket).map_err(written)?;
    println!("{ready}");
    std::io::stdout().flush().map_err(|error| format!("cannot write to stdout: {error}"))?;
    eprintln!("forge-guest: a forged firmware of SEV-SNP behind {}", socket.display());
    let report = |report_data| device.report(report_data);
    let defect = || defect(args.defect.as_deref());
    let table = device.certificate_table();
    let served = Firmware { report: &report, table, defect: &defect, refusals: 0 }.serve(&listener);
    served.map_err(|error| format!("the socket: {error}"))
}

fn write_context(folder: &Path, edit: Edit, thim: &[u8], at: u64) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut builder = forge::aci();
    // Valid around now, as everything else of this device.
    let year = forge::time::YEAR;
    (builder.signer_window, builder.intermediate_window) = ((at - year / 2, at + year / 2), (at - year, at + year));
    edit(&mut builder);
    for (name, text) in builder.build().files() {
        fs::write(folder.join(name), text)?;
    }
    fs::write(folder.join("host-amd-cert-base64"), STANDARD.encode(thim))
}

/// What the file names. A name that is none is an end that is seen.
fn defect(file: Option<&Path>) -> Option<Defect> {
    let name = fs::read_to_string(file?).ok()?;
    let known = DEFECTS.iter().find(|(known, _)| *known == name);
    let (_, defect) = known.unwrap_or_else(|| {
        eprintln!("forge-guest: no such defect: `{name}`");
        std::process::exit(2)
    });
    Some(*defect)
}
