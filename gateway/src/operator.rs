//! What the operator's tools may ask: whether the process lives, whether a request could be released, and the metrics.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use teegate_protocol::headers::{HEALTH_PATH, READY_PATH};

use crate::admission::Member;
use crate::answer::AnswerStream;
use crate::budget::Charge;
use crate::fleet::{Route, Standing};
use crate::gateway::Gateway;
use crate::metrics::{Gauge, labels};
use crate::peer::Peer;
use crate::problem::{RouteError, say};
use crate::respond::{respond, text};

/// The metrics as text, paid for until they have left.
struct Paid {
    metrics: String,
    _charge: Charge,
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        self.metrics.as_bytes()
    }
}

impl Gateway {
    /// Answers an operator's tool.
    pub fn serve_operator(&self, method: &Method, path: &str, peer: &Peer) -> Response<AnswerStream> {
        match (path, method) {
            (HEALTH_PATH, &Method::GET) => text(StatusCode::OK, "ok\n"),
            (READY_PATH, &Method::GET) => self.ready(),
            ("/metrics", &Method::GET) => {
                let metrics = self.metrics.render(&self.gauges());
                let charge = match peer.charge(u64::try_from(metrics.len()).unwrap_or(u64::MAX)) {
                    Ok(charge) => charge,
                    Err(error) => return respond(&say(&RouteError::NoMemory(error))),
                };
                let mut answer = text(StatusCode::OK, Bytes::from_owner(Paid { metrics, _charge: charge }));
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            (HEALTH_PATH | READY_PATH | "/metrics", _) => respond(&say(&RouteError::Method("GET"))),
            _ => respond(&say(&RouteError::NotFound)),
        }
    }

    /// Ready means that a request could be released now.
    pub(crate) fn ready(&self) -> Response<AnswerStream> {
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
        } else {
            let state = self.fleet.read();
            let version = state.appraisal.version;
            let is_attested = |route: &Route| matches!(route.standing(&now, version), Standing::Attested(_));
            let (mut any_attested, mut any_free) = (false, false);
            for route in state.routes.values().filter(|route| is_attested(route)) {
                any_attested = true;
                any_free |= !route.is_full();
            }
            match (any_attested, any_free) {
                (false, _) => Some("no instance is attested\n"),
                (true, false) => Some("every attested instance says that it takes no more for now\n"),
                (true, true) => None,
            }
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
        let full = state
            .routes
            .iter()
            .map(|(address, route)| (labels(&[("address", address.as_str())]), u64::from(route.is_full())));
        let full = full.collect();
        drop(state);
        let members = self.gatekeeper.members();
        let of_tenants = |of: fn(&Member) -> u64| {
            members.iter().map(|member| (labels(&[("tenant", member.tenant().name())]), of(member))).collect()
        };
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
            Gauge::single("teegate_gateway_kept_bytes", "bytes that clients make the gateway keep", self.budget.kept()),
            Gauge::single("teegate_gateway_kept_bytes_limit", "bytes that they may", self.budget.total()),
            Gauge::single("teegate_gateway_polls", "clients that wait for an instance", self.polls.waiting()),
            Gauge {
                name: "teegate_gateway_tenant_requests",
                help: "requests that are relayed for a tenant now",
                values: of_tenants(Member::running),
            },
            Gauge {
                name: "teegate_gateway_tenant_bytes",
                help: "bytes of a tenant's requests and answers that are kept now",
                values: of_tenants(|member| member.purse().spent()),
            },
            Gauge {
                name: "teegate_gateway_full",
                help: "1 when the instance at an address says that it takes no more",
                values: full,
            },
            Gauge { name: "teegate_gateway_addresses", help: "addresses of instances by state", values: states },
            Gauge {
                name: "teegate_gateway_attested_seconds",
                help: "seconds until the proof of an address lapses",
                values: left,
            },
        ]
    }
}
