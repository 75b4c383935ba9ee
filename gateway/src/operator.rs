//! What the operator's tools may ask: whether the process lives, whether a request could be released, and the metrics.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use teegate_protocol::headers::{HEALTH_PATH, READY_PATH};

use crate::answer::AnswerStream;
use crate::fleet::Standing;
use crate::gateway::Gateway;
use crate::metrics::{Gauge, labels};
use crate::problem::{RouteError, say};
use crate::respond::{respond, text};

impl Gateway {
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
}
