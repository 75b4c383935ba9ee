//! `teegate infer`: verify an enclave, seal one inference request to it, send it, open the answer.
//!
//! Thin: everything that decides is in `teegate-client`. Exit status: 0 answered, 1 could not run, 2/3/4 evidence was
//! rejected (malformed, unauthentic, unacceptable: the furthest stage that any candidate reached), 5 something failed
//! after the request had been sealed; then the message says whether it was executed. An answer is written out before
//! anything else is: it may have cost a run that cannot be had again.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use teegate_client::oip::{self, Inference, Tensor, TensorData};
use teegate_client::{AnswerError, Client, Error, Gateway, ProblemKind, ReleaseCheck, RemoteProblem, Reply, Settings};
use teegate_intake::endorsements::load_paths;
use teegate_protocol::manifest::ReceiptPublicKey;
use teegate_verifier::{BoundTo, Report, Stage};

use crate::output::{finish, note, plain};
use crate::policy;
use crate::{exit, memory};

/// The largest request file, after which sealing would be refused anyway.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;
/// The largest CA file.
const MAX_SMALL_BYTES: u64 = 1024 * 1024;
/// How many elements of a tensor the text output shows.
const SHOWN_ELEMENTS: usize = 64;

/// Exit status: a problem after the request had been sealed.
const REMOTE_PROBLEM: u8 = 5;

/// Verify an enclave, seal one inference request to it, send it, open the answer.
///
/// Exit status: 0 answered; 1 could not run, or no instance was there; 2, 3, 4 evidence was rejected (malformed, unauthentic,
/// unacceptable); 5 a problem after the request had been sealed.
#[derive(Args, Debug)]
pub(crate) struct InferArgs {
    /// The gateway: `http://HOST:PORT`, or `https://…` with `--gateway-ca`
    #[arg(long, value_name = "URL")]
    gateway: String,
    /// CA certificates (PEM) by which an https gateway is recognised; this version carries no web roots
    #[arg(long, value_name = "FILE")]
    gateway_ca: Option<PathBuf>,
    /// The model to ask
    #[arg(long, value_name = "NAME")]
    model: String,
    /// The request: Open Inference Protocol v2, JSON
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The policy that an instance must satisfy; it has to say what evidence is bound to (`bound_to`)
    #[arg(long, value_name = "FILE")]
    policy: String,
    /// Certificates, CRLs and collateral for verifying: files or folders
    #[arg(long, value_name = "PATH")]
    endorsements: Vec<PathBuf>,
    /// How many seconds the gateway may wait until it has an attested instance to offer; at most 30
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=30))]
    wait: u64,
    /// How many seconds the gateway may hold the sealed request until that instance is attested; at most 120
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=120))]
    hold: u64,
    /// Never seal the request a second time, whatever the gateway asks for
    #[arg(long)]
    once: bool,
    /// The gateway's receipt key (64 hexadecimal digits), to check that the gateway signed for this release
    #[arg(long, value_name = "HEX", value_parser = receipt_key)]
    gateway_receipt_key: Option<ReceiptPublicKey>,
    /// Keep in this file what was seen, and refuse CRLs and collateral that are older than what it holds (JSON)
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
    /// Write the verification report of the instance that answered to this file (JSON)
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// `text`: the tensors, readable; `json`: the Open Inference Protocol answer and nothing else
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Runs the command.
pub(crate) fn run(args: InferArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("error: cannot start: {e}"), exit::COULD_NOT_RUN),
    };
    match runtime.block_on(infer(&args)) {
        Ok(status) => status,
        Err(Failure::Input(message)) => fail(&format!("error: {message}"), exit::COULD_NOT_RUN),
        Err(Failure::Client(error)) => fail(&explain(&error), exit_status(&error)),
    }
}

