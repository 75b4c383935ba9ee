//! Until when a verdict holds: never longer than the same question gets the same answer. Each pool is asked again at every
//! edge of every window in it, and at every date of the policy.

use std::collections::BTreeSet;

use teegate_forge::tdx::{IsvLevel, Revoked, TdxBuilder};
use teegate_forge::time::{AT, DAY, YEAR, rfc3339};
use teegate_verifier::{Tee, UnixTime};

use crate::subject::{SNP_DEVICE, Subject, TDX_DEVICE, good, snp, tdx};
use crate::tdx_outlook::with_another;

/// Every time at which anything begins or ends that the pool holds, and one second on either side.
fn edges(subject: &Subject) -> BTreeSet<u64> {
    let hints = teegate_verifier::hints_of(&subject.pool.to_endorsements());
    let windows = hints.iter().flatten().flat_map(|hint| std::iter::once(hint.from).chain(hint.until));
    let windows = windows.map(UnixTime::seconds).filter(|edge| *edge > AT && *edge < AT + 40 * YEAR);
    windows.flat_map(|edge| [edge - 1, edge, edge + 1]).collect()
}

/// Accepted now, accepted at each edge before `valid_until`, and, where `exactly`, refused at `valid_until`.
#[track_caller]
fn holds_as_long_as_it_says(what: &str, subject: &Subject, dates: &[u64], exactly: bool) {
    let report = match subject.judge() {
        Ok(attested) => attested.report().clone(),
        Err(rejection) => panic!("{what}: must be accepted, but: {rejection}"),
    };
    let until = report.valid_until().unwrap().seconds();
    let mut times = edges(subject);
    times.extend(dates.iter().flat_map(|date| [date - 1, *date, date + 1]));
    times.extend([until - 1]);
    let mut asked = 0;
    for at in times.into_iter().filter(|at| (AT..until).contains(at)) {
        asked += 1;
        if let Err(rejection) = subject.clone().at(at).judge() {
            panic!("{what}: said to hold until {until} ({:?}), and refused at {at}: {rejection}", report.ends_first());
        }
    }
    assert!(asked > 0, "{what}: nothing was asked");
    if exactly {
        subject.clone().at(until).rejected();
    }
}

/// With each statement there once, a verdict ends with the first of them, to the second.
#[test]
fn with_each_statement_once_it_ends_exactly() {
    let early = AT + 20 * DAY;
    let subjects: Vec<(&str, Subject)> = vec![
        ("SNP", good(Tee::SevSnp)),
        ("SNP leaf", snp(move |device| device.vek_validity(AT - YEAR, early))),
        ("SNP CRL", snp(move |device| device.crl_window(AT - DAY, Some(early)))),
        ("TDX", good(Tee::Tdx)),
        ("TCB info", tdx(move |device| device.tcb_info_window(AT - DAY, early))),
        ("QE identity", tdx(move |device| device.qe_identity_window(AT - DAY, early))),
        ("root CRL", tdx(move |device| device.edit_root_crl(move |crl| crl.next_update = Some(early)))),
        ("PCK CRL", tdx(move |device| device.edit_pck_crl(move |crl| crl.next_update = Some(early)))),
        ("TCB signer", tdx(move |device| device.edit_tcb_signing(move |signer| signer.not_after = early))),
        ("PCK", tdx(move |device| device.edit_pck(move |pck| pck.not_after = early))),
        ("PCK CA", tdx(move |device| device.edit_pck_ca(move |ca| ca.not_after = early))),
    ];
    for (what, subject) in subjects {
        // notAfter is the last second of a certificate; nextUpdate is the first after a list or a text.
        let until = subject.accepted().valid_until().unwrap().seconds();
        let at_until = subject.clone().at(until);
        let exactly = at_until.judge().is_err();
        holds_as_long_as_it_says(what, &subject, &[], exactly);
        if !exactly {
            subject.at(until + 1).rejected();
        }
    }
}

