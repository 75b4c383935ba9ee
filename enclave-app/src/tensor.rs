//! Tensors as they pass between the Open Inference Protocol and an engine: a name, a shape, and elements of one type.
//!
//! A shape is a claim of the sender. It becomes a [`Shape`] only after rank, every dimension, the number of elements
//! and the number of bytes were multiplied with checked arithmetic; nothing is allocated before.

pub use teegate_protocol::oip::Datatype;
use zeroize::Zeroize;

use crate::strings::{Strings, StringsError};

/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 16;

/// Most elements of a tensor.
pub const MAX_ELEMENTS: usize = 1 << 31;

/// Why a shape is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// More dimensions than [`MAX_RANK`].
    Rank(usize),
    /// A negative dimension.
    Negative {
        /// Which, from 0.
        axis: usize,
        /// What stands there.
        actual: i64,
    },
    /// More elements than [`MAX_ELEMENTS`], or more bytes than memory can address.
    TooManyElements,
}

impl std::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rank(rank) => write!(f, "shape has {rank} dimensions, expected at most {MAX_RANK}"),
            Self::Negative { axis, actual } => write!(f, "shape has {actual} at axis {axis}, expected 0 or more"),
            Self::TooManyElements => write!(f, "shape multiplies to more than {MAX_ELEMENTS} elements"),
        }
    }
}

/// A shape whose product is known to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    dimensions: Vec<i64>,
    elements: usize,
}

impl Shape {
    /// Checks rank, sign, product and size in bytes for elements of `datatype`.
    ///
    /// # Errors
    /// [`ShapeError`] names the rule.
    pub fn new(dimensions: &[i64], datatype: Datatype) -> Result<Self, ShapeError> {
        if dimensions.len() > MAX_RANK {
            return Err(ShapeError::Rank(dimensions.len()));
        }
        // A zero makes the product zero wherever it stands, but the other dimensions must not be absurd beside it: they
        // are multiplied as one.
        let (mut product, mut empty) = (1_usize, false);
        for (axis, &actual) in dimensions.iter().enumerate() {
            let dimension = usize::try_from(actual).map_err(|_| ShapeError::Negative { axis, actual })?;
            empty |= dimension == 0;
            product = product
                .checked_mul(dimension.max(1))
                .filter(|&p| p <= MAX_ELEMENTS)
                .ok_or(ShapeError::TooManyElements)?;
        }
        product
            .checked_mul(datatype.least_size())
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .ok_or(ShapeError::TooManyElements)?;
        Ok(Self { dimensions: dimensions.to_vec(), elements: if empty { 0 } else { product } })
    }

    /// The dimensions, outermost first; none for a scalar.
    pub fn dimensions(&self) -> &[i64] {
        &self.dimensions
    }

    /// The number of elements, at most [`MAX_ELEMENTS`].
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// The first dimension; `None` for a scalar.
    pub fn rows(&self) -> Option<usize> {
        self.dimensions.first().and_then(|&rows| usize::try_from(rows).ok())
    }

    /// The dimensions of one row: all but the first.
    pub fn of_a_row(&self) -> &[i64] {
        self.dimensions.get(1..).unwrap_or_default()
    }

    /// The shape of so many rows like these.
    ///
    /// # Errors
    /// As [`Shape::new`].
    pub fn with_rows(&self, rows: usize, datatype: Datatype) -> Result<Self, ShapeError> {
        let rows = i64::try_from(rows).map_err(|_| ShapeError::TooManyElements)?;
        let dimensions: Vec<i64> = std::iter::once(rows).chain(self.of_a_row().iter().copied()).collect();
        Self::new(&dimensions, datatype)
    }
}

/// The elements of a tensor, row-major; wiped when dropped.
#[derive(Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is the datatype of the same name; 16-bit floats are their bits")]
pub enum Elements {
    Bool(Vec<bool>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Fp16(Vec<u16>),
    Bf16(Vec<u16>),
    Fp32(Vec<f32>),
    Fp64(Vec<f64>),
    Bytes(Strings),
}

/// Why bytes are not so many elements of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementsError {
    /// Their number is not that of the elements.
    Length {
        /// How many there are.
        actual: usize,
        /// How many so many elements have.
        expected: usize,
    },
    /// A `BOOL` is neither 0 nor 1.
    Truth,
    /// They are no strings.
    Strings(StringsError),
}

impl std::fmt::Display for ElementsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Length { actual, expected } => {
                write!(f, "binary data has {actual} bytes, expected {expected} from shape and datatype")
            }
            Self::Truth => f.write_str("binary data of BOOL has a byte that is neither 0 nor 1"),
            Self::Strings(error) => write!(f, "binary data of BYTES: {error}"),
        }
    }
}

/// A tensor of a request or an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The name that the model gives it.
    pub name: String,
    /// Its shape; the product equals the number of `elements`.
    pub shape: Shape,
    /// Its elements.
    pub elements: Elements,
}

