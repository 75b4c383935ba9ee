//! Who vouches for a quote: Intel's root -> PCK CA -> PCK -> quoting enclave -> attestation key -> header and body; and
//! root -> TCB signing -> TCB info and QE identity. In that order, ending at the first check that fails.

use std::sync::Arc;

use super::chain::{Chain, Choice, PCK_NAME, not_a_chain};
use super::choose::{Chosen, Collateral, Deciding, Issuers, Other, choose_collateral};
use super::profile::TdxProfile;
use super::quote::{Certification, Quote};
use crate::bytes::{Fmspc, to_hex};
use crate::check::Check;
use crate::findings::{Comparison, Findings, Stop};
use crate::intel::collateral::{Dated, QeIdentity, TcbInfo};
use crate::intel::pck::{self, Pck};
use crate::intel::powers::{authority_complaint, signer_complaint};
use crate::memory::{Memory, NO_MEMORY, Order, Statement};
use crate::platform::Given;
use crate::report::Text;
use crate::signature::{Signatures, sha256};
use crate::stage::{Authentic, Unverified};
use crate::statement::Readable;
use crate::time::UnixTime;
use crate::words::{Value, Words, words};
use crate::x509::certificate::{Certificate, PublicKey};
use crate::x509::chains;
use crate::x509::pem;
use crate::x509::pool::{Candidate, candidates};
use crate::x509::revocation::{End, Lists, Revocations};

/// A quote that Intel's hierarchy vouches for, with the collateral to judge it by.
pub(crate) struct Vouched<'a> {
    pub(crate) quote: Authentic<Quote<'a>>,
    pub(crate) pck: Pck,
    /// Whose root it leads to, by name and key.
    pub(crate) root: Arc<str>,
    pub(crate) tcb_info: Arc<TcbInfo>,
    pub(crate) qe_identity: Arc<QeIdentity>,
    /// Which of several texts decides, now and later.
    pub(crate) deciding: Deciding,
    /// What else Intel signed about this platform: to show what it says, and when it takes over.
    pub(crate) other_tcb_infos: Vec<Alternative<TcbInfo>>,
    pub(crate) other_qe_identities: Vec<Alternative<QeIdentity>>,
}

/// Signed collateral of the same platform that the verdict does not rest on.
pub(crate) struct Alternative<T> {
    pub(crate) dated: Dated,
    /// Why it cannot be read, where it cannot: it takes over all the same.
    pub(crate) text: Result<Arc<T>, String>,
}

impl<T: Readable<Error = String>> Alternative<T> {
    fn of(other: &Other<T>) -> Self {
        Self { dated: other.dated, text: other.item.read().cloned() }
    }
}

const PCK_CA_NAMES: [&str; 2] = ["Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA"];

