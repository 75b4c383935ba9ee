//! JSON by its values and members.

use super::bytes::few_bytes;
use super::mutator::{Mutator, replace};
use super::text::{encoded, text};

/// One value, and where its member begins if it stands in an object.
#[derive(Clone, Copy, Debug)]
struct Value {
    start: usize,
    end: usize,
    member: Option<usize>,
}

const STRANGE: [&str; 18] = [
    "null",
    "true",
    "-1",
    "0",
    "1e400",
    "1.5",
    "18446744073709551615",
    "18446744073709551616",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]",
    "{\"\":{\"\":{\"\":{\"\":{}}}}}",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\\"\\\\\\/\\n\"",
    "\"AAAA\"",
    "\"2026-06-01T00:00:00Z\"",
];

/// Changes of JSON.
pub fn json(mutator: &mut Mutator<'_>, input: &mut Vec<u8>) {
    for _ in 0..mutator.changes() {
        let values = values(input);
        if values.is_empty() || mutator.random.once_in(6) {
            text(mutator, input);
            continue;
        }
        let value = values[mutator.random.below(values.len())];
        let (inner, whole) = (value.start..value.end, value.member.unwrap_or(value.start)..value.end);
        match mutator.random.below(10) {
            0..=2 if input[value.start] == b'"' => {
                let mut content = input[value.start + 1..value.end.saturating_sub(1).max(value.start + 1)].to_vec();
                if mutator.random.once_in(4) {
                    few_bytes(mutator, &mut content)
                } else {
                    encoded(mutator, &mut content)
                }
                replace(input, inner, &[b"\"", &content[..], b"\""].concat());
            }
            0..=2 => {
                let mut content = input[inner.clone()].to_vec();
                text(mutator, &mut content);
                replace(input, inner, &content);
            }
            3 => replace(input, inner, STRANGE[mutator.random.below(STRANGE.len())].as_bytes()),
            4 => {
                let others = self::values(mutator.other);
                let from_here = others.is_empty() || mutator.random.once_in(2);
                let (source, parts) =
                    if from_here { (input.clone(), &values) } else { (mutator.other.to_vec(), &others) };
                let part = parts[mutator.random.below(parts.len())];
                let with_its_name = part.member.is_some() && value.member.is_some() && mutator.random.once_in(2);
                if with_its_name {
                    replace(input, whole, &source[part.member.unwrap_or(part.start)..part.end]);
                } else {
                    replace(input, inner, &source[part.start..part.end]);
                }
            }
            5 => {
                let after = usize::from(input.get(whole.end) == Some(&b','));
                let before = usize::from(after == 0 && whole.start > 0 && input[whole.start - 1] == b',');
                replace(input, whole.start - before..whole.end + after, &[]);
            }
            6 => {
                let copy = [&input[whole.clone()], b","].concat();
                replace(input, whole.start..whole.start, &copy);
            }
            7 => {
                let (open, close): (&[u8], &[u8]) =
                    if mutator.random.once_in(2) { (b"[", b"]") } else { (b"{\"a\":", b"}") };
                let wrapped = [open, &input[inner.clone()], close].concat();
                replace(input, inner, &wrapped);
            }
            _ => {
                let Some(name) = value.member else { continue };
                let word = format!("\"{}\":", mutator.word());
                replace(input, name..value.start, word.as_bytes());
            }
        }
    }
}

/// Every value of a document, or of what is left of one.
fn values(text: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    let mut open = Vec::new();
    let mut member = None;
    let mut at = 0;
    while at < text.len() && found.len() < 2_000 {
        let start = at;
        match text[at] {
            b'"' => {
                at = end_of_string(text, at);
                let colon = text[at..].iter().position(|byte| !byte.is_ascii_whitespace());
                if let Some(colon) = colon.map(|skipped| at + skipped).filter(|place| text[*place] == b':') {
                    member = Some(start);
                    at = colon + 1;
                } else {
                    found.push(Value { start, end: at, member: member.take() });
                }
            }
            b'{' | b'[' => {
                open.push((at, member.take()));
                at += 1;
            }
            b'}' | b']' => {
                at += 1;
                if let Some((start, member)) = open.pop() {
                    found.push(Value { start, end: at, member });
                }
            }
            b',' => {
                member = None;
                at += 1;
            }
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let rest = &text[at..];
                at += rest.iter().position(|byte| b",]}\" \n\t:".contains(byte)).unwrap_or(rest.len()).max(1);
                found.push(Value { start, end: at, member: member.take() });
            }
        }
    }
    found
}

fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn values_and_members_are_found() {
        let text = br#"{"a": [1, "x\"y"], "b":{"c":null}}"#;
        let found: Vec<_> = values(text)
            .iter()
            .map(|value| std::str::from_utf8(&text[value.member.unwrap_or(value.start)..value.end]).unwrap())
            .collect();
        let whole = std::str::from_utf8(text).unwrap();
        assert_eq!(found, ["1", r#""x\"y""#, r#""a": [1, "x\"y"]"#, r#""c":null"#, r#""b":{"c":null}"#, whole]);
    }
}
