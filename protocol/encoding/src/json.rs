//! JSON (RFC 8259) read so that two readers cannot see two things: a member that stands twice is refused however it is spelt, nesting and
//! the number of members are bounded, and every value keeps the exact text in which it was sent, because that text is what somebody
//! signed. What the values mean is for the callers.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text is not the JSON that was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON, or not an object or array where one is read. The words are the library's, without the place.
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// What is wrong there.
        words: String,
    },
    /// Nested deeper than so many levels.
    TooDeep(usize),
    /// More members or elements than this in one object or array.
    TooMany(usize),
    /// A member of this name stands twice in one object.
    Duplicate(String),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { line, column, words } => write!(f, "{words} at line {line} column {column}"),
            Self::TooDeep(limit) => write!(f, "nested more than {limit} levels deep"),
            Self::TooMany(limit) => write!(f, "more than {limit} members"),
            Self::Duplicate(member) => write!(f, "member `{}` stands twice", shown(member)),
        }
    }
}

impl std::error::Error for JsonError {}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        let words = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let words = words.strip_suffix(&place).unwrap_or(&words);
        // The library quotes what it found; what was expected is ours.
        let words = match words.rsplit_once(", expected ") {
            Some((found, expected)) => format!("{}, expected {expected}", shown(found)),
            None => shown(words),
        };
        Self::Syntax { line: error.line(), column: error.column(), words }
    }
}

/// A stranger's text as an error repeats it: no more than a line, and nothing that a terminal obeys.
fn shown(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown = String::new();
    for c in characters.by_ref().take(80) {
        if matches!(c, '"' | '\'' | '\\') { shown.push(c) } else { shown.extend(c.escape_debug()) }
    }
    shown.extend(characters.next().map(|_| '…'));
    shown
}

/// The members of one object, in order, each value as the text in which it was sent.
#[derive(Debug, Clone)]
pub struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads the object that fills `text`, with at most `most` members and `depth` levels of brackets; the object itself is the first.
    ///
    /// # Errors
    /// [`JsonError`]
    pub fn parse(text: &'a str, depth: usize, most: usize) -> Result<Self, JsonError> {
        if is_deeper_than(text, depth) {
            return Err(JsonError::TooDeep(depth));
        }
        let Read { members, fault } = serde_json::from_str(text)?;
        match fault {
            _ if members.len() > most => Err(JsonError::TooMany(most)),
            Some(Fault::TooMany) => Err(JsonError::TooMany(most)),
            Some(Fault::Duplicate(name)) => Err(JsonError::Duplicate(name)),
            None => Ok(Self(members)),
        }
    }

    /// The exact text of a member's value, from its first character to its last.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    /// The members in order, each with the exact text of its value.
    pub fn each(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.get()))
    }
}

/// The elements of the array that fills `text`, each with its exact text.
///
/// # Errors
/// [`JsonError`], also where there are more than `most`.
pub fn elements(text: &str, most: usize) -> Result<Vec<&str>, JsonError> {
    let Elements { elements, more } = serde_json::from_str(text)?;
    if more || elements.len() > most {
        return Err(JsonError::TooMany(most));
    }
    Ok(elements.into_iter().map(RawValue::get).collect())
}

/// The content of a string; `None` where `text` is another kind of value.
pub fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// Whether brackets outside strings nest deeper than `limit`. Counted before parsing, so that no parser need be trusted with depth.
pub fn is_deeper_than(text: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

/// Most members or elements that are ever kept: the search for duplicates stays cheap, and a value in memory is larger than its two bytes
/// of text.
const MOST: usize = 4_096;

/// What was read, and what is wrong with it that no library looks for.
struct Read<'a> {
    members: Vec<(String, &'a RawValue)>,
    fault: Option<Fault>,
}

enum Fault {
    TooMany,
    Duplicate(String),
}

impl<'de> Deserialize<'de> for Read<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Read<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut read = Read { members: Vec::new(), fault: None };
                let mut known = std::collections::BTreeSet::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    let fault = if read.members.len() == MOST {
                        Some(Fault::TooMany)
                    } else if known.insert(name.clone()) {
                        None
                    } else {
                        Some(Fault::Duplicate(name.clone()))
                    };
                    if fault.is_some() {
                        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        return Ok(Read { fault, ..read });
                    }
                    read.members.push((name, value));
                }
                Ok(read)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

