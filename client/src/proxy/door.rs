//! One request at the door: who asks, for what, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use teegate_verifier::{Endorsements, Memory, Policy};

use super::admit::{Access, Page};
use super::answer;
use super::body::{BodyLimits, Room};
use super::event::Event;
use super::said::Said;
use super::target::{Inside, Target};
use super::upstream::Upstream;
use crate::client::JSON_LENGTH;
use crate::error::Error;
use crate::link::{self, Gateway};
use crate::settings::Settings;
use crate::wanted::Wanted;

/// What a door is for. The defaults are open to every program of this machine, and for every model.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// Who may ask.
    pub access: Access,
    /// The models that may be asked; any, if none is named. Those that are named are verified before the door opens.
    pub models: Vec<String>,
    /// How much of requests is held.
    pub bodies: BodyLimits,
}

/// A door: to be given to [`super::serve`].
pub struct Proxy {
    access: Access,
    models: Vec<String>,
    room: Room,
    upstream: Upstream,
}

/// The authority inside the seal, as [`crate::Client`] has it.
const AUTHORITY: &str = "enclave";

impl Proxy {
    /// Verifies whom requests will be sealed to: an instance for each model that is named, or any. `tell` hears of each that is
    /// verified, now and later; it is called in the middle of things and must not wait.
    ///
    /// # Errors
    /// Nobody can be verified. Nothing was sent but the question for instances.
    pub async fn connect(
        gateway: Gateway,
        policy: Policy,
        endorsements: Endorsements,
        settings: Settings,
        proxy: ProxySettings,
        tell: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, Error> {
        let ProxySettings { access, models, bodies } = proxy;
        let mut kept: Vec<Wanted> =
            models.iter().map(|name| Wanted::Model { name: name.clone(), version: None }).collect();
        if kept.is_empty() {
            kept.push(Wanted::Any);
        }
        let gateway = gateway.with_room(link::Room::new(bodies.all_bytes));
        let upstream = Upstream::new(gateway, policy, endorsements, settings, kept, Box::new(tell));
        upstream.verify_kept().await?;
        Ok(Arc::new(Self { access, models, room: Room::new(bodies), upstream }))
    }

    /// What was seen so far, for [`Settings::memory`] of the next one.
    pub fn memory(&self) -> Memory {
        self.upstream.memory()
    }

    /// Keeps whom requests are sealed to verified, for ever.
    pub(super) async fn keep(&self) {
        self.upstream.keep().await;
    }

    /// The answer to one request. Dropped when the program leaves, and the exchange with it.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let page = match self.access.place(&head) {
            Ok(page) => page,
            Err(said) => return said.response(),
        };
        let mut response = match page.preflight(&head) {
            Some(response) => response,
            None => self.admitted(&head, body).await.unwrap_or_else(Said::response),
        };
        Page::allow(page, response.headers_mut());
        response
    }

    async fn admitted(&self, head: &Parts, body: Incoming) -> Result<Response<Full<Bytes>>, Said> {
        let path = head.uri.path();
        if !path.starts_with('/') || head.method == Method::CONNECT {
            return Err(Said::new(
                StatusCode::BAD_REQUEST,
                "a request names a path; this is no proxy for other servers",
            ));
        }
        let Inside { wanted, path, runs } = match Target::of(&head.method, path) {
            Target::Alive => return Ok(said("live")),
            Target::Ready => return self.ready(&head.headers),
            Target::Inside(inside) => inside,
        };
        self.access.credential(&head.headers)?;
        self.may_be_asked(&wanted)?;
        let held = self.room.read(&head.headers, body).await?;
        let method = if head.method == Method::HEAD { Method::GET.as_str() } else { head.method.as_str() };
        let mut sealed = crate::Request::new(method, AUTHORITY, &path);
        for name in [CONTENT_TYPE.as_str(), JSON_LENGTH] {
            if let Some(value) = once(&head.headers, name)? {
                let unsendable = |_| Said::new(StatusCode::BAD_REQUEST, format!("`{name}` cannot be sent"));
                sealed.fields.push(name, value).map_err(unsendable)?;
            }
        }
        sealed.content = held.bytes;
        let client = self.upstream.client(&wanted);
        let outcome = if runs { client.forward(sealed).await } else { client.send(sealed).await };
        self.upstream.heard(&outcome);
        drop(held.room);
        outcome.map(answer::opened).map_err(|error| answer::failed(&error))
    }

    /// Whether it is ready, for everybody; why it is not, with measurements and checks in it, for who has the token.
    fn ready(&self, headers: &HeaderMap) -> Result<Response<Full<Bytes>>, Said> {
        match self.upstream.readiness() {
            Ok(()) => Ok(said("ready")),
            Err(Some(_)) if self.access.credential(headers).is_err() => {
                Err(Said::new(StatusCode::SERVICE_UNAVAILABLE, "nobody is verified; why is told to who has the token"))
            }
            Err(Some(why)) => Err(Said::new(StatusCode::SERVICE_UNAVAILABLE, why.to_string())),
            Err(None) => Err(Said::new(StatusCode::SERVICE_UNAVAILABLE, "an instance is being verified")),
        }
    }

    fn may_be_asked(&self, wanted: &Wanted) -> Result<(), Said> {
        let Wanted::Model { name, version } = wanted else { return Ok(()) };
        let not_found = |words: String| Err(Said::new(StatusCode::NOT_FOUND, format!("{words}; nothing was sent")));
        if !is_label(name) || !version.as_deref().is_none_or(is_label) {
            return not_found("no model is called that, nor can be".to_owned());
        }
        if !self.models.is_empty() && !self.models.contains(name) {
            let served: Vec<_> = self.models.iter().map(|name| format!("`{name}`")).collect();
            return not_found(format!("this door serves {}, and no other model", served.join(", ")));
        }
        Ok(())
    }
}

/// Whether a manifest can name a model, or a version, so: 1 to 128 letters, digits and `.`, `_`, `-`, `+`.
fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}

/// A field that stands there once, or not at all.
fn once<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a [u8]>, Said> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(|value| value.as_bytes())),
        _ => Err(Said::new(StatusCode::BAD_REQUEST, format!("`{name}` stands there twice; nothing was sent"))),
    }
}

/// `{"live":true}` or `{"ready":true}`.
fn said(member: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{{\"{member}\":true}}"))));
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
