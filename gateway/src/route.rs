//! What clients and operators may ask, and what happens to a sealed request: admitted, or held, or refused; then forwarded.
//!
//! The audit trail (tracing target `audit`) says sizes, digests and verdicts. Payload is not in it, because no type here that
//! holds payload can be printed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use serde_json::value::RawValue;
use teegate_protocol::headers::{HEALTH_PATH, INSTANCES_PATH, PROBLEM_JSON, READY_PATH, RELAY_PATH, TEEGATE_RELEASE};
use teegate_protocol::manifest::ManifestDigest;
use teegate_protocol::receipt::{ReceiptKey, Release as ReleaseReceipt};

use crate::fleet::{Fleet, Standing};
use crate::head::{InstanceQuery, SealedHead};
use crate::hold::{Hold, Tenant, wait_until};
use crate::metrics::{Gauge, Metrics, labels};
use crate::problem::{RouteError, Said, say};
use crate::proxy::{Answer, Attempt, BrokenAnswer, ForwardLimits, NotForwarded, forward};
use crate::release::{Admission, Refusal, Release, admit, pointless_after, why_none};
use crate::trust::NotOpened;
use crate::upload::Upload;

/// The body of every answer.
pub type AnswerStream = UnsyncBoxBody<Bytes, BrokenAnswer>;

/// How many instances a client is shown.
const CANDIDATES: usize = 3;

/// How often an instance may refuse the stream of one request before the client is told.
const MOST_REFUSALS: u32 = 2;

/// What the endpoints work with.
pub struct Gateway {
    /// Who may be sent to.
    pub fleet: Arc<Fleet>,
    /// What waits.
    pub hold: Arc<Hold>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Signs release receipts.
    pub receipt_key: ReceiptKey,
    /// The limits of the configuration that apply to requests.
    pub limits: RouteLimits,
    /// Set at shutdown.
    pub is_draining: AtomicBool,
}

/// What a request may take.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits {
    /// The longest sealed request.
    pub max_sealed_bytes: u64,
    /// How long a request is held when it does not say.
    pub hold: Duration,
    /// The longest hold.
    pub max_hold: Duration,
    /// Forwarding.
    pub forward: ForwardLimits,
}

impl Gateway {
    /// Answers a client.
    pub async fn serve<B: Body<Data = Bytes> + Unpin>(&self, request: Request<B>) -> Response<AnswerStream> {
        let answered = match (request.uri().path(), request.method()) {
            (HEALTH_PATH, &Method::GET) => Ok(text(StatusCode::OK, "ok\n")),
            (READY_PATH, &Method::GET) => Ok(self.ready()),
            (INSTANCES_PATH, &Method::GET) => self.instances(request.uri().query().unwrap_or("")).await,
            (RELAY_PATH, &Method::POST) => return self.relay(request).await,
            (HEALTH_PATH | READY_PATH | INSTANCES_PATH, _) => Err(RouteError::Method("GET")),
            (RELAY_PATH, _) => Err(RouteError::Method("POST")),
            _ => Err(RouteError::NotFound),
        };
        answered.unwrap_or_else(|error| respond(&say(&error)))
    }

