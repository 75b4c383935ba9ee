//! TDX, appraisal: Intel's evaluation of the TCB, and every rule of a profile, one defect at a time.

use teegate_forge::tdx::{IsvLevel, TcbInfo, TdReport, TdxBuilder, extended};
use teegate_verifier::Tee;

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, tdx};

cases! {
    tcb_level tcb_module qe_tcb tcb_accepted tcb_parts tcb_advisories tcb_date relaunch debug attributes xfam service_td
    registers report_data platform_allowed
}

fn info(edit: impl Fn(&mut TcbInfo) + Send + Sync + 'static) -> Subject {
    tdx(|device| device.edit_tcb_info(edit))
}

fn tcb_level() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.tcb.level", subject).actual(actual);
    let mut cases = vec![
        case(tdx(|device| device.platform_tcb([1; 16], 11)), "none"),
        case(tdx(|device| device.platform_tcb(teegate_forge::tdx::PLATFORM_COMPONENTS, 4)), "none"),
        case(tdx(|device| device.tee_tcb_svn(11, 1, 1)), "none"),
        case(info(|info| info.levels.clear()), "none"),
        case(info(|info| info.levels.iter_mut().for_each(|level| level.tdx = None)), "none"),
        case(info(|info| info.levels.push(info.levels[0].clone())), "the same level twice"),
        // The same SVNs with another status: which of them would hold is nobody's to choose.
        case(
            info(|info| {
                let mut twin = info.levels[2].clone();
                "UpToDate".clone_into(&mut twin.status);
                info.levels.insert(0, twin);
            }),
            "the same level twice",
        ),
        // Module version 0 has no identity: all 16 SVNs count, the first two included.
        case(tdx(|device| device.tee_tcb_svn(4, 0, 4)), "none").twin(tdx(|device| device.tee_tcb_svn(5, 0, 4))),
        // The order in the text means nothing.
        case(info(|info| info.levels.clear()), "none").twin(info(|info| info.levels.reverse())),
        case(info(|info| info.levels.clear()), "none").twin(info(|info| info.levels.rotate_left(1))),
    ];
    // One component below, each in its turn, of the one level that is left.
    for component in [0, 1, 2, 3, 4, 5, 7] {
        let subject = tdx(|device| {
            device.edit_tcb_info(|info| info.levels.truncate(1)).edit_sgx_extension(move |sgx| {
                sgx.components[component] -= 1;
                sgx.cpusvn[component] -= 1;
            })
        });
        cases.push(case(subject, "none").twin(info(|info| info.levels.truncate(1))));
    }
    cases
}

fn module(edit: fn(&mut teegate_forge::tdx::ModuleIdentity)) -> Subject {
    info(move |info| edit(&mut info.module_identities.as_mut().unwrap()[0]))
}

