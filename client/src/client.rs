//! The client: holds one verified instance at a time, seals to it, and verifies anew whenever it has to seal again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use teegate_encoding::hex;
use teegate_intake::envelope::Refused;
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::headers::{
    OHTTP_REQUEST, RELAY_PATH, SEALED_MANIFEST, SEALED_MODEL_SHA256, SEALED_RECEIPT, SEALED_RECEIPT_SALT,
    SEALED_REQUEST_ID, TEEGATE_HOLD, TEEGATE_MANIFEST,
};
use teegate_protocol::limits;
use teegate_protocol::manifest::{ManifestDigest, ModelEntry, ReceiptPublicKey};
use teegate_verifier::{Endorsements, Memory, Policy, UnixTime, Verifier};

use crate::answer::{Expected, Reply, accept};
use crate::candidates;
use crate::error::{AnswerError, Error, RequestError};
use crate::instance::{Freshness, Instance, Trust, model_missing};
use crate::link::Gateway;
use crate::oip::{self, Inference, Tensor};
use crate::relayed::{self, Relayed};
use crate::remote::RemoteProblem;
use crate::seal::{OVERHEAD_BYTES, Sealed, seal};
use crate::shared_runs::SharedRuns;
use crate::words::Words;

/// Times, sizes and habits. The defaults are those of the protocol.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the gateway may wait for an attested instance when it is asked for some; at most 30 s.
    pub wait: Duration,
    /// How long the gateway may hold the sealed request until the instance is attested; at most 120 s.
    pub hold: Duration,
    /// How long the answer may take once the request is released.
    pub answer: Duration,
    /// The largest sealed request that is sent, and the largest sealed answer that is read.
    pub max_sealed_bytes: usize,
    /// The longest life of a manifest that is accepted.
    pub max_manifest_life: Duration,
    /// Never seal a request a second time by itself, whatever the gateway asks for.
    pub once: bool,
    /// Whether an instance will do that computes requests of several callers in one run.
    pub shared_runs: SharedRuns,
    /// The gateway's receipt key; without it, release receipts are not checked, and [`Reply::release`] says so.
    pub gateway_receipt_key: Option<ReceiptPublicKey>,
    /// What was seen in earlier runs, against roll-back. See [`Client::memory`].
    pub memory: Memory,
    /// The clock. Everything else about time is an argument.
    pub clock: fn() -> UnixTime,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(limits::WAIT_SECONDS.most),
            hold: Duration::from_secs(limits::HOLD_SECONDS.default),
            answer: Duration::from_secs(120),
            max_sealed_bytes: usize::try_from(limits::SEALED_BODY_BYTES.default).unwrap_or(usize::MAX),
            max_manifest_life: Duration::from_secs(limits::MANIFEST_LIFE_SECONDS.default),
            once: false,
            shared_runs: SharedRuns::default(),
            gateway_receipt_key: None,
            memory: Memory::default(),
            clock: system_clock,
        }
    }
}

/// This machine's wall clock. A clock before 1970 reads as 1970, at which no evidence is valid.
fn system_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_seconds(since.as_secs())
}

/// A client of one gateway, for one model.
pub struct Client {
    gateway: Gateway,
    model: String,
    trust: Trust,
    settings: Settings,
    state: Mutex<State>,
    /// Held while the gateway is asked for instances: of many callers one asks, and the others take what it got.
    asking: tokio::sync::Mutex<()>,
}

struct State {
    verifier: Verifier,
    current: Option<Arc<Instance>>,
    memory: Memory,
    /// Statements of the vendors that the gateway handed on.
    relayed: Relayed,
    /// How often asking has failed, and how it failed last.
    failures: u64,
    last_failure: Option<Error>,
}

