//! `GET /v1/challenge?nonce=NONCE[&manifest=DIGEST|&model=NAME]`: a client's own challenge, answered by an attested instance.
//!
//! The gateway hands the 32 bytes on, and the envelope back, and judges neither: what an answer is worth is for the client to say,
//! who made the challenge. Only an instance that is attested is asked, over the connection on which it proved itself, so nobody can
//! make the gateway ask anything of anybody else. Fresh evidence is the scarcest thing that an enclave has: each instance is asked
//! four times at once and then once a second, as it would allow itself, and a source (IPv4 /32, IPv6 /64) half as often.

mod buckets;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use teegate_protocol::binding::Nonce;
use teegate_protocol::headers::CMW_JSON;
use teegate_protocol::limits;
use teegate_protocol::manifest::ManifestDigest;
use teegate_protocol::problem::{Problem, ProblemKind};
use tokio::time::Instant;

use self::buckets::Buckets;
use crate::answer::AnswerStream;
use crate::budget::{Charge, NoMemory};
use crate::fleet::{Fleet, Standing};
use crate::gateway::Gateway;
use crate::head::model_name;
use crate::identity::{Identity, identity};
use crate::listing::shuffle;
use crate::offers::{NoSuchModel, Offers};
use crate::peer::Peer;
use crate::problem::RouteError;
use crate::release::{Refusal, why_none};
use crate::respond::whole;
use crate::shares::{Scarce, Shares};
use crate::source::Source;
use crate::trust::{Backend, NoAnswer, Trusted};

/// So many challenges may be under way, in shares: each may take as long as evidence takes, and keeps an envelope.
const UNDER_WAY: u64 = 16;
/// After those that are had at once one in this time, of one instance...
const INSTANCE_INTERVAL: Duration = Duration::from_secs(1);
/// ...and from one source.
const SOURCE_INTERVAL: Duration = Duration::from_secs(2);

const MALFORMED: RouteError = RouteError::Malformed(
    "expected `?nonce=NONCE`, 32 bytes in base64url without padding (43 characters), and behind it nothing, `&manifest=DIGEST` (64 \
     lower-case hexadecimal digits) or `&model=NAME`, each once",
);

/// Of whom an answer is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Wanted {
    Any,
    Manifest(ManifestDigest),
    Model(String),
}

/// What a client asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ChallengeQuery {
    nonce: Nonce,
    wanted: Wanted,
}

impl ChallengeQuery {
    /// Reads it.
    pub(crate) fn parse(query: &str) -> Result<Self, RouteError> {
        let (mut nonce, mut wanted) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("nonce", text)) if nonce.is_none() => nonce = Some(text.parse().map_err(|_| MALFORMED)?),
                Some(("manifest", text)) if wanted.is_none() => {
                    wanted = Some(Wanted::Manifest(text.parse().map_err(|_| MALFORMED)?));
                }
                Some(("model", text)) if wanted.is_none() => {
                    wanted = Some(Wanted::Model(model_name(text).ok_or(MALFORMED)?));
                }
                _ => return Err(MALFORMED),
            }
        }
        Ok(Self { nonce: nonce.ok_or(MALFORMED)?, wanted: wanted.unwrap_or(Wanted::Any) })
    }
}

/// Why a challenge was not answered. Nothing of a request was sent to anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// Too many under way.
    Busy,
    /// Asked too often: there is one again after so many seconds.
    TooOften(u32),
    /// The instance did not answer with evidence.
    Silent,
}

impl Unanswered {
    /// What the client is told.
    pub(crate) fn problem(self) -> Problem {
        match self {
            Self::Busy => Problem::new(ProblemKind::Busy)
                .with_detail("too many challenges are under way: ask again")
                .with_retry_after(1),
            Self::TooOften(seconds) => Problem::new(ProblemKind::RateLimited)
                .with_detail("fresh evidence is scarce: four challenges at once, then one a second of an instance, half as many from a source")
                .with_retry_after(seconds),
            Self::Silent => Problem::new(ProblemKind::NoAttestedInstance)
                .with_detail("the instance did not answer the challenge with evidence")
                .with_retry_after(1),
        }
    }
}

/// The challenges of clients, bounded in number and in time.
#[derive(Debug)]
pub struct Challenges {
    under_way: Arc<Shares>,
    buckets: Mutex<(Buckets<Source>, Buckets<Identity>)>,
}

impl Default for Challenges {
    fn default() -> Self {
        let buckets = (Buckets::new(SOURCE_INTERVAL), Buckets::new(INSTANCE_INTERVAL));
        Self { under_way: Arc::new(Shares::new(UNDER_WAY)), buckets: Mutex::new(buckets) }
    }
}

