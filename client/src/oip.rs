//! Tensors of the Open Inference Protocol v2 in JSON, as a client writes and reads them.
//!
//! <https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol>, sections *Inference Request JSON
//! Object* and *Inference Response JSON Object*. Written flat, in row-major order; an answer must be flat too. An answer is
//! hostile until read: its shape must count exactly its elements, and nothing is allocated from a declared size.
//!
//! What is private stays out of messages: an error says where it stands and what was expected, and `Debug` says lengths;
//! neither repeats a byte of a request or an answer.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The most dimensions a tensor may have.
const MAX_RANK: usize = 16;
/// The most tensors an answer may have.
const MAX_OUTPUTS: usize = 256;

/// One named tensor: `data` in row-major order, as many elements as `shape` counts.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// The name that the model gives it.
    pub name: String,
    /// Its extent along each axis, outermost first.
    pub shape: Vec<u64>,
    /// Its elements.
    pub data: TensorData,
}

/// The elements of a tensor, in the data types that travel as JSON without loss.
#[derive(Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum TensorData {
    /// `BOOL`
    Bool(Vec<bool>),
    /// `UINT8`
    Uint8(Vec<u8>),
    /// `UINT16`
    Uint16(Vec<u16>),
    /// `UINT32`
    Uint32(Vec<u32>),
    /// `UINT64`
    Uint64(Vec<u64>),
    /// `INT8`
    Int8(Vec<i8>),
    /// `INT16`
    Int16(Vec<i16>),
    /// `INT32`
    Int32(Vec<i32>),
    /// `INT64`
    Int64(Vec<i64>),
    /// `FP32`
    Fp32(Vec<f32>),
    /// `FP64`
    Fp64(Vec<f64>),
}

impl TensorData {
    /// The protocol's word for this data type.
    pub fn datatype(&self) -> &'static str {
        match self {
            Self::Bool(_) => "BOOL",
            Self::Uint8(_) => "UINT8",
            Self::Uint16(_) => "UINT16",
            Self::Uint32(_) => "UINT32",
            Self::Uint64(_) => "UINT64",
            Self::Int8(_) => "INT8",
            Self::Int16(_) => "INT16",
            Self::Int32(_) => "INT32",
            Self::Int64(_) => "INT64",
            Self::Fp32(_) => "FP32",
            Self::Fp64(_) => "FP64",
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bool(v) => v.len(),
            Self::Uint8(v) => v.len(),
            Self::Uint16(v) => v.len(),
            Self::Uint32(v) => v.len(),
            Self::Uint64(v) => v.len(),
            Self::Int8(v) => v.len(),
            Self::Int16(v) => v.len(),
            Self::Int32(v) => v.len(),
            Self::Int64(v) => v.len(),
            Self::Fp32(v) => v.len(),
            Self::Fp64(v) => v.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(datatype: &str, data: &RawValue) -> Result<Self, String> {
        let json = data.get();
        let wrong = |e: serde_json::Error| format!("its data is not a flat array of its data type: {}", Place(&e));
        Ok(match datatype {
            "BOOL" => Self::Bool(serde_json::from_str(json).map_err(wrong)?),
            "UINT8" => Self::Uint8(serde_json::from_str(json).map_err(wrong)?),
            "UINT16" => Self::Uint16(serde_json::from_str(json).map_err(wrong)?),
            "UINT32" => Self::Uint32(serde_json::from_str(json).map_err(wrong)?),
            "UINT64" => Self::Uint64(serde_json::from_str(json).map_err(wrong)?),
            "INT8" => Self::Int8(serde_json::from_str(json).map_err(wrong)?),
            "INT16" => Self::Int16(serde_json::from_str(json).map_err(wrong)?),
            "INT32" => Self::Int32(serde_json::from_str(json).map_err(wrong)?),
            "INT64" => Self::Int64(serde_json::from_str(json).map_err(wrong)?),
            "FP32" => Self::Fp32(serde_json::from_str(json).map_err(wrong)?),
            "FP64" => Self::Fp64(serde_json::from_str(json).map_err(wrong)?),
            _ => return Err("its data type is not one that this client reads (BOOL, UINT, INT, FP32, FP64)".to_owned()),
        })
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} dimensions, {:?})", self.shape.len(), self.data)
    }
}