impl Client {
    /// Asks `gateway` for instances that run `model`, and verifies them under `policy` until one is acceptable.
    pub async fn connect(
        gateway: Gateway,
        model: &str,
        policy: Policy,
        endorsements: Endorsements,
        settings: Settings,
    ) -> Result<Self, Error> {
        let trust = Trust { policy, endorsements, max_manifest_life: settings.max_manifest_life };
        let state = State {
            verifier: Verifier::new(),
            current: None,
            memory: settings.memory.clone(),
            relayed: Relayed::default(),
            failures: 0,
            last_failure: None,
        };
        let (state, asking) = (Mutex::new(state), tokio::sync::Mutex::new(()));
        let client = Self { gateway, model: model.to_owned(), trust, settings, state, asking };
        client.instance().await?;
        Ok(client)
    }

    /// A verified instance to which a request may be sealed now: the one at hand, or else a freshly verified one.
    ///
    /// Callers that need one at the same time share one question to the gateway, and what came of it.
    pub async fn instance(&self) -> Result<Arc<Instance>, Error> {
        if let Some(instance) = self.at_hand() {
            return Ok(instance);
        }
        let failures_before = self.with_state(|state| state.failures);
        let _asking = self.asking.lock().await;
        if let Some(instance) = self.at_hand() {
            return Ok(instance);
        }
        // Somebody asked in vain while this caller waited: asking again at once would only make a queue of vain waits.
        let failed = self.with_state(|state| state.last_failure.clone().filter(|_| state.failures != failures_before));
        if let Some(failure) = failed {
            return Err(failure);
        }
        let found = self.ask().await;
        if let Err(failure) = &found {
            self.with_state(|state| {
                state.failures = state.failures.wrapping_add(1);
                state.last_failure = Some(failure.clone());
            });
        }
        found
    }

    fn at_hand(&self) -> Option<Arc<Instance>> {
        let now = (self.settings.clock)();
        self.with_state(|state| state.current.clone()).filter(|instance| instance.may_seal(now))
    }

    /// Asks the gateway for instances, and keeps the first that is acceptable.
    async fn ask(&self) -> Result<Arc<Instance>, Error> {
        let offered = candidates::fetch(&self.gateway, Some(&self.model), self.settings.wait).await?;
        let now = (self.settings.clock)();
        let trust = self.trust_beside(&offered).await;
        let mut refused = Vec::new();
        for candidates::Offered { envelope, .. } in &offered {
            match self.verify(envelope, &trust, now) {
                Ok(instance) => {
                    let instance = Arc::new(instance);
                    tracing::info!(manifest = %instance.digest(), "instance verified");
                    self.with_state(|state| state.current = Some(Arc::clone(&instance)));
                    return Ok(instance);
                }
                Err(why) => {
                    tracing::info!(%why, "instance refused");
                    refused.push(why);
                }
            }
        }
        Err(Error::NoCandidate { refused })
    }

    /// What this client trusts, with the statements that the gateway's verdicts rested on.
    async fn trust_beside(&self, offered: &[candidates::Offered]) -> Trust {
        let wanted = relayed::named(offered);
        let missing = self.with_state(|state| state.relayed.missing(&wanted));
        let got = relayed::fetch(&self.gateway, missing).await;
        let mut trust = self.trust.clone();
        trust.endorsements.extend(&self.with_state(|state| state.relayed.take(got, &wanted)));
        trust
    }

    /// What this client has seen so far, for [`Settings::memory`] of the next one.
    pub fn memory(&self) -> Memory {
        self.with_state(|state| state.memory.clone())
    }

    /// Runs the model on `inputs`, and returns its outputs with the answer that they came in.
    pub async fn infer(&self, inputs: &[Tensor]) -> Result<(Inference, Reply), Error> {
        let body = oip::request(inputs).map_err(|e| Error::Request(RequestError::Tensors(e)))?;
        let reply = self.infer_json(body).await?;
        let inference = oip::answer(&reply.response.content).map_err(|e| Error::Answer(AnswerError::Tensors(e)))?;
        Ok((inference, reply))
    }

