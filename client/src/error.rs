//! Everything that can keep a request from its answer, and what is then known of its fate.

use std::fmt;

use teegate_intake::envelope::Refused;
use teegate_protocol::manifest::ManifestDigest;
use teegate_protocol::problem::Executed;
use teegate_protocol::receipt::ReceiptError;

use crate::link::LinkError;
use crate::oip::TensorError;
use crate::remote::RemoteProblem;
use crate::seal::{OpenError, SealError};
use crate::words::Words;

/// Why there is no answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The request cannot be sent as it is. Nothing was sealed.
    Request(RequestError),
    /// The gateway could not be asked for instances. Nothing was sealed.
    Unlisted(LinkError),
    /// The gateway's list of instances cannot be read. Nothing was sealed.
    Listing(String),
    /// The gateway offers no instance, and says why. Nothing was sealed.
    NotOffered(RemoteProblem),
    /// An instance that the gateway offers could not be challenged. Nothing was sealed.
    NotChallenged {
        /// Its manifest.
        manifest: ManifestDigest,
        /// Why.
        why: Box<NotChallenged>,
    },
    /// No instance that the gateway offers is acceptable. Nothing was sealed.
    NoCandidate {
        /// Why, candidate by candidate; empty if the gateway offered none.
        refused: Vec<Refused>,
    },
    /// The exchange that carried the sealed request failed.
    Relay(LinkError),
    /// The gateway or the enclave reports a problem.
    Remote(RemoteProblem),
    /// The gateway asked for another seal, and there is no instance to seal to.
    NotResealed {
        /// What the gateway said of the request that it had been given.
        problem: RemoteProblem,
        /// Why there was no other.
        why: Box<Error>,
    },
    /// Something answered, and the answer cannot be accepted.
    Answer(AnswerError),
}

/// Why an instance could not be challenged through a gateway.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NotChallenged {
    /// The gateway could not be asked.
    Link(LinkError),
    /// The gateway said no.
    Declined(RemoteProblem),
    /// An instance with another manifest answered, or one that cannot be read.
    Another(Option<ManifestDigest>),
}

impl fmt::Display for NotChallenged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(error) => error.fmt(f),
            Self::Declined(problem) => problem.fmt(f),
            Self::Another(Some(manifest)) => write!(f, "the gateway had the instance with manifest {manifest} answer"),
            Self::Another(None) => f.write_str("what answered is no envelope"),
        }
    }
}

/// Who, or what, is in the way: what a caller decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The request itself: it cannot be sent as it is.
    Request,
    /// The way to the gateway.
    Link,
    /// Nobody offers an instance that could be asked. Later there may be one.
    NoInstance,
    /// The caller's own policy refused every instance that was offered: [`Error::failed_checks`].
    Policy,
    /// The gateway declined, or what it said cannot be read.
    Gateway,
    /// The enclave declined to run it, sealed.
    Enclave,
    /// The model's server said no, sealed, in the words of the Open Inference Protocol.
    Model,
    /// Something answered, and it cannot be accepted as the enclave's answer.
    Answer,
}

