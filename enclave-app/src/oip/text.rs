//! The `data` member of a `BYTES` tensor in JSON: strings, in one flat array or in arrays nested as the shape is.
//!
//! `serde_json` writes a string with escapes down once more before it hands it over, and leaves that behind unwiped. So the
//! text, of which it has found that it is JSON, is read here, straight into the block of the tensor, which is paid for and
//! made in its final size.

use teegate_protocol::oip::BYTES_PREFIX;
use zeroize::Zeroizing;

use crate::strings::Strings;
use crate::tensor::Shape;

/// How many bytes are allocated to read `json`: those of its strings, each with its length before it.
pub(super) fn allocated(json: &str) -> usize {
    let (mut bytes, mut rest) = (0_usize, json);
    while let Some(begin) = rest.find('"') {
        bytes = bytes.saturating_add(BYTES_PREFIX);
        let read = string(rest.get(begin..).unwrap_or_default(), |piece| bytes = bytes.saturating_add(piece.len()));
        // Where one cannot be read, reading ends as well.
        let Ok(after) = read else { break };
        rest = after;
    }
    bytes
}

/// Reads `json`, which is a value of JSON, as the strings of a tensor of this shape.
///
/// # Errors
/// The message names the element, or the axis, and what was expected there.
pub(super) fn parse(json: &str, shape: &Shape) -> Result<Strings, String> {
    let rank = shape.dimensions().len();
    let mut block = Zeroizing::new(Vec::with_capacity(allocated(json)));
    let mut count = 0;
    // How many values each open array has had.
    let mut open: Vec<i64> = Vec::new();
    let mut is_nested = None;
    let mut rest = json;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', ',']);
        let Some(first) = rest.bytes().next() else { break };
        let depth = open.len();
        if matches!(first, b'[' | b'"') {
            open.last_mut().into_iter().for_each(|values| *values += 1);
        }
        match first {
            b'[' if depth > 0 && (is_nested == Some(false) || depth >= rank) => {
                return Err(format!("array inside {depth} arrays, expected {}", form(rank)));
            }
            b'[' => {
                open.push(0);
                rest = rest.get(1..).unwrap_or_default();
            }
            b']' => {
                let values = open.pop().unwrap_or_default();
                let axis = depth.saturating_sub(1);
                // A flat array is measured at the end, by the number of elements; so is an empty one, which may stand for
                // any empty shape.
                let by_elements = axis == 0 && (is_nested != Some(true) || rank < 2);
                match shape.dimensions().get(axis) {
                    Some(&expected) if !by_elements && values != expected => {
                        return Err(format!(
                            "array at axis {axis} has length {values}, expected {expected} from the shape"
                        ));
                    }
                    _ => rest = rest.get(1..).unwrap_or_default(),
                }
            }
            b'"' => {
                let nested = depth == rank;
                if depth == 0 || (!nested && depth != 1) || is_nested.is_some_and(|known| known != nested) {
                    return Err(format!("element inside {depth} arrays, expected {}", form(rank)));
                }
                is_nested = Some(nested);
                if count == shape.elements() {
                    return Err(format!("`data` has more than the {count} elements of the shape"));
                }
                rest = append(rest, &mut block).map_err(|what| format!("element {count}: {what}"))?;
                count += 1;
            }
            _ => return Err(format!("element {count}: expected a string, which BYTES are in JSON")),
        }
    }
    if !open.is_empty() {
        return Err("an array does not end".to_owned());
    }
    if count != shape.elements() {
        return Err(format!("`data` has {count} elements, expected {} from the shape", shape.elements()));
    }
    Strings::from_block(std::mem::take(&mut block), count).map_err(|error| error.to_string())
}

fn form(rank: usize) -> String {
    format!("one flat array or arrays nested as the shape ({rank})")
}

/// Appends the string that `json` begins with, behind its length, and returns what follows it.
fn append<'a>(json: &'a str, block: &mut Vec<u8>) -> Result<&'a str, &'static str> {
    let begin = block.len();
    block.extend_from_slice(&[0; BYTES_PREFIX]);
    let rest = string(json, |piece| block.extend_from_slice(piece))?;
    let length = u32::try_from(block.len() - begin - BYTES_PREFIX).map_err(|_| "the string is longer than 4 GiB")?;
    if let Some(prefix) = block.get_mut(begin..begin + BYTES_PREFIX) {
        prefix.copy_from_slice(&length.to_le_bytes());
    }
    Ok(rest)
}

/// Hands out the string that `json` begins with, piece by piece, and returns what follows it.
fn string(json: &str, mut take: impl FnMut(&[u8])) -> Result<&str, &'static str> {
    let unended = "the string does not end";
    let mut rest = json.get(1..).ok_or(unended)?;
    loop {
        let end = rest.find(['"', '\\']).ok_or(unended)?;
        let (plain, after) = rest.split_at_checked(end).ok_or(unended)?;
        take(plain.as_bytes());
        if let Some(after) = after.strip_prefix('"') {
            return Ok(after);
        }
        let (escaped, after) = escape(after)?;
        take(escaped.encode_utf8(&mut [0; 4]).as_bytes());
        rest = after;
    }
}

/// The character of the escape that `text` begins with, and what follows it.
fn escape(text: &str) -> Result<(char, &str), &'static str> {
    let unknown = "an escape that JSON does not have";
    let mut characters = text.chars();
    let (_, kind) = (characters.next(), characters.next().ok_or(unknown)?);
    let plain = match kind {
        '"' | '\\' | '/' => kind,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unicode(characters.as_str()),
        _ => return Err(unknown),
    };
    Ok((plain, characters.as_str()))
}

