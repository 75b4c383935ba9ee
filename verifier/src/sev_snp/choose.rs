//! Which of the supplied certificates vouch for a report, where several would do. Whether they do is judged afterwards.
//!
//! Certificates are picked by what they say; among several that say the same, by whose key made the signature that
//! matters, so that adding junk to the pool cannot make genuine evidence look worse.

use std::cmp::Reverse;

use super::leaf;
use super::report::{Report, SigningKey};
use super::tcb::{Product, TcbVersion};
use crate::error::{Text, Unauthentic};
use crate::evidence::Endorsements;
use crate::findings::Findings;
use crate::roots::TrustAnchors;
use crate::signature::Signatures;
use crate::stage::Signed;
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, PublicKey};

/// The certificates that vouch for one report.
pub(super) struct Chain<'c> {
    pub(super) ark: Certificate<'c>,
    pub(super) intermediate: Certificate<'c>,
    pub(super) leaf: Certificate<'c>,
}

/// A bound on the signatures tried at each step.
const MAX_CANDIDATES: usize = 16;

/// Picks leaf, intermediate and anchor.
pub(super) fn choose_chain<'c>(
    report: &Report<'_>,
    endorsements: &'c Endorsements,
    anchors: &'c TrustAnchors,
    now: UnixTime,
    findings: &mut Findings,
) -> Result<Chain<'c>, Unauthentic> {
    // Whatever in the pool is a certificate; what is not is none of this report's business, unless something is missing.
    let pool: Vec<_> =
        endorsements.certificates.iter().filter_map(|brought| Certificate::parse(&brought.statement).ok()).collect();
    let unreadable = endorsements.certificates.len() - pool.len();

    let (wanted, other) = match report.signing_key {
        SigningKey::Vcek => ("SEV-VCEK", "SEV-VLEK"),
        SigningKey::Vlek => ("SEV-VLEK", "SEV-VCEK"),
    };
    let is_named = |name: &str| pool.iter().any(|certificate| certificate.common_name() == Some(name));
    if !is_named(wanted) && is_named(other) {
        let (expected, actual) = (format!("a {wanted} certificate"), format!("only a {other} certificate"));
        findings.require(false, Unauthentic::SnpChainLeafKind { expected: expected.into(), actual: actual.into() })?;
    }
    let leaf = choose_leaf(report, wanted, &pool, now).ok_or_else(|| missing(wanted, &pool, unreadable, findings))?;
    let issuer = leaf.issuer_name().unwrap_or("an issuer without a name");
    let intermediate = choose_intermediate(leaf, &pool).ok_or_else(|| missing(issuer, &pool, unreadable, findings))?;
    let found = format!("{wanted} and {issuer}");
    findings.require(
        true,
        Unauthentic::SnpChainPresent { expected: "leaf and intermediate".into(), actual: found.into() },
    )?;
    let ark = choose_anchor(intermediate, &pool, anchors, findings)?;
    Ok(Chain { ark, intermediate: intermediate.clone(), leaf: leaf.clone() })
}

fn missing(name: &str, pool: &[Certificate<'_>], unreadable: usize, findings: &mut Findings) -> Unauthentic {
    let actual = match unreadable {
        0 => format!("none among the {} supplied", pool.len()),
        count => format!("none among the {} supplied; {count} more could not be read", pool.len()),
    };
    let missing =
        Unauthentic::SnpChainPresent { expected: format!("a certificate of {name}").into(), actual: actual.into() };
    findings.require(false, missing.clone()).err().unwrap_or(missing)
}

/// The leaf of this chip and TCB. Where the chip id is masked, several chips' leaves look alike.
fn choose_leaf<'p, 'c>(
    report: &Report<'_>,
    wanted: &str,
    pool: &'p [Certificate<'c>],
    now: UnixTime,
) -> Option<&'p Certificate<'c>> {
    let mut leaves: Vec<_> = pool.iter().filter(|certificate| certificate.common_name() == Some(wanted)).collect();
    leaves.sort_by_cached_key(|leaf| Reverse(suitability(report, leaf, now)));
    leaves.truncate(MAX_CANDIDATES);
    let signed = |leaf: &&Certificate<'_>| matches!(leaf.key, PublicKey::P384(key) if report.is_signed_by(key));
    match leaves.as_slice() {
        [only] => Some(only),
        several => several.iter().copied().find(signed).or(several.first().copied()),
    }
}

