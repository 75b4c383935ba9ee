//! A memory of what was seen before: what is older is refused, and nothing but that.

use teegate_forge::snp::Tcb;
use teegate_forge::tdx::TdxBuilder;
use teegate_forge::time::{AT, DAY};
use teegate_verifier::{Check, Memory, Outcome, Tee};

use crate::case::{Case, cases, refused};
use crate::subject::{Subject, good, snp, tdx};

cases! { amd_list amd_tcb intel_lists intel_evaluations intel_tcb }

fn snp_list_of(days_before: u64) -> Subject {
    snp(|device| device.crl_window(AT - days_before * DAY, Some(AT + 300 * DAY)))
}

fn amd_list() -> Vec<Case> {
    let (older, newer) = (snp_list_of(9), snp_list_of(2));
    let none = older.clone().with_pool(|pool| pool.crls.clear());
    let if_supplied = |subject: &Subject| subject.clone().under("revocation", "\"if-supplied\"");
    vec![
        refused("snp.chain.rollback", older.clone().after(&newer))
            .twin(newer.clone().after(&older))
            .actual("and one of 2026-05-30T00:00:00Z was seen before"),
        refused("snp.chain.rollback", if_supplied(&none).after(&newer))
            .twin(if_supplied(&newer).after(&newer))
            .actual("no CRL of ARK-Genoa"),
        // What a memory has seen is of one root: another that bears the same name is another issuer.
        refused("snp.chain.rollback", older.clone().after(&newer))
            .twin(older.after(&snp(|device| device.product(teegate_forge::snp::Product::Milan).chip_id([9; 64])))),
    ]
}

const GENOA: Tcb = Tcb { fmc: 0, bootloader: 10, tee: 1, snp: 0x1B, microcode: 0x54 };

fn amd_tcb() -> Vec<Case> {
    let device = |tcb| snp(move |device| device.tcb(tcb));
    let good = device(GENOA);
    let lower = [
        Tcb { tee: 0, ..GENOA },
        Tcb { microcode: 83, ..GENOA },
        // Higher in one component does not make up for another.
        Tcb { bootloader: 11, tee: 0, ..GENOA },
    ];
    let mut cases: Vec<_> = lower
        .map(|tcb| {
            refused("snp.tcb.rollback", device(tcb).after(&good))
                .twin(good.clone().after(&good))
                .actual("was seen before")
        })
        .to_vec();
    // Another chip is another matter.
    let other = snp(|device| device.tcb(Tcb { tee: 0, ..GENOA }).chip_id([9; 64]));
    cases.push(refused("snp.tcb.rollback", device(Tcb { tee: 0, ..GENOA }).after(&good)).twin(other.after(&good)));
    cases
}

fn tdx_lists_of(edit: impl FnOnce(TdxBuilder) -> TdxBuilder) -> Subject {
    tdx(edit)
}

fn intel_lists() -> Vec<Case> {
    let root =
        |days: u64| tdx_lists_of(move |device| device.edit_root_crl(move |crl| crl.this_update = AT - days * DAY));
    let pck = |days: u64| tdx_lists_of(move |device| device.edit_pck_crl(move |crl| crl.this_update = AT - days * DAY));
    vec![
        refused("tdx.collateral.rollback", root(9).after(&root(2)))
            .twin(root(2).after(&root(9)))
            .actual("CRL of Intel SGX Root CA"),
        refused("tdx.collateral.rollback", pck(9).after(&pck(2)))
            .twin(pck(2).after(&pck(9)))
            .actual("CRL of Intel SGX PCK Platform CA"),
    ]
}

fn intel_evaluations() -> Vec<Case> {
    let of = |number: u32| {
        tdx(move |device| {
            device
                .edit_tcb_info(move |info| info.evaluation_number = number)
                .edit_qe_identity(move |qe| qe.evaluation_number = number)
        })
    };
    vec![
        refused("tdx.collateral.rollback", of(18).after(&of(19)))
            .twin(of(19).after(&of(18)))
            .actual("evaluation 18, and one evaluation 19 was seen before"),
    ]
}

fn intel_tcb() -> Vec<Case> {
    let higher = tdx(|device| {
        device.edit_sgx_extension(|sgx| {
            sgx.components[0] += 1;
            sgx.cpusvn[0] += 1;
        })
    });
    vec![
        refused("tdx.tcb.rollback", good(Tee::Tdx).after(&higher))
            .twin(higher.clone().after(&good(Tee::Tdx)))
            .actual("was seen before"),
    ]
}

