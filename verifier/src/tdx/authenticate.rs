//! Who vouches for a quote: Intel's root -> PCK CA -> PCK -> quoting enclave -> attestation key -> header and body; and
//! root -> TCB signing -> TCB info and QE identity. In that order, ending at the first check that fails.

use super::choose::{Collateral, Deciding, Issuers, choose_collateral, missing};
use super::collateral::{QeIdentity, TcbInfo};
use super::pck::{self, Pck};
use super::quote::{Certification, Quote};
use crate::bytes::{Fmspc, to_hex};
use crate::checks::Check;
use crate::error::{Text, Unauthentic};
use crate::evidence::{Endorsements, SignedJson};
use crate::findings::Findings;
use crate::memory::{Memory, NO_MEMORY, Order, Statement};
use crate::policy::TdxProfile;
use crate::roots::TrustAnchors;
use crate::signature::{Scheme, Signatures, holds, sha256};
use crate::stage::{Authentic, Unverified};
use crate::time::UnixTime;
use crate::x509::certificate::{Certificate, PublicKey};
use crate::x509::pem;
use crate::x509::revocation::Lists;

/// A quote that Intel's hierarchy vouches for, with the collateral to judge it by.
pub(crate) struct Vouched<'a, 'g> {
    pub(crate) quote: Authentic<Quote<'a>>,
    pub(crate) pck: Pck,
    /// Whose root it leads to, by name and key.
    pub(crate) root: String,
    pub(crate) tcb_info: TcbInfo<'g>,
    pub(crate) qe_identity: QeIdentity<'g>,
    /// What else Intel signed about this platform, to show what it says.
    pub(crate) alternatives: Vec<Alternative<'g>>,
}

/// Signed collateral of the same platform that the verdict does not rest on.
pub(crate) struct Alternative<'g> {
    pub(crate) tcb_info: TcbInfo<'g>,
    /// The QE identity of the same evaluation, where it was supplied; else the deciding one serves.
    pub(crate) qe_identity: Option<QeIdentity<'g>>,
}

/// What authentication is given, beside the quote.
pub(crate) struct Given<'g, 'm> {
    pub(crate) endorsements: &'g Endorsements,
    pub(crate) anchors: &'g TrustAnchors,
    pub(crate) profile: &'g TdxProfile,
    pub(crate) now: UnixTime,
    pub(crate) signatures: Signatures<'m>,
    pub(crate) memory: Option<&'g Memory>,
}

const PCK_NAME: &str = "Intel SGX PCK Certificate";
const PCK_CA_NAMES: [&str; 2] = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"];

