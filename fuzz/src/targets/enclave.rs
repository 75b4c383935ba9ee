//! What the enclave-app reads: requests of the Open Inference Protocol, which are a client's, models, which are an operator's,
//! and what a worker says, who may have been taken over.

use teegate_enclave::engine::message::{MESSAGE_BYTES, Message};
use teegate_enclave::engine::shared_memory::{Borrowed, Head, SharedMemory};
use teegate_enclave::engine::{ShapeRule, Signature, TensorSignature};
use teegate_enclave::memory::{Memory, Purse};
use teegate_enclave::model::ModelFile;
use teegate_enclave::oip::infer::{Inference, NotRead};
use teegate_enclave::strings::Strings;
use teegate_enclave::tensor::{Datatype, Elements, Shape, Tensor};
use teegate_fuzz_engine::{Effort, Target, mutate};

use crate::hold;

pub(super) const TARGETS: &[Target] = &[
    Target {
        name: "oip_infer",
        about: "inference requests, and their answers asked again",
        effort: Effort::Reader,
        run: oip_infer,
        mutate: mutate::json,
        words: &[
            "id",
            "inputs",
            "outputs",
            "name",
            "shape",
            "datatype",
            "data",
            "parameters",
            "binary_data_size",
            "binary_data_output",
            "binary_data",
            "model_name",
            "BYTES",
            "FP16",
            "INT64",
            "BOOL",
            "\\ud83d\\ude00",
            "\\u0000",
            "[[",
        ],
        max_bytes: 2_048,
    },
    Target {
        name: "engine_message",
        about: "messages between the program and a worker",
        effort: Effort::Reader,
        run: engine_message,
        mutate: mutate::bytes,
        words: &["\x01\0\0\0", "\x07\0\0\0", "\x08\0\0\0"],
        max_bytes: 2 * MESSAGE_BYTES,
    },
    Target {
        name: "engine_tensors",
        about: "tensors in the memory file of a worker",
        effort: Effort::Reader,
        run: engine_tensors,
        mutate: mutate::bytes,
        words: &["\x0d\0\0\0", "\x01\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0"],
        max_bytes: 1_024,
    },
    Target {
        name: "engine_signature",
        about: "what a worker says of its model",
        effort: Effort::Reader,
        run: engine_signature,
        mutate: mutate::json,
        words: &["inputs", "defaults", "outputs", "name", "datatype", "shape", "AnyRank", "Dimensions", "BYTES", "-1"],
        max_bytes: 1_024,
    },
    Target {
        name: "onnx_model",
        about: "ONNX files, before the library sees them",
        effort: Effort::Reader,
        run: onnx_model,
        mutate: mutate::protobuf,
        words: &["ORTM", "\x70\x01", "\x6a\0", "ai.onnx"],
        max_bytes: 1_024,
    },
];

/// An empty one, of a memory that no input of these sizes can use up.
fn purse() -> Purse {
    Memory::new(1 << 24, 1 << 24).share().purse()
}

/// A model that takes a vector of each type, or leaves it, and gives back what it got.
fn every_type() -> Signature {
    let tensor = |datatype: Datatype| TensorSignature {
        name: datatype.name().to_owned(),
        datatype,
        shape: if datatype == Datatype::Int64 { ShapeRule::AnyRank } else { ShapeRule::Dimensions(vec![-1]) },
    };
    let all: Vec<_> = Datatype::ALL.into_iter().map(tensor).collect();
    Signature { defaults: all.clone(), outputs: all, ..Signature::default() }
}

