//! The `data` member of a tensor in JSON: one flat array, or arrays nested as the shape is. Strings are read in
//! [`super::text`].
//!
//! It is read straight into a vector of the announced type. The vector is as large as the shape announces, and never
//! larger than the text could fill; nothing is allocated on the word of the shape alone.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, Error, IntoDeserializer, SeqAccess, Visitor};

use zeroize::{Zeroize, Zeroizing};

use super::text;
use crate::tensor::{Datatype, Elements, Shape};

/// How many bytes are allocated to read `json`.
pub fn allocated(json: &str, datatype: Datatype, shape: &Shape) -> usize {
    match datatype {
        Datatype::Bytes => text::allocated(json),
        _ => elements(json, shape).saturating_mul(datatype.least_size()),
    }
}

/// How many elements are allocated to read `json`: no more than the shape announces, and no more than the text can fill.
fn elements(json: &str, shape: &Shape) -> usize {
    // An element is at least a digit and a comma.
    shape.elements().min(json.len() / 2 + 1)
}

/// Reads `json` as the elements of a tensor of this type and shape.
///
/// # Errors
/// The message says what was found and expected, of numbers with line and column inside `json`.
pub fn parse(json: &str, datatype: Datatype, shape: &Shape) -> Result<Elements, String> {
    let numbers = match datatype {
        Datatype::Bytes => return text::parse(json, shape).map(Elements::Bytes),
        Datatype::Fp16 | Datatype::Bf16 => {
            return Err(format!("{datatype} has no form in JSON; send it as binary data, with `binary_data_size`"));
        }
        other => numbers(json, other, shape),
    };
    numbers.map_err(|error| error.to_string())
}

fn numbers(json: &str, datatype: Datatype, shape: &Shape) -> Result<Elements, serde_json::Error> {
    Ok(match datatype {
        Datatype::Bool => Elements::Bool(collect(json, shape)?),
        Datatype::Uint8 => Elements::Uint8(collect(json, shape)?),
        Datatype::Uint16 => Elements::Uint16(collect(json, shape)?),
        Datatype::Uint32 => Elements::Uint32(collect(json, shape)?),
        Datatype::Uint64 => Elements::Uint64(collect(json, shape)?),
        Datatype::Int8 => Elements::Int8(collect(json, shape)?),
        Datatype::Int16 => Elements::Int16(collect(json, shape)?),
        Datatype::Int32 => Elements::Int32(collect(json, shape)?),
        Datatype::Int64 => Elements::Int64(collect(json, shape)?),
        Datatype::Fp32 => Elements::Fp32(collect(json, shape)?),
        Datatype::Fp64 => Elements::Fp64(collect(json, shape)?),
        Datatype::Fp16 | Datatype::Bf16 | Datatype::Bytes => {
            return Err(serde_json::Error::custom(format!("{datatype} is no number of JSON")));
        }
    })
}

/// An element type: what serde can read, and whether the value that it became is still a number.
trait Element: DeserializeOwned + Zeroize {
    fn fits(&self) -> bool {
        true
    }
}

impl Element for bool {}
impl Element for u8 {}
impl Element for u16 {}
impl Element for u32 {}
impl Element for u64 {}
impl Element for i8 {}
impl Element for i16 {}
impl Element for i32 {}
impl Element for i64 {}
impl Element for f32 {
    fn fits(&self) -> bool {
        self.is_finite()
    }
}
impl Element for f64 {}

fn collect<T: Element>(json: &str, shape: &Shape) -> Result<Vec<T>, serde_json::Error> {
    // Wiped if it is not read to the end.
    let elements = Zeroizing::new(Vec::with_capacity(elements(json, shape)));
    let mut state = State { elements, shape, form: Form::Unknown };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    Item { state: &mut state, depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    let (actual, expected) = (state.elements.len(), shape.elements());
    if actual != expected {
        return Err(serde_json::Error::custom(format!(
            "`data` has {actual} elements, expected {expected} from the shape"
        )));
    }
    Ok(std::mem::take(&mut *state.elements))
}

/// Known once the first element was seen.
#[derive(PartialEq)]
enum Form {
    Unknown,
    Flat,
    Nested,
}

struct State<'a, T: Zeroize> {
    elements: Zeroizing<Vec<T>>,
    shape: &'a Shape,
    form: Form,
}