fn tcb_module() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.tcb.module", subject).actual(actual);
    let td = |edit: fn(&mut TdReport)| tdx(|device| device.edit_td_report(edit));
    let version_0 = |edit: fn(&mut TcbInfo)| tdx(|device| device.tee_tcb_svn(5, 0, 4).edit_tcb_info(edit));
    vec![
        case(info(|info| drop(info.module_identities.as_mut().unwrap().remove(0))), "no identity TDX_01"),
        case(info(|info| info.module_identities = None), "no identity TDX_01"),
        case(
            info(|info| {
                let identities = info.module_identities.as_mut().unwrap();
                identities.push(identities[0].clone());
            }),
            "the identity TDX_01 twice",
        ),
        case(tdx(|device| device.tee_tcb_svn(11, 2, 4)), "no identity TDX_02")
            .twin(tdx(|device| device.tee_tcb_svn(5, 3, 4))),
        case(tdx(|device| device.tee_tcb_svn(1, 1, 4)), "TDX_01: no level for SVN 1"),
        case(module(|module| module.levels.clear()), "TDX_01: no level for SVN 11"),
        case(td(|td| td.mrsignerseam[0] = 1), "MRSIGNERSEAM 01"),
        case(module(|module| module.signer.mrsigner[47] = 1), "MRSIGNERSEAM 00"),
        case(td(|td| td.seam_attributes = 1), "SEAMATTRIBUTES 01"),
        case(module(|module| module.signer.attributes[0] = 1), "SEAMATTRIBUTES 00"),
        // Even where collateral and report agree on attributes: a debug module is none.
        case(
            tdx(|device| {
                device
                    .edit_td_report(|td| td.seam_attributes = 1)
                    .edit_tcb_info(|info| info.module_identities.as_mut().unwrap()[0].signer.attributes[0] = 1)
            }),
            "SEAMATTRIBUTES 01",
        ),
        // A module of version 0 is judged by the base module's signer.
        case(version_0(|info| info.module = None), "no tdxModule").twin(version_0(|_| {})),
        case(version_0(|info| info.module.as_mut().unwrap().mrsigner[0] = 1), "MRSIGNERSEAM 00"),
        case(tdx(|device| device.tee_tcb_svn(5, 0, 4).edit_td_report(|td| td.mrsignerseam[5] = 1)), "MRSIGNERSEAM 00"),
        // Two levels of one SVN say two things, whichever comes first.
        case(module(|module| twice(&mut module.levels, true)), "TDX_01: the same level twice"),
        case(module(|module| twice(&mut module.levels, false)), "TDX_01: the same level twice"),
        // The order of a module's levels means nothing either.
        case(module(|module| module.levels.clear()), "").twin(module(|module| module.levels.reverse())),
    ]
}

/// The first level once more, as revoked.
fn twice(levels: &mut Vec<IsvLevel>, in_front: bool) {
    let mut again = levels[0].clone();
    "Revoked".clone_into(&mut again.status);
    levels.insert(usize::from(!in_front), again);
}

fn qe_tcb() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.qe.tcb", subject).actual(actual);
    let configured = || tdx(|device| device.qe_status("ConfigurationNeeded"));
    vec![
        case(tdx(|device| device.qe_isvsvn(3)), "no level for ISVSVN 3; levels are from ISVSVN"),
        case(tdx(|device| device.edit_qe_identity(|qe| qe.levels.clear())), "no level for ISVSVN 8; levels are none"),
        case(tdx(|device| device.edit_qe_identity(|qe| twice(&mut qe.levels, true))), "the same level twice"),
        case(tdx(|device| device.edit_qe_identity(|qe| twice(&mut qe.levels, false))), "the same level twice"),
        case(tdx(|device| device.qe_isvsvn(3)), "")
            .twin(tdx(|device| device.edit_qe_identity(|qe| qe.levels.reverse()))),
        // Convergence passes over it; here it is a finding of its own.
        case(configured(), "ConfigurationNeeded")
            .twin(configured().under("tcb_status", "[\"UpToDate\", \"ConfigurationNeeded\"]")),
        case(tdx(|device| device.qe_status("OutOfDateConfigurationNeeded")), "OutOfDateConfigurationNeeded"),
    ]
}

/// Every status but those that the policy names; Revoked and the unknown always.
fn tcb_accepted() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.tcb.accepted", subject).actual(actual);
    let status = |status: &str| tdx(|device| device.platform_status(status));
    let mut cases = Vec::new();
    for name in [
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
    ] {
        let named = status(name).under("tcb_status", &format!("[\"UpToDate\", \"{name}\"]"));
        cases.push(case(status(name), name).expected("one of [UpToDate]").twin(named));
        let waived = status(name).under("tcb_status", "\"unchecked\"");
        cases.push(case(status(name), name).twin(waived).twin_shows("not-checked"));
    }
    for unknown in ["Fine", "uptodate", "UpToDate ", "", "TDRelaunchAdvised"] {
        let subject = status(unknown).under("tcb_status", "\"unchecked\"");
        cases.push(case(subject, &format!("unknown status `{unknown}`")));
    }
    // Of module and quoting enclave fewer statuses are known.
    let odd = "SWHardeningNeeded";
    cases.push(case(tdx(|device| device.module_status(odd)), "unknown status `SWHardeningNeeded`"));
    cases.push(case(tdx(|device| device.qe_status(odd)), "unknown status `SWHardeningNeeded`"));
    cases.push(case(status("Revoked"), "Revoked"));
    cases.push(
        case(status("Revoked").under("tcb_status", "\"unchecked\""), "Revoked").expected("any status but Revoked"),
    );
    cases
}

