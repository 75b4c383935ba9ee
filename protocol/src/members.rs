//! JSON objects and arrays for `serde`, each taken for nothing else, in texts that are not ours to define.
//!
//! `serde`'s derived readers take an array where an object stands, its elements in the order of the fields: a second
//! spelling of every message, which no other reader understands. And what a derived reader says of a string in the wrong
//! place repeats the whole string. [`Members`] takes an object only, [`List`] an array of bounded length only, and neither
//! repeats anything.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A `T` out of a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Members<T>(pub T);

/// At most `MOST` values out of a JSON array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T, const MOST: usize>(pub Vec<T>);

impl<T, const MOST: usize> Default for List<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Object(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for List<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Array(PhantomData))
    }
}

/// The object that fills `text`, and no array in its place.
pub(crate) fn object<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(text).map(|Members(found)| found)
}

/// What stands where `error` was found in `text`, if it is one of the numbers for which JSON has no word and which many
/// programs write all the same.
#[must_use]
pub fn unsayable(text: &[u8], error: &serde_json::Error) -> Option<&'static str> {
    let line = text.split(|byte| *byte == b'\n').nth(error.line().checked_sub(1)?)?;
    let found = line.get(error.column().checked_sub(1)?..)?;
    ["NaN", "Infinity"].into_iter().find(|word| found.starts_with(word.as_bytes()))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Members<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Members)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom("a string, expected an object"))
    }
}

struct Array<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Array<T, MOST> {
    type Value = List<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == MOST {
                return Err(A::Error::custom(format_args!("an array of more than {MOST} elements")));
            }
            list.push(item);
        }
        Ok(List(list))
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom("a string, expected an array"))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::value::RawValue;

    use super::*;

    #[derive(serde::Deserialize, Debug)]
    struct Point<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(borrow)]
        at: &'a RawValue,
        #[serde(borrow, default)]
        inner: List<Members<Inner<'a>>, 2>,
    }

    #[derive(serde::Deserialize, Debug)]
    struct Inner<'a> {
        #[serde(borrow)]
        text: &'a str,
    }

    fn read(json: &str) -> Result<Members<Point<'_>>, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn objects_are_read_without_a_copy_and_arrays_are_not_taken_for_them() {
        let json = r#"{"name":"a","at":[1, 2],"inner":[{"text":"b","unknown":{}}]}"#;
        let Members(point) = read(json).expect("an object");
        assert_eq!((point.at.get(), point.inner.0[0].0.text), ("[1, 2]", "b"));
        assert!(matches!(point.name, Cow::Borrowed("a")));

        for (json, reason) in [
            (r#"["a",[1,2],[]]"#, "invalid type: sequence, expected an object"),
            (r#"{"name":"a","at":0,"inner":[["b"]]}"#, "invalid type: sequence, expected an object"),
            (r#"{"name":"a","at":0,"inner":{}}"#, "invalid type: map, expected an array"),
            (r#"{"name":"a","at":0,"inner":null}"#, "invalid type: null, expected an array"),
            (r#"{"name":"a","at":0,"name":"b"}"#, "duplicate field `name`"),
            (r#"{"at":0}"#, "missing field `name`"),
            (
                r#"{"name":"a","at":0,"inner":[{"text":""},{"text":""},{"text":""}]}"#,
                "an array of more than 2 elements",
            ),
            ("7", "invalid type: integer `7`, expected an object"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(reason) && error.contains(" at line 1 column "), "{json}: {error}");
        }
    }

    #[test]
    fn numbers_without_a_word_are_recognised_where_they_stand() {
        for (text, word) in [
            ("NaN", Some("NaN")),
            ("[1, NaN]", Some("NaN")),
            ("[\n 1,\n -Infinity]", Some("Infinity")),
            ("[Infinity]", Some("Infinity")),
            ("[nan]", None),
            ("[\"NaN\" 1]", None),
            ("[1", None),
            ("", None),
        ] {
            let error = serde_json::from_str::<Vec<f64>>(text).expect_err(text);
            assert_eq!(unsayable(text.as_bytes(), &error), word, "{text}: {error}");
        }
    }

    #[test]
    fn a_string_in_the_wrong_place_is_not_repeated() {
        for json in
            [r#""canary""#, r#"{"name":"a","at":0,"inner":"canary"}"#, r#"{"name":"a","at":0,"inner":["canary"]}"#]
        {
            let error = read(json).expect_err(json);
            assert!(error.starts_with("a string, expected an ") && !error.contains("canary"), "{json}: {error}");
        }
    }
}
