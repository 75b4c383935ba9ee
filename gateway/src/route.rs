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
use crate::telemetry::Span;

/// One statement by its digest, as a route.
const ENDORSEMENT_ROUTE: &str = "/v1/endorsements/{digest}";

impl Gateway {
    /// Answers a client.
    pub async fn serve<B: Body<Data = Bytes> + Unpin>(&self, request: Request<B>, peer: &Peer) -> Response<AnswerStream>
    where
        B::Error: Error + 'static,
    {
        let mut span = self.span_of(&request);
        let answered = match (request.uri().path(), request.method()) {
            (HEALTH_PATH, &Method::GET) => Ok(text(StatusCode::OK, "ok\n")),
            (READY_PATH, &Method::GET) => Ok(self.ready()),
            (INSTANCES_PATH, &Method::GET) => {
                let admitted = self.let_in(request.headers(), peer, &mut span);
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
                let admitted = self.let_in(request.headers(), peer, &mut span);
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
                let admitted = self.let_in(request.headers(), peer, &mut span);
                return self.relay(request, admitted, span).await;
            }
            (HEALTH_PATH | READY_PATH | INSTANCES_PATH | CHALLENGE_PATH | POLICY_PATH | RECEIPT_KEYS_PATH, _) => {
                Err(RouteError::Method("GET"))
            }
            (RELAY_PATH, _) => Err(RouteError::Method("POST")),
            (path, method) => match (path.strip_prefix(ENDORSEMENTS_PATH), method) {
                (Some(digest), &Method::GET) => {
                    self.let_in(request.headers(), peer, &mut span).and_then(|_| self.endorsement(digest))
                }
                (Some(_), _) => Err(RouteError::Method("GET")),
                (None, _) => Err(RouteError::NotFound),
            },
        };
        let (response, problem) = match answered {
            Ok(response) => (response, None),
            Err(error) => {
                let said = say(&error);
                (respond(&said), Some(said.name()))
            }
        };
        span.answered(response.status().as_u16(), problem);
        response
    }

    /// The span of a request, if it is recorded. Probes have none: they come every few seconds and say what the metrics say.
    fn span_of<B>(&self, request: &Request<B>) -> Span {
        const WHOLE: [&str; 5] = [INSTANCES_PATH, CHALLENGE_PATH, POLICY_PATH, RECEIPT_KEYS_PATH, RELAY_PATH];
        let path = request.uri().path();
        if !self.tracer.is_on() || [HEALTH_PATH, READY_PATH].contains(&path) {
            return Span::default();
        }
        let one = || path.starts_with(ENDORSEMENTS_PATH).then_some(ENDORSEMENT_ROUTE);
        let route = WHOLE.into_iter().find(|whole| *whole == path).or_else(one);
        self.tracer.request(request, route, if self.certificates.is_some() { "https" } else { "http" })
    }
}

#[cfg(test)]
mod tests;