/// What stands behind `\u`: four digits, or eight with another `\u` between them.
fn unicode(text: &str) -> Result<(char, &str), &'static str> {
    const ALONE: &str = "half of a surrogate pair, which is no character";
    let four = |text: &str| {
        let digits = text.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()).ok_or("an escape that JSON does not have")
    };
    let (first, mut rest) = (four(text)?, text.get(4..).unwrap_or_default());
    // Not on the heap, where it would stay.
    let mut units = [first, 0];
    let mut count = 1;
    if (0xd800..0xdc00).contains(&first) {
        let after = rest.strip_prefix("\\u").ok_or(ALONE)?;
        units = [first, four(after)?];
        count = 2;
        rest = after.get(4..).unwrap_or_default();
    }
    match char::decode_utf16(units.into_iter().take(count)).next() {
        Some(Ok(character)) => Ok((character, rest)),
        Some(Err(_)) | None => Err(ALONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Datatype;

    fn read(json: &str, dimensions: &[i64]) -> Result<Vec<String>, String> {
        // What comes here is JSON.
        serde_json::from_str::<serde::de::IgnoredAny>(json).unwrap();
        let shape = Shape::new(dimensions, Datatype::Bytes).unwrap();
        let strings = parse(json, &shape)?;
        // Nothing is allocated twice, and nothing that is not filled.
        assert_eq!((strings.block().len(), strings.capacity()), (allocated(json), allocated(json)), "{json}");
        Ok(strings.iter().map(str::to_owned).collect())
    }

    #[test]
    fn flat_and_nested_arrays_mean_the_same() {
        let words = |words: &[&str]| Ok(words.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(read(r#"["a","b", "","d"]"#, &[2, 2]), words(&["a", "b", "", "d"]));
        assert_eq!(read(" [ [\"a\",\"b\"],\n[\"\",\"d\"] ] ", &[2, 2]), words(&["a", "b", "", "d"]));
        assert_eq!(read(r#"["straße"]"#, &[]), words(&["straße"]));
        assert_eq!(read(r#"["a"]"#, &[1, 1, 1]), words(&["a"]));
        assert_eq!(read(r#"[[["a"]]]"#, &[1, 1, 1]), words(&["a"]));
        for (json, dimensions) in [("[]", vec![0]), ("[]", vec![3, 0]), ("[[],[],[]]", vec![3, 0]), ("[]", vec![0, 3])]
        {
            assert_eq!(read(json, &dimensions), words(&[]), "{json} {dimensions:?}");
        }
    }

    #[test]
    fn escapes_become_what_serde_json_makes_of_them() {
        for json in [
            r#""\"\\\/\b\f\n\r\t""#,
            r#""a\u00e9b\u20ac\ud83d\ude00c""#,
            r#""\u0041\uFFFF\uffff""#,
            r#""]\"[,""#,
            r#""\\""#,
        ] {
            let expected: String = serde_json::from_str(json).unwrap();
            assert_eq!(read(&format!("[{json}]"), &[1]), Ok(vec![expected]), "{json}");
        }
        for (json, reason) in [
            (r#"["\ud83d"]"#, "element 0: half of a surrogate pair"),
            (r#"["a","\ude00"]"#, "element 1: half of a surrogate pair"),
            (r#"["\ud83d\u0041"]"#, "element 0: half of a surrogate pair"),
            (r#"["\ud83d\n"]"#, "element 0: half of a surrogate pair"),
        ] {
            let shape = Shape::new(&[1 + i64::from(json.starts_with("[\"a"))], Datatype::Bytes).unwrap();
            assert!(parse(json, &shape).unwrap_err().starts_with(reason), "{json}");
        }
    }

    #[test]
    fn every_disagreement_names_the_place() {
        for (json, dimensions, reason) in [
            (r#"["a","b","c"]"#, vec![2, 2], "`data` has 3 elements, expected 4 from the shape"),
            (r#"["a","b","c"]"#, vec![2], "`data` has more than the 2 elements of the shape"),
            (r#"[["a","b"],["c"]]"#, vec![2, 2], "array at axis 1 has length 1, expected 2 from the shape"),
            (r#"[["a","b"]]"#, vec![2, 2], "array at axis 0 has length 1, expected 2"),
            (r#"[["a","b"],"c","d"]"#, vec![2, 2], "element inside 1 arrays, expected one flat array or arrays"),
            (r#"["a",["b","c","d"]]"#, vec![2, 2], "array inside 1 arrays"),
            (r#"[[["a"]]]"#, vec![1, 1], "array inside 2 arrays"),
            (r#""a""#, vec![], "element inside 0 arrays"),
            ("[]", vec![1 << 31], "`data` has 0 elements, expected 2147483648"),
            (r#"["a",1]"#, vec![2], "element 1: expected a string"),
            ("[null]", vec![1], "element 0: expected a string"),
            (r#"{"a":1}"#, vec![1], "element 0: expected a string"),
        ] {
            let message = read(json, &dimensions).unwrap_err();
            assert!(message.contains(reason), "{json}: {message}");
        }
    }

    #[test]
    fn what_is_no_json_ends_in_an_error_too() {
        let shape = Shape::new(&[2], Datatype::Bytes).unwrap();
        let good = r#"["a\u00e9\n","b"]"#;
        assert!(parse(good, &shape).is_ok());
        for end in 0..good.len() {
            assert!(parse(good.get(..end).unwrap(), &shape).is_err(), "{end}");
        }
        for (from, to) in [("\\n", "\\x"), ("00e9", "00g9"), ("00e9", "+0e9"), ("u00e9", "u00é")] {
            assert!(parse(&good.replace(from, to), &shape).is_err(), "{to}");
        }
        let deep = "[".repeat(100_000);
        assert!(
            parse(&deep, &Shape::new(&[1; 16], Datatype::Bytes).unwrap()).unwrap_err().contains("inside 16 arrays")
        );
    }
}