/// Statements of the future: none of them makes the verdict hold longer than it does.
#[test]
fn what_is_yet_to_come_never_makes_it_too_late() {
    let soon = AT + 5 * DAY;
    let with = |add: &Subject| {
        let other = add.pool.clone();
        good(add.tee).with_pool(|pool| {
            pool.certificates.extend(other.certificates);
            pool.crls.extend(other.crls);
            pool.tcb_infos.extend(other.tcb_infos);
            pool.qe_identities.extend(other.qe_identities);
        })
    };
    let issued = |edit: fn(TdxBuilder) -> TdxBuilder| with(&tdx(edit));
    let identity = issued(|device| {
        device
            .evaluation_number(22)
            .qe_identity_window(AT + 5 * DAY, AT + 35 * DAY)
            .tcb_info_window(AT - 9 * DAY, AT - DAY)
    });
    let revoked_identity = issued(|device| {
        device
            .qe_status("Revoked")
            .evaluation_number(22)
            .qe_identity_window(AT + 5 * DAY, AT + 35 * DAY)
            .tcb_info_window(AT - 9 * DAY, AT - DAY)
    });
    let again = issued(|device| {
        device
            .platform_status("OutOfDate")
            .tcb_info_window(AT + 5 * DAY, AT + 35 * DAY)
            .qe_identity_window(AT + 5 * DAY, AT + 35 * DAY)
    });
    let unreadable = issued(|device| {
        device
            .tcb_info_window(AT + 5 * DAY, AT + 35 * DAY)
            .edit_tcb_info_text(|text| *text = text.replace("\"tcbLevels\"", "\"levels\""))
    });
    let mixed = |subject: Subject| subject.under("one_evaluation", "\"unchecked\"");
    for (what, subject) in [
        ("a QE identity of another evaluation", identity.clone()),
        ("a QE identity of another evaluation, which is taken", mixed(identity)),
        ("a QE identity that says Revoked", mixed(revoked_identity.clone())),
        ("a QE identity that says Revoked, of another evaluation", revoked_identity),
        ("the same evaluation again, with another status", again),
        ("a text that cannot be read", unreadable),
        ("a higher evaluation", with_another(22, soon)),
        ("a lower evaluation", with_another(18, soon).under("deciding_evaluation", "\"lowest\"")),
    ] {
        holds_as_long_as_it_says(what, &subject, &[], false);
    }
    // These two would have been missed: nothing else ends so soon.
    for subject in [with_another(18, soon).under("deciding_evaluation", "\"lowest\""), with_another(22, soon)] {
        assert_eq!(subject.accepted().valid_until().unwrap().seconds(), soon);
        assert_eq!(subject.at(soon).rejected().failed_checks(), ["tdx.tcb.accepted"]);
    }
    let below = with_another(3, soon)
        .under("deciding_evaluation", "\"lowest\"")
        .under("minimum_evaluation_number", "4")
        .accepted();
    assert!(below.valid_until().unwrap().seconds() > soon, "an evaluation below the minimum never decides");

    let old = good(Tee::SevSnp);
    let renewed = |from: u64, until: u64| {
        let set = SNP_DEVICE.clone().vek_validity(from, until).crl_window(from, Some(until)).build();
        old.clone().with_pool(|pool| {
            pool.certificates.insert(0, set.vek);
            pool.crls.extend(set.crl);
        })
    };
    holds_as_long_as_it_says("a leaf and a list to come", &renewed(soon, soon + 30 * DAY), &[], false);
    holds_as_long_as_it_says("a leaf and a list that end soon", &renewed(AT - DAY, soon), &[], false);
}