/// Without a memory the lines say so, and a rejection leaves nothing to remember.
#[test]
fn no_memory_is_said_and_an_empty_one_refuses_nothing() {
    for (tee, checks) in [
        (Tee::SevSnp, [Check::SNP_CHAIN_ROLLBACK, Check::SNP_TCB_ROLLBACK]),
        (Tee::Tdx, [Check::TDX_COLLATERAL_ROLLBACK, Check::TDX_TCB_ROLLBACK]),
    ] {
        let report = good(tee).accepted();
        let empty = Subject { memory: Some(Memory::new()), ..good(tee) }.accepted();
        for check in checks {
            let outcome = report.finding(check).unwrap().outcome();
            assert_eq!(outcome.why(), Some("the caller handed in no memory of what was seen before"));
            assert_eq!(empty.finding(check).unwrap().outcome(), &Outcome::Pass);
        }
    }
}

#[test]
fn a_memory_survives_being_written_down_and_an_older_verdict_takes_nothing_from_it() {
    let (older, newer) = (snp_list_of(9), snp_list_of(2));
    let mut memory = Memory::new();
    memory.remember(newer.judge().unwrap().seen());
    memory.remember(older.judge().unwrap().seen());
    let text = serde_json::to_string(&memory).unwrap();
    let read: Memory = serde_json::from_str(&text).unwrap();
    assert_eq!(read, memory);
    let refused = Subject { memory: Some(read), ..older }.rejected();
    assert_eq!(refused.failed_checks(), ["snp.chain.rollback"]);
    let other = text.replacen("\"schema\":2", "\"schema\":3", 1);
    let error = serde_json::from_str::<Memory>(&other).unwrap_err().to_string();
    assert!(error.contains("memory of schema 3: this release reads schemas 1 and 2"), "{error}");
}

/// Two processes may share one file: what was judged without this memory teaches it nothing lower than what it holds.
#[test]
fn an_older_platform_takes_nothing_from_a_memory() {
    let higher = Tcb { snp: 0x1C, ..GENOA };
    let at = |tcb| snp(move |device| device.tcb(tcb));
    let mut memory = Memory::new();
    memory.remember(at(higher).judge().unwrap().seen());
    memory.remember(at(GENOA).judge().unwrap().seen());
    let held = |tcb| Subject { memory: Some(memory.clone()), ..at(tcb) };
    assert_eq!(held(GENOA).rejected().failed_checks(), ["snp.tcb.rollback"]);
    held(higher).accepted();
    let mut merged = Memory::new();
    merged.remember(at(GENOA).judge().unwrap().seen());
    merged.merge(&memory);
    assert_eq!(merged, memory);
}

/// A file that somebody wrote by hand does not switch the check off by holding other components than a platform has.
#[test]
fn another_number_of_components_is_refused() {
    for (tee, check) in [(Tee::SevSnp, "snp.tcb.rollback"), (Tee::Tdx, "tdx.tcb.rollback")] {
        let seen = good(tee).after(&good(tee)).memory.unwrap();
        let mut json = serde_json::to_value(&seen).unwrap();
        let (_, platform) = json["platforms"].as_object_mut().unwrap().iter_mut().next().unwrap();
        let whole = platform["tcb"].clone();
        for tcb in [serde_json::json!([]), serde_json::json!([0])] {
            platform["tcb"] = tcb;
            let memory = serde_json::from_value(serde_json::json!({
                "schema": 2, "statements": {}, "platforms": { name(&seen): platform.clone() },
            }));
            let refused = Subject { memory: Some(memory.unwrap()), ..good(tee) }.rejected();
            assert_eq!(refused.failed_checks(), [check], "{refused}");
        }
        // As the first schema wrote it, whole.
        let first = serde_json::json!({ "schema": 1, "statements": {}, "platforms": { name(&seen): whole } });
        Subject { memory: Some(serde_json::from_value(first).unwrap()), ..good(tee) }.accepted();
    }
}

/// The name of the one platform of a memory.
fn name(memory: &Memory) -> String {
    let json = serde_json::to_value(memory).unwrap();
    json["platforms"].as_object().unwrap().keys().next().unwrap().clone()
}