/// One JSON value inside `depth` arrays.
struct Item<'s, 'a, T: Zeroize> {
    state: &'s mut State<'a, T>,
    depth: usize,
}

impl<'de, T: Element> DeserializeSeed<'de> for Item<'_, '_, T> {
    type Value = PhantomData<T>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T: Element> Item<'_, '_, T> {
    fn element<'de, E: Error>(self, value: impl IntoDeserializer<'de, E>) -> Result<PhantomData<T>, E> {
        let rank = self.state.shape.dimensions().len();
        let form = if self.depth == rank { Form::Nested } else { Form::Flat };
        if self.depth == 0
            || (form == Form::Flat && self.depth != 1)
            || (self.state.form != Form::Unknown && self.state.form != form)
        {
            return Err(E::custom(format!(
                "element inside {} arrays, expected one flat array or arrays nested as the shape ({rank})",
                self.depth
            )));
        }
        self.state.form = form;
        let elements = &mut self.state.elements;
        if elements.len() == self.state.shape.elements() {
            return Err(E::custom(format!("`data` has more than the {} elements of the shape", elements.len())));
        }
        let element = T::deserialize(value.into_deserializer())
            .map_err(|error| E::custom(format!("element {}: {error}", elements.len())))?;
        if !element.fits() {
            return Err(E::custom(format!("element {}: number is out of range for the datatype", elements.len())));
        }
        elements.push(element);
        Ok(PhantomData)
    }
}