impl Tensor {
    /// Bytes of its elements, as binary data has them.
    pub fn bytes(&self) -> usize {
        self.elements.bytes()
    }
}

/// Expands `$body` once for each element type, with what holds the elements bound to `$vector`.
macro_rules! for_elements {
    ($elements:expr, $vector:ident => $body:expr) => {
        match $elements {
            $crate::tensor::Elements::Bool($vector) => $body,
            $crate::tensor::Elements::Uint8($vector) => $body,
            $crate::tensor::Elements::Uint16($vector) => $body,
            $crate::tensor::Elements::Uint32($vector) => $body,
            $crate::tensor::Elements::Uint64($vector) => $body,
            $crate::tensor::Elements::Int8($vector) => $body,
            $crate::tensor::Elements::Int16($vector) => $body,
            $crate::tensor::Elements::Int32($vector) => $body,
            $crate::tensor::Elements::Int64($vector) => $body,
            $crate::tensor::Elements::Fp16($vector) => $body,
            $crate::tensor::Elements::Bf16($vector) => $body,
            $crate::tensor::Elements::Fp32($vector) => $body,
            $crate::tensor::Elements::Fp64($vector) => $body,
            $crate::tensor::Elements::Bytes($vector) => $body,
        }
    };
}
pub(crate) use for_elements;

impl Elements {
    /// The type of the elements.
    pub fn datatype(&self) -> Datatype {
        match self {
            Self::Bool(_) => Datatype::Bool,
            Self::Uint8(_) => Datatype::Uint8,
            Self::Uint16(_) => Datatype::Uint16,
            Self::Uint32(_) => Datatype::Uint32,
            Self::Uint64(_) => Datatype::Uint64,
            Self::Int8(_) => Datatype::Int8,
            Self::Int16(_) => Datatype::Int16,
            Self::Int32(_) => Datatype::Int32,
            Self::Int64(_) => Datatype::Int64,
            Self::Fp16(_) => Datatype::Fp16,
            Self::Bf16(_) => Datatype::Bf16,
            Self::Fp32(_) => Datatype::Fp32,
            Self::Fp64(_) => Datatype::Fp64,
            Self::Bytes(_) => Datatype::Bytes,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        for_elements!(self, vector => vector.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes binary data of them has, and they have in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Bytes(strings) => strings.block().len(),
            other => other.len().saturating_mul(other.datatype().least_size()),
        }
    }

    /// Appends the raw little-endian bytes, row-major: the binary tensor extension. There has to be room for them, or what
    /// stood there before is left behind where it was.
    pub fn append_le_bytes(&self, to: &mut Vec<u8>) {
        fn append<T: Copy, const N: usize>(vector: &[T], to: &mut Vec<u8>, bytes: fn(T) -> [u8; N]) {
            vector.iter().for_each(|value| to.extend_from_slice(&bytes(*value)));
        }
        match self {
            Self::Bool(vector) => append(vector, to, |value| [u8::from(value)]),
            Self::Uint8(vector) => to.extend_from_slice(vector),
            Self::Uint16(vector) | Self::Fp16(vector) | Self::Bf16(vector) => append(vector, to, u16::to_le_bytes),
            Self::Uint32(vector) => append(vector, to, u32::to_le_bytes),
            Self::Uint64(vector) => append(vector, to, u64::to_le_bytes),
            Self::Int8(vector) => append(vector, to, i8::to_le_bytes),
            Self::Int16(vector) => append(vector, to, i16::to_le_bytes),
            Self::Int32(vector) => append(vector, to, i32::to_le_bytes),
            Self::Int64(vector) => append(vector, to, i64::to_le_bytes),
            Self::Fp32(vector) => append(vector, to, f32::to_le_bytes),
            Self::Fp64(vector) => append(vector, to, f64::to_le_bytes),
            Self::Bytes(strings) => to.extend_from_slice(strings.block()),
        }
    }

    /// The inverse of [`Elements::append_le_bytes`] for `count` elements, in one allocation of as many bytes.
    ///
    /// # Errors
    /// [`ElementsError`] says what the bytes have instead.
    pub fn from_le_bytes(datatype: Datatype, count: usize, bytes: &[u8]) -> Result<Self, ElementsError> {
        fn read<T, const N: usize>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
            let (chunks, _) = bytes.as_chunks::<N>();
            chunks.iter().map(|chunk| from(*chunk)).collect()
        }
        if let Some(size) = datatype.size() {
            let expected = count.saturating_mul(size);
            if bytes.len() != expected {
                return Err(ElementsError::Length { actual: bytes.len(), expected });
            }
        }
        Ok(match datatype {
            Datatype::Bool if bytes.iter().any(|byte| *byte > 1) => return Err(ElementsError::Truth),
            Datatype::Bool => Self::Bool(bytes.iter().map(|byte| *byte == 1).collect()),
            Datatype::Uint8 => Self::Uint8(bytes.to_vec()),
            Datatype::Uint16 => Self::Uint16(read(bytes, u16::from_le_bytes)),
            Datatype::Uint32 => Self::Uint32(read(bytes, u32::from_le_bytes)),
            Datatype::Uint64 => Self::Uint64(read(bytes, u64::from_le_bytes)),
            Datatype::Int8 => Self::Int8(read(bytes, i8::from_le_bytes)),
            Datatype::Int16 => Self::Int16(read(bytes, i16::from_le_bytes)),
            Datatype::Int32 => Self::Int32(read(bytes, i32::from_le_bytes)),
            Datatype::Int64 => Self::Int64(read(bytes, i64::from_le_bytes)),
            Datatype::Fp16 => Self::Fp16(read(bytes, u16::from_le_bytes)),
            Datatype::Bf16 => Self::Bf16(read(bytes, u16::from_le_bytes)),
            Datatype::Fp32 => Self::Fp32(read(bytes, f32::from_le_bytes)),
            Datatype::Fp64 => Self::Fp64(read(bytes, f64::from_le_bytes)),
            Datatype::Bytes => Self::Bytes(Strings::from_block(bytes.to_vec(), count).map_err(ElementsError::Strings)?),
        })
    }
}

