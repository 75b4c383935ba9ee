//! What the platforms' own bytes say before anybody vouches for them, and what statements of vendors say of themselves.

use teegate_fuzz_engine::{Effort, Target, look, mutate};
use teegate_verifier::{Endorsements, Evidence, FactValue, Finding, Stage, Tee, hints_of, inspect, needs_of};

use crate::hold;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "sev_snp_report",
        about: "an SEV-SNP report, and what it says it needs",
        effort: Effort::Reader,
        run: sev_snp_report,
        mutate: binary,
        words: &[],
        max_bytes: 1_300,
    },
    Target {
        name: "tdx_quote",
        about: "a TDX quote with all that it carries, and what it says it needs",
        effort: Effort::Reader,
        run: tdx_quote,
        mutate: quote,
        words: &["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "\0", "\n"],
        max_bytes: 6_000,
    },
    Target {
        name: "hints",
        about: "certificates, lists and signed JSON, and what they say of themselves",
        effort: Effort::Reader,
        run: hints,
        mutate: statement,
        words: &[
            "\x17\x0d260601000000Z",
            "\"id\":",
            "\"TDX\"",
            "\"fmspc\":",
            "\"nextUpdate\":",
            "2026-06-01T00:00:00Z",
        ],
        max_bytes: 4_096,
    },
];

/// Fields at fixed places: mostly changed where they stand.
fn binary(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    if mutator.random.once_in(4) {
        return mutate::bytes(mutator, input);
    }
    (0..mutator.changes()).for_each(|_| mutate::few_bytes(mutator, input));
}

/// The chain at the end as text; the rest as fields at fixed places.
pub(super) fn quote(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    let chain = look::place(input, b"-----BEGIN ");
    match chain {
        Some(start) if mutator.random.once_in(3) => {
            let mut text = input.split_off(start);
            let before = text.len();
            mutate::text(mutator, &mut text);
            // The length in front of the chain follows, half of the time.
            if mutator.random.once_in(2) {
                let written = u32::try_from(before).unwrap_or(0).to_le_bytes();
                if let Some(field) = input.last_chunk_mut::<4>().filter(|field| **field == written) {
                    *field = u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
                }
            }
            input.extend(text);
        }
        _ => binary(mutator, input),
    }
}

/// The first byte says of what kind it is.
fn statement(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    if input.is_empty() || mutator.random.once_in(50) {
        return mutate::bytes(mutator, input);
    }
    let mut body = input.split_off(1);
    if body.first() == Some(&b'{') {
        mutate::json(mutator, &mut body)
    } else {
        mutate::der(mutator, &mut body)
    }
    input.extend(body);
}

type Facts = Vec<(&'static str, FactValue)>;

/// Whoever reads twice reads the same; what is refused is refused as malformed, in few words.
fn inspected(input: &[u8], inspect: fn(&[u8]) -> Result<Facts, Box<Finding>>) -> bool {
    let facts = hold::same(input, || {
        inspect(input).map_err(|finding| {
            assert_eq!(finding.check().stage(), Stage::Parse, "{}", finding.check());
            format!("{}: {} {}", finding.check(), finding.expected(), finding.actual())
        })
    });
    let Some(facts) = facts else { return false };
    let mut names: Vec<_> = facts.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert!(!names.is_empty() && names.windows(2).all(|two| two[0] != two[1]), "a fact twice, or none");
    true
}

fn needed(input: &[u8], evidence: &Evidence<'_>) -> bool {
    let needs = needs_of(evidence).map_err(|finding| format!("{} {}", finding.expected(), finding.actual()));
    if let Err(words) = &needs {
        hold::message(input, words);
    }
    needs.is_ok()
}

fn sev_snp_report(input: &[u8]) {
    let nothing = Endorsements::new();
    let readable = inspected(input, |bytes| inspect(Tee::SevSnp, bytes));
    assert_eq!(needed(input, &Evidence::sev_snp(input, &nothing)), readable, "read by one and not by the other");
}

fn tdx_quote(input: &[u8]) {
    let nothing = Endorsements::new();
    let readable = inspected(input, |bytes| inspect(Tee::Tdx, bytes));
    // A chain that cannot be read is found by whoever looks for the platform in it.
    assert!(!needed(input, &Evidence::tdx(input, &nothing)) || readable, "what cannot be read says what it needs");
}

fn hints(input: &[u8]) {
    let Some((kind, body)) = input.split_first() else { return };
    let mut pool = Endorsements::new();
    match kind {
        b'c' => pool.add_certificate(body.to_vec()),
        b'l' => pool.add_crl(body.to_vec()),
        _ => {
            let Ok(text) = std::str::from_utf8(body) else { return };
            if *kind == b't' {
                pool.add_tcb_info(text.to_owned(), [7; 64]);
            } else {
                pool.add_qe_identity(text.to_owned(), [7; 64]);
            }
        }
    }
    let hints = hints_of(&pool);
    assert_eq!(hints.len(), 1);
    assert!(!hold::one_in_eight(input) || hints_of(&pool) == hints, "read twice, and two answers came");
}