/// Unverified -> vouched for.
pub(crate) fn authenticate<'a>(
    quote: Unverified<Quote<'a>>,
    mut given: Given<'_, '_, TdxProfile>,
    findings: &mut Findings,
) -> Result<Vouched<'a>, Stop> {
    let hints = quote.hints();
    let (pool, _) = candidates(&given.endorsements.certificates);
    let carried = match hints.certification {
        Certification::Chain(text) => match given.chains {
            Some(chains) => chains.read(text, certificates_of),
            None => certificates_of(text),
        },
        Certification::Platform { .. } => Some([].into()),
    };
    let Some(carried) = carried else {
        return Err(not_a_chain("a PCK chain of certificates that can be read", findings));
    };
    let carried: Vec<_> = carried.iter().cloned().map(Candidate::carried).collect();
    let mut lists = Revocations::new(&given.endorsements.crls, given.now);
    let choice = Choice {
        quote: hints,
        carried: &carried,
        pool: &pool,
        lists: &mut lists,
        anchors: given.anchors,
        now: given.now,
        signatures: &mut given.signatures,
    };
    let chain = choice.chain(findings)?;
    check_pck_chain(&chain, given.now, findings)?;
    let (root, ca, leaf) = (&*chain.root, &*chain.ca.certificate, &*chain.leaf.certificate);
    let pck = pck::parse(leaf);
    let fmspc = pck.as_ref().map(|pck| pck.fmspc).ok();
    let issuers = Issuers { root, ca, fmspc };
    let root_name = root.shared_name_and_key().clone();
    let deciding = evaluation_floors(&given, fmspc.as_ref(), &root_name);
    let Given { endorsements, now, ref mut signatures, .. } = given;
    let collateral = choose_collateral(&pool, endorsements, &issuers, &mut lists, deciding, signatures, findings)?;
    check_revocation(&chain, &collateral, now, findings)?;
    state_ends_of_lists(&chain, &collateral, &given, findings);

    let actual = match &pck {
        Ok(pck) => words!("FMSPC {}, PCESVN {}, CPUSVN {}", &pck.fmspc.0, pck.pce_svn, &pck.cpu_svn),
        Err(error) => error.0.into(),
    };
    let expected = "a complete SGX extension without contradiction".into();
    let extension = Comparison { check: Check::TDX_PCK_EXTENSION, expected, actual };
    let pck = findings.require_some(pck.ok(), extension)?;
    state(&pck, ca, findings);

    let (tcb_info, qe_identity) = check_collateral(&collateral, now, findings)?;
    check_fresh(&tcb_info, &qe_identity, &pck, &given, findings)?;
    check_age(&collateral, &tcb_info, &qe_identity, &given, findings)?;
    check_rollback(&collateral, &tcb_info, &qe_identity, &root_name, given.memory, findings)?;
    check_tcb_identity(&tcb_info, &qe_identity, &pck, findings)?;
    check_qe(hints, leaf, &tcb_info, &qe_identity, &pck, &given.signatures, findings)?;

    let signed = quote.authenticated_by(());
    let expected = "header and body signed by the attestation key";
    let comparison = Comparison::of_signature(Check::TDX_SIGNATURE, expected, signed.is_some());
    let quote = findings.require_some(signed, comparison)?;
    state_endorsements(&chain, &collateral, &tcb_info, &qe_identity, findings);
    let other_tcb_infos = collateral.other_tcb_infos.iter().map(Alternative::of);
    // Of another PCE, which the hint does not say: another platform's.
    let is_its = |other: &Alternative<TcbInfo>| other.text.as_ref().map_or(true, |info| info.pce_id.0 == pck.pce_id);
    let other_tcb_infos = other_tcb_infos.filter(is_its).collect();
    let other_qe_identities = collateral.other_qe_identities.iter().map(Alternative::of).collect();
    Ok(Vouched { quote, pck, root: root_name, tcb_info, qe_identity, deciding, other_tcb_infos, other_qe_identities })
}

/// The certificates of a PCK chain, in whatever order; `None` where one of them cannot be read.
fn certificates_of(text: &[u8]) -> Option<chains::Chain> {
    let ders = pem::certificates(text)?;
    ders.into_iter().map(|der| Certificate::parse(&der.into()).ok().map(Arc::new)).collect()
}

fn check_pck_chain(chain: &Chain, now: UnixTime, findings: &mut Findings) -> Result<(), Stop> {
    let (root, ca, leaf) = (&*chain.root, &*chain.ca.certificate, &*chain.leaf.certificate);
    const NO_NAME: &str = "a CA without a name";
    let ca_name = ca.common_name().unwrap_or(NO_NAME);
    let complaint = if !PCK_CA_NAMES.contains(&ca_name) {
        Some(format!("the CA is `{ca_name}`"))
    } else if let Some(complaint) =
        authority_complaint(root, "the root", 1).or_else(|| authority_complaint(ca, ca_name, 0))
    {
        Some(complaint)
    } else if let Some(complaint) = signer_complaint(leaf) {
        Some(format!("the PCK certificate: {complaint}"))
    } else if let Some(complaint) = [leaf, ca, root].iter().find_map(|certificate| certificate.extension_complaint()) {
        Some(complaint.to_owned())
    } else if let Some(certificate) = [leaf, ca, root].iter().find(|certificate| !certificate.is_valid_at(now)) {
        Some(format!(
            "{} is valid from {} to {}, not at {now}",
            certificate.common_name().unwrap_or("?"),
            certificate.not_before,
            certificate.not_after
        ))
    } else if !chain.ca_is_signed {
        Some(format!("{ca_name} is not signed by the pinned root"))
    } else if !chain.leaf_is_signed {
        Some(format!("the PCK certificate is not signed by {ca_name}"))
    } else {
        None
    };
    let said_ca = || ca.name_or(NO_NAME);
    let expected = words!("{} under Platform or Processor CA under the pinned root, valid at {}", PCK_NAME, now);
    let holds = complaint.is_none();
    let actual = complaint.map_or_else(|| words!("{} under {}", PCK_NAME, said_ca()), Text::from);
    findings.require(holds, Comparison { check: Check::TDX_CHAIN_PCK, expected, actual })?;
    for (certificate, name) in [(leaf, "the PCK certificate".into()), (ca, said_ca()), (root, "the root".into())] {
        findings.ends(certificate.not_after, words!("{} (notAfter)", name));
    }
    Ok(())
}

