//! From ciphertext to sealed answer: the only way into this program.
//!
//! ```text
//! outer bytes -> key of that id -> place reserved -> opened -> place taken -> binary HTTP, padding checked
//!             -> conditions -> Open Inference Protocol -> answer, signed where a model ran -> padded -> sealed
//! ```
//!
//! Until a request has opened there is nobody to trust and nothing to say but which keys there are. After that
//! everything goes back sealed, refusals too.

use std::sync::Arc;

use teegate_protocol::bhttp::{BhttpError, Fields, Request, Response};
use teegate_protocol::headers::{
    PROBLEM_JSON, SEALED_MANIFEST, SEALED_MODEL_SHA256, SEALED_RECEIPT, SEALED_RECEIPT_SALT, SEALED_REQUEST_ID,
};
use teegate_protocol::manifest::{ManifestDigest, ModelDigest, ModelEntry};
use teegate_protocol::ohttp::request::OpenError;
use teegate_protocol::ohttp::{EncapsulatedRequest, ServerContext};
use teegate_protocol::padding::padded_len;
use teegate_protocol::problem::{Problem, ProblemKind};
use teegate_protocol::receipt::{Execution, Salt, check_request_id};

use crate::epoch::{Epoch, Epochs, unix_time};
use crate::identity::Identity;
use crate::memory::Charge;
use crate::oip::infer::Inference;
use crate::oip::{self, Call, ModelName, OipError};
use crate::replay::Arrival;
use crate::tensor::Tensor;
use crate::upload::Upload;
use crate::workers::{RunError, Workers};

/// Bytes that encapsulation adds to a padded message: header, encapsulated key of the largest KEM, tag; rounded up.
pub const ENCAPSULATION_BYTES: usize = 2048;

/// From here on work on a message is handed to a thread that may block: it takes a millisecond and more.
const LONG_BYTES: usize = 512 << 10;

/// A model and its workers.
pub struct Model {
    /// Name, version and digest, as in the manifest.
    pub entry: ModelEntry,
    /// What runs it.
    pub workers: Workers,
}

/// Answers encapsulated requests.
pub struct Opener {
    epochs: Arc<Epochs>,
    identity: Arc<Identity>,
    models: Vec<Model>,
    sealed_body_bytes: usize,
}

/// What goes back to whoever brought the ciphertext.
#[derive(Debug)]
pub enum Outcome {
    /// The encapsulated answer; only the client can read whether it is a success.
    Sealed(Vec<u8>),
    /// The request asks for a key that is not there, or no longer.
    UnknownKey(OpenError),
    /// There is no room to remember the request by, so it was not opened.
    Busy,
    /// The bytes are no encapsulated request, or do not open. More is not said.
    Refused,
    /// The answer could not be sealed, because the system gave no random bytes.
    NotSealed,
}

/// The inside of an answer before it is padded and sealed.
struct Inside {
    status: u16,
    fields: Vec<(&'static str, String)>,
    content: Vec<u8>,
}

impl Inside {
    fn json(status: u16, content: Vec<u8>) -> Self {
        Self { status, fields: vec![(CONTENT_TYPE, JSON.to_owned())], content }
    }
}

const CONTENT_TYPE: &str = "content-type";
const CONTENT_ENCODING: &str = "content-encoding";
const ACCEPT_ENCODING: &str = "accept-encoding";
const JSON: &str = "application/json";

impl From<Problem> for Inside {
    fn from(problem: Problem) -> Self {
        let mut fields = vec![(CONTENT_TYPE, PROBLEM_JSON.to_owned())];
        fields.extend(problem.retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        Self { status: problem.status(), fields, content: problem.to_json() }
    }
}

impl From<OipError> for Inside {
    fn from(error: OipError) -> Self {
        let mut inside = Self::json(error.status, error.body());
        if error.status == 415 {
            // RFC 9110, section 15.5.16: what would have been taken.
            inside.fields.push((ACCEPT_ENCODING, "identity".to_owned()));
        }
        inside
    }
}

/// A request that has opened for the first time.
struct Opened {
    plaintext: Vec<u8>,
    context: ServerContext,
}

enum Unsealed {
    First(Opened),
    /// Opened, and will not be executed: the answer says why.
    Answer(ServerContext, Problem),
    Outcome(Outcome),
}

impl Opener {
    /// Answers requests to these models.
    pub fn new(epochs: Arc<Epochs>, identity: Arc<Identity>, models: Vec<Model>, sealed_body_bytes: usize) -> Self {
        Self { epochs, identity, models, sealed_body_bytes }
    }