impl Challenges {
    /// Takes one challenge of the source and of the first of these instances that has one left, or says after how many seconds
    /// there will be one. Who is refused costs nobody anything.
    fn take<'a, T>(&self, source: Source, instances: &'a [(Identity, T)], now: Instant) -> Result<&'a T, u32> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let (sources, of_instances) = &mut *buckets;
        sources.forget(now);
        of_instances.forget(now);
        let source_full_at = sources.after_one(&source, now)?;
        let mut soonest = u32::MAX;
        for (identity, instance) in instances {
            match of_instances.after_one(identity, now) {
                Ok(full_at) => {
                    of_instances.fills(*identity, full_at);
                    sources.fills(source, source_full_at);
                    return Ok(instance);
                }
                Err(seconds) => soonest = soonest.min(seconds),
            }
        }
        Err(soonest)
    }
}

impl Gateway {
    /// Hands the challenge on and the answer back.
    pub(crate) async fn challenge(
        &self,
        ChallengeQuery { nonce, wanted }: ChallengeQuery,
        peer: &Peer,
    ) -> Result<Response<AnswerStream>, RouteError> {
        if self.is_draining() {
            return Err(RouteError::Draining);
        }
        let mut instances = attested(&self.fleet, &wanted)?;
        shuffle(&mut instances);
        let _under_way = self.challenges.under_way.one(peer.caller()).map_err(|Scarce| unanswered(Unanswered::Busy))?;
        let now = self.fleet.clock().now().mono;
        // The whole of an answer that may come, from here until the client has taken it.
        let most = u64::try_from(limits::ENVELOPE_BYTES).unwrap_or(u64::MAX);
        let mut room = peer.charge(most).map_err(|NoMemory| RouteError::NoMemory(NoMemory))?;
        let instance = self.challenges.take(peer.caller().source, &instances, now);
        let instance = instance.map_err(|seconds| unanswered(Unanswered::TooOften(seconds)))?;
        let envelope = instance.challenge(&nonce).await.map_err(|error| {
            tracing::debug!("a client's challenge was not answered: {error}");
            unanswered(match error {
                // Others ask it too, such as another gateway.
                NoAnswer::Status(StatusCode::TOO_MANY_REQUESTS) => Unanswered::TooOften(1),
                _ => Unanswered::Silent,
            })
        })?;
        room.shrink_to(u64::try_from(envelope.len()).unwrap_or(u64::MAX));
        let mut answer = Response::new(whole(Bytes::from_owner(Kept { envelope, _room: room })));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(CMW_JSON));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

fn unanswered(why: Unanswered) -> RouteError {
    RouteError::Challenge(why)
}

/// Instances, told apart by who they are.
type Instances = Vec<(Identity, Arc<Trusted<Backend>>)>;

/// The attested instances that are wanted, each once; why there is none, otherwise.
fn attested(fleet: &Fleet, wanted: &Wanted) -> Result<Instances, RouteError> {
    let now = fleet.clock().now();
    let mut found = Instances::new();
    let mut any_attested = false;
    {
        let state = fleet.read();
        for route in state.routes.values() {
            let Standing::Attested(backend) = route.standing(&now, state.appraisal.version) else { continue };
            any_attested = true;
            let manifest = backend.once().manifest();
            let is_wanted = match wanted {
                Wanted::Any => true,
                Wanted::Manifest(digest) => manifest.digest() == digest,
                Wanted::Model(name) => manifest.manifest().model(name, None).is_some(),
            };
            if is_wanted && found.iter().all(|(known, _)| *known != identity(manifest)) {
                found.push((identity(manifest), Arc::clone(backend)));
            }
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match wanted {
        Wanted::Model(name) => match fleet.offers(Some(name)) {
            Offers::Unknown(served) => RouteError::UnknownModel(NoSuchModel::new(name.clone(), served)),
            Offers::Some(_) | Offers::NotNow => RouteError::Refused(why_none(fleet)),
        },
        // The words that a sealed request to it would get: whoever asks looks at the list again.
        Wanted::Manifest(_) if any_attested => RouteError::Refused(Refusal::Stale),
        Wanted::Any | Wanted::Manifest(_) => RouteError::Refused(why_none(fleet)),
    })
}

/// An envelope, and the room that it takes until the client has it.
struct Kept {
    envelope: Vec<u8>,
    _room: Charge,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.envelope
    }
}

#[cfg(test)]
mod tests;
