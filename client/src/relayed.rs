//! The statements of the vendors that a gateway hands on: `GET /v1/endorsements/SHA256`, by the digests that its list names.
//!
//! They are the vendors' own and signed, so they cost no trust, and complete a client who has none; to the verifier they are
//! *relayed*, which answers no question that the client asked a vendor. What cannot be had is left out: the verdict says then
//! what is missing.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use teegate_intake::endorsements::recognise;
use teegate_protocol::evidence::EndorsementDigest;
use teegate_protocol::headers::ENDORSEMENTS_PATH;
use teegate_verifier::{Endorsements, Source};

use crate::candidates::Offered;
use crate::link::{Gateway, Upload};
use crate::observer::Observer;

/// The largest statement: a revocation list of a vendor has some hundred thousand bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// All that is got at once together.
const MAX_ALL_BYTES: usize = 8 * 1024 * 1024;
/// The time for all of them.
const ALL_WITHIN: Duration = Duration::from_secs(15);

/// What was got so far, each by the digest of its bytes.
#[derive(Debug, Default)]
pub(crate) struct Relayed(HashMap<EndorsementDigest, Endorsements>);

impl Relayed {
    /// Those of `wanted` that are not here yet.
    pub(crate) fn missing(&self, wanted: &[EndorsementDigest]) -> Vec<EndorsementDigest> {
        wanted.iter().filter(|digest| !self.0.contains_key(digest)).copied().collect()
    }

    /// Takes what was got, forgets what is no longer wanted, and gives all of it.
    pub(crate) fn take(
        &mut self,
        got: Vec<(EndorsementDigest, Endorsements)>,
        wanted: &[EndorsementDigest],
    ) -> Endorsements {
        self.0.extend(got);
        self.0.retain(|digest, _| wanted.contains(digest));
        let mut all = Endorsements::brought_by(Source::Relayed);
        // In the order in which they were named, so that the same list gives the same report.
        for known in wanted.iter().filter_map(|digest| self.0.get(digest)) {
            all.extend(known);
        }
        all
    }
}

/// What the verdicts on these instances rested on, each once: instances of one platform share most of it.
pub(crate) fn named(offered: &[Offered]) -> Vec<EndorsementDigest> {
    let mut named: Vec<EndorsementDigest> = Vec::new();
    for digest in offered.iter().flat_map(|offer| &offer.endorsements) {
        if !named.contains(digest) {
            named.push(*digest);
        }
    }
    named
}

/// A way to a gateway.
pub(crate) trait Asked: Sync {
    /// The answer for `path`, within `deadline` and reading at most `limit` bytes.
    fn ask(
        &self,
        path: String,
        deadline: Duration,
        limit: usize,
    ) -> impl Future<Output = Result<Response<Bytes>, String>> + Send;
}

impl Asked for Gateway {
    async fn ask(&self, path: String, deadline: Duration, limit: usize) -> Result<Response<Bytes>, String> {
        let request = Request::get(path).body(Upload::nothing()).map_err(|error| error.to_string())?;
        self.exchange(request, deadline, limit).await.map_err(|error| error.to_string())
    }
}

/// Asks for each, one after the other, as far as the time goes.
pub(crate) async fn fetch(
    gateway: &impl Asked,
    digests: Vec<EndorsementDigest>,
    observer: Option<&dyn Observer>,
) -> Vec<(EndorsementDigest, Endorsements)> {
    let note = |text: String| {
        tracing::info!("{text}");
        observer.inspect(|observer| observer.note(&text));
    };
    let mut got = Vec::new();
    let all = async {
        let mut room = MAX_ALL_BYTES;
        for digest in digests {
            match one(gateway, &digest, room.min(MAX_BYTES)).await {
                Ok((statement, length)) => {
                    room = room.saturating_sub(length);
                    got.push((digest, statement));
                }
                Err(why) => {
                    note(format!("endorsement {digest}, which the gateway lists, was not to be had from it: {why}"))
                }
            }
        }
    };
    if tokio::time::timeout(ALL_WITHIN, all).await.is_err() {
        note(format!("not all endorsements that the gateway lists came within {} s", ALL_WITHIN.as_secs()));
    }
    got
}

async fn one(gateway: &impl Asked, digest: &EndorsementDigest, limit: usize) -> Result<(Endorsements, usize), String> {
    let answer = gateway.ask(format!("{ENDORSEMENTS_PATH}{digest}"), ALL_WITHIN, limit).await?;
    if answer.status() != StatusCode::OK {
        return Err(format!("status {}", answer.status().as_u16()));
    }
    if EndorsementDigest::of(answer.body()) != *digest {
        return Err("other bytes than it named".to_owned());
    }
    let mut statement = Endorsements::brought_by(Source::Relayed).found_in("the gateway");
    recognise("the gateway's answer", answer.body(), &mut statement).map_err(|error| error.to_string())?;
    Ok((statement, answer.body().len()))
}
