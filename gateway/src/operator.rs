//! What the operator's tools may ask: whether the process lives, whether a request could be released, and the metrics.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use teegate_protocol::headers::{HEALTH_PATH, READY_PATH};

use crate::answer::AnswerStream;
use crate::budget::Charge;
use crate::fleet::{Route, Standing};
use crate::gateway::Gateway;
use crate::metrics::{Gauge, labels};
use crate::peer::Peer;
use crate::problem::{RouteError, say};
use crate::respond::{self, respond, text};
use crate::view::{FLEET_PATH, counts};

/// A long answer, paid for until it has left.
struct Paid {
    text: String,
    _charge: Charge,
}

impl AsRef<[u8]> for Paid {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Gateway {
    /// Answers an operator's tool.
    pub fn serve_operator(&self, method: &Method, path: &str, peer: &Peer) -> Response<AnswerStream> {
        match (path, method) {
            (HEALTH_PATH, &Method::GET) => text(StatusCode::OK, "ok\n"),
            (READY_PATH, &Method::GET) => self.ready(),
            ("/metrics", &Method::GET) => {
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                long(self.metrics.render(&self.gauges()), kind, peer)
            }
            (FLEET_PATH, &Method::GET) => match serde_json::to_string(&self.view(self.unready())) {
                Ok(view) => long(view, HeaderValue::from_static("application/json"), peer),
                Err(_) => respond(&say(&RouteError::Internal)),
            },
            (HEALTH_PATH | READY_PATH | FLEET_PATH | "/metrics", _) => respond(&say(&RouteError::Method("GET"))),
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
        let states = counts(&state, &now).map(|(condition, count)| (labels(&[("state", condition.name())]), count));
        let left = state.sights(&now).map(|(address, sight)| {
            (labels(&[("address", address.as_str())]), sight.proof.map_or(0, |proof| proof.seconds_left(&now)))
        });
        let left = left.collect();
        let version = state.appraisal.version;
        let full = state
            .routes
            .iter()
            .map(|(address, route)| (labels(&[("address", address.as_str())]), u64::from(route.is_full())));
        let full = full.collect();
        drop(state);
        let states = states.into();
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

fn long(text: String, kind: HeaderValue, peer: &Peer) -> Response<AnswerStream> {
    let charge = match peer.charge(u64::try_from(text.len()).unwrap_or(u64::MAX)) {
        Ok(charge) => charge,
        Err(error) => return respond(&say(&RouteError::NoMemory(error))),
    };
    let mut answer = respond::text(StatusCode::OK, Bytes::from_owner(Paid { text, _charge: charge }));
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