/// How well a leaf suits the report, by what it says: chip, TCB, validity, then the latest.
fn suitability(report: &Report<'_>, leaf: &Certificate<'_>, now: UnixTime) -> (bool, bool, bool, UnixTime) {
    let (hwid, _) = leaf::identity(leaf);
    let chip = hwid.is_some_and(|hwid| report.chip_id.0.starts_with(hwid));
    let product = leaf::product_name(leaf).and_then(Product::from_name);
    let tcb = product.is_some_and(|product| {
        let reported = TcbVersion::read(report.reported_tcb, product);
        reported.is_some_and(|reported| leaf::tcb(leaf, product) == Ok(reported))
    });
    (chip, tcb, leaf.is_valid_at(now), leaf.not_after)
}

/// AMD has issued an intermediate again under the same name: the one whose key signed this leaf, the newest first.
fn choose_intermediate<'p, 'c>(leaf: &Certificate<'_>, pool: &'p [Certificate<'c>]) -> Option<&'p Certificate<'c>> {
    let mut issuers: Vec<_> = pool.iter().filter(|certificate| certificate.subject == leaf.issuer).collect();
    issuers.sort_by_key(|issuer| Reverse(issuer.not_before));
    issuers.truncate(MAX_CANDIDATES);
    let mut once = Signatures::stateless(); // what strangers claim is not worth remembering
    match issuers.as_slice() {
        [only] => Some(only),
        several => several
            .iter()
            .copied()
            .find(|issuer| leaf.is_signed_by(&issuer.key, &mut once))
            .or(several.first().copied()),
    }
}

/// The pinned root that issued the intermediate. A root that was supplied is compared with it, and never used.
fn choose_anchor<'c>(
    intermediate: &Certificate<'_>,
    pool: &[Certificate<'_>],
    anchors: &'c TrustAnchors,
    findings: &mut Findings,
) -> Result<Certificate<'c>, Unauthentic> {
    let source = if anchors.amd_is_vendors { "pinned by this build" } else { "pinned by the policy, not AMD's" };
    let anchors: Vec<_> = anchors.amd.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
    let expected: Text = anchors.iter().filter_map(Certificate::common_name).collect::<Vec<_>>().join(", ").into();
    let name = intermediate.issuer_name().unwrap_or("a root without a name");
    let named: Vec<_> = anchors.iter().filter(|ark| ark.subject == intermediate.issuer).collect();
    let mut once = Signatures::stateless();
    let ark = match named.as_slice() {
        [only] => Some(*only),
        several => several
            .iter()
            .copied()
            .find(|ark| intermediate.is_signed_by(&ark.key, &mut once))
            .or(several.first().copied()),
    };
    let Some(ark) = ark else {
        let unknown = Unauthentic::SnpChainArkPinned { expected, actual: name.to_owned().into() };
        return Err(findings.require(false, unknown.clone()).err().unwrap_or(unknown));
    };
    // One that borrows the pinned name for another key is a forgery, and named as one.
    let mut namesakes = pool.iter().filter(|certificate| certificate.subject == ark.subject).peekable();
    let forged = namesakes.peek().is_some() && namesakes.all(|certificate| certificate.spki != ark.spki);
    let actual = if forged { format!("another key under the name {name}") } else { format!("{name}, {source}") };
    findings.require(!forged, Unauthentic::SnpChainArkPinned { expected, actual: actual.into() })?;
    Ok(ark.clone())
}
