//! What endorsements say of themselves, read by the parsers that judge them and judged by nobody here.
//!
//! **Hints, and no more.** They tell which endorsements there are, and until when a document claims to hold; anybody can
//! write such bytes. Nothing that this file returns is evidence of anything, and [`crate::verify()`] reads none of it.

use crate::bytes::Fmspc;
use crate::evidence::Endorsements;
use crate::intel::collateral::{QeIdentity, TcbInfo};
use crate::sev_snp::{SnpLeaf, issued_for};
use crate::statement::Item;
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, common_name};
use crate::x509::crl::Crl;

/// One statement of a pool: what it claims to be, and from when to when it claims to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hint {
    /// Its kind.
    pub kind: HintKind,
    /// Subject of a certificate, issuer of a CRL (common names), `id` of signed JSON. Empty where there is none.
    pub name: String,
    /// notBefore, thisUpdate, issueDate.
    pub from: UnixTime,
    /// notAfter, nextUpdate; `None` in a CRL without end.
    pub until: Option<UnixTime>,
}

/// The kind of a statement, with what distinguishes it from others of its kind and name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HintKind {
    /// An X.509 certificate.
    Certificate {
        /// For whom, where it is a VCEK or VLEK that can be read.
        leaf: Option<SnpLeaf>,
    },
    /// A certificate revocation list.
    Crl,
    /// A TCB info of this FMSPC.
    TcbInfo(Fmspc),
    /// A QE identity.
    QeIdentity,
}

/// What every statement of the pool says of itself, in no order; `None` stands for one that cannot be read.
pub fn hints_of(endorsements: &Endorsements) -> Vec<Option<Hint>> {
    let certificates = endorsements.certificates.iter().map(|brought| certificate_hint(&brought.item));
    let lists = endorsements.crls.iter().map(|brought| crl_hint(&brought.item));
    let infos = endorsements.tcb_infos.iter().map(|brought| tcb_info_hint(&brought.item));
    let identities = endorsements.qe_identities.iter().map(|brought| qe_identity_hint(&brought.item));
    certificates.chain(lists).chain(infos).chain(identities).collect()
}

fn certificate_hint(item: &Item<Certificate>) -> Option<Hint> {
    let certificate = item.read().ok()?;
    Some(Hint {
        kind: HintKind::Certificate { leaf: issued_for(certificate) },
        name: certificate.common_name().unwrap_or_default().to_owned(),
        from: certificate.not_before,
        until: Some(certificate.not_after),
    })
}

fn crl_hint(item: &Item<Crl>) -> Option<Hint> {
    let list = item.read().ok()?;
    let name = common_name(&list.issuer).unwrap_or_default().to_owned();
    Some(Hint { kind: HintKind::Crl, name, from: list.this_update, until: list.next_update })
}

fn tcb_info_hint(item: &Item<TcbInfo>) -> Option<Hint> {
    let info = item.hint()?;
    let kind = HintKind::TcbInfo(Fmspc(info.fmspc.0));
    Some(Hint { kind, name: info.id.clone(), from: info.issue_date.0, until: Some(info.next_update.0) })
}

fn qe_identity_hint(item: &Item<QeIdentity>) -> Option<Hint> {
    let identity = item.hint()?;
    let (from, until) = (identity.issue_date.0, Some(identity.next_update.0));
    Some(Hint { kind: HintKind::QeIdentity, name: identity.id.clone(), from, until })
}
