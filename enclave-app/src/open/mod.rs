//! From ciphertext to sealed answer: the only way into this program.
//!
//! ```text
//! outer bytes -> key of that id -> place reserved -> opened -> binary HTTP, padding checked -> place taken by what runs
//!             -> conditions -> Open Inference Protocol -> answer, signed where a model ran -> padded -> sealed
//! ```
//!
//! Until a request has opened there is nobody to trust and nothing to say but which keys there are. After that
//! everything goes back sealed, refusals too. Every buffer on the way is paid for before it is there ([`crate::memory`])
//! and wiped when it goes ([`crate::secret`]).

mod conditions;
mod inside;
mod unseal;

use std::sync::Arc;

use teegate_protocol::headers::{SEALED_MANIFEST, SEALED_MODEL_SHA256, SEALED_RECEIPT, SEALED_RECEIPT_SALT};
use teegate_protocol::manifest::{ManifestDigest, ModelDigest, ModelEntry};
use teegate_protocol::ohttp::EncapsulatedRequest;
use teegate_protocol::ohttp::request::OpenError;
use teegate_protocol::oip::version_order;
use teegate_protocol::problem::{Problem, ProblemKind};
use teegate_protocol::receipt::{Execution, Salt, SaltedDigest};

use crate::epoch::{Epochs, unix_time};
use crate::identity::Identity;
use crate::memory::{Purse, Shortage};
use crate::oip::answer::no_memory;
use crate::oip::infer::{Inference, NotRead};
use crate::oip::{self, Call, ModelName, OipError};
use crate::secret;
use crate::tensor::Tensor;
use crate::upload::Upload;
use crate::workers::{RunError, Workers};
use conditions::{Conditions, bad_request, json_length, refuse_encoding};
pub use inside::Sealed;
use inside::{Inside, close};
use unseal::{Opened, Unsealed, unseal};

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
pub enum Outcome {
    /// The encapsulated answer; only the client can read whether it is a success.
    Sealed(Sealed),
    /// The request asks for a key that is not there, or no longer.
    UnknownKey(OpenError),
    /// There is no room to remember the request by, so it was not opened.
    Busy,
    /// The bytes are no encapsulated request, or do not open. More is not said.
    Refused,
    /// The answer could not be sealed, because the system gave no random bytes.
    NotSealed,
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

    /// Answers one encapsulated request. `spare` is for a refusal, of which there is one whatever becomes of the request's
    /// own purse: that goes along with what it paid for, and is given back with it, in the queue of a model too.
    pub async fn answer(&self, upload: Upload, spare: Purse) -> Outcome {
        let Upload { bytes, purse } = upload;
        let key_id = match EncapsulatedRequest::parse(&bytes) {
            Ok(request) => request.key_id(),
            Err(error) if error.is_key_problem() => return Outcome::UnknownKey(error),
            Err(_) => return Outcome::Refused,
        };
        let Some(epoch) = self.epochs.by_key_id(key_id) else {
            return Outcome::UnknownKey(OpenError::UnknownKeyId { key_id });
        };
        let (length, limit) = (bytes.len(), self.sealed_body_bytes);
        let (unsealed, purse) = {
            let epoch = Arc::clone(&epoch);
            apart(length, move || (unseal(&epoch, bytes, limit), purse)).await
        };
        self.epochs.relieve(&epoch);
        let (answer, context) = match unsealed {
            Unsealed::Opened(opened, context) => {
                (self.respond(opened, *epoch.manifest().digest(), purse).await, context)
            }
            Unsealed::Refused(inside, context) => (Err(inside), context),
            Unsealed::UnknownKey(error) => return Outcome::UnknownKey(error),
            Unsealed::Busy => return Outcome::Busy,
            Unsealed::NotOpened => return Outcome::Refused,
        };
        let length = answer.as_ref().map_or(0, |(inside, _)| inside.len());
        let sealed = apart(length, move || close(answer, spare, context, limit)).await;
        sealed.map_or(Outcome::NotSealed, Outcome::Sealed)
    }

