//! `GET /v1/instances`: whom a client may seal to now.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use serde_json::value::RawValue;
use teegate_protocol::manifest::ManifestDigest;

use crate::answer::AnswerStream;
use crate::gateway::Gateway;
use crate::head::InstanceQuery;
use crate::hold::wait_until;
use crate::problem::RouteError;
use crate::release::why_none;
use crate::respond::whole;

/// How many instances a client is shown.
const CANDIDATES: usize = 3;

impl Gateway {
    /// `GET /v1/instances?model=NAME&wait=SECONDS`: up to three attested instances, in random order.
    pub(crate) async fn instances(&self, query: &str) -> Result<Response<AnswerStream>, RouteError> {
        let InstanceQuery { model, wait } = InstanceQuery::parse(query)?;
        let deadline = self.fleet.clock().now().mono + wait;
        let mut changes = self.fleet.changes();
        let judge = || match self.fleet.offers(model.as_deref()) {
            _ if self.is_draining() => Some(Err(RouteError::Draining)),
            none if none.is_empty() => None,
            offers => Some(Ok(offers)),
        };
        let offers = wait_until(&mut changes, deadline, judge).await;
        let mut offers = offers.unwrap_or_else(|| Err(RouteError::Refused(why_none(&self.fleet))))?;
        shuffle(&mut offers);
        let shown = offers.iter().take(CANDIDATES).map(|offer| offer.once());
        let listed = shown.map(|offer| Listed { manifest: *offer.manifest().digest(), envelope: offer.envelope() });
        let instances = listed.collect();
        let body = serde_json::to_vec(&Listing { instances }).map_err(|_| RouteError::Internal)?;
        let mut answer = Response::new(whole(body));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

#[derive(serde::Serialize)]
struct Listing<'a> {
    instances: Vec<Listed<'a>>,
}

#[derive(serde::Serialize)]
struct Listed<'a> {
    manifest: ManifestDigest,
    envelope: &'a RawValue,
}

/// Fisher and Yates; without randomness the order stays as it is, which costs balance and nothing else.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let Ok(random) = getrandom::u64() else { return };
        let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        if let Ok(other) = usize::try_from(random % bound) {
            items.swap(last, other);
        }
    }
}
