//! The way to a gateway, for every verb that goes there: whom to ask, what its instances are held against, and what an error of the
//! client means for a command.

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use teegate_client::{
    AnswerError, ClientCertificate, Credential, Error, Gateway, Online, ProblemKind, Refused, RemoteProblem, Settings,
};
use teegate_protocol::members::Members;
use teegate_verifier::{Check, Endorsements, Policy, Stage};

use crate::online::{self, OnlineArgs};
use crate::output::{note, plain};
use crate::pinned::PinnedArgs;
use crate::values::ValuesArgs;
use crate::watcher::Watcher;
use crate::{exit, memory, supplied};

/// The largest CA file.
pub(crate) const MAX_SMALL_BYTES: u64 = 1024 * 1024;
/// Exit status: a problem after the request had been sealed.
const REMOTE_PROBLEM: u8 = 5;

/// Whom to ask.
#[derive(Args, Debug)]
pub(crate) struct PlaceArgs {
    /// The gateway: `http://HOST:PORT` or `https://…`
    #[arg(long, value_name = "URL")]
    gateway: String,
    /// CA certificates (PEM) by which an https gateway is recognised, and by no others; without it by those of this machine
    #[arg(long, value_name = "FILE")]
    gateway_ca: Option<PathBuf>,
}

/// Whom to ask, and what an instance must satisfy.
#[derive(Args, Debug)]
pub(crate) struct GatewayArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    judging: JudgingArgs,
}

/// What lets this client in at the gateway.
#[derive(Args, Debug)]
pub(crate) struct CredentialArgs {
    /// Show the gateway what stands in this file, as `Authorization: Bearer …`: a token or a JWT on one line, read again for each
    /// request
    #[arg(long, value_name = "FILE")]
    gateway_token_file: Option<PathBuf>,
    /// Show an https gateway that asks for one this certificate (PEM, the client's own first), read again for each connection
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
}

impl CredentialArgs {
    /// `gateway` with the credentials that are named, if any are.
    pub(crate) fn beside(&self, mut gateway: Gateway) -> Result<Gateway, String> {
        if let (Some(certificate), Some(key)) = (&self.client_certificate, &self.client_key) {
            let shown = ClientCertificate::files(certificate, key).map_err(|error| error.to_string())?;
            if readable_by_others(key) {
                note(&format!("`{}` can be read by others; `chmod 600` keeps the key yours", key.display()));
            }
            gateway = gateway.with_client_certificate(shown).map_err(|error| error.to_string())?;
        }
        let Some(path) = &self.gateway_token_file else { return Ok(gateway) };
        let credential = Credential::file(path).map_err(|error| error.to_string())?;
        if readable_by_others(path) {
            note(&format!("`{}` can be read by others; `chmod 600` keeps the token yours", path.display()));
        }
        if gateway.is_readable_on_the_way() {
            note(&format!("whoever is on the way to {gateway} reads the token; `https://` keeps it yours"));
        }
        Ok(gateway.with_credential(credential))
    }
}

impl CredentialArgs {
    /// The options as they were given.
    fn written(&self) -> String {
        let options = [
            ("--gateway-token-file", &self.gateway_token_file),
            ("--client-certificate", &self.client_certificate),
            ("--client-key", &self.client_key),
        ];
        let given = options.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
        given.map(|(option, path)| format!(" {option} {}", path.display())).collect()
    }
}

/// Whether a file that holds a secret can be read by more than its owner.
pub(crate) fn readable_by_others(path: &Path) -> bool {
    File::open(path).and_then(|file| file.metadata()).is_ok_and(|found| found.mode() & 0o077 != 0)
}

/// What an instance must satisfy, and what vouches for it.
#[derive(Args, Debug)]
pub(crate) struct JudgingArgs {
    /// The policy that an instance must satisfy: a TOML file, `strict`, or an address (`https://…`) with `--policy-sha256`; it has to say
    /// what evidence is bound to (`bound_to`)
    #[arg(long, value_name = "FILE")]
    policy: String,
    #[command(flatten)]
    pinned: PinnedArgs,
    #[command(flatten)]
    values: ValuesArgs,
    /// Certificates, CRLs and collateral for verifying, beside those that the gateway hands on: files or folders
    #[arg(long, value_name = "PATH")]
    endorsements: Vec<PathBuf>,
    #[command(flatten)]
    online: OnlineArgs,
    /// How many seconds the gateway may wait until it has an attested instance to offer, before anything is sealed; at most 30
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=30))]
    wait: u64,
    /// Keep in this file what was seen, and refuse CRLs and collateral that are older than what it holds (JSON)
    #[arg(long, value_name = "FILE")]
    memory: Option<PathBuf>,
}