/// Unverified -> vouched for.
pub(crate) fn authenticate<'a, 'g>(
    quote: Unverified<Quote<'a>>,
    mut given: Given<'g, '_>,
    findings: &mut Findings,
) -> Result<Vouched<'a, 'g>, Unauthentic> {
    let hints = quote.hints();
    let pool: Vec<Certificate<'g>> = given
        .endorsements
        .certificates
        .iter()
        .filter_map(|brought| Certificate::parse(&brought.statement).ok())
        .collect();
    let carried = match hints.certification {
        Certification::Chain(text) => pem::certificates(text),
        Certification::Platform { .. } => Some(Vec::new()),
    };
    let carried: Option<Vec<Certificate<'_>>> =
        carried.as_ref().and_then(|ders| ders.iter().map(|der| Certificate::parse(der).ok()).collect());
    let Some(carried) = carried else {
        return Err(not_a_chain("a PCK chain of certificates that can be read", findings));
    };

    let (leaf, ca) = choose_pck(hints, &carried, &pool, findings)?;
    let anchors: Vec<Certificate<'_>> =
        given.anchors.intel.iter().filter_map(|der| Certificate::parse(der).ok()).collect();
    let root = check_root(&ca, &carried, &anchors, given.anchors.intel_is_vendors, findings)?;
    check_pck_chain(&leaf, &ca, root, given.now, &mut given.signatures, findings)?;
    let pck = pck::parse(&leaf);
    let fmspc = pck.as_ref().map(|pck| pck.fmspc).ok();
    let issuers = Issuers { root, ca: &ca, fmspc };
    let root_name = root.name_and_key();
    let floors = evaluation_floors(&given, fmspc.as_ref(), &root_name);
    let Given { endorsements, now, ref mut signatures, .. } = given;
    let collateral = choose_collateral(&pool, endorsements, &issuers, floors, now, signatures, findings)?;
    check_revocation(&leaf, &ca, root, &collateral, now, findings)?;

    let actual = match &pck {
        Ok(pck) => format!("FMSPC {}, PCESVN {}, CPUSVN {}", pck.fmspc, pck.pce_svn, to_hex(&pck.cpu_svn)),
        Err(error) => error.0.to_owned(),
    };
    let extension = Unauthentic::TdxPckExtension {
        expected: "a complete SGX extension without contradiction".into(),
        actual: actual.into(),
    };
    findings.require(pck.is_ok(), extension.clone())?;
    let pck = pck.map_err(|_| extension)?;
    state(&pck, &ca, findings);

    let (tcb_info, qe_identity) = check_collateral(&collateral, root, &mut given, findings)?;
    let alternatives = read_alternatives(&collateral, &pck, &mut given);
    check_fresh(&tcb_info, &qe_identity, &given, findings)?;
    check_rollback(&tcb_info, &qe_identity, &root_name, given.memory, findings)?;
    check_tcb_identity(&tcb_info, &pck, findings)?;
    check_qe(hints, &leaf, &qe_identity, findings)?;

    let signed = quote.authenticated_by(());
    findings.require(signed.is_some(), Unauthentic::TdxSignature { valid: signed.is_some() })?;
    signed
        .map(|quote| Vouched { quote, pck, root: root_name, tcb_info, qe_identity, alternatives })
        .ok_or(Unauthentic::TdxSignature { valid: false })
}

fn fail(failure: Unauthentic, findings: &mut Findings) -> Unauthentic {
    findings.require(false, failure.clone()).err().unwrap_or(failure)
}

fn not_a_chain(expected: &'static str, findings: &mut Findings) -> Unauthentic {
    fail(Unauthentic::TdxChainPck { expected: expected.into(), actual: "none".into() }, findings)
}

/// Leaf and CA, by name, from the quote's own chain in whatever order, or from the pool for certification data of type 3.
fn choose_pck<'c>(
    quote: &Quote<'_>,
    carried: &[Certificate<'c>],
    pool: &[Certificate<'c>],
    findings: &mut Findings,
) -> Result<(Certificate<'c>, Certificate<'c>), Unauthentic> {
    let leaf = match &quote.certification {
        Certification::Chain(_) => match carried.iter().find(|certificate| certificate.common_name() == Some(PCK_NAME))
        {
            Some(leaf) => leaf,
            None => {
                return Err(not_a_chain(
                    "a certificate named `Intel SGX PCK Certificate` in the quote's chain",
                    findings,
                ));
            }
        },
        Certification::Platform { cpu_svn, pce_svn, pce_id } => {
            let is_platforms = |certificate: &&Certificate<'_>| {
                certificate.common_name() == Some(PCK_NAME)
                    && pck::parse(certificate)
                        .is_ok_and(|pck| pck.cpu_svn == **cpu_svn && pck.pce_svn == *pce_svn && pck.pce_id == **pce_id)
            };
            // Several platforms share a TCB: the one whose key signed the QE report is meant.
            let mut candidates = pool.iter().filter(is_platforms);
            let signed = |leaf: &&Certificate<'_>| matches!(leaf.key, PublicKey::P256(key) if holds(Scheme::EcdsaP256Fixed, key, quote.qe.bytes, quote.qe_signature));
            match candidates.clone().take(MAX_CANDIDATES).find(signed).or_else(|| candidates.next()) {
                Some(leaf) => leaf,
                None => {
                    return Err(missing(
                        &["the PCK certificate of this platform and TCB (the quote carries none)"],
                        findings,
                    ));
                }
            }
        }
    };
    let ca = carried.iter().chain(pool).find(|certificate| certificate.subject == leaf.issuer);
    match ca {
        Some(ca) => Ok((leaf.clone(), ca.clone())),
        None => Err(not_a_chain("the CA that issued the PCK certificate, in the quote's chain or supplied", findings)),
    }
}

