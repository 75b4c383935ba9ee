//! What the attester is told by programs that are somebody else's: a TPM, the driver of an SEV-SNP guest, Azure's metadata service, and
//! the security context of a container group.
//!
//! - `tpm_answers`: the first byte says which command is asked; answers follow, each behind its length (2, little-endian).
//! - `metadata_service`: the first byte is `c` for certificates or `q` for a quote; the answer follows.
//! - `aci_context`: policy, endorsement and certificates, in base64, with a zero between them.

use std::io::{Read, Write};

use teegate_attester::RawEvidence;
use teegate_attester::aci::Context;
use teegate_attester::imds::{Certification, quote_in};
use teegate_attester::sev_guest::response;
use teegate_attester::tpm::{Attested, Tpm, TpmError};
use teegate_encoding::document;
use teegate_fuzz_engine::{Effort, Target, mutate};
use teegate_intake::evidence::recognise;
use teegate_protocol::evidence::EvidenceKind;

use crate::hold;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "tpm_answers",
        about: "answers of a TPM to the attester's commands, and what a quote says",
        effort: Effort::Reader,
        run: tpm_answers,
        mutate: frames,
        words: &["\u{FF}TCG"],
        max_bytes: 2_048,
    },
    Target {
        name: "sev_guest_response",
        about: "what the firmware answers through the driver of an SEV-SNP guest",
        effort: Effort::Reader,
        run: sev_guest_response,
        mutate: mutate::bytes,
        words: &[],
        max_bytes: 4_096,
    },
    Target {
        name: "metadata_service",
        about: "certificates and quotes as Azure's metadata service answers them",
        effort: Effort::Reader,
        run: metadata_service,
        mutate: behind_the_first,
        words: &[
            "vcekCert",
            "certificateChain",
            "tcbm",
            "quote",
            "-----BEGIN CERTIFICATE-----\\n",
            "-----END CERTIFICATE-----\\n",
        ],
        max_bytes: 8_192,
    },
    Target {
        name: "aci_context",
        about: "the security context of a container group, and the evidence that it goes into",
        effort: Effort::Reader,
        run: aci_context,
        mutate: mutate::encoded,
        words: &["\0", "=", "==", "\n"],
        max_bytes: 4_096,
    },
];

/// Codes at which the attester waits and asks again: a target that sleeps shows nothing.
const LATER: [u32; 3] = [0x922, 0x90A, 0x908];

fn answers(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut answers = Vec::new();
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (answer, behind) = behind.split_at(usize::from(u16::from_le_bytes(*length)).min(behind.len()));
        answers.push(answer);
        rest = behind;
    }
    answers
}

/// Bytes of one answer change; three times in four its header announces its length then.
fn frames(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    let Some((kind, rest)) = input.split_first() else { return mutate::bytes(mutator, input) };
    let mut all: Vec<Vec<u8>> = answers(rest).into_iter().map(<[u8]>::to_vec).collect();
    if all.is_empty() || mutator.random.once_in(8) {
        return mutate::bytes(mutator, input);
    }
    let kind = *kind;
    let chosen = mutator.random.below(all.len());
    let answer = &mut all[chosen];
    if mutator.random.once_in(3) {
        mutate::bytes(mutator, answer);
    } else {
        (0..mutator.changes()).for_each(|_| mutate::few_bytes(mutator, answer));
    }
    let length = u32::try_from(answer.len()).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(place) = answer.get_mut(2..6).filter(|_| !mutator.random.once_in(4)) {
        place.copy_from_slice(&length);
    }
    *input = vec![kind];
    for answer in all {
        let Ok(length) = u16::try_from(answer.len()) else { return };
        input.extend(length.to_le_bytes());
        input.extend(answer);
    }
}

/// A TPM that answers this, whatever it is asked; then it is gone.
struct Channel<'a>(std::vec::IntoIter<&'a [u8]>);

impl Read for Channel<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let answer = self.0.next().unwrap_or_default();
        let length = answer.len().min(to.len());
        to[..length].copy_from_slice(&answer[..length]);
        Ok(length)
    }
}

