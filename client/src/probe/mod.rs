//! What stands at an address: a gateway with its instances, or an enclave-app itself. Its evidence is fetched and judged, and nothing
//! is sent but questions that anybody may ask.
//!
//! By whose certificate the address is recognised does not matter here, nor for the statements that a gateway hands on: evidence is
//! judged by itself, and those by who signed them. Of an enclave-app that was reached by TLS, the manifest has to name the TLS key of
//! the very connection; without TLS there is none, and [`Probed::tls_key`] says so.
//!
//! The instances of a gateway are challenged through it, each with a nonce of its own, unless the evidence of the epoch will do
//! ([`Ask::Epoch`]). The gateway hands the challenge on; that the answer was made for it, and by whom, is judged here.
//!
//! A gateway to which a credential is shown has to be recognised by its certificate all the same. An enclave-app is shown none.

mod direct;
mod fresh;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use teegate_intake::envelope::{BoundToClaim, Proven, Refused};
use teegate_protocol::binding::Nonce;
use teegate_protocol::headers::{ENVELOPE_PATH, INSTANCES_PATH};
use teegate_protocol::limits;
use teegate_protocol::manifest::{ManifestDigest, SpkiDigest};
use teegate_verifier::{Check, Endorsements, Policy, Source, Verifier};

use crate::candidates::{self, Offered};
use crate::error::{Error, RequestError};
use crate::instance::{Freshness, Trust};
use crate::link::{Gateway, LinkError, Upload};
use crate::relayed;
use crate::remote;
use crate::settings::Settings;
use direct::Told;

/// What answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stands {
    /// A gateway. Each instance answered a challenge of this probe through it, or showed the evidence of its epoch: [`Probed::nonce`].
    Gateway,
    /// An enclave-app. The evidence was made for a challenge of this probe, just now.
    Enclave,
}

/// What is asked of the instances of a gateway. An enclave-app is always challenged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// To answer a challenge, made just now; all that are offered.
    #[default]
    Fresh,
    /// The same of the one with this manifest. The others are judged by the evidence of their epoch.
    FreshOf(ManifestDigest),
    /// Nothing: the evidence of the epoch says that measured code made the keys, in the window that the manifest names.
    Epoch,
}

/// An instance that was found, and what it was held against.
#[derive(Clone, Debug)]
pub struct Probed {
    /// What it says of itself, as it came.
    pub envelope: Vec<u8>,
    /// Policy and endorsements of the verdict, those beside the envelope's own.
    pub trust: Trust,
    /// The challenge that its evidence answers, if one was sent.
    pub nonce: Option<Nonce>,
    /// The TLS key that whoever answered has proven to hold, and that the manifest therefore had to name; `None` where there was no TLS,
    /// so that somebody may stand in between, and where a gateway was asked, who is somebody in between.
    pub tls_key: Option<SpkiDigest>,
    /// The verdict. The policy may be about hardware alone: nothing is sealed to what was only looked at.
    pub verdict: Result<Proven, Refused>,
}

/// Asks what stands at `address`, and judges the evidence of whatever instances it shows: of a gateway at most three, in random order.
///
/// # Errors
/// Nobody answers there, nobody who shows evidence, or an instance could not be challenged.
pub async fn probe(
    address: &Gateway,
    policy: Policy,
    endorsements: Endorsements,
    ask: Ask,
    settings: &Settings,
) -> Result<(Stands, Vec<Probed>), Error> {
    let trust = settings.trust(policy, endorsements);
    let listing = format!("{INSTANCES_PATH}?wait={}", settings.wait.as_secs().min(limits::WAIT_SECONDS.most));
    let deadline = settings.wait.saturating_add(candidates::ANSWER_WITHIN);
    let answer = answer_of(address, listing, deadline, candidates::MAX_BYTES).await?;
    match answer.status() {
        StatusCode::OK => {
            let offered = candidates::read(answer.body()).map_err(Error::Listing)?;
            Ok((Stands::Gateway, judged(address, &trust, &offered, ask, settings).await?))
        }
        // Whoever has no such list may be an instance.
        StatusCode::NOT_FOUND if remote::unsealed(&answer).problem.is_none() => {
            Ok((Stands::Enclave, vec![instance(address, trust, settings).await?]))
        }
        _ => Err(Error::NotOffered(remote::unsealed(&answer))),
    }
}