impl Error {
    /// Who, or what, is in the way.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Request(_) => Fault::Request,
            Self::Unlisted(_) | Self::Relay(_) => Fault::Link,
            Self::NotChallenged { why, .. } => match **why {
                NotChallenged::Link(_) => Fault::Link,
                NotChallenged::Declined(_) | NotChallenged::Another(_) => Fault::Gateway,
            },
            Self::Listing(_) => Fault::Gateway,
            Self::NotOffered(problem) if problem.says_none_is_there() => Fault::NoInstance,
            Self::NoCandidate { refused } if refused.is_empty() => Fault::NoInstance,
            Self::NoCandidate { .. } => Fault::Policy,
            Self::NotOffered(problem) | Self::Remote(problem) if problem.sealed => Fault::Enclave,
            Self::Remote(problem) if problem.says_none_is_there() => Fault::NoInstance,
            Self::NotOffered(_) | Self::Remote(_) => Fault::Gateway,
            Self::NotResealed { why, .. } => why.fault(),
            Self::Answer(AnswerError::Declined { .. }) => Fault::Model,
            Self::Answer(_) => Fault::Answer,
        }
    }

    /// The ids of the checks by which the caller's own policy refused what was offered, each once; empty where it is not the policy
    /// that is in the way.
    pub fn failed_checks(&self) -> Vec<&'static str> {
        let mut checks: Vec<_> = match self {
            Self::NoCandidate { refused } => refused.iter().flat_map(|one| one.checks.iter().copied()).collect(),
            Self::NotResealed { why, .. } => why.failed_checks(),
            _ => Vec::new(),
        };
        checks.sort_unstable();
        checks.dedup();
        checks
    }

    /// What is known of the request's fate. `No` on the word of a gateway is no more than its word.
    pub fn executed(&self) -> Executed {
        match self {
            Self::Request(_)
            | Self::Unlisted(_)
            | Self::Listing(_)
            | Self::NotOffered(_)
            | Self::NotChallenged { .. }
            | Self::NoCandidate { .. } => Executed::No,
            Self::Relay(error) if !error.sent() => Executed::No,
            Self::Relay(_) | Self::Answer(_) => Executed::Unknown,
            Self::Remote(problem) | Self::NotResealed { problem, .. } => problem.executed(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(e) => e.fmt(f),
            Self::Unlisted(e) => e.fmt(f),
            Self::Listing(e) => f.write_str(e),
            Self::NotOffered(problem) => {
                write!(f, "no instance was offered ({problem})")
            }
            Self::NotChallenged { manifest, why } => {
                write!(f, "the instance with manifest {manifest} could not be challenged through the gateway: {why}")
            }
            Self::NoCandidate { refused } if refused.is_empty() => f.write_str("the gateway offers no instance"),
            Self::NoCandidate { refused } => {
                let plural = if refused.len() == 1 { "instance was" } else { "instances were" };
                write!(f, "{} {plural} offered and none is acceptable", refused.len())?;
                refused.iter().try_for_each(|candidate| write!(f, "\n  refused: {candidate}"))
            }
            Self::Relay(e) if !e.sent() => write!(f, "{e}; not executed"),
            Self::Relay(e) => write!(f, "{e}; whether the request was executed is unknown"),
            Self::Remote(problem) => problem.fmt(f),
            Self::NotResealed { problem, why } => write!(f, "{problem}; it cannot be sealed again: {why}"),
            Self::Answer(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// Why a request cannot be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Its tensors, or its body.
    Tensors(TensorError),
    /// It cannot be sealed.
    Seal(SealError),
    /// A field that this crate sets itself, or that cannot be sent.
    Field {
        /// The field's name.
        name: String,
    },
    /// It would run a model, and was given to [`Client::send`](crate::Client::send), which runs none.
    RunsModel,
    /// The system gave no random bytes.
    NoRandomness,
    /// It was sealed, and the HTTP request that was to carry it cannot be written. Nothing was sent.
    Unwritable(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensors(e) => e.fmt(f),
            Self::Seal(e) => e.fmt(f),
            Self::Field { name } => {
                write!(f, "the field `{name}` cannot be set by a caller: the client sets it itself")
            }
            Self::RunsModel => f.write_str(
                "`POST …/infer` runs a model, which `Client::send` does not: `Client::forward` and `Client::infer_json` do, of a client \
                 that wants that model",
            ),
            Self::Unwritable(why) => write!(f, "the request that was to carry the sealed one cannot be written: {why}"),
            Self::NoRandomness => f.write_str("the system gave no random bytes, so nothing can be sealed"),
        }
    }
}

impl std::error::Error for RequestError {}

/// Why an answer cannot be accepted. Whether the request was executed is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError {
    /// A success without a seal: whoever said it, it was not shown to be the enclave.
    Unsealed {
        /// The status.
        status: u16,
    },
    /// It does not open.
    Open(OpenError),
    /// The enclave declined, sealed, in words of the Open Inference Protocol.
    Declined {
        /// The status.
        status: u16,
        /// What it said, which may repeat something of the request.
        message: Words,
    },
    /// There is no execution receipt where there has to be one.
    NoReceipt,
    /// The execution receipt cannot be read, or its signature does not hold under the manifest's key.
    Receipt(ReceiptError),
    /// The execution receipt is about something else.
    ReceiptOf {
        /// What differs.
        what: &'static str,
    },
    /// The gateway's release receipt, under the key that the caller pinned, is missing or about something else.
    Release {
        /// What is wrong.
        what: String,
    },
    /// Its tensors cannot be read.
    Tensors(TensorError),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsealed { status } => write!(
                f,
                "the answer is an unsealed success (status {status}): it did not come from the enclave and was not read"
            ),
            Self::Open(e) => e.fmt(f),
            // What it said may repeat something of the request, and is for whoever asks for it.
            Self::Declined { status, .. } => write!(f, "the enclave declined (status {status})"),
            Self::NoReceipt => f.write_str("the sealed answer carries no execution receipt"),
            Self::Receipt(e) => write!(f, "the execution receipt of the answer: {e}"),
            Self::ReceiptOf { what } => write!(f, "the execution receipt is about another {what}"),
            Self::Release { what } => write!(f, "the gateway's release receipt: {what}"),
            Self::Tensors(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for AnswerError {}
