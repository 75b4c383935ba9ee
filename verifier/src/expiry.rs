//! Which of the supplied endorsements a time lies outside of. The walk ends at the first check that fails; who replays old
//! evidence years later wants to know everything that has run out since.
//!
//! A diagnosis and no judgement: no signature is checked here, and no verdict rests on it.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::bytes::to_hex;
use crate::checks::Tee;
use crate::evidence::{Brought, Evidence};
use crate::findings::Findings;
use crate::policy::{Policy, Revocation, Trailing};
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, common_name};
use crate::x509::crl::Crl;
use crate::{sev_snp, tdx};

/// One endorsement that the evidence could use and whose window the time lies outside of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    what: String,
    from: UnixTime,
    until: Option<UnixTime>,
}

impl Expired {
    /// Which one: a certificate by name and serial, a CRL by its issuer, collateral by what it is for and its evaluation.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// When its window begins.
    pub const fn from(&self) -> UnixTime {
        self.from
    }

    /// When its window ends; `None` for a CRL without nextUpdate, which never counts as current.
    pub const fn until(&self) -> Option<UnixTime> {
        self.until
    }
}

impl Serialize for Expired {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_struct("Expired", 3)?;
        line.serialize_field("what", &self.what)?;
        line.serialize_field("from", &self.from.to_string())?;
        line.serialize_field("until", &self.until.map(|end| end.to_string()))?;
        line.end()
    }
}

/// Everything that `evidence` could use and that does not cover `now`, the earliest end first.
///
/// Endorsements of one kind stand in for each other (two CRLs of one issuer, a certificate issued again): where one of
/// them covers `now`, the others are not missed and not listed. What is for another platform is not listed either, nor
/// are CRLs that `policy` does not ask for. Malformed evidence needs nothing that could be named.
pub fn expired(evidence: &Evidence<'_>, policy: &Policy, now: UnixTime) -> Vec<Expired> {
    let mut windows = Windows { now, expired: Vec::new() };
    match *evidence {
        Evidence::SevSnp { report, endorsements } => {
            let lists = policy.sev_snp().is_none_or(|(_, profile)| profile.revocation != Revocation::Unchecked);
            if let Ok(report) = sev_snp::parse(report, &mut Findings::new(Tee::SevSnp, now)) {
                sev_snp::look_at_windows(report.hints(), endorsements, policy.anchors(), lists, &mut windows);
            }
        }
        Evidence::Tdx { quote, endorsements, .. } => {
            let trailing = policy.tdx().map_or(Trailing::Zero, |(_, profile)| profile.trailing_bytes);
            if let Ok(quote) = tdx::parse(quote, trailing, &mut Findings::new(Tee::Tdx, now)) {
                tdx::look_at_windows(quote.hints(), endorsements, policy.anchors(), &mut windows);
            }
        }
    }
    let Windows { mut expired, .. } = windows;
    expired.sort_by(|one, other| (one.until, &one.what, one.from).cmp(&(other.until, &other.what, other.from)));
    expired.dedup();
    expired
}

/// The windows that one kind of evidence depends on, collected kind by kind.
pub(crate) struct Windows {
    now: UnixTime,
    expired: Vec<Expired>,
}

impl Windows {
    /// Certificates, any of which would do.
    pub(crate) fn certificates<'c>(&mut self, group: impl IntoIterator<Item = &'c Arc<Certificate>>) {
        let now = self.now;
        self.group(group.into_iter().map(|certificate| {
            let what = format!(
                "certificate `{}`, serial {}, issued by `{}`",
                certificate.common_name().unwrap_or("?"),
                to_hex(&certificate.serial),
                certificate.issuer_name().unwrap_or("?")
            );
            let (from, until) = (certificate.not_before, Some(certificate.not_after));
            (Expired { what, from, until }, certificate.is_valid_at(now))
        }));
    }

    /// The CRLs of the issuer with this name (DER), any of which would do.
    pub(crate) fn lists(&mut self, pool: &[Brought<Crl>], issuer: &[u8]) {
        let now = self.now;
        let lists = pool.iter().filter_map(|brought| brought.item.read().ok()).filter(|list| list.issuer == issuer);
        self.group(lists.map(|list| {
            let what = format!("CRL of `{}`", common_name(issuer).unwrap_or("?"));
            (Expired { what, from: list.this_update, until: list.next_update }, list.is_current_at(now))
        }));
    }

    /// Signed collateral, any of which would do: what it is, issueDate and nextUpdate.
    pub(crate) fn collateral(&mut self, group: impl IntoIterator<Item = (String, UnixTime, UnixTime)>) {
        let now = self.now;
        self.group(
            group
                .into_iter()
                .map(|(what, from, until)| (Expired { what, from, until: Some(until) }, from <= now && now < until)),
        );
    }

    fn group(&mut self, group: impl Iterator<Item = (Expired, bool)>) {
        let (windows, cover): (Vec<Expired>, Vec<bool>) = group.unzip();
        if !cover.contains(&true) {
            self.expired.extend(windows);
        }
    }
}
