//! One inference: the request's JSON and raw tensors become inputs that fit the model.

use zeroize::Zeroizing;

use super::request::{InputJson, RequestJson, shown};
use super::{OipError, data};
use crate::engine::{Signature, TensorSignature};
use crate::memory::{Purse, Shortage};
use crate::tensor::{Datatype, Elements, Shape, Tensor};

/// An inference request whose tensors fit the model that it names.
pub struct Inference {
    /// The inputs, in the order of the model; of those for which the model brings a value, the ones that are given.
    pub inputs: Vec<Tensor>,
    pub(super) id: Option<Zeroizing<String>>,
    /// Which outputs the answer holds and how; the model's order when the request names none.
    pub(super) outputs: Vec<(String, Carriage)>,
}

/// How many inputs: what is in them is nobody's but the client's.
impl std::fmt::Debug for Inference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inference({} inputs)", self.inputs.len())
    }
}

/// What a client can do about an output that JSON has no form for.
pub(super) const ASK_FOR_BINARY: &str =
    "ask for binary data with `\"parameters\": {\"binary_data_output\": true}` in the request";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carriage {
    Json,
    Binary,
}

/// Why a request was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum NotRead {
    /// It is wrong.
    Wrong(OipError),
    /// There is no memory for its tensors.
    Memory(Shortage),
}

impl From<OipError> for NotRead {
    fn from(error: OipError) -> Self {
        Self::Wrong(error)
    }
}

impl Inference {
    /// Reads a request for the model of this name and signature. `json_length` is the value of
    /// `Inference-Header-Content-Length`, when the header is there. The tensors are paid from `purse` before they are
    /// allocated.
    ///
    /// # Errors
    /// [`NotRead`]: 400 with the name of the tensor and the place, or that there is no memory.
    pub fn parse(
        body: &[u8],
        json_length: Option<usize>,
        model_name: &str,
        signature: &Signature,
        purse: &mut Purse,
    ) -> Result<Self, NotRead> {
        let (json, mut raw) = body.split_at_checked(json_length.unwrap_or(body.len())).ok_or_else(|| {
            OipError::bad_request(format!(
                "header `Inference-Header-Content-Length` is larger than the body, which has {} bytes",
                body.len()
            ))
        })?;
        // Text with escapes is written down again, without them, while it is read.
        let rewritten = if json.contains(&b'\\') { 2 * json.len() } else { 0 };
        purse.spend(rewritten).map_err(NotRead::Memory)?;
        let request = RequestJson::read(json)?;
        if let Some(other) = request.model_name()?.filter(|name| name != model_name) {
            return Err(NotRead::Wrong(OipError::bad_request(format!(
                "`model_name` is `{}`, but the path names the model `{model_name}`",
                shown(&other)
            ))));
        }
        let known = || signature.inputs.iter().chain(&signature.defaults);
        let mut tensors: Vec<Tensor> = Vec::with_capacity(signature.inputs.len());
        for input in request.inputs() {
            let place = |reason: String| OipError::bad_request(format!("input `{}`: {reason}", shown(&input.name)));
            let expected = known()
                .find(|expected| expected.name == input.name)
                .ok_or_else(|| place(format!("the model has no such input, expected {}", names(&signature.inputs))))?;
            if tensors.iter().any(|tensor| tensor.name == input.name) {
                return Err(place("is given twice".to_owned()).into());
            }
            let datatype = datatype_of(input, expected).map_err(place)?;
            let shape = shape_of(input, expected, datatype).map_err(place)?;
            let source = source_of(input, datatype, &shape, &mut raw).map_err(place)?;
            purse.spend(source.bytes(datatype, &shape)).map_err(NotRead::Memory)?;
            let elements = source.read(datatype, &shape).map_err(place)?;
            tensors.push(Tensor { name: expected.name.clone(), shape, elements });
        }
        if !raw.is_empty() {
            let words = format!("body has {} bytes after the last binary tensor", raw.len());
            return Err(OipError::bad_request(words).into());
        }
        let is_given = |expected: &&TensorSignature| tensors.iter().any(|tensor| tensor.name == expected.name);
        if let Some(missing) = signature.inputs.iter().find(|expected| !is_given(expected)) {
            let words = format!("input `{}` is missing, expected {}", missing.name, names(&signature.inputs));
            return Err(OipError::bad_request(words).into());
        }
        tensors.sort_by_key(|tensor| known().position(|expected| expected.name == tensor.name));
        let id = request.id()?.map(Zeroizing::new);
        let outputs = outputs_of(&request, signature)?;
        purse.refund(rewritten);
        Ok(Self { inputs: tensors, id, outputs })
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
    if expected.shape.fits(dimensions) {
        Ok(shape)
    } else {
        Err(format!("shape is {dimensions:?}, expected {}", expected.shape))
    }
}

/// Where the elements of an input stand.
enum Source<'a> {
    Json(&'a str),
    Raw(&'a [u8]),
}

impl Source<'_> {
    /// The bytes that reading them allocates.
    fn bytes(&self, datatype: Datatype, shape: &Shape) -> usize {
        match self {
            Self::Json(json) => data::allocated(json, datatype, shape),
            Self::Raw(bytes) => bytes.len(),
        }
    }

    fn read(&self, datatype: Datatype, shape: &Shape) -> Result<Elements, String> {
        let elements = match self {
            Self::Json(json) => data::parse(json, datatype, shape)?,
            Self::Raw(bytes) => {
                Elements::from_le_bytes(datatype, shape.elements(), bytes).map_err(|error| error.to_string())?
            }
        };
        if let Elements::Bytes(strings) = &elements
            && let Some(element) = strings.iter().position(|string| string.contains('\0'))
        {
            return Err(format!("element {element}: holds a zero byte, at which ONNX Runtime ends a string"));
        }
        Ok(elements)
    }
}

fn source_of<'a>(
    input: &InputJson<'a>,
    datatype: Datatype,
    shape: &Shape,
    raw: &mut &'a [u8],
) -> Result<Source<'a>, String> {
    match (input.data, input.binary_data_size()?) {
        (Some(json), None) => Ok(Source::Json(json.get())),
        (None, Some(size)) => {
            // The shape bounds both factors, so the product was already found to fit. Strings say themselves how long they are.
            let expected = datatype.size().map_or(size, |each| shape.elements().saturating_mul(each));
            if size != expected {
                return Err(format!("`binary_data_size` is {size}, expected {expected} from shape and datatype"));
            }
            let (bytes, rest) = raw
                .split_at_checked(size)
                .ok_or_else(|| format!("`binary_data_size` is {size}, but {} bytes are left in the body", raw.len()))?;
            *raw = rest;
            Ok(Source::Raw(bytes))
        }
        (None, None) => Err("has neither `data` nor `parameters.binary_data_size`".to_owned()),
        (Some(_), Some(_)) => Err("has both `data` and `parameters.binary_data_size`, expected one of them".to_owned()),
    }
}