enum Failure {
    Input(String),
    Client(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

fn fail(message: &str, status: u8) -> ExitCode {
    for line in message.lines() {
        eprintln!("{}", plain(line));
    }
    ExitCode::from(status)
}

async fn infer(args: &InferArgs) -> Result<ExitCode, Failure> {
    let body = read(&args.input, MAX_INPUT_BYTES).map_err(Failure::Input)?;
    oip::check_request(&body).map_err(|e| Failure::Input(format!("{}: {e}", args.input.display())))?;
    let policy = policy::read(&args.policy).map_err(Failure::Input)?;
    let endorsements = load_paths(&args.endorsements).map_err(|e| Failure::Input(e.to_string()))?;
    let mut gateway = Gateway::parse(&args.gateway).map_err(|e| Failure::Input(e.to_string()))?;
    if let Some(path) = &args.gateway_ca {
        let pem = read(path, MAX_SMALL_BYTES).map_err(Failure::Input)?;
        gateway = gateway.with_pinned_ca(&pem).map_err(|e| Failure::Input(e.to_string()))?;
    }
    let memory = args.memory.as_deref().map(memory::read).transpose().map_err(Failure::Input)?.unwrap_or_default();
    let settings = Settings {
        wait: Duration::from_secs(args.wait),
        hold: Duration::from_secs(args.hold),
        once: args.once,
        gateway_receipt_key: args.gateway_receipt_key,
        memory,
        ..Settings::default()
    };
    if !policy.trusts_only_vendors() {
        note("this policy pins roots of its own: what it accepts need not be hardware of AMD or Intel");
    }
    // Opened first, so that a mistyped path is told before anything is sent; what it holds stays until there is an answer.
    let report = args.report.as_deref().map(Destination::open).transpose().map_err(Failure::Input)?;
    let client = Client::connect(gateway, &args.model, policy, endorsements, settings).await?;
    if let Some(path) = &args.memory {
        memory::write(path, &client.memory()).map_err(|e| Failure::Input(format!("{e}; nothing was sent")))?;
    }
    let reply = client.infer_json(body).await;
    let output = match &reply {
        Ok(reply) => write_out(args.format, reply),
        Err(error) => Err(error.clone()),
    };
    let answered = output.as_ref().map(|text| finish(text, exit::ACCEPTED));
    // Another seal may have meant another verification, which may have seen newer statements.
    let remembered = args.memory.as_deref().map_or(Ok(()), |path| memory::write(path, &client.memory()));
    let reported = match (report, &reply) {
        (Some(report), Ok(reply)) => report.write(reply.instance.attested().report()),
        _ => Ok(()),
    };
    let mut status = answered.map_err(|error| Failure::Client(error.clone()))?;
    for failed in [remembered, reported].into_iter().filter_map(Result::err) {
        status = fail(&format!("error: {failed}; the answer above is whole"), exit::COULD_NOT_RUN);
    }
    Ok(status)
}

/// The answer as text in the form that was asked for.
fn write_out(format: Format, reply: &Reply) -> Result<String, Error> {
    let unreadable = |e| Error::Answer(AnswerError::Tensors(e));
    match format {
        Format::Json => {
            serde_json::from_slice::<serde::de::IgnoredAny>(&reply.response.content)
                .map_err(|e| unreadable(e.into()))?;
            let mut text = String::from_utf8_lossy(&reply.response.content).into_owned();
            text.push('\n');
            Ok(text)
        }
        Format::Text => Ok(describe(reply, &oip::answer(&reply.response.content).map_err(unreadable)?)),
    }
}

/// A file that can be written, and that keeps what it holds until it is.
struct Destination {
    file: File,
    path: PathBuf,
}

impl Destination {
    fn open(path: &Path) -> Result<Self, String> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        Ok(Self { file, path: path.to_owned() })
    }

    fn write(mut self, report: &Report) -> Result<(), String> {
        let written = serde_json::to_vec_pretty(report).map_err(std::io::Error::from).and_then(|bytes| {
            // What is no file, such as a pipe, has no length.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(&bytes)
        });
        written.map_err(|e| format!("the report cannot be written to {}: {e}", self.path.display()))
    }
}

fn receipt_key(text: &str) -> Result<ReceiptPublicKey, String> {
    text.parse()
        .map_err(|_| "expected 64 hexadecimal digits in lower case, as the gateway prints its `receipt_key`".to_owned())
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let cannot = |e: std::io::Error| format!("cannot read {}: {e}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n <= limit) {
        return Ok(bytes);
    }
    Err(format!("{} has more than {limit} bytes, which is more than is read", path.display()))
}

fn describe(reply: &Reply, inference: &Inference) -> String {
    let mut text = String::new();
    let instance = &reply.instance;
    // Writing to a `String` cannot fail.
    let _ok = writeln!(
        text,
        "verified   instance {} ({}), manifest {}",
        instance.manifest().instance_id,
        instance.bound_to_words(),
        instance.digest()
    );
    let _ok = writeln!(
        text,
        "sealed     {} bytes, to a key that {}; opened {} bytes",
        reply.sealed_bytes,
        key_holder(instance.attested().bound_to()),
        reply.answer_bytes
    );
    let version = inference.model_version.as_deref().map(|v| format!(" version {}", plain(v))).unwrap_or_default();
    let _ok =
        writeln!(text, "answered   by model {}{version}; execution receipt verified", plain(&inference.model_name));
    let release = match reply.release {
        ReleaseCheck::Verified(_) => "verified",
        ReleaseCheck::NotChecked => "not checked: no key of the gateway was given (--gateway-receipt-key)",
    };
    let _ok = writeln!(text, "released   by the gateway; release receipt {release}");
    for tensor in &inference.outputs {
        text.push('\n');
        text.push_str(&show(tensor));
    }
    text
}

/// Who can open what is sealed to the key of an instance, as far as its evidence says.
fn key_holder(bound_to: Option<BoundTo>) -> &'static str {
    match bound_to {
        Some(BoundTo::Workload) => "only the measured code holds",
        Some(BoundTo::Pod) => "some code of the measured pod holds",
        Some(BoundTo::Guest) => "some code of that guest holds, not necessarily the enclave-app",
        None => "somebody on genuine hardware holds",
    }
}