impl<'de, T: Element> Visitor<'de> for Item<'_, '_, T> {
    type Value = PhantomData<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers or booleans")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let Self { state, depth } = self;
        let dimensions = state.shape.dimensions();
        if depth > 0 && (state.form == Form::Flat || depth >= dimensions.len()) {
            return Err(A::Error::custom(format!(
                "array inside {depth} arrays, expected one flat array or arrays nested as the shape ({})",
                dimensions.len()
            )));
        }
        let mut count = 0_i64;
        while items.next_element_seed(Item { state: &mut *state, depth: depth + 1 })?.is_some() {
            count += 1;
        }
        // A flat array is measured at the end, by the number of elements; so is an empty one, which may stand for any
        // empty shape.
        let by_elements = depth == 0 && (state.form != Form::Nested || dimensions.len() < 2);
        match dimensions.get(depth) {
            Some(&expected) if !by_elements && count != expected => Err(A::Error::custom(format!(
                "array at axis {depth} has length {count}, expected {expected} from the shape"
            ))),
            _ => Ok(PhantomData),
        }
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(E::custom(format!("element {}: a string, expected a number or a boolean", self.state.elements.len())))
    }

    /// What many programs write for a NaN.
    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Err(E::custom(format!(
            "element {}: null is no number; what JSON has no word for travels as binary data",
            self.state.elements.len()
        )))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        self.element(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.element(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.element(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        self.element(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str, datatype: Datatype, dimensions: &[i64]) -> Result<Elements, String> {
        parse(json, datatype, &Shape::new(dimensions, datatype).unwrap())
    }

    #[test]
    fn no_more_is_allocated_than_text_and_shape_both_announce() {
        let shape = |dimension| Shape::new(&[dimension], Datatype::Uint8).unwrap();
        match &parse("[1,2,3,4,5,6,7,8,9]", Datatype::Uint8, &shape(9)).unwrap() {
            Elements::Uint8(vector) => assert_eq!(vector.capacity(), 9),
            other => panic!("{other:?}"),
        }
        // The shape announces 2 GiB, and the text nine bytes.
        let error = parse("[1,2,3,4]", Datatype::Uint8, &shape(1 << 31)).unwrap_err();
        assert!(error.contains("`data` has 4 elements, expected 2147483648"), "{error}");
    }

    #[test]
    fn flat_and_nested_arrays_mean_the_same() {
        let expected = Ok(Elements::Int32(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(read("[1,2,3,4,5,6]", Datatype::Int32, &[2, 3]), expected);
        assert_eq!(read("[[1,2,3],[4,5,6]]", Datatype::Int32, &[2, 3]), expected);
        assert_eq!(read("[[[1],[2]],[[3],[4]],[[5],[6]]]", Datatype::Int32, &[3, 2, 1]), expected);
        assert_eq!(read("[1.5]", Datatype::Fp32, &[]), Ok(Elements::Fp32(vec![1.5])));
        assert_eq!(read("[1]", Datatype::Fp32, &[1, 1, 1]), Ok(Elements::Fp32(vec![1.0])));
        assert_eq!(read("[true,false]", Datatype::Bool, &[2]), Ok(Elements::Bool(vec![true, false])));
        assert_eq!(read("[18446744073709551615]", Datatype::Uint64, &[1]), Ok(Elements::Uint64(vec![u64::MAX])));
        for (json, dimensions) in [("[]", vec![0]), ("[]", vec![3, 0]), ("[[],[],[]]", vec![3, 0]), ("[]", vec![0, 3])]
        {
            assert_eq!(read(json, Datatype::Fp32, &dimensions), Ok(Elements::Fp32(vec![])), "{json} {dimensions:?}");
        }
    }

    #[test]
    fn every_disagreement_names_the_place() {
        for (json, datatype, dimensions, reason) in [
            ("[1,2,3]", Datatype::Int32, vec![2, 2], "`data` has 3 elements, expected 4 from the shape"),
            (
                "[1,2,3,4,5]",
                Datatype::Int32,
                vec![2, 2],
                "`data` has more than the 4 elements of the shape at line 1 column 10",
            ),
            ("[[1,2],[3]]", Datatype::Int32, vec![2, 2], "array at axis 1 has length 1, expected 2 from the shape"),
            ("[[1],[2],[3],[4]]", Datatype::Int32, vec![2, 2], "array at axis 1 has length 1, expected 2"),
            ("[[1,2]]", Datatype::Int32, vec![2, 2], "array at axis 0 has length 1, expected 2"),
            (
                "[[1,2],3,4]",
                Datatype::Int32,
                vec![2, 2],
                "element inside 1 arrays, expected one flat array or arrays nested as the shape (2)",
            ),
            ("[1,[2,3,4]]", Datatype::Int32, vec![2, 2], "array inside 1 arrays"),
            ("[[[1]]]", Datatype::Int32, vec![1, 1], "array inside 2 arrays"),
            ("7", Datatype::Int32, vec![], "element inside 0 arrays"),
            ("[1,256]", Datatype::Uint8, vec![2], "element 1: invalid value: integer `256`, expected u8"),
            ("[1.5]", Datatype::Int64, vec![1], "element 0: invalid type: floating point `1.5`, expected i64"),
            ("[-1]", Datatype::Uint64, vec![1], "element 0: invalid value: integer `-1`, expected u64"),
            ("[1e39]", Datatype::Fp32, vec![1], "element 0: number is out of range for the datatype"),
            ("[1e999]", Datatype::Fp64, vec![1], "number out of range"),
            ("[1]", Datatype::Bool, vec![1], "element 0: invalid type: integer `1`, expected a boolean"),
            ("[2,null]", Datatype::Fp32, vec![2], "element 1: null is no number; what JSON has no word for travels as"),
            ("[\"1\"]", Datatype::Fp32, vec![1], "element 0: a string, expected a number or a boolean"),
            ("\"1\"", Datatype::Fp32, vec![1], "element 0: a string, expected a number or a boolean"),
            ("{}", Datatype::Fp32, vec![1], "invalid type: map"),
        ] {
            let message = read(json, datatype, &dimensions).unwrap_err();
            assert!(message.contains(reason), "{json}: {message}");
        }
    }

    #[test]
    fn nothing_is_allocated_on_the_word_of_the_shape() {
        assert_eq!(
            read("[]", Datatype::Fp64, &[1 << 31]).unwrap_err(),
            "`data` has 0 elements, expected 2147483648 from the shape"
        );
    }

    #[test]
    fn deep_nesting_ends_in_an_error() {
        assert!(read(&"[".repeat(100_000), Datatype::Fp32, &[1; 16]).unwrap_err().contains("array inside 16 arrays"));
    }
}
