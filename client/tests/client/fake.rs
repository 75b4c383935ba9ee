//! A forged instance with its keys in the hands of the test, and a scripted gateway in front of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use teegate_client::{Client, Error, Gateway, Problem, Response, Settings, Trust};
use teegate_forge::services::Route;
use teegate_forge::snp::{SnpBuilder, SnpSet};
use teegate_forge::time::AT;
use teegate_protocol::bhttp::Request;
use teegate_protocol::binding::{self, Nonce};
use teegate_protocol::evidence::{
    EndorsementDigest, Endorsements, EndorsementsKind, Envelope, EvidenceKind, TeeEvidence,
};
use teegate_protocol::headers::{SEALED_RECEIPT, SEALED_RECEIPT_SALT, SEALED_REQUEST_ID, TEEGATE_RELEASE};
use teegate_protocol::manifest::{
    ConfigDigest, InstanceId, Limits, Manifest, ManifestBytes, ModelDigest, ModelEntry, SpkiDigest,
};
use teegate_protocol::ohttp::{EncapsulatedRequest, KeyConfig, KeyPair};
use teegate_protocol::receipt::{CiphertextDigest, EvidenceDigest, Execution, ReceiptKey, Release, Salt};
use teegate_verifier::{Policy, UnixTime};
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub(crate) const MODEL: &str = "m";
const LIMIT: usize = 1 << 20;
const MEASUREMENT: [u8; 48] = [0x4d; 48];

/// An instance: its keys, its manifest, and a forged device that vouches for both.
pub(crate) struct Fake {
    pub(crate) key: KeyPair,
    pub(crate) receipt_key: ReceiptKey,
    pub(crate) manifest: ManifestBytes,
    /// What AMD's key service would answer about the device.
    pub(crate) kds: Vec<Route>,
    device: SnpSet,
    builder: SnpBuilder,
}

impl Fake {
    /// An instance that nothing is wrong with at [`AT`].
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with another manifest.
    pub(crate) fn with(change: impl FnOnce(&mut Manifest)) -> Self {
        Self::on(change, |device| device)
    }

    /// The same on another device.
    pub(crate) fn on(change: impl FnOnce(&mut Manifest), edit: impl FnOnce(SnpBuilder) -> SnpBuilder) -> Self {
        let (key, receipt_key) = (KeyPair::generate(2).unwrap(), ReceiptKey::generate().unwrap());
        let mut manifest = Manifest {
            instance_id: InstanceId([1; 16]),
            epoch: 1,
            prev: None,
            not_before: AT,
            use_until: AT + 3600,
            not_after: AT + 4200,
            ohttp_keys: KeyConfig::encode_list([key.config()]),
            tls_spki_sha256: SpkiDigest([2; 32]),
            receipt_key: receipt_key.public(),
            models: vec![ModelEntry { name: MODEL.to_owned(), version: "1".to_owned(), sha256: ModelDigest([3; 32]) }],
            config_sha256: ConfigDigest([4; 32]),
            app_version: "0.1.0".to_owned(),
            limits: Limits {
                sealed_body_bytes: 1 << 20,
                tensor_rank: 16,
                tensor_elements: 1 << 31,
                cross_tenant_batching: false,
                batching: vec![],
            },
        };
        change(&mut manifest);
        let manifest = manifest.to_bytes().unwrap();
        let device = teegate_forge::snp().at(AT).measurement(MEASUREMENT);
        let device = edit(device.report_data(binding::epoch(manifest.digest())));
        let (kds, builder, device) = (device.kds_routes(), device.clone(), device.build());
        Self { key, receipt_key, manifest, kds, device, builder }
    }

    /// Its envelope with epoch evidence and everything that a verifier needs beside the policy.
    pub(crate) fn envelope(&self) -> Envelope {
        Envelope {
            manifest: self.manifest.as_bytes().to_vec(),
            evidence: TeeEvidence { kind: EvidenceKind::SnpReport, bytes: self.device.report.clone() },
            endorsements: Some(Endorsements {
                kind: EndorsementsKind::PemCertificateChain,
                bytes: self.device.chain_pem().into_bytes(),
            }),
            event_log: None,
            nonce: None,
        }
    }

    /// The same with evidence that binds something else, such as a challenge.
    pub(crate) fn envelope_that_binds(&self, report_data: [u8; 64], nonce: Option<Nonce>) -> Envelope {
        let bytes = self.builder.clone().report_data(report_data).build().report;
        Envelope { evidence: TeeEvidence { kind: EvidenceKind::SnpReport, bytes }, nonce, ..self.envelope() }
    }

    /// What it answers to a challenge.
    pub(crate) fn answer_to(&self, nonce: Nonce) -> http::Response<Full<Bytes>> {
        let data = binding::fresh(self.manifest.digest(), &nonce);
        answer(200, "application/cmw+json", self.envelope_that_binds(data, Some(nonce)).to_json().unwrap())
    }