/// Type and number: what they are is nobody's but the client's.
impl std::fmt::Debug for Elements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.len(), self.datatype().name())
    }
}

impl Drop for Elements {
    fn drop(&mut self) {
        for_elements!(self, vector => vector.zeroize());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_overflow_are_refused_before_anything_is_allocated() {
        let big = 1_i64 << 62;
        for dimensions in
            [vec![big, 4], vec![1 << 31, 2], vec![i64::MAX], vec![0, big, big], vec![big, 0], vec![1 << 16, 1 << 16]]
        {
            assert_eq!(Shape::new(&dimensions, Datatype::Fp64), Err(ShapeError::TooManyElements), "{dimensions:?}");
        }
        assert_eq!(Shape::new(&[1; 17], Datatype::Bool), Err(ShapeError::Rank(17)));
        assert_eq!(Shape::new(&[2, -1], Datatype::Bool), Err(ShapeError::Negative { axis: 1, actual: -1 }));
        assert_eq!(Shape::new(&[1 << 31], Datatype::Fp64).unwrap().elements(), 1 << 31);
        assert_eq!(Shape::new(&[1; 16], Datatype::Bool).unwrap().elements(), 1);
        assert_eq!(Shape::new(&[], Datatype::Bool).unwrap().elements(), 1);
        assert_eq!(Shape::new(&[3, 0, 5], Datatype::Bool).unwrap().elements(), 0);
        let shape = Shape::new(&[2, 3, 5], Datatype::Fp64).unwrap();
        assert_eq!((shape.rows(), shape.of_a_row()), (Some(2), &[3, 5][..]));
        assert_eq!(shape.with_rows(7, Datatype::Fp64), Shape::new(&[7, 3, 5], Datatype::Fp64));
        assert_eq!(shape.with_rows(1 << 28, Datatype::Fp64), Err(ShapeError::TooManyElements));
        assert_eq!(shape.with_rows(usize::MAX, Datatype::Fp64), Err(ShapeError::TooManyElements));
        let scalar = Shape::new(&[], Datatype::Bool).unwrap();
        assert_eq!((scalar.rows(), scalar.of_a_row()), (None, &[][..]));
    }

    #[test]
    fn binary_tensors_come_back_as_they_went() {
        let strings = Strings::of(&["".to_owned(), "straße".to_owned()]).unwrap();
        for elements in [
            Elements::Bool(vec![true, false]),
            Elements::Uint8(vec![1, 255]),
            Elements::Uint16(vec![1, 65535]),
            Elements::Int32(vec![-1, 7]),
            Elements::Int64(vec![i64::MIN, 7]),
            Elements::Fp16(vec![0x3c00, 0x7e01]),
            Elements::Bf16(vec![0x3f80, 0xffff]),
            Elements::Fp32(vec![1.5, f32::INFINITY]),
            Elements::Fp64(vec![-0.0, 1e300]),
            Elements::Bytes(strings),
        ] {
            let mut bytes = Vec::with_capacity(elements.bytes());
            elements.append_le_bytes(&mut bytes);
            assert_eq!((bytes.len(), bytes.capacity()), (elements.bytes(), bytes.len()));
            assert_eq!(Elements::from_le_bytes(elements.datatype(), 2, &bytes), Ok(elements));
        }
        let from = |datatype, bytes| Elements::from_le_bytes(datatype, 1, bytes);
        assert_eq!(from(Datatype::Fp32, &[0; 5]), Err(ElementsError::Length { actual: 5, expected: 4 }));
        assert_eq!(from(Datatype::Fp16, &[0; 4]), Err(ElementsError::Length { actual: 4, expected: 2 }));
        assert_eq!(from(Datatype::Bool, &[2]), Err(ElementsError::Truth));
        let ends = ElementsError::Strings(StringsError::Ends { element: 0 });
        assert_eq!(from(Datatype::Bytes, &[1, 0, 0, 0]), Err(ends));
    }
}
