//! One inference: the request's JSON and raw tensors become inputs that fit the model, the model's outputs become the
//! answer.

use std::borrow::Cow;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{OipError, data};
use crate::engine::{Signature, TensorSignature};
use crate::tensor::{Datatype, Elements, MAX_RANK, Shape, Tensor, for_elements};

/// An inference request whose tensors fit the model that it names.
#[derive(Debug)]
pub struct Inference {
    /// The inputs, in the order of the model.
    pub inputs: Vec<Tensor>,
    id: Option<String>,
    /// Which outputs the answer holds and how; the model's order when the request names none.
    outputs: Vec<(String, Carriage)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carriage {
    Json,
    Binary,
}

/// The body of an answer, and the length of its JSON part when raw tensors follow it.
#[derive(Debug)]
pub struct InferenceAnswer {
    /// JSON, then raw tensors.
    pub body: Vec<u8>,
    /// Length of the JSON part, when raw tensors follow.
    pub json_length: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestJson<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    #[serde(default)]
    parameters: RequestParameters,
    #[serde(borrow)]
    inputs: Vec<InputJson<'a>>,
    #[serde(borrow, default)]
    outputs: Vec<OutputJson<'a>>,
}

#[derive(Deserialize, Default)]
struct RequestParameters {
    #[serde(default)]
    binary_data_output: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InputJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Dimensions,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: InputParameters,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct InputParameters {
    binary_data_size: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(default)]
    parameters: OutputParameters,
}

#[derive(Deserialize, Default)]
struct OutputParameters {
    binary_data: Option<bool>,
    #[serde(default)]
    classification: u64,
}

/// A shape in JSON, read no further than the greatest rank.
struct Dimensions(Vec<i64>);

impl<'de> Deserialize<'de> for Dimensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Dimensions;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "an array of at most {MAX_RANK} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Dimensions, A::Error> {
                let mut dimensions = Vec::new();
                while let Some(dimension) = items.next_element()? {
                    if dimensions.len() == MAX_RANK {
                        return Err(A::Error::custom(format!("shape has more than {MAX_RANK} dimensions")));
                    }
                    dimensions.push(dimension);
                }
                Ok(Dimensions(dimensions))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

impl Inference {
    /// Reads a request for a model with this signature. `json_length` is the value of
    /// `Inference-Header-Content-Length`, when the header is there.
    ///
    /// # Errors
    /// 400 with the name of the tensor and the place.
    pub fn parse(body: &[u8], json_length: Option<usize>, signature: &Signature) -> Result<Self, OipError> {
        let (json, mut raw) = body.split_at_checked(json_length.unwrap_or(body.len())).ok_or_else(|| {
            OipError::bad_request(format!(
                "header `Inference-Header-Content-Length` is larger than the body, which has {} bytes",
                body.len()
            ))
        })?;
        let request: RequestJson<'_> = serde_json::from_slice(json)
            .map_err(|error| OipError::bad_request(format!("inference request: {error}")))?;
        let mut tensors = Vec::with_capacity(signature.inputs.len());
        for input in &request.inputs {
            let place = |reason: String| OipError::bad_request(format!("input `{}`: {reason}", shown(&input.name)));
            let expected =
                signature.inputs.iter().find(|expected| expected.name == input.name).ok_or_else(|| {
                    place(format!("the model has no such input, expected {}", names(&signature.inputs)))
                })?;
            if tensors.iter().any(|tensor: &Tensor| tensor.name == input.name) {
                return Err(place("is given twice".to_owned()));
            }
            let datatype = datatype_of(input, expected).map_err(place)?;
            let shape = shape_of(input, expected, datatype).map_err(place)?;
            let elements = elements_of(input, datatype, &shape, &mut raw).map_err(place)?;
            tensors.push(Tensor { name: expected.name.clone(), shape, elements });
        }
        if !raw.is_empty() {
            return Err(OipError::bad_request(format!("body has {} bytes after the last binary tensor", raw.len())));
        }
        let mut inputs = Vec::with_capacity(signature.inputs.len());
        for expected in &signature.inputs {
            let given = tensors.iter().position(|tensor| tensor.name == expected.name);
            let given = given.ok_or_else(|| {
                OipError::bad_request(format!(
                    "input `{}` is missing, expected {}",
                    expected.name,
                    names(&signature.inputs)
                ))
            })?;
            inputs.push(tensors.swap_remove(given));
        }
        Ok(Self { inputs, id: request.id.as_deref().map(str::to_owned), outputs: outputs_of(&request, signature)? })
    }