/// A bound on the signatures tried: platforms of a fleet that share a TCB.
const MAX_CANDIDATES: usize = 64;

/// The anchor that issued the CA. A root that comes with the quote is compared with it, and never used.
fn check_root<'c, 'r>(
    ca: &Certificate<'_>,
    carried: &[Certificate<'_>],
    anchors: &'r [Certificate<'c>],
    vendors: bool,
    findings: &mut Findings,
) -> Result<&'r Certificate<'c>, Unauthentic> {
    let expected: Text = anchors.iter().map(Certificate::name_and_key).collect::<Vec<_>>().join(", ").into();
    let namesakes: Vec<_> = anchors.iter().filter(|root| root.subject == ca.issuer).collect();
    let root = match namesakes.as_slice() {
        [only] => Some(*only),
        several => several.iter().copied().find(|root| ca.is_signed_by(&root.key, &mut Signatures::stateless())),
    };
    let forged = carried
        .iter()
        .find(|certificate| certificate.subject == ca.issuer && root.is_some_and(|root| root.spki != certificate.spki));
    let actual = match (root, forged) {
        (None, _) => ca.issuer_name().unwrap_or("a root without a name").to_owned(),
        (Some(_), Some(other)) => format!("{}: another key under that name", other.name_and_key()),
        (Some(root), None) => format!(
            "{}, pinned by {}",
            root.common_name().unwrap_or("?"),
            if vendors { "this build" } else { "the policy" }
        ),
    };
    let pinned = Unauthentic::TdxChainRootPinned { expected, actual: actual.into() };
    findings.require(root.is_some() && forged.is_none(), pinned.clone())?;
    root.ok_or(pinned)
}

fn check_pck_chain(
    leaf: &Certificate<'_>,
    ca: &Certificate<'_>,
    root: &Certificate<'_>,
    now: UnixTime,
    signatures: &mut Signatures<'_>,
    findings: &mut Findings,
) -> Result<(), Unauthentic> {
    let ca_name = ca.common_name().unwrap_or("a CA without a name");
    let complaint = if !PCK_CA_NAMES.contains(&ca_name) {
        Some(format!("the CA is `{ca_name}`"))
    } else if let Some(complaint) =
        authority_complaint(root, "the root", 1).or_else(|| authority_complaint(ca, ca_name, 0))
    {
        Some(complaint)
    } else if !leaf.powers().is_ok_and(|powers| !powers.ca) {
        Some("the PCK certificate claims the powers of an authority".to_owned())
    } else if let Some(complaint) = [leaf, ca, root].iter().find_map(|certificate| certificate.extension_complaint()) {
        Some(complaint.to_owned())
    } else if let Some(certificate) = [leaf, ca, root].iter().find(|certificate| !certificate.is_valid_at(now)) {
        Some(format!(
            "{} is valid from {} to {}, not at {now}",
            certificate.common_name().unwrap_or("?"),
            certificate.not_before,
            certificate.not_after
        ))
    } else if !ca.is_signed_by(&root.key, signatures) {
        Some(format!("{ca_name} is not signed by the pinned root"))
    } else if !leaf.is_signed_by(&ca.key, signatures) {
        Some(format!("the PCK certificate is not signed by {ca_name}"))
    } else {
        None
    };
    let actual = complaint.clone().unwrap_or_else(|| format!("{PCK_NAME} under {ca_name}"));
    let expected = format!("{PCK_NAME} under Platform or Processor CA under the pinned root, valid at {now}");
    findings
        .require(complaint.is_none(), Unauthentic::TdxChainPck { expected: expected.into(), actual: actual.into() })?;
    for (certificate, name) in [(leaf, "the PCK certificate"), (ca, ca_name), (root, "the root")] {
        findings.ends(certificate.not_after, format!("{name} (notAfter)"));
    }
    Ok(())
}