/// A tensor as text: one line of name, data type and shape, then one line for each row of the last axis.
fn show(tensor: &Tensor) -> String {
    let mut text = format!("{}  {} {:?}\n", plain(&tensor.name), tensor.data.datatype(), tensor.shape);
    let elements = elements(&tensor.data);
    let row = tensor.shape.last().and_then(|n| usize::try_from(*n).ok()).filter(|n| *n > 0).unwrap_or(1);
    for chunk in elements.chunks(row) {
        text.push_str("  ");
        text.push_str(&chunk.join(" "));
        text.push('\n');
    }
    if tensor.data.len() > elements.len() {
        let _ok = writeln!(text, "  … {} of {} elements shown", elements.len(), tensor.data.len());
    }
    text
}

fn elements(data: &TensorData) -> Vec<String> {
    fn shown<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().take(SHOWN_ELEMENTS).map(ToString::to_string).collect()
    }
    match data {
        TensorData::Bool(v) => shown(v),
        TensorData::Uint8(v) => shown(v),
        TensorData::Uint16(v) => shown(v),
        TensorData::Uint32(v) => shown(v),
        TensorData::Uint64(v) => shown(v),
        TensorData::Int8(v) => shown(v),
        TensorData::Int16(v) => shown(v),
        TensorData::Int32(v) => shown(v),
        TensorData::Int64(v) => shown(v),
        TensorData::Fp32(v) => shown(v),
        TensorData::Fp64(v) => shown(v),
    }
}