    /// The CRL of the forged root, DER.
    pub(crate) fn crl(&self) -> Vec<u8> {
        self.device.crl.clone().unwrap()
    }

    /// Trust that asks for that CRL.
    pub(crate) fn trust_that_asks_for_a_crl(&self) -> Trust {
        let measurement = teegate_encoding::hex::encode(MEASUREMENT);
        let changes = [
            ("bound_to = \"unchecked\"", "bound_to = \"workload\"".to_owned()),
            ("measurement = \"unchecked\"", format!("measurement = \"{measurement}\"")),
            ("revocation = \"if-supplied\"", "revocation = \"required\"".to_owned()),
        ];
        self.trust_by(|genuine| {
            changes.iter().fold(genuine.to_owned(), |text, (from, to)| {
                assert!(text.contains(from), "{from}");
                text.replacen(from, to, 1)
            })
        })
    }

    /// Endorsements that include the CRL of the forged root.
    pub(crate) fn endorsements_with_crl(&self) -> Endorsements {
        use base64::Engine as _;
        let crl = base64::engine::general_purpose::STANDARD.encode(self.device.crl.as_deref().unwrap());
        let lines: Vec<&str> = crl.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let crl = format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", lines.join("\n"));
        Endorsements {
            kind: EndorsementsKind::PemCertificateChain,
            bytes: (self.device.chain_pem() + &crl).into_bytes(),
        }
    }

    /// A policy that expects this device, this measurement, and a workload.
    pub(crate) fn trust(&self) -> Trust {
        let measurement = teegate_encoding::hex::encode(MEASUREMENT);
        self.trust_by(|genuine| {
            genuine.replacen("bound_to = \"unchecked\"", "bound_to = \"workload\"", 1).replacen(
                "measurement = \"unchecked\"",
                &format!("measurement = \"{measurement}\""),
                1,
            )
        })
    }

    /// The shipped policy `genuine` with the forged root pinned, and changed.
    pub(crate) fn trust_by(&self, change: impl FnOnce(&str) -> String) -> Trust {
        let (snp, _tdx) = teegate_measurements::GENUINE.split_once("[tdx.").unwrap();
        // A claim about a workload needs the privilege level that may make it.
        let snp = snp.replacen("vmpl = \"unchecked\"", "vmpl = 0", 1);
        let policy = format!("{}\n[trust_anchors]\namd = ['''\n{}''']\n", change(&snp), self.device.ark_pem);
        let policy = Policy::parse(&policy).unwrap_or_else(|e| panic!("{e}\n{policy}"));
        Trust::new(policy, Default::default())
    }

    /// Opens a request and answers it as an enclave does, with `spoil` having the last word on the answer.
    fn answer(&self, sealed: &[u8], spoil: Spoil) -> Vec<u8> {
        let (plaintext, context) = EncapsulatedRequest::parse(sealed).unwrap().open(&self.key).unwrap();
        let request = Request::decode(&plaintext, LIMIT).unwrap();
        let mut response = Response::new(200);
        response.content =
            br#"{"model_name":"m","outputs":[{"name":"y","shape":[1],"datatype":"FP32","data":[0.5]}]}"#.to_vec();
        if let Spoil::Content(change) = spoil {
            change(&mut response);
        }
        let salt = Salt::generate().unwrap();
        let mut receipt = Execution {
            manifest: *self.manifest.digest(),
            request_id: request.fields.get(SEALED_REQUEST_ID).map(str::to_owned),
            request: salt.digest(&plaintext),
            output: salt.digest(&response.content),
            model: ModelDigest([3; 32]),
            claimed_time: AT,
        };
        let mut key = &self.receipt_key;
        let other_key = ReceiptKey::generate().unwrap();
        match spoil {
            Spoil::Nothing | Spoil::NoReceipt | Spoil::Content(_) => {}
            Spoil::Receipt(change) => change(&mut receipt),
            Spoil::OtherKey => key = &other_key,
            Spoil::Refusal(change) => change(&mut response),
        }
        if !matches!(spoil, Spoil::NoReceipt | Spoil::Refusal(_)) {
            response.fields.push(SEALED_RECEIPT, receipt.sign(key).unwrap().to_header()).unwrap();
            response.fields.push(SEALED_RECEIPT_SALT, salt.to_header()).unwrap();
        }
        context.seal(&response.encode_padded().unwrap()).unwrap()
    }
}

/// What is wrong with a sealed answer.
#[derive(Clone, Copy)]
pub(crate) enum Spoil {
    Nothing,
    NoReceipt,
    OtherKey,
    Receipt(fn(&mut Execution)),
    /// Another answer, of which the receipt speaks.
    Content(fn(&mut Response)),
    /// A sealed answer that is no success: nothing ran that a receipt could be about.
    Refusal(fn(&mut Response)),
}

