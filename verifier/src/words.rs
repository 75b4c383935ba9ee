//! What a report says in words. Nobody reads most of it, so it is kept as the values that it is made of, and written when
//! somebody does.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use crate::time::UnixTime;

/// Words of a report. They are written at the first time that somebody reads them.
pub struct Words {
    said: Text,
    written: OnceLock<Box<str>>,
}

/// What is said, before it is written.
#[derive(Clone)]
pub(crate) enum Text {
    /// As it stands in the source.
    Borrowed(&'static str),
    /// Written already.
    Owned(String),
    /// A name that others hold too.
    Name(Arc<str>),
    /// A sentence with `{}` for each of its values, in their order: made by [`words!`], which counts them.
    Sentence(&'static str, [Value; 3]),
}

/// Nothing that is of a known length has more bytes than this, SHA-512 and report data. What has more is as long as a stranger
/// wants, such as the extension of a leaf.
const LONGEST: usize = 64;

/// So many bytes of that are repeated: a line.
const REPEATED: usize = 40;

/// One value of a sentence.
#[derive(Clone)]
pub(crate) enum Value {
    /// There is none.
    Nothing,
    /// A word.
    Word(&'static str),
    /// A name that others hold too.
    Name(Arc<str>),
    /// A number, in decimal.
    Number(u64),
    /// Bits, in hexadecimal with `0x`.
    Bits(u64),
    /// An instant.
    Time(UnixTime),
    /// A few bytes in hexadecimal, and how many.
    Bytes([u8; 16], u8),
    /// More bytes in hexadecimal.
    ManyBytes(Arc<[u8]>),
    /// A value of a platform's own, packed into a number, and how it is written.
    Packed(u64, fn(u64, &mut fmt::Formatter<'_>) -> fmt::Result),
}

/// A sentence of constant words and of values, which is written only when somebody reads it: `words!("{} of {}", kind, date)`.
macro_rules! words {
    ($sentence:literal, $one:expr $(,)?) => {
        $crate::words::words!(1, $sentence, $one, $crate::words::Value::Nothing, $crate::words::Value::Nothing)
    };
    ($sentence:literal, $one:expr, $two:expr $(,)?) => {
        $crate::words::words!(2, $sentence, $one, $two, $crate::words::Value::Nothing)
    };
    ($sentence:literal, $one:expr, $two:expr, $three:expr $(,)?) => {
        $crate::words::words!(3, $sentence, $one, $two, $three)
    };
    ($count:literal, $sentence:literal, $($value:expr),+) => {{
        const { assert!($crate::words::places($sentence) == $count) };
        $crate::words::Text::Sentence($sentence, [$($crate::words::Value::from($value)),+])
    }};
}
pub(crate) use words;

/// How many times `{}` stands in a sentence.
pub(crate) const fn places(sentence: &str) -> usize {
    let (mut rest, mut count) = (sentence.as_bytes(), 0);
    while let [first, after @ ..] = rest {
        if let (b'{', [b'}', ..]) = (first, after) {
            count += 1;
        }
        rest = after;
    }
    count
}

/// Names, one after the other.
pub(crate) fn listed<'n>(names: impl IntoIterator<Item = &'n Arc<str>>) -> Text {
    let mut names = names.into_iter();
    match (names.next(), names.next(), names.next(), names.next()) {
        (Some(one), None, ..) => Text::Name(one.clone()),
        (Some(one), Some(two), None, _) => words!("{}, {}", one, two),
        (Some(one), Some(two), Some(three), None) => words!("{}, {}, {}", one, two, three),
        (one, two, three, four) => {
            let all = [one, two, three, four].into_iter().flatten().chain(names);
            Text::Owned(all.map(|name| &**name).collect::<Vec<_>>().join(", "))
        }
    }
}

impl Words {
    /// These words, as they are read.
    pub fn as_str(&self) -> &str {
        match &self.said {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
            Text::Name(name) => name,
            Text::Sentence(..) => self.written.get_or_init(|| self.said.to_string().into_boxed_str()),
        }
    }

    /// Says this instead.
    pub(crate) fn say(&mut self, said: Text) {
        self.said = said;
        self.written = OnceLock::new();
    }

    pub(crate) const fn none() -> Self {
        Self { said: Text::Borrowed(""), written: OnceLock::new() }
    }
}

impl From<Text> for Words {
    fn from(said: Text) -> Self {
        Self { said, written: OnceLock::new() }
    }
}

impl From<&'static str> for Words {
    fn from(text: &'static str) -> Self {
        Text::from(text).into()
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Text::from(text).into()
    }
}

impl Deref for Words {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl Clone for Words {
    fn clone(&self) -> Self {
        Self { said: self.said.clone(), written: OnceLock::new() }
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Words {}

impl PartialEq<str> for Words {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Words {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl serde::Serialize for Words {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Borrowed(text) => f.write_str(text),
            Self::Owned(text) => f.write_str(text),
            Self::Name(name) => f.write_str(name),
            Self::Sentence(sentence, values) => {
                let mut pieces = sentence.split("{}");
                f.write_str(pieces.next().unwrap_or_default())?;
                pieces.zip(values).try_for_each(|(piece, value)| write!(f, "{value}{piece}"))
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |bytes: &[u8], f: &mut fmt::Formatter<'_>| bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"));
        match self {
            Self::Nothing => Ok(()),
            Self::Word(word) => f.write_str(word),
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bits(bits) => write!(f, "{bits:#x}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Bytes(bytes, length) => hex(bytes.get(..usize::from(*length)).unwrap_or(bytes), f),
            Self::ManyBytes(bytes) if bytes.len() > LONGEST => {
                hex(bytes.get(..REPEATED).unwrap_or(bytes), f)?;
                write!(f, "… ({} bytes)", bytes.len())
            }
            Self::ManyBytes(bytes) => hex(bytes, f),
            Self::Packed(value, write) => write(*value, f),
        }
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Borrowed(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Owned(text)
    }
}

impl From<Arc<str>> for Text {
    fn from(name: Arc<str>) -> Self {
        Self::Name(name)
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<Arc<str>> for Value {
    fn from(name: Arc<str>) -> Self {
        Self::Name(name)
    }
}

impl From<&Arc<str>> for Value {
    fn from(name: &Arc<str>) -> Self {
        Self::Name(name.clone())
    }
}

/// What is said as one value of a sentence: a constant or a name is kept, anything else is written first.
impl From<Text> for Value {
    fn from(said: Text) -> Self {
        match said {
            Text::Borrowed(word) => Self::Word(word),
            Text::Name(name) => Self::Name(name),
            said => Self::Name(said.to_string().into()),
        }
    }
}

impl From<UnixTime> for Value {
    fn from(time: UnixTime) -> Self {
        Self::Time(time)
    }
}

macro_rules! numbers {
    ($($number:ty)+) => {$(
        impl From<$number> for Value {
            fn from(number: $number) -> Self {
                Self::Number(u64::from(number))
            }
        }
    )+};
}
numbers! { u8 u16 u32 u64 }

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        let mut few = [0; 16];
        match (few.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(bytes);
                Self::Bytes(few, length)
            }
            _ => Self::ManyBytes(bytes.into()),
        }
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_written_as_it_would_have_been_at_once() {
        let name: Arc<str> = "SEV-Milan".into();
        let time = UnixTime::from_seconds(951_825_600);
        let (few, many) = ([0x0A_u8, 0xFF], [7_u8; 32]);
        let words = Words::from(words!("{} of {}: {}", "a list", &name, 7_u8));
        assert_eq!(&*words, format!("a list of {name}: 7"));
        assert_eq!(&*Words::from(words!("<{}>", Value::Bits(0x3F))), "<0x3f>");
        assert_eq!(&*Words::from(words!("until {}", time)), format!("until {time}"));
        let words = Words::from(words!("{} and {}", &few, &many));
        assert_eq!(&*words, format!("0aff and {}", "07".repeat(32)));
        let version = |packed: u64, f: &mut fmt::Formatter<'_>| write!(f, "{}.{}", packed >> 8, packed & 0xFF);
        assert_eq!(&*Words::from(words!("{}", Value::Packed(0x0137, version))), "1.55");
        assert_eq!([Words::from("a"), Words::from("a".to_owned()), Text::from(Arc::<str>::from("a")).into()], ["a"; 3]);
        assert_eq!(format!("{:>3}|{:?}", Words::from("a"), Words::from("a\n")), "  a|\"a\\n\"");
    }

    #[test]
    fn sixteen_bytes_are_few_and_no_length_is_lost() {
        for length in [0_usize, 1, 15, 16, 17, 64] {
            let bytes = vec![0xA5; length];
            assert_eq!(Words::from(words!("<{}>", &*bytes)).as_str(), format!("<{}>", "a5".repeat(length)));
        }
    }

    #[test]
    fn of_more_bytes_than_anything_has_a_line_is_written_and_how_many_they_are() {
        let bytes = vec![0xA5; 65];
        assert_eq!(Words::from(words!("<{}>", &*bytes)).as_str(), format!("<{}… (65 bytes)>", "a5".repeat(40)));
    }

    #[test]
    fn any_number_of_names_is_listed() {
        let names: Vec<Arc<str>> = ["a", "b", "c", "d", "e", "f"].map(Arc::from).to_vec();
        for (count, text) in ["", "a", "a, b", "a, b, c", "a, b, c, d", "a, b, c, d, e"].into_iter().enumerate() {
            assert_eq!(listed(names.iter().take(count)).to_string(), text);
        }
    }

    #[test]
    fn places_are_counted() {
        assert_eq!(["", "{", "{}", "{}{}", "a {} b {} c", "{ }"].map(places), [0, 0, 1, 2, 2, 0]);
    }
}