impl fmt::Debug for TensorData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.len(), self.datatype())
    }
}

/// An answer to an inference request.
#[derive(Clone, PartialEq)]
pub struct Inference {
    /// The model that answered, by its own word.
    pub model_name: String,
    /// Its version, by its own word.
    pub model_version: Option<String>,
    /// The output tensors.
    pub outputs: Vec<Tensor>,
}

impl fmt::Debug for Inference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inference").field("outputs", &self.outputs).finish_non_exhaustive()
    }
}

/// The body of an inference request with these inputs.
pub fn request(inputs: &[Tensor]) -> Result<Vec<u8>, TensorError> {
    #[derive(Serialize)]
    struct Written<'a> {
        name: &'a str,
        shape: &'a [u64],
        datatype: &'static str,
        data: &'a TensorData,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        inputs: Vec<Written<'a>>,
    }
    let mut written = Vec::with_capacity(inputs.len());
    for (at, tensor) in inputs.iter().enumerate() {
        count("inputs", at, &tensor.shape, tensor.data.len())?;
        written.push(Written {
            name: &tensor.name,
            shape: &tensor.shape,
            datatype: tensor.data.datatype(),
            data: &tensor.data,
        });
    }
    serde_json::to_vec(&Body { inputs: written })
        .map_err(|e| TensorError(format!("the request cannot be written: {}", Place(&e))))
}

/// Checks that `body` has the outline of an inference request, so that a mistake is told before anything is sealed.
pub fn check_request(body: &[u8]) -> Result<(), TensorError> {
    #[derive(Deserialize)]
    struct Input {
        #[serde(rename = "name")]
        _name: String,
        shape: Vec<u64>,
        #[serde(rename = "datatype")]
        _datatype: String,
        #[serde(default, rename = "data")]
        data: Option<Box<RawValue>>,
    }
    #[derive(Deserialize)]
    struct Body {
        inputs: Vec<Input>,
    }
    let body: Body = serde_json::from_slice(body).map_err(|e| {
        TensorError(format!("this is not an Open Inference Protocol v2 request (JSON with `inputs`): {}", Place(&e)))
    })?;
    if body.inputs.is_empty() {
        return Err(TensorError("`inputs` is empty: a request carries at least one tensor".to_owned()));
    }
    for (at, input) in body.inputs.iter().enumerate() {
        if input.shape.len() > MAX_RANK {
            return Err(TensorError(format!("`inputs[{at}]` has more than {MAX_RANK} dimensions")));
        }
        if input.data.is_none() {
            return Err(TensorError(format!("`inputs[{at}]` has no `data`")));
        }
    }
    Ok(())
}

/// Reads the body of an inference answer.
pub fn answer(body: &[u8]) -> Result<Inference, TensorError> {
    #[derive(Deserialize)]
    struct Output<'a> {
        name: String,
        shape: Vec<u64>,
        datatype: String,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Body<'a> {
        model_name: String,
        #[serde(default)]
        model_version: Option<String>,
        #[serde(borrow)]
        outputs: Vec<Output<'a>>,
    }
    let body: Body<'_> = serde_json::from_slice(body)
        .map_err(|e| TensorError(format!("the answer is not an Open Inference Protocol v2 answer: {}", Place(&e))))?;
    if body.outputs.len() > MAX_OUTPUTS {
        return Err(TensorError(format!("the answer has more than {MAX_OUTPUTS} outputs")));
    }
    let mut outputs = Vec::with_capacity(body.outputs.len());
    for (at, output) in body.outputs.into_iter().enumerate() {
        let Output { name, shape, datatype, data } = output;
        let data = TensorData::read(&datatype, data).map_err(|e| TensorError(format!("`outputs[{at}]`: {e}")))?;
        count("outputs", at, &shape, data.len())?;
        outputs.push(Tensor { name, shape, data });
    }
    Ok(Inference { model_name: body.model_name, model_version: body.model_version, outputs })
}

