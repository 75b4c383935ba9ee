//! Text by its lines, numbers and words; and what is written in it in hexadecimal or base64, by its bytes.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::bytes::{bytes, few_bytes};
use super::mutator::{Mutator, replace};
use super::nodes::der;

const NUMBERS: [&str; 10] =
    ["0", "1", "-1", "255", "256", "65536", "4294967296", "9223372036854775808", "18446744073709551616", "1e9"];

/// Changes of text.
pub fn text(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    for _ in 0..mutator.changes() {
        match mutator.random.below(8) {
            0 | 1 => lines(mutator, input),
            2 => number(mutator, input),
            3 | 4 => {
                let run = encoded_run(mutator, input);
                let mut content = input[run.clone()].to_vec();
                encoded(mutator, &mut content);
                replace(input, run, &content);
            }
            _ => bytes(mutator, input),
        }
    }
}

/// Changes the bytes that the whole of `input` writes in hexadecimal or base64; of other text, its characters.
pub fn encoded(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    let change = |mutator: &mut Mutator<'_>, mut decoded: Vec<u8>| {
        match decoded.first() {
            Some(0x30) => der(mutator, &mut decoded),
            _ if mutator.random.once_in(2) => few_bytes(mutator, &mut decoded),
            _ => bytes(mutator, &mut decoded),
        }
        decoded
    };
    let plain: Vec<u8> = input.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if let Ok(decoded) = hex::decode(&plain) {
        *input = hex::encode(change(mutator, decoded)).into_bytes();
    } else if let Ok(decoded) = STANDARD.decode(&plain) {
        let lines = input.contains(&b'\n');
        let text = STANDARD.encode(change(mutator, decoded)).into_bytes();
        *input = if lines { text.chunks(64).collect::<Vec<_>>().join(&b'\n') } else { text };
    } else if let Ok(decoded) = URL_SAFE_NO_PAD.decode(&plain) {
        *input = URL_SAFE_NO_PAD.encode(change(mutator, decoded)).into_bytes();
    } else {
        bytes(mutator, input);
    }
}

fn lines(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    let ends = |text: &[u8]| -> Vec<usize> {
        let breaks = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        [0].into_iter().chain(breaks).chain([text.len()]).collect()
    };
    let line = |mutator: &mut Mutator<'_>, ends: &[usize]| {
        let at = mutator.random.below(ends.len() - 1);
        ends[at]..ends[at + 1]
    };
    let own = ends(input);
    let at = line(mutator, &own);
    match mutator.random.below(4) {
        0 => replace(input, at, &[]),
        1 => {
            let copy = input[at.clone()].to_vec();
            replace(input, at.start..at.start, &copy);
        }
        2 => {
            let copy = input[line(mutator, &own)].to_vec();
            replace(input, at, &copy);
        }
        _ => {
            let others = ends(mutator.other);
            let copy = mutator.other[line(mutator, &others)].to_vec();
            replace(input, at.start..at.start, &copy);
        }
    }
}

fn number(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    let start = mutator.random.below(input.len() + 1);
    let Some(first) = input[start..].iter().position(u8::is_ascii_digit).map(|skipped| start + skipped) else { return };
    let length = input[first..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    replace(input, first..first + length, NUMBERS[mutator.random.below(NUMBERS.len())].as_bytes());
}

/// A stretch of hexadecimal or base64 that stands in the text, line ends included.
fn encoded_run(mutator: &mut Mutator<'_>, input: &[u8]) -> std::ops::Range<usize> {
    let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-\n\r".contains(byte);
    let at = mutator.random.below(input.len());
    let start = input[..at].iter().rposition(|byte| !belongs(byte)).map_or(0, |before| before + 1);
    let end = input[at..].iter().position(|byte| !belongs(byte)).map_or(input.len(), |length| at + length);
    // In PEM the dashes around a label belong to no digits: the line of the label is left out.
    let dashes = input[start..end].windows(5).rposition(|window| window == b"-----");
    match dashes {
        Some(dashes) if start + dashes + 5 <= at => start + dashes + 5..end,
        Some(dashes) => start..start + dashes,
        None => start..end,
    }
}
