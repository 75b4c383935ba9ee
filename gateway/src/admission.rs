//! Who may ask, and in whose name: the credential of a request becomes a tenant, or the request ends here.
//!
//! Three kinds of credential are known, each only if it is configured: a bearer token whose digest stands in a file, a JWT under a
//! key of its issuer, and a client certificate of TLS with one SPIFFE ID. Whatever is shown has to be good, and all that is shown has
//! to name one tenant: a request is never counted for one tenant and let in by another. What admits is read again at a
//! reload; a tenant keeps its counters then.
//!
//! Admission is about who spends the gateway's and the instances' time. It is no part of confidentiality: a request is sealed
//! whoever sends it.

mod bearer;
mod certificate;
mod client_ca;
pub mod config;
mod denied;
pub mod exposure;
pub mod issuer;
mod jwks;
mod jwt;
mod permission;
mod rate;
mod secret;
mod spiffe;
mod tenant;
mod tokens;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::watch;

pub use certificate::Certificate;
pub use denied::Denied;
#[cfg(test)]
pub(crate) use permission::Models;
pub use permission::Permission;
pub use tenant::{Limited, Member, Running};

use crate::caller::Tenant;
use crate::clock::{Clock, Now};
use client_ca::{ClientCa, verifier};
use config::{Admitting, Settings, TenantSettings};
use issuer::{Issuer, Standing};
use jwt::Jwt;
use secret::Secret;
use spiffe::Ids;
use tokens::Tokens;

/// Decides who may ask.
#[derive(Debug)]
pub struct Gatekeeper {
    rules: RwLock<Arc<Rules>>,
    /// Where client certificates are taken; since when the process lives.
    client_ca: Option<Arc<ClientCa>>,
    /// Counts what was taken into force.
    changes: watch::Sender<u64>,
}

/// What is in force.
#[derive(Debug)]
pub struct Rules {
    admits: Admits,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    members: BTreeMap<Tenant, (Arc<Member>, TenantSettings)>,
}

#[derive(Debug)]
enum Admits {
    Everybody(Arc<Member>),
    Tenants { tokens: Option<Tokens>, jwt: Option<Box<Jwt>>, ids: Option<Ids> },
}

/// A file that admission needs cannot be used.
#[derive(Debug)]
pub struct LoadError(String);

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoadError {}

impl Gatekeeper {
    /// What `settings` say, with the files that they name.
    pub fn load(settings: &Settings) -> Result<Self, LoadError> {
        let rules = Rules::read(settings, &BTreeMap::new(), None)?;
        rules.apply(&BTreeMap::new());
        let client_ca = rules.verifier.clone().map(ClientCa::new);
        Ok(Self { rules: RwLock::new(Arc::new(rules)), client_ca, changes: watch::Sender::new(0) })
    }

    /// Judges the certificates that clients show in the TLS handshake, where they are taken.
    pub fn client_certificates(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.client_ca.clone().map(|ca| -> Arc<dyn ClientCertVerifier> { ca })
    }

    /// Reads what `settings` say now. Nothing changes before [`Gatekeeper::take`].
    pub fn prepare(&self, settings: &Settings) -> Result<Rules, LoadError> {
        let own = self.rules();
        let rules = Rules::read(settings, &own.members, own.issuer())?;
        if rules.verifier.is_some() && self.client_ca.is_none() {
            return Err(LoadError(
                "`[admission.spiffe]` is new: to ask clients for certificates takes a restart".to_owned(),
            ));
        }
        Ok(rules)
    }

