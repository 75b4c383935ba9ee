//! *Inference Response*, read. It is hostile until read: its shapes must count exactly its elements, and nothing is allocated
//! from a declared size.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use teegate_protocol::members::Members;
use teegate_protocol::oip::Datatype;

use super::error::TensorError;
use super::inference::Inference;
use super::tensor::{Tensor, TensorData};
use super::text::{self, Rest};

/// Reads the body of an inference answer: JSON, and raw tensors behind it where it says so.
pub fn answer(body: &[u8]) -> Result<Inference, TensorError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        model_name: String,
        #[serde(default)]
        model_version: Option<String>,
        #[serde(borrow)]
        outputs: &'a RawValue,
    }
    let wrong = |e: TensorError| e.inside("the answer is not an Open Inference Protocol v2 answer");
    let (body, mut rest) = text::split::<Body<'_>>(body).map_err(wrong)?;
    let mut outputs = Vec::new();
    for (at, output) in text::list(body.outputs, "outputs").map_err(wrong)?.into_iter().enumerate() {
        outputs.push(read(output, at, &mut rest).map_err(wrong)?);
    }
    rest.finish().map_err(wrong)?;
    Ok(Inference { model_name: body.model_name, model_version: body.model_version, outputs })
}

/// The JSON of an answer, without the raw tensors behind it.
pub fn json_part(body: &[u8]) -> Result<&[u8], TensorError> {
    let (_, rest) = text::split::<IgnoredAny>(body).map_err(|e| e.inside("the answer is not JSON"))?;
    Ok(body.get(..rest.json_length).unwrap_or_default())
}

fn read(output: &RawValue, at: usize, rest: &mut Rest<'_>) -> Result<Tensor, TensorError> {
    #[derive(Deserialize)]
    struct Output<'a> {
        #[serde(borrow, default)]
        name: Option<&'a RawValue>,
        #[serde(borrow, default)]
        shape: Option<&'a RawValue>,
        #[serde(borrow, default)]
        datatype: Option<&'a RawValue>,
        #[serde(borrow, default)]
        parameters: Option<&'a RawValue>,
        #[serde(borrow, default)]
        data: Option<&'a RawValue>,
    }
    let place = format!("outputs[{at}]");
    let wrong = |why: &str| TensorError::new(format!("`{place}`: {why}"));
    let Members(output) = serde_json::from_str::<Members<Output<'_>>>(output.get())
        .map_err(|_| wrong("it is not an object with each member once"))?;
    let name = text::text(output.name, &format!("{place}.name"))?;
    let shape = text::shape(output.shape, &format!("{place}.shape"))?;
    let datatype = text::datatype(output.datatype, &format!("{place}.datatype"))?;
    let size = text::binary_size(output.parameters, &format!("{place}.parameters"))?;
    let data = match (output.data, size) {
        (Some(data), None) => from_json(datatype, data).map_err(|e| wrong(&e))?,
        (None, Some(size)) => {
            let bytes = rest.take(size).ok_or_else(|| wrong("fewer raw bytes than it says are behind the JSON"))?;
            TensorData::from_le_bytes(datatype, bytes)
                .ok_or_else(|| wrong("its raw bytes are not elements of its data type"))?
        }
        (None, None) => return Err(wrong("it has no data")),
        (Some(_), Some(_)) => return Err(wrong("it has data in JSON and in raw bytes")),
    };
    text::count("outputs", at, &shape, data.len())?;
    Ok(Tensor { name, shape, data })
}

fn from_json(datatype: Datatype, data: &RawValue) -> Result<TensorData, String> {
    let json = data.get();
    let wrong = |e: serde_json::Error| {
        format!("its data is not a flat array of its data type: {}", TensorError::at(&e, json.as_bytes()))
    };
    Ok(match datatype {
        Datatype::Bool => TensorData::Bool(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Uint8 => TensorData::Uint8(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Uint16 => TensorData::Uint16(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Uint32 => TensorData::Uint32(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Uint64 => TensorData::Uint64(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Int8 => TensorData::Int8(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Int16 => TensorData::Int16(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Int32 => TensorData::Int32(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Int64 => TensorData::Int64(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Fp32 => TensorData::Fp32(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Fp64 => TensorData::Fp64(serde_json::from_str(json).map_err(wrong)?),
        Datatype::Bytes => {
            let texts: Vec<String> = serde_json::from_str(json).map_err(wrong)?;
            TensorData::Bytes(texts.into_iter().map(String::into_bytes).collect())
        }
        Datatype::Fp16 | Datatype::Bf16 => return Err(format!("{datatype} travels as raw bytes only")),
    })
}
