//! Many instances in one process, for a gateway to attest: each has keys, a chip and a port of its own, opens sealed requests and
//! signs receipts with the code of enclave-app. In place of a model in a process of its own stands an echo, so what a thousand of
//! them need fits on one machine. The hardware is forged.
//!
//! `teegate-herd COUNT EPOCH-SECONDS GRACE-SECONDS FOLDER` writes what a policy needs into the folder; its first line says where
//! they listen. `values.json` has the names that `forge-guest` gives them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use teegate_attester::{Answer, Attester, RawEvidence};
use teegate_enclave::config::Limits;
use teegate_enclave::engine::{Engine, EngineError, LoadError, Readiness, ShapeRule, Signature, TensorSignature};
use teegate_enclave::epoch::{Constants, Epochs};
use teegate_enclave::evidence::EvidenceActor;
use teegate_enclave::identity::Identity;
use teegate_enclave::memory::Purse;
use teegate_enclave::open::{Model, Opener};
use teegate_enclave::server::{Service, tls};
use teegate_enclave::tensor::{Datatype, MAX_ELEMENTS, MAX_RANK, Tensor};
use teegate_enclave::workers::{Settings, Workers};
use teegate_forge::snp::{SnpBuilder, SnpSet};
use teegate_load::Outcome;
use teegate_protocol::evidence::{Endorsements, EndorsementsKind, EvidenceKind};
use teegate_protocol::manifest::{ConfigDigest, ModelDigest, ModelEntry};
use tokio::net::TcpListener;

/// The largest sealed request: what is measured stays far below it.
const SEALED_BODY_BYTES: usize = 4 << 20;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, epoch, grace, folder] = arguments.as_slice() else {
        return Err("usage: teegate-herd COUNT EPOCH-SECONDS GRACE-SECONDS FOLDER".into());
    };
    let seconds = |text: &str| Outcome::Ok(Duration::from_secs(text.parse()?));
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(count.parse()?, [seconds(epoch)?, seconds(grace)?], Path::new(folder)))
}

async fn serve(count: u64, [length, grace]: [Duration; 2], folder: &Path) -> Outcome<()> {
    let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let base = teegate_forge::snp().at(at);
    let set = base.build();
    std::fs::create_dir_all(folder.join("roots"))?;
    std::fs::create_dir_all(folder.join("endorsements"))?;
    std::fs::write(folder.join("roots/amd.pem"), &set.ark_pem)?;
    // The list of revoked certificates, and the certificates above the chips'; each instance brings its own.
    std::fs::write(folder.join("endorsements/chain.pem"), set.chain_pem())?;
    std::fs::write(folder.join("endorsements/crl.der"), set.crl.as_deref().unwrap_or_default())?;
    let report = base.report_fields();
    let values = json!({ "measurement": hex::encode(report.measurement), "host_data": hex::encode(report.host_data) });
    std::fs::write(folder.join("values.json"), values.to_string())?;

    let mut addresses = Vec::new();
    for number in 0..count {
        let mut chip_id = [0x5A; 64];
        chip_id[..8].copy_from_slice(&number.to_le_bytes());
        let builder = base.clone().chip_id(chip_id);
        let set = builder.build();
        addresses.push(start(Forged { builder, set }, length, grace).await?);
    }
    println!("{}", json!({ "listening": addresses.first(), "addresses": addresses }));
    std::future::pending().await
}

/// One instance, which runs until the process ends.
async fn start(attester: Forged, length: Duration, grace: Duration) -> Outcome<String> {
    let limits = Limits {
        sealed_body_bytes: SEALED_BODY_BYTES,
        in_flight_bytes: 16 * SEALED_BODY_BYTES,
        replay_capacity: 1 << 20,
        ..Limits::default()
    };
    let settings = Settings { places: 1, queue: limits.queue, deadline: Duration::from_secs(30), batching: None };
    let workers = Workers::start("echo", vec![Box::new(Echo)], settings)?;
    let entry = ModelEntry { name: "echo".into(), version: "1".into(), sha256: ModelDigest([0xEC; 32]) };
    let constants = Constants {
        models: vec![entry.clone()],
        config_sha256: ConfigDigest([0; 32]),
        limits: teegate_protocol::manifest::Limits {
            sealed_body_bytes: limits.sealed_body_bytes as u64,
            tensor_rank: MAX_RANK as u64,
            tensor_elements: MAX_ELEMENTS as u64,
            cross_tenant_batching: false,
            batching: Vec::new(),
        },
        length,
        grace,
        replay_capacity: limits.replay_capacity,
    };
    let identity = Arc::new(Identity::generate()?);
    let acceptor = tls(&identity)?;
    let epochs = Epochs::start(Arc::clone(&identity), EvidenceActor::start(Box::new(attester)), constants).await?;
    tokio::spawn(Arc::clone(&epochs).rotate());
    let opener = Opener::new(Arc::clone(&epochs), identity, vec![Model { entry, workers }], limits.sealed_body_bytes);
    let service = Service::new(epochs, opener, &limits);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(service.serve(listener, acceptor, std::future::pending()));
    Ok(address)
}

/// A chip that nobody built.
struct Forged {
    builder: SnpBuilder,
    set: SnpSet,
}

impl Attester for Forged {
    fn evidence(&self, report_data: [u8; 64]) -> Answer<'_> {
        Box::pin(async move {
            let chain =
                Endorsements { kind: EndorsementsKind::PemCertificateChain, bytes: self.set.chain_pem().into_bytes() };
            Ok(RawEvidence {
                kind: EvidenceKind::SnpReport,
                bytes: self.builder.clone().report_data(report_data).report(),
                endorsements: Some(chain),
                event_log: None,
                left_out: Vec::new(),
            })
        })
    }
}

/// Gives `x` back as `y`.
struct Echo;

impl Engine for Echo {
    fn load(&mut self) -> Result<Signature, LoadError> {
        let tensor = |name: &str| TensorSignature {
            name: name.to_owned(),
            datatype: Datatype::Fp32,
            shape: ShapeRule::Dimensions(vec![-1]),
        };
        Ok(Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")], ..Signature::default() })
    }

    fn readiness(&mut self) -> Readiness {
        Readiness::Ready
    }

    fn run(&mut self, mut inputs: Vec<Tensor>, _: Instant, purse: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
        for tensor in &mut inputs {
            purse.spend(tensor.bytes()).map_err(EngineError::NoMemory)?;
            "y".clone_into(&mut tensor.name);
        }
        Ok(inputs)
    }
}
