//! What the operator's tools may ask: whether the process lives, whether a request could be released, and the metrics.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response, StatusCode};
use teegate_intake::forecast::Forecast;
use teegate_protocol::headers::{HEALTH_PATH, READY_PATH};

use crate::admission::Member;
use crate::admission::issuer::Standing as KeysStanding;
use crate::answer::AnswerStream;
use crate::budget::Charge;
use crate::config::Address;
use crate::fleet::{Route, Standing};
use crate::gateway::Gateway;
use crate::identity::{Identity, identity};
use crate::journal::{Condition, Sight};
use crate::metrics::{
    self, ADDRESSES, ATTESTED, BREAKER_OPEN, BUILD_INFO, FAILED_CHECK, FIRST_END, FORECAST_END, FULL, Gauge,
    HELD_BYTES, HELD_REQUESTS, IN_FLIGHT, INSTANCE_STATE, INSTANCES, JWKS_ASKED, JWKS_LEFT, JWKS_OK, KEPT, KEPT_LIMIT,
    NOT_AFTER, POLICY_INFO, POLICY_SINCE, POLICY_VERSION, POLLS, READY, RELOAD_AT, RELOAD_OK, RELOADS, TENANT_BYTES,
    TENANT_REQUESTS, TLS_NOT_AFTER, TLS_OK,
};
use crate::peer::Peer;
use crate::problem::{RouteError, say};
use crate::respond::{self, respond, text};
use crate::trust::Ending;
use crate::view::{FLEET_PATH, counts, endings};

/// So many failed checks of one address are shown, and so many statements of the whole fleet, those that end first.
const CHECKS_SHOWN: usize = 8;
const ENDINGS_SHOWN: usize = 64;

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

/// When the evidence of an address will be refused, and by which check. One that ends by no check says none.
fn forecast_of((address, forecast): &(Address, Arc<Forecast>)) -> Option<([String; 2], u64)> {
    let check = forecast.refused_by.first().copied().unwrap_or_default();
    let until = forecast.accepted_until?.seconds();
    Some(([address.as_str().to_owned(), check.to_owned()], until))
}

impl Gateway {
    /// Answers an operator's tool.
    pub fn serve_operator(&self, method: &Method, path: &str, peer: &Peer) -> Response<AnswerStream> {
        match (path, method) {
            (HEALTH_PATH, &Method::GET) => text(StatusCode::OK, "ok\n"),
            (READY_PATH, &Method::GET) => self.ready(),
            ("/metrics", &Method::GET) => {
                long(self.metrics_text(), HeaderValue::from_static(metrics::MEDIA_TYPE), peer)
            }
            (FLEET_PATH, &Method::GET) => match serde_json::to_string(&self.view(self.unready())) {
                Ok(view) => long(view, HeaderValue::from_static("application/json"), peer),
                Err(_) => respond(&say(&RouteError::Internal)),
            },
            (HEALTH_PATH | READY_PATH | FLEET_PATH | "/metrics", _) => respond(&say(&RouteError::Method("GET"))),
            _ => respond(&say(&RouteError::NotFound)),
        }
    }