/// Current lists of root and PCK CA name nothing of this chain.
fn check_revocation(
    chain: &Chain,
    collateral: &Collateral,
    now: UnixTime,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let (root, ca) = (&*chain.root, &*chain.ca.certificate);
    let signers = collateral.signers.iter().map(|signer| &*signer.certificate);
    let signers = signers.map(|signer| (&collateral.root_lists, signer, "the TCB signing certificate"));
    let subjects = std::iter::once((&collateral.root_lists, ca, "the PCK CA")).chain(signers).chain([(
        &collateral.pck_lists,
        &*chain.leaf.certificate,
        "the PCK certificate",
    )]);
    let complaint = subjects.into_iter().find_map(|(lists, subject, name)| match lists {
        Err(why) => Some(why.clone()),
        Ok(lists) => lists.complaint(subject, &name),
    });
    let holds = complaint.is_none();
    let actual = complaint.map_or("nothing of this chain is listed".into(), Text::from);
    let expected = words!("CRLs of the root and of the PCK CA, current at {}, that list nothing of this chain", now);
    findings.require(holds, Comparison { check: Check::TDX_CHAIN_REVOCATION, expected, actual })?;
    let lists =
        [("root_crl_this_update", &collateral.root_lists, root), ("pck_crl_this_update", &collateral.pck_lists, ca)];
    for (fact, lists, issuer) in lists {
        if let Some(issued) = lists.as_ref().ok().and_then(|lists| lists.this_update()) {
            findings.facts.text(fact, words!("{}", issued));
            let name = words!("CRL of {}", issuer.shared_name_and_key()).into();
            findings.seen.statements.push(Statement { name, order: Order::Issued(issued) });
        }
    }
    Ok(())
}

/// Until when the lists serve: what the policy says of their age, and a memory of their order, counts for those that are left.
fn state_ends_of_lists(
    chain: &Chain,
    collateral: &Collateral,
    given: &Given<'_, '_, TdxProfile>,
    findings: &mut Findings,
) {
    let (age, root_age) = (given.profile.max_collateral_age.required(), given.profile.max_root_crl_age.required());
    let lists = [
        (&collateral.root_lists, &*chain.root, root_age, "the age of the CRL of the root (max_root_crl_age)"),
        (&collateral.pck_lists, &*chain.ca.certificate, age, "the age of the CRL of the PCK CA (max_collateral_age)"),
    ];
    for (lists, issuer, limit, age) in lists {
        let too_old = limit.map(|limit| |issued| limit.ends(issued));
        let too_old = too_old.as_ref().map(|ends| ends as &dyn Fn(UnixTime) -> UnixTime);
        match lists.as_ref().ok().and_then(|lists| lists.end(too_old, given.memory.is_some())) {
            Some((end, End::NextUpdate)) => {
                findings.ends(end, words!("the CRL of {} (nextUpdate)", issuer.name_or("?")));
            }
            Some((end, End::Age)) => findings.ends(end, age),
            None => {}
        }
    }
}

