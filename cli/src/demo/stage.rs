//! What the demo plays on: a forged guest, an enclave-app in it, a gateway in front of it, each a process of its own on
//! loopback, configured as an operator would.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use teegate_client::{Client, Error, Gateway, ProblemKind, RemoteProblem, Settings};
use teegate_intake::endorsements::load_paths;
use teegate_verifier::Policy;

use super::child::Child;
use super::policy::ForgedGuest;

/// The model of the demo, as the enclave-app serves it.
pub(super) const MODEL: &str = "breast-cancer";

/// How long a gateway may take until it has attested, or rejected, its instance.
const ATTESTED_WITHIN: Duration = Duration::from_secs(30);

/// Where everything lies that the demo needs.
pub(super) struct Place {
    /// The temporary folder; removed when the demo ends.
    pub(super) scratch: PathBuf,
    /// The ONNX Runtime library.
    pub(super) onnxruntime: PathBuf,
    /// The folder of the model.
    pub(super) model: PathBuf,
}

/// A forged guest with an enclave-app in it.
pub(super) struct Instance {
    guest: Child,
    enclave: Child,
    folder: PathBuf,
    /// What its evidence will say.
    pub(super) forged: ForgedGuest,
}

impl Instance {
    /// Starts a forged guest and, in front of it, an enclave-app with the demo's model.
    pub(super) async fn start(place: &Place, label: &str, guest_options: &[&str]) -> Result<Self, String> {
        let folder = place.scratch.join(label);
        std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let directory = folder.display().to_string();
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--tee", "snp", "--dir", &directory];
        arguments.extend_from_slice(guest_options);
        let guest = Child::start("forge-guest", &arguments, &place.scratch, &format!("{label}-guest")).await?;
        let forged = ForgedGuest::read(&folder)?;

        let config = toml_text(&[("listen", "127.0.0.1:0"), ("onnxruntime", &place.onnxruntime.display().to_string())])
            + "[attester]\n"
            + &toml_text(&[("source", "coco"), ("coco_url", &format!("http://{}", guest.address("listening")?))])
            + "[[models]]\n"
            + &toml_text(&[
                ("name", MODEL),
                ("version", "1"),
                ("path", &place.model.join("model.onnx").display().to_string()),
            ]);
        let config_path = write(&folder, "enclave.toml", &config)?;
        let enclave =
            Child::start("enclave-app", &["--config", &config_path], &place.scratch, &format!("{label}-enclave"))
                .await?;
        Ok(Self { guest, enclave, folder, forged })
    }

    /// Starts a gateway that releases to this instance alone, under `policy`.
    pub(super) async fn gateway(&self, place: &Place, label: &str, policy: &str) -> Result<Child, String> {
        self.gateway_by(&self.address()?, place, label, policy).await
    }

    /// The same, for clients that come to `listen`.
    pub(super) async fn gateway_at(
        &self,
        listen: &str,
        place: &Place,
        label: &str,
        policy: &str,
    ) -> Result<Child, String> {
        self.gateway_between(listen, &self.address()?, place, label, policy).await
    }

    /// The same, with `address` as the way to the instance.
    pub(super) async fn gateway_by(
        &self,
        address: &str,
        place: &Place,
        label: &str,
        policy: &str,
    ) -> Result<Child, String> {
        self.gateway_between("127.0.0.1:0", address, place, label, policy).await
    }

    async fn gateway_between(
        &self,
        listen: &str,
        address: &str,
        place: &Place,
        label: &str,
        policy: &str,
    ) -> Result<Child, String> {
        // Carelessness has to be written down.
        let loaded = Policy::parse(policy).map_err(|e| format!("the demo's own policy: {e}"))?;
        let careless = loaded.weakest_bound_to().is_none().then_some("unbound_policy = \"a careless operator\"\n");
        let policy = write(&place.scratch, &format!("{label}-policy.toml"), policy)?;
        let config = toml_text(&[
            ("listen", listen),
            ("operator_listen", "127.0.0.1:0"),
            ("admission", "none"),
            ("policy", &policy),
        ]) + careless.unwrap_or_default()
            + &format!(
                "endorsements = [{:?}]\ninstances = [{:?}]\nreattest_seconds = 30\n",
                self.endorsements(),
                address
            );
        let config = write(&place.scratch, &format!("{label}.toml"), &config)?;
        Child::start("teegate-gateway", &["--config", &config], &place.scratch, label).await
    }

    /// A client that trusts this instance alone, connected through whatever listens at `address`.
    pub(super) async fn client(&self, address: &str, policy: &str) -> Result<Result<Client, Error>, String> {
        let policy = Policy::parse(policy).map_err(|e| format!("the demo's own policy: {e}"))?;
        let endorsements = load_paths(&[self.endorsements()]).map_err(|e| e.to_string())?;
        let gateway = Gateway::parse(&format!("http://{address}")).map_err(|e| e.to_string())?;
        // Asked in short waits: a gateway that has rejected its instance says so at the end of one.
        let settings = Settings { wait: Duration::from_secs(1), ..Settings::default() };
        let give_up = Instant::now() + ATTESTED_WITHIN;
        loop {
            let connected =
                Client::connect(gateway.clone(), MODEL, policy.clone(), endorsements.clone(), settings.clone()).await;
            match &connected {
                Err(Error::NotOffered(remote)) if is_none_yet(remote) && Instant::now() < give_up => {}
                _ => return Ok(connected),
            }
        }
    }

    /// Where the enclave-app listens.
    pub(super) fn address(&self) -> Result<String, String> {
        self.enclave.address("listening")
    }

    /// The process ids, for people.
    pub(super) fn processes(&self) -> (String, String) {
        (self.guest.id(), self.enclave.id())
    }

    /// Ends when one of them has ended that nobody has asked to, and says which.
    pub(super) async fn gone(&mut self) -> String {
        tokio::select! {
            why = self.guest.gone() => why,
            why = self.enclave.gone() => why,
        }
    }

    /// Ends both processes.
    pub(super) async fn end(self) {
        self.enclave.end().await;
        self.guest.end().await;
    }

    /// The folder of what the forged vendor signed for it.
    pub(super) fn endorsements(&self) -> PathBuf {
        self.folder.join("endorsements")
    }
}

/// Whether the gateway only says that it has attested no instance so far.
fn is_none_yet(remote: &RemoteProblem) -> bool {
    remote.problem.as_ref().is_some_and(|problem| problem.kind == ProblemKind::NoAttestedInstance)
}

/// Lines `key = "value"`. Debug formatting of text is a TOML basic string for every path that people have.
fn toml_text(members: &[(&str, &str)]) -> String {
    members.iter().map(|(key, value)| format!("{key} = {value:?}\n")).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(path.display().to_string())
}
