//! Whether an authentic quote is wanted. Every rule is judged; every failure is shown.

use super::accept::{self, Evaluated, Verdict};
use super::authenticate::Vouched;
use super::converged;
use super::fields::FIELDS;
use super::outlook;
use super::profile::{EventLog, ServiceTd, TUD, TdxProfile};
use super::quote::{Body, Quote};
use super::shortfall;
use super::tcb::{self, Evaluation, NoEvaluation};
use crate::bytes::Mr;
use crate::check::Check;
use crate::findings::{Comparison, Findings};
use crate::intel::words::{AdvisoryId, TcbStatus};
use crate::judge::judge;
use crate::logs::ccel::{self, Replayed};
use crate::logs::{AN_EVENT, Kind, beside, is_of_a_tpm, kind, only_notes};
use crate::memory::{Memory, NO_MEMORY, Platform};
use crate::platform::Wanted;
use crate::report::Text;
use crate::rule::Switch;
use crate::words::{Value, words};
use crate::wrapping::Wrapping;

/// Judges every rule of the profile.
pub(crate) fn appraise(
    vouched: &Vouched<'_>,
    Wanted { profile, rules, workload, report_data, memory, event_log }: Wanted<'_, TdxProfile>,
    findings: &mut Findings,
) {
    let quote = vouched.quote.get();
    judge_tcb(vouched, profile, findings);
    judge_rollback(vouched, memory, findings);
    let outlook = outlook::foresee(vouched, profile, findings.at());
    if let Some(taking_over) = outlook::first_refusal(vouched, profile, findings.at()) {
        findings.ends(taking_over.from, words!("evaluation {}: a newer one", taking_over.replaces));
    }
    findings.foresee(outlook);
    judge_attributes(&quote.body, profile, findings);
    judge_service_td(&quote.body, profile, findings);
    for (row, rule) in FIELDS.iter().zip(rules.each()) {
        if let Some((check, shows)) = row.shows {
            judge(check, &rule, &shows(vouched), findings);
        }
    }
    match profile.report_data.judge(report_data, &workload.report_data) {
        None => findings.not_checked(
            Check::TDX_TD_REPORT_DATA,
            "report_data",
            "neither the policy nor the caller says which 64 bytes to expect",
        ),
        Some((holds, expected)) => findings.judge(
            holds,
            Comparison {
                check: Check::TDX_TD_REPORT_DATA,
                expected: expected.into(),
                actual: words!("{}", &workload.report_data.0),
            },
        ),
    }
    judge_log(event_log, &quote.body, profile, findings);
    findings.facts.text("acpi_tables", acpi_tables(&quote.body, profile));
}

/// Level match, module, quoting enclave, convergence, relaunch, and then whether the outcome is accepted.
fn judge_tcb(vouched: &Vouched<'_>, profile: &TdxProfile, findings: &mut Findings) {
    let quote = vouched.quote.get();
    let evaluate =
        |svn: &[u8; 16]| tcb::evaluate(&vouched.tcb_info, &vouched.qe_identity, quote.qe.isvsvn, &vouched.pck, svn);
    let signer = tcb::module_complaint(&vouched.tcb_info, &quote.body);
    let launch = evaluate(quote.body.tee_tcb_svn);
    let (qe_svn, pck) = (quote.qe.isvsvn, &vouched.pck);
    let lacking = |svn: &[u8; 16]| shortfall::of(&vouched.tcb_info, &vouched.qe_identity, qe_svn, pck, svn);
    judge_parts(quote, &signer, &launch, || lacking(quote.body.tee_tcb_svn), profile, findings);

    let Ok(launch) = launch else { return };
    let converged = words!("{}", Value::Packed(converged::packed(&launch), converged::write));
    findings.judge(
        true,
        Comparison {
            check: Check::TDX_TCB_CONVERGENCE,
            expected: "one status, as Intel's library converges them".into(),
            actual: converged,
        },
    );

    let (status, current) = match &quote.body.td15 {
        None => {
            findings.not_applicable(Check::TDX_TCB_RELAUNCH, "a TD 1.0 report has no TEE_TCB_SVN2");
            (launch.converged, None)
        }
        Some(td15) => match judge_relaunch(&launch, evaluate(td15.tee_tcb_svn2), findings) {
            Some((status, current)) => (status, Some(current)),
            None => return,
        },
    };
    state(&launch, status, findings);
    let outcome = Evaluated { launch: &launch, current: current.as_ref(), status };
    let lacking = if status == TcbStatus::UpToDate { Vec::new() } else { lacking(quote.body.tee_tcb_svn) };
    judge_accepted(outcome, &lacking, profile, findings);
    findings.facts.list("tcb_lacking", lacking);
}