    /// Runs the model on the Open Inference Protocol request in `body`, JSON with or without raw tensors behind it, which is
    /// sent as it is. The answer is a success with a verified execution receipt, or an error.
    pub async fn infer_json(&self, body: Vec<u8>) -> Result<Reply, Error> {
        let outline = oip::check_request(&body).map_err(|e| Error::Request(RequestError::Tensors(e)))?;
        let mut request = Request::new("POST", AUTHORITY, "/");
        match outline.json_length {
            None => add(&mut request, "content-type", "application/json")?,
            Some(length) => {
                add(&mut request, "content-type", "application/octet-stream")?;
                add(&mut request, JSON_LENGTH, &length.to_string())?;
            }
        }
        request.content = body;
        let reply = self.seal_and_send(request, Purpose::Infer).await?;
        succeeded(&reply.response)?;
        if reply.receipt.is_none() {
            return Err(Error::Answer(AnswerError::NoReceipt));
        }
        Ok(reply)
    }

    /// What the model says of itself, inside the seal: the Open Inference Protocol's `GET /v2/models/NAME`. The answer is a success, or
    /// an error.
    pub async fn metadata(&self) -> Result<Reply, Error> {
        let request = Request::new("GET", AUTHORITY, &format!("/v2/models/{}", self.model));
        let reply = self.seal_and_send(request, Purpose::Any).await?;
        succeeded(&reply.response)?;
        Ok(reply)
    }

    /// Sends any request that the enclave takes inside the seal. The answer is the enclave's, whatever its status; its
    /// receipt is verified if it carries one.
    pub async fn send(&self, request: Request) -> Result<Reply, Error> {
        for field in request.fields.iter() {
            if OWN_FIELDS.contains(&field.name()) {
                return Err(Error::Request(RequestError::Field { name: field.name().to_owned() }));
            }
        }
        self.seal_and_send(request, Purpose::Any).await
    }

    async fn seal_and_send(&self, request: Request, purpose: Purpose) -> Result<Reply, Error> {
        let request_id = request_id()?;
        let mut reseals_left = if self.settings.once { 0 } else { limits::AUTOMATIC_RESEALS };
        let mut asked: Option<RemoteProblem> = None;
        loop {
            let instance = match (self.instance().await, asked.take()) {
                (Ok(instance), _) => instance,
                (Err(why), None) => return Err(why),
                (Err(why), Some(problem)) => return Err(Error::NotResealed { problem, why: Box::new(why) }),
            };
            match self.attempt(&instance, request.clone(), &request_id, purpose).await {
                Err(Error::Remote(problem)) if problem.asks_to_reseal() && reseals_left > 0 => {
                    tracing::info!(%problem, "sealing again, to a freshly verified manifest");
                    reseals_left = reseals_left.saturating_sub(1);
                    self.forget(instance.digest());
                    asked = Some(problem);
                }
                Err(error) => {
                    // What was sent and came to nothing puts the instance in doubt; what was not sent says nothing of it.
                    if !matches!(error, Error::Request(_)) {
                        self.forget(instance.digest());
                    }
                    return Err(error);
                }
                Ok(reply) => return Ok(reply),
            }
        }
    }

    /// One seal, to one verified instance, sent once.
    async fn attempt(
        &self,
        instance: &Arc<Instance>,
        mut request: Request,
        request_id: &str,
        purpose: Purpose,
    ) -> Result<Reply, Error> {
        let model = match purpose {
            Purpose::Infer => Some(self.model_of(instance)?),
            Purpose::Any => None,
        };
        add(&mut request, SEALED_MANIFEST, &instance.digest().to_string())?;
        add(&mut request, SEALED_REQUEST_ID, request_id)?;
        if let Some(model) = model {
            // With the version, so that the model that runs is the one whose digest is asked for.
            request.path = format!("/v2/models/{}/versions/{}/infer", model.name, model.version);
            add(&mut request, SEALED_MODEL_SHA256, &model.sha256.to_string())?;
        }
        let asserted = usize::try_from(instance.manifest().limits.sealed_body_bytes).unwrap_or(usize::MAX);
        let limit = asserted.min(self.settings.max_sealed_bytes).saturating_add(OVERHEAD_BYTES);
        let sealed = seal(instance.key(), &request, limit).map_err(|e| Error::Request(RequestError::Seal(e)))?;
        let answer = self.relay(instance.digest(), &sealed).await?;
        let expected = Expected {
            instance,
            request_id,
            model,
            gateway_key: self.settings.gateway_receipt_key.as_ref(),
            limit: self.settings.max_sealed_bytes,
        };
        accept(&answer, sealed, &expected)
    }