/// What the gateway does with a sealed request.
pub(crate) enum Act {
    Answer(Spoil),
    /// The sealed answer, with one bit flipped on the way.
    Altered,
    /// The sealed answer, with what the gateway signs about its release.
    Released(fn(&mut Release)),
    Problem(Problem),
    /// A success that nobody sealed.
    Unsealed(&'static str),
    HangUp,
    /// Nothing, for ever: [`Script::begun`] says that it has begun, and [`Script::left`] that whoever asked has gone.
    Never,
}

/// A gateway that offers what it is told and acts by its script; after the script it answers.
pub(crate) struct Script {
    pub(crate) fake: Fake,
    /// More instances behind it, which answer what is sealed to them.
    others: Vec<Fake>,
    pub(crate) offers: Mutex<Vec<Envelope>>,
    /// Statements that it hands on, by the digest that its list names; what stands there may be anything.
    pub(crate) endorsements: Mutex<Vec<(EndorsementDigest, Vec<u8>)>>,
    /// What it says instead of offering anything.
    pub(crate) refusal: Mutex<Option<Problem>>,
    /// Signs [`Act::Released`].
    pub(crate) gateway_key: ReceiptKey,
    pub(crate) begun: Notify,
    pub(crate) left: Notify,
    /// What it makes of a challenge: the answer of the instance, or something else.
    pub(crate) challenged: Mutex<Challenged>,
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Seen>,
}

/// The answer to a challenge.
pub(crate) type Challenged = fn(&Fake, Nonce) -> http::Response<Full<Bytes>>;

/// What the gateway saw.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    pub(crate) lists: usize,
    pub(crate) endorsements: Vec<EndorsementDigest>,
    pub(crate) relayed: Vec<Vec<u8>>,
    /// The manifest to which each was sealed.
    pub(crate) targets: Vec<String>,
    pub(crate) every_byte: Vec<u8>,
}

impl Script {
    pub(crate) fn new(fake: Fake, acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        Self::before(vec![fake], acts)
    }

    /// The same before several instances, all of which it offers.
    pub(crate) fn before(mut others: Vec<Fake>, acts: impl IntoIterator<Item = Act>) -> Arc<Self> {
        let offers = Mutex::new(others.iter().map(Fake::envelope).collect());
        let fake = others.remove(0);
        let (gateway_key, acts) = (ReceiptKey::generate().unwrap(), Mutex::new(acts.into_iter().collect()));
        let (endorsements, refusal, seen) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (begun, left) = (Notify::new(), Notify::new());
        let challenged = Mutex::new((|fake, nonce| fake.answer_to(nonce)) as Challenged);
        Arc::new(Self { fake, others, offers, endorsements, refusal, gateway_key, begun, left, challenged, acts, seen })
    }

    /// The same, with statements that it hands on.
    pub(crate) fn handing_on(
        statements: impl IntoIterator<Item = (EndorsementDigest, Vec<u8>)>,
        fake: Fake,
    ) -> Arc<Self> {
        let script = Self::new(fake, []);
        *script.endorsements.lock().unwrap() = statements.into_iter().collect();
        script
    }

    /// What it does with the next sealed request.
    pub(crate) fn act_next(&self, act: Act) {
        self.acts.lock().unwrap().push_front(act);
    }