/// Module identity, platform level and QE level. The evaluation stops at its first failure; so does what is judged here.
fn judge_parts(
    quote: &Quote<'_>,
    signer: &Result<Option<String>, String>,
    launch: &Result<Evaluation, NoEvaluation>,
    lacking: impl Fn() -> Vec<String>,
    profile: &TdxProfile,
    findings: &mut Findings,
) {
    let [svn, version, ..] = *quote.body.tee_tcb_svn;
    let module = match (signer, launch) {
        (Ok(Some(complaint)) | Err(complaint), _) | (Ok(None), Err(NoEvaluation::Module(complaint))) => {
            Some(Err(Text::from(complaint.clone())))
        }
        (Ok(None), Ok(_)) if version == 0 => Some(Ok("Intel's signer; version 0 has no levels of its own".into())),
        (Ok(None), Ok(_)) => Some(Ok(words!("Intel's signer, version {}, SVN {}, with a level", version, svn))),
        // The evaluation ended before it looked for the module's level.
        (Ok(None), Err(_)) => None,
    };
    if let Some(module) = module {
        let expected = "a TDX module of Intel's signer, and from version 1 on a level for its SVN".into();
        let (holds, actual) = (module.is_ok(), module.unwrap_or_else(|complaint| complaint));
        findings.judge(holds, Comparison { check: Check::TDX_TCB_MODULE, expected, actual });
    }

    let expected = Text::Borrowed("a TCB level that the platform reaches in every component");
    match launch {
        Ok(evaluation) => findings.judge(
            true,
            Comparison { check: Check::TDX_TCB_LEVEL, expected, actual: evaluation.platform.name().into() },
        ),
        Err(NoEvaluation::Platform(why)) => {
            let actual = [format!("none: {why}")].into_iter().chain(lacking()).collect::<Vec<_>>().join("; ");
            findings.judge(false, Comparison { check: Check::TDX_TCB_LEVEL, expected, actual: actual.into() })
        }
        Err(NoEvaluation::Status(why)) => findings.judge(
            false,
            Comparison {
                check: Check::TDX_TCB_ACCEPTED,
                expected: "a status that is known".into(),
                actual: why.clone().into(),
            },
        ),
        Err(NoEvaluation::Module(_) | NoEvaluation::Qe(_)) => {}
    }

    let expected = Text::Borrowed(
        "a level that the quoting enclave's ISVSVN reaches, and no needed configuration that the policy does not accept",
    );
    match launch {
        Ok(evaluation) => {
            let wanted = accept::takes_qe(evaluation, profile);
            findings
                .judge(wanted, Comparison { check: Check::TDX_QE_TCB, expected, actual: evaluation.qe.name().into() });
        }
        Err(NoEvaluation::Qe(why)) => {
            findings.judge(false, Comparison { check: Check::TDX_QE_TCB, expected, actual: why.clone().into() })
        }
        Err(_) => {}
    }
}

/// The whole evaluation again, for the module that runs now. Its failure rejects, and so does a revoked module: Intel's
/// library leaves the latter to the caller, who reads only the launch status.
fn judge_relaunch(
    launch: &Evaluation,
    current: Result<Evaluation, NoEvaluation>,
    findings: &mut Findings,
) -> Option<(TcbStatus, Evaluation)> {
    let expected = Text::Borrowed("an evaluation for TEE_TCB_SVN2 as well, and not Revoked");
    match current {
        Ok(current) => {
            let status = tcb::relaunch(launch.converged, current.converged);
            let (launched, now) = (launch.converged.name(), current.converged.name());
            let actual = words!("launched {}, now {}: {}", launched, now, status.name());
            let holds = current.converged != TcbStatus::Revoked;
            findings.judge(holds, Comparison { check: Check::TDX_TCB_RELAUNCH, expected, actual });
            findings.facts.text("tcb_status_current", current.converged.name());
            findings.facts.text("tcb_date_current", words!("{}", current.date));
            findings.facts.list("advisories_current", current.advisories.iter().map(AdvisoryId::to_string).collect());
            Some((status, current))
        }
        Err(
            NoEvaluation::Platform(why) | NoEvaluation::Module(why) | NoEvaluation::Qe(why) | NoEvaluation::Status(why),
        ) => {
            findings.judge(false, Comparison { check: Check::TDX_TCB_RELAUNCH, expected, actual: why.into() });
            None
        }
    }
}