/// What module and quoting enclave do to an up-to-date platform, and the platform to them.
fn tcb_parts() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.tcb.accepted", subject).actual(actual);
    let both = |platform: &str, qe: &str| tdx(|device| device.platform_status(platform).qe_status(qe));
    let unchecked = |subject: Subject| subject.under("tcb_status", "\"unchecked\"");
    vec![
        case(unchecked(tdx(|device| device.module_status("Revoked"))), "Revoked"),
        case(unchecked(tdx(|device| device.qe_status("Revoked"))), "Revoked"),
        case(unchecked(both("Revoked", "UpToDate")), "Revoked"),
        case(tdx(|device| device.module_status("OutOfDate")), "OutOfDate"),
        case(tdx(|device| device.qe_status("OutOfDate")), "OutOfDate"),
        case(tdx(|device| device.qe_isvsvn(7)), "OutOfDate"),
        case(tdx(|device| device.tee_tcb_svn(10, 1, 4)), "OutOfDate"),
        case(both("ConfigurationNeeded", "OutOfDate"), "OutOfDateConfigurationNeeded")
            .twin(both("ConfigurationNeeded", "UpToDate").under("tcb_status", "[\"ConfigurationNeeded\"]")),
        case(both("SWHardeningNeeded", "OutOfDate"), "OutOfDate")
            .twin(both("SWHardeningNeeded", "OutOfDate").under("tcb_status", "[\"OutOfDate\"]")),
    ]
}

fn tcb_advisories() -> Vec<Case> {
    let case = |subject, actual: &str| refused("tdx.tcb.accepted", subject).actual(actual);
    let advised = || tdx(|device| device.platform_advisories(&["INTEL-SA-00001", "INTEL-SA-00002"]));
    // The union: those of the quoting enclave and of the module count as well.
    let qe = tdx(|device| device.edit_qe_identity(|qe| qe.levels[0].advisories = vec!["INTEL-SA-00003".to_owned()]));
    let module = module(|module| module.levels[0].advisories = vec!["INTEL-SA-00004".to_owned()]);
    vec![
        case(advised(), "INTEL-SA-00002")
            .under("allowed_advisories", "[\"INTEL-SA-00001\"]")
            .twin(advised().under("allowed_advisories", "[\"INTEL-SA-00002\", \"INTEL-SA-00001\"]")),
        case(advised(), "INTEL-SA-00002").under("denied_advisories", "[\"INTEL-SA-00009\", \"INTEL-SA-00002\"]"),
        case(qe, "INTEL-SA-00003").under("denied_advisories", "[\"INTEL-SA-00003\"]"),
        case(module, "INTEL-SA-00004").under("allowed_advisories", "[\"INTEL-SA-00001\"]").twin(advised()),
    ]
}

/// The earliest date of the three parts counts.
fn tcb_date() -> Vec<Case> {
    let case = |subject: Subject, actual: &str| refused("tdx.tcb.accepted", subject).actual(actual);
    let floor = |subject: Subject, date: &str| subject.under("minimum_tcb_date", &format!("\"{date}\""));
    let current = "2026-02-21T00:00:00Z";
    let qe = tdx(|device| device.edit_qe_identity(|qe| qe.levels[0].date -= 86_400));
    let module = module(|module| module.levels[0].date -= 2 * 86_400);
    let late = |subject| floor(subject, current);
    vec![
        case(floor(good(Tee::Tdx), "2026-02-21T00:00:01Z"), "TCB date 2026-02-21T00:00:00Z").twin(late(good(Tee::Tdx))),
        case(late(qe), "TCB date 2026-02-20T00:00:00Z"),
        case(late(module), "TCB date 2026-02-19T00:00:00Z"),
    ]
}