/// Dates of the policy: grace and exceptions, also of a text that takes over later.
#[test]
fn dates_of_a_policy_end_it_too() {
    let old = || {
        tdx(|device| {
            device.edit_tcb_info(|info| {
                for level in &mut info.levels {
                    "OutOfDate".clone_into(&mut level.status);
                    level.advisories = vec!["INTEL-SA-00615".to_owned()];
                    level.date = AT - 300 * DAY;
                }
            })
        })
    };
    let grace_end = AT + 10 * DAY;
    let graced = old().under("out_of_date_grace", "{ days = 310 }");
    holds_as_long_as_it_says("a grace", &graced, &[grace_end], true);
    assert_eq!(graced.accepted().valid_until().unwrap().seconds(), grace_end);

    let until = AT + 7 * DAY;
    let exception = format!(
        "{{ \"INTEL-SA-00615\" = {{ statuses = [\"OutOfDate\"], until = \"{}\", reason = \"a test\" }} }}",
        rfc3339(until)
    );
    let excepted = old().under("tcb_exceptions", &exception);
    holds_as_long_as_it_says("an exception", &excepted, &[until], true);
    assert_eq!(excepted.accepted().valid_until().unwrap().seconds(), until);

    // The grace is that of the text that decides by then.
    let takes_over = with_another(22, AT + 3 * DAY).under("out_of_date_grace", "{ days = 3650 }");
    holds_as_long_as_it_says("a text that takes over and is old", &takes_over, &[], false);
}

/// What an authentic list says is taken back stays so, whatever its dates: a clock that runs behind does not help.
#[test]
fn a_revocation_in_hand_counts_whatever_its_dates() {
    let (from, until) = (AT + 5 * DAY, Some(AT + 35 * DAY));
    let pck = tdx(move |device| {
        device.revoke(Revoked::Pck).edit_pck_crl(move |crl| (crl.this_update, crl.next_update) = (from, until))
    });
    let ask = snp(move |device| device.revoke_intermediate().crl_window(from, until));
    let expired_ask = snp(|device| device.revoke_intermediate().crl_window(AT - 400 * DAY, Some(AT - 40 * DAY)));
    for (add, check, dates) in [
        (pck, "tdx.chain.revocation", "2026-06-06T00:00:00Z"),
        (ask, "snp.chain.revocation", "2026-06-06T00:00:00Z"),
        (expired_ask, "snp.chain.revocation", "2025-04-27T00:00:00Z"),
    ] {
        for front in [true, false] {
            let subject = good(add.tee).with_pool(|pool| {
                let at = if front { 0 } else { pool.crls.len() };
                pool.crls.splice(at..at, add.pool.crls.clone());
            });
            let rejection = subject.rejected();
            assert_eq!(rejection.failed_checks(), [check], "{rejection}");
            let text = rejection.to_string();
            assert!(text.contains("is revoked as of ") && text.contains(dates), "both dates: {text}");
        }
    }
    // A list of the future that revokes nothing does not count as one that is current, and is not remembered.
    let clean = snp(move |device| device.crl_window(from, until));
    assert_eq!(clean.rejected().failed_checks(), ["snp.chain.revocation"]);
    assert!(clean.rejected().to_string().contains("is of 2026-06-06T00:00:00Z, after 2026-06-01T00:00:00Z"));
    let both = good(Tee::SevSnp).with_pool(|pool| pool.crls.extend(clean.pool.crls.clone()));
    good(Tee::SevSnp).after(&both).accepted();
    let seen = both.accepted().fact("crl_this_update").cloned();
    assert_eq!(seen, good(Tee::SevSnp).accepted().fact("crl_this_update").cloned());
}

/// A good TDX subject, or one like it, with the texts of this device as well.
fn with_texts_of(subject: Subject, device: TdxBuilder) -> Subject {
    let set = device.build();
    subject.with_pool(|pool| {
        pool.tcb_infos.push(set.tcb_info);
        pool.qe_identities.push(set.qe_identity);
    })
}

/// The texts of an evaluation that hold from one time to another.
fn texts(device: TdxBuilder, evaluation: u32, from: u64, until: u64) -> TdxBuilder {
    device.evaluation_number(evaluation).tcb_info_window(from, until).qe_identity_window(from, until)
}

