//! Which of the supplied collateral a platform is judged by, where several would do.
//!
//! Intel serves several evaluations of the same platform at once. As a rule the newest supplied one decides, so that adding an
//! older one to the pool cannot make a platform look better; a policy may say that the oldest does that is not below its
//! minimum. The others are kept, to show what they say. What is not signed is passed over while something signed
//! is there, so that adding junk cannot make it look worse.

use std::cmp::Reverse;

use super::collateral::{QeIdentityHint, TcbInfoHint};
use crate::bytes::Fmspc;
use crate::error::Unauthentic;
use crate::evidence::{Brought, Endorsements, SignedJson};
use crate::findings::Findings;
use crate::policy::DecidingEvaluation;
use crate::signature::{Scheme, Signatures, holds};
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, PublicKey};
use crate::x509::revocation::{Lists, NoLists};

/// Subject of the certificates under which Intel signs TCB info and QE identity.
pub(super) const TCB_SIGNING_NAME: &str = "Intel SGX TCB Signing";

/// What of the pool one quote needs.
pub(super) struct Collateral<'g> {
    pub(super) tcb_info: &'g SignedJson,
    pub(super) qe_identity: &'g SignedJson,
    pub(super) tcb_signing: Certificate<'g>,
    pub(super) root_lists: Result<Lists<'g>, String>,
    pub(super) pck_lists: Result<Lists<'g>, String>,
    pub(super) others: Vec<Other<'g>>,
}

/// A TCB info of another evaluation that holds now or later, and the QE identities of the same one. Unsigned, so far.
pub(super) struct Other<'g> {
    pub(super) evaluation: u32,
    pub(super) tcb_info: &'g SignedJson,
    pub(super) qe_identities: Vec<&'g SignedJson>,
}

/// The chain that the quote's own part of the argument has established.
pub(super) struct Issuers<'c> {
    pub(super) root: &'c Certificate<'c>,
    pub(super) ca: &'c Certificate<'c>,
    pub(super) fmspc: Option<Fmspc>,
}

/// Picks what this platform needs; what of it is missing is named, all at once.
pub(super) fn choose_collateral<'g>(
    pool: &[Certificate<'g>],
    endorsements: &'g Endorsements,
    issuers: &Issuers<'_>,
    deciding: Deciding,
    now: UnixTime,
    signatures: &mut Signatures<'_>,
    findings: &mut Findings,
) -> Result<Collateral<'g>, Unauthentic> {
    let tcb_signing = choose_signer(pool, issuers.root, now);
    let signer = tcb_signing.map(|certificate| certificate.key);
    let current = |issue: UnixTime, next: UnixTime| issue <= now && now < next;
    let tcb_info = choose(&endorsements.tcb_infos, signer, |body| {
        let hint: TcbInfoHint<'_> = serde_json::from_str(body).ok()?;
        let is_for = issuers.fmspc.is_some_and(|fmspc| hint.is_for(&fmspc));
        let is_current = current(hint.issue_date.0, hint.next_update.0);
        Some((
            hint.id == "TDX",
            is_for,
            is_current,
            deciding.rank(hint.evaluation_number, deciding.tcb_info),
            hint.issue_date,
        ))
    });
    let qe_identity = choose(&endorsements.qe_identities, signer, |body| {
        let hint: QeIdentityHint<'_> = serde_json::from_str(body).ok()?;
        let is_current = current(hint.issue_date.0, hint.next_update.0);
        Some((
            hint.id == "TD_QE",
            is_current,
            deciding.rank(hint.evaluation_number, deciding.qe_identity),
            hint.issue_date,
        ))
    });
    let mut consult = |issuer: &Certificate<'_>| match Lists::consult(&endorsements.crls, issuer, now, signatures) {
        Ok(lists) => Some(Ok(lists)),
        Err(NoLists::Unusable(why)) => Some(Err(why)),
        Err(NoLists::Absent) => None,
    };
    let (root_lists, pck_lists) = (consult(issuers.root), consult(issuers.ca));

    let fmspc = issuers.fmspc.map_or_else(|| "unknown".to_owned(), |fmspc| fmspc.to_string());
    let names = [
        (tcb_info.is_none(), format!("TCB info (TDX, FMSPC {fmspc})")),
        (qe_identity.is_none(), "QE identity (TD_QE)".to_owned()),
        (root_lists.is_none(), "CRL of Intel SGX Root CA".to_owned()),
        (pck_lists.is_none(), format!("CRL of {}", issuers.ca.common_name().unwrap_or("the PCK CA"))),
        (tcb_signing.is_none(), format!("certificate `{TCB_SIGNING_NAME}`")),
    ];
    match (tcb_info, qe_identity, root_lists, pck_lists, tcb_signing) {
        (Some(tcb_info), Some(qe_identity), Some(root_lists), Some(pck_lists), Some(tcb_signing)) => {
            let all = Unauthentic::TdxCollateralPresent {
                expected: "a TCB info, a QE identity, CRLs of root and PCK CA, the TCB signing certificate".into(),
                actual: "all supplied; whether they are this platform's is judged below".into(),
            };
            findings.require(true, all)?;
            let others = other_evaluations(endorsements, tcb_info, issuers.fmspc.as_ref(), now);
            Ok(Collateral { tcb_info, qe_identity, tcb_signing: tcb_signing.clone(), root_lists, pck_lists, others })
        }
        _ => {
            let names: Vec<_> = names.iter().filter(|(absent, _)| *absent).map(|(_, name)| name.as_str()).collect();
            Err(missing(&names, findings))
        }
    }
}