/// The same, read, with whom to ask.
pub(crate) struct Means {
    pub(crate) gateway: Gateway,
    pub(crate) policy: Policy,
    pub(crate) endorsements: Endorsements,
    /// The defaults, with the time to wait, what was seen before, whom to ask and whom to tell.
    pub(crate) settings: Settings,
}

impl PlaceArgs {
    /// Reads the file that is named.
    pub(crate) fn read(&self) -> Result<Gateway, String> {
        let mut gateway = Gateway::parse(&self.gateway).map_err(|error| error.to_string())?;
        if let Some(path) = &self.gateway_ca {
            gateway = gateway.with_pinned_ca(&read(path, MAX_SMALL_BYTES)?).map_err(|error| error.to_string())?;
        }
        Ok(gateway)
    }
}

impl GatewayArgs {
    /// Reads the files that are named, and fetches a policy that is published.
    pub(crate) async fn read(&self) -> Result<Means, String> {
        let gateway = self.credential.beside(self.place.read()?)?;
        let Judging { policy, endorsements, settings, .. } = self.judging.read(Some(&gateway)).await?;
        Ok(Means { gateway, policy, endorsements, settings })
    }

    /// The command that shows what a model takes.
    pub(crate) fn models_command(&self, model: &str) -> String {
        let shown = self.credential.written();
        let JudgingArgs { policy, pinned, .. } = &self.judging;
        format!("teegate models --gateway {}{shown} --policy {policy}{} {model}", self.place.gateway, pinned.written())
    }

    /// Where what was seen is kept.
    pub(crate) fn memory(&self) -> Option<&Path> {
        self.judging.memory()
    }
}

/// What was named of it, read.
pub(crate) struct Judging {
    pub(crate) policy: Policy,
    /// The text of the policy.
    pub(crate) policy_text: String,
    /// What the user has; none where the vendors are asked, since the settings hold them then.
    pub(crate) endorsements: Endorsements,
    /// The defaults, with the time to wait, what was seen before, whom to ask and whom to tell.
    pub(crate) settings: Settings,
}

impl JudgingArgs {
    /// Reads the files that are named, and fetches a policy that is published.
    pub(crate) async fn read(&self, gateway: Option<&Gateway>) -> Result<Judging, String> {
        let text = self.pinned.text(&self.policy, gateway).await?;
        let (policy, policy_text) = self.values.policy_of(&self.policy, text, None)?;
        let supplied = supplied::endorsements(&self.endorsements)?;
        let memory = self.memory.as_deref().map(memory::read).transpose()?.unwrap_or_default();
        if !policy.trusts_only_vendors() {
            note("this policy pins roots of its own: what it accepts need not be hardware of AMD or Intel");
        }
        let (endorsements, online) = match self.online.fetcher() {
            None => (supplied.endorsements(), None),
            Some(fetcher) => {
                let online = Online::new(fetcher, supplied);
                let online = online::genuine().into_iter().fold(online, Online::beside);
                (Endorsements::new(), Some(online))
            }
        };
        let settings = Settings {
            wait: Duration::from_secs(self.wait),
            memory,
            online,
            observer: Some(Arc::new(Watcher::new())),
            ..Settings::default()
        };
        Ok(Judging { policy, policy_text, endorsements, settings })
    }

    /// The policy, as the user named it.
    pub(crate) fn policy(&self) -> &str {
        &self.policy
    }

    /// Where what was seen is kept.
    pub(crate) fn memory(&self) -> Option<&Path> {
        self.memory.as_deref()
    }
}

/// Runs a verb to its status, and says on standard error why there is nothing to show.
pub(crate) fn run(verb: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    run_on(tokio::runtime::Builder::new_current_thread(), verb)
}

/// The same, for a verb that serves many at a time.
pub(crate) fn run_threaded(verb: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    run_on(tokio::runtime::Builder::new_multi_thread(), verb)
}

