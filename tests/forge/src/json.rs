//! A JSON writer that keeps the order of members and writes no spaces: signed text must come out as it was put in.

/// A JSON string. Text that would need escaping never occurs in what is forged, except where a test puts it in itself.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// An object of named, already encoded values.
pub(crate) fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", string(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// An array of already encoded values.
pub(crate) fn array(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(","))
}

/// Bytes as an array of numbers, as serde writes them.
pub(crate) fn byte_numbers(bytes: &[u8]) -> String {
    array(bytes.iter().map(u8::to_string))
}

/// `null` or the value.
pub(crate) fn nullable<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}
