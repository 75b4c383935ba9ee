//! Which of the supplied endorsements a time lies outside of. The walk ends at the first check that fails; who replays old
//! evidence years later wants to know everything that has run out since.
//!
//! A diagnosis and no judgement: no signature is checked here, and no verdict rests on it.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::bytes::to_hex;
use crate::statement::Brought;
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, common_name};
use crate::x509::crl::Crl;

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

/// The windows that one kind of evidence depends on, collected kind by kind.
pub(crate) struct Windows {
    now: UnixTime,
    expired: Vec<Expired>,
}

impl Windows {
    /// Nothing looked at yet.
    pub(crate) const fn at(now: UnixTime) -> Self {
        Self { now, expired: Vec::new() }
    }

    /// All that do not cover the time, the earliest end first, each once.
    pub(crate) fn expired(mut self) -> Vec<Expired> {
        let key = |one: &Expired| (one.until, one.what.clone(), one.from);
        self.expired.sort_by_cached_key(key);
        self.expired.dedup();
        self.expired
    }

    /// The time that is asked about.
    pub(crate) const fn now(&self) -> UnixTime {
        self.now
    }

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
