//! `POST /v1/relay`: what happens to a sealed request: admitted, or held, or refused; then forwarded.
//!
//! The audit trail (tracing target `audit`) says sizes, digests and verdicts. Payload is not in it, because no type here that
//! holds payload can be printed.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Body;
use teegate_protocol::headers::TEEGATE_RELEASE;
use teegate_protocol::manifest::ManifestDigest;
use teegate_protocol::receipt::Release as ReleaseReceipt;

use crate::admission::{Permission, Running};
use crate::admitted::Admitted;
use crate::answer::AnswerStream;
use crate::attempt::Attempt;
use crate::caller::Tenant;
use crate::gateway::Gateway;
use crate::head::SealedHead;
use crate::hold::{wait_until, wait_until_changed};
use crate::peer::Peer;
use crate::problem::{RouteError, say};
use crate::proxy::{Answer, NotForwarded, forward};
use crate::release::{Admission, Refusal, Release, admit_for, pointless_after};
use crate::respond::respond;
use crate::telemetry::{Attribute, Span, Task};
use crate::trust::NotOpened;
use crate::upload::Upload;

/// How often the predicate may fall between admission and the first byte before the client is told. Each time is a change that
/// somebody made; a request that met more of them would go round for ever only by a mistake of ours.
const MOST_WITHDRAWALS: u32 = 8;

/// How often an instance may refuse the stream of one request before the client is told.
pub(crate) const MOST_REFUSALS: u32 = 2;

impl Gateway {
    /// `POST /v1/relay`.
    pub(crate) async fn relay<B: Body<Data = Bytes> + Unpin>(
        &self,
        request: Request<B>,
        admitted: Result<Admitted, RouteError>,
        span: Span,
    ) -> Response<AnswerStream>
    where
        B::Error: Error + 'static,
    {
        let tenant = admitted.as_ref().map_or(Tenant::STRANGER, Admitted::tenant);
        let start = self.fleet.clock().now().mono;
        let mut account = Account { span, ..Account::default() };
        let answered = self.release_admitted(request, admitted, &mut account).await;
        let took_ms = millis(start.elapsed());
        let held_ms = millis(account.held);
        match answered {
            Ok((answer, running)) => {
                self.metrics.relayed(tenant.name(), "answered");
                let status = answer.status.as_u16();
                tracing::info!(
                    target: "audit", tenant = tenant.name(), outcome = "answered", status, took_ms,
                    manifest = %account.manifest(), address = account.address, policy_version = account.policy_version,
                    held_ms, sealed_bytes = answer.released_bytes,
                    ciphertext = answer.released.map(|digest| digest.to_string()), trace = account.span.trace(),
                );
                account.span.answered(status, None);
                self.pass_on(answer, running, account)
            }
            Err(error) => {
                let said = say(&error);
                self.metrics.relayed(tenant.name(), said.name());
                account.span.answered(said.status(), Some(said.name()));
                // Anybody can be refused as often as he likes: the audit trail is of who was let in.
                if tenant == Tenant::STRANGER {
                    return respond(&said);
                }
                tracing::info!(
                    target: "audit", tenant = tenant.name(), outcome = said.name(), took_ms, manifest = %account.manifest(),
                    address = account.address, policy_version = account.policy_version, held_ms, trace = account.span.trace(),
                );
                respond(&said)
            }
        }
    }

    /// The same for a request that was let in, inside the limits of its tenant.
    async fn release_admitted<B: Body<Data = Bytes> + Unpin>(
        &self,
        request: Request<B>,
        admitted: Result<Admitted, RouteError>,
        account: &mut Account,
    ) -> Result<(Answer, Running), RouteError>
    where
        B::Error: Error + 'static,
    {
        let admitted = admitted?;
        let running = admitted.run()?;
        let Admitted { member, peer } = admitted;
        let answer = self.release(request, &peer, member.permission(), account).await?;
        if answer.status.is_success() {
            peer.activity().relayed();
        }
        Ok((answer, running))
    }

