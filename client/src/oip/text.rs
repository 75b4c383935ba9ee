//! A message of the protocol: one JSON object, and raw tensors behind it.
//!
//! The length of the object is found by reading it, and the object says how many raw bytes follow. So a message needs
//! nothing beside it, and is refused if the two disagree.

use serde::Deserialize;
use serde_json::value::RawValue;
use teegate_protocol::members::{List, Members};
use teegate_protocol::oip::Datatype;

use super::error::TensorError;

/// The most dimensions a tensor may have.
pub(super) const MAX_RANK: usize = 16;
/// The most tensors that a request or an answer may have on one side.
pub(super) const MAX_TENSORS: usize = 1024;

/// Reads the object at the start of `body`, and returns what lies behind it.
pub(super) fn split<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<(T, Rest<'a>), TensorError> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<Members<T>>();
    let Members(object) = match values.next() {
        Some(Ok(object)) => object,
        Some(Err(error)) => return Err(TensorError::at(&error, body)),
        None => return Err(TensorError::new("it is empty")),
    };
    let json_length = values.byte_offset();
    Ok((object, Rest { json_length, bytes: body.get(json_length..).unwrap_or_default(), used: 0, is_used: false }))
}

/// What lies behind the JSON.
pub(super) struct Rest<'a> {
    pub(super) json_length: usize,
    bytes: &'a [u8],
    used: usize,
    /// Whether there was a raw tensor: one without elements has no bytes.
    is_used: bool,
}

impl<'a> Rest<'a> {
    /// The next raw tensor.
    pub(super) fn take(&mut self, size: usize) -> Option<&'a [u8]> {
        let end = self.used.checked_add(size)?;
        let taken = self.bytes.get(self.used..end)?;
        (self.used, self.is_used) = (end, true);
        Some(taken)
    }

    /// Nothing must be left; behind JSON alone there may be white space. Whether there were raw tensors.
    pub(super) fn finish(self) -> Result<bool, TensorError> {
        let left = self.bytes.get(self.used..).unwrap_or_default();
        if left.is_empty() || (!self.is_used && left.iter().all(u8::is_ascii_whitespace)) {
            return Ok(self.is_used);
        }
        Err(TensorError::new(format!(
            "{} bytes follow the JSON and its raw tensors, and nothing says what they are",
            left.len()
        )))
    }
}

/// The members of a list, each as text.
pub(super) fn list<'a>(value: &'a RawValue, place: &str) -> Result<Vec<&'a RawValue>, TensorError> {
    let wrong = || TensorError::new(format!("`{place}` is not an array of at most {MAX_TENSORS} objects"));
    let List(list) = serde_json::from_str::<List<&RawValue, MAX_TENSORS>>(value.get()).map_err(|_| wrong())?;
    Ok(list)
}

/// A member that has to be there and to be a string.
pub(super) fn text(value: Option<&RawValue>, place: &str) -> Result<String, TensorError> {
    let value = value.ok_or_else(|| TensorError::new(format!("`{place}` is missing")))?;
    serde_json::from_str(value.get()).map_err(|_| TensorError::new(format!("`{place}` is not a string")))
}

/// A member that has to be there and to be a data type.
pub(super) fn datatype(value: Option<&RawValue>, place: &str) -> Result<Datatype, TensorError> {
    Datatype::from_name(&text(value, place)?).ok_or_else(|| {
        let known = Datatype::ALL.map(Datatype::name).join(", ");
        TensorError::new(format!("`{place}` is none of {known}"))
    })
}

/// A member that has to be there and to be a shape.
pub(super) fn shape(value: Option<&RawValue>, place: &str) -> Result<Vec<u64>, TensorError> {
    let wrong = |why: &str| TensorError::new(format!("`{place}` {why}"));
    let value = value.ok_or_else(|| wrong("is missing"))?;
    // One more than allowed, to tell a long shape from another mistake.
    let List(items) = serde_json::from_str::<List<&RawValue, { MAX_RANK + 1 }>>(value.get())
        .map_err(|_| wrong("is not an array of at most 16 numbers"))?;
    if items.len() > MAX_RANK {
        return Err(wrong("has more than 16 dimensions"));
    }
    let extent = |item: &&RawValue| {
        item.get().parse::<u64>().map_err(|_| {
            if item.get().starts_with('-') {
                wrong("holds a negative number; -1 stands in metadata for any length, a request gives the length that it has")
            } else {
                wrong("holds something that is no whole number from 0")
            }
        })
    };
    items.iter().map(extent).collect()
}

/// The size of a raw tensor, if the parameters of a tensor say so.
pub(super) fn binary_size(parameters: Option<&RawValue>, place: &str) -> Result<Option<usize>, TensorError> {
    #[derive(Deserialize, Default)]
    struct Parameters {
        #[serde(default)]
        binary_data_size: Option<usize>,
    }
    let Some(parameters) = parameters else { return Ok(None) };
    let Members(Parameters { binary_data_size }) = serde_json::from_str(parameters.get()).map_err(|_| {
        TensorError::new(format!("`{place}` is not an object whose `binary_data_size`, if it is there, is a number"))
    })?;
    Ok(binary_data_size)
}

/// Checks that `shape` counts `len` elements.
pub(super) fn count(list: &str, at: usize, shape: &[u64], len: usize) -> Result<(), TensorError> {
    if shape.len() > MAX_RANK {
        return Err(TensorError::new(format!("`{list}[{at}]` has more than {MAX_RANK} dimensions")));
    }
    let counted = shape.iter().try_fold(1_u64, |product, extent| product.checked_mul(*extent));
    if counted.and_then(|n| usize::try_from(n).ok()) == Some(len) {
        return Ok(());
    }
    Err(TensorError::new(format!("`{list}[{at}]` has {len} elements, which its shape does not count")))
}