    /// Writes the answer from the model's outputs, of at most `limit` bytes.
    ///
    /// # Errors
    /// When an output holds a number that JSON has no word for, and binary data was not asked for; when the answer would
    /// be longer.
    pub fn answer(
        &self,
        model_name: &str,
        model_version: &str,
        outputs: &[Tensor],
        limit: usize,
    ) -> Result<InferenceAnswer, OipError> {
        let too_large = || OipError {
            status: 500,
            message: format!("answer has more than {limit} bytes, ask for fewer outputs or smaller batches"),
        };
        let mut described = Vec::with_capacity(self.outputs.len());
        // Copied when the answer is known to fit.
        let mut raw = Vec::new();
        let mut raw_bytes = 0_usize;
        for (name, carriage) in &self.outputs {
            let tensor = outputs
                .iter()
                .find(|tensor| tensor.name == *name)
                .ok_or_else(|| OipError { status: 500, message: format!("model gave no output `{name}`") })?;
            let (data, parameters) = match carriage {
                Carriage::Json if !finite(&tensor.elements) => {
                    let reason = "holds an infinity or NaN, which JSON cannot say; ask for it with `\"parameters\": {\"binary_data\": true}`";
                    return Err(OipError { status: 500, message: format!("output `{name}` {reason}") });
                }
                Carriage::Json => (Some(Data(&tensor.elements)), None),
                Carriage::Binary => {
                    raw.push(tensor);
                    raw_bytes = raw_bytes.saturating_add(tensor.bytes());
                    (None, Some(BinarySize { binary_data_size: tensor.bytes() }))
                }
            };
            described.push(AnswerTensor {
                name,
                datatype: tensor.elements.datatype().name(),
                shape: tensor.shape.dimensions(),
                parameters,
                data,
            });
        }
        let answer = AnswerJson { model_name, model_version, id: self.id.as_deref(), outputs: described };
        let mut json = Bounded { bytes: Vec::new(), limit: limit.checked_sub(raw_bytes).ok_or_else(too_large)? };
        serde_json::to_writer(&mut json, &answer).map_err(|_| too_large())?;
        let mut body = json.bytes;
        let json_length = (!raw.is_empty()).then_some(body.len());
        body.reserve_exact(raw_bytes);
        for tensor in raw {
            body.extend_from_slice(&tensor.elements.to_le_bytes());
        }
        Ok(InferenceAnswer { body, json_length })
    }
}

/// Takes what is written, up to a limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn datatype_of(input: &InputJson<'_>, expected: &TensorSignature) -> Result<Datatype, String> {
    let plain = Datatype::ALL.map(Datatype::name).join(", ");
    let datatype = Datatype::from_name(&input.datatype)
        .ok_or_else(|| format!("datatype `{}` is none of {plain}", shown(&input.datatype)))?;
    if datatype != expected.datatype {
        return Err(format!("datatype is {}, expected {}", datatype.name(), expected.datatype.name()));
    }
    Ok(datatype)
}

fn shape_of(input: &InputJson<'_>, expected: &TensorSignature, datatype: Datatype) -> Result<Shape, String> {
    let shape = Shape::new(&input.shape.0, datatype).map_err(|error| error.to_string())?;
    let dimensions = shape.dimensions();
    let fits = dimensions.len() == expected.shape.len()
        && dimensions.iter().zip(&expected.shape).all(|(&actual, &fixed)| fixed < 0 || actual == fixed);
    if fits { Ok(shape) } else { Err(format!("shape is {dimensions:?}, expected {:?} (-1 = any)", expected.shape)) }
}

