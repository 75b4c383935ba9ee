//! Until when a verdict holds, in pools put together at random: several lists, texts and certificates of one place, with
//! windows, ages, memories and policies of any kind. At no edge before `valid_until` is the same question refused.

use std::collections::{BTreeMap, BTreeSet};

use teegate_forge::tdx::SignedJson;
use teegate_forge::time::{AT, DAY};
use teegate_tests::size::full;
use teegate_verifier::{Memory, Tee, UnixTime};

use crate::subject::{SNP_DEVICE, Subject, TDX_DEVICE, good, snp, tdx};

/// Asked at `times` before `valid_until`, it is accepted at each.
#[track_caller]
pub(crate) fn never_too_late(what: &str, subject: &Subject, times: &[u64]) {
    let until = subject.accepted().valid_until().unwrap().seconds();
    for at in times.iter().copied().filter(|at| *at < until) {
        if let Err(rejection) = subject.clone().at(at).judge() {
            let [until, at] = [until, at].map(UnixTime::from_seconds);
            panic!("{what}: valid until {until}, refused at {at}: {rejection}");
        }
    }
}

#[test]
fn as_a_list_ends_the_age_of_the_one_that_is_left_counts_snp() {
    let old = snp(|d| d.crl_window(AT - 20 * DAY, Some(AT + 100 * DAY)));
    let subject = snp(|d| d.crl_window(AT - DAY, Some(AT + 5 * DAY)))
        .with_pool(|pool| pool.crls.extend(old.pool.crls))
        .under("max_collateral_age", "{ days = 30 }");
    never_too_late("SNP age", &subject, &[AT + 6 * DAY, AT + 12 * DAY, AT + 20 * DAY]);
}

#[test]
fn as_a_list_ends_the_age_of_the_one_that_is_left_counts_tdx() {
    let old = tdx(|d| d.edit_pck_crl(|c| (c.this_update, c.next_update) = (AT - 9 * DAY, Some(AT + 20 * DAY))));
    let subject = tdx(|d| d.edit_pck_crl(|c| (c.this_update, c.next_update) = (AT - 60, Some(AT + DAY))))
        .with_pool(|pool| pool.crls.push(old.pool.crls[1].clone()))
        .under("max_collateral_age", "{ days = 12 }");
    never_too_late("TDX age", &subject, &[AT + 2 * DAY, AT + 4 * DAY, AT + 8 * DAY, AT + 10 * DAY]);
}

#[test]
fn as_a_list_ends_a_memory_refuses_the_one_that_is_left() {
    let old = snp(|d| d.crl_window(AT - 20 * DAY, Some(AT + 100 * DAY)));
    let seen = snp(|d| d.crl_window(AT - 10 * DAY, Some(AT + 100 * DAY)));
    let subject = snp(|d| d.crl_window(AT - DAY, Some(AT + 5 * DAY)))
        .with_pool(|pool| pool.crls.extend(old.pool.crls))
        .after(&seen);
    never_too_late("SNP memory", &subject, &[AT + 6 * DAY, AT + 12 * DAY, AT + 20 * DAY]);
}

#[test]
fn of_two_texts_in_one_place_the_same_decides_later() {
    let (from, to) = (AT + 5 * DAY, AT + 35 * DAY);
    let text = |status: &'static str| {
        tdx(move |d| {
            d.evaluation_number(22).tcb_info_window(from, to).qe_identity_window(from, to).platform_status(status)
        })
    };
    let (bad, fine) = (text("OutOfDate"), text("UpToDate"));
    for (what, order) in [("bad first", [&bad, &fine]), ("bad last", [&fine, &bad])] {
        let subject = good(Tee::Tdx).with_pool(|p| {
            p.tcb_infos.extend(order.iter().flat_map(|s| s.pool.tcb_infos.clone()));
            p.qe_identities.extend(fine.pool.qe_identities.clone());
        });
        never_too_late(what, &subject, &[from, from + DAY]);
    }
}

/// A linear congruential generator: the same pools in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, faces: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % faces
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.roll(all.len())]
    }

    fn days(&mut self, most: usize) -> u64 {
        u64::try_from(self.roll(most)).unwrap() * DAY
    }

    /// Puts up to three of `all` anywhere into `pool`, and takes one away in half of the cases.
    fn shuffle<T: Clone>(&mut self, pool: &mut Vec<T>, all: &[T]) {
        if all.is_empty() {
            return;
        }
        for _ in 0..self.roll(4) {
            let at = self.roll(pool.len() + 1);
            pool.insert(at, self.pick(all).clone());
        }
        if self.roll(2) == 0 {
            let at = self.roll(pool.len());
            pool.remove(at);
        }
    }
}