/// TD 1.5: what launched the TD, and what runs now, are both evaluated.
fn relaunch() -> Vec<Case> {
    let td15 = |launch: [u8; 3], now: [u8; 3]| {
        tdx(|device| {
            device.version_5(3).tee_tcb_svn(launch[0], launch[1], launch[2]).tee_tcb_svn2(now[0], now[1], now[2])
        })
    };
    let extended = |now: [u8; 3]| tdx(|device| device.version_5(4).tee_tcb_svn2(now[0], now[1], now[2]));
    let (old, new) = ([2, 1, 4], [11, 1, 4]);
    // The module that runs now has a level of its own, a day older than the others and open to one advisory.
    let now_with = |status: &'static str| {
        tdx(|device| {
            device.version_5(3).tee_tcb_svn2(5, 1, 4).edit_tcb_info(move |info| {
                let levels = &mut info.module_identities.as_mut().unwrap()[0].levels;
                let mut level = IsvLevel::new(5, levels[0].date - 86_400, status);
                level.advisories = vec!["INTEL-SA-00077".to_owned()];
                levels.push(level);
            })
        })
    };
    let case = |subject, actual: &str| refused("tdx.tcb.relaunch", subject).actual(actual);
    let advised = |subject, actual: &str| refused("tdx.tcb.accepted", subject).actual(actual);
    vec![
        case(td15(new, [1, 1, 4]), "TDX_01: no level for SVN 1").twin(td15(new, new)),
        case(td15(new, [11, 7, 4]), "no identity TDX_07").twin(td15(new, [5, 3, 4])),
        case(td15(new, [11, 1, 1]), "SGX SVNs").twin(extended(new)),
        case(extended([1, 1, 4]), "TDX_01: no level for SVN 1").twin(extended(new)),
        case(td15(new, [1, 1, 4]), "").twin(good(Tee::Tdx)).twin_shows("not-applicable"),
        // Launched by an old module, now under a good one: the TD still holds what the old one gave it.
        advised(td15(old, new), "TDRelaunchAdvised")
            .twin(td15(old, new).under("tcb_status", "[\"UpToDate\", \"TDRelaunchAdvised\"]")),
        advised(td15(old, old), "OutOfDate"),
        // What runs now is revoked: that it was launched in order helps nobody.
        case(now_with("Revoked").under("tcb_status", "\"unchecked\""), "now Revoked").twin(now_with("UpToDate")),
        case(now_with("Revoked"), "now Revoked").and("tdx.tcb.accepted").twin(now_with("UpToDate")),
        // The policy's rules hold for the launch and for now.
        advised(now_with("OutOfDate"), "OutOfDate").twin(now_with("UpToDate")),
        advised(now_with("UpToDate").under("denied_advisories", "[\"INTEL-SA-00077\"]"), "INTEL-SA-00077")
            .twin(td15(new, new).under("denied_advisories", "[\"INTEL-SA-00077\"]")),
        advised(now_with("UpToDate").under("minimum_tcb_date", "\"2026-02-21T00:00:00Z\""), "TCB date 2026-02-20")
            .twin(td15(new, new).under("minimum_tcb_date", "\"2026-02-21T00:00:00Z\"")),
    ]
}