fn elements_of(input: &InputJson<'_>, datatype: Datatype, shape: &Shape, raw: &mut &[u8]) -> Result<Elements, String> {
    match (input.data, input.parameters.binary_data_size) {
        (Some(json), None) => data::parse(json.get(), datatype, shape).map_err(|error| error.to_string()),
        (None, Some(size)) => {
            // The shape bounds both factors, so the product was already found to fit.
            let expected = shape.elements().saturating_mul(datatype.size());
            if size != expected {
                return Err(format!("`binary_data_size` is {size}, expected {expected} from shape and datatype"));
            }
            let (bytes, rest) = raw
                .split_at_checked(size)
                .ok_or_else(|| format!("`binary_data_size` is {size}, but {} bytes are left in the body", raw.len()))?;
            *raw = rest;
            Elements::from_le_bytes(datatype, bytes)
                .ok_or_else(|| "binary data of BOOL has a byte that is neither 0 nor 1".to_owned())
        }
        (None, None) => Err("has neither `data` nor `parameters.binary_data_size`".to_owned()),
        (Some(_), Some(_)) => Err("has both `data` and `parameters.binary_data_size`, expected one of them".to_owned()),
    }
}

fn outputs_of(request: &RequestJson<'_>, signature: &Signature) -> Result<Vec<(String, Carriage)>, OipError> {
    let carriage = |binary| if binary { Carriage::Binary } else { Carriage::Json };
    let default = request.parameters.binary_data_output;
    if request.outputs.is_empty() {
        return Ok(signature.outputs.iter().map(|output| (output.name.clone(), carriage(default))).collect());
    }
    let mut outputs: Vec<(String, Carriage)> = Vec::with_capacity(signature.outputs.len());
    for output in &request.outputs {
        let place = |reason: String| OipError::bad_request(format!("output `{}`: {reason}", shown(&output.name)));
        if !signature.outputs.iter().any(|known| known.name == output.name) {
            return Err(place(format!("the model has no such output, expected {}", names(&signature.outputs))));
        }
        if outputs.iter().any(|(name, _)| *name == output.name) {
            return Err(place("is asked for twice".to_owned()));
        }
        if output.parameters.classification != 0 {
            return Err(place("the classification extension is not offered".to_owned()));
        }
        outputs.push((output.name.clone().into_owned(), carriage(output.parameters.binary_data.unwrap_or(default))));
    }
    Ok(outputs)
}

/// What a request says, as far as an error repeats it.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn names(tensors: &[TensorSignature]) -> String {
    tensors.iter().map(|tensor| format!("`{}`", tensor.name)).collect::<Vec<_>>().join(", ")
}

fn finite(elements: &Elements) -> bool {
    match elements {
        Elements::Fp32(vector) => vector.iter().all(|value| value.is_finite()),
        Elements::Fp64(vector) => vector.iter().all(|value| value.is_finite()),
        _ => true,
    }
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<AnswerTensor<'a>>,
}

#[derive(Serialize)]
struct AnswerTensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [i64],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<BinarySize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct BinarySize {
    binary_data_size: usize,
}

struct Data<'a>(&'a Elements);

