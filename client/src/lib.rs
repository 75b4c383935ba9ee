//! Verify before you send: a client proves to itself what hardware and what code will open its request, seals the request to
//! a key that only that code holds, and hands the ciphertext to a gateway that cannot read it.
//!
//! The walk of one request, downwards through the files:
//!
//! 1. [`candidates`](self): what the gateway offers, every byte hostile.
//! 2. [`instance`](Instance): envelope, manifest, evidence, binding, verdict. Only this makes an [`Instance`].
//! 3. [`seal`]: the request is sealed to the key of a verified instance, padded.
//! 4. [`link`](Gateway): the ciphertext goes to the gateway, with a deadline and size limits, on a connection that is kept.
//! 5. [`answer`](Reply): an unsealed success is an error; the sealed answer opens or is refused; its execution receipt is
//!    held against the verified manifest.
//!
//! Nothing is ever sent unsealed, no error leads to a weaker key, and at most two automatic re-seals, each to a freshly
//! verified manifest, follow when the gateway says that an instance is gone.
//!
//! [`proxy`] is a door to all this for programs that know nothing of it.
//!
//! ```no_run
//! # async fn example(policy: teegate_verifier::Policy) -> Result<(), Box<dyn std::error::Error>> {
//! use teegate_client::oip::{Tensor, TensorData};
//! use teegate_client::{Client, Gateway, Settings};
//!
//! let gateway = Gateway::parse("http://gateway.example:8080")?;
//! let client = Client::connect(gateway, "breast-cancer", policy, Default::default(), Settings::default()).await?;
//! let features = Tensor { name: "features".into(), shape: vec![1, 30], data: TensorData::Fp32(vec![0.0; 30]) };
//! let (inference, reply) = client.infer(&[features]).await?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod candidates;
mod client;
mod client_certificate;
mod credential;
mod error;
mod instance;
mod link;
mod observer;
pub mod oip;
mod online;
mod probe;
pub mod proxy;
mod published;
mod relayed;
mod remote;
pub mod seal;
mod settings;
mod shared_runs;
mod survey;
mod verified;
mod wanted;
mod words;

pub use answer::{ReleaseCheck, Reply};
pub use client::Client;
pub use client_certificate::ClientCertificate;
pub use credential::{Credential, CredentialError};
pub use error::{AnswerError, Error, Fault, NotChallenged, RequestError};
pub use instance::{Freshness, Instance, Trust};
pub use link::{AddressError, Gateway, LinkError};
pub use observer::Observer;
pub use online::Online;
pub use probe::{Ask, Probed, Stands, probe};
pub use published::{PolicyUrl, Unpublished, receipt_keys};
pub use remote::RemoteProblem;
pub use settings::Settings;
pub use shared_runs::SharedRuns;
pub use survey::survey;
pub use teegate_intake::envelope::{Carried, Proven, Refused};
pub use teegate_protocol::bhttp::{Request, Response};
pub use teegate_protocol::problem::{Executed, Problem, ProblemKind};
pub use teegate_verifier::Memory;
pub use wanted::Wanted;
pub use words::Words;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
