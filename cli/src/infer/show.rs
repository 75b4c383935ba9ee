//! An answer in words: who answered, what was checked, and the tensors.

use std::fmt::Write as _;

use teegate_client::oip::{self, Inference, Tensor, TensorData};
use teegate_client::{ReleaseCheck, Reply};
use teegate_verifier::BoundTo;

use crate::output::plain;

/// How many elements of a tensor are shown.
const SHOWN_ELEMENTS: usize = 64;
/// How many bytes of an element of `BYTES` are shown.
const SHOWN_BYTES: usize = 200;

/// An answer in words.
pub(super) fn describe(reply: &Reply, inference: &Inference) -> String {
    let mut text = summary(reply, inference);
    for tensor in &inference.outputs {
        text.push('\n');
        text.push_str(&show(tensor));
    }
    text
}

/// The tensors, and nothing of them left out.
pub(super) fn every_element(tensors: &[Tensor]) -> String {
    tensors.iter().map(|tensor| show_up_to(tensor, usize::MAX, usize::MAX)).collect()
}

/// Who answered, and what was checked.
pub(super) fn summary(reply: &Reply, inference: &Inference) -> String {
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
    show_up_to(tensor, SHOWN_ELEMENTS, SHOWN_BYTES)
}

/// The same with so many elements, and so many bytes of one of `BYTES`.
fn show_up_to(tensor: &Tensor, most: usize, most_bytes: usize) -> String {
    let mut text = outline(tensor);
    let elements = elements(&tensor.data, most, most_bytes);
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

/// Name, data type and shape of a tensor, in a line.
pub(super) fn outline(tensor: &Tensor) -> String {
    format!("{}  {} {:?}\n", plain(&tensor.name), tensor.data.datatype(), tensor.shape)
}

fn elements(data: &TensorData, most: usize, most_bytes: usize) -> Vec<String> {
    fn shown<T: ToString>(values: impl IntoIterator<Item = T>, most: usize) -> Vec<String> {
        values.into_iter().take(most).map(|value| value.to_string()).collect()
    }
    match data {
        TensorData::Bool(v) => shown(v, most),
        TensorData::Uint8(v) => shown(v, most),
        TensorData::Uint16(v) => shown(v, most),
        TensorData::Uint32(v) => shown(v, most),
        TensorData::Uint64(v) => shown(v, most),
        TensorData::Int8(v) => shown(v, most),
        TensorData::Int16(v) => shown(v, most),
        TensorData::Int32(v) => shown(v, most),
        TensorData::Int64(v) => shown(v, most),
        TensorData::Fp16(v) => shown(v.iter().map(|bits| oip::f32_from_fp16(*bits)), most),
        TensorData::Bf16(v) => shown(v.iter().map(|bits| oip::f32_from_bf16(*bits)), most),
        TensorData::Fp32(v) => shown(v, most),
        TensorData::Fp64(v) => shown(v, most),
        TensorData::Bytes(v) => shown(v.iter().map(|bytes| quoted(bytes, most_bytes)), most),
    }
}

/// An element of `BYTES`: as text where it is some, with every other byte as `\xNN`. What is long is cut.
fn quoted(bytes: &[u8], most: usize) -> String {
    let mut text = String::from("\"");
    // No character is cut in two.
    let is_inside = |end: &usize| bytes.get(*end).is_some_and(|byte| byte & 0xC0 == 0x80);
    let end = (most.saturating_sub(3)..=most).rev().find(|end| !is_inside(end)).unwrap_or(most);
    let shown = bytes.get(..end).unwrap_or(bytes);
    for chunk in shown.utf8_chunks() {
        text.push_str(&plain(&chunk.valid().replace('\\', "\\\\").replace('"', "\\\"")));
        chunk.invalid().iter().for_each(|byte| {
            let _ok = write!(text, "\\x{byte:02x}");
        });
    }
    text.push('"');
    if shown.len() < bytes.len() {
        let _ok = write!(text, "… ({} bytes)", bytes.len());
    }
    text
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
    fn every_data_type_is_shown_by_its_values() {
        let of = |data: TensorData| {
            let tensor = Tensor { name: "y".to_owned(), shape: vec![data.len() as u64], data };
            show(&tensor).lines().nth(1).unwrap_or_default().trim_start().to_owned()
        };
        assert_eq!(of(TensorData::Fp16(vec![0x3C00, 0xC000, 0x7E00, 0x7C00])), "1 -2 NaN inf");
        assert_eq!(of(TensorData::Bf16(vec![0x3F80, 0xFF80])), "1 -inf");
        let texts =
            [b"benign".to_vec(), b"a \"b\"\\".to_vec(), b"\xff\x00\n\x1b".to_vec(), "\u{fc}".as_bytes().to_vec()];
        let shown = r#""benign" "a \"b\"\\" "\xff\u{0}\u{a}\u{1b}" "ü""#;
        assert_eq!(of(TensorData::Bytes(texts.to_vec())), shown);
        let long = of(TensorData::Bytes(vec!["\u{20ac}".repeat(70).into_bytes(), vec![0xC3; 201]]));
        assert_eq!(long, format!("\"{}\"… (210 bytes) \"{}\"… (201 bytes)", "€".repeat(66), "\\xc3".repeat(200)));
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