    async fn relay(&self, manifest: &ManifestDigest, sealed: &Sealed) -> Result<http::Response<Bytes>, Error> {
        let hold = self.settings.hold.min(Duration::from_secs(limits::HOLD_SECONDS.most));
        let request = http::Request::post(RELAY_PATH)
            .header(CONTENT_TYPE, OHTTP_REQUEST)
            .header(TEEGATE_MANIFEST, manifest.to_string())
            .header(TEEGATE_HOLD, hold.as_secs())
            .body(Full::new(Bytes::copy_from_slice(sealed.bytes())))
            .map_err(|e| Error::Request(RequestError::Unwritable(e.to_string())))?;
        let deadline = hold.saturating_add(self.settings.answer);
        let limit = self.settings.max_sealed_bytes.saturating_add(OVERHEAD_BYTES);
        self.gateway.exchange(request, deadline, limit).await.map_err(Error::Relay)
    }

    fn verify(&self, envelope: &[u8], trust: &Trust, now: UnixTime) -> Result<Instance, Refused> {
        self.with_state(|state| {
            let instance = Instance::verify(envelope, Freshness::Epoch, trust, &state.verifier, &state.memory, now)?;
            if instance.manifest().model(&self.model, None).is_none() {
                return Err(model_missing(instance.digest(), &self.model));
            }
            self.settings.shared_runs.judge(instance.bytes(), &self.model)?;
            // Last, so that only what was accepted is remembered.
            state.memory.remember(instance.attested().seen());
            Ok(instance)
        })
    }

    fn model_of<'a>(&self, instance: &'a Instance) -> Result<&'a ModelEntry, Error> {
        instance
            .manifest()
            .model(&self.model, None)
            .ok_or_else(|| Error::NoCandidate { refused: vec![model_missing(instance.digest(), &self.model)] })
    }

    fn forget(&self, manifest: &ManifestDigest) {
        self.with_state(|state| {
            state.current = state.current.take().filter(|current| current.digest() != manifest);
        });
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // A panic elsewhere leaves at worst an instance that is verified again.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The enclave did what it was asked to.
fn succeeded(response: &Response) -> Result<(), Error> {
    if (200..300).contains(&response.status) {
        return Ok(());
    }
    let message = Words::new(String::from_utf8_lossy(&response.content).chars().take(MAX_MESSAGE).collect());
    Err(Error::Answer(AnswerError::Declined { status: response.status, message }))
}

/// Whether a model has to have run.
#[derive(Clone, Copy)]
enum Purpose {
    Infer,
    Any,
}

/// Length of the JSON where raw tensors follow it, in the binary tensor extension.
const JSON_LENGTH: &str = "inference-header-content-length";
/// The authority inside the seal. The enclave serves one; its real name is its manifest.
const AUTHORITY: &str = "enclave";
/// How much of an enclave's refusal is repeated.
const MAX_MESSAGE: usize = 1_000;
/// Fields inside the seal that only this file sets.
const OWN_FIELDS: [&str; 5] =
    [SEALED_MANIFEST, SEALED_REQUEST_ID, SEALED_MODEL_SHA256, SEALED_RECEIPT, SEALED_RECEIPT_SALT];

fn add(request: &mut Request, name: &str, value: &str) -> Result<(), Error> {
    request.fields.push(name, value).map_err(|_| Error::Request(RequestError::Field { name: name.to_owned() }))
}

/// A name for one request, by which its receipt is recognised: 16 random bytes.
fn request_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Request(RequestError::NoRandomness))?;
    Ok(hex::encode(bytes))
}