    /// Every metric, in the text format.
    pub fn metrics_text(&self) -> String {
        self.metrics.render(&self.gauges())
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
        } else if self.gatekeeper.lacks_keys(&now) {
            Some("the keys of tokens are not at hand (`admission.jwt.jwks_url`): status says why\n")
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

    /// What is read at this moment, in the order of the table.
    fn gauges(&self) -> Vec<Gauge> {
        let is_ready = self.unready().is_none();
        let now = self.fleet.clock().now();
        let (held_requests, held_bytes) = self.hold.usage();
        let record = self.reloads.record();
        let policy = [record.policy.name, record.policy.sha256];
        let forecasts = self.fleet.forecasts();
        let state = self.fleet.read();
        let sights: Vec<(String, Sight<'_>)> =
            state.sights(&now).map(|(address, sight)| (address.as_str().to_owned(), sight)).collect();
        let by_address = |row, value: &dyn Fn(&Sight<'_>) -> u64| {
            Gauge::family(row, sights.iter().map(|(address, sight)| ([address.clone()], value(sight))))
        };
        let states = sights.iter().flat_map(|(address, sight)| {
            Condition::ALL.map(|condition| {
                ([address.clone(), condition.name().to_owned()], u64::from(condition == sight.condition))
            })
        });
        let failed = sights.iter().flat_map(|(address, sight)| {
            sight.checks.iter().take(CHECKS_SHOWN).map(|check| ([address.clone(), (*check).to_owned()], 1))
        });
        let mut codes: BTreeMap<&str, HashSet<Identity>> = BTreeMap::new();
        for (_, sight) in &sights {
            if let (Condition::Attested, Some(proof)) = (sight.condition, sight.proof) {
                codes.entry(&proof.once().summary().code).or_default().insert(identity(proof.once().manifest()));
            }
        }
        let codes = codes.into_iter().map(|(code, instances)| ([code.to_owned()], number(instances.len())));
        let endings = endings(&state, &now);
        let labels = |ending: &Ending| [ending.kind.to_owned(), ending.name.clone()];
        let first = endings.first().map(|end| (labels(end), end.at.seconds().saturating_sub(now.wall.seconds())));
        let is_open = |sight: &Sight<'_>| {
            let breaker = sight.proof.and_then(|proof| state.breaker(&identity(proof.once().manifest())));
            u64::from(breaker.is_some_and(|breaker| breaker.word(now.mono) == "open"))
        };
        let tls = self.certificates.as_ref();
        let keys = self.gatekeeper.keys(&now);
        let keys = keys.as_ref();
        let asked = |keys: &KeysStanding| [(["taken".to_owned()], keys.taken), (["failed".to_owned()], keys.failed)];
        let members = self.gatekeeper.members();
        let of_tenants = |row, of: fn(&Member) -> u64| {
            Gauge::family(row, members.iter().map(|member| ([member.tenant().name().to_owned()], of(member))))
        };
        vec![
            Gauge::family(&BUILD_INFO, [([env!("CARGO_PKG_VERSION").to_owned()], 1)]),
            Gauge::single(&READY, u64::from(is_ready)),
            Gauge::family(&POLICY_INFO, [(policy, 1)]),
            Gauge::single(&POLICY_VERSION, state.appraisal.version),
            Gauge::single(&POLICY_SINCE, record.since.seconds()),
            Gauge::family(&RELOADS, [(["taken".to_owned()], record.taken), (["refused".to_owned()], record.refused)]),
            Gauge::single(&RELOAD_OK, u64::from(record.failure.is_none())),
            Gauge::single(&RELOAD_AT, record.succeeded_at.seconds()),
            Gauge::family(&ADDRESSES, counts(&state, &now).map(|(state, count)| ([state.name().to_owned()], count))),
            Gauge::family(&INSTANCE_STATE, states),
            Gauge::family(&FAILED_CHECK, failed),
            Gauge::family(&INSTANCES, codes),
            by_address(&ATTESTED, &|sight| sight.proof.map_or(0, |proof| proof.seconds_left(&now))),
            by_address(&FULL, &|sight| u64::from(sight.is_full)),
            by_address(&IN_FLIGHT, &|sight| sight.proof.map_or(0, |proof| number(proof.once().in_flight()))),
            by_address(&BREAKER_OPEN, &is_open),
            Gauge::family(&FIRST_END, first),
            Gauge::family(&NOT_AFTER, endings.iter().take(ENDINGS_SHOWN).map(|end| (labels(end), end.at.seconds()))),
            Gauge::family(&FORECAST_END, forecasts.iter().filter_map(forecast_of)),
            of_tenants(&TENANT_REQUESTS, Member::running),
            of_tenants(&TENANT_BYTES, |member| member.purse().spent()),
            Gauge::family(&TLS_NOT_AFTER, tls.map(|tls| ([], tls.not_after().seconds()))),
            Gauge::family(&TLS_OK, tls.map(|tls| ([], u64::from(tls.refused().is_none())))),
            Gauge::family(
                &JWKS_OK,
                keys.map(|keys| ([], u64::from(keys.age_seconds.is_some() && keys.failure.is_none()))),
            ),
            Gauge::family(&JWKS_LEFT, keys.map(|keys| ([], keys.seconds))),
            Gauge::family(&JWKS_ASKED, keys.into_iter().flat_map(asked)),
            Gauge::single(&HELD_REQUESTS, held_requests),
            Gauge::single(&HELD_BYTES, held_bytes),
            Gauge::single(&KEPT, self.budget.kept()),
            Gauge::single(&KEPT_LIMIT, self.budget.total()),
            Gauge::single(&POLLS, self.polls.waiting()),
        ]
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
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

#[cfg(test)]
pub(crate) mod tests;