/// A memory that is full forgets the platform that it has not seen for longest, no statement, and refuses nobody.
#[test]
fn a_memory_that_is_full_makes_room() {
    let newcomer = good(Tee::SevSnp);
    let attested = newcomer.judge().unwrap();
    let mut json = serde_json::to_value(Memory::new()).unwrap();
    let platforms = json["platforms"].as_object_mut().unwrap();
    for index in 0..65_536 {
        let seen = if index == 40_000 { 1 } else { 2 + index };
        platforms.insert(format!("chip {index}"), serde_json::json!({ "tcb": [1, 2, 3, 4], "seen": seen }));
    }
    let statements = json["statements"].as_object_mut().unwrap();
    for index in 0..1_024 {
        statements.insert(format!("CRL of {index}"), serde_json::json!(7));
    }
    let mut memory: Memory = serde_json::from_value(json.clone()).unwrap();
    memory.remember(attested.seen());
    let after = serde_json::to_value(&memory).unwrap();
    assert_eq!(
        after["statements"], json["statements"],
        "statements are never forgotten, and no further one is learned"
    );
    let (before, after) = (json["platforms"].as_object().unwrap(), after["platforms"].as_object().unwrap());
    let gone: Vec<_> = before.keys().filter(|name| !after.contains_key(*name)).collect();
    assert_eq!((gone, after.len()), (vec![&"chip 40000".to_owned()], 65_536));
    Subject { memory: Some(memory), ..newcomer }.accepted();
}

/// Which platform makes room is told by when it was seen last, and not by when it was seen first.
#[test]
fn a_platform_that_is_seen_again_is_seen_later() {
    let seen_at = |times: &[u64]| {
        let mut memory = Memory::new();
        times.iter().for_each(|at| memory.remember(good(Tee::SevSnp).at(*at).judge().unwrap().seen()));
        let json = serde_json::to_value(&memory).unwrap();
        json["platforms"].as_object().unwrap().values().map(|shown| shown["seen"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(seen_at(&[AT]), [AT]);
    assert_eq!(seen_at(&[AT, AT + DAY]), [AT + DAY]);
    assert_eq!(seen_at(&[AT + DAY, AT]), [AT + DAY]);
}

/// Intel serves an early evaluation and a standard one. Whoever brings the early one along with its evidence does not lock
/// the relying party out of the standard one, and neither does a relying party that once took both.
#[test]
fn a_strangers_evaluation_does_not_move_the_memory() {
    use teegate_verifier::Source;
    let of = |number: u32| tdx(move |device| device.evaluation_number(number));
    let (early, standard, old) = (of(22), of(20), of(18));
    for stranger in [Source::Evidence, Source::Relayed, Source::Bundle] {
        let carried = early.clone().brought_by(stranger);
        standard.clone().after(&carried).accepted();
        // What it brought is held against the memory all the same.
        let refused = old.clone().brought_by(stranger).after(&standard).rejected();
        assert_eq!(refused.failed_checks(), ["tdx.collateral.rollback"], "{refused}");
    }
    for own in [Source::Supplied, Source::Fetched] {
        let refused = standard.clone().after(&early.clone().brought_by(own)).rejected();
        assert_eq!(refused.failed_checks(), ["tdx.collateral.rollback"], "{refused}");
    }
    let both = early.clone().with_pool(|pool| {
        pool.tcb_infos.extend(standard.pool.tcb_infos.clone());
        pool.qe_identities.extend(standard.pool.qe_identities.clone());
    });
    standard.clone().after(&both).accepted();
    let refused = old.clone().after(&both).rejected();
    assert_eq!(refused.failed_checks(), ["tdx.collateral.rollback"], "{refused}");
    // What holds only later lowers nothing.
    let (from, until) = (AT + 5 * DAY, AT + 35 * DAY);
    let later =
        tdx(move |device| device.evaluation_number(18).tcb_info_window(from, until).qe_identity_window(from, until));
    let both = standard.with_pool(|pool| {
        pool.tcb_infos.extend(later.pool.tcb_infos);
        pool.qe_identities.extend(later.pool.qe_identities);
    });
    let refused = old.after(&both).rejected();
    assert_eq!(refused.failed_checks(), ["tdx.collateral.rollback"], "{refused}");
    // A list is learned whoever brought it.
    let (older, newer) = (snp_list_of(9), snp_list_of(2));
    let refused = older.after(&newer.brought_by(Source::Evidence)).rejected();
    assert_eq!(refused.failed_checks(), ["snp.chain.rollback"], "{refused}");
}
