//! ONNX models of a few bytes, written by hand in the Protocol Buffers encoding of onnx.proto3 (IR 9, opset 18).

#![allow(dead_code, reason = "each test binary uses some of them")]

/// A field that holds bytes or a message.
fn bytes(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(number << 3 | 2));
    out.extend(varint(content.len() as u64));
    out.extend_from_slice(content);
    out
}

/// A field that holds a number.
fn number(field: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(field << 3)), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(crate) const FLOAT: u64 = 1;
const INT64: u64 = 7;
pub(crate) const STRING: u64 = 8;
const BOOL: u64 = 9;
const FLOAT16: u64 = 10;
const BFLOAT16: u64 = 16;
const FLOAT8: u64 = 17;
pub(crate) const DOUBLE: u64 = 11;

/// `ValueInfoProto`: a tensor of this type; -1 is an open dimension.
fn value(name: &str, element: u64, shape: &[i64]) -> Vec<u8> {
    let dimensions: Vec<u8> =
        shape.iter().flat_map(|&d| bytes(1, &if d < 0 { bytes(2, b"n") } else { number(1, d as u64) })).collect();
    let tensor = [number(1, element), bytes(2, &dimensions)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// `ValueInfoProto`: a tensor of FP32 whose dimensions are all open, under these names.
fn value_of_named(name: &str, dimensions: &[&str]) -> Vec<u8> {
    let dimensions: Vec<u8> = dimensions.iter().flat_map(|name| bytes(1, &bytes(2, name.as_bytes()))).collect();
    let tensor = [number(1, FLOAT), bytes(2, &dimensions)].concat();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
}

/// `ValueInfoProto`: a tensor of this type, and not a word of its shape.
fn value_of_any_rank(name: &str, element: u64) -> Vec<u8> {
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &number(1, element)))].concat()
}

/// `TensorProto` with its bytes inside.
fn tensor(name: &str, element: u64, shape: &[i64], raw: &[u8]) -> Vec<u8> {
    let dimensions: Vec<u8> = shape.iter().flat_map(|&d| number(1, d as u64)).collect();
    [dimensions, number(2, element), bytes(8, name.as_bytes()), bytes(9, raw)].concat()
}

/// `NodeProto`.
fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out: Vec<u8> = inputs.iter().flat_map(|name| bytes(1, name.as_bytes())).collect();
    out.extend(outputs.iter().flat_map(|name| bytes(2, name.as_bytes())));
    out.extend(bytes(4, operator.as_bytes()));
    out.extend(attributes.iter().flat_map(|attribute| bytes(5, attribute)));
    out
}

/// `AttributeProto` that holds a graph.
fn graph_attribute(name: &str, graph: &[u8]) -> Vec<u8> {
    [bytes(1, name.as_bytes()), bytes(6, graph), number(20, 5)].concat()
}

/// `AttributeProto` that holds an integer.
fn integer_attribute(name: &str, value: u64) -> Vec<u8> {
    [bytes(1, name.as_bytes()), number(3, value), number(20, 2)].concat()
}

/// `GraphProto`.
fn graph(nodes: &[Vec<u8>], initialisers: &[Vec<u8>], inputs: &[Vec<u8>], outputs: &[Vec<u8>]) -> Vec<u8> {
    let mut out: Vec<u8> = nodes.iter().flat_map(|n| bytes(1, n)).collect();
    out.extend(bytes(2, b"g"));
    out.extend(initialisers.iter().flat_map(|t| bytes(5, t)));
    out.extend(inputs.iter().flat_map(|v| bytes(11, v)));
    out.extend(outputs.iter().flat_map(|v| bytes(12, v)));
    out
}

/// `ModelProto`.
fn model(graph: &[u8]) -> Vec<u8> {
    model_of(graph, 18)
}

/// The same, of another opset.
fn model_of(graph: &[u8], opset: u64) -> Vec<u8> {
    [number(1, 9), bytes(7, graph), bytes(8, &[bytes(1, b""), number(2, opset)].concat())].concat()
}