    /// Whether every model has a worker left.
    pub fn is_ready(&self) -> bool {
        self.models.iter().all(|model| model.workers.is_ready())
    }

    /// Answers one encapsulated request. Its memory is given back when nothing of it is left, in the queue of a model
    /// neither.
    pub async fn answer(&self, upload: Upload) -> Outcome {
        let Upload { bytes, charge } = upload;
        let charge = Arc::new(charge);
        let epoch = match self.epoch(&bytes) {
            Ok(epoch) => epoch,
            Err(outcome) => return outcome,
        };
        let length = bytes.len();
        let unsealed = {
            let epoch = Arc::clone(&epoch);
            apart(&charge, length, move || unseal(&epoch, &bytes)).await
        };
        self.epochs.relieve(&epoch);
        let (context, inside) = match unsealed {
            Unsealed::Outcome(outcome) => return outcome,
            Unsealed::Answer(context, problem) => (context, problem.into()),
            Unsealed::First(Opened { plaintext, context }) => {
                let request = Open {
                    manifest: *epoch.manifest().digest(),
                    plaintext: Arc::new(plaintext),
                    charge: Arc::clone(&charge),
                };
                (context, self.inside(request).await)
            }
        };
        let limit = self.sealed_body_bytes;
        apart(&charge, inside.content.len(), move || seal(context, inside, limit)).await
    }

    fn epoch(&self, body: &[u8]) -> Result<Arc<Epoch>, Outcome> {
        let request = EncapsulatedRequest::parse(body).map_err(refusal)?;
        let key_id = request.key_id();
        self.epochs.by_key_id(key_id).ok_or(Outcome::UnknownKey(OpenError::UnknownKeyId { key_id }))
    }

    async fn inside(&self, open: Open) -> Inside {
        match self.respond(open).await {
            Ok(inside) | Err(inside) => inside,
        }
    }

    async fn respond(&self, open: Open) -> Result<Inside, Inside> {
        let (plaintext, limit) = (Arc::clone(&open.plaintext), self.sealed_body_bytes);
        let request = apart(&open.charge, plaintext.len(), move || Request::decode(&plaintext, limit)).await;
        let request = request.map_err(|error| match error {
            BhttpError::TooLarge { .. } => Problem::new(ProblemKind::TooLarge).with_detail(error),
            _ => bad_request(error),
        })?;
        let conditions = Conditions::read(&request.fields)?;
        if let Some(wanted) = conditions.manifest.filter(|wanted| *wanted != open.manifest) {
            let detail = format!(
                "`{SEALED_MANIFEST}` is {wanted}, but the key that opened the request stands in manifest {}",
                open.manifest
            );
            return Err(bad_request(detail).into());
        }
        let call = oip::route(&request.method, &request.path)?;
        let (Call::Model(name) | Call::ModelReady(name) | Call::Infer(name)) = call else {
            if conditions.model.is_some() {
                return Err(
                    bad_request(format!("`{SEALED_MODEL_SHA256}` is given, but the path names no model")).into()
                );
            }
            return Ok(self.about_the_server(&call));
        };
        let model = self.model(name)?;
        if let Some(wanted) = conditions.model.filter(|wanted| *wanted != model.entry.sha256) {
            let detail = format!(
                "`{SEALED_MODEL_SHA256}` is {wanted}, but model `{}` has {}",
                model.entry.name, model.entry.sha256
            );
            return Err(bad_request(detail).into());
        }
        let ModelEntry { name, version, .. } = &model.entry;
        match call {
            Call::Infer(_) => self.infer(open, request, conditions.request_id, model).await,
            Call::ModelReady(_) => {
                let ready = model.workers.is_ready();
                Ok(Inside::json(ready_status(ready), oip::model_ready(name, ready)))
            }
            _ => Ok(Inside::json(200, oip::model_metadata(name, version, model.workers.signature()))),
        }
    }