fn outputs_of(request: &RequestJson<'_>, signature: &Signature) -> Result<Vec<(String, Carriage)>, OipError> {
    let carriage = |binary| if binary { Carriage::Binary } else { Carriage::Json };
    let default = request.parameters()?.binary_data_output;
    let mut outputs: Vec<(String, Carriage)> = Vec::with_capacity(signature.outputs.len());
    for output in request.outputs() {
        let place = |reason: String| OipError::bad_request(format!("output `{}`: {reason}", shown(&output.name)));
        if !signature.outputs.iter().any(|known| known.name == output.name) {
            return Err(place(format!("the model has no such output, expected {}", names(&signature.outputs))));
        }
        if outputs.iter().any(|(name, _)| *name == output.name) {
            return Err(place("is asked for twice".to_owned()));
        }
        let parameters = output.parameters().map_err(place)?;
        if parameters.classification != 0 {
            return Err(place("the classification extension is not offered".to_owned()));
        }
        outputs.push((output.name.clone().into_owned(), carriage(parameters.binary_data.unwrap_or(default))));
    }
    if outputs.is_empty() {
        outputs.extend(signature.outputs.iter().map(|output| (output.name.clone(), carriage(default))));
    }
    // Said before anything runs: what the values will be makes no difference.
    let unsayable = signature.outputs.iter().find(|known| {
        !known.datatype.is_in_json() && outputs.iter().any(|(name, how)| *name == known.name && *how == Carriage::Json)
    });
    match unsayable {
        Some(TensorSignature { name, datatype, .. }) => Err(OipError::bad_request(format!(
            "output `{name}`: {datatype} has no form in JSON; {ASK_FOR_BINARY}, or name other outputs"
        ))),
        None => Ok(outputs),
    }
}

fn names(tensors: &[TensorSignature]) -> String {
    tensors.iter().map(|tensor| format!("`{}`", tensor.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