/// `y = x + w`, `f32[2]`; `w` is `[1, 10]`.
pub(crate) fn add() -> Vec<u8> {
    let w: Vec<u8> = [1.0_f32, 10.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    add_with(&tensor("w", FLOAT, &[2], &w))
}

/// The same, and whoever runs it may give another `w`.
pub(crate) fn add_with_default() -> Vec<u8> {
    let w: Vec<u8> = [1.0_f32, 10.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let inputs = [value("x", FLOAT, &[2]), value("w", FLOAT, &[2])];
    let nodes = [node("Add", &["x", "w"], &["y"], &[])];
    model(&graph(&nodes, &[tensor("w", FLOAT, &[2], &w)], &inputs, &[value("y", FLOAT, &[2])]))
}

/// The same with `w` in a file beside it, as `onnx.save` with external data writes it.
pub(crate) fn add_external() -> Vec<u8> {
    let entry = |key: &str, value: &str| bytes(13, &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat());
    let w = [
        number(1, 2),
        number(2, FLOAT),
        bytes(8, b"w"),
        entry("location", "w.bin"),
        entry("length", "8"),
        number(14, 1),
    ]
    .concat();
    add_with(&w)
}

fn add_with(w: &[u8]) -> Vec<u8> {
    let nodes = [node("Add", &["x", "w"], &["y"], &[])];
    model(&graph(&nodes, &[w.to_vec()], &[value("x", FLOAT, &[2])], &[value("y", FLOAT, &[2])]))
}

/// A loop of 2^62 rounds that hands `x` on: it never ends by itself.
pub(crate) fn endless() -> Vec<u8> {
    let body = graph(
        &[node("Identity", &["go_on"], &["still"], &[]), node("Identity", &["before"], &["after"], &[])],
        &[],
        &[value("round", INT64, &[]), value("go_on", BOOL, &[]), value("before", FLOAT, &[1])],
        &[value("still", BOOL, &[]), value("after", FLOAT, &[1])],
    );
    let initialisers = [tensor("rounds", INT64, &[], &(1_i64 << 62).to_le_bytes()), tensor("yes", BOOL, &[], &[1])];
    let nodes = [node("Loop", &["rounds", "yes", "x"], &["y"], &[graph_attribute("body", &body)])];
    model(&graph(&nodes, &initialisers, &[value("x", FLOAT, &[1])], &[value("y", FLOAT, &[1])]))
}

/// Suppresses none of as many boxes as it is asked for: one operator whose time grows with the square of its input, and
/// which nothing ends.
pub(crate) fn boxes() -> Vec<u8> {
    let nodes = [
        node("ConstantOfShape", &["boxes_shape"], &["boxes"], &[]),
        node("ConstantOfShape", &["scores_shape"], &["scores"], &[]),
        node("NonMaxSuppression", &["boxes", "scores", "most"], &["selected"], &[]),
        node("Shape", &["selected"], &["y"], &[]),
    ];
    let inputs = [value("boxes_shape", INT64, &[3]), value("scores_shape", INT64, &[3]), value("most", INT64, &[1])];
    model(&graph(&nodes, &[], &inputs, &[value("y", INT64, &[2])]))
}

/// Inputs of [`boxes`] that it computes on for hours.
pub(crate) fn endless_boxes() -> Vec<teegate_enclave::tensor::Tensor> {
    use teegate_enclave::tensor::{Elements, Shape, Tensor};
    let boxes = 4_000_000;
    [("boxes_shape", vec![1, boxes, 4], 3), ("scores_shape", vec![1, 1, boxes], 3), ("most", vec![boxes], 1)]
        .map(|(name, values, length)| {
            let elements = Elements::Int64(values);
            let shape = Shape::new(&[length], elements.datatype()).unwrap();
            Tensor { name: name.into(), shape, elements }
        })
        .into()
}

/// A loop that doubles `x` in each of as many rounds as it is asked for: memory by repetition, not by one number.
pub(crate) fn doubling() -> Vec<u8> {
    let body = graph(
        &[
            node("Identity", &["go_on"], &["still"], &[]),
            node("Concat", &["before", "before"], &["after"], &[integer_attribute("axis", 0)]),
        ],
        &[],
        &[value("round", INT64, &[]), value("go_on", BOOL, &[]), value("before", FLOAT, &[-1])],
        &[value("still", BOOL, &[]), value("after", FLOAT, &[-1])],
    );
    let nodes = [
        node("Loop", &["rounds", "yes", "x"], &["large"], &[graph_attribute("body", &body)]),
        node("Shape", &["large"], &["y"], &[]),
    ];
    let inputs = [value("rounds", INT64, &[]), value("x", FLOAT, &[-1])];
    model(&graph(&nodes, &[tensor("yes", BOOL, &[], &[1])], &inputs, &[value("y", INT64, &[1])]))
}

/// `y = x + 0`, where the zeros are made of their number while the model is loaded.
pub(crate) fn folded_zeros(count: i64) -> Vec<u8> {
    let nodes = [
        node("ConstantOfShape", &["count"], &["zeros"], &[]),
        node("ReduceSum", &["zeros"], &["zero"], &[integer_attribute("keepdims", 0)]),
        node("Add", &["x", "zero"], &["y"], &[]),
    ];
    let count = tensor("count", INT64, &[1], &count.to_le_bytes());
    model(&graph(&nodes, &[count], &[value("x", FLOAT, &[-1])], &[value("y", FLOAT, &[-1])]))
}

/// An initialiser that says it is larger than its bytes.
pub(crate) fn huge_initialiser() -> Vec<u8> {
    add_with(&tensor("w", FLOAT, &[1 << 20, 1 << 20], &[0; 8]))
}

/// `w` in a file at this place, said by a tensor inside a branch inside a branch.
pub(crate) fn external_in_a_subgraph(location: &str) -> Vec<u8> {
    let entry = |key: &str, value: &str| bytes(13, &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat());
    let w = [number(1, 2), number(2, FLOAT), bytes(8, b"w"), entry("location", location), number(14, 1)].concat();
    let leaf = graph(&[node("Identity", &["w"], &["r"], &[])], &[w], &[], &[value("r", FLOAT, &[2])]);
    let branch = |inside: &[u8]| {
        let attributes = [graph_attribute("then_branch", inside), graph_attribute("else_branch", inside)];
        graph(&[node("If", &["c"], &["r"], &attributes)], &[], &[], &[value("r", FLOAT, &[2])])
    };
    let attributes = [graph_attribute("then_branch", &branch(&leaf)), graph_attribute("else_branch", &branch(&leaf))];
    let nodes = [node("If", &["c"], &["y"], &attributes)];
    model(&graph(&nodes, &[], &[value("c", BOOL, &[])], &[value("y", FLOAT, &[2])]))
}

/// `y = zeros(shape)`: asks for as much memory as its input says.
pub(crate) fn zeros() -> Vec<u8> {
    let nodes = [node("ConstantOfShape", &["shape"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value("shape", INT64, &[1])], &[value("y", FLOAT, &[-1])]))
}

/// `y = w[i]`, where `w` is `[0, 10, 20, 30]`, for any number of indices: one that is outside fails the whole run.
pub(crate) fn look_up() -> Vec<u8> {
    let w: Vec<u8> = [0.0_f32, 10.0, 20.0, 30.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let nodes = [node("Gather", &["w", "i"], &["y"], &[])];
    let w = tensor("w", FLOAT, &[4], &w);
    model(&graph(&nodes, &[w], &[value("i", INT64, &[-1])], &[value("y", FLOAT, &[-1])]))
}

/// `y = x` after as many rounds as the largest of `x`: one number decides how long all of a run take.
pub(crate) fn rounds() -> Vec<u8> {
    let body = graph(
        &[node("Identity", &["go_on"], &["still"], &[]), node("Identity", &["before"], &["after"], &[])],
        &[],
        &[value("round", INT64, &[]), value("go_on", BOOL, &[]), value("before", INT64, &[-1])],
        &[value("still", BOOL, &[]), value("after", INT64, &[-1])],
    );
    let nodes = [
        node("ReduceMax", &["x"], &["rounds"], &[integer_attribute("keepdims", 0)]),
        node("Loop", &["rounds", "yes", "x"], &["y"], &[graph_attribute("body", &body)]),
    ];
    let yes = tensor("yes", BOOL, &[], &[1]);
    model(&graph(&nodes, &[yes], &[value("x", INT64, &[-1])], &[value("y", INT64, &[-1])]))
}

/// `y` is each number of `x` once, though the model says that it is as long as `x`.
pub(crate) fn unique() -> Vec<u8> {
    let nodes = [node("Unique", &["x"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value("x", INT64, &[-1])], &[value("y", INT64, &[-1])]))
}

/// `y = x x^T`: each row is compared with each.
pub(crate) fn compares_rows() -> Vec<u8> {
    let nodes = [node("Transpose", &["x"], &["t"], &[]), node("MatMul", &["x", "t"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value_of_named("x", &["n", "d"])], &[value_of_named("y", &["n", "n"])]))
}

/// `y` has the numbers of `x` that are not zero: as many rows as the values decide, and the model says so by their name.
pub(crate) fn selects_rows() -> Vec<u8> {
    let nodes = [
        node("Cast", &["x"], &["kept"], &[integer_attribute("to", BOOL)]),
        node("Compress", &["x", "kept"], &["y"], &[]),
    ];
    model(&graph(&nodes, &[], &[value_of_named("x", &["n"])], &[value_of_named("y", &["kept"])]))
}

/// `s = a + a` and `t = b + b`, in rows of two FP32 and of three INT64.
pub(crate) fn two_tables() -> Vec<u8> {
    let nodes = [node("Add", &["a", "a"], &["s"], &[]), node("Add", &["b", "b"], &["t"], &[])];
    let inputs = [value("a", FLOAT, &[-1, 2]), value("b", INT64, &[-1, 3])];
    model(&graph(&nodes, &[], &inputs, &[value("s", FLOAT, &[-1, 2]), value("t", INT64, &[-1, 3])]))
}

/// `y` is how many numbers `x` has: a small answer to a request of any size.
pub(crate) fn count(element: u64) -> Vec<u8> {
    let nodes = [node("Shape", &["x"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value("x", element, &[-1])], &[value("y", INT64, &[1])]))
}

/// `y = x[i]`: an index outside is an error of the request.
pub(crate) fn gather() -> Vec<u8> {
    let nodes = [node("Gather", &["x", "i"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value("x", FLOAT, &[3]), value("i", INT64, &[1])], &[value("y", FLOAT, &[1])]))
}

/// One tensor of every type that the protocol has goes in and comes out again.
pub(crate) fn identities() -> Vec<u8> {
    identities_of(&[FLOAT, 11, 9, 2, 4, 12, 13, 3, 5, 6, 7, FLOAT16, BFLOAT16, STRING])
}

/// The same of the types whose elements have one size.
pub(crate) fn sized_identities() -> Vec<u8> {
    identities_of(&[FLOAT, 11, 9, 2, 4, 12, 13, 3, 5, 6, 7, FLOAT16, BFLOAT16])
}

fn identities_of(types: &[u64]) -> Vec<u8> {
    let name = |prefix: &str, t: &u64| format!("{prefix}{t}");
    let nodes: Vec<_> = types.iter().map(|t| node("Identity", &[&name("x", t)], &[&name("y", t)], &[])).collect();
    let values = |prefix: &str| -> Vec<_> { types.iter().map(|t| value(&name(prefix, t), *t, &[-1])).collect() };
    model(&graph(&nodes, &[], &values("x"), &values("y")))
}

/// `y = x`, one number without a dimension.
pub(crate) fn scalar() -> Vec<u8> {
    let nodes = [node("Identity", &["x"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value("x", FLOAT, &[])], &[value("y", FLOAT, &[])]))
}

/// `a = x + z`, `b = x - z` and `c = z`, of any number of rows.
pub(crate) fn several() -> Vec<u8> {
    let nodes = [
        node("Add", &["x", "z"], &["a"], &[]),
        node("Sub", &["x", "z"], &["b"], &[]),
        node("Identity", &["z"], &["c"], &[]),
    ];
    let values = |names: &[&str]| -> Vec<_> { names.iter().map(|name| value(name, INT64, &[-1, 2])).collect() };
    model(&graph(&nodes, &[], &values(&["x", "z"]), &values(&["a", "b", "c"])))
}

/// `y = x` of any rank.
pub(crate) fn any_rank() -> Vec<u8> {
    any_rank_of(FLOAT)
}

/// The same with elements of another type.
pub(crate) fn any_rank_of(element: u64) -> Vec<u8> {
    let nodes = [node("Identity", &["x"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value_of_any_rank("x", element)], &[value_of_any_rank("y", element)]))
}

/// `y = log(x)`: a NaN for a negative number, an infinity for zero.
pub(crate) fn log() -> Vec<u8> {
    let nodes = [node("Log", &["x"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value("x", FLOAT, &[-1])], &[value("y", FLOAT, &[-1])]))
}

/// A float of eight bits at the edge, for which the protocol has no word.
pub(crate) fn eight_bits() -> Vec<u8> {
    let nodes = [node("Cast", &["x"], &["y"], &[integer_attribute("to", FLOAT8)])];
    model_of(&graph(&nodes, &[], &[value("x", FLOAT, &[1])], &[value("y", FLOAT8, &[1])]), 19)
}

/// `y = x + x` in half precision.
pub(crate) fn halves() -> Vec<u8> {
    let nodes = [node("Add", &["x", "x"], &["y"], &[])];
    model(&graph(&nodes, &[], &[value("x", FLOAT16, &[-1])], &[value("y", FLOAT16, &[-1])]))
}

/// A classifier's output as scikit-learn's exporter writes it by default: a sequence of maps.
pub(crate) fn maps() -> Vec<u8> {
    let classes = [bytes(1, b"classlabels_int64s"), number(8, 0), number(8, 1), number(20, 7)].concat();
    let zipmap = [node("ZipMap", &["x"], &["y"], &[classes]), bytes(7, b"ai.onnx.ml")].concat();
    let probability = bytes(2, &bytes(1, &number(1, FLOAT)));
    let map = bytes(5, &[number(1, INT64), probability].concat());
    let output = [bytes(1, b"y"), bytes(2, &bytes(4, &bytes(1, &map)))].concat();
    let import = bytes(8, &[bytes(1, b"ai.onnx.ml"), number(2, 1)].concat());
    [model(&graph(&[zipmap], &[], &[value("x", FLOAT, &[-1, 2])], &[output])), import].concat()
}

/// `y` is `x` written as text.
pub(crate) fn numbers_as_strings() -> Vec<u8> {
    let nodes = [node("Cast", &["x"], &["y"], &[integer_attribute("to", STRING)])];
    model(&graph(&nodes, &[], &[value("x", FLOAT, &[-1])], &[value("y", STRING, &[-1])]))
}

/// Every string of `x` behind the first of `w`: as many outputs as inputs, each as long as both.
pub(crate) fn joined() -> Vec<u8> {
    let nodes = [node("StringConcat", &["w", "x"], &["y"], &[])];
    let inputs = [value("w", STRING, &[1]), value("x", STRING, &[-1])];
    model_of(&graph(&nodes, &[], &inputs, &[value("y", STRING, &[-1])]), 20)
}

/// An operator of a domain that nobody registered.
pub(crate) fn custom_operator() -> Vec<u8> {
    let mut custom = node("Add", &["x", "x"], &["y"], &[]);
    custom.extend(bytes(7, b"com.example.custom"));
    let import = bytes(8, &[bytes(1, b"com.example.custom"), number(2, 1)].concat());
    [model(&graph(&[custom], &[], &[value("x", FLOAT, &[1])], &[value("y", FLOAT, &[1])])), import].concat()
}

/// `y = x` through functions that each call the next one twice: 2^`levels` nodes out of a few bytes for each level.
pub(crate) fn nested_functions(levels: usize) -> Vec<u8> {
    const DOMAIN: &str = "local";
    let imports =
        || [bytes(9, &number(2, 18)), bytes(9, &[bytes(1, DOMAIN.as_bytes()), number(2, 1)].concat())].concat();
    let call = |level: usize, from: &str, to: &str| match level {
        0 => node("Identity", &[from], &[to], &[]),
        _ => [node(&format!("f{level}"), &[from], &[to], &[]), bytes(7, DOMAIN.as_bytes())].concat(),
    };
    let function = |level: usize| {
        [
            bytes(1, format!("f{level}").as_bytes()),
            bytes(4, b"a"),
            bytes(5, b"c"),
            bytes(7, &call(level - 1, "a", "b")),
            bytes(7, &call(level - 1, "b", "c")),
            imports(),
            bytes(10, DOMAIN.as_bytes()),
        ]
        .concat()
    };
    let graph = graph(&[call(levels, "x", "y")], &[], &[value("x", FLOAT, &[1])], &[value("y", FLOAT, &[1])]);
    let mut out = model(&graph);
    out.extend(bytes(8, &[bytes(1, DOMAIN.as_bytes()), number(2, 1)].concat()));
    out.extend((1..=levels).flat_map(|level| bytes(25, &function(level))));
    out
}
