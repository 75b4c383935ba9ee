//! Formats of nested parts with a head that says how long they are: DER, CBOR, Protocol Buffers. A part is changed, and the heads
//! around it follow, so that a reader gets as far as the change. Sometimes they do not follow.

use super::bytes::{bytes, few_bytes};
use super::mutator::{Mutator, replace};

/// One part: a head, and what it holds.
#[derive(Clone, Copy, Debug)]
struct Node {
    start: usize,
    /// Where what it holds begins.
    body: usize,
    end: usize,
    parent: Option<usize>,
}

/// A format of such parts.
struct Format {
    nodes: fn(&[u8]) -> Vec<Node>,
    /// The head of a part that now holds so many bytes, written like this one.
    head: fn(&[u8], usize) -> Vec<u8>,
}

/// Parts that are looked at in one input; a deep or long one has plenty.
const MOST: usize = 2_000;

/// Changes of DER.
pub fn der(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    change(mutator, input, &Format { nodes: der_nodes, head: der_head });
}

/// Changes of CBOR. Arrays and maps count their items, and nothing around an item says how long it is.
pub fn cbor(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    change(mutator, input, &Format { nodes: cbor_nodes, head: cbor_head });
}

/// Changes of Protocol Buffers.
pub fn protobuf(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    change(mutator, input, &Format { nodes: protobuf_nodes, head: protobuf_head });
}

fn change(mutator: &mut Mutator<'_>, input: &mut Vec<u8>, format: &Format) {
    for _ in 0..mutator.changes() {
        let nodes = (format.nodes)(input);
        if nodes.is_empty() || mutator.random.once_in(4) {
            bytes(mutator, input);
            continue;
        }
        let index = mutator.random.below(nodes.len());
        let node = nodes[index];
        let whole = &input[node.start..node.end];
        let new = match mutator.random.below(10) {
            // What it holds, changed.
            0..=3 => {
                let mut body = input[node.body..node.end].to_vec();
                if mutator.random.once_in(2) {
                    few_bytes(mutator, &mut body)
                } else {
                    bytes(mutator, &mut body)
                }
                [(format.head)(&input[node.start..node.body], body.len()), body].concat()
            }
            // Its head: another type or number.
            4 => {
                let mut changed = whole.to_vec();
                if mutator.random.once_in(2) {
                    few_bytes(mutator, &mut changed);
                } else if let Some(first) = changed.first_mut() {
                    *first ^= 1 << mutator.random.below(8);
                }
                changed
            }
            5 => Vec::new(),
            6 => [whole, whole].concat(),
            // Another part of the same, or of another input, in its place or in front of it.
            7 | 8 => {
                let others = (format.nodes)(mutator.other);
                let from_here = others.is_empty() || mutator.random.once_in(2);
                let (source, parts) = if from_here { (&input[..], &nodes) } else { (mutator.other, &others) };
                let part = parts[mutator.random.below(parts.len())];
                let part = &source[part.start..part.end];
                if mutator.random.once_in(2) { part.to_vec() } else { [part, whole].concat() }
            }
            // Itself inside itself.
            _ => [(format.head)(&input[node.start..node.body], whole.len()), whole.to_vec()].concat(),
        };
        set(input, &nodes, index, &new, format);
    }
}

/// Puts `new` in the place of a part, and lets the heads of what it stands in follow.
fn set(input: &mut Vec<u8>, nodes: &[Node], index: usize, new: &[u8], format: &Format) {
    let mut inner = nodes[index];
    let mut new = new.to_vec();
    while let Some(parent) = inner.parent {
        let outer = nodes[parent];
        let body = [&input[outer.body..inner.start], &new, &input[inner.end..outer.end]].concat();
        new = (format.head)(&input[outer.start..outer.body], body.len());
        new.extend(body);
        inner = outer;
    }
    replace(input, inner.start..inner.end, &new);
}

/// Every element, those inside of OCTET STRING and BIT STRING too where they fill them.
fn der_nodes(bytes: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut open = vec![(0, bytes.len(), None)];
    while let Some((mut at, end, parent)) = open.pop() {
        let first = nodes.len();
        while at < end && nodes.len() < MOST {
            let Some((body, after)) = der_element(bytes, at, end) else { break };
            nodes.push(Node { start: at, body, end: after, parent });
            at = after;
        }
        let opaque = parent.is_some_and(|parent: usize| bytes[nodes[parent].start] & 0x20 == 0);
        if opaque && at != end {
            // It only looked like elements.
            nodes.truncate(first);
        }
        for (index, node) in nodes.iter().enumerate().skip(first) {
            match bytes[node.start] {
                tag if tag & 0x20 != 0 => open.push((node.body, node.end, Some(index))),
                4 if node.end - node.body > 2 => open.push((node.body, node.end, Some(index))),
                3 if node.end - node.body > 3 => open.push((node.body + 1, node.end, Some(index))),
                _ => {}
            }
        }
    }
    nodes
}

fn der_element(bytes: &[u8], at: usize, end: usize) -> Option<(usize, usize)> {
    let first = usize::from(*bytes.get(at + 1)?);
    let (body, length) = match first {
        0..=0x7F => (at + 2, first),
        0x81..=0x84 => {
            let digits = bytes.get(at + 2..at + 2 + (first & 0x7F))?;
            (at + 2 + digits.len(), digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)))
        }
        _ => return None,
    };
    let after = body.checked_add(length)?;
    (after <= end).then_some((body, after))
}