/// Whatever the texts to come will refuse for, the verdict ends when they begin.
#[test]
fn every_reason_to_refuse_later_ends_it() {
    let from = AT + 5 * DAY;
    let coming = |device: TdxBuilder| texts(device, 22, from, from + 30 * DAY);
    let running = |status: &'static str| {
        TDX_DEVICE.clone().version_5(3).tee_tcb_svn2(5, 1, 4).edit_tcb_info(move |info| {
            let levels = &mut info.module_identities.as_mut().unwrap()[0].levels;
            levels.push(IsvLevel::new(5, levels[0].date, status));
        })
    };
    let under_two = tdx(|_| running("UpToDate")).under("tcb_status", "\"unchecked\"");
    let own = || TDX_DEVICE.clone();
    let others_module = own().edit_tcb_info(|info| {
        let identities = info.module_identities.iter_mut().flatten().map(|identity| &mut identity.signer);
        info.module.iter_mut().chain(identities).for_each(|signer| signer.mrsigner = vec![7; 48]);
    });
    let good = good(Tee::Tdx);
    for (what, subject, device, refused) in [
        ("another quoting enclave", &good, own().edit_qe_identity(|qe| qe.mrsigner = vec![7; 32]), true),
        ("another module", &good, others_module, true),
        ("a quoting enclave that needs configuration", &good, own().qe_status("ConfigurationNeeded"), true),
        ("the running module is revoked", &under_two, running("Revoked"), true),
        ("nothing", &good, own(), false),
        ("nothing, under two modules", &under_two, running("UpToDate"), false),
    ] {
        let subject = with_texts_of(subject.clone(), coming(device));
        let until = subject.accepted().valid_until().unwrap().seconds();
        assert_eq!(until == from, refused, "{what}: {until}");
        assert_eq!(subject.at(from).judge().is_err(), refused, "{what}");
    }
}

/// A text ends, and so does a grace: what decides after it may refuse.
#[test]
fn what_ends_later_ends_it_too() {
    let end = AT + 10 * DAY;
    let waits = texts(TDX_DEVICE.clone().platform_status("OutOfDate"), 21, AT + 2 * DAY, AT + 40 * DAY);
    let covers = texts(TDX_DEVICE.clone(), 22, AT + DAY, end);
    let covered = with_texts_of(with_texts_of(good(Tee::Tdx), waits), covers);
    holds_as_long_as_it_says("a text that covers another", &covered, &[end], true);
    assert_eq!(covered.accepted().valid_until().unwrap().seconds(), end);

    let old = TDX_DEVICE.clone().edit_tcb_info(|info| {
        for level in &mut info.levels {
            "OutOfDate".clone_into(&mut level.status);
            level.date = AT - 300 * DAY;
        }
    });
    let graced = with_texts_of(good(Tee::Tdx), texts(old, 22, AT + DAY, AT + 40 * DAY));
    let graced = graced.under("out_of_date_grace", "{ days = 310 }");
    holds_as_long_as_it_says("a grace to come", &graced, &[end], true);
    assert_eq!(graced.accepted().valid_until().unwrap().seconds(), end);
}

/// The age that a policy allows ends it, and of several lists the one that holds longest counts.
#[test]
fn ages_end_it_and_the_list_that_holds_longest_counts() {
    let list = |from: u64, until: u64| snp(move |device| device.crl_window(from, Some(until)));
    let aged = list(AT - DAY, AT + 300 * DAY).under("max_collateral_age", "{ days = 30 }");
    holds_as_long_as_it_says("the age of AMD's list", &aged, &[], true);
    assert_eq!(aged.accepted().valid_until().unwrap().seconds(), AT + 29 * DAY);

    let aged = tdx(|device| {
        let device = device.tcb_info_window(AT - DAY, AT + 60 * DAY).qe_identity_window(AT - 60, AT + 60 * DAY);
        device.edit_pck_crl(|crl| (crl.this_update, crl.next_update) = (AT - 60, Some(AT + 60 * DAY)))
    });
    let aged = aged.under("max_collateral_age", "{ days = 14 }");
    holds_as_long_as_it_says("the age of the TCB info", &aged, &[], true);
    assert_eq!(aged.accepted().valid_until().unwrap().seconds(), AT + 13 * DAY);

    let short = list(AT - DAY, AT + 5 * DAY);
    let both = short.with_pool(|pool| pool.crls.extend(list(AT - 20 * DAY, AT + 100 * DAY).pool.crls));
    holds_as_long_as_it_says("two lists", &both, &[], true);
    assert_eq!(both.accepted().valid_until().unwrap().seconds(), AT + 100 * DAY);
}