fn run_on(mut builder: tokio::runtime::Builder, verb: impl Future<Output = Result<ExitCode, Failure>>) -> ExitCode {
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("error: cannot start: {e}"), exit::COULD_NOT_RUN),
    };
    match runtime.block_on(verb) {
        Ok(status) => status,
        Err(Failure::Input(message)) => fail(&format!("error: {message}"), exit::COULD_NOT_RUN),
        Err(Failure::Client(error)) => fail(&explain(&error), exit_status(&error)),
    }
}

/// Why there is nothing to show.
pub(crate) enum Failure {
    Input(String),
    Client(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

pub(crate) fn fail(message: &str, status: u8) -> ExitCode {
    for line in message.lines() {
        eprintln!("{}", plain(line));
    }
    ExitCode::from(status)
}

/// A file of at most so many bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let file = File::open(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    bounded(file, &path.display().to_string(), limit)
}

/// What `source` holds, if it is not more.
pub(crate) fn bounded(source: impl std::io::Read, name: &str, limit: u64) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| format!("cannot read {name}: {e}"))?;
    if u64::try_from(bytes.len()).is_ok_and(|n| n <= limit) {
        return Ok(bytes);
    }
    Err(format!("{name} has more than {limit} bytes, which is more than is read"))
}

/// The error, and that nothing left, where nothing did.
fn explain(error: &Error) -> String {
    let is_before_sealing = matches!(
        error,
        Error::Request(_)
            | Error::Unlisted(_)
            | Error::Listing(_)
            | Error::NotOffered(_)
            | Error::NotChallenged { .. }
            | Error::NoCandidate { .. }
    );
    let nothing_left = if is_before_sealing { "\nnothing was sealed and nothing of the request was sent" } else { "" };
    // The words are for whoever sealed the request, and this is his terminal.
    let words = match error {
        Error::Answer(AnswerError::Declined { status: 400, message }) => {
            format!(": {}\n`teegate models` with the model's name shows what it takes", sentence(message.as_str()))
        }
        Error::Answer(AnswerError::Declined { message, .. }) => format!(": {}", sentence(message.as_str())),
        Error::Remote(RemoteProblem { words: Some(words), .. }) => {
            format!("\nthe enclave's words: {}", words.as_str())
        }
        _ => String::new(),
    };
    let to_do = match error {
        Error::NoCandidate { refused } => to_do(refused),
        Error::NotChallenged { .. } => {
            "\n  to do: ask again, or judge the evidence of the epoch (`--epoch`), which says less: that the keys were made by measured code"
                .to_owned()
        }
        _ => String::new(),
    };
    format!("error: {error}{words}{to_do}{nothing_left}")
}

/// What to do about what the verifier refused, each once.
fn to_do(refused: &[Refused]) -> String {
    let rejections = refused.iter().filter_map(|one| one.rejection.as_deref());
    let mut lines: Vec<String> = Vec::new();
    for failed in rejections.flat_map(|rejection| rejection.failures()) {
        let mut line = failed.remedy().to_owned();
        if STATEMENTS.contains(&failed.check()) {
            line += "; `--online` has this command ask the vendor, `--endorsements DIR` takes what you have";
        }
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.iter().map(|line| format!("\n  to do: {line}")).collect()
}

/// What fails where a statement of the vendor's is missing or has ended.
const STATEMENTS: [Check; 4] =
    [Check::SNP_CHAIN_PRESENT, Check::SNP_CHAIN_REVOCATION, Check::TDX_COLLATERAL_PRESENT, Check::TDX_CHAIN_REVOCATION];

/// What the Open Inference Protocol says in `{"error": "..."}`; all of it where it says something else.
fn sentence(message: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Said {
        error: String,
    }
    serde_json::from_str(message).map_or_else(|_| message.to_owned(), |Members(Said { error })| error)
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
        Error::NotOffered(_) | Error::NotChallenged { .. } => exit::COULD_NOT_RUN,
        Error::NoCandidate { refused } => {
            refused.iter().map(|r| r.stage).max().map_or(exit::COULD_NOT_RUN, exit::of_rejection)
        }
        Error::Relay(_) | Error::Remote(_) | Error::NotResealed { .. } | Error::Answer(_) => REMOTE_PROBLEM,
        // What a later release tells apart happened after something was sent.
        _ => REMOTE_PROBLEM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use teegate_client::Problem;

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
}