fn der_head(old: &[u8], length: usize) -> Vec<u8> {
    let mut head = vec![old.first().copied().unwrap_or(0x30)];
    match length {
        0..=0x7F => head.push(length as u8),
        0x80..=0xFF => head.extend([0x81, length as u8]),
        0x100..=0xFFFF => head.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => head.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    head
}

/// Every item in turn; an array's or map's head is an item without a body.
fn cbor_nodes(bytes: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut at = 0;
    while at < bytes.len() && nodes.len() < MOST {
        let (major, short) = (bytes[at] >> 5, bytes[at] & 0x1F);
        let width = match short {
            0..=23 => 0,
            24..=27 => 1 << (short - 24),
            _ => break,
        };
        let Some(digits) = bytes.get(at + 1..at + 1 + width) else { break };
        let argument = if width == 0 {
            u64::from(short)
        } else {
            digits.iter().fold(0, |sum, digit| sum << 8 | u64::from(*digit))
        };
        let body = at + 1 + width;
        let length = if matches!(major, 2 | 3) { usize::try_from(argument).unwrap_or(usize::MAX) } else { 0 };
        let Some(end) = body.checked_add(length).filter(|end| *end <= bytes.len()) else { break };
        nodes.push(Node { start: at, body, end, parent: None });
        at = end;
    }
    nodes
}

fn cbor_head(old: &[u8], length: usize) -> Vec<u8> {
    let major = old.first().copied().unwrap_or(0x40) & 0xE0;
    // Of an item without a body the argument is not a length.
    if !matches!(major, 0x40 | 0x60) {
        return old.to_vec();
    }
    match length {
        0..=23 => vec![major | length as u8],
        24..=0xFF => vec![major | 24, length as u8],
        0x100..=0xFFFF => vec![major | 25, (length >> 8) as u8, length as u8],
        _ => [vec![major | 26], (length as u32).to_be_bytes().to_vec()].concat(),
    }
}

/// Every field, those inside of a field of bytes too where they fill it.
fn protobuf_nodes(bytes: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut open = vec![(0, bytes.len(), None)];
    while let Some((mut at, end, parent)) = open.pop() {
        let first = nodes.len();
        while at < end && nodes.len() < MOST {
            let Some((body, after)) = protobuf_field(bytes, at, end) else { break };
            nodes.push(Node { start: at, body, end: after, parent });
            at = after;
        }
        if parent.is_some() && at != end {
            nodes.truncate(first);
        }
        for (index, node) in nodes.iter().enumerate().skip(first) {
            if bytes[node.start] & 7 == 2 && node.end - node.body > 1 {
                open.push((node.body, node.end, Some(index)));
            }
        }
    }
    nodes
}

fn protobuf_field(bytes: &[u8], at: usize, end: usize) -> Option<(usize, usize)> {
    let (key, body) = varint(bytes, at)?;
    let after = match key & 7 {
        0 => varint(bytes, body)?.1,
        1 => body + 8,
        2 => {
            let (length, start) = varint(bytes, body)?;
            let after = start.checked_add(usize::try_from(length).ok()?)?;
            return (after <= end).then_some((start, after));
        }
        5 => body + 4,
        _ => return None,
    };
    (after <= end).then_some((body, after))
}

fn varint(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.get(at..)?.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, at + index + 1));
        }
    }
    None
}

fn protobuf_head(old: &[u8], length: usize) -> Vec<u8> {
    let Some((key, after)) = varint(old, 0) else { return old.to_vec() };
    if key & 7 != 2 {
        return old.to_vec();
    }
    let mut head = old[..after].to_vec();
    let mut rest = length;
    while rest > 0x7F {
        head.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    head.push(rest as u8);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEQUENCE { INTEGER 7, OCTET STRING { SEQUENCE { NULL } } }
    const DER: &[u8] = &[0x30, 9, 2, 1, 7, 4, 4, 0x30, 2, 5, 0];

    #[test]
    fn the_heads_around_a_changed_part_follow() {
        let nodes = der_nodes(DER);
        let starts: Vec<_> = nodes.iter().map(|node| node.start).collect();
        assert_eq!(starts, [0, 2, 5, 7, 9]);
        let mut longer = DER.to_vec();
        let format = Format { nodes: der_nodes, head: der_head };
        set(&mut longer, &nodes, 4, &[4, 200].iter().copied().chain([1; 200]).collect::<Vec<_>>(), &format);
        assert_eq!(longer[..3], [0x30, 0x81, 3 + 4 + 3 + 202 - 1]);
        assert_eq!(der_nodes(&longer).len(), 4, "{longer:?}");

        let message = [0x0A, 4, 0x12, 2, 8, 1, 0x18, 5];
        let nodes = protobuf_nodes(&message);
        let mut shorter = message.to_vec();
        let inner = nodes.iter().position(|node| node.start == 4).unwrap();
        set(&mut shorter, &nodes, inner, &[], &Format { nodes: protobuf_nodes, head: protobuf_head });
        assert_eq!(shorter, [0x0A, 2, 0x12, 0, 0x18, 5]);
    }
}