/// TCB info and QE identity are signed, as served, by a TCB signing certificate under the same root.
fn check_collateral(
    collateral: &Collateral,
    now: UnixTime,
    findings: &mut Findings,
) -> Result<(Arc<TcbInfo>, Arc<QeIdentity>), Stop> {
    const NO_FIT: &str = "text and signature that do not fit";
    let signers = collateral.signers.iter().map(|signer| &*signer.certificate);
    let expired = signers.clone().find(|signer| !signer.is_valid_at(now));
    let unsound = signers.clone().find_map(|signer| signer_complaint(signer).or_else(|| signer.extension_complaint()));
    let expected = Text::Borrowed(
        "TCB info and QE identity signed by `Intel SGX TCB Signing` under the pinned root, valid at the stated time",
    );
    let rewritten = |is_signed: bool, what: &str| (!is_signed).then(|| format!("{what}: {NO_FIT}"));
    let is_one_of_too_many = collateral.tcb_info.is_one_of_too_many || collateral.qe_identity.is_one_of_too_many;
    let complaint = if let Some(complaint) = &collateral.unsigned_signer {
        Some(complaint.clone())
    } else if let Some(signer) = expired {
        Some(format!("the TCB signing certificate is valid from {} to {}", signer.not_before, signer.not_after))
    } else if is_one_of_too_many {
        Some("more texts than are looked at: supply those of this platform only".to_owned())
    } else if let Some(complaint) = unsound {
        Some(format!("the TCB signing certificate: {complaint}"))
    } else {
        let no_fit = rewritten(collateral.tcb_info.is_signed, "TCB info")
            .or_else(|| rewritten(collateral.qe_identity.is_signed, "QE identity"));
        if no_fit.is_some() {
            findings.advise(Check::TDX_COLLATERAL_SIGNER, REWRITTEN);
        }
        no_fit
    };
    let holds = complaint.is_none();
    let actual = complaint.map_or("both signed".into(), Text::from);
    let judged = Comparison { check: Check::TDX_COLLATERAL_SIGNER, expected: expected.clone(), actual };
    findings.require(holds, judged)?;
    if let Some(first) = signers.map(|signer| signer.not_after).min() {
        findings.ends(first, "the TCB signing certificate (notAfter)");
    }
    if let Some(next) = collateral.next_signer {
        findings.ends(next, "another TCB signing certificate, which begins");
    }
    // Only now is the text read: its signature holds over these exact bytes.
    let read = collateral.tcb_info.item().read();
    let read = read.and_then(|info| Ok((info.clone(), collateral.qe_identity.item().read()?.clone())));
    read.map_err(|error| {
        findings.fail(Comparison { check: Check::TDX_COLLATERAL_SIGNER, expected, actual: error.into() })
    })
}

const REWRITTEN: &str = "the signature is over the very bytes that Intel served: if a program has read and written the JSON again \
     (jq, a parser, a database), take the answer as it was served, for instance with `teegate fetch QUOTE --into DIR`";

const UNWANTED_EVALUATION: &str = "both are in their time; the policy asks for another evaluation (`minimum_evaluation_number`, `one_evaluation`): \
     `teegate fetch QUOTE --into DIR` asks Intel for today's, or let the policy take the one of the recording";

/// Stricter than Intel's library, which accepts now == nextUpdate and does not look at issueDate.
fn check_fresh(
    info: &TcbInfo,
    qe: &QeIdentity,
    pck: &Pck,
    given: &Given<'_, '_, TdxProfile>,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let now = given.now;
    let window = |what: &str, issue: UnixTime, next: UnixTime| {
        (now < issue || now >= next).then(|| format!("{what} is for {issue} to {next}, not for {now}"))
    };
    let floor = given.profile.minimum_evaluation_number.required();
    let one = given.profile.one_evaluation.required().is_some();
    let outside = window("TCB info", info.issue_date.0, info.next_update.0)
        .or_else(|| window("QE identity", qe.issue_date.0, qe.next_update.0));
    let unwanted = || {
        let (tcb, enclave) = (info.evaluation_number, qe.evaluation_number);
        let below = floor.is_some_and(|floor| tcb < *floor || enclave < *floor);
        (below || (one && tcb != enclave)).then(|| format!("evaluation {tcb} of TCB info, {enclave} of QE identity"))
    };
    let is_outside = outside.is_some();
    let complaint = outside.or_else(unwanted);
    if complaint.is_some() {
        if !is_outside {
            findings.advise(Check::TDX_COLLATERAL_FRESH, UNWANTED_EVALUATION);
        }
        advise_of_another(info, qe, pck, Check::TDX_COLLATERAL_FRESH, findings);
    }
    let same = if one { "the same for both" } else { "not necessarily the same for both" };
    let expected = match floor {
        None => words!("issueDate <= {} < nextUpdate; by the policy no minimum evaluation, {}", now, same),
        Some(floor) => {
            words!("issueDate <= {} < nextUpdate; by the policy evaluation {} or later, {}", now, *floor, same)
        }
    };
    let holds = complaint.is_none();
    let actual = complaint.map_or_else(
        || {
            let (tcb, enclave) = (info.evaluation_number, qe.evaluation_number);
            words!("evaluation {}, until {} and {}", both(tcb, enclave), info.next_update.0, qe.next_update.0)
        },
        Text::from,
    );
    findings.require(holds, Comparison { check: Check::TDX_COLLATERAL_FRESH, expected, actual })?;
    findings.facts.number("tcb_evaluation_number", info.evaluation_number);
    findings.facts.number("qe_evaluation_number", qe.evaluation_number);
    findings.ends(info.next_update.0, "the TCB info (nextUpdate)");
    findings.ends(qe.next_update.0, "the QE identity (nextUpdate)");
    Ok(())
}