    /// From now on nothing is released and nobody is shown an instance; who waits for that is told at once.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.fleet.announce();
    }

    fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Answers an operator's tool.
    pub fn serve_operator(&self, method: &Method, path: &str) -> Response<AnswerStream> {
        match (path, method) {
            (HEALTH_PATH, &Method::GET) => text(StatusCode::OK, "ok\n"),
            (READY_PATH, &Method::GET) => self.ready(),
            ("/metrics", &Method::GET) => {
                let mut answer = text(StatusCode::OK, self.metrics.render(&self.gauges()));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            (HEALTH_PATH | READY_PATH | "/metrics", _) => respond(&say(&RouteError::Method("GET"))),
            _ => respond(&say(&RouteError::NotFound)),
        }
    }

    /// Ready means that a request could be released now.
    fn ready(&self) -> Response<AnswerStream> {
        match self.unready() {
            None => text(StatusCode::OK, "ready\n"),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }

    fn unready(&self) -> Option<&'static str> {
        let now = self.fleet.clock().now();
        if self.is_draining() {
            Some("shutting down\n")
        } else if now.is_set_back {
            Some("the wall clock was set back by more than 60 s: correct it, or restart the gateway\n")
        } else if !self.fleet.read().standings(&now).any(|(_, standing)| matches!(standing, Standing::Attested(_))) {
            Some("no instance is attested\n")
        } else {
            None
        }
    }

    fn gauges(&self) -> Vec<Gauge> {
        let now = self.fleet.clock().now();
        let (held_requests, held_bytes) = self.hold.usage();
        let state = self.fleet.read();
        let mut states = [("pending", 0), ("attested", 0), ("draining", 0), ("rejected", 0)];
        let mut left = Vec::new();
        for (address, standing) in state.standings(&now) {
            let (name, seconds) = match standing {
                Standing::Pending => ("pending", 0),
                Standing::Attested(backend) => ("attested", backend.seconds_left(&now)),
                Standing::Draining(backend) => ("draining", backend.seconds_left(&now)),
                Standing::Rejected(_) => ("rejected", 0),
            };
            for (state, count) in &mut states {
                *count += u64::from(*state == name);
            }
            left.push((labels(&[("address", address.as_str())]), seconds));
        }
        let version = state.appraisal.version;
        drop(state);
        let states = states.iter().map(|(state, count)| (labels(&[("state", state)]), *count)).collect();
        vec![
            Gauge::single(
                "teegate_gateway_ready",
                "1 when a request could be released",
                u64::from(self.unready().is_none()),
            ),
            Gauge::single("teegate_gateway_policy_version", "policies taken into force by this process", version),
            Gauge::single("teegate_gateway_held_requests", "requests that wait for release", held_requests),
            Gauge::single("teegate_gateway_held_bytes", "sealed bytes that wait for release", held_bytes),
            Gauge { name: "teegate_gateway_addresses", help: "addresses of instances by state", values: states },
            Gauge {
                name: "teegate_gateway_attested_seconds",
                help: "seconds until the proof of an address lapses",
                values: left,
            },
        ]
    }

    /// `GET /v1/instances?model=NAME&wait=SECONDS`: up to three attested instances, in random order.
    async fn instances(&self, query: &str) -> Result<Response<AnswerStream>, RouteError> {
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

    /// `POST /v1/relay`.
    async fn relay<B: Body<Data = Bytes> + Unpin>(&self, request: Request<B>) -> Response<AnswerStream> {
        let tenant = Tenant::DEFAULT;
        let start = self.fleet.clock().now().mono;
        let mut account = Account::default();
        let answered = self.release(tenant, request, &mut account).await;
        let took_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        match answered {
            Ok(answer) => {
                self.metrics.relayed(tenant.name(), "answered");
                let status = answer.status.as_u16();
                tracing::info!(
                    target: "audit", tenant = tenant.name(), outcome = "answered", status, took_ms,
                    manifest = %account.manifest(), address = account.address, policy_version = account.policy_version,
                    held_ms = account.held_ms, sealed_bytes = answer.released_bytes,
                    ciphertext = answer.released.map(|digest| digest.to_string()),
                );
                self.pass_on(answer, &account)
            }
            Err(error) => {
                let said = say(&error);
                self.metrics.relayed(tenant.name(), said.name());
                tracing::info!(
                    target: "audit", tenant = tenant.name(), outcome = said.name(), took_ms, manifest = %account.manifest(),
                    address = account.address, policy_version = account.policy_version, held_ms = account.held_ms,
                );
                respond(&said)
            }
        }
    }

    /// From the arrival of a sealed request to the head of its answer.
    async fn release<B: Body<Data = Bytes> + Unpin>(
        &self,
        tenant: Tenant,
        request: Request<B>,
        account: &mut Account,
    ) -> Result<Answer, RouteError> {
        let (head, body) = request.into_parts();
        let digest = SealedHead::parse(&head.headers, self.limits.hold, self.limits.max_hold)?;
        let (digest, hold) = (digest.manifest, digest.hold);
        account.manifest = Some(digest);
        let mut upload = Upload::new(body, self.limits.max_sealed_bytes).map_err(RouteError::TooLarge)?;
        let start = self.fleet.clock().now().mono;
        let deadline = start + hold;
        // A connection that was lost is not tried again: its replacement proves itself first.
        let mut lost_link = None;
        let mut refusals = 0;
        // What was kept while it was held stays charged until it has been forwarded.
        let mut place = None;
        loop {
            let judge = || match admit(&self.fleet, &digest) {
                _ if self.is_draining() => Some(Err(RouteError::Draining)),
                Admission::Wait(_) => None,
                Admission::Release(release) if Some(release.backend.once().link_id()) == lost_link => None,
                Admission::Release(release) => Some(Ok(release)),
                Admission::Refuse(refusal) => Some(Err(RouteError::Refused(refusal))),
            };
            let judged = match judge() {
                Some(judged) => Some(judged),
                None => {
                    let place = match &mut place {
                        Some(place) => place,
                        None => place.insert(self.hold.enter(tenant, upload.received()).map_err(RouteError::Full)?),
                    };
                    let mut changes = self.fleet.changes();
                    let deadline = pointless_after(&self.fleet, &digest).map_or(deadline, |end| end.min(deadline));
                    tokio::select! {
                        biased;
                        judged = wait_until(&mut changes, deadline, judge) => judged,
                        error = upload.keep(place, self.limits.forward.body_idle) => return Err(RouteError::Held(error)),
                    }
                }
            };
            let held = self.fleet.clock().now().mono.saturating_duration_since(start);
            account.held_ms = u64::try_from(held.as_millis()).unwrap_or(u64::MAX);
            let release = judged.unwrap_or_else(|| Err(RouteError::Refused(self.why_not(&digest))))?;
            self.metrics.held(held);
            let Release { address, backend, permit, trial } = release;
            account.address = Some(address.to_string());
            account.policy_version = Some(backend.policy_version());
            account.evidence = Some(backend.once().evidence_digest());
            let attempt = Attempt { address, trial, metrics: Arc::clone(&self.metrics) };
            let forwarded =
                forward(&backend, permit, attempt, &mut upload, self.fleet.clock(), self.limits.forward).await;
            // Where nothing was sent the same instance may be tried again.
            match forwarded {
                Ok(answer) => return Ok(answer),
                Err(NotForwarded::NotOpened(NotOpened::Lost(error)))
                    if error.is_io() || error.is_go_away() || backend.once().is_closed() =>
                {
                    lost_link = Some(backend.once().link_id());
                }
                // The connection stands, and refused this one stream.
                Err(NotForwarded::NotOpened(NotOpened::Lost(_))) if refusals < MOST_REFUSALS => refusals += 1,
                Err(NotForwarded::NotOpened(NotOpened::Lapsed) | NotForwarded::Withdrawn { bytes_left: false }) => {}
                Err(error) => return Err(RouteError::NotForwarded(error)),
            }
        }
    }

    /// What stands in the way now that the time is over.
    fn why_not(&self, digest: &ManifestDigest) -> Refusal {
        match admit(&self.fleet, digest) {
            Admission::Wait(refusal) | Admission::Refuse(refusal) => refusal,
            // It came back a moment too late, or only the connection that was lost is there.
            Admission::Release(_) => Refusal::NoInstance,
        }
    }

    /// Status, content type and body of the enclave, and the gateway's own receipt.
    fn pass_on(&self, answer: Answer, account: &Account) -> Response<AnswerStream> {
        let receipt = match (answer.released, account.manifest, account.evidence, account.policy_version) {
            (Some(ciphertext), Some(manifest), Some(evidence), Some(policy_version)) => {
                let claimed_time = self.fleet.clock().now().wall.seconds();
                let release = ReleaseReceipt { ciphertext, manifest, evidence, policy_version, claimed_time };
                release.sign(&self.receipt_key).ok().and_then(|signed| HeaderValue::from_str(&signed.to_header()).ok())
            }
            _ => None,
        };
        let mut response = Response::new(answer.body.boxed_unsync());
        *response.status_mut() = answer.status;
        if let Some(content_type) = answer.content_type {
            response.headers_mut().insert(CONTENT_TYPE, content_type);
        }
        if let Some(receipt) = receipt {
            response.headers_mut().insert(TEEGATE_RELEASE, receipt);
        }
        response
    }
}

/// What the audit trail says of one request.
#[derive(Default)]
struct Account {
    manifest: Option<ManifestDigest>,
    address: Option<String>,
    policy_version: Option<u64>,
    evidence: Option<teegate_protocol::receipt::EvidenceDigest>,
    held_ms: u64,
}

impl Account {
    fn manifest(&self) -> String {
        self.manifest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
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

/// The answer that says so.
pub fn respond(said: &Said) -> Response<AnswerStream> {
    let (status, body, retry_after, allow) = match said {
        Said::Problem(problem) => (problem.status(), problem.to_json(), problem.retry_after, None),
        Said::Plain { status, detail, allow, .. } => {
            let body =
                serde_json::json!({ "type": "about:blank", "status": status, "detail": detail, "executed": "no" });
            (*status, body.to_string().into_bytes(), None, *allow)
        }
    };
    let mut response = Response::new(whole(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(methods) = allow {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    response
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<AnswerStream> {
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn whole(body: impl Into<Bytes>) -> AnswerStream {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests;