/// The answer of a gateway that is recognised by its certificate: whoever else answers is not shown a credential.
async fn recognised(
    gateway: &Gateway,
    path: String,
    deadline: Duration,
    limit: usize,
) -> Result<Response<Bytes>, LinkError> {
    let unaskable =
        |error: http::Error| LinkError::Unreachable { gateway: gateway.to_string(), reason: error.to_string() };
    let request = Request::get(path).body(Upload::nothing()).map_err(unaskable)?;
    gateway.exchange(request, deadline, limit).await
}

/// A gateway, by whose certificate ever it is recognised.
struct Whoever<'a>(&'a Gateway);

impl relayed::Asked for Whoever<'_> {
    async fn ask(&self, path: String, deadline: Duration, limit: usize) -> Result<Response<Bytes>, String> {
        answer_of(self.0, path, deadline, limit).await.map_err(|error| error.to_string())
    }
}

/// What a gateway answers: one that is shown a credential is recognised first.
async fn answer_of(
    gateway: &Gateway,
    path: String,
    deadline: Duration,
    limit: usize,
) -> Result<Response<Bytes>, Error> {
    if gateway.has_credential() {
        return recognised(gateway, path, deadline, limit).await.map_err(Error::Unlisted);
    }
    Ok(direct::ask(gateway, &path, deadline, limit).await?.answer)
}

/// Judges everything that a gateway offers.
async fn judged(
    gateway: &Gateway,
    trust: &Trust,
    offered: &[Offered],
    ask: Ask,
    settings: &Settings,
) -> Result<Vec<Probed>, Error> {
    let mut relayed = Endorsements::brought_by(Source::Relayed);
    let got = relayed::fetch(&Whoever(gateway), relayed::named(offered), settings.observer.as_deref()).await;
    got.iter().for_each(|(_, statement)| relayed.extend(statement));
    let (verifier, now) = (Verifier::new(), settings.clock);
    let mut found = Vec::new();
    for Offered { envelope, .. } in offered {
        let (envelope, nonce) = match fresh::asked(ask, envelope) {
            Some(manifest) => {
                let (envelope, nonce) = fresh::challenge(gateway, &manifest).await?;
                (envelope, Some(nonce))
            }
            None => (envelope.clone(), None),
        };
        let trust = settings.trust_beside(trust, &envelope, &relayed, now()).await;
        let freshness = nonce.as_ref().map_or(Freshness::Epoch, Freshness::Challenge);
        let verdict = trust.judge(&envelope, freshness, BoundToClaim::Unchecked, &verifier, &settings.memory, now());
        found.push(Probed { envelope, trust, nonce, tls_key: None, verdict });
    }
    Ok(found)
}

/// Challenges the enclave-app at `address`, and judges its answer.
async fn instance(address: &Gateway, trust: Trust, settings: &Settings) -> Result<Probed, Error> {
    let nonce = Nonce::generate().map_err(|_| Error::Request(RequestError::NoRandomness))?;
    let path = format!("{ENVELOPE_PATH}?nonce={nonce}");
    let Told { answer, spki } = direct::ask(address, &path, candidates::ANSWER_WITHIN, candidates::MAX_BYTES).await?;
    if answer.status() != StatusCode::OK {
        return Err(Error::NotOffered(remote::unsealed(&answer)));
    }
    let (envelope, now) = (answer.into_body().to_vec(), settings.clock);
    let trust = settings.trust_beside(&trust, &envelope, &Endorsements::new(), now()).await;
    let (verifier, freshness) = (Verifier::new(), Freshness::Challenge(&nonce));
    let verdict = trust.judge(&envelope, freshness, BoundToClaim::Unchecked, &verifier, &settings.memory, now());
    let verdict = verdict.and_then(|proven| match &spki {
        Some(held) if *held != proven.manifest().manifest().tls_spki_sha256 => {
            let named = proven.manifest().manifest().tls_spki_sha256;
            let reason =
                format!("the manifest names the TLS key {named}, who answered holds {held}: something is in between");
            Err(Refused::by(Check::CHANNEL_KEY, Some(*proven.manifest().digest()), reason))
        }
        _ => Ok(proven),
    });
    Ok(Probed { envelope, trust, nonce: Some(nonce), tls_key: spki, verdict })
}