/// DEBUG, the named profiling bits, and those that have no name yet.
fn debug() -> Vec<Case> {
    let mut cases = Vec::new();
    for (bit, name, switch) in [
        (0, "DEBUG", Some("debug")),
        (1, "a reserved TUD bit", None),
        (2, "a reserved TUD bit", None),
        (3, "a reserved TUD bit", None),
        (4, "HGS_PLUS_PROF", Some("profiling")),
        (5, "PERF_PROF", Some("profiling")),
        (6, "PMT_PROF", Some("profiling")),
        (7, "a reserved TUD bit", None),
    ] {
        let tud = || tdx(|device| device.attributes(1 << 28 | 1 << bit)).claiming_nothing();
        let case = || refused("tdx.td.debug", tud()).actual(name);
        cases.push(case().expected("TUD 0 (no debug, no profiling)"));
        for field in ["debug", "profiling"] {
            // A bit is let in by its own switch alone, and a reserved one by none.
            let allowed = tud().under(field, "\"allowed\"");
            cases.push(if switch == Some(field) {
                case().twin(allowed)
            } else {
                refused("tdx.td.debug", allowed).actual(name).expected("no TUD bit outside")
            });
        }
    }
    cases
}

fn attributes() -> Vec<Case> {
    // TD 1.5: a migratable TD 1.0 fails for its service TD as well.
    let set = |bits: u64| tdx(|device| device.version_5(3).attributes(bits));
    let case = |subject, actual: &str| refused("tdx.td.attributes", subject).actual(actual);
    let sept = 1 << 28;
    let mut cases = vec![
        case(set(0), "sept-ve-disable is 0"),
        case(set(sept | 1 << 8), "unknown bits 0x100"),
        case(set(sept | 1 << 61), "unknown bits 0x2000000000000000"),
        case(set(sept | 1 << 29), "migratable is 1"),
        case(set(sept | 1 << 63), "perfmon is 1"),
        case(set(sept | 1 << 62), "tpa is 1"),
    ];
    for (name, bit) in [("lass", 27), ("pks", 30), ("kl", 31)] {
        let rule = format!("{{ required = [\"{name}\"], forbidden = [], unknown = \"rejected\" }}");
        cases.push(case(set(sept), &format!("{name} is 0")).twin(set(1 << bit)).under("attributes", &rule));
    }
    cases
}

fn xfam() -> Vec<Case> {
    let set = |xfam: u64| tdx(|device| device.xfam(xfam));
    let case = |subject, actual: &str| {
        refused("tdx.td.xfam", subject).expected("0x3 and nothing outside 0x6dbe7").actual(actual)
    };
    vec![
        case(set(0x0006_02E6), "0x602e6"),
        case(set(0x0006_02E7 | 1 << 3), "0x602ef"),
        case(set(1 << 63 | 3), "0x8000000000000003").twin(set(3)),
    ]
}

/// A service TD is bound to the guest and can migrate it; none unless named, and never another than at first.
fn service_td() -> Vec<Case> {
    let bound = |byte: u8| tdx(|device| device.version_5(3).mrservicetd([byte; 48]));
    let hashes =
        |edit: fn(&mut [u8; 237])| tdx(|device| device.version_5(4).edit_td_report(move |td| edit(&mut td.extended)));
    let case = |subject, actual: &str| refused("tdx.td.service-td", subject).actual(actual);
    let named = format!("\"{}\"", "0a".repeat(48));
    vec![
        case(bound(10), &"0a".repeat(48)).expected("none").twin(bound(0)),
        case(bound(11), &"0b".repeat(48)).twin(bound(10)).under("service_td", &named),
        case(bound(0), "none").twin(bound(10)).under("service_td", &named),
        case(hashes(|td| td[extended::CURRENT_SERVICE_TD_HASH] = 1), "initially 00").twin(hashes(|_| {})),
        case(hashes(|td| td[extended::INITIAL_SERVICE_TD_HASH + 47] = 1), "now 00").twin(hashes(|td| {
            td[extended::INITIAL_SERVICE_TD_HASH] = 7;
            td[extended::CURRENT_SERVICE_TD_HASH] = 7;
        })),
        case(bound(10), "").twin(good(Tee::Tdx)).twin_shows("not-applicable"),
        // A TD 1.0 report cannot show a service TD: one that could migrate this TD, or one that is asked for.
        case(tdx(|device| device.attributes(3 << 28)), "a TD 1.0 report, which cannot show it")
            .under("attributes", "\"unchecked\"")
            .twin(tdx(|device| device.attributes(3 << 28).tee_tcb_svn(5, 0, 4)))
            .under("attributes", "\"unchecked\"")
            .twin_shows("not-applicable"),
        case(good(Tee::Tdx).under("service_td", &named), "a TD 1.0 report, which cannot show it")
            .twin(bound(10).under("service_td", &named)),
        case(bound(10), "").twin(bound(10).under("service_td", "\"unchecked\"")).twin_shows("not-checked"),
    ]
}