    /// The answer and the purse that it is paid from, or a refusal.
    async fn respond(&self, opened: Opened, manifest: ManifestDigest, purse: Purse) -> Result<(Inside, Purse), Inside> {
        let request = &opened.request;
        let conditions = Conditions::read(&request.fields)?;
        if let Some(wanted) = conditions.manifest.filter(|wanted| *wanted != manifest) {
            let detail = format!(
                "`{SEALED_MANIFEST}` is {wanted}, but the key that opened the request stands in manifest {manifest}"
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
            return Ok((self.about_the_server(&call), purse));
        };
        let model = self.model(name)?;
        if let Some(wanted) = conditions.model.filter(|wanted| *wanted != model.entry.sha256) {
            let detail = format!(
                "`{SEALED_MODEL_SHA256}` is {wanted}, but model `{}` has {}",
                model.entry.name, model.entry.sha256
            );
            return Err(bad_request(detail).into());
        }
        let name = &model.entry.name;
        match call {
            Call::Infer(_) => self.infer(opened, manifest, conditions.request_id, model, purse).await,
            Call::ModelReady(_) => {
                let ready = model.workers.is_ready();
                Ok((Inside::json(ready_status(ready), oip::model_ready(name, ready)), purse))
            }
            _ => Ok((
                Inside::json(200, oip::model_metadata(name, &self.versions(name), model.workers.signature())),
                purse,
            )),
        }
    }

    fn about_the_server(&self, call: &Call<'_>) -> Inside {
        match call {
            Call::Live => Inside::json(200, oip::health("live", true)),
            Call::Ready => Inside::json(ready_status(self.is_ready()), oip::health("ready", self.is_ready())),
            _ => Inside::json(200, oip::server_metadata()),
        }
    }

    /// The model that is asked for; without a version the greatest that there is.
    fn model(&self, asked: ModelName<'_>) -> Result<&Model, OipError> {
        let known = || self.models.iter().filter(|model| model.entry.name == asked.name);
        let wanted = known().filter(|model| asked.version.is_none_or(|version| version == model.entry.version));
        wanted.max_by(|one, other| version_order(&one.entry.version, &other.entry.version)).ok_or_else(|| {
            let versions = self.versions(asked.name);
            OipError::not_found(if versions.is_empty() {
                "no such model; the manifest lists the models of this instance".to_owned()
            } else {
                format!("model `{}` has version `{}` here", asked.name, versions.join("`, `"))
            })
        })
    }

    /// The versions of a model, the lowest first.
    fn versions(&self, name: &str) -> Vec<&str> {
        let known = self.models.iter().filter(|model| model.entry.name == name);
        let mut versions: Vec<&str> = known.map(|model| model.entry.version.as_str()).collect();
        versions.sort_by(|one, other| version_order(one, other));
        versions
    }

    async fn infer(
        &self,
        opened: Opened,
        manifest: ManifestDigest,
        request_id: Option<String>,
        model: &Model,
        mut purse: Purse,
    ) -> Result<(Inside, Purse), Inside> {
        let Opened { request, content, named } = opened;
        refuse_encoding(&request.fields)?;
        let json_length = json_length(&request.fields)?;
        // It has said all that it has to say.
        drop(request);
        let (signature, name) = (Arc::clone(model.workers.signature()), model.entry.name.clone());
        let length = content.len();
        let parse = move || {
            let read = Inference::parse(&content, json_length, &name, &signature, &mut purse);
            secret::wipe(content, &mut purse);
            read.map(|inference| (inference, purse))
        };
        let (mut inference, purse) = apart(length, parse).await.map_err(not_read)?;
        let inputs = std::mem::take(&mut inference.inputs);
        let (outputs, mut purse) = model.workers.run(inputs, purse).await.map_err(not_run)?;
        let length = outputs.iter().map(Tensor::bytes).sum();
        let (entry, identity, limit) = (model.entry.clone(), Arc::clone(&self.identity), self.sealed_body_bytes);
        let answer = move || {
            let answer = inference.answer(&entry.name, &entry.version, outputs, limit, &mut purse)?;
            let receipt = receipt(&identity, manifest, request_id, named, entry.sha256, &answer.body)?;
            let mut inside = Inside::outputs(answer.body, answer.json_length.is_some());
            inside.fields.extend(answer.json_length.map(|length| (oip::HEADER_LENGTH, length.to_string())));
            inside.fields.extend(receipt);
            Ok((inside, purse))
        };
        apart(length, answer).await
    }
}

fn not_read(error: NotRead) -> Inside {
    match error {
        NotRead::Wrong(error) => error.into(),
        NotRead::Memory(Shortage::Now) => Problem::new(ProblemKind::Busy)
            .with_retry_after(1)
            .with_detail("no memory for the tensors of one more request")
            .into(),
        NotRead::Memory(Shortage::Never { needed, most }) => Problem::new(ProblemKind::TooLarge)
            .with_detail(format!(
                "the request and its tensors need {needed} bytes of memory, and one request can have {most}; send binary data or smaller batches"
            ))
            .into(),
    }
}

fn not_run(error: RunError) -> Inside {
    match error {
        RunError::Busy { retry_after_seconds } => Problem::new(ProblemKind::Busy)
            .with_retry_after(retry_after_seconds)
            .with_detail("the queue of the model is full")
            .into(),
        RunError::Deadline => {
            OipError { status: 504, message: "the run was not through at its deadline".to_owned() }.into()
        }
        RunError::NoMemory(shortage) => no_memory(shortage).into(),
        RunError::NoWorker => OipError { status: 503, message: "the model has no worker left".to_owned() }.into(),
        RunError::Lost => {
            let message = "the worker that ran the request has ended, and another takes its place; how far the run came is not known";
            OipError { status: 500, message: message.to_owned() }.into()
        }
        RunError::Failed(words) => OipError { status: 500, message: format!("ONNX Runtime: {words}") }.into(),
    }
}

fn ready_status(ready: bool) -> u16 {
    if ready { 200 } else { 503 }
}

/// The execution receipt and its salt, for a request that was named when it opened.
fn receipt(
    identity: &Identity,
    manifest: ManifestDigest,
    request_id: Option<String>,
    named: Option<(Salt, SaltedDigest)>,
    model: ModelDigest,
    output: &[u8],
) -> Result<[(&'static str, String); 2], OipError> {
    let unsigned = |error: &dyn std::fmt::Display| OipError {
        status: 500,
        message: format!("execution receipt could not be made: {error}"),
    };
    let (salt, request) = named.ok_or_else(|| unsigned(&"the request was not named"))?;
    let output = salt.digest(output);
    let execution = Execution { manifest, request_id, request, output, model, claimed_time: unix_time() };
    let signed = execution.sign(identity.receipt_key()).map_err(|error| unsigned(&error))?;
    Ok([(SEALED_RECEIPT, signed.to_header()), (SEALED_RECEIPT_SALT, salt.to_header())])
}

/// Works on plaintext, and leaves nothing of it on the stack: what is long on a thread that may block. What it owns of the memory stays taken until it is done, even if nobody
/// waits any more.
async fn apart<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> T {
    let work = move || secret::scrubbed(work);
    if bytes < LONG_BYTES {
        return work();
    }
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

    use teegate_protocol::bhttp::Request;
    use zeroize::Zeroizing;

    use super::*;
    use crate::engine::{Engine, EngineError, LoadError, Readiness, Signature};
    use crate::memory::Memory;
    use crate::workers::Settings;

    struct Panics;

    impl Engine for Panics {
        fn load(&mut self) -> Result<Signature, LoadError> {
            Ok(Signature::default())
        }

        fn readiness(&mut self) -> Readiness {
            Readiness::Ready
        }

        fn run(&mut self, _: Vec<Tensor>, _: Instant, _: &mut Purse) -> Result<Vec<Tensor>, EngineError> {
            std::panic::resume_unwind(Box::new("the engine is gone"))
        }
    }

    #[tokio::test]
    async fn an_instance_whose_model_lost_its_workers_does_not_say_it_is_ready() {
        let settings = Settings { places: 1, queue: 1, deadline: Duration::from_secs(600), batching: None };
        let workers = Workers::start("m", vec![Box::new(Panics)], settings).unwrap();
        let entry = ModelEntry { name: "m".into(), version: "1".into(), sha256: ModelDigest([1; 32]) };
        let identity = Arc::new(Identity::generate().unwrap());
        let opener =
            Opener::new(crate::epoch::tests::epochs().await, identity, vec![Model { entry, workers }], 1 << 20);
        let memory = Memory::new(1 << 20, 1 << 20);
        let ask = async |path| {
            let request = Zeroizing::new(Request::new("GET", "enclave.invalid", path));
            let opened = Opened { request, content: Zeroizing::default(), named: None };
            let answer = opener.respond(opened, ManifestDigest([0; 32]), memory.share().purse()).await;
            answer.map_or_else(|inside| inside, |(inside, _)| inside)
        };
        for path in ["/v2/health/ready", "/v2/models/m/ready"] {
            assert_eq!(ask(path).await.status, 200, "{path}");
        }
        assert!(opener.models[0].workers.run(vec![], memory.share().purse()).await.is_err());
        let deadline = Instant::now() + Duration::from_secs(10);
        while opener.is_ready() {
            assert!(Instant::now() < deadline, "the worker unwinds");
            tokio::task::yield_now().await;
        }
        for path in ["/v2/health/ready", "/v2/models/m/ready"] {
            let inside = ask(path).await;
            let said: serde_json::Value = serde_json::from_slice(inside.content()).unwrap();
            assert_eq!((inside.status, &said["ready"]), (503, &serde_json::json!(false)), "{path}");
        }
        assert_eq!(ask("/v2/health/live").await.status, 200);
    }
}
