//! One envelope, everything that it is judged by, and who is told of the verdict.

use std::sync::Arc;

use teegate_intake::envelope::{Asked, BoundToClaim, Carried, Judge, Proven, Refused};
use teegate_intake::evidence;
use teegate_intake::forecast::Forecast;
use teegate_protocol::binding::{Exporter, Nonce};
use teegate_protocol::manifest::{ManifestDigest, SpkiDigest};
use teegate_verifier::{Endorsements, Source, UnixTime, Verifier};

use super::appraisal::{Appraisal, Lifetimes};
use crate::collateral::Desk;
use crate::config::Address;
use crate::forecasts::Forecasts;
use crate::refused::{Case, Refused as KeptRefused};
use crate::telemetry::Tracer;

/// What stands beside the judging of evidence, and changes no verdict.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// Where refused evidence is kept.
    pub refused: Option<Arc<KeptRefused>>,
    /// Who asks the vendors.
    pub desk: Option<Arc<Desk>>,
    /// What is to come.
    pub forecasts: Forecasts,
    /// What is traced.
    pub tracer: Tracer,
}

/// One envelope, and everything that it is judged by.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) address: &'a Address,
    pub(super) envelope: &'a [u8],
    pub(super) asked: Asked<'a>,
    pub(super) pool: &'a Pool,
    pub(super) appraisal: &'a Appraisal,
    pub(super) now: UnixTime,
}

/// What may vouch for evidence, beside what came with it.
pub(super) struct Pool {
    pub(super) endorsements: Endorsements,
    /// How much of what came with it counts.
    pub(super) carried: Carried,
}

impl Beside {
    /// The operator's endorsements, and where the vendors are asked their answers: then only certificates count of what came along.
    pub(super) async fn pool(&self, address: &Address, envelope: &[u8], appraisal: &Appraisal, now: UnixTime) -> Pool {
        let mut endorsements = appraisal.endorsements.clone();
        let Some(desk) = &self.desk else { return Pool { endorsements, carried: Carried::All } };
        endorsements.extend(&desk.endorsements(address, envelope, &appraisal.policy, now).await);
        Pool { endorsements, carried: Carried::Certificates }
    }

    /// Tells who stands beside it how it went.
    pub(super) fn judged(&self, judged: &Judged<'_>, proven: &Result<Proven, Refused>) {
        if let Some(desk) = &self.desk {
            desk.judged(judged.address, proven.is_ok());
        }
        if let Err(refused) = proven {
            self.keep(judged, refused);
        }
    }

    /// What is to come of accepted evidence, by the statements in hand.
    pub(super) fn forecast(&self, judged: &Judged<'_>, manifest: &ManifestDigest) -> Option<Arc<Forecast>> {
        let evidence = evidence::recognise(judged.envelope, None).ok()?;
        let mut pool = judged.pool.endorsements.clone();
        match judged.pool.carried {
            Carried::All => pool.extend(&evidence.endorsements),
            Carried::Certificates => pool.extend(&evidence.endorsements.without_order_in_time()),
        }
        let policy = judged.appraisal.policy.with_report_data(judged.asked.report_data(manifest));
        Some(self.forecasts.of(judged.address, &evidence, &pool, &policy, judged.now))
    }

    /// Keeps evidence that the verifier refused, with what it was judged by.
    fn keep(&self, judged: &Judged<'_>, refused: &Refused) {
        let (Some(folder), Some(manifest), Some(rejection)) = (&self.refused, &refused.manifest, &refused.rejection)
        else {
            return;
        };
        folder.keep(&Case {
            address: judged.address.as_str(),
            envelope: judged.envelope,
            only_certificates: judged.pool.carried == Carried::Certificates,
            endorsements: &judged.pool.endorsements,
            policy: &judged.appraisal.policy,
            report_data: judged.asked.report_data(manifest),
            report: rejection.report(),
        });
    }
}

/// What was asked of the peer.
pub(super) enum Question {
    Channel { nonce: Nonce, exporter: Exporter },
    Epoch,
}

impl Question {
    /// As a judge takes it, asked of the peer that holds this TLS key.
    pub(super) fn of<'a>(&'a self, spki: &'a SpkiDigest) -> Asked<'a> {
        match self {
            Self::Channel { nonce, exporter } => Asked::Channel { nonce, exporter, spki },
            Self::Epoch => Asked::EpochOver { spki },
        }
    }
}

/// The whole appraisal of one envelope. What an accepted one rests on is remembered.
pub(super) fn judge(judged: &Judged<'_>, lives: Lifetimes, verifier: &Verifier) -> Result<Proven, Refused> {
    let Judged { envelope, asked, pool, appraisal, now, .. } = judged;
    let Appraisal { policy, seen, .. } = appraisal;
    let proven = seen.with(|memory| {
        let judge = Judge {
            policy,
            // An operator may admit what is his own machine to him, and is warned when the policy is loaded. Clients, who seal,
            // ask for themselves.
            bound_to: BoundToClaim::Unchecked,
            endorsements: &pool.endorsements,
            // The instance chose them.
            carried_by: Source::Evidence,
            carried: pool.carried,
            max_manifest_life: lives.max_manifest_life,
            verifier,
            memory,
        };
        teegate_intake::envelope::judge(envelope, asked, judge, *now)
    })?;
    seen.learn(proven.attested());
    Ok(proven)
}