    /// What was in a relayed request.
    pub(crate) fn opened(&self, sealed: &[u8]) -> Request {
        let (plaintext, _) = EncapsulatedRequest::parse(sealed).unwrap().open(&self.fake.key).unwrap();
        Request::decode(&plaintext, LIMIT).unwrap()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Runs the gateway and connects a client to it.
    pub(crate) async fn connect(self: &Arc<Self>, settings: Settings) -> Result<Client, Error> {
        self.connect_with(self.fake.trust(), settings).await
    }

    /// The same under another policy.
    pub(crate) async fn connect_with(self: &Arc<Self>, trust: Trust, settings: Settings) -> Result<Client, Error> {
        Client::connect(self.serve().await, MODEL, trust.policy, trust.endorsements, settings).await
    }

    /// Runs the gateway, and says where it is.
    pub(crate) async fn serve(self: &Arc<Self>) -> Gateway {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = Gateway::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let script = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&script);
                let service = service_fn(move |request| {
                    let script = Arc::clone(&script);
                    async move { script.act(request).await }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        gateway
    }

    async fn act(
        &self,
        request: http::Request<hyper::body::Incoming>,
    ) -> Result<http::Response<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        let Some(answer) = self.act_on(&head, body)? else {
            let _left = Left(self);
            self.begun.notify_one();
            return std::future::pending().await;
        };
        Ok(answer)
    }

    /// The answer, unless there is none.
    fn act_on(
        &self,
        head: &http::request::Parts,
        body: Vec<u8>,
    ) -> Result<Option<http::Response<Full<Bytes>>>, Box<dyn std::error::Error + Send + Sync>> {
        let mut seen = self.seen.lock().unwrap();
        seen.every_byte.extend(format!("{head:?}").into_bytes());
        seen.every_byte.extend(&body);
        if head.uri.path() == "/v1/instances" {
            seen.lists += 1;
            return Ok(Some(self.list()));
        }
        if let Some(digest) = head.uri.path().strip_prefix("/v1/endorsements/") {
            let digest: EndorsementDigest = digest.parse()?;
            seen.endorsements.push(digest);
            let kept = self.endorsements.lock().unwrap();
            let found = kept.iter().find(|(name, _)| *name == digest);
            return Ok(Some(found.map_or_else(
                || answer(404, "text/plain", Vec::new()),
                |(_, bytes)| answer(200, "application/octet-stream", bytes.clone()),
            )));
        }
        if head.uri.path() == "/v1/challenge" {
            let query = head.uri.query().unwrap_or_default();
            let (nonce, manifest) =
                query.strip_prefix("nonce=").and_then(|query| query.split_once("&manifest=")).unwrap();
            let is_asked = |fake: &&Fake| fake.manifest.digest().to_string() == manifest;
            let asked = [&self.fake].into_iter().chain(&self.others).find(is_asked).unwrap();
            return Ok(Some(self.challenged.lock().unwrap()(asked, nonce.parse().unwrap())));
        }
        seen.relayed.push(body.clone());
        let target = head.headers.get("teegate-manifest").and_then(|value| value.to_str().ok()).unwrap_or_default();
        seen.targets.push(target.to_owned());
        let asked =
            self.others.iter().find(|other| other.manifest.digest().to_string() == target).unwrap_or(&self.fake);
        let act = self.acts.lock().unwrap().pop_front().unwrap_or(Act::Answer(Spoil::Nothing));
        let sealed = |bytes: Vec<u8>| answer(200, "message/ohttp-res", bytes);
        Ok(Some(match act {
            Act::Answer(spoil) => sealed(asked.answer(&body, spoil)),
            Act::Altered => {
                let mut bytes = self.fake.answer(&body, Spoil::Nothing);
                *bytes.last_mut().unwrap() ^= 1;
                sealed(bytes)
            }
            Act::Released(change) => {
                let mut release = Release {
                    ciphertext: CiphertextDigest::of(&body),
                    manifest: *self.fake.manifest.digest(),
                    evidence: EvidenceDigest::of(&self.fake.envelope().evidence.bytes),
                    policy_version: 1,
                    claimed_time: AT,
                };
                change(&mut release);
                let mut answer = sealed(self.fake.answer(&body, Spoil::Nothing));
                let signed = release.sign(&self.gateway_key).unwrap().to_header();
                answer.headers_mut().insert(TEEGATE_RELEASE, signed.parse().unwrap());
                answer
            }
            Act::Problem(problem) => answer(problem.status(), "application/problem+json", problem.to_json()),
            Act::Unsealed(media_type) => answer(200, media_type, br#"{"outputs":[]}"#.to_vec()),
            Act::HangUp => return Err("hang up".into()),
            Act::Never => return Ok(None),
        }))
    }

    fn list(&self) -> http::Response<Full<Bytes>> {
        if let Some(problem) = &*self.refusal.lock().unwrap() {
            return answer(problem.status(), "application/problem+json", problem.to_json());
        }
        let digests: Vec<_> = self.endorsements.lock().unwrap().iter().map(|(digest, _)| digest.to_string()).collect();
        let offers: Vec<serde_json::Value> = self
            .offers
            .lock()
            .unwrap()
            .iter()
            .map(|envelope| {
                let envelope: serde_json::Value = serde_json::from_slice(&envelope.to_json().unwrap()).unwrap();
                serde_json::json!({ "envelope": envelope, "endorsements": digests })
            })
            .collect();
        answer(200, "application/json", serde_json::json!({ "instances": offers }).to_string().into_bytes())
    }
}

/// Says when it is dropped.
struct Left<'a>(&'a Script);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.left.notify_one();
    }
}

pub(crate) fn answer(status: u16, media_type: &str, body: Vec<u8>) -> http::Response<Full<Bytes>> {
    let response = http::Response::builder().status(status).header("content-type", media_type);
    response.body(Full::new(Bytes::from(body))).unwrap()
}

/// Settings with the clock at which the forged hardware is valid.
pub(crate) fn settings() -> Settings {
    Settings { wait: Duration::ZERO, clock: || UnixTime::from_seconds(AT), ..Settings::default() }
}