fn authority_complaint(authority: &Certificate<'_>, name: &str, below: u32) -> Option<String> {
    match authority.powers() {
        Ok(powers) if powers.may_issue(below) && powers.may_revoke() => None,
        Ok(_) => Some(format!("{name} may not issue or revoke")),
        Err(error) => Some(format!("{name}: {}", error.0)),
    }
}

/// Current lists of root and PCK CA name nothing of this chain.
fn check_revocation(
    leaf: &Certificate<'_>,
    ca: &Certificate<'_>,
    root: &Certificate<'_>,
    collateral: &Collateral<'_>,
    now: UnixTime,
    findings: &mut Findings,
) -> Result<(), Unauthentic> {
    let subjects = [
        (&collateral.root_lists, ca, "the PCK CA"),
        (&collateral.root_lists, &collateral.tcb_signing, "the TCB signing certificate"),
        (&collateral.pck_lists, leaf, "the PCK certificate"),
    ];
    let complaint = subjects.iter().find_map(|(lists, subject, name)| match lists {
        Err(why) => Some(why.clone()),
        Ok(lists) => match lists.revoke(subject) {
            Ok(false) => None,
            Ok(true) => Some(format!("{name} is revoked")),
            Err(error) => Some(format!("a CRL that cannot be read: {}", error.0)),
        },
    });
    let actual = complaint.clone().unwrap_or_else(|| "nothing of this chain is listed".to_owned());
    let expected = format!("CRLs of the root and of the PCK CA, current at {now}, that list nothing of this chain");
    findings.require(
        complaint.is_none(),
        Unauthentic::TdxChainRevocation { expected: expected.into(), actual: actual.into() },
    )?;
    let lists =
        [("root_crl_this_update", &collateral.root_lists, root), ("pck_crl_this_update", &collateral.pck_lists, ca)];
    for (fact, lists, issuer) in lists {
        let lists = lists.as_ref().ok();
        let name = issuer.name_and_key();
        if let Some(issued) = lists.and_then(Lists::this_update) {
            findings.facts.text(fact, issued.to_string());
            let order = Order::Issued(issued);
            findings.seen.statements.push(Statement { name: format!("CRL of {name}"), order });
        }
        if let Some(next) = lists.and_then(Lists::next_update) {
            findings.ends(next, format!("the CRL of {} (nextUpdate)", issuer.common_name().unwrap_or("?")));
        }
    }
    Ok(())
}

