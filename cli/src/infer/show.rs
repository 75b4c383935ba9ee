//! An answer in words: who answered, what was checked, and the tensors.

use std::fmt::Write as _;

use teegate_client::oip::{Inference, Tensor, TensorData};
use teegate_client::{ReleaseCheck, Reply};
use teegate_verifier::BoundTo;

use crate::output::plain;

/// How many elements of a tensor are shown.
const SHOWN_ELEMENTS: usize = 64;

/// An answer in words.
pub(super) fn describe(reply: &Reply, inference: &Inference) -> String {
    let mut text = String::new();
    let instance = &reply.instance;
    // Writing to a `String` cannot fail.
    let _ok = writeln!(
        text,
        "verified   instance {} ({}), manifest {}",
        instance.manifest().instance_id,
        instance.bound_to_words(),
        instance.digest()
    );
    let _ok = writeln!(
        text,
        "sealed     {} bytes, to a key that {}; opened {} bytes",
        reply.sealed_bytes,
        key_holder(instance.attested().bound_to()),
        reply.answer_bytes
    );
    let version = inference.model_version.as_deref().map(|v| format!(" version {}", plain(v))).unwrap_or_default();
    let _ok =
        writeln!(text, "answered   by model {}{version}; execution receipt verified", plain(&inference.model_name));
    let release = match reply.release {
        ReleaseCheck::Verified(_) => "verified",
        ReleaseCheck::NotChecked => "not checked: no key of the gateway was given (--gateway-receipt-key)",
    };
    let _ok = writeln!(text, "released   by the gateway; release receipt {release}");
    for tensor in &inference.outputs {
        text.push('\n');
        text.push_str(&show(tensor));
    }
    text
}

/// Who can open what is sealed to the key of an instance, as far as its evidence says.
fn key_holder(bound_to: Option<BoundTo>) -> &'static str {
    match bound_to {
        Some(BoundTo::Workload) => "only the measured code holds",
        Some(BoundTo::Pod) => "some code of the measured pod holds",
        Some(BoundTo::Guest) => "some code of that guest holds, not necessarily the enclave-app",
        None => "somebody on genuine hardware holds",
    }
}

/// A tensor as text: one line of name, data type and shape, then one line for each row of the last axis.
fn show(tensor: &Tensor) -> String {
    let mut text = format!("{}  {} {:?}\n", plain(&tensor.name), tensor.data.datatype(), tensor.shape);
    let elements = elements(&tensor.data);
    let row = tensor.shape.last().and_then(|n| usize::try_from(*n).ok()).filter(|n| *n > 0).unwrap_or(1);
    for chunk in elements.chunks(row) {
        text.push_str("  ");
        text.push_str(&chunk.join(" "));
        text.push('\n');
    }
    if tensor.data.len() > elements.len() {
        let _ok = writeln!(text, "  … {} of {} elements shown", elements.len(), tensor.data.len());
    }
    text
}

fn elements(data: &TensorData) -> Vec<String> {
    fn shown<T: ToString>(values: &[T]) -> Vec<String> {
        values.iter().take(SHOWN_ELEMENTS).map(ToString::to_string).collect()
    }
    match data {
        TensorData::Bool(v) => shown(v),
        TensorData::Uint8(v) => shown(v),
        TensorData::Uint16(v) => shown(v),
        TensorData::Uint32(v) => shown(v),
        TensorData::Uint64(v) => shown(v),
        TensorData::Int8(v) => shown(v),
        TensorData::Int16(v) => shown(v),
        TensorData::Int32(v) => shown(v),
        TensorData::Int64(v) => shown(v),
        TensorData::Fp32(v) => shown(v),
        TensorData::Fp64(v) => shown(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_is_shown_row_by_row() {
        let tensor = Tensor {
            name: "probability".to_owned(),
            shape: vec![2, 2],
            data: TensorData::Fp32(vec![0.25, 0.75, 1.0, 0.0]),
        };
        assert_eq!(show(&tensor), "probability  FP32 [2, 2]\n  0.25 0.75\n  1 0\n");
    }

    #[test]
    fn what_the_key_is_said_to_be_goes_no_further_than_the_evidence() {
        assert!(key_holder(Some(BoundTo::Workload)).contains("only"));
        for weaker in [Some(BoundTo::Pod), Some(BoundTo::Guest), None] {
            assert!(!key_holder(weaker).contains("only"), "{weaker:?}");
        }
    }

    #[test]
    fn a_long_tensor_is_cut_and_says_so() {
        let tensor = Tensor { name: "y".to_owned(), shape: vec![100], data: TensorData::Int32(vec![7; 100]) };
        let text = show(&tensor);
        assert!(text.ends_with("  … 64 of 100 elements shown\n"), "{text}");
    }
}
