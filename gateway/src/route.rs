//! What clients may ask, and who answers.

use std::error::Error;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Body;
use teegate_protocol::headers::{
    CHALLENGE_PATH, ENDORSEMENTS_PATH, HEALTH_PATH, INSTANCES_PATH, POLICY_PATH, READY_PATH, RECEIPT_KEYS_PATH,
    RELAY_PATH,
};

use crate::answer::AnswerStream;
use crate::challenge::ChallengeQuery;
use crate::gateway::Gateway;
use crate::head::InstanceQuery;
use crate::peer::Peer;
use crate::problem::{RouteError, say};
use crate::respond::{respond, text};

impl Gateway {
    /// Answers a client.
    pub async fn serve<B: Body<Data = Bytes> + Unpin>(&self, request: Request<B>, peer: &Peer) -> Response<AnswerStream>
    where
        B::Error: Error + 'static,
    {
        let answered = match (request.uri().path(), request.method()) {
            (HEALTH_PATH, &Method::GET) => Ok(text(StatusCode::OK, "ok\n")),
            (READY_PATH, &Method::GET) => Ok(self.ready()),
            (INSTANCES_PATH, &Method::GET) => {
                let admitted = self.let_in(request.headers(), peer);
                let query = InstanceQuery::parse(request.uri().query().unwrap_or(""));
                // Nothing of the request is needed any more, and some of it may be waited for.
                drop(request);
                match admitted.and_then(|admitted| query.map(|query| (admitted, query))) {
                    Ok((admitted, query)) => self.instances(query, &admitted).await,
                    Err(error) => Err(error),
                }
            }
            (CHALLENGE_PATH, &Method::GET) => {
                let query = ChallengeQuery::parse(request.uri().query().unwrap_or(""));
                let admitted = self.let_in(request.headers(), peer);
                drop(request);
                let ended = match admitted.and_then(|admitted| query.map(|query| (admitted, query))) {
                    Ok((admitted, query)) => self.challenge(query, &admitted).await,
                    Err(error) => Err(error),
                };
                self.metrics.challenged(ended.as_ref().map_or_else(|error| say(error).name(), |_| "answered"));
                ended
            }
            (POLICY_PATH, &Method::GET) => self.client_policy(request.headers()),
            (RECEIPT_KEYS_PATH, &Method::GET) => self.receipt_keys(),
            (RELAY_PATH, &Method::POST) => {
                let admitted = self.let_in(request.headers(), peer);
                return self.relay(request, admitted).await;
            }
            (HEALTH_PATH | READY_PATH | INSTANCES_PATH | CHALLENGE_PATH | POLICY_PATH | RECEIPT_KEYS_PATH, _) => {
                Err(RouteError::Method("GET"))
            }
            (RELAY_PATH, _) => Err(RouteError::Method("POST")),
            (path, method) => match (path.strip_prefix(ENDORSEMENTS_PATH), method) {
                (Some(digest), &Method::GET) => {
                    self.let_in(request.headers(), peer).and_then(|_| self.endorsement(digest))
                }
                (Some(_), _) => Err(RouteError::Method("GET")),
                (None, _) => Err(RouteError::NotFound),
            },
        };
        answered.unwrap_or_else(|error| respond(&say(&error)))
    }
}

#[cfg(test)]
mod tests;