fn state(launch: &Evaluation, status: TcbStatus, findings: &mut Findings) {
    let facts = &mut findings.facts;
    facts.text("tcb_status", status.name());
    facts.text("tcb_date", words!("{}", launch.date));
    facts.list("advisories", launch.advisories.iter().map(AdvisoryId::to_string).collect());
    facts.text("tcb_status_platform", launch.platform.name());
    match launch.module {
        Some(module) => facts.text("tcb_status_module", module.name()),
        None => facts.absent("tcb_status_module"),
    }
    facts.text("tcb_status_qe", launch.qe.name());
}

/// Under TD 1.5 the rules hold for the launch and for now.
fn judge_accepted(outcome: Evaluated<'_>, lacking: &[String], profile: &TdxProfile, findings: &mut Findings) {
    let Verdict { complaint, rests_on } = accept::judge(outcome, profile, findings.at());
    let (status, mut expected) = (outcome.status, accept::expected(profile));
    if expected.is_empty() {
        if complaint.is_none() {
            let why = words!("the policy takes any status but Revoked; this is {}", status.name());
            findings.not_checked(Check::TDX_TCB_ACCEPTED, "tcb_status", why);
            return;
        }
        expected = "any status but Revoked (tcb_status is unchecked)".into();
    }
    let actual = match &complaint {
        None if rests_on.is_empty() => status.name().into(),
        None => {
            let by: Vec<_> = rests_on.iter().map(|(end, of)| format!(", by {of}, until {end}")).collect();
            Text::from(format!("{status}{}", by.concat()))
        }
        Some(complaint) => {
            std::iter::once(complaint).chain(lacking).map(String::as_str).collect::<Vec<_>>().join("; ").into()
        }
    };
    let expected = expected.into();
    findings.judge(complaint.is_none(), Comparison { check: Check::TDX_TCB_ACCEPTED, expected, actual });
    for (end, of) in rests_on {
        findings.ends(end, of);
    }
}

/// The platform has shown no higher TCB before.
fn judge_rollback(vouched: &Vouched<'_>, memory: Option<&Memory>, findings: &mut Findings) {
    let pck = &vouched.pck;
    let tcb = pck.components.iter().map(|svn| u16::from(*svn)).chain([pck.pce_svn]).collect();
    let name = words!("platform {} under {}", &pck.ppid.0, &vouched.root).into();
    let platform = Platform { name, tcb, at: findings.at() };
    let Some(memory) = memory else {
        findings.not_applicable(Check::TDX_TCB_ROLLBACK, NO_MEMORY);
        findings.seen.platform = Some(platform);
        return;
    };
    let complaint = memory.lower_component(&platform);
    let actual = complaint.clone().unwrap_or_else(|| "nothing higher was seen before".to_owned());
    let expected = "16 TCB components and PCESVN, none below one seen before".into();
    findings.judge(complaint.is_none(), Comparison { check: Check::TDX_TCB_ROLLBACK, expected, actual: actual.into() });
    findings.seen.platform = Some(platform);
}

const TUD_DEBUG: u64 = 0x01;
const TUD_PROFILING: u64 = 0x70;