    /// Takes `rules` into force. Whoever is not among them any more may do nothing from now on, requests on their way
    /// included, once the fleet is told that something has changed.
    pub fn take(&self, rules: Rules) {
        let mut own = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        rules.apply(&own.members);
        if let (Some(ca), Some(verifier)) = (&self.client_ca, &rules.verifier) {
            ca.replace(Arc::clone(verifier));
        }
        *own = Arc::new(rules);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Asks for the keys of tokens where they are at an address, again and again, and of another one after a reload. Never ends.
    pub async fn keep_keys(&self, clock: &Clock) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let rules = self.rules();
            let keeping = async {
                match rules.issuer() {
                    Some(issuer) => issuer.keep(clock).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = keeping => {}
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    /// How the keys of tokens stand that are asked for at an address.
    pub(crate) fn keys(&self, now: &Now) -> Option<Standing> {
        self.rules().issuer().map(|issuer| issuer.standing(now))
    }

    /// Whether nobody can show a credential that counts, or the keys of tokens were never had.
    pub(crate) fn lacks_keys(&self, now: &Now) -> bool {
        let rules = self.rules();
        let Some(standing) = rules.issuer().map(|issuer| issuer.standing(now)) else { return false };
        standing.keys == 0 && (standing.age_seconds.is_none() || rules.takes_tokens_alone())
    }

    /// In whose name a connection is kept before any request of it was admitted.
    pub fn before_admission(&self) -> Tenant {
        match &self.rules().admits {
            Admits::Everybody(member) => member.tenant(),
            Admits::Tenants { .. } => Tenant::STRANGER,
        }
    }

    /// Whoever shows this in the head of a request, over a connection with this certificate.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        certificate: &Certificate,
        now: &Now,
    ) -> Result<Arc<Member>, Denied> {
        let rules = self.rules();
        let (tokens, jwt, ids) = match &rules.admits {
            Admits::Everybody(member) => return Ok(Arc::clone(member)),
            Admits::Tenants { tokens, jwt, ids } => (tokens.as_ref(), jwt.as_deref(), ids.as_ref()),
        };
        let by_token = bearer::shown(headers)?.map(|secret| by_token(&secret, tokens, jwt, now)).transpose()?;
        let by_certificate = ids.map_or(Ok(None), |ids| ids.of(certificate, now.wall))?;
        match (by_token, by_certificate) {
            (None, None) => Err(Denied::Nothing),
            (Some(one), Some(other)) if one != other => Err(Denied::TwoTenants),
            (Some(tenant), _) | (None, Some(tenant)) => {
                rules.members.get(&tenant).map(|(member, _)| Arc::clone(member)).ok_or(Denied::NoTenant)
            }
        }
    }

    /// Every tenant that there is.
    pub(crate) fn members(&self) -> Vec<Arc<Member>> {
        self.rules().members.values().map(|(member, _)| Arc::clone(member)).collect()
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A token that stands in the file is that one, whatever it looks like.
fn by_token(secret: &Secret<'_>, tokens: Option<&Tokens>, jwt: Option<&Jwt>, now: &Now) -> Result<Tenant, Denied> {
    match (tokens.and_then(|tokens| tokens.find(secret)), jwt) {
        (Some(tenant), _) => Ok(tenant),
        (None, Some(jwt)) => jwt.verify(secret, now),
        (None, None) => Err(Denied::Unknown),
    }
}

impl Rules {
    fn read<'a>(
        settings: &'a Settings,
        known: &BTreeMap<Tenant, (Arc<Member>, TenantSettings)>,
        issuer: Option<&Arc<Issuer>>,
    ) -> Result<Self, LoadError> {
        let member = |tenant: Tenant, limits: &TenantSettings| {
            let kept = known.get(&tenant).map(|(member, _)| Arc::clone(member));
            kept.unwrap_or_else(|| Arc::new(Member::new(tenant, limits)))
        };
        let (admitting, tenants) = match settings {
            Settings::Everybody => {
                let settings = TenantSettings::everything();
                let everybody = member(Tenant::DEFAULT, &settings);
                let members = BTreeMap::from([(Tenant::DEFAULT, (Arc::clone(&everybody), settings))]);
                return Ok(Self { admits: Admits::Everybody(everybody), verifier: None, members });
            }
            Settings::Tenants { admitting, tenants } => (admitting, tenants),
        };
        let members: BTreeMap<_, _> =
            tenants.iter().map(|tenant| (tenant.tenant, (member(tenant.tenant, tenant), tenant.clone()))).collect();
        let Admitting { tokens, jwt, spiffe } = admitting.as_ref();
        let known = |name: &str| members.keys().copied().find(|tenant| tenant.name() == name);
        let tokens = tokens.as_deref().map(|path| Tokens::load(path, known)).transpose().map_err(LoadError)?;
        let ids = spiffe.as_ref().map(|spiffe| {
            let of_tenant = |one: &'a TenantSettings| one.spiffe.iter().map(|ids| (ids.clone(), one.tenant));
            Ids::new(spiffe.trust_domain.clone(), tenants.iter().flat_map(of_tenant))
        });
        let values = || tenants.iter().flat_map(|tenant| tenant.jwt.iter().map(|value| (value.clone(), tenant.tenant)));
        let jwt = jwt.as_ref().map(|jwt| Jwt::load(jwt, values().collect(), issuer)).transpose().map_err(LoadError)?;
        let verifier = spiffe.as_ref().map(|spiffe| verifier(&spiffe.client_ca)).transpose().map_err(LoadError)?;
        let jwt = jwt.map(Box::new);
        Ok(Self { admits: Admits::Tenants { tokens, jwt, ids }, verifier, members })
    }

    /// Asks for the keys of tokens, where they are at an address that was not asked yet.
    ///
    /// # Errors
    /// There are none: with these rules no token would be taken.
    pub async fn ask_for_keys(&self, clock: &Clock) -> Result<(), LoadError> {
        let Some(issuer) = self.issuer().filter(|issuer| issuer.is_new()) else { return Ok(()) };
        let url = issuer.standing(&clock.now()).url;
        issuer.ask(clock).await.map_err(|why| LoadError(format!("JWKS `{url}`: {why}")))
    }

    fn issuer(&self) -> Option<&Arc<Issuer>> {
        match &self.admits {
            Admits::Tenants { jwt: Some(jwt), .. } => jwt.issuer(),
            Admits::Everybody(_) | Admits::Tenants { jwt: None, .. } => None,
        }
    }

    /// Whether a JWT is the only credential.
    fn takes_tokens_alone(&self) -> bool {
        matches!(&self.admits, Admits::Tenants { tokens: None, jwt: Some(_), ids: None })
    }

    /// What every member may do from now on, and that those of `before` who are gone may do nothing.
    fn apply(&self, before: &BTreeMap<Tenant, (Arc<Member>, TenantSettings)>) {
        for (member, settings) in self.members.values() {
            member.set(settings);
        }
        for (member, _) in before.iter().filter(|(tenant, _)| !self.members.contains_key(tenant)).map(|(_, one)| one) {
            member.permission().withdraw();
        }
    }
}

#[cfg(test)]
mod tests;
