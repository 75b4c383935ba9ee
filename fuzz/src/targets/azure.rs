//! What lies around evidence under the paravisor of an Azure confidential VM, before anybody vouches for it: the paravisor's report, its
//! claims and the quote of its vTPM; and the JSON in which agents send all of it.
//!
//! ```text
//! 's' | 't'  the TEE      length (2, little-endian)  TPMS_ATTEST      the paravisor's report
//! ```
//!
//! The attester reads the paravisor's report as well, to see whether it took up what was written; it may not see there what a verifier
//! does not.

use std::sync::LazyLock;

use teegate_attester::azure_vtpm::hcl::{Hardware, Hcl};
use teegate_forge::azure::{Attest, default_pcrs};
use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_protocol::azure_vtpm::VtpmEvidence;
use teegate_verifier::{AzureVtpm, FactValue, Stage, Tee, TpmQuote, inspect_azure_vtpm};

use crate::hold;

const WORDS: &[&str] =
    &["\"HCLAkPub\"", "\"user-data\"", "\"secure-boot\"", "\"keys\"", "\"kid\"", "HCLA", "\u{FF}TCG"];

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "azure_vtpm",
        about: "the report of an Azure paravisor with its claims, and the quote of its vTPM",
        effort: Effort::Reader,
        run: azure_vtpm,
        mutate: parts,
        words: WORDS,
        max_bytes: 4_096,
    },
    Target {
        name: "hcl_report",
        about: "the report of an Azure paravisor as the attester reads it, beside what a verifier reads in it",
        effort: Effort::Reader,
        run: hcl_report,
        mutate: claims_or_fields,
        words: WORDS,
        max_bytes: 4_096,
    },
    Target {
        name: "azure_vtpm_json",
        about: "evidence of an Azure vTPM as agents of Confidential Containers send it",
        effort: Effort::Reader,
        run: azure_vtpm_json,
        mutate: mutate::json,
        words: &[
            "version",
            "tpm_quote",
            "hcl_report",
            "td_quote",
            "vcek",
            "quote",
            "report",
            "signature",
            "message",
            "pcrs",
        ],
        max_bytes: 40_000,
    },
];

/// Where the claims stand in the report, and the three lengths that count them.
const CLAIMS: usize = 1_236;
const LENGTHS: [(usize, usize); 3] = [(8, 1_236), (1_216, 20), (1_232, 0)];

fn split(input: &[u8]) -> Option<(Tee, &[u8], &[u8])> {
    let (tee, rest) = input.split_first()?;
    let tee = if *tee == b't' { Tee::Tdx } else { Tee::SevSnp };
    let (length, rest) = rest.split_first_chunk()?;
    let (message, report) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((tee, message, report))
}

/// Claims as JSON, with lengths that follow; the rest as fields at fixed places.
fn parts(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    let Some((_, message, report)) = split(input) else { return mutate::bytes(mutator, input) };
    let (tee, mut message, mut report) = (input[0], message.to_vec(), report.to_vec());
    if mutator.random.once_in(3) {
        (0..mutator.changes()).for_each(|_| mutate::few_bytes(mutator, &mut message));
    } else {
        claims_or_fields(mutator, &mut report);
    }
    let length = u16::try_from(message.len()).unwrap_or(0);
    *input = [&[tee], &length.to_le_bytes()[..], &message[..usize::from(length)], &report].concat();
}

/// Claims as JSON, half of the time, with lengths that follow; or fields of the report, which ends with zeros.
fn claims_or_fields(mutator: &mut mutate::Mutator<'_>, report: &mut Vec<u8>) {
    let end = report.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if end <= CLAIMS || mutator.random.once_in(2) {
        (0..mutator.changes()).for_each(|_| mutate::few_bytes(mutator, report));
        return;
    }
    let mut claims = report[CLAIMS..end].to_vec();
    mutate::json(mutator, &mut claims);
    report.truncate(CLAIMS);
    for (place, more) in LENGTHS {
        let length = u32::try_from(claims.len() + more).expect("a short text");
        report[place..place + 4].copy_from_slice(&length.to_le_bytes());
    }
    report.extend(claims);
}

/// Whoever reads twice reads the same; what is refused is refused as malformed, in few words.
fn azure_vtpm(input: &[u8]) {
    let Some((tee, message, report)) = split(input) else { return };
    let quote = TpmQuote { message: message.to_vec(), signature: Vec::new(), pcrs: vec![vec![7; 32]; 24] };
    let vtpm = AzureVtpm { hcl_report: report.to_vec(), quote };
    let facts = hold::same(input, || {
        inspect_azure_vtpm(tee, &vtpm).map_err(|finding| {
            assert_eq!(finding.check().stage(), Stage::Parse, "{}", finding.check());
            format!("{}: {} {}", finding.check(), finding.expected(), finding.actual())
        })
    });
    let Some(facts) = facts else { return };
    assert_eq!(vtpm.tee(), Some(tee), "read as what it does not say it is");
    let mut names: Vec<_> = facts.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|two| two[0] != two[1]), "a fact twice");
}

static QUOTE: LazyLock<TpmQuote> = LazyLock::new(|| TpmQuote {
    message: Attest::new(&[7; 64], &default_pcrs()).to_bytes(),
    signature: Vec::new(),
    pcrs: vec![vec![7; 32]; 24],
});

/// The attester takes a report for renewed by the 64 bytes that it sees in it: those are what a verifier sees, or there are none for it.
fn hcl_report(input: &[u8]) {
    let Some(hcl) = hold::same(input, || Hcl::parse(input)) else { return };
    let tee = match &hcl.hardware {
        Hardware::SevSnp => Tee::SevSnp,
        Hardware::Tdx(report) => {
            assert_eq!(report.len(), 1_024);
            Tee::Tdx
        }
    };
    let vtpm = AzureVtpm { hcl_report: input.to_vec(), quote: QUOTE.clone() };
    assert_eq!(vtpm.tee(), Some(tee), "another TEE than a verifier sees");
    let Ok(facts) = inspect_azure_vtpm(tee, &vtpm) else { return };
    // Claims without a key state nothing at all.
    let Some((_, seen)) = facts.into_iter().find(|(name, _)| *name == "user_data") else { return };
    let own = hcl.user_data.filter(|bytes| bytes.len() == 64);
    match seen {
        FactValue::Bytes(seen) => assert_eq!(own.as_deref(), Some(&seen[..]), "other user data than a verifier sees"),
        _ => assert_eq!(own, None, "user data that a verifier does not see"),
    }
}

/// What is read is written so that it reads the same.
fn azure_vtpm_json(input: &[u8]) {
    let Some(evidence) = hold::same(input, || VtpmEvidence::parse(input)) else { return };
    let again = VtpmEvidence::parse(evidence.to_json().as_bytes()).expect("what is written is read");
    assert_eq!(again, VtpmEvidence { version: evidence.version.max(1), ..evidence });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// A seed that is refused at its door leads nowhere.
    #[test]
    fn seeds_of_the_attester_s_target_are_read() {
        let seeds = seeds::of("hcl_report");
        for (name, input) in &seeds {
            let hcl = Hcl::parse(input).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(hcl.user_data.is_some(), *name != "header-1-without-user-data", "{name}");
            let vtpm = AzureVtpm { hcl_report: input.clone(), quote: QUOTE.clone() };
            let facts = inspect_azure_vtpm(vtpm.tee().unwrap(), &vtpm).unwrap();
            assert!(facts.iter().any(|(fact, _)| *fact == "user_data"), "{name}: {facts:?}");
        }
        assert_eq!(seeds.len(), 3);
    }
}