/// TCB info and QE identity are signed, as served, by a TCB signing certificate under the same root.
fn check_collateral<'g>(
    collateral: &Collateral<'g>,
    root: &Certificate<'_>,
    given: &mut Given<'g, '_>,
    findings: &mut Findings,
) -> Result<(TcbInfo<'g>, QeIdentity<'g>), Unauthentic> {
    let signer = &collateral.tcb_signing;
    let now = given.now;
    let issued = signer.issuer == root.subject && signer.is_signed_by(&root.key, &mut given.signatures);
    let expected = Text::Borrowed(
        "TCB info and QE identity signed by `Intel SGX TCB Signing` under the pinned root, valid at the stated time",
    );
    let mut signed = |json: &SignedJson| matches!(signer.key, PublicKey::P256(key) if given.signatures.endorsement_holds(Scheme::EcdsaP256Fixed, key, json.body.as_bytes(), &json.signature));
    let powers = signer.powers().ok();
    let complaint = if !issued {
        Some("the TCB signing certificate is not signed by the pinned root".to_owned())
    } else if !signer.is_valid_at(now) {
        Some(format!("the TCB signing certificate is valid from {} to {}", signer.not_before, signer.not_after))
    } else if powers.is_none_or(|powers| powers.ca) || signer.extension_complaint().is_some() {
        Some("the TCB signing certificate claims other powers".to_owned())
    } else if !signed(collateral.tcb_info) {
        Some("TCB info without its signature".to_owned())
    } else if !signed(collateral.qe_identity) {
        Some("QE identity without its signature".to_owned())
    } else {
        None
    };
    let actual = complaint.clone().unwrap_or_else(|| "both signed".to_owned());
    findings.require(
        complaint.is_none(),
        Unauthentic::TdxCollateralSigner { expected: expected.clone(), actual: actual.into() },
    )?;
    findings.ends(signer.not_after, "the TCB signing certificate (notAfter)");
    // Only now is the text read: its signature holds over these exact bytes.
    let read = TcbInfo::parse(&collateral.tcb_info.body)
        .and_then(|info| Ok((info, QeIdentity::parse(&collateral.qe_identity.body)?)));
    read.map_err(|error| fail(Unauthentic::TdxCollateralSigner { expected, actual: error.into() }, findings))
}

/// The other evaluations that the same signer signed; what it did not sign says nothing.
fn read_alternatives<'g>(collateral: &Collateral<'g>, pck: &Pck, given: &mut Given<'g, '_>) -> Vec<Alternative<'g>> {
    let PublicKey::P256(key) = collateral.tcb_signing.key else { return Vec::new() };
    let signatures = &mut given.signatures;
    let mut signed = |json: &SignedJson| {
        signatures.endorsement_holds(Scheme::EcdsaP256Fixed, key, json.body.as_bytes(), &json.signature)
    };
    let mut alternatives: Vec<Alternative<'g>> = Vec::new();
    for other in &collateral.others {
        let is_known = alternatives.iter().any(|one| one.tcb_info.evaluation_number == other.evaluation);
        if is_known || !signed(other.tcb_info) {
            continue;
        }
        let qe_identity = other.qe_identities.iter().find(|json| signed(json));
        let qe_identity = qe_identity.and_then(|json| QeIdentity::parse(&json.body).ok());
        match TcbInfo::parse(&other.tcb_info.body) {
            Ok(info) if is_platforms(&info, pck) => alternatives.push(Alternative { tcb_info: info, qe_identity }),
            _ => {}
        }
    }
    alternatives
}

/// Stricter than Intel's library, which accepts now == nextUpdate and does not look at issueDate.
fn check_fresh(
    info: &TcbInfo<'_>,
    qe: &QeIdentity<'_>,
    given: &Given<'_, '_>,
    findings: &mut Findings,
) -> Result<(), Unauthentic> {
    let now = given.now;
    let window = |what: &str, issue: UnixTime, next: UnixTime| {
        (now < issue || now >= next).then(|| format!("{what} is for {issue} to {next}, not for {now}"))
    };
    let floor = given.profile.minimum_evaluation_number.required();
    let one = given.profile.one_evaluation.required().is_some();
    let complaint = window("TCB info", info.issue_date.0, info.next_update.0)
        .or_else(|| window("QE identity", qe.issue_date.0, qe.next_update.0))
        .or_else(|| {
            let (tcb, enclave) = (info.evaluation_number, qe.evaluation_number);
            let below = floor.is_some_and(|floor| tcb < *floor || enclave < *floor);
            (below || (one && tcb != enclave))
                .then(|| format!("evaluation {tcb} of TCB info, {enclave} of QE identity"))
        });
    let numbers = format!(
        "evaluation {} and {}, until {} and {}",
        info.evaluation_number, qe.evaluation_number, info.next_update, qe.next_update
    );
    let floor =
        floor.map_or_else(|| "no minimum evaluation".to_owned(), |floor| format!("evaluation {floor} or later"));
    let same = if one { "the same for both" } else { "not necessarily the same for both" };
    let expected = format!("issueDate <= {now} < nextUpdate; by the policy {floor}, {same}");
    findings.require(
        complaint.is_none(),
        Unauthentic::TdxCollateralFresh {
            expected: expected.into(),
            actual: complaint.clone().unwrap_or(numbers).into(),
        },
    )?;
    findings.facts.number("tcb_evaluation_number", info.evaluation_number);
    findings.facts.number("qe_evaluation_number", qe.evaluation_number);
    findings.ends(info.next_update.0, "the TCB info (nextUpdate)");
    findings.ends(qe.next_update.0, "the QE identity (nextUpdate)");
    Ok(())
}