struct Elements<'a> {
    elements: Vec<&'a RawValue>,
    more: bool,
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while elements.len() < MOST {
                    match list.next_element::<&RawValue>()? {
                        Some(element) => elements.push(element),
                        None => return Ok(Elements { elements, more: false }),
                    }
                }
                let mut more = false;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Elements { elements, more })
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Result<Members<'_>, JsonError> {
        Members::parse(text, 32, 64)
    }

    #[test]
    fn the_text_of_a_value_is_kept_exactly() {
        let members = members("{ \"a\" : {\"x\": 1.0,  \"y\":\"\\u0041\"} , \"b\":\"\\u0041\" }").unwrap();
        assert_eq!(members.get("a"), Some("{\"x\": 1.0,  \"y\":\"\\u0041\"}"));
        assert_eq!(members.get("b").and_then(string).as_deref(), Some("A"));
        assert_eq!((members.get("a").and_then(string), members.get("c")), (None, None));
        assert_eq!(members.each().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_member_that_stands_twice_is_refused_however_it_is_spelt() {
        let duplicate = |text| members(text).unwrap_err();
        assert_eq!(duplicate(r#"{"tcbInfo":1,"x":{},"tcb\u0049nfo":2}"#), JsonError::Duplicate("tcbInfo".to_owned()));
        // Inside another object it is another member; that object is for whoever reads it.
        members(r#"{"a":{"a":1},"b":{"a":1,"a":2}}"#).unwrap();
        // What follows the second one is JSON all the same.
        assert!(matches!(duplicate(r#"{"a":1,"a":2,"b":}"#), JsonError::Syntax { line: 1, column: 18, .. }));
    }

    #[test]
    fn depth_is_counted_outside_strings_and_before_anything_is_parsed() {
        let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(members(&deep(100_000)).unwrap_err(), JsonError::TooDeep(32));
        assert_eq!(members(&deep(32)).unwrap_err(), JsonError::TooDeep(32));
        members(&deep(31)).unwrap();
        members(&format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(100))).unwrap();
    }

    #[test]
    fn numbers_of_members_and_elements_are_bounded() {
        let many = |count: usize| {
            let all: Vec<_> = (0..count).map(|number| format!("\"{number}\":0")).collect();
            format!("{{{}}}", all.join(","))
        };
        members(&many(64)).unwrap();
        for count in [65, MOST, MOST + 1, MOST + 2] {
            assert_eq!(members(&many(count)).unwrap_err(), JsonError::TooMany(64), "{count}");
        }
        let list = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert_eq!(elements(&list(3), 3).unwrap(), ["0", "0", "0"]);
        for count in [4, MOST, MOST + 1, 3 * MOST] {
            assert_eq!(elements(&list(count), 3).unwrap_err(), JsonError::TooMany(3), "{count}");
        }
        assert_eq!(elements(&list(MOST), MOST).unwrap().len(), MOST);
        assert_eq!(elements("[]", 0).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_object_and_what_follows_one_is_refused_with_its_place() {
        for (text, place) in
            [("{} {}", (1, 4)), ("[]", (1, 0)), ("{\n\"a\":", (2, 4)), ("", (1, 0)), ("{\"a\":01}", (1, 7))]
        {
            let JsonError::Syntax { line, column, words } = members(text).unwrap_err() else { panic!("{text}") };
            assert_eq!((line, column), place, "{text}: {words}");
            assert!(!words.is_empty() && !words.contains(" at line "), "{words}");
        }
        for (text, place) in [("{}", (1, 0)), ("[1", (1, 2))] {
            let JsonError::Syntax { line, column, words } = elements(text, 9).unwrap_err() else { panic!("{text}") };
            assert_eq!((line, column), place, "{text}: {words}");
        }
    }

    #[test]
    fn nothing_long_is_repeated() {
        let long = "x".repeat(200_000);
        let error = members(&format!("{{\"{long}\":1,\"{long}\":2}}")).unwrap_err().to_string();
        assert!(error.len() < 200 && error.contains("stands twice"), "{error}");
    }
}
