//! The picture, and what must not come through it.

use super::*;
use crate::view::{
    EndView, FailedView, JwksView, ModelView, PolicyView, ProofView, RefusedView, SCHEMA, SilenceView, TlsView,
};

const PLAIN: Screen = Screen { columns: None, is_coloured: false };

fn instance(address: &str, state: &str, since: &str) -> InstanceView {
    InstanceView {
        address: address.into(),
        state: state.into(),
        since: since.into(),
        why: "it was not asked yet under this policy".into(),
        failed: Vec::new(),
        checks: Vec::new(),
        silence: None,
        tries: 0,
        proof: None,
        full: false,
        in_flight: 0,
        breaker: None,
    }
}

fn failed(check: &str, expected: &str, found: &str) -> Vec<FailedView> {
    vec![FailedView { check: check.into(), expected: expected.into(), found: found.into(), remedy: String::new() }]
}

fn proof() -> ProofView {
    ProofView {
        seconds: 291,
        tee: "sev-snp".into(),
        wrapping: "raw".into(),
        profile: "hospital".into(),
        bound_to: None,
        trust_anchors: None,
        code_name: "measurement".into(),
        code: "4d".repeat(48),
        tcb: String::new(),
        ends_first: None,
        refused_from: None,
        manifest: "aa".repeat(32),
        instance_id: String::new(),
        epoch: 0,
        use_until: String::new(),
        evidence: String::new(),
        models: vec![ModelView { name: "breast-cancer".into(), version: "1".into() }],
        more_models: 0,
    }
}

/// The fleet of journey F: one good, one debug guest, one with other code, one dead.
fn fleet() -> FleetView {
    let good = InstanceView {
        proof: Some(proof()),
        in_flight: 2,
        ..instance("10.0.0.7:8443", "attested", "2026-11-28T14:02:00Z")
    };
    let debug = InstanceView {
        failed: failed("snp.policy.debug", "DEBUG 0", "DEBUG 1"),
        tries: 12,
        ..instance("10.0.0.8:8443", "rejected", "2026-11-28T21:05:00Z")
    };
    let other = InstanceView {
        failed: failed("snp.guest.measurement", "4d4d", "abab"),
        ..instance("10.0.0.9:8443", "rejected", "2026-11-20T21:05:00Z")
    };
    let dead = InstanceView {
        silence: Some(SilenceView {
            kind: "connection-refused".into(),
            error: "unreachable: Connection refused".into(),
        }),
        tries: 104,
        ..instance("10.0.0.11:8443", "unreachable", "2026-11-28T21:05:00Z")
    };
    FleetView {
        schema: SCHEMA.into(),
        at: "2026-11-28T21:10:30Z".into(),
        version: "0.1.0".into(),
        ready: true,
        why_unready: None,
        policy: PolicyView {
            name: "hospital".into(),
            sha256: "4f1c".repeat(16),
            version: 3,
            since: "2026-11-28T21:10:28Z".into(),
            reloads: 2,
            refused_reloads: 1,
            last_refused: Some(RefusedView {
                at: "2026-11-28T21:10:29Z".into(),
                why: "policy `hospital.toml`: line 147".into(),
            }),
            needs_restart: Vec::new(),
        },
        ends_first: Some(EndView {
            kind: "crl".into(),
            name: "ARK-Genoa".into(),
            at: "2026-12-08T01:10:30Z".into(),
            seconds: 9 * DAY_SECONDS + 4 * 3_600,
        }),
        tls: Some(TlsView { not_after: "2027-01-02T00:00:00Z".into(), refused: Some("keys do not match".into()) }),
        jwks: None,
        instances: vec![good, debug, other, dead],
    }
}

#[test]
fn the_picture_where_no_line_is_broken() {
    let expected = "\
gateway     0.1.0  ready
policy      hospital  sha256:4f1c4f1c4f1c…  in force since 21:10:28Z  (2 reloads; THE LAST WAS REFUSED 21:10:29Z: policy `hospital.toml`: line 147)
ends first  crl ARK-Genoa, in 9 d 4 h (2026-12-08T01:10:30Z)
tls         certificate until 2027-01-02T00:00:00Z; THE NEWEST IS REFUSED: keys do not match
addresses   4 (1 attested, 2 rejected, 1 unreachable)

ADDRESS         STATE        SINCE            PROOF  MODELS           WHY
10.0.0.7:8443   attested     14:02:00Z        291 s  breast-cancer 1  2 in flight
10.0.0.8:8443   rejected     21:05:00Z        -      -                snp.policy.debug: expected DEBUG 0, found DEBUG 1, 12 tries
10.0.0.9:8443   rejected     11-20 21:05:00Z  -      -                snp.guest.measurement: expected 4d4d, found abab
10.0.0.11:8443  unreachable  21:05:00Z        -      -                unreachable: Connection refused, 104 tries
";
    assert_eq!(draw(&fleet(), PLAIN), expected);
}

