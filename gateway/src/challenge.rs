//! `GET /v1/challenge?nonce=NONCE[&manifest=DIGEST|&model=NAME]`: a client's own challenge, answered by an attested instance.
//!
//! The gateway hands the 32 bytes on, and the envelope back, and judges neither: what an answer is worth is for the client to say,
//! who made the challenge. Only an instance that is attested is asked, over the connection on which it proved itself, so nobody can
//! make the gateway ask anything of anybody else. Fresh evidence is the scarcest thing that an enclave has: each instance is asked
//! four times at once and then once a second, as it would allow itself, and a source (IPv4 /32, IPv6 /64) half as often.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use teegate_protocol::binding::Nonce;
use teegate_protocol::headers::CMW_JSON;
use teegate_protocol::limits;
use teegate_protocol::manifest::ManifestDigest;

use crate::admission::Permission;
use crate::admitted::Admitted;
use crate::answer::AnswerStream;
use crate::budget::{Charge, NoMemory};
use crate::challenges::Unanswered;
use crate::fleet::{Fleet, Standing};
use crate::gateway::Gateway;
use crate::head::model_name;
use crate::identity::{Identity, identity};
use crate::listing::shuffle;
use crate::offers::{NoSuchModel, Offers};
use crate::problem::RouteError;
use crate::release::{Refusal, why_none};
use crate::respond::whole;
use crate::trust::{Backend, NoAnswer, Trusted};

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

impl Gateway {
    /// Hands the challenge on and the answer back.
    pub(crate) async fn challenge(
        &self,
        ChallengeQuery { nonce, wanted }: ChallengeQuery,
        admitted: &Admitted,
    ) -> Result<Response<AnswerStream>, RouteError> {
        admitted.ask()?;
        if self.is_draining() {
            return Err(RouteError::Draining);
        }
        let peer = &admitted.peer;
        let mut instances = attested(&self.fleet, &wanted, admitted.member.permission())?;
        shuffle(&mut instances);
        let _under_way = self.challenges.enter(peer.caller()).map_err(unanswered)?;
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
/// What the tenant may not use is not there.
fn attested(fleet: &Fleet, wanted: &Wanted, permission: &Permission) -> Result<Instances, RouteError> {
    let now = fleet.clock().now();
    let mut found = Instances::new();
    let mut any_attested = false;
    {
        let state = fleet.read();
        for route in state.routes.values() {
            let Standing::Attested(backend) = route.standing(&now, state.appraisal.version) else { continue };
            let manifest = backend.once().manifest();
            if !permission.admits(manifest.manifest()) {
                continue;
            }
            any_attested = true;
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
        Wanted::Model(name) => match fleet.offers_for(Some(name), permission) {
            Offers::Unknown(served) => RouteError::UnknownModel(NoSuchModel::new(name.clone(), served)),
            Offers::Some(_) | Offers::NotNow => RouteError::Refused(why_none(fleet, permission)),
        },
        // The words that a sealed request to it would get: whoever asks looks at the list again.
        Wanted::Manifest(_) if any_attested => RouteError::Refused(Refusal::Stale),
        Wanted::Any | Wanted::Manifest(_) => RouteError::Refused(why_none(fleet, permission)),
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
