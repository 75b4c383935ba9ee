//! Requests as clients write them, and what a worker says.

use teegate_enclave::engine::message::{Kind, Message};
use teegate_enclave::engine::shared_memory::{Borrowed, Head, SharedMemory};
use teegate_enclave::engine::{ShapeRule, Signature, TensorSignature};
use teegate_enclave::strings::Strings;
use teegate_enclave::tensor::{Datatype, Elements};

use crate::forged::Seeds;

pub(super) fn of(target: &str) -> Seeds {
    match target {
        "oip_infer" => requests(),
        "engine_message" => {
            let outputs = Message { count: 2, length: 300, ..Message::new(Kind::Outputs, 7) };
            let load = Message { numbers: [1, 2, 3, 4, 5], ..Message::new(Kind::Load, u64::MAX) };
            vec![("outputs", outputs.encode().to_vec()), ("load", [load.encode(), outputs.encode()].concat())]
        }
        "engine_tensors" => tensors(),
        "engine_signature" => {
            let tensor = |name: &str, datatype, shape| TensorSignature { name: name.into(), datatype, shape };
            let signature = Signature {
                inputs: vec![tensor("x", Datatype::Bytes, ShapeRule::AnyRank)],
                defaults: vec![tensor("w", Datatype::Fp16, ShapeRule::Dimensions(vec![2]))],
                outputs: vec![tensor("y", Datatype::Int64, ShapeRule::Dimensions(vec![-1, 2]))],
                ..Signature::default()
            };
            vec![("signature", serde_json::to_vec(&signature).expect("it can be written"))]
        }
        "onnx_model" => models(),
        _ => Vec::new(),
    }
}

fn requests() -> Seeds {
    let json = r#"{"id":"1","inputs":[{"name":"FP32","shape":[2],"datatype":"FP32","data":[1.5,-2]},
        {"name":"INT64","shape":[1,2],"datatype":"INT64","data":[[1,2]]},{"name":"BOOL","shape":[1],"datatype":"BOOL","data":[true]},
        {"name":"BYTES","shape":[2],"datatype":"BYTES","data":["a\\n","\\u00e9\\ud83d\\ude00"]}],
        "outputs":[{"name":"BYTES"},{"name":"INT64","parameters":{"binary_data":true}},{"name":"FP32"}]}"#;
    let json = json.replace("\\\\", "\\");
    let head = r#"{"inputs":[{"name":"BYTES","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":10}},
        {"name":"FP16","shape":[2],"datatype":"FP16","parameters":{"binary_data_size":4}}],"parameters":{"binary_data_output":true}}"#;
    let raw = b"\0\x02\0\0\0hi\0\0\0\0\x00\x3c\x00\x7e";
    vec![("json", json.into_bytes()), ("binary", [head.as_bytes(), raw].concat())]
}

fn tensors() -> Seeds {
    let strings = Strings::of(&["a".to_owned(), String::new()]).expect("memory");
    let all = [Elements::Fp32(vec![1.5, 2.5]), Elements::Bytes(strings), Elements::Bool(vec![true, false])];
    let write = |all: &[Elements]| {
        let memory = SharedMemory::create(4096, 4096).expect("a memory file");
        let mut to = memory.outputs();
        for (elements, index) in all.iter().zip(0..) {
            let head = Head::new(index, elements.datatype(), &[1, 2], elements.bytes()).expect("a head");
            to.write_head(&head).expect("it fits");
            to.write_elements(&Borrowed::from(elements)).expect("it fits");
        }
        let written = usize::try_from(to.since(&memory.outputs())).expect("a few bytes");
        memory.outputs().read_vec(written).expect("it was written")
    };
    vec![("all", write(&all)), ("strings", write(&all[1..2]))]
}

/// `ModelProto`s of a few bytes: a node with a tensor in an attribute, a function that is called, an input without a shape.
fn models() -> Seeds {
    let field = |number: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).expect("a short message");
        [&[number << 3 | 2, length], content].concat()
    };
    let tensor = [field(8, b"w"), vec![14 << 3, 0]].concat();
    let node = [field(4, b"Constant"), field(5, &field(5, &tensor))].concat();
    let call = [field(4, b"f"), field(7, b"d")].concat();
    let input = [field(1, b"x"), field(2, &field(1, &[8, 1]))].concat();
    let graph = [field(1, &node), field(1, &call), field(5, &tensor), field(11, &input)].concat();
    let function = [field(1, b"f"), field(7, &node), field(10, b"d")].concat();
    // The number of `functions`, 25, takes two bytes.
    let function = [&[0xCA, 1, u8::try_from(function.len()).expect("a short message")][..], &function].concat();
    vec![("graph", field(7, &graph)), ("function", [field(7, &graph), function].concat())]
}
