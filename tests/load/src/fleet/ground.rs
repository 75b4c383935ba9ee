//! What everything here stands on: instances in one process, and who stands before them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use teegate_client::Trust;
use teegate_intake::endorsements::load_paths;
use teegate_load::model::{Model, Question};
use teegate_load::process::Process;
use teegate_load::ways::Caller;
use teegate_load::{Outcome, stage};
use teegate_verifier::{Endorsements, Policy};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a gateway may take until it has attested everybody.
const ATTESTED_WITHIN: Duration = Duration::from_secs(300);

/// The programs, beside this one.
pub struct Ground {
    programs: PathBuf,
}

/// Instances, and what it takes to believe them.
pub struct Herd {
    /// Where each listens.
    pub addresses: Vec<String>,
    /// A policy that accepts them, and nobody else.
    pub policy: Policy,
    /// What the forged vendor says of all of them.
    pub endorsements: Endorsements,
    /// All of them end with it.
    _process: Process,
    folder: TempDir,
}

impl Ground {
    /// Finds the programs.
    pub fn find() -> Outcome<Self> {
        let own = std::env::current_exe()?;
        let programs = own.parent().ok_or("a program in no folder")?.to_owned();
        for (name, package) in
            [("teegate-gateway", "teegate-gateway"), ("teegate-herd", "teegate-load"), ("teegate-hop", "teegate-load")]
        {
            if !programs.join(name).is_file() {
                let remedy = format!("cargo build --release -p {package}");
                return Err(format!(
                    "{} has no `{name}`: run `{remedy}`, or ci/gateway.sh, which does all",
                    programs.display()
                )
                .into());
            }
        }
        Ok(Self { programs })
    }

    /// Starts so many instances, whose keys live so long and a sixth of that more.
    pub async fn herd(&self, count: usize, epoch: Duration) -> Outcome<Herd> {
        let folder = tempfile::Builder::new().prefix("teegate-fleet-").tempdir()?;
        let written = folder.path().join("vendor");
        let path = written.to_str().ok_or("a temporary folder that is not UTF-8")?;
        let numbers = [count.to_string(), epoch.as_secs().to_string(), (epoch.as_secs() / 6).to_string()];
        let arguments = [&numbers[0], &numbers[1], &numbers[2], path];
        let program = self.programs.join("teegate-herd");
        let process = Process::start(&program, &arguments, folder.path(), "herd").await?;
        let addresses = process.said("addresses")?.as_array().ok_or("addresses that are no list")?;
        let addresses = addresses.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let policy = stage::policy(&written)?;
        std::fs::write(folder.path().join("policy.toml"), &policy)?;
        Ok(Herd {
            addresses,
            policy: Policy::parse(&policy).map_err(|e| format!("the policy of the measurement: {e}"))?,
            endorsements: load_paths(&[written.join("endorsements")])?,
            _process: process,
            folder,
        })
    }

    /// A gateway before the first `count` instances, which has attested all of them.
    pub async fn gateway(&self, herd: &Herd, count: usize, reattest: Duration) -> Outcome<Process> {
        let config = herd.folder.path().join(format!("gateway-{count}.toml"));
        let text = format!(
            "listen = \"127.0.0.1:0\"\noperator_listen = \"127.0.0.1:0\"\nadmission = \"none\"\npolicy = {:?}\nendorsements = [{:?}]\n\
             instances = {:?}\nreattest_seconds = {}\n",
            herd.folder.path().join("policy.toml"),
            herd.folder.path().join("vendor/endorsements"),
            &herd.addresses[..count],
            reattest.as_secs()
        );
        std::fs::write(&config, text)?;
        let arguments = ["--config", config.to_str().ok_or("a temporary folder that is not UTF-8")?];
        let program = self.programs.join("teegate-gateway");
        let gateway = Process::start(&program, &arguments, herd.folder.path(), &format!("gateway-{count}")).await?;
        let until = Instant::now() + ATTESTED_WITHIN;
        let expected = format!("teegate_gateway_addresses{{state=\"attested\"}} {count}");
        while !metrics(&gateway).await?.lines().any(|line| line == expected) {
            if Instant::now() > until {
                return Err(format!("the gateway has not attested {count} instances within {ATTESTED_WITHIN:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(gateway)
    }

    /// The proxy that proves nothing, before one instance; with receipts or without.
    pub async fn hop(&self, herd: &Herd, has_receipts: bool) -> Outcome<Process> {
        let program = self.programs.join("teegate-hop");
        let instance = herd.addresses[0].as_str();
        let arguments: &[&str] = if has_receipts { &["--receipts", instance] } else { &[instance] };
        Process::start(&program, arguments, herd.folder.path(), if has_receipts { "hop-receipts" } else { "hop" }).await
    }
}

impl Herd {
    /// As many callers, each of one of `instances` in turn, through who listens there.
    pub async fn callers(
        &self,
        before: &Process,
        is_gateway: bool,
        instances: usize,
        count: usize,
    ) -> Outcome<Vec<Caller>> {
        let trust = Trust::new(self.policy.clone(), self.endorsements.clone());
        let mut callers = Vec::with_capacity(count);
        for number in 0..count {
            let instance = &self.addresses[number * instances.max(1) / count.max(instances)];
            callers.push(Caller::behind(&before.address()?, is_gateway, instance, &trust, "echo").await?);
        }
        Ok(callers)
    }
}

/// The echo, asked two questions of so many numbers.
pub fn echo(numbers: usize) -> Model {
    let question = |first: f32| {
        let answer: Vec<f32> = (0..numbers).map(|number| first + (number % 100) as f32 / 4.0).collect();
        let input = serde_json::json!({ "name": "x", "shape": [numbers], "datatype": "FP32", "data": answer });
        let body = serde_json::json!({ "inputs": [input] }).to_string();
        Question { inputs: Vec::new(), body: body.into(), answer }
    };
    Model { name: "echo", file: PathBuf::new(), questions: vec![question(0.25), question(0.5)] }
}

/// What the gateway says of itself.
pub async fn metrics(gateway: &Process) -> Outcome<String> {
    let operator = gateway.said("operator")?.as_str().ok_or("an operator's address that is no text")?;
    let mut stream = TcpStream::connect(operator).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {operator}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