impl Serialize for Data<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        for_elements!(self.0, vector => serializer.collect_seq(vector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 4096;

    fn signature() -> Signature {
        let tensor = |name: &str, datatype, shape: &[i64]| TensorSignature {
            name: name.into(),
            datatype,
            shape: shape.to_vec(),
        };
        Signature {
            inputs: vec![tensor("x", Datatype::Fp32, &[-1, 2]), tensor("n", Datatype::Int64, &[1])],
            outputs: vec![tensor("y", Datatype::Fp32, &[-1]), tensor("ok", Datatype::Bool, &[1])],
        }
    }

    const GOOD: &str = r#"{"id":"7","inputs":[{"name":"n","shape":[1],"datatype":"INT64","data":[5]},
        {"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"later":1},"data":[[1,2],[3,4.5]]}]}"#;

    fn parse(json: &str) -> Result<Inference, OipError> {
        Inference::parse(json.as_bytes(), None, &signature())
    }

    fn outputs(y: Vec<f32>) -> Vec<Tensor> {
        let shape = Shape::new(&[i64::try_from(y.len()).unwrap()], Datatype::Fp32).unwrap();
        let ok = Tensor {
            name: "ok".into(),
            shape: Shape::new(&[1], Datatype::Bool).unwrap(),
            elements: Elements::Bool(vec![true]),
        };
        vec![Tensor { name: "y".into(), shape, elements: Elements::Fp32(y) }, ok]
    }

    #[test]
    fn a_request_becomes_inputs_in_the_order_of_the_model_and_the_answer_names_model_and_id() {
        let request = parse(GOOD).unwrap();
        assert_eq!(request.inputs.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["x", "n"]);
        assert_eq!(request.inputs[0].elements, Elements::Fp32(vec![1.0, 2.0, 3.0, 4.5]));
        let answer = request.answer("m", "3", &outputs(vec![0.25, 0.1]), LIMIT).unwrap();
        assert_eq!(answer.json_length, None);
        assert_eq!(
            String::from_utf8(answer.body).unwrap(),
            r#"{"model_name":"m","model_version":"3","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[0.25,0.1]},{"name":"ok","datatype":"BOOL","shape":[1],"data":[true]}]}"#
        );
    }

    #[test]
    fn binary_tensors_follow_the_json() {
        let json = r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}},
            {"name":"n","shape":[1],"datatype":"INT64","data":[5]}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;
        let body = [json.as_bytes(), &1.5_f32.to_le_bytes(), &f32::INFINITY.to_le_bytes()].concat();
        let request = Inference::parse(&body, Some(json.len()), &signature()).unwrap();
        assert_eq!(request.inputs[0].elements, Elements::Fp32(vec![1.5, f32::INFINITY]));
        let answer = request.answer("m", "3", &outputs(vec![f32::NEG_INFINITY]), LIMIT).unwrap();
        let length = answer.json_length.unwrap();
        assert_eq!(
            String::from_utf8(answer.body[..length].to_vec()).unwrap(),
            r#"{"model_name":"m","model_version":"3","outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4}}]}"#
        );
        assert_eq!(answer.body[length..], f32::NEG_INFINITY.to_le_bytes());

        for (body, length, reason) in [
            (body.clone(), Some(body.len() + 1), "`Inference-Header-Content-Length` is larger than the body"),
            ([&body[..], b"x"].concat(), Some(json.len()), "body has 1 bytes after the last binary tensor"),
            (
                body[..body.len() - 1].to_vec(),
                Some(json.len()),
                "input `x`: `binary_data_size` is 8, but 7 bytes are left in the body",
            ),
            (
                String::from_utf8_lossy(&body).replace(":8}", ":4}").into_bytes(),
                Some(json.len()),
                "`binary_data_size` is 4, expected 8 from shape and datatype",
            ),
        ] {
            let error = Inference::parse(&body, length, &signature()).unwrap_err();
            assert!(error.message.contains(reason), "{}", error.message);
        }
    }

    #[test]
    fn what_does_not_fit_the_model_is_refused_by_name_and_place() {
        for (from, to, reason) in [
            ("\"name\":\"x\"", "\"name\":\"z\"", "input `z`: the model has no such input, expected `x`, `n`"),
            ("\"name\":\"x\"", "\"name\":\"n\"", "input `n`: is given twice"),
            ("FP32", "FP64", "input `x`: datatype is FP64, expected FP32"),
            ("FP32", "FP16", "input `x`: datatype `FP16` is none of BOOL, UINT8"),
            ("FP32", "BYTES", "input `x`: datatype `BYTES` is none of"),
            ("[2,2]", "[2,3]", "input `x`: shape is [2, 3], expected [-1, 2]"),
            ("[2,2]", "[4]", "input `x`: shape is [4], expected [-1, 2]"),
            ("[2,2]", "[-1,2]", "input `x`: shape has -1 at axis 0, expected 0 or more"),
            ("[2,2]", "[4611686018427387904,2]", "input `x`: shape multiplies to more than 2147483648 elements"),
            ("[2,2]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "shape has more than 16 dimensions"),
            ("[2,2]", "[1.5,2]", "invalid type: floating point `1.5`"),
            ("[2,2]", "[1073741824,2]", "input `x`: array at axis 0 has length 2, expected 1073741824 from the shape"),
            ("\"data\":[5]", "\"parameters\":{}", "input `n`: has neither `data` nor `parameters.binary_data_size`"),
            ("\"data\":[5]", "\"data\":[5],\"parameters\":{\"binary_data_size\":8}", "input `n`: has both"),
            ("\"id\"", "\"ident\"", "unknown field `ident`"),
            ("\"inputs\"", "\"input\"", "unknown field `input`"),
            (
                "}]}",
                "}],\"outputs\":[{\"name\":\"z\"}]}",
                "output `z`: the model has no such output, expected `y`, `ok`",
            ),
            ("}]}", "}],\"outputs\":[{\"name\":\"y\"},{\"name\":\"y\"}]}", "output `y`: is asked for twice"),
            (
                "}]}",
                "}],\"outputs\":[{\"name\":\"y\",\"parameters\":{\"classification\":1}}]}",
                "the classification extension is not offered",
            ),
            ("}]}", "}", "inference request: EOF while parsing"),
        ] {
            let error = parse(&GOOD.replace(from, to)).unwrap_err();
            assert_eq!(error.status, 400);
            assert!(error.message.contains(reason), "{reason}: {}", error.message);
        }
        let error = parse(r#"{"inputs":[{"name":"x","shape":[0,2],"datatype":"FP32","data":[]}]}"#).unwrap_err();
        assert_eq!(error.message, "input `n` is missing, expected `x`, `n`");
    }

    #[test]
    fn an_answer_beyond_the_limit_is_not_written() {
        let binary = GOOD.replace("\"id\":\"7\",", "\"parameters\":{\"binary_data_output\":true},");
        for request in [GOOD, &binary] {
            let request = parse(request).unwrap();
            let length = request.answer("m", "3", &outputs(vec![0.5; 8]), LIMIT).unwrap().body.len();
            assert!(request.answer("m", "3", &outputs(vec![0.5; 8]), length).is_ok());
            for limit in [0, 16, length - 1] {
                let error = request.answer("m", "3", &outputs(vec![0.5; 8]), limit).unwrap_err();
                assert_eq!(error.status, 500);
                assert!(error.message.starts_with(&format!("answer has more than {limit} bytes")), "{}", error.message);
            }
        }
    }

    #[test]
    fn json_has_no_word_for_infinity() {
        let error = parse(GOOD).unwrap().answer("m", "3", &outputs(vec![f32::NAN]), LIMIT).unwrap_err();
        assert!(error.message.starts_with("output `y` holds an infinity or NaN"), "{}", error.message);
    }

    #[test]
    fn no_damaged_request_gets_further_than_an_error() {
        let mut refused = 0;
        for position in 0..GOOD.len() {
            for byte in [0_u8, b'"', b'[', b'{', b'}', b']', b'9', b'-', b',', 0xFF] {
                let mut damaged = GOOD.as_bytes().to_vec();
                damaged[position] = byte;
                for json_length in [None, Some(position), Some(usize::MAX)] {
                    refused += usize::from(Inference::parse(&damaged, json_length, &signature()).is_err());
                }
            }
            assert!(Inference::parse(&GOOD.as_bytes()[..position], None, &signature()).is_err(), "{position}");
        }
        assert!(refused > GOOD.len() * 20, "{refused}");
    }
}
