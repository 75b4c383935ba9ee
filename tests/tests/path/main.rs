//! The whole path over real sockets and processes: client, gateway, enclave-app, forged guest. Nothing is mocked but the
//! silicon.

mod aci;
mod attacks;
mod azure_vtpm;
mod demo_command;
mod event_log;
mod faults;
mod infer_command;
mod infer_files;
mod inference;
mod minilm;
mod models_command;
mod peers;
mod probe_command;
mod proxy_clients;
mod proxy_command;
mod proxy_sealing;
mod published;
mod record_command;
mod release;
mod scarcity;
mod tenants;
mod walk;
mod workers;

use teegate_client::oip::{self, TensorData};
use teegate_client::seal::{Sealed, seal};
use teegate_client::{Client, Error, Reply, Request, Settings, Trust};
use teegate_intake::endorsements::load_paths;
use teegate_protocol::evidence::Envelope;
use teegate_protocol::manifest::ManifestBytes;
use teegate_protocol::problem::Problem;
use teegate_tests::harness::{Enclave, Gateway, Guest, MODEL, Scratch, model_folder};
use teegate_tests::http::Answer;
use teegate_verifier::{Policy, UnixTime};

const LIMIT: usize = 1 << 20;
const RELAYED: [(&str, &str); 1] = [("content-type", "message/ohttp-req")];

/// A guest and an enclave that nothing is wrong with, in a folder of their own.
struct Stage1 {
    scratch: Scratch,
    guest: Guest,
    enclave: Enclave,
}

impl Stage1 {
    async fn set() -> Self {
        Self::set_in(&[]).await
    }

    /// The same in a guest that was started with these options.
    async fn set_in(options: &[&str]) -> Self {
        let scratch = Scratch::new();
        let guest = Guest::start(&scratch, "guest", options).await;
        let enclave = Enclave::start(&scratch, "enclave", &guest).await;
        Self { scratch, guest, enclave }
    }

    /// The sample's answer, out of a client that verified the instance which a gateway of its own serves.
    async fn answered(&self) -> Reply {
        let gateway = self.gateway(&self.enclave.address, "").await;
        let reply = self.connect(&gateway).await.unwrap().infer_json(sample()).await.unwrap();
        assert_is_expected_answer(&reply.response.content);
        reply
    }

    async fn gateway(&self, instance: &str, more: &str) -> Gateway {
        Gateway::start(&self.scratch, "gateway", &self.guest, &self.guest.policy(), &[instance], more).await
    }

    fn trust(&self) -> Trust {
        let policy = Policy::parse(&self.guest.policy()).unwrap();
        Trust::new(policy, load_paths(&[self.guest.endorsements()]).unwrap())
    }

    async fn connect(&self, gateway: &Gateway) -> Result<Client, Error> {
        self.connect_with(gateway, Settings::default()).await
    }

    async fn connect_with(&self, gateway: &Gateway, settings: Settings) -> Result<Client, Error> {
        let Trust { policy, endorsements, .. } = self.trust();
        let gateway = teegate_client::Gateway::parse(&format!("http://{}", gateway.address)).unwrap();
        Client::connect(gateway, MODEL, policy, endorsements, settings).await
    }

    /// The manifest that the enclave shows, and its digest in hex. Not verified: for tests that seal by hand.
    async fn manifest(&self) -> ManifestBytes {
        let answer = self.enclave.ask("GET", "/.well-known/teegate", &[], b"").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        ManifestBytes::parse(Envelope::parse(&answer.body).unwrap().manifest).unwrap()
    }

    /// The sample request, sealed by hand to the enclave's present key.
    async fn sealed_sample(&self) -> (Sealed, String) {
        let manifest = self.manifest().await;
        let key = manifest.manifest().key_configs().unwrap().pop().unwrap();
        (seal(&key, &infer_request(MODEL, sample()), LIMIT).unwrap(), manifest.digest().to_string())
    }
}

fn infer_request(model: &str, body: Vec<u8>) -> Request {
    let mut request = Request::new("POST", "enclave", &format!("/v2/models/{model}/infer"));
    request.fields.push("content-type", "application/json").unwrap();
    request.content = body;
    request
}

fn sample() -> Vec<u8> {
    std::fs::read(model_folder().join("sample.json")).unwrap()
}

/// Posts a sealed request to the gateway, which may hold it for `hold` seconds.
async fn relay(gateway: &Gateway, sealed: &[u8], manifest: &str, hold: u32) -> Answer {
    let hold = hold.to_string();
    let headers = [RELAYED[0], ("teegate-manifest", manifest), ("teegate-hold", &hold)];
    gateway.ask("POST", "/v1/relay", &headers, sealed).await
}

fn problem(answer: &Answer) -> Problem {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    Problem::parse(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", answer.text()))
}

fn now() -> UnixTime {
    UnixTime::from_seconds(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs())
}

/// The two probabilities of an answer are those of the model run directly, up to a processor's last digits.
fn assert_is_expected_answer(content: &[u8]) {
    let expected = std::fs::read(model_folder().join("expected.json")).unwrap();
    let values = |bytes: &[u8]| match oip::answer(bytes).unwrap().outputs.remove(0).data {
        TensorData::Fp32(values) => values,
        other => panic!("{other:?}"),
    };
    let (actual, expected) = (values(content), values(&expected));
    assert_eq!(actual.len(), expected.len());
    for (a, b) in actual.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-5, "{actual:?} {expected:?}");
    }
}