fn tcb_info_statement(fmspc: &[u8; 6], root: &str) -> String {
    format!("TCB info of FMSPC {} under {root}", to_hex(fmspc))
}

fn qe_identity_statement(root: &str) -> String {
    format!("QE identity TD_QE under {root}")
}

/// Which evaluation decides, where several are supplied: none below the policy's minimum, nor below one that was seen.
fn evaluation_floors(given: &Given<'_, '_>, fmspc: Option<&Fmspc>, root: &str) -> Deciding {
    let minimum = given.profile.minimum_evaluation_number.required().copied().unwrap_or_default();
    let seen = |statement: &str| given.memory.and_then(|memory| memory.evaluation(statement)).unwrap_or_default();
    Deciding {
        which: given.profile.deciding_evaluation,
        tcb_info: minimum.max(fmspc.map_or(0, |fmspc| seen(&tcb_info_statement(&fmspc.0, root)))),
        qe_identity: minimum.max(seen(&qe_identity_statement(root))),
    }
}

/// A list or an evaluation that is older than one that was seen before is refused.
fn check_rollback(
    info: &TcbInfo<'_>,
    qe: &QeIdentity<'_>,
    root: &str,
    memory: Option<&Memory>,
    findings: &mut Findings,
) -> Result<(), Unauthentic> {
    let evaluations = [
        (tcb_info_statement(&info.fmspc.0, root), info.evaluation_number),
        (qe_identity_statement(root), qe.evaluation_number),
    ];
    let statements = evaluations.map(|(name, number)| Statement { name, order: Order::Evaluation(number) });
    findings.seen.statements.extend(statements);
    let Some(memory) = memory else {
        findings.not_applicable(Check::TdxCollateralRollback, NO_MEMORY);
        return Ok(());
    };
    let complaint = memory.older_statement(&findings.seen.statements);
    let actual = complaint.clone().unwrap_or_else(|| "nothing older".to_owned());
    let expected = "no CRL older, and no evaluation lower, than one seen before".into();
    findings.require(complaint.is_none(), Unauthentic::TdxCollateralRollback { expected, actual: actual.into() })
}

fn check_tcb_identity(info: &TcbInfo<'_>, pck: &Pck, findings: &mut Findings) -> Result<(), Unauthentic> {
    let expected = format!("TDX, version 3, type 0, FMSPC {}, PCEID {}", pck.fmspc, to_hex(&pck.pce_id));
    let actual = format!(
        "{}, version {}, type {}, FMSPC {}, PCEID {}",
        info.id,
        info.version,
        info.tcb_type,
        to_hex(&info.fmspc.0),
        to_hex(&info.pce_id.0)
    );
    findings.require(
        is_platforms(info, pck),
        Unauthentic::TdxTcbIdentity { expected: expected.into(), actual: actual.into() },
    )
}