fn registers() -> Vec<Case> {
    type Edit = fn(&mut TdReport) -> &mut [u8; 48];
    let registers: [(&str, &str, Edit); 9] = [
        ("tdx.td.mrtd", "7d", |td| &mut td.mrtd),
        ("tdx.td.rtmr0", "a0", |td| &mut td.rtmr[0]),
        ("tdx.td.rtmr1", "a1", |td| &mut td.rtmr[1]),
        ("tdx.td.rtmr2", "a2", |td| &mut td.rtmr[2]),
        ("tdx.td.rtmr3", "a3", |td| &mut td.rtmr[3]),
        ("tdx.td.mrseam", "5e", |td| &mut td.mrseam),
        ("tdx.td.mrconfigid", "00", |td| &mut td.mrconfigid),
        ("tdx.td.mrowner", "00", |td| &mut td.mrowner),
        ("tdx.td.mrownerconfig", "00", |td| &mut td.mrownerconfig),
    ];
    let mut cases = Vec::new();
    for (check, byte, register) in registers {
        let changed =
            |edit: fn(&mut [u8; 48])| tdx(|device: TdxBuilder| device.edit_td_report(move |td| edit(register(td))));
        let field = check.trim_start_matches("tdx.td.");
        let other = || changed(|value| *value = [0x0F; 48]);
        cases.extend([
            refused(check, other()).expected(byte.repeat(48)).actual("0f".repeat(48)),
            refused(check, changed(|value| value[0] ^= 0x80)).expected(byte.repeat(48)),
            refused(check, changed(|value| value[47] ^= 1)).expected(byte.repeat(48)),
            refused(check, changed(|value| value[47] ^= 1))
                .under(field, &format!("[\"{}\", \"{}\"]", byte.repeat(48), "0f".repeat(48)))
                .twin(other().under(field, &format!("[\"{}\", \"{}\"]", byte.repeat(48), "0f".repeat(48))))
                .expected("one of"),
        ]);
    }
    cases
}

fn report_data() -> Vec<Case> {
    let case = |subject, expected: &str| refused("tdx.td.report-data", subject).expected(expected);
    let saying = |byte: u8| tdx(|device| device.report_data([byte; 64]));
    let caller = |subject: Subject| subject.under("report_data", "\"caller\"");
    vec![
        case(saying(7), &"00".repeat(64)).actual("07".repeat(64)),
        case(caller(good(Tee::Tdx)), "none were named").twin(caller(good(Tee::Tdx)).asking([0; 64])),
        case(caller(saying(7)).asking([8; 64]), &"08".repeat(64)).twin(caller(saying(8)).asking([8; 64])),
        case(saying(7).under("report_data", "\"unchecked\"").asking([8; 64]), &"08".repeat(64)),
        case(good(Tee::Tdx).asking([7; 64]), "by the caller").twin(good(Tee::Tdx).asking([0; 64])),
    ]
}

fn platform_allowed() -> Vec<Case> {
    let listed = format!("[\"{}\"]", "99".repeat(16));
    let other = tdx(|device| device.edit_sgx_extension(|sgx| sgx.ppid = vec![0x98; 16]));
    vec![
        refused("tdx.platform.allowed", other)
            .under("ppids", &listed)
            .expected("99".repeat(16))
            .actual("98".repeat(16)),
    ]
}
