//! Bytes as bytes.

use super::mutator::{Mutator, replace};

const EDGES: [u64; 18] = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Some changes of bytes.
pub fn bytes(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    for _ in 0..mutator.changes() {
        change(mutator, input);
    }
}

/// One change that leaves the length as it is, where there is any: what stands behind it stays where it was.
pub fn few_bytes(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    if input.is_empty() {
        return input.push(mutator.random.next() as u8);
    }
    let at = mutator.random.below(input.len());
    match mutator.random.below(4) {
        0 => input[at] ^= 1 << mutator.random.below(8),
        1 => input[at] = mutator.random.next() as u8,
        2 => number(mutator, input),
        _ => input[at] = [0, 1, 0x7F, 0x80, 0xFF][mutator.random.below(5)],
    }
}

fn change(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    let length = input.len();
    match mutator.random.below(16) {
        0..=3 => few_bytes(mutator, input),
        4 => {
            let gone = mutator.random.stretch(length);
            replace(input, gone, &[]);
        }
        5 => {
            let at = mutator.random.below(length + 1);
            let new: Vec<u8> = (0..=mutator.random.below(8)).map(|_| mutator.random.next() as u8).collect();
            replace(input, at..at, &new);
        }
        6 => {
            let (at, times) = (mutator.random.below(length + 1), 1 + mutator.random.below(128));
            let byte = if length > 0 { input[mutator.random.below(length)] } else { 0 };
            replace(input, at..at, &vec![byte; times]);
        }
        7 => {
            let copied = input[mutator.random.stretch(length)].to_vec();
            let at = mutator.random.below(length + 1);
            replace(input, at..at, &copied);
        }
        8 => {
            let copied = input[mutator.random.stretch(length)].to_vec();
            let at = mutator.random.below(length + 1);
            let end = (at + copied.len()).min(length);
            replace(input, at..end, &copied);
        }
        9 => {
            let copied = mutator.other[mutator.random.stretch(mutator.other.len())].to_vec();
            let at = mutator.random.stretch(length);
            replace(input, at, &copied);
        }
        10 => {
            // The beginning of one and the end of the other.
            let (at, from) = (mutator.random.below(length + 1), mutator.random.below(mutator.other.len() + 1));
            replace(input, at..length, &mutator.other[from..]);
        }
        11 => input.truncate(mutator.random.below(length + 1)),
        12 | 13 => {
            let (word, at) = (mutator.word(), mutator.random.stretch(length));
            let end = if mutator.random.once_in(2) { at.start } else { at.end };
            replace(input, at.start..end, word.as_bytes());
        }
        14 => compared(mutator, input),
        _ => number(mutator, input),
    }
}

/// A number of one to eight bytes is moved a little, or to where types end.
fn number(mutator: &mut Mutator<'_>, input: &mut [u8]) {
    let width = [1, 2, 4, 8][mutator.random.below(4)];
    if input.len() < width {
        return;
    }
    let at = mutator.random.below(input.len() - width + 1);
    let big = mutator.random.once_in(2);
    let field = &mut input[at..at + width];
    let mut raw = [0; 8];
    raw[..width].copy_from_slice(field);
    let mut value = u64::from_le_bytes(raw);
    if big {
        value = value.swap_bytes() >> (64 - 8 * width);
    }
    let step = 1 + mutator.random.below(16) as u64;
    value = match mutator.random.below(3) {
        0 => value.wrapping_add(step),
        1 => value.wrapping_sub(step),
        _ => EDGES[mutator.random.below(EDGES.len())],
    };
    write(field, value, big);
}

/// Where one side of a comparison stands in the input, the other takes its place: lengths and magic numbers are met at once.
fn compared(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    let Some(pair) = mutator.random.pick(mutator.compared).copied() else { return };
    let (from, to) = if mutator.random.once_in(2) { (pair.one, pair.other) } else { (pair.other, pair.one) };
    // A length is compared as eight bytes, and written in two.
    let width = if from.max(to) <= 0xFFFF && mutator.random.once_in(2) { 2 } else { pair.width };
    let big = mutator.random.once_in(2);
    let (mut wanted, mut new) = ([0; 8], [0; 8]);
    write(&mut wanted[..width], from, big);
    write(&mut new[..width], to, big);
    let (wanted, new) = (&wanted[..width], &new[..width]);
    let start = mutator.random.below(input.len() + 1);
    let places = || input.windows(width).enumerate().filter(|(_, window)| *window == wanted).map(|(at, _)| at);
    if let Some(at) = places().find(|at| *at >= start).or_else(|| places().next()) {
        input[at..at + width].copy_from_slice(new);
    } else if mutator.random.once_in(4) {
        replace(input, start..start, new);
    }
}

fn write(field: &mut [u8], value: u64, big: bool) {
    let width = field.len();
    let raw = if big { (value << (64 - 8 * width)).to_be_bytes() } else { value.to_le_bytes() };
    field.copy_from_slice(&raw[..width]);
}