/// Checks that `shape` counts `len` elements.
fn count(list: &str, at: usize, shape: &[u64], len: usize) -> Result<(), TensorError> {
    if shape.len() > MAX_RANK {
        return Err(TensorError(format!("`{list}[{at}]` has more than {MAX_RANK} dimensions")));
    }
    let counted = shape.iter().try_fold(1_u64, |product, extent| product.checked_mul(*extent));
    if counted.and_then(|n| usize::try_from(n).ok()) == Some(len) {
        return Ok(());
    }
    Err(TensorError(format!("`{list}[{at}]` has {len} elements, which its shape does not count")))
}

/// Where JSON cannot be read, and of which kind the mistake is. The error's own words may repeat what stands there.
struct Place<'a>(&'a serde_json::Error);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.0.classify() {
            serde_json::error::Category::Data => "a member is missing, repeated or of the wrong type",
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
        };
        write!(f, "line {}, column {}: {what}", self.0.line(), self.0.column())
    }
}

/// A request or an answer that is not a well-formed one of the Open Inference Protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorError(String);

impl From<serde_json::Error> for TensorError {
    fn from(error: serde_json::Error) -> Self {
        Self(format!("the body is not JSON: {}", Place(&error)))
    }
}

impl fmt::Display for TensorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TensorError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fp32(shape: &[u64], data: &[f32]) -> Tensor {
        Tensor { name: "x".to_owned(), shape: shape.to_vec(), data: TensorData::Fp32(data.to_vec()) }
    }

    #[test]
    fn a_request_is_written_flat_and_accepted_by_the_check() {
        let body = request(&[fp32(&[1, 2], &[0.5, -1.25])]).unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(text, r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[0.5,-1.25]}]}"#);
        check_request(&body).unwrap();
    }

    #[test]
    fn a_shape_that_does_not_count_its_elements_is_refused() {
        assert!(request(&[fp32(&[2, 2], &[0.5, 1.0])]).unwrap_err().to_string().contains("`inputs[0]` has 2 elements"));
        assert!(request(&[fp32(&[u64::MAX, 2], &[0.5])]).is_err());
        assert!(request(&[fp32(&[1; 17], &[0.5])]).unwrap_err().to_string().contains("dimensions"));
        assert!(request(&[fp32(&[], &[0.5])]).is_ok(), "a scalar has no axes and one element");
    }

    #[test]
    fn an_answer_is_read_and_its_shape_checked() {
        let answer_of = |shape: &str, datatype: &str, data: &str| {
            format!(
                r#"{{"model_name":"m","model_version":"1","extra":0,"outputs":[{{"name":"y","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#
            )
        };
        let read = answer(answer_of("[1,2]", "FP32", "[0.25,3]").as_bytes()).unwrap();
        assert_eq!(read.outputs[0].data, TensorData::Fp32(vec![0.25, 3.0]));
        assert_eq!(read.model_version.as_deref(), Some("1"));
        for (shape, datatype, data, reason) in [
            ("[1,3]", "FP32", "[0.25,3]", "does not count"),
            ("[1,2]", "FP32", "[[0.25,3]]", "flat array"),
            ("[1,2]", "BYTES", "[\"a\",\"b\"]", "`outputs[0]`: its data type is not one"),
            ("[2]", "UINT8", "[1,256]", "flat array"),
            ("[-1]", "FP32", "[1]", "not an Open Inference Protocol"),
        ] {
            let error = answer(answer_of(shape, datatype, data).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_no_request_is_told_so() {
        for (body, reason) in [
            (&b""[..], "not an Open Inference Protocol"),
            (b"[]", "not an Open Inference Protocol"),
            (br#"{"inputs":[]}"#, "at least one"),
            (br#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32"}]}"#, "no `data`"),
        ] {
            let error = check_request(body).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
