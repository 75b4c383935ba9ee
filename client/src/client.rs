//! The client: holds one verified instance at a time, seals to it, and verifies anew whenever it has to seal again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use teegate_encoding::hex;
use teegate_intake::envelope::Refused;
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::headers::{
    OHTTP_REQUEST, RELAY_PATH, SEALED_MANIFEST, SEALED_MODEL_SHA256, SEALED_RECEIPT, SEALED_RECEIPT_SALT,
    SEALED_REQUEST_ID, TEEGATE_HOLD, TEEGATE_MANIFEST,
};
use teegate_protocol::limits;
use teegate_protocol::manifest::{ManifestDigest, ModelEntry};
use teegate_verifier::{Endorsements, Memory, Policy, UnixTime, Verifier};

use crate::answer::{Expected, Reply, accept};
use crate::candidates;
use crate::error::{AnswerError, Error, RequestError};
use crate::instance::{Freshness, Instance, Trust};
use crate::link::{Gateway, Upload};
use crate::oip::{self, Inference, Tensor};
use crate::relayed::{self, Relayed};
use crate::remote::RemoteProblem;
use crate::seal::{OVERHEAD_BYTES, Sealed, seal};
use crate::settings::Settings;
use crate::verified::Verified;
use crate::wanted::Wanted;
use crate::words::Words;

/// A client of one gateway, for one model or for whatever stands behind it.
pub struct Client {
    gateway: Gateway,
    wanted: Wanted,
    trust: Trust,
    settings: Settings,
    state: Mutex<State>,
    /// What was seen so far, by this client and by those who share it.
    memory: Arc<Mutex<Memory>>,
    /// Held while the gateway is asked for instances: of many callers one asks, and the others take what it got.
    asking: tokio::sync::Mutex<()>,
}

