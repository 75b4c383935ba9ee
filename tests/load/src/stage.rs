//! The real programs on loopback: a forged guest, an enclave-app in it, a gateway before it, and the plain server beside them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use teegate_intake::endorsements::load_paths;
use teegate_measurements::Rewritten;
use teegate_verifier::{Endorsements, Policy, Tee};
use tempfile::TempDir;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::model::Model;
use crate::process::Process;

/// Everything that one model is measured on. Dropping it ends all of it.
pub struct Stage {
    /// The plain server.
    pub plain: Process,
    /// The enclave-app; its workers are processes below it.
    pub enclave: Process,
    /// The gateway.
    pub gateway: Process,
    /// The peers that started, by name.
    pub peers: Vec<(String, Process)>,
    /// What became of those that did not.
    pub missing: Vec<String>,
    /// A policy that accepts the forged guest, and nothing else.
    pub policy: Policy,
    /// What the forged vendor says of it.
    pub endorsements: Endorsements,
    _guest: Process,
    _folder: TempDir,
}

/// Where the programs and their files are.
pub struct Place {
    /// The folder of the programs: that of this one.
    pub programs: PathBuf,
    /// The ONNX Runtime library that enclave-app accepts.
    pub library: PathBuf,
}

impl Place {
    /// Beside this program, and in the repository `root`.
    pub fn find(root: &Path) -> Outcome<Self> {
        let own = std::env::current_exe()?;
        let programs = own.parent().ok_or("a program in no folder")?.to_owned();
        let library = root.join(".cache/onnxruntime/lib/libonnxruntime.so");
        for (file, remedy) in [
            (programs.join("enclave-app"), "cargo build --release -p teegate-enclave"),
            (programs.join("teegate-gateway"), "cargo build --release -p teegate-gateway"),
            (programs.join("forge-guest"), "cargo build --release -p teegate-forge"),
            (programs.join("teegate-plain"), "cargo build --release -p teegate-load"),
            (library.clone(), "ci/onnxruntime.sh"),
        ] {
            if !file.is_file() {
                return Err(
                    format!("{} is not there: run `{remedy}`, or ci/load.sh, which does all", file.display()).into()
                );
            }
        }
        Ok(Self { programs, library })
    }
}

impl Stage {
    /// Starts everything for `model`.
    pub async fn start(place: &Place, model: &Model, arguments: &Arguments) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("teegate-load-").tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let start = |program: &str| place.programs.join(program);
        let (workers, threads) = (arguments.workers.to_string(), arguments.threads.to_string());
        let (library, file) = (text(&place.library)?, text(&model.file)?);

        let plain = [library, file, model.name, &workers, &threads];
        let plain = Process::start(&start("teegate-plain"), &plain, folder.path(), "plain").await?;

        let guest_folder = at("guest");
        let guest = ["--listen", "127.0.0.1:0", "--tee", "snp", "--dir", text(&guest_folder)?];
        let guest = Process::start(&start("forge-guest"), &guest, folder.path(), "guest").await?;

        let enclave_config = format!(
            "listen = \"127.0.0.1:0\"\nonnxruntime = {library:?}\n[attester]\nsource = \"coco\"\ncoco_url = \"http://{}\"\n\
             [limits]\nworkers_per_model = {workers}\nthreads_per_worker = {threads}\nqueue = 256\n\
             [[models]]\nname = {:?}\nversion = \"1\"\npath = {file:?}\n",
            guest.address()?,
            model.name
        );
        let shared_config = format!(
            "[[models]]\nname = {:?}\nversion = \"1\"\npath = {file:?}\n\
             [models.batching]\nmax_rows = {}\nacross_callers = true\n",
            model.name_of_shared(),
            model.questions.len()
        );
        let shares = arguments.ways.iter().any(|way| way == "shared");
        let enclave_config = if shares { enclave_config + &shared_config } else { enclave_config };
        std::fs::write(at("enclave.toml"), enclave_config)?;
        let enclave = ["--config", text(&at("enclave.toml"))?].map(str::to_owned);
        let enclave = enclave.each_ref().map(String::as_str);
        let enclave = Process::start(&start("enclave-app"), &enclave, folder.path(), "enclave").await?;

        let policy = policy(&guest_folder)?;
        std::fs::write(at("policy.toml"), &policy)?;
        let gateway_config = format!(
            "listen = \"127.0.0.1:0\"\noperator_listen = \"127.0.0.1:0\"\nadmission = \"none\"\npolicy = {:?}\nendorsements = [{:?}]\n\
             instances = [{:?}]\nreattest_seconds = 30\n",
            at("policy.toml"),
            guest_folder.join("endorsements"),
            enclave.address()?
        );
        std::fs::write(at("gateway.toml"), gateway_config)?;
        let gateway = ["--config", text(&at("gateway.toml"))?].map(str::to_owned);
        let gateway = gateway.each_ref().map(String::as_str);
        let gateway = Process::start(&start("teegate-gateway"), &gateway, folder.path(), "gateway").await?;

        let (mut peers, mut missing) = (Vec::new(), Vec::new());
        for (name, python, script) in &arguments.peers {
            let peer = [text(script)?, file, model.name, &workers, &threads];
            match Process::start(python, &peer, folder.path(), name).await {
                Ok(process) => peers.push((name.clone(), process)),
                Err(error) => missing.push(format!("{name} did not start: {error}")),
            }
        }
        Ok(Self {
            plain,
            enclave,
            gateway,
            peers,
            missing,
            policy: Policy::parse(&policy).map_err(|e| format!("the policy of the measurement: {e}"))?,
            endorsements: load_paths(&[guest_folder.join("endorsements")])?,
            _guest: guest,
            _folder: folder,
        })
    }
}

/// `genuine` under the forged root, with everything pinned that the guest says of itself.
pub fn policy(guest: &Path) -> Outcome<String> {
    let values: Value = serde_json::from_slice(&std::fs::read(guest.join("values.json"))?)?;
    let value = |name: &str| {
        let value = values.get(name).and_then(Value::as_str).map(|value| format!("{value:?}"));
        value.ok_or_else(|| format!("the forged guest says nothing of its `{name}`"))
    };
    let root = std::fs::read_to_string(guest.join("roots/amd.pem"))?;
    let genuine = Rewritten::of(teegate_measurements::GENUINE)
        .map(|policy| policy.named("load, forged hardware").only(Tee::SevSnp).under_root("amd", &root))
        .map_err(|e| format!("the shipped policy `genuine`: {e}"))?;
    let rules = [
        ("bound_to", "\"workload\"".to_owned()),
        ("revocation", "\"required\"".to_owned()),
        ("debug", "\"rejected\"".to_owned()),
        ("measurement", value("measurement")?),
        ("host_data", value("host_data")?),
        ("vmpl", "0".to_owned()),
        ("report_data", "\"caller\"".to_owned()),
    ];
    let policy = rules.iter().try_fold(genuine, |policy, (field, rule)| policy.rule(Tee::SevSnp, field, rule));
    Ok(policy.map_err(|e| format!("the policy of the measurement: {e}"))?.text())
}

fn text(path: &Path) -> Outcome<&str> {
    Ok(path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?)
}
