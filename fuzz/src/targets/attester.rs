//! What the attester reads of a TPM that is somebody else's program: answers to commands, and quotes. The first byte says which is asked
//! for; answers follow, each behind its length (2, little-endian).

use std::io::{Read, Write};

use teegate_attester::tpm::{Attested, Tpm, TpmError};
use teegate_fuzz_engine::{Effort, Target, mutate};

use crate::hold;

pub(super) const TARGETS: &[Target] = &[Target {
    name: "tpm_answers",
    about: "answers of a TPM to the attester's commands, and what a quote says",
    effort: Effort::Reader,
    run: tpm_answers,
    mutate: frames,
    words: &["\u{FF}TCG"],
    max_bytes: 2_048,
}];

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
    match kind % 6 {
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
        _ => {
            let message = answers.first().copied().unwrap_or_default();
            if let Some(attested) = hold::same(input, || Attested::parse(message)) {
                assert!(attested.extra_data.len() + attested.pcr_digest.len() < message.len());
            }
        }
    }
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
                _ => Attested::parse(answers[0]).map(|attested| attested.extra_data == [7; 64]),
            };
            assert!(read.unwrap_or_else(|error| panic!("{name}: {error}")), "{name}");
        }
        assert_eq!(seeds.len(), 7);
    }
}