/// Which of several evaluations decides.
#[derive(Clone, Copy)]
pub(super) struct Deciding {
    pub(super) which: DecidingEvaluation,
    /// The lowest number of a TCB info that may.
    pub(super) tcb_info: u32,
    /// The lowest number of a QE identity that may.
    pub(super) qe_identity: u32,
}

impl Deciding {
    /// Where an evaluation stands among several: the greatest decides.
    fn rank(self, evaluation: u32, floor: u32) -> (bool, Reverse<u32>, u32) {
        match self.which {
            DecidingEvaluation::Highest => (true, Reverse(0), evaluation),
            DecidingEvaluation::Lowest => (evaluation >= floor, Reverse(evaluation), 0),
        }
    }
}

/// The TCB infos of this platform that hold now or later and are of another evaluation than `decides`, each with the QE
/// identities of its evaluation, highest evaluation first and the latest of each first. Nothing here is signed yet: whoever
/// uses them takes the first of an evaluation that is, so that junk of the same number hides nothing.
fn other_evaluations<'g>(
    endorsements: &'g Endorsements,
    decides: &SignedJson,
    fmspc: Option<&Fmspc>,
    now: UnixTime,
) -> Vec<Other<'g>> {
    if endorsements.tcb_infos.len() < 2 {
        return Vec::new();
    }
    let read = |json: &'g SignedJson| serde_json::from_str::<TcbInfoHint<'_>>(&json.body).ok().map(|hint| (hint, json));
    let decided = serde_json::from_str::<TcbInfoHint<'_>>(&decides.body).map(|hint| hint.evaluation_number).ok();
    let mut others: Vec<_> = endorsements
        .tcb_infos
        .iter()
        .map(|brought| &brought.statement)
        .filter_map(read)
        .filter(|(hint, _)| hint.id == "TDX" && fmspc.is_some_and(|fmspc| hint.is_for(fmspc)))
        .filter(|(hint, _)| now < hint.next_update.0 && Some(hint.evaluation_number) != decided)
        .collect();
    others.sort_by_key(|(hint, _)| Reverse((hint.evaluation_number, hint.issue_date)));
    others.truncate(MAX_CANDIDATES);
    let qe_identities = |evaluation: u32| {
        let is_of = |json: &&SignedJson| {
            serde_json::from_str::<QeIdentityHint<'_>>(&json.body).is_ok_and(|hint| {
                hint.id == "TD_QE" && now < hint.next_update.0 && hint.evaluation_number == evaluation
            })
        };
        endorsements.qe_identities.iter().map(|brought| &brought.statement).filter(is_of).take(MAX_CANDIDATES).collect()
    };
    let other = |(hint, tcb_info): (TcbInfoHint<'_>, &'g SignedJson)| Other {
        evaluation: hint.evaluation_number,
        tcb_info,
        qe_identities: qe_identities(hint.evaluation_number),
    };
    others.into_iter().map(other).collect()
}

/// What the quote needs and the pool does not hold.
pub(super) fn missing(names: &[&str], findings: &mut Findings) -> Unauthentic {
    let missing =
        Unauthentic::TdxCollateralPresent { expected: names.join(", ").into(), actual: "not supplied".into() };
    findings.require(false, missing.clone()).err().unwrap_or(missing)
}

/// A bound on the signatures tried.
const MAX_CANDIDATES: usize = 16;

/// The signer that the root issued, currently valid, and the latest. Both of Intel's have one key and one serial.
fn choose_signer<'p, 'g>(
    pool: &'p [Certificate<'g>],
    root: &Certificate<'_>,
    now: UnixTime,
) -> Option<&'p Certificate<'g>> {
    let mut signers: Vec<_> =
        pool.iter().filter(|certificate| certificate.common_name() == Some(TCB_SIGNING_NAME)).collect();
    signers.sort_by_key(|signer| Reverse((signer.issuer == root.subject, signer.is_valid_at(now), signer.not_after)));
    let mut once = Signatures::stateless(); // what strangers claim is not worth remembering
    match signers.as_slice() {
        [only] => Some(*only),
        several => several
            .iter()
            .take(MAX_CANDIDATES)
            .find(|signer| signer.is_signed_by(&root.key, &mut once))
            .or(several.first())
            .copied(),
    }
}

/// The signed text whose hint is greatest; an unsigned one only where nothing is signed, to be refused by name.
fn choose<'g, H: Ord>(
    texts: &'g [Brought<SignedJson>],
    signer: Option<PublicKey<'_>>,
    hint: impl Fn(&str) -> Option<H>,
) -> Option<&'g SignedJson> {
    if let [only] = texts {
        return Some(&only.statement);
    }
    let mut ranked: Vec<_> = texts.iter().map(|brought| (hint(&brought.statement.body), &brought.statement)).collect();
    ranked.sort_by(|(one, _), (other, _)| other.cmp(one));
    let signed = |json: &SignedJson| matches!(signer, Some(PublicKey::P256(key)) if holds(Scheme::EcdsaP256Fixed, key, json.body.as_bytes(), &json.signature));
    let first = ranked.first().map(|(_, json)| *json);
    ranked.iter().take(MAX_CANDIDATES).map(|(_, json)| *json).find(|json| signed(json)).or(first)
}
