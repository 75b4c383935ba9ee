//! `GET /v1/instances?model=NAME&wait=SECONDS`: whom a client may seal to now, up to three instances, each the less loaded of two random
//! ones.
//!
//! A tenant is shown what it may use, and what it may not use is not there.
//!
//! What is said of an instance is written once, when its epoch evidence was verified; every answer is made of those same bytes.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use tokio::time::Instant;

use crate::admitted::Admitted;
use crate::answer::AnswerStream;
use crate::balance::choice;
use crate::gateway::Gateway;
use crate::head::InstanceQuery;
use crate::hold::wait_until;
use crate::offers::{NoSuchModel, Offered, Offers};
use crate::problem::RouteError;
use crate::release::why_none;
use crate::respond::{parts, whole};

/// How many instances a client is shown.
const CANDIDATES: usize = 3;

impl Gateway {
    /// The answer, at once or after waiting for it.
    pub(crate) async fn instances(
        &self,
        query: InstanceQuery,
        admitted: &Admitted,
    ) -> Result<Response<AnswerStream>, RouteError> {
        admitted.ask()?;
        let InstanceQuery { model, wait } = query;
        let permission = admitted.member.permission();
        let judge = || match self.fleet.offers_for(model.as_deref(), permission) {
            _ if self.is_draining() => Some(Err(RouteError::Draining)),
            Offers::Some(offers) => Some(Ok(offers)),
            Offers::NotNow => None,
            Offers::Unknown(served) => {
                let asked = model.clone().unwrap_or_default();
                Some(Err(RouteError::UnknownModel(NoSuchModel::new(asked, served))))
            }
        };
        let judged = match judge() {
            None if !wait.is_zero() => {
                let _waiting = self.polls.enter(admitted.peer.caller()).map_err(RouteError::Polls)?;
                let deadline = self.fleet.clock().now().mono + wait;
                wait_until(&mut self.fleet.changes(), deadline, judge).await
            }
            judged => judged,
        };
        let offers = judged.unwrap_or_else(|| Err(RouteError::Refused(why_none(&self.fleet, permission))))?;
        let offers = choice::some(offers, CANDIDATES, |offered| offered.load.reading(), Instant::now());
        let mut pieces = vec![Bytes::from_static(b"{\"instances\":[")];
        for (index, Offered { offer, .. }) in offers.iter().enumerate() {
            if index > 0 {
                pieces.push(Bytes::from_static(b","));
            }
            pieces.push(offer.once().listed().clone());
        }
        pieces.push(Bytes::from_static(b"]}"));
        let mut answer = Response::new(parts(pieces));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}

impl Gateway {
    /// `GET /v1/endorsements/SHA256`: one of the statements that a list names. Its bytes never change.
    pub(crate) fn endorsement(&self, digest: &str) -> Result<Response<AnswerStream>, RouteError> {
        let statement = digest.parse().ok().and_then(|digest| self.fleet.appraisal().vouched.find(&digest));
        let statement = statement.ok_or(RouteError::NotFound)?;
        let mut answer = Response::new(whole(statement.bytes.clone()));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(statement.media_type));
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
        Ok(answer)
    }
}

/// Fisher and Yates; without randomness the order stays as it is, which costs balance and nothing else.
pub(crate) fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let Ok(random) = getrandom::u64() else { return };
        let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        if let Ok(other) = usize::try_from(random % bound) {
            items.swap(last, other);
        }
    }
}