#[test]
fn a_terminal_gets_its_own_width() {
    for columns in [60, 80, 100, 132] {
        let text = draw(&fleet(), Screen { columns: Some(columns), is_coloured: false });
        for line in text.lines().filter(|line| !line.starts_with("10.0.0.") && !line.starts_with("ADDRESS")) {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
        // Broken between words: without the breaks it is the same text.
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&text), words(&draw(&fleet(), PLAIN)), "{columns}");
    }
    let coloured = draw(&fleet(), Screen { columns: Some(100), is_coloured: true });
    assert!(coloured.contains("\u{1b}[1;31mrejected\u{1b}[0m"), "{coloured}");
    assert!(!draw(&fleet(), Screen { columns: Some(100), is_coloured: false }).contains('\u{1b}'));
}

#[test]
fn what_strangers_say_moves_no_cursor_and_is_not_endless() {
    let hostile = "\u{1b}[2J\r\n\u{202e}evil".to_owned() + &"x".repeat(10_000);
    let mut view = fleet();
    view.version.clone_from(&hostile);
    view.policy.name.clone_from(&hostile);
    view.policy.since.clone_from(&hostile);
    view.policy.sha256.clone_from(&hostile);
    if let Some(end) = &mut view.ends_first {
        (end.kind, end.name, end.at) = (hostile.clone(), hostile.clone(), hostile.clone());
    }
    view.tls = Some(TlsView { not_after: hostile.clone(), refused: Some(hostile.clone()) });
    for instance in &mut view.instances {
        instance.address.clone_from(&hostile);
        instance.state.clone_from(&hostile);
        instance.since.clone_from(&hostile);
        instance.breaker = Some(hostile.clone());
        instance.failed = failed(&hostile, &hostile, &hostile);
        if let Some(proof) = &mut instance.proof {
            proof.models = vec![ModelView { name: hostile.clone(), version: hostile.clone() }];
        }
    }
    for screen in [PLAIN, Screen { columns: Some(80), is_coloured: false }] {
        let text = draw(&view, screen);
        assert!(text.contains("evil"), "{text}");
        let obeyed = text.chars().find(|c| *c != '\n' && (c.is_control() || ('\u{2028}'..='\u{202e}').contains(c)));
        assert_eq!(obeyed, None, "{text}");
        assert!(text.len() < 30_000, "{}", text.len());
    }
}

#[test]
fn lengths_of_time_are_told_in_two_units() {
    for (seconds, said) in [(40, "40 s"), (61, "1 min"), (12_000, "3 h 20 min"), (2 * DAY_SECONDS, "2 d 0 h")] {
        assert_eq!(span(seconds), said);
    }
}

#[test]
fn what_takes_a_restart_is_named() {
    let mut view = fleet();
    view.policy.needs_restart = vec!["hold.seconds".into(), "listen".into()];
    let text = draw(&view, PLAIN);
    assert!(text.contains("\nrestart     changed, and taken by a restart alone: hold.seconds, listen\n"), "{text}");
}

#[test]
fn the_keys_of_tokens_stand_with_their_age_and_what_is_wrong() {
    let jwks = |keys, age_seconds, failure: Option<&str>| JwksView {
        url: "https://issuer.example/jwks".into(),
        keys,
        age_seconds,
        seconds: 14_400,
        failure: failure.map(str::to_owned),
    };
    for (jwks, expected) in [
        (jwks(2, Some(40), None), "token keys  2 of https://issuer.example/jwks, read 40 s ago\n"),
        (
            jwks(2, Some(400), Some("it answered 503")),
            "token keys  2 of https://issuer.example/jwks, read 6 min ago; THE LAST QUESTION FAILED, they count for 4 h 0 min more: \
             it answered 503\n",
        ),
        (
            jwks(0, None, Some("it answered 503")),
            "token keys  none yet, of https://issuer.example/jwks; THE LAST QUESTION FAILED: it answered 503\n",
        ),
        (
            jwks(0, Some(20_000), Some("\u{1b}[2J")),
            "token keys  ENDED, of https://issuer.example/jwks: no token is taken; THE LAST QUESTION FAILED: \\u{1b}[2J\n",
        ),
    ] {
        let text = draw(&FleetView { jwks: Some(jwks), ..fleet() }, PLAIN);
        assert!(text.contains(expected), "{text}");
    }
}