/// Whether a TCB info is of TDX, in the one form that is known, and of this platform.
fn is_platforms(info: &TcbInfo<'_>, pck: &Pck) -> bool {
    info.id == "TDX"
        && info.version == 3
        && info.tcb_type == 0
        && info.fmspc.0 == pck.fmspc.0
        && info.pce_id.0 == pck.pce_id
}

/// The PCK signed the QE report, which binds the attestation key and is Intel's TD quoting enclave.
fn check_qe(
    quote: &Quote<'_>,
    leaf: &Certificate<'_>,
    identity: &QeIdentity<'_>,
    findings: &mut Findings,
) -> Result<(), Unauthentic> {
    let valid = matches!(leaf.key, PublicKey::P256(key) if holds(Scheme::EcdsaP256Fixed, key, quote.qe.bytes, quote.qe_signature));
    findings.require(valid, Unauthentic::TdxQeSignature { valid })?;

    let digest = sha256(&[quote.attestation_key, quote.qe_auth_data]);
    let bound = quote.qe.report_data.strip_prefix(&digest).is_some_and(|upper| upper.iter().all(|byte| *byte == 0));
    let expected = format!("{} and 32 zero bytes", to_hex(&digest));
    findings.require(
        bound,
        Unauthentic::TdxQeBinding { expected: expected.into(), actual: to_hex(quote.qe.report_data).into() },
    )?;

    let qe = &quote.qe;
    let masked = |own: &[u8], mask: &[u8], wanted: &[u8]| {
        own.len() == wanted.len() && own.iter().zip(mask).zip(wanted).all(|((own, mask), wanted)| own & mask == *wanted)
    };
    let complaint = if identity.id != "TD_QE" || identity.version != 2 {
        Some(format!("the identity is of `{}`, version {}", identity.id, identity.version))
    } else if *qe.mrsigner != identity.mrsigner.0 {
        Some(format!("MRSIGNER {}", to_hex(qe.mrsigner)))
    } else if qe.isvprodid != identity.isvprodid {
        Some(format!("ISVPRODID {}", qe.isvprodid))
    } else if !masked(qe.miscselect, &identity.miscselect_mask.0, &identity.miscselect.0) {
        Some(format!("MISCSELECT {}", to_hex(qe.miscselect)))
    } else if !masked(qe.attributes, &identity.attributes_mask.0, &identity.attributes.0) {
        Some(format!("ATTRIBUTES {}", to_hex(qe.attributes)))
    } else {
        None
    };
    let actual = complaint
        .clone()
        .unwrap_or_else(|| format!("TD_QE, MRSIGNER {}, ISVPRODID {}", to_hex(qe.mrsigner), qe.isvprodid));
    let expected =
        Text::Borrowed("TD_QE, version 2: MRSIGNER, ISVPRODID, masked MISCSELECT and ATTRIBUTES as Intel signed them");
    findings.require(complaint.is_none(), Unauthentic::TdxQeIdentity { expected, actual: actual.into() })
}

fn state(pck: &Pck, ca: &Certificate<'_>, findings: &mut Findings) {
    let facts = &mut findings.facts;
    facts.bytes("fmspc", &pck.fmspc.0);
    facts.bytes("ppid", &pck.ppid.0);
    facts.bytes("pce_id", &pck.pce_id);
    facts.number("pce_svn", pck.pce_svn);
    facts.bytes("cpu_svn", &pck.cpu_svn);
    facts.number("sgx_type", pck.sgx_type);
    facts.text("pck_ca", ca.common_name().unwrap_or("?"));
    match &pck.platform {
        Some(platform) => {
            facts.bytes("platform_instance_id", &platform.id);
            facts.flag("dynamic_platform", platform.dynamic_platform);
            facts.flag("cached_keys", platform.cached_keys);
            facts.flag("smt_enabled", platform.smt_enabled);
        }
        None => ["platform_instance_id", "dynamic_platform", "cached_keys", "smt_enabled"]
            .into_iter()
            .for_each(|name| facts.absent(name)),
    }
}