    fn about_the_server(&self, call: &Call<'_>) -> Inside {
        match call {
            Call::Live => Inside::json(200, oip::health("live", true)),
            Call::Ready => Inside::json(ready_status(self.is_ready()), oip::health("ready", self.is_ready())),
            _ => Inside::json(200, oip::server_metadata()),
        }
    }

    fn model(&self, asked: ModelName<'_>) -> Result<&Model, OipError> {
        let known = self.models.iter().find(|model| model.entry.name == asked.name);
        let known = known
            .ok_or_else(|| OipError::not_found("no such model; the manifest lists the models of this instance"))?;
        match asked.version {
            Some(version) if version != known.entry.version => Err(OipError::not_found(format!(
                "model `{}` has version `{}` here",
                known.entry.name, known.entry.version
            ))),
            _ => Ok(known),
        }
    }

    async fn infer(
        &self,
        open: Open,
        request: Request,
        request_id: Option<String>,
        model: &Model,
    ) -> Result<Inside, Inside> {
        refuse_encoding(&request.fields)?;
        let json_length = json_length(&request.fields)?;
        let signature = Arc::clone(model.workers.signature());
        let name = model.entry.name.clone();
        let parse = move || Inference::parse(&request.content, json_length, &name, &signature);
        let mut inference = apart(&open.charge, open.plaintext.len(), parse).await?;
        let inputs = std::mem::take(&mut inference.inputs);
        let outputs = model.workers.run(inputs, Arc::clone(&open.charge)).await.map_err(|error| match error {
            RunError::Busy => {
                Problem::new(ProblemKind::Busy).with_retry_after(1).with_detail("the queue of the model is full").into()
            }
            RunError::Deadline => {
                Inside::from(OipError { status: 504, message: "the run was terminated at its deadline".to_owned() })
            }
            RunError::NoWorker => OipError { status: 503, message: "the model has no worker left".to_owned() }.into(),
            RunError::Failed(words) => OipError { status: 500, message: format!("ONNX Runtime: {words}") }.into(),
        })?;
        let (entry, identity, limit) = (model.entry.clone(), Arc::clone(&self.identity), self.sealed_body_bytes);
        let length = open.plaintext.len().saturating_add(outputs.iter().map(Tensor::bytes).sum());
        let charge = Arc::clone(&open.charge);
        let answer = move || {
            let answer = inference.answer(&entry.name, &entry.version, &outputs, limit)?;
            drop(outputs);
            let content_type = if answer.json_length.is_some() { "application/octet-stream" } else { JSON };
            let receipt = receipt(&identity, &open, request_id, entry.sha256, &answer.body)?;
            let mut fields = vec![(CONTENT_TYPE, content_type.to_owned())];
            fields.extend(answer.json_length.map(|length| (oip::HEADER_LENGTH, length.to_string())));
            fields.extend(receipt);
            Ok(Inside { status: 200, fields, content: answer.body })
        };
        apart(&charge, length, answer).await
    }
}

/// A request that may be executed: what opened it, and what it takes of the memory.
struct Open {
    manifest: ManifestDigest,
    plaintext: Arc<Vec<u8>>,
    charge: Arc<Charge>,
}

fn ready_status(ready: bool) -> u16 {
    if ready { 200 } else { 503 }
}

/// The execution receipt and its salt.
fn receipt(
    identity: &Identity,
    open: &Open,
    request_id: Option<String>,
    model: ModelDigest,
    output: &[u8],
) -> Result<[(&'static str, String); 2], OipError> {
    let unsigned = |error: &dyn std::fmt::Display| OipError {
        status: 500,
        message: format!("execution receipt could not be made: {error}"),
    };
    let salt = Salt::generate().map_err(|error| unsigned(&error))?;
    let execution = Execution {
        manifest: open.manifest,
        request_id,
        request: salt.digest(&open.plaintext),
        output: salt.digest(output),
        model,
        claimed_time: unix_time(),
    };
    let signed = execution.sign(identity.receipt_key()).map_err(|error| unsigned(&error))?;
    Ok([(SEALED_RECEIPT, signed.to_header()), (SEALED_RECEIPT_SALT, salt.to_header())])
}

/// What the client asks to be true, inside the seal.
struct Conditions {
    manifest: Option<ManifestDigest>,
    model: Option<ModelDigest>,
    request_id: Option<String>,
}

impl Conditions {
    fn read(fields: &Fields) -> Result<Self, Problem> {
        let digest = "64 digits of lower-case hex";
        let request_id = once(fields, SEALED_REQUEST_ID)?.map(str::to_owned);
        check_request_id(request_id.as_deref()).map_err(bad_request)?;
        Ok(Self {
            manifest: once(fields, SEALED_MANIFEST)?
                .map(|value| value.parse().map_err(|_| unreadable(SEALED_MANIFEST, digest)))
                .transpose()?,
            model: once(fields, SEALED_MODEL_SHA256)?
                .map(|value| value.parse().map_err(|_| unreadable(SEALED_MODEL_SHA256, digest)))
                .transpose()?,
            request_id,
        })
    }
}

fn json_length(fields: &Fields) -> Result<Option<usize>, Problem> {
    let number = |value: &str| {
        // `parse` would take a sign.
        let digits = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok());
        number.ok_or_else(|| unreadable(oip::HEADER_LENGTH, "the number of bytes of the JSON part"))
    };
    once(fields, oip::HEADER_LENGTH)?.map(number).transpose()
}

/// A body is taken as it is. One that is compressed would only be taken for broken JSON.
fn refuse_encoding(fields: &Fields) -> Result<(), OipError> {
    let is_identity = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"identity");
    if fields.get_all(CONTENT_ENCODING).all(is_identity) {
        return Ok(());
    }
    Err(OipError::unsupported_media_type(format!(
        "header `{CONTENT_ENCODING}`: bodies are not decompressed here, send it as it is (identity)"
    )))
}

/// The value of a field that may stand there once.
fn once<'a>(fields: &'a Fields, name: &'static str) -> Result<Option<&'a str>, Problem> {
    match fields.get_all(name).count() {
        0 => Ok(None),
        _ => fields.get(name).map(Some).ok_or_else(|| unreadable(name, "one value")),
    }
}

fn unreadable(name: &str, expected: &str) -> Problem {
    bad_request(format!("field `{name}`: expected {expected}"))
}

fn bad_request(detail: impl std::fmt::Display) -> Problem {
    Problem::new(ProblemKind::BadRequest).with_detail(detail)
}

/// Reserves, opens, and takes the place: see [`crate::replay`].
fn unseal(epoch: &Epoch, body: &[u8]) -> Unsealed {
    let request = match EncapsulatedRequest::parse(body) {
        Ok(request) => request,
        Err(error) => return Unsealed::Outcome(refusal(error)),
    };
    let Some(reservation) = epoch.replay().reserve(request.replay_key()) else {
        return Unsealed::Outcome(Outcome::Busy);
    };
    let (plaintext, context) = match epoch.open(request) {
        Ok(opened) => opened,
        Err(error) => return Unsealed::Outcome(refusal(error)),
    };
    match reservation.take() {
        Arrival::First => Unsealed::First(Opened { plaintext, context }),
        Arrival::Again => Unsealed::Answer(context, Problem::new(ProblemKind::Replay)),
    }
}

fn refusal(error: OpenError) -> Outcome {
    if error.is_key_problem() { Outcome::UnknownKey(error) } else { Outcome::Refused }
}

fn seal(context: ServerContext, inside: Inside, limit: usize) -> Outcome {
    let too_large = |bytes| {
        let message = format!(
            "answer has {bytes} padded bytes, at most {limit} can be sealed; ask for fewer outputs or smaller batches"
        );
        padded(OipError { status: 500, message }.into())
    };
    let least = padded_len(inside.content.len());
    let padded = if least > limit {
        too_large(least)
    } else {
        padded(inside).and_then(|bytes| if bytes.len() > limit { too_large(bytes.len()) } else { Ok(bytes) })
    };
    match padded.map(|bytes| context.seal(&bytes)) {
        Ok(Ok(sealed)) => Outcome::Sealed(sealed),
        // The fields are made here, so this is the random number generator.
        Ok(Err(_)) | Err(_) => Outcome::NotSealed,
    }
}

fn padded(inside: Inside) -> Result<Vec<u8>, BhttpError> {
    let mut response = Response::new(inside.status);
    for (name, value) in inside.fields {
        response.fields.push(name, value)?;
    }
    response.content = inside.content;
    response.encode_padded()
}

/// Runs what is long on a thread that may block. Its memory stays taken until it is done, even if nobody waits any more.
async fn apart<T: Send + 'static>(charge: &Arc<Charge>, bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    if bytes < LONG_BYTES {
        return work();
    }
    let charge = Arc::clone(charge);
    let work = move || {
        let done = work();
        drop(charge);
        done
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // Only a panic, or the end of the runtime, which ends this future too.
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::engine::{Engine, EngineError, Signature, Stop};

    struct Panics(Signature);

    impl Engine for Panics {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn run(&mut self, _: &[Tensor], _: &Stop) -> Result<Vec<Tensor>, EngineError> {
            std::panic::resume_unwind(Box::new("the engine is gone"))
        }
    }

    #[tokio::test]
    async fn an_instance_whose_model_lost_its_workers_does_not_say_it_is_ready() {
        let engine = Panics(Signature::default());
        let workers = Workers::start("m", vec![Box::new(engine)], 1, Duration::from_secs(600)).unwrap();
        let entry = ModelEntry { name: "m".into(), version: "1".into(), sha256: ModelDigest([1; 32]) };
        let identity = Arc::new(Identity::generate().unwrap());
        let opener =
            Opener::new(crate::epoch::tests::epochs().await, identity, vec![Model { entry, workers }], 1 << 20);
        let memory = crate::memory::Memory::new(1 << 20, 1 << 20);
        let ask = async |path| {
            let plaintext = Request::new("GET", "enclave.invalid", path).encode_padded().unwrap();
            let charge = Arc::new(memory.share().charge(0).unwrap());
            opener.inside(Open { manifest: ManifestDigest([0; 32]), plaintext: Arc::new(plaintext), charge }).await
        };
        for path in ["/v2/health/ready", "/v2/models/m/ready"] {
            assert_eq!(ask(path).await.status, 200, "{path}");
        }
        assert!(opener.models[0].workers.run(vec![], ()).await.is_err());
        let deadline = Instant::now() + Duration::from_secs(10);
        while opener.is_ready() {
            assert!(Instant::now() < deadline, "the worker unwinds");
            tokio::task::yield_now().await;
        }
        for path in ["/v2/health/ready", "/v2/models/m/ready"] {
            let inside = ask(path).await;
            let said: serde_json::Value = serde_json::from_slice(&inside.content).unwrap();
            assert_eq!((inside.status, &said["ready"]), (503, &serde_json::json!(false)), "{path}");
        }
        assert_eq!(ask("/v2/health/live").await.status, 200);
    }
}
