//! Protocol Buffers on the wire, as far as evidence is sent in them: one message at a time, every field known and standing once.
//!
//! A reader of Protocol Buffers passes over fields that it does not know and takes the last of those that stand twice. Here both are
//! refused: the bytes that a processor signed are put together from these fields, and a field that is lost is a signature that
//! fails for a reason that nobody can see.

use teegate_encoding::protobuf::{Fields, Value};

use crate::error::Defect;

/// A message: its fields in order.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    name: &'static str,
    fields: Vec<(u64, Value<'a>)>,
}

/// No message here has more; each takes at least two bytes anyhow.
const MAX_FIELDS: usize = 256;

impl<'a> Message<'a> {
    /// Reads the message that fills `bytes`. `name` is what an error calls it.
    pub(crate) fn parse(name: &'static str, bytes: &'a [u8]) -> Result<Self, Defect> {
        let (mut read, mut fields) = (Fields::of(bytes), Vec::new());
        while let Some((number, value)) = read.next().map_err(|error| broken(format!("`{name}`: {error}")))? {
            if fields.len() == MAX_FIELDS {
                return Err(broken(format!("`{name}` has more than {MAX_FIELDS} fields")));
            }
            if let Value::Fixed(bytes) = value {
                return Err(broken(format!("field {number} of `{name}` is {} bytes of fixed length", bytes.len())));
            }
            fields.push((number, value));
        }
        Ok(Self { name, fields })
    }

    /// Whether the field stands in it.
    pub(crate) fn has(&self, number: u64) -> bool {
        self.fields.iter().any(|(known, _)| *known == number)
    }

    /// Refuses every field but these.
    pub(crate) fn only(&self, known: impl Fn(u64) -> bool) -> Result<(), Defect> {
        match self.fields.iter().find(|(number, _)| !known(*number)) {
            None => Ok(()),
            Some((number, _)) => Err(broken(format!("`{}` has field {number}, which is not known here", self.name))),
        }
    }

    /// A number; zero if it is absent, as zeros are not sent.
    pub(crate) fn number(&self, number: u64) -> Result<u64, Defect> {
        match self.single(number)? {
            None => Ok(0),
            Some(Value::Number(value)) => Ok(value),
            Some(_) => Err(broken(format!("field {number} of `{}` is not a number", self.name))),
        }
    }

    /// A number of at most `N` bytes, little-endian.
    pub(crate) fn little_endian<const N: usize>(&self, number: u64) -> Result<[u8; N], Defect> {
        let value = self.number(number)?.to_le_bytes();
        let too_large = || broken(format!("field {number} of `{}` is larger than {N} bytes", self.name));
        let (low, high) = value.split_first_chunk::<N>().ok_or_else(too_large)?;
        if high.iter().any(|byte| *byte != 0) { Err(too_large()) } else { Ok(*low) }
    }

    /// Bytes; none if the field is absent.
    pub(crate) fn bytes(&self, number: u64) -> Result<&'a [u8], Defect> {
        match self.single(number)? {
            None => Ok(&[]),
            Some(Value::Bytes { bytes, .. }) => Ok(bytes),
            Some(_) => Err(broken(format!("field {number} of `{}` is not bytes", self.name))),
        }
    }

    /// Exactly `N` bytes.
    pub(crate) fn exactly<const N: usize>(&self, number: u64) -> Result<[u8; N], Defect> {
        let bytes = self.bytes(number)?;
        bytes
            .try_into()
            .map_err(|_| broken(format!("field {number} of `{}` has {} bytes, expected {N}", self.name, bytes.len())))
    }

    /// A message in a field that must be there.
    pub(crate) fn message(&self, number: u64, name: &'static str) -> Result<Message<'a>, Defect> {
        if !self.has(number) {
            return Err(broken(format!("`{}` has no `{name}`", self.name)));
        }
        Message::parse(name, self.bytes(number)?)
    }

    /// The contents of a field that may stand any number of times.
    pub(crate) fn repeated(&self, number: u64) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter_map(move |(known, value)| match value {
            Value::Bytes { bytes, .. } if *known == number => Some(*bytes),
            _ => None,
        })
    }

    fn single(&self, number: u64) -> Result<Option<Value<'a>>, Defect> {
        let mut found = self.fields.iter().filter(|(known, _)| *known == number).map(|(_, value)| *value);
        match (found.next(), found.next()) {
            (value, None) => Ok(value),
            _ => Err(broken(format!("field {number} of `{}` stands twice", self.name))),
        }
    }
}

pub(crate) fn broken(defect: impl Into<String>) -> Defect {
    Defect::Broken {
        kind: "attestation in Protocol Buffers",
        defect: defect.into(),
        remedy: "save it again in binary, or pass the raw report or quote",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: &[u8]) -> Result<Message<'_>, String> {
        Message::parse("Test", bytes).map_err(|defect| defect.to_string())
    }

    #[test]
    fn fields_are_read_by_number_and_zeros_may_be_absent() {
        let read = message(&[0x08, 0xAC, 0x02, 0x12, 2, 7, 8, 0x12, 1, 9]).unwrap();
        assert_eq!((read.number(1).unwrap(), read.number(3).unwrap()), (300, 0));
        assert_eq!(read.little_endian::<2>(1).unwrap(), [0x2C, 1]);
        assert_eq!(read.repeated(2).collect::<Vec<_>>(), [&[7, 8][..], &[9]]);
        assert!(read.exactly::<0>(4).unwrap().is_empty());
        let largest = [&[0x08][..], &[0xFF; 9], &[1]].concat();
        assert_eq!(message(&largest).unwrap().number(1).unwrap(), u64::MAX);
        for (outcome, expected) in [
            (read.little_endian::<1>(1).map(|_| ()), "field 1 of `Test` is larger than 1 bytes"),
            (read.bytes(2).map(|_| ()), "field 2 of `Test` stands twice"),
            (read.bytes(1).map(|_| ()), "field 1 of `Test` is not bytes"),
            (read.exactly::<4>(3).map(|_| ()), "field 3 of `Test` has 0 bytes, expected 4"),
            (read.message(5, "Part").map(|_| ()), "`Test` has no `Part`"),
            (read.only(|number| number == 1), "`Test` has field 2, which is not known here"),
        ] {
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn what_is_no_message_of_known_fields_is_named() {
        for (bytes, expected) in [
            (
                &[0x0A, 0x80, 0x80, 0x80, 0x80, 4, 1][..],
                "`Test`: a field announces 1073741824 bytes, 1 are left (byte 6)",
            ),
            (&[0x08, 0xFF], "`Test`: it ends inside a number"),
            (&[0x0B], "`Test`: it has a field of wire type 3"),
            (&[0x0D, 1, 2, 3, 4], "field 1 of `Test` is 4 bytes of fixed length"),
        ] {
            let message = message(bytes).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        assert!(message(&[0x08, 1].repeat(256)).is_ok());
        assert!(message(&[0x08, 1].repeat(257)).unwrap_err().contains("more than 256 fields"));
    }
}