/// What pools and policies are put together from.
#[derive(Clone)]
struct Parts {
    base: Subject,
    certificates: Vec<Vec<u8>>,
    crls: Vec<Vec<u8>>,
    infos: Vec<SignedJson>,
    identities: Vec<SignedJson>,
    /// Fields of the policy, and what each may be: the empty text leaves it as it is.
    rules: Vec<(&'static str, &'static [&'static str])>,
    memories: Vec<Option<Memory>>,
}

impl Parts {
    fn draw(&self, dice: &mut Dice) -> Subject {
        let mut subject = self.base.clone();
        for _ in 0..dice.roll(3) {
            subject.pool.certificates.push(dice.pick(&self.certificates).clone());
        }
        dice.shuffle(&mut subject.pool.crls, &self.crls);
        dice.shuffle(&mut subject.pool.tcb_infos, &self.infos);
        dice.shuffle(&mut subject.pool.qe_identities, &self.identities);
        for (field, values) in &self.rules {
            let value = dice.pick(values);
            if !value.is_empty() {
                subject = subject.under(field, value);
            }
        }
        subject.memory = dice.pick(&self.memories).clone();
        subject.now = AT + dice.days(20);
        subject
    }

    /// At no edge before `valid_until` is the same question refused.
    #[track_caller]
    fn never_too_late(&self, kind: &str, rounds: usize, seed: u64) {
        let rounds = if full() { rounds } else { rounds / 12 };
        let mut dice = Dice(seed);
        let (mut accepted, mut late) = (0, BTreeMap::<String, u32>::new());
        for _ in 0..rounds {
            let subject = self.draw(&mut dice);
            let Ok(attested) = subject.judge() else { continue };
            accepted += 1;
            let (start, until) = (subject.now, attested.valid_until().seconds());
            let hints = teegate_verifier::hints_of(&subject.pool.to_endorsements());
            let windows = hints.iter().flatten().flat_map(|hint| std::iter::once(hint.from).chain(hint.until));
            let mut times: BTreeSet<_> =
                windows.map(UnixTime::seconds).flat_map(|edge| [edge - 1, edge, edge + 1]).collect();
            times.extend((0..40).map(|day| start + day * DAY + 1));
            times.insert(until - 1);
            let refused = times.into_iter().filter(|at| (start..until).contains(at)).find_map(|at| {
                let rejection = subject.clone().at(at).judge().err()?;
                Some(format!("{:?} before the end of {:?}", rejection.failed_checks(), attested.report().ends_first()))
            });
            refused.into_iter().for_each(|why| *late.entry(why).or_default() += 1);
        }
        assert!(accepted * 10 > rounds, "{kind}: of {rounds} pools {accepted} accepted");
        assert!(late.is_empty(), "{kind}: of {accepted} accepted too late: {late:#?}");
    }
}

fn tdx_texts() -> (Vec<SignedJson>, Vec<SignedJson>) {
    let (mut infos, mut identities) = (Vec::new(), Vec::new());
    let mut dice = Dice(7);
    for number in [18_u32, 19, 20, 21, 22] {
        for n in 0..5 {
            let from = AT - 10 * DAY + dice.days(35) + u64::from(number) * 60 + n;
            let to = from + 3 * DAY + dice.days(30);
            let status = *dice.pick(&["UpToDate", "UpToDate", "OutOfDate", "SWHardeningNeeded", "Revoked"]);
            let date = AT - 200 * DAY - dice.days(60);
            let advised = dice.roll(2) == 0;
            let set = tdx(move |d| {
                d.evaluation_number(number)
                    .tcb_info_window(from, to)
                    .qe_identity_window(from + DAY, to + DAY)
                    .edit_tcb_info(move |i| {
                        for l in &mut i.levels {
                            status.clone_into(&mut l.status);
                            l.date = date;
                            if advised {
                                l.advisories = vec!["INTEL-SA-00615".to_owned()]
                            }
                        }
                    })
                    .qe_status(if status == "Revoked" { "OutOfDate" } else { "UpToDate" })
            });
            infos.extend(set.pool.tcb_infos);
            identities.extend(set.pool.qe_identities);
        }
    }
    (infos, identities)
}

fn tdx_lists(short: bool) -> Vec<Vec<u8>> {
    let mut dice = Dice(9);
    (0..10)
        .flat_map(|_| {
            let from = AT - 12 * DAY + dice.days(30);
            let to = from + if short { 3 * DAY + dice.days(40) } else { 45 * DAY };
            let set = TDX_DEVICE
                .clone()
                .edit_root_crl(move |c| (c.this_update, c.next_update) = (from, Some(to)))
                .edit_pck_crl(move |c| (c.this_update, c.next_update) = (from + 5, Some(to + 5)))
                .build();
            set.crls()
        })
        .collect()
}

/// Takes what would not be accepted, until a day that lies in the middle of the pools' windows.
const EXCEPTION: &str = "{ \"INTEL-SA-00615\" = { statuses = [\"OutOfDate\", \"SWHardeningNeeded\"], until = \"2026-06-20T00:00:00Z\", reason = \"a test\" } }";

#[test]
fn tdx_pools_at_random() {
    let (infos, identities) = tdx_texts();
    let certificates: Vec<_> = [
        (AT - DAY, AT + 9 * DAY),
        (AT + 4 * DAY, AT + 60 * DAY),
        (AT + 12 * DAY, AT + 9_000 * DAY),
        (AT - 900 * DAY, AT + 3 * DAY),
    ]
    .iter()
    .flat_map(|(from, to)| {
        let (from, to) = (*from, *to);
        let set = TDX_DEVICE
            .clone()
            .edit_pck_ca(move |c| (c.not_before, c.not_after) = (from, to))
            .edit_tcb_signing(move |c| (c.not_before, c.not_after) = (from, to))
            .build();
        [set.pck_ca, set.tcb_signing]
    })
    .collect();
    let rules: Vec<(&str, &[&str])> = vec![
        ("deciding_evaluation", &["", "\"lowest\""]),
        ("one_evaluation", &["", "\"unchecked\"", "\"unchecked\""]),
        ("out_of_date_grace", &["", "{ days = 230 }", "{ days = 260 }"]),
        ("tcb_exceptions", &["", EXCEPTION]),
        ("minimum_evaluation_number", &["", "\"unchecked\"", "20"]),
        ("minimum_tcb_date", &["", "\"2025-11-01T00:00:00Z\""]),
    ];
    let parts = Parts {
        base: good(Tee::Tdx),
        certificates,
        crls: tdx_lists(true),
        infos,
        identities,
        rules: rules.clone(),
        memories: vec![None],
    };
    parts.never_too_late("TDX, no ages", 1_500, 1);
    let mut aged = rules;
    aged.push(("max_collateral_age", &["{ days = 15 }", "{ days = 25 }", ""]));
    aged.push(("max_root_crl_age", &["{ days = 150 }", ""]));
    let aged = Parts { rules: aged, ..parts.clone() };
    aged.never_too_late("TDX, ages, lists of any end", 1_000, 3);
    let in_order = Parts { crls: tdx_lists(false), ..aged };
    in_order.never_too_late("TDX, ages, lists that end in the order of their beginnings", 1_000, 2);
    let seen = |evaluation: u32| {
        let subject =
            tdx(move |device| device.evaluation_number(evaluation).edit_pck_crl(|crl| crl.this_update = AT - 6 * DAY));
        let mut memory = Memory::new();
        memory.remember(subject.judge().unwrap().seen());
        Some(memory)
    };
    let remembering = Parts { memories: vec![seen(19), seen(20), None], ..parts };
    remembering.never_too_late("TDX, memory", 1_000, 4);
}

#[test]
fn snp_pools_at_random() {
    let mut dice = Dice(11);
    let crls: Vec<_> = (0..12)
        .map(|_| {
            let from = AT - 12 * DAY + dice.days(30);
            let to = from + 3 * DAY + dice.days(60);
            snp(move |d| d.crl_window(from, Some(to))).pool.crls[0].clone()
        })
        .collect();
    let certificates: Vec<_> =
        [(AT - DAY, AT + 9 * DAY), (AT + 4 * DAY, AT + 60 * DAY), (AT + 12 * DAY, AT + 9_000 * DAY)]
            .iter()
            .flat_map(|(from, to)| {
                let (from, to) = (*from, *to);
                let set = SNP_DEVICE
                    .clone()
                    .vek_validity(from, to)
                    .edit_intermediate(move |c| (c.not_before, c.not_after) = (from, to))
                    .build();
                [set.vek, set.intermediate]
            })
            .collect();
    let parts = Parts {
        base: good(Tee::SevSnp),
        certificates,
        crls,
        infos: Vec::new(),
        identities: Vec::new(),
        rules: vec![("bulletins", &["", "{ baseline = 1, grace_days = 60, except = {} }"])],
        memories: vec![None],
    };
    parts.never_too_late("SNP, no ages", 800, 5);
    let aged = Parts { rules: vec![("max_collateral_age", &["{ days = 20 }", "{ days = 40 }"])], ..parts };
    aged.never_too_late("SNP, ages", 500, 6);
}