impl Write for Channel<'_> {
    fn write(&mut self, command: &[u8]) -> std::io::Result<usize> {
        Ok(command.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn tpm_answers(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    let answers = answers(rest);
    // An answer may come in parts, so that a code may stand anywhere.
    if answers.concat().windows(4).any(|four| LATER.iter().any(|code| four == code.to_be_bytes())) {
        return;
    }
    let tpm = || Tpm::new(Channel(answers.clone().into_iter()));
    match kind % 7 {
        0 => drop(hold::same(input, || tpm().nv_public(0x0140_0001))),
        1 => {
            if let Some(read) = hold::same(input, || tpm().nv_read(0x0140_0001, 1_100)) {
                assert_eq!(read.len(), 1_100, "another length than was asked for");
            }
        }
        2 => drop(hold::same(input, || tpm().quote(0x8100_0003, &[7; 64]))),
        3 => drop(hold::same(input, || tpm().pcrs())),
        4 => drop(hold::same(input, || {
            let mut tpm = tpm();
            tpm.nv_define(0x0140_0002, 64)?;
            tpm.nv_write(0x0140_0002, &[7; 64])?;
            Ok::<_, TpmError>(())
        })),
        6 => {
            if let Some(key) = hold::same(input, || tpm().read_public(0x8100_0003)) {
                assert_eq!((key.modulus.len(), key.exponent == 0), (256, false), "no RSA key of 2,048 bits");
            }
        }
        _ => {
            let message = answers.first().copied().unwrap_or_default();
            if let Some(attested) = hold::same(input, || Attested::parse(message)) {
                assert!(attested.extra_data.len() + attested.pcr_digest.len() < message.len());
            }
        }
    }
}

/// A report is what stands behind the header, and nothing else is one.
fn sev_guest_response(input: &[u8]) {
    let Some(report) = hold::same(input, || response::report(input, "the driver")) else { return };
    assert_eq!(report, input[0x20..0x20 + 1_184], "other bytes than the firmware's");
    assert_eq!(input[..8], [0, 0, 0, 0, 0xA0, 4, 0, 0], "a report beside another status, or of another size");
}

/// The first byte stays: it says what was asked for.
fn behind_the_first(mutator: &mut mutate::Mutator<'_>, input: &mut Vec<u8>) {
    if input.is_empty() || mutator.random.once_in(50) {
        return mutate::bytes(mutator, input);
    }
    let mut answer = input.split_off(1);
    mutate::json(mutator, &mut answer);
    input.extend(answer);
}

fn metadata_service(input: &[u8]) {
    let Some((kind, answer)) = input.split_first() else { return };
    if *kind == b'q' {
        if let Some(quote) = hold::same(input, || quote_in(answer)) {
            assert!(quote.len() < answer.len(), "more bytes than the answer has");
        }
        return;
    }
    let Some(Certification { vcek, chain }) = hold::same(input, || Certification::parse(answer)) else { return };
    for der in chain.iter().chain([&vcek]) {
        assert!(der.len() < answer.len(), "more bytes than the answer has");
        // What is no certificate is told apart by its outermost element, further on.
        let _named = document::kind(der);
    }
}

/// A report whose 64 bytes are sevens.
const REPORT: [u8; 1_184] = {
    let mut report = [0; 1_184];
    let mut at = 0x50;
    while at < 0x50 + 64 {
        report[at] = 7;
        at += 1;
    }
    report
};

/// What the attester takes in, others can read, with the same report.
fn aci_context(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let texts: Vec<&str> = text.splitn(3, '\0').collect();
    let names = ["UVM_SECURITY_POLICY", "UVM_REFERENCE_INFO", "UVM_HOST_AMD_CERTIFICATE"];
    let variable = |name: &str| {
        let place = names.iter().position(|known| *known == name)?;
        texts.get(place).map(|text| (*text).to_owned())
    };
    let nowhere = std::path::Path::new("/nonexistent");
    let Some(context) = hold::same(input, || Context::find(nowhere, &variable)) else { return };
    let bytes = context.with(&REPORT);
    let evidence =
        RawEvidence { kind: EvidenceKind::AciSnp, bytes, endorsements: None, event_log: None, left_out: Vec::new() };
    assert_eq!(evidence.report_data(), Some([7; 64]), "the report's 64 bytes are not found again");
    let taken = recognise(&evidence.bytes, None);
    assert_eq!(taken.expect("evidence that nobody else can read").bytes, REPORT, "another report");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// A seed that is refused at its door leads nowhere.
    #[test]
    fn seeds_are_read() {
        let seeds = seeds::of("tpm_answers");
        for (name, input) in &seeds {
            let answers = answers(&input[1..]);
            let mut tpm = Tpm::new(Channel(answers.clone().into_iter()));
            let read = match input[0] {
                0 => tpm.nv_public(0x0140_0001).map(|index| index.is_some() == (*name == "index")),
                1 => tpm.nv_read(0x0140_0001, 1_100).map(|bytes| bytes.len() == 1_100),
                2 => tpm.quote(0x8100_0003, &[7; 64]).map(|quote| quote.signature.len() == 256),
                3 => tpm.pcrs().map(|registers| registers.is_some()),
                4 => tpm.nv_define(0x0140_0002, 64).map(|()| true),
                6 => tpm.read_public(0x8100_0003).map(|key| (key.modulus, key.exponent) == (vec![0xC5; 256], 65_537)),
                _ => Attested::parse(answers[0]).map(|attested| attested.extra_data == [7; 64]),
            };
            assert!(read.unwrap_or_else(|error| panic!("{name}: {error}")), "{name}");
        }
        assert_eq!(seeds.len(), 8);
    }

    #[test]
    fn seeds_of_the_other_sources_are_read() {
        for (name, input) in seeds::of("sev_guest_response") {
            let read = response::report(&input, "the driver");
            assert_eq!(read.is_ok(), name == "report", "{name}: {read:?}");
        }
        for (name, input) in seeds::of("metadata_service") {
            match input[0] {
                b'q' => assert_eq!(quote_in(&input[1..]), Ok(b"quote".to_vec()), "{name}"),
                _ => assert_eq!(Certification::parse(&input[1..]).unwrap().chain.len(), 2, "{name}"),
            }
        }
        for (name, input) in seeds::of("aci_context") {
            let text = String::from_utf8(input).unwrap();
            let first =
                |name: &str| (name == "UVM_SECURITY_POLICY").then(|| text.split('\0').next().unwrap().to_owned());
            let context = Context::find(std::path::Path::new("/nonexistent"), &first);
            let evidence = context.unwrap_or_else(|error| panic!("{name}: {error}")).with(&REPORT);
            assert_eq!(recognise(&evidence, None).unwrap().bytes, REPORT, "{name}");
        }
    }
}