/// Two numbers as one value of a sentence.
fn both(one: u32, other: u32) -> Value {
    Value::Packed(u64::from(one) << 32 | u64::from(other), |both, f| {
        write!(f, "{} and {}", both >> 32, both & u64::from(u32::MAX))
    })
}

/// None of what Intel signs again and again is older than the policy allows, although it holds.
fn check_age(
    collateral: &Collateral,
    info: &TcbInfo,
    qe: &QeIdentity,
    given: &Given<'_, '_, TdxProfile>,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let (most, root_most) = (given.profile.max_collateral_age.required(), given.profile.max_root_crl_age.required());
    if most.is_none() && root_most.is_none() {
        let why = "the policy sets no limit but each statement's own end";
        findings.not_checked(Check::TDX_COLLATERAL_AGE, "max_collateral_age", why);
        return Ok(());
    }
    let issued = |lists: &Result<Arc<Lists>, String>| lists.as_ref().ok().and_then(|lists| lists.this_update());
    let statements = [
        ("the TCB info", Some(info.issue_date.0), most, "max_collateral_age"),
        ("the QE identity", Some(qe.issue_date.0), most, "max_collateral_age"),
        ("the CRL of the PCK CA", issued(&collateral.pck_lists), most, "max_collateral_age"),
        ("the CRL of the root", issued(&collateral.root_lists), root_most, "max_root_crl_age"),
    ];
    let asked = statements.into_iter().filter_map(|(name, issued, most, field)| Some((name, issued?, most?, field)));
    let mut complaint = None;
    for (name, issued, most, field) in asked {
        let end = most.ends(issued);
        if given.now >= end {
            complaint = complaint.or_else(|| Some(format!("{name} is of {issued} ({field} = {} days)", most.days)));
        }
        // Of lists an older one may be left, or a newer one begin: their ends are stated by themselves.
        if !name.starts_with("the CRL") {
            findings.ends(end, words!("the age of {} ({})", name, field));
        }
    }
    let expected = words!("nothing older at {} than the policy allows", given.now);
    let holds = complaint.is_none();
    let actual = complaint.map_or("nothing older".into(), Text::from);
    findings.require(holds, Comparison { check: Check::TDX_COLLATERAL_AGE, expected, actual })
}

fn tcb_info_statement(fmspc: &[u8; 6], root: &Arc<str>) -> Words {
    words!("TCB info of FMSPC {} under {}", fmspc, root).into()
}

fn qe_identity_statement(root: &Arc<str>) -> Words {
    words!("QE identity TD_QE under {}", root).into()
}

/// Which evaluation decides, where several are supplied: none below the policy's minimum, nor below one that was seen.
fn evaluation_floors(given: &Given<'_, '_, TdxProfile>, fmspc: Option<&Fmspc>, root: &Arc<str>) -> Deciding {
    let minimum = given.profile.minimum_evaluation_number.required().copied().unwrap_or_default();
    let seen = |statement: Words| given.memory.and_then(|memory| memory.evaluation(&statement)).unwrap_or_default();
    Deciding {
        which: given.profile.deciding_evaluation,
        tcb_info: minimum.max(fmspc.map_or(0, |fmspc| seen(tcb_info_statement(&fmspc.0, root)))),
        qe_identity: minimum.max(seen(qe_identity_statement(root))),
    }
}