struct State {
    verifier: Verifier,
    verified: Verified,
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
        let wanted = Wanted::Model { name: model.to_owned(), version: None };
        let client = Self::new(gateway, wanted, policy, endorsements, settings);
        client.instance().await?;
        Ok(client)
    }

    /// The same, for whatever is wanted, without asking anybody yet: the first request does, or [`Client::instance`].
    pub fn new(
        gateway: Gateway,
        wanted: Wanted,
        policy: Policy,
        endorsements: Endorsements,
        settings: Settings,
    ) -> Self {
        let memory = Arc::new(Mutex::new(settings.memory.clone()));
        Self::remembering(gateway, wanted, policy, endorsements, settings, memory)
    }

    /// The same, with a memory that others have too: what one has seen is refused by all when it comes back older. That of the settings
    /// does not count.
    pub(crate) fn remembering(
        gateway: Gateway,
        wanted: Wanted,
        policy: Policy,
        endorsements: Endorsements,
        settings: Settings,
        memory: Arc<Mutex<Memory>>,
    ) -> Self {
        let trust = settings.trust(policy, endorsements);
        let state = State {
            verifier: Verifier::new(),
            verified: Verified::default(),
            relayed: Relayed::default(),
            failures: 0,
            last_failure: None,
        };
        let (state, asking) = (Mutex::new(state), tokio::sync::Mutex::new(()));
        Self { gateway, wanted, trust, settings, state, memory, asking }
    }

    /// A verified instance to which a request may be sealed now: of those at hand the one whose turn it is, or else a freshly
    /// verified one.
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

    /// The verified instance at hand, if a request may be sealed to it now. Asks nobody.
    pub fn at_hand(&self) -> Option<Arc<Instance>> {
        let now = (self.settings.clock)();
        self.with_state(|state| state.verified.next(now))
    }

    /// Asks the gateway for instances, and keeps those that are acceptable until they end. Who asks the vendors as well keeps the first:
    /// they are not asked for the sake of a second.
    async fn ask(&self) -> Result<Arc<Instance>, Error> {
        let offered = candidates::fetch(&self.gateway, self.wanted.name(), self.settings.wait).await?;
        let now = self.settings.clock;
        let relayed = self.relayed(&offered).await;
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        for candidates::Offered { envelope, .. } in &offered {
            // Asking the vendors takes time, in which evidence may end: the verdict is about the moment at which it is made.
            let trust = self.settings.trust_beside(&self.trust, envelope, &relayed, now()).await;
            match self.verify(envelope, &trust, now()) {
                Ok(instance) => {
                    self.settings.tell_verified(&instance);
                    accepted.push(Arc::new(instance));
                }
                Err(why) => {
                    self.settings.tell_refused(&why);
                    refused.push(why);
                }
            }
            if self.settings.online.is_some() && !accepted.is_empty() {
                break;
            }
        }
        self.with_state(|state| {
            state.verified.keep(accepted);
            state.verified.next(now())
        })
        .ok_or(Error::NoCandidate { refused })
    }

    /// The statements that the gateway's verdicts on these rested on.
    async fn relayed(&self, offered: &[candidates::Offered]) -> Endorsements {
        let wanted = relayed::named(offered);
        let missing = self.with_state(|state| state.relayed.missing(&wanted));
        let got = relayed::fetch(&self.gateway, missing, self.settings.observer.as_deref()).await;
        self.with_state(|state| state.relayed.take(got, &wanted))
    }

    /// What this client has seen so far, for [`Settings::memory`] of the next one.
    pub fn memory(&self) -> Memory {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let reply = self.forward(request).await?;
        succeeded(&reply.response)?;
        Ok(reply)
    }

    /// What the model says of itself, inside the seal: the Open Inference Protocol's `GET /v2/models/NAME`, or `GET /v2` where none is
    /// wanted. The answer is a success, or an error.
    pub async fn metadata(&self) -> Result<Reply, Error> {
        let path = self.wanted.name().map_or_else(|| "/v2".to_owned(), |name| format!("/v2/models/{name}"));
        let request = Request::new("GET", AUTHORITY, &path);
        let reply = self.seal_and_send(request, Purpose::Any).await?;
        succeeded(&reply.response)?;
        Ok(reply)
    }

    /// Sends any request that the enclave takes inside the seal and that runs no model. The answer is the enclave's, whatever its status;
    /// its receipt is verified if it carries one.
    ///
    /// # Errors
    /// The request would run a model: which one may decide whether the instance is accepted ([`Settings::shared_runs`]), so that is for
    /// [`Client::forward`] and [`Client::infer_json`] of a client that wants that model.
    pub async fn send(&self, request: Request) -> Result<Reply, Error> {
        check_fields(&request)?;
        if runs_a_model(&request) {
            return Err(Error::Request(RequestError::RunsModel));
        }
        self.seal_and_send(request, Purpose::Any).await
    }

    /// Runs the model on a request of the Open Inference Protocol as it came from somebody else: its fields and its content
    /// are sent as they are, its path is the model's. The answer is the enclave's, whatever its status; a success has a
    /// verified execution receipt.
    pub async fn forward(&self, request: Request) -> Result<Reply, Error> {
        check_fields(&request)?;
        let reply = self.seal_and_send(request, Purpose::Infer).await?;
        if succeeded(&reply.response).is_ok() && reply.receipt.is_none() {
            return Err(Error::Answer(AnswerError::NoReceipt));
        }
        Ok(reply)
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
            let list = self.with_state(|state| state.verified.list());
            match self.attempt(&instance, request.clone(), &request_id, purpose).await {
                Err(Error::Remote(problem)) if problem.asks_to_reseal() && reseals_left > 0 => {
                    tracing::info!(%problem, "sealing again, to a freshly verified manifest");
                    reseals_left = reseals_left.saturating_sub(1);
                    // What was verified with it may be as old: who rolls out anew replaces all of them.
                    self.with_state(|state| state.verified.forget_list(list));
                    asked = Some(problem);
                }
                Err(error) => {
                    if puts_in_doubt(&error) {
                        self.with_state(|state| state.verified.forget(instance.digest()));
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
            gateway_keys: &self.settings.gateway_receipt_keys,
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
            .body(Upload::of(sealed.to_bytes(), self.settings.observer.clone()))
            .map_err(|e| Error::Request(RequestError::Unwritable(e.to_string())))?;
        let deadline = hold.saturating_add(self.settings.answer);
        let limit = self.settings.max_sealed_bytes.saturating_add(OVERHEAD_BYTES);
        self.gateway.exchange(request, deadline, limit).await.map_err(Error::Relay)
    }

    fn verify(&self, envelope: &[u8], trust: &Trust, now: UnixTime) -> Result<Instance, Refused> {
        self.with_state(|state| {
            // Held until what this teaches is in it: nobody judges in between.
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            let instance = Instance::verify(envelope, Freshness::Epoch, trust, &state.verifier, &memory, now)?;
            if !self.wanted.is_served_by(instance.manifest()) {
                return Err(self.wanted.missing(instance.digest()));
            }
            self.settings.shared_runs.judge(instance.bytes(), self.wanted.among(instance.manifest()))?;
            // Last, so that only what was accepted is remembered.
            memory.remember(instance.attested().seen());
            Ok(instance)
        })
    }

    fn model_of<'a>(&self, instance: &'a Instance) -> Result<&'a ModelEntry, Error> {
        let model = self.wanted.among(instance.manifest());
        model.ok_or_else(|| Error::NoCandidate { refused: vec![self.wanted.missing(instance.digest())] })
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        // A panic elsewhere leaves at worst an instance that is verified again.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether an error says something of the instance that the request was sealed to: what was sent and came to nothing does. What was
/// not sent does not, nor does an answer out of the seal that declines, which only that instance can have given.
fn puts_in_doubt(error: &Error) -> bool {
    match error {
        Error::Request(_) => false,
        Error::Remote(problem) => !problem.sealed,
        _ => true,
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
pub(crate) const JSON_LENGTH: &str = "inference-header-content-length";
/// The authority inside the seal. The enclave serves one; its real name is its manifest.
const AUTHORITY: &str = "enclave";
/// How much of an enclave's refusal is repeated.
const MAX_MESSAGE: usize = 1_000;
/// Fields inside the seal that only this file sets.
const OWN_FIELDS: [&str; 5] =
    [SEALED_MANIFEST, SEALED_REQUEST_ID, SEALED_MODEL_SHA256, SEALED_RECEIPT, SEALED_RECEIPT_SALT];

fn check_fields(request: &Request) -> Result<(), Error> {
    match request.fields.iter().find(|field| OWN_FIELDS.contains(&field.name())) {
        Some(field) => Err(Error::Request(RequestError::Field { name: field.name().to_owned() })),
        None => Ok(()),
    }
}

/// Whether the enclave runs a model for it, by the paths of the Open Inference Protocol.
fn runs_a_model(request: &Request) -> bool {
    let path = request.path.split('?').next().unwrap_or_default();
    let segments: Vec<_> = path.split('/').collect();
    request.method.eq_ignore_ascii_case("POST")
        && match segments.as_slice() {
            ["", "v2", "models", name, "infer"] | ["", "v2", "models", name, "versions", _, "infer"] => {
                !name.is_empty()
            }
            _ => false,
        }
}

fn add(request: &mut Request, name: &str, value: &str) -> Result<(), Error> {
    request.fields.push(name, value).map_err(|_| Error::Request(RequestError::Field { name: name.to_owned() }))
}

/// A name for one request, by which its receipt is recognised: 16 random bytes.
fn request_id() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| Error::Request(RequestError::NoRandomness))?;
    Ok(hex::encode(bytes))
}
