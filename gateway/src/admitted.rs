//! A request that was let in: for whom, and what its tenant still has of its limits.

use std::sync::Arc;

use http::HeaderMap;

use crate::admission::{Member, Running};
use crate::caller::Tenant;
use crate::gateway::Gateway;
use crate::peer::Peer;
use crate::problem::RouteError;
use crate::telemetry::{Attribute, Span};

/// A request that was let in.
pub(crate) struct Admitted {
    pub(crate) member: Arc<Member>,
    /// The client's end of the connection, asking in its tenant's name.
    pub(crate) peer: Peer,
}

impl Gateway {
    /// Lets a request in by what its head and its connection show, or not. Its span has its tenant from here on.
    pub(crate) fn let_in(&self, headers: &HeaderMap, peer: &Peer, span: &mut Span) -> Result<Admitted, RouteError> {
        let now = self.fleet.clock().now();
        match self.gatekeeper.admit(headers, peer.certificate(), &now) {
            Ok(member) => {
                span.note(|| Attribute::Tenant(member.tenant()));
                let peer = peer.in_the_name_of(member.tenant(), Arc::clone(member.purse()));
                Ok(Admitted { member, peer })
            }
            Err(denied) => {
                self.metrics.denied(denied.name());
                span.note(|| Attribute::Tenant(Tenant::STRANGER));
                tracing::debug!(source = %peer.caller().source, "not let in: {denied}");
                Err(RouteError::Denied(denied))
            }
        }
    }
}

impl Admitted {
    /// Counts a question against the rate of the tenant.
    pub(crate) fn ask(&self) -> Result<(), RouteError> {
        self.member.ask().map_err(RouteError::Limited)
    }

    /// Counts a request that is relayed against the rate of the tenant, and as one of those that run.
    pub(crate) fn run(&self) -> Result<Running, RouteError> {
        self.ask()?;
        self.member.run().map_err(RouteError::Limited)
    }

    /// Who it is for.
    pub(crate) fn tenant(&self) -> Tenant {
        self.member.tenant()
    }
}