/// A list or an evaluation that is older than one that was seen before is refused.
fn check_rollback(
    collateral: &Collateral,
    info: &TcbInfo,
    qe: &QeIdentity,
    root: &Arc<str>,
    memory: Option<&Memory>,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let [info_name, qe_name] = [tcb_info_statement(&info.fmspc.0, root), qe_identity_statement(root)];
    let statement = |name: &Words, number| Statement { name: name.clone(), order: Order::Evaluation(number) };
    let lists = findings.seen.statements.len();

    // Intel serves an early and a standard evaluation at one time. What a stranger brought does not move what is remembered,
    // and of several that the user brought the lowest does: either would lock the user out of the other.
    let now = findings.at();
    let info_learned = learned(&collateral.tcb_info, info.evaluation_number, &collateral.other_tcb_infos, now);
    let qe_learned = learned(&collateral.qe_identity, qe.evaluation_number, &collateral.other_qe_identities, now);
    let learned = [(&info_name, info_learned), (&qe_name, qe_learned)];
    let learned = learned.into_iter().filter_map(|(name, number)| Some(statement(name, number?)));
    findings.seen.statements.extend(learned);

    let Some(memory) = memory else {
        findings.not_applicable(Check::TDX_COLLATERAL_ROLLBACK, NO_MEMORY);
        return Ok(());
    };
    let mut judged: Vec<_> = findings.seen.statements.iter().take(lists).cloned().collect();
    judged.push(statement(&info_name, info.evaluation_number));
    judged.push(statement(&qe_name, qe.evaluation_number));
    let complaint = memory.older_statement(&judged);
    let holds = complaint.is_none();
    let actual = complaint.map_or("nothing older".into(), Text::from);
    let expected = "no CRL older, and no evaluation lower, than one seen before".into();
    findings.require(holds, Comparison { check: Check::TDX_COLLATERAL_ROLLBACK, expected, actual })
}

/// The lowest evaluation of those that the user brought and that hold now.
fn learned<T: Readable>(chosen: &Chosen<T>, number: u32, others: &[Other<T>], now: UnixTime) -> Option<u32> {
    let current = others.iter().filter(|other| other.dated.from <= now);
    let others = current.map(|other| (other.source, other.dated.evaluation));
    let of_the_user = std::iter::once((chosen.source(), number)).chain(others);
    of_the_user.filter(|(source, _)| source.is_the_users()).map(|(_, evaluation)| evaluation).min()
}

/// The signed statements that the verdict rests on.
fn state_endorsements(
    chain: &Chain,
    collateral: &Collateral,
    info: &TcbInfo,
    qe: &QeIdentity,
    findings: &mut Findings,
) {
    for held in [&chain.leaf, &chain.ca].into_iter().chain(&collateral.signers) {
        findings.rests_on(held.line());
    }
    for lists in [&collateral.root_lists, &collateral.pck_lists] {
        if let Some(line) = lists.as_ref().ok().and_then(|lists| lists.line()) {
            findings.rests_on(line);
        }
    }
    let name = words!("FMSPC {}, evaluation {}", &info.fmspc.0, info.evaluation_number);
    findings.rests_on(collateral.tcb_info.line("tcb-info", name, info.next_update.0));
    // No other was let through.
    let name = words!("TD_QE, evaluation {}", qe.evaluation_number);
    findings.rests_on(collateral.qe_identity.line("qe-identity", name, qe.next_update.0));
}

/// Where what was supplied is signed and is of something else, that is the cause, whatever check meets it first.
fn advise_of_another(info: &TcbInfo, qe: &QeIdentity, pck: &Pck, check: Check, findings: &mut Findings) {
    const COMMAND: &str = "`teegate fetch QUOTE --into DIR` asks Intel for the right one";
    if info.fmspc.0 != pck.fmspc.0 {
        let other = to_hex(&info.fmspc.0);
        findings.advise(
            check,
            format!("no TCB info of this platform's FMSPC {} was supplied, only one of {other}: {COMMAND}", pck.fmspc),
        );
    } else if info.id != "TDX" {
        findings.advise(check, format!("the TCB info that was supplied is for SGX, not for TDX: {COMMAND}"));
    } else if qe.id != "TD_QE" {
        findings.advise(
            check,
            format!(
                "the identity that was supplied is that of another enclave (SGX's, `/sgx/…/qe/identity`), and the one of \
                 TDX's quoting enclave is needed (`/tdx/…/qe/identity`): {COMMAND}"
            ),
        );
    }
}