fn judge_attributes(body: &Body<'_>, profile: &TdxProfile, findings: &mut Findings) {
    let tud = body.td_attributes & TUD;
    let set = || {
        let names = [
            (0x01, "DEBUG"),
            (0x10, "HGS_PLUS_PROF"),
            (0x20, "PERF_PROF"),
            (0x40, "PMT_PROF"),
            (0x8E, "a reserved TUD bit"),
        ];
        let set = names.into_iter().filter(|(bits, _)| tud & bits != 0).map(|(_, name)| name);
        Text::from(set.collect::<Vec<_>>().join(", "))
    };
    let actual = if tud == 0 { "TUD 0".into() } else { set() };
    let bits = |switch: Switch, bits: u64| if switch == Switch::Allowed { bits } else { 0 };
    let allowed = bits(profile.debug, TUD_DEBUG) | bits(profile.profiling, TUD_PROFILING);
    let expected = match allowed {
        0 => "TUD 0 (no debug, no profiling)".into(),
        allowed => words!("no TUD bit outside {}, which the policy allows", Value::Bits(allowed)),
    };
    findings.judge(tud & !allowed == 0, Comparison { check: Check::TDX_TD_DEBUG, expected, actual });
}

/// As policies spell it.
fn service_td(value: &Mr) -> Value {
    if value.0 == [0; 48] { "none".into() } else { (&value.0).into() }
}

fn judge_service_td(body: &Body<'_>, profile: &TdxProfile, findings: &mut Findings) {
    let none = ServiceTd(Mr([0; 48]));
    let Some(td15) = &body.td15 else {
        // TD 1.0 has no MRSERVICETD. Modules from 1.5 on can bind a service TD and still report in this form; without
        // MIGRATABLE nothing can be done with one.
        let [_, module_version, ..] = *body.tee_tcb_svn;
        let migratable = body.td_attributes >> 29 & 1 != 0;
        match profile.service_td.is_met_by(&none) {
            None => findings.not_checked(
                Check::TDX_TD_SERVICE_TD,
                "service_td",
                "the policy takes any service TD; a TD 1.0 report names none",
            ),
            Some(true) if module_version == 0 || !migratable => findings.not_applicable(
                Check::TDX_TD_SERVICE_TD,
                "a TD 1.0 report names no service TD, and this TD cannot be migrated by one",
            ),
            Some(_) => findings.judge(
                false,
                Comparison {
                    check: Check::TDX_TD_SERVICE_TD,
                    expected: profile.service_td.to_string().into(),
                    actual: "a TD 1.0 report, which cannot show it".into(),
                },
            ),
        }
        return;
    };
    let exchanged = td15.service_td_hashes.filter(|[initial, current]| initial != current);
    match (profile.service_td.is_met_by(&ServiceTd(td15.mrservicetd)), exchanged) {
        (None, _) => findings.not_checked(
            Check::TDX_TD_SERVICE_TD,
            "service_td",
            words!("the policy takes any service TD; it is {}", service_td(&td15.mrservicetd)),
        ),
        (Some(holds), exchanged) => {
            let expected = format!("{}, the same now as initially", profile.service_td);
            let actual = match exchanged {
                Some([initial, current]) => words!("initially {}, now {}", &initial.0, &current.0),
                None => words!("{}", service_td(&td15.mrservicetd)),
            };
            findings.judge(
                holds && exchanged.is_none(),
                Comparison { check: Check::TDX_TD_SERVICE_TD, expected: expected.into(), actual },
            );
        }
    }
}