    /// From the arrival of a sealed request to the head of its answer.
    async fn release<B: Body<Data = Bytes> + Unpin>(
        &self,
        request: Request<B>,
        peer: &Peer,
        permission: &Arc<Permission>,
        account: &mut Account,
    ) -> Result<Answer, RouteError>
    where
        B::Error: Error + 'static,
    {
        let (head, body) = request.into_parts();
        let SealedHead { manifest: digest, hold } =
            SealedHead::parse(&head.headers, self.limits.hold, self.limits.max_hold)?;
        drop(head);
        account.manifest = Some(digest);
        account.span.note(|| Attribute::Manifest(digest));
        let mut upload = Upload::new(body, self.limits.max_sealed_bytes, self.limits.forward.pace, peer)
            .map_err(RouteError::Upload)?
            .traced(account.span.child(Task::Upload));
        let deadline = self.fleet.clock().now().mono + hold;
        // A connection that was lost is not tried again: its replacement proves itself first.
        let mut lost_link = None;
        let (mut refusals, mut withdrawals) = (0, 0);
        // What was kept while it was held stays counted there until it has been forwarded.
        let mut place = None;
        loop {
            let judge = || match admit_for(&self.fleet, &digest, permission) {
                _ if self.is_draining() => Some(Err(RouteError::Draining)),
                Admission::Wait(_) => None,
                Admission::Release(release) if Some(release.backend.once().link_id()) == lost_link => None,
                Admission::Release(release) => Some(Ok(release)),
                Admission::Refuse(refusal) => Some(Err(RouteError::Refused(refusal))),
            };
            let release = match judge().transpose()? {
                Some(release) if upload.readiness().is_some() => release,
                // Nothing at an instance is taken, not even a turn, for a client that is still about to send.
                Some(release) => {
                    drop(release);
                    let mut changes = self.fleet.changes();
                    let fell = wait_until_changed(&mut changes, || !matches!(judge(), Some(Ok(_))));
                    tokio::select! {
                        biased;
                        () = fell => {}
                        gathered = upload.gather() => gathered.map_err(RouteError::Upload)?,
                    }
                    continue;
                }
                None => {
                    let place = match &mut place {
                        Some(place) => place,
                        None => {
                            let entered = self.hold.enter(peer.caller(), upload.received());
                            place.insert(entered.map_err(RouteError::Full)?)
                        }
                    };
                    let start = self.fleet.clock().now().mono;
                    let _holding = account.span.child(Task::Hold);
                    let mut changes = self.fleet.changes();
                    let deadline = pointless_after(&self.fleet, &digest).map_or(deadline, |end| end.min(deadline));
                    let judged = tokio::select! {
                        biased;
                        judged = wait_until(&mut changes, deadline, judge) => judged,
                        error = upload.keep(place) => return Err(RouteError::Upload(error)),
                    };
                    account.held += self.fleet.clock().now().mono.saturating_duration_since(start);
                    let release =
                        judged.unwrap_or_else(|| Err(RouteError::Refused(self.why_not(&digest, permission))))?;
                    if upload.readiness().is_none() {
                        continue;
                    }
                    release
                }
            };
            if upload.is_empty() {
                return Err(RouteError::Malformed("the sealed request is empty"));
            }
            self.metrics.held(account.held);
            let Release { address, backend, permit, trial, trip } = release;
            account.address = Some(address.to_string());
            account.policy_version = Some(backend.policy_version());
            account.evidence = Some(backend.once().evidence_digest());
            let mut relaying = account.span.child(Task::Relay);
            relaying.note(|| Attribute::Address(address.clone()));
            relaying.note(|| Attribute::Instance(backend.once().manifest().manifest().instance_id));
            relaying.note(|| Attribute::PolicyVersion(backend.policy_version()));
            let attempt = Attempt { address, trial, trip, metrics: Arc::clone(&self.metrics) };
            let (clock, limits) = (self.fleet.clock(), self.limits.forward);
            let forwarded = forward(&backend, permit, attempt, &mut upload, peer, clock, limits).await;
            match &forwarded {
                Ok(answer) => relaying.note(|| Attribute::Status(answer.status.as_u16())),
                Err(error) => relaying.failed(error.name()),
            }
            drop(relaying);
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
                Err(NotForwarded::NotOpened(NotOpened::Lapsed) | NotForwarded::Withdrawn { bytes_left: false })
                    if withdrawals < MOST_WITHDRAWALS =>
                {
                    withdrawals += 1;
                }
                Err(error) => return Err(RouteError::NotForwarded(error)),
            }
        }
    }

    /// What stands in the way now that the time is over.
    fn why_not(&self, digest: &ManifestDigest, permission: &Arc<Permission>) -> Refusal {
        match admit_for(&self.fleet, digest, permission) {
            Admission::Wait(refusal) | Admission::Refuse(refusal) => refusal,
            // It came back a moment too late, or only the connection that was lost is there.
            Admission::Release(_) => Refusal::NoInstance,
        }
    }

    /// Status, content type and body of the enclave, and the gateway's own receipt.
    fn pass_on(&self, answer: Answer, running: Running, account: Account) -> Response<AnswerStream> {
        let receipt = match (answer.released, account.manifest, account.evidence, account.policy_version) {
            (Some(ciphertext), Some(manifest), Some(evidence), Some(policy_version)) => {
                let claimed_time = self.fleet.clock().now().wall.seconds();
                let release = ReleaseReceipt { ciphertext, manifest, evidence, policy_version, claimed_time };
                release.sign(&self.receipt_key).ok().and_then(|signed| HeaderValue::from_str(&signed.to_header()).ok())
            }
            _ => None,
        };
        // It is over for its tenant when the body is, whoever ends that; and for whoever traces it.
        // The part ends before the whole.
        let mut until_then = (account.span.child(Task::Answer), account.span, running);
        let body = answer.body.map_err(move |broken| {
            let (answering, ..) = &mut until_then;
            answering.failed(broken.outcome());
            broken
        });
        let mut response = Response::new(body.boxed_unsync());
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
    held: Duration,
    span: Span,
}

impl Account {
    fn manifest(&self) -> String {
        self.manifest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