/// The first zero stands between JSON and raw tensors, and is taken out.
fn oip_infer(input: &[u8]) {
    let (body, json_length) = match input.iter().position(|byte| *byte == 0) {
        Some(place) => ([&input[..place], &input[place + 1..]].concat(), Some(place)),
        None => (input.to_vec(), None),
    };
    let signature = every_type();
    let mut request = match Inference::parse(&body, json_length, "m", &signature, &mut purse()) {
        Ok(request) => request,
        Err(NotRead::Wrong(error)) => return hold::message(input, &error.message),
        Err(NotRead::Memory(shortage)) => panic!("{shortage:?}"),
    };
    let given = std::mem::take(&mut request.inputs);
    let answer = match request.answer("m", "1", outputs(&given), 1 << 20, &mut purse()) {
        Ok(answer) => answer,
        Err(error) => return hold::message(input, &error.message),
    };
    // What was answered can be asked: outputs are written as inputs are.
    let (json, raw) = answer.body.split_at(answer.json_length.unwrap_or(answer.body.len()));
    let mut again: serde_json::Value = serde_json::from_slice(json).expect("an answer is JSON");
    let inputs = again.as_object_mut().and_then(|answer| answer.remove("outputs")).expect("it has outputs");
    let again = serde_json::json!({ "inputs": inputs, "parameters": { "binary_data_output": true } }).to_string();
    let body = [again.as_bytes(), raw].concat();
    let Ok(again) = Inference::parse(&body, Some(again.len()), "m", &signature, &mut purse()) else {
        panic!("an answer cannot be asked");
    };
    for tensor in &again.inputs {
        let before = given.iter().find(|other| other.name == tensor.name);
        let (shape, bytes) =
            before.map_or((vec![0], Vec::new()), |other| (other.shape.dimensions().to_vec(), le(other)));
        assert_eq!((tensor.shape.dimensions(), le(tensor)), (shape.as_slice(), bytes), "{}", tensor.name);
    }
}

/// The inputs that were given, and for the others nothing.
fn outputs(given: &[Tensor]) -> Vec<Tensor> {
    let of = |datatype: Datatype| {
        let known = given.iter().find(|tensor| tensor.name == datatype.name()).cloned();
        known.unwrap_or_else(|| Tensor {
            name: datatype.name().to_owned(),
            shape: Shape::new(&[0], datatype).expect("a shape"),
            elements: Elements::from_le_bytes(datatype, 0, &[]).expect("no elements"),
        })
    };
    Datatype::ALL.into_iter().map(of).collect()
}

fn le(tensor: &Tensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    tensor.elements.append_le_bytes(&mut bytes);
    bytes
}

fn engine_message(input: &[u8]) {
    for bytes in input.as_chunks::<MESSAGE_BYTES>().0 {
        if let Some(message) = Message::decode(bytes) {
            assert_eq!(&message.encode(), bytes, "written as it was");
        }
    }
}

/// The region of the outputs holds the input, and is read as the program reads it.
fn engine_tensors(input: &[u8]) {
    let length = input.len() as u64;
    let memory = SharedMemory::create(length, length).expect("a memory file");
    memory.outputs().write(input).expect("it fits");
    let (mut from, mut to) = (memory.outputs(), memory.inputs());
    while let Some((head, elements)) = next(&mut from) {
        to.write_head(&head).expect("it fits");
        to.write_elements(&Borrowed::from(&elements)).expect("it fits");
        if elements.datatype() == Datatype::Bool {
            // Any byte but 0 is true, and is written as 1.
            return;
        }
        if let Elements::Bytes(strings) = &elements {
            let texts: Vec<String> = strings.iter().map(str::to_owned).collect();
            assert!(Strings::of(&texts).is_some_and(|again| again == *strings), "the same strings");
        }
        let read = usize::try_from(from.since(&memory.outputs())).expect("a place in the input");
        assert_eq!(to.since(&memory.inputs()), read as u64);
        let written = memory.inputs().read_vec(read).expect("it was written");
        assert_eq!(written, input[..read], "written as it was");
    }
}

fn next(from: &mut teegate_enclave::engine::shared_memory::Cursor<'_>) -> Option<(Head, Elements)> {
    let head = from.read_head().ok()?;
    let (datatype, dimensions) = (head.datatype()?, head.dimensions()?);
    let shape = Shape::new(dimensions, datatype).ok()?;
    let bytes = head.bytes(datatype, shape.elements())?;
    let elements = from.read_elements(datatype, shape.elements(), bytes).ok()?;
    assert_eq!((elements.len(), elements.bytes()), (shape.elements(), bytes));
    Some((head, elements))
}

fn engine_signature(input: &[u8]) {
    let Ok(signature) = serde_json::from_slice::<Signature>(input) else { return };
    let written = serde_json::to_vec(&signature).expect("a signature can be written");
    assert_eq!(serde_json::from_slice::<Signature>(&written).ok(), Some(signature));
}

fn onnx_model(input: &[u8]) {
    if let Some((bytes, _)) =
        hold::same(input, || ModelFile::from_bytes(input.to_vec()).map(|file| (file.bytes().to_vec(), file.sha256())))
    {
        assert_eq!(bytes, input, "what is loaded is what was digested");
    }
}