/// A log that was supplied is judged even where the policy could do without: whoever reads it afterwards reads events that
/// the TD extended, all of them, or learns here that they are not. Registers of zeros (a TD under a paravisor has them) agree with
/// every log that extends nothing, so that one of records without an event is refused, and what extends nothing is not counted as one.
///
/// What carries a TD may have registers of its own: a log that is none of a TD's is then held against those, and not here.
fn judge_log(event_log: Option<&[u8]>, body: &Body<'_>, profile: &TdxProfile, findings: &mut Findings) {
    let rule = profile.event_log;
    if profile.wrapping != Wrapping::Raw && event_log.is_some_and(|log| kind(log) != Kind::Ccel) {
        let actual = "an event log that is none of a TD's";
        return match rule {
            EventLog::Required => findings.judge(
                false,
                Comparison { check: Check::TDX_LOG_REPLAY, expected: ANY_LOG.into(), actual: actual.into() },
            ),
            EventLog::Unchecked => {
                let why = "the event log that came along is held against the registers of the vTPM";
                findings.not_applicable(Check::TDX_LOG_REPLAY, why);
            }
        };
    }
    let held = match (event_log, rule) {
        (None, EventLog::Unchecked) => {
            findings.facts.absent("event_log_events");
            let why = "the policy requires no event log, and none was supplied";
            return findings.not_checked(Check::TDX_LOG_REPLAY, "event_log", why);
        }
        (None, EventLog::Required) => Err((ANY_LOG.to_owned(), "no event log".to_owned())),
        (Some(log), EventLog::Unchecked) if body.rtmrs == [Mr([0; 48]); 4] && ccel::is_without_records(log) => {
            findings.facts.absent("event_log_events");
            let why = "the event log that came along has no record, as firmware leaves it that measures nothing there";
            return findings.not_checked(Check::TDX_LOG_REPLAY, "event_log", why);
        }
        (Some(log), _) => held_against(&body.rtmrs, log),
    };
    let (holds, expected, actual) = match held {
        Ok(replayed) => {
            findings.facts.number("event_log_events", replayed.events);
            let actual = format!("{} events that replay to all four{}", replayed.events, beside(replayed.notes));
            (true, ANY_LOG.to_owned(), actual)
        }
        // Nothing of a log that does not replay is shown.
        Err((expected, actual)) => {
            findings.facts.absent("event_log_events");
            (false, expected, actual)
        }
    };
    findings
        .judge(holds, Comparison { check: Check::TDX_LOG_REPLAY, expected: expected.into(), actual: actual.into() });
}

/// What a log that leads to these registers adds up to; or what was expected of another, and what it is.
fn held_against(rtmrs: &[Mr; 4], log: &[u8]) -> Result<Replayed, (String, String)> {
    let replayed = ccel::replay(log).map_err(|defect| {
        let of_a_tpm = || format!("{}, whose registers no quote of a TD holds", Kind::Tpm.name());
        (ANY_LOG.to_owned(), if is_of_a_tpm(log) { of_a_tpm() } else { defect.to_string() })
    })?;
    if replayed.events == 0 {
        return Err((AN_EVENT.to_owned(), only_notes(replayed.notes)));
    }
    let pairs = (0..).zip(rtmrs.iter().zip(&replayed.rtmrs));
    let missed: Vec<_> = pairs.filter(|(_, (quoted, replayed))| quoted != replayed).collect();
    if missed.is_empty() {
        return Ok(replayed);
    }
    let quoted: Vec<_> = missed.iter().map(|(number, (quoted, _))| format!("RTMR{number} {quoted}")).collect();
    let found: Vec<_> = missed.iter().map(|(number, (_, found))| format!("RTMR{number} {found}")).collect();
    Err((
        format!("an event log that replays to {}", quoted.join(", ")),
        format!("{} events that replay to {}", replayed.events, found.join(", ")),
    ))
}

/// Whether anybody judged the ACPI tables. They are code that the host supplies and the guest runs (BadAML), and firmware extends
/// them into RTMR0 as it finds them. An event log shows that it did, and never that they are harmless: it holds their digest
/// alone. What judges them is a value of RTMR0 that the policy names, and where that is from is its author's word: the shape of a VM
/// from which they were rebuilt, or a guest that ran. Under a paravisor MRTD is of the paravisor, which hands the guest its tables;
/// the host does not.
fn acpi_tables(body: &Body<'_>, profile: &TdxProfile) -> Text {
    let [rtmr0, ..] = &body.rtmrs;
    if profile.rtmr0.is_met_by(rtmr0) == Some(false) {
        return "not those that the policy names".into();
    }
    match (*rtmr0 == Mr([0; 48]), profile.rtmr0.is_asked(), &profile.unjudged_acpi_tables) {
        (true, _, Some(reason)) => format!("not measured, which the policy bears: {reason}").into(),
        (true, _, None) => "not measured".into(),
        (false, true, _) => match &profile.rebuilt_acpi_tables {
            Some(from) => format!("pinned as rebuilt from the declared shape of the VM: {from}").into(),
            None => "pinned".into(),
        },
        (false, false, _) => "not judged".into(),
    }
}

const ANY_LOG: &str = "an event log that replays to RTMR0, RTMR1, RTMR2 and RTMR3 of the quote";