fn check_tcb_identity(info: &TcbInfo, qe: &QeIdentity, pck: &Pck, findings: &mut Findings) -> Result<(), Stop> {
    let expected = words!("TDX, version 3, type 0, FMSPC {}, PCEID {}", &pck.fmspc.0, &pck.pce_id);
    let holds = is_platforms(info, pck);
    let (fmspc, pce_id) = (&info.fmspc.0, &info.pce_id.0);
    let actual = if holds {
        words!("TDX, version 3, type 0, FMSPC {}, PCEID {}", fmspc, pce_id)
    } else {
        let form = format!("{}, version {}, type {}", info.id, info.version, info.tcb_type);
        words!("{}, FMSPC {}, PCEID {}", Text::from(form), fmspc, pce_id)
    };
    if !holds {
        advise_of_another(info, qe, pck, Check::TDX_TCB_IDENTITY, findings);
    }
    findings.require(holds, Comparison { check: Check::TDX_TCB_IDENTITY, expected, actual })
}

/// Whether a TCB info is of TDX, in the one form that is known, and of this platform.
fn is_platforms(info: &TcbInfo, pck: &Pck) -> bool {
    info.id == "TDX"
        && info.version == 3
        && info.tcb_type == 0
        && info.fmspc.0 == pck.fmspc.0
        && info.pce_id.0 == pck.pce_id
}

/// The PCK signed the QE report, which binds the attestation key and is Intel's TD quoting enclave.
fn check_qe(
    quote: &Quote<'_>,
    leaf: &Certificate,
    info: &TcbInfo,
    identity: &QeIdentity,
    pck: &Pck,
    signatures: &Signatures<'_>,
    findings: &mut Findings,
) -> Result<(), Stop> {
    let valid = match &leaf.key {
        PublicKey::P256(key) => signatures.enclave_holds(key, quote.qe.bytes, quote.qe_signature),
        _ => false,
    };
    findings.require(valid, Comparison::of_signature(Check::TDX_QE_SIGNATURE, "QE report signed by the PCK", valid))?;

    let digest = sha256(&[quote.attestation_key, quote.qe_auth_data]);
    let bound = quote.qe.report_data.strip_prefix(&digest).is_some_and(|upper| upper.iter().all(|byte| *byte == 0));
    let (expected, actual) = (words!("{} and 32 zero bytes", &digest), words!("{}", quote.qe.report_data));
    findings.require(bound, Comparison { check: Check::TDX_QE_BINDING, expected, actual })?;

    let qe = &quote.qe;
    let complaint = identity_complaint(quote, identity);
    if complaint.is_some() {
        advise_of_another(info, identity, pck, Check::TDX_QE_IDENTITY, findings);
    }
    let holds = complaint.is_none();
    let actual =
        complaint.map_or_else(|| words!("TD_QE, MRSIGNER {}, ISVPRODID {}", qe.mrsigner, qe.isvprodid), Text::from);
    let expected =
        Text::Borrowed("TD_QE, version 2: MRSIGNER, ISVPRODID, masked MISCSELECT and ATTRIBUTES as Intel signed them");
    findings.require(holds, Comparison { check: Check::TDX_QE_IDENTITY, expected, actual })
}

/// What of the quoting enclave is not as this identity says.
pub(super) fn identity_complaint(quote: &Quote<'_>, identity: &QeIdentity) -> Option<String> {
    let qe = &quote.qe;
    let masked = |own: &[u8], mask: &[u8], wanted: &[u8]| {
        own.len() == wanted.len() && own.iter().zip(mask).zip(wanted).all(|((own, mask), wanted)| own & mask == *wanted)
    };
    if identity.id != "TD_QE" || identity.version != 2 {
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
    }
}

fn state(pck: &Pck, ca: &Certificate, findings: &mut Findings) {
    let facts = &mut findings.facts;
    facts.bytes("fmspc", &pck.fmspc.0);
    facts.bytes("ppid", &pck.ppid.0);
    facts.bytes("pce_id", &pck.pce_id);
    facts.number("pce_svn", pck.pce_svn);
    facts.bytes("cpu_svn", &pck.cpu_svn);
    facts.number("sgx_type", pck.sgx_type);
    facts.text("pck_ca", ca.name_or("?"));
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