/// The error, and that nothing left, where nothing did.
fn explain(error: &Error) -> String {
    let is_before_sealing = matches!(
        error,
        Error::Request(_) | Error::Unlisted(_) | Error::Listing(_) | Error::NotOffered(_) | Error::NoCandidate { .. }
    );
    let nothing_left = if is_before_sealing { "\nnothing was sealed and nothing of the request was sent" } else { "" };
    // The words are for whoever sealed the request, and this is his terminal.
    let words = match error {
        Error::Answer(AnswerError::Declined { message, .. }) => Some(message),
        Error::Remote(problem) => problem.words.as_ref(),
        _ => None,
    };
    let words = words.map(|words| format!("\nthe enclave's words: {}", words.as_str())).unwrap_or_default();
    format!("error: {error}{nothing_left}{words}")
}

fn exit_status(error: &Error) -> u8 {
    match error {
        Error::Request(_) | Error::Unlisted(_) | Error::Listing(_) => exit::COULD_NOT_RUN,
        // The gateway tells which checks failed and not at which stage: its policy was not met.
        Error::NotOffered(RemoteProblem { problem: Some(problem), .. })
            if problem.kind == ProblemKind::EvidenceRejected =>
        {
            exit::of_rejection(Stage::Appraise)
        }
        Error::NotOffered(_) => exit::COULD_NOT_RUN,
        Error::NoCandidate { refused } => {
            refused.iter().map(|r| r.stage).max().map_or(exit::COULD_NOT_RUN, exit::of_rejection)
        }
        Error::Relay(_) | Error::Remote(_) | Error::NotResealed { .. } | Error::Answer(_) => REMOTE_PROBLEM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_client::Problem;

    #[test]
    fn a_tensor_is_shown_row_by_row() {
        let tensor = Tensor {
            name: "probability".to_owned(),
            shape: vec![2, 2],
            data: TensorData::Fp32(vec![0.25, 0.75, 1.0, 0.0]),
        };
        assert_eq!(show(&tensor), "probability  FP32 [2, 2]\n  0.25 0.75\n  1 0\n");
    }

    #[test]
    fn only_rejected_evidence_has_the_status_of_a_rejection() {
        let not_offered =
            |problem| Error::NotOffered(RemoteProblem { status: 503, problem, sealed: false, words: None });
        let status = |kind| exit_status(&not_offered(Some(Problem::new(kind))));
        assert_eq!(status(ProblemKind::EvidenceRejected), 4);
        for kind in ProblemKind::ALL.into_iter().filter(|kind| *kind != ProblemKind::EvidenceRejected) {
            assert_eq!(status(kind), 1, "{}", kind.name());
        }
        assert_eq!(exit_status(&not_offered(None)), 1);
        assert_eq!(exit_status(&Error::NoCandidate { refused: vec![] }), 1);
    }

    #[test]
    fn what_the_key_is_said_to_be_goes_no_further_than_the_evidence() {
        assert!(key_holder(Some(BoundTo::Workload)).contains("only"));
        for weaker in [Some(BoundTo::Pod), Some(BoundTo::Guest), None] {
            assert!(!key_holder(weaker).contains("only"), "{weaker:?}");
        }
    }

    #[test]
    fn a_report_that_cannot_be_written_says_so_and_ends_nothing() {
        let destination = Destination::open(Path::new("/dev/full")).unwrap();
        let verdict = teegate_verifier::verify(
            &teegate_verifier::Evidence::sev_snp(&[], &teegate_verifier::Endorsements::new()),
            &policy::read("genuine").unwrap(),
            teegate_verifier::UnixTime::from_seconds(0),
        );
        let error = destination.write(verdict.unwrap_err().report()).unwrap_err();
        assert!(error.contains("the report cannot be written to /dev/full"), "{error}");
    }

    #[test]
    fn a_long_tensor_is_cut_and_says_so() {
        let tensor = Tensor { name: "y".to_owned(), shape: vec![100], data: TensorData::Int32(vec![7; 100]) };
        let text = show(&tensor);
        assert!(text.ends_with("  … 64 of 100 elements shown\n"), "{text}");
    }
}
