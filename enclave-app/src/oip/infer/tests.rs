//! Requests and their answers, as clients write and read them.

use super::*;
use crate::engine::ShapeRule;
use crate::memory::Memory;

const LIMIT: usize = 4096;

/// An empty one, of a memory without end.
fn purse() -> Purse {
    Memory::new(1 << 30, 1 << 30).share().purse()
}

/// As [`Inference::parse`], where memory is no question.
fn parse_body(body: &[u8], json_length: Option<usize>) -> Result<Inference, OipError> {
    Inference::parse(body, json_length, "m", &signature(), &mut purse()).map_err(|error| match error {
        NotRead::Wrong(error) => error,
        NotRead::Memory(shortage) => panic!("{shortage:?}"),
    })
}

fn signature() -> Signature {
    let tensor = |name: &str, datatype, shape: &[i64]| TensorSignature {
        name: name.into(),
        datatype,
        shape: ShapeRule::Dimensions(shape.to_vec()),
    };
    Signature {
        inputs: vec![tensor("x", Datatype::Fp32, &[-1, 2]), tensor("n", Datatype::Int64, &[1])],
        defaults: vec![
            tensor("w", Datatype::Fp32, &[1]),
            TensorSignature { name: "v".into(), datatype: Datatype::Int8, shape: ShapeRule::AnyRank },
        ],
        outputs: vec![tensor("y", Datatype::Fp32, &[-1]), tensor("ok", Datatype::Bool, &[1])],
        ..Signature::default()
    }
}

const GOOD: &str = r#"{"id":"7","inputs":[{"name":"n","shape":[1],"datatype":"INT64","data":[5]},
    {"name":"x","shape":[2,2],"datatype":"FP32","parameters":{"later":1},"data":[[1,2],[3,4.5]]}]}"#;

fn parse(json: &str) -> Result<Inference, OipError> {
    parse_body(json.as_bytes(), None)
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
    let answer = request.answer("m", "3", outputs(vec![0.25, 0.1]), LIMIT, &mut purse()).unwrap();
    assert_eq!(answer.json_length, None);
    assert_eq!(
        std::str::from_utf8(&answer.body).unwrap(),
        r#"{"model_name":"m","model_version":"3","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[0.25,0.1]},{"name":"ok","datatype":"BOOL","shape":[1],"data":[true]}]}"#
    );
}

#[test]
fn binary_tensors_follow_the_json() {
    let json = r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}},
        {"name":"n","shape":[1],"datatype":"INT64","data":[5]}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}"#;
    let body = [json.as_bytes(), &1.5_f32.to_le_bytes(), &f32::INFINITY.to_le_bytes()].concat();
    let request = parse_body(&body, Some(json.len())).unwrap();
    assert_eq!(request.inputs[0].elements, Elements::Fp32(vec![1.5, f32::INFINITY]));
    let answer = request.answer("m", "3", outputs(vec![f32::NEG_INFINITY]), LIMIT, &mut purse()).unwrap();
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
        let error = parse_body(&body, length).unwrap_err();
        assert!(error.message.contains(reason), "{}", error.message);
    }
}

#[test]
fn what_does_not_fit_the_model_is_refused_by_name_and_place() {
    for (from, to, reason) in [
        ("\"name\":\"x\"", "\"name\":\"z\"", "input `z`: the model has no such input, expected `x`, `n`"),
        ("\"name\":\"x\"", "\"name\":\"n\"", "input `n`: is given twice"),
        ("FP32", "FP64", "input `x`: datatype is FP64, expected FP32"),
        ("FP32", "FP8", "input `x`: datatype `FP8` is none of BOOL, UINT8"),
        ("FP32", "fp32", "input `x`: datatype `fp32` is none of BOOL, UINT8"),
        ("FP32", "FP16", "input `x`: datatype is FP16, expected FP32"),
        ("FP32", "BYTES", "input `x`: datatype is BYTES, expected FP32"),
        ("[2,2]", "[2,3]", "input `x`: shape is [2, 3], expected [-1, 2]"),
        ("[2,2]", "[4]", "input `x`: shape is [4], expected [-1, 2]"),
        ("[2,2]", "[-1,2]", "input `x`: shape has -1 at axis 0, expected 0 or more"),
        ("[2,2]", "[4611686018427387904,2]", "input `x`: shape multiplies to more than 2147483648 elements"),
        ("[2,2]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "shape has more than 16 dimensions"),
        ("[2,2]", "[1.5,2]", "invalid type: floating point `1.5`"),
        ("[2,2]", "[1073741824,2]", "input `x`: array at axis 0 has length 2, expected 1073741824 from the shape"),
        ("\"data\":[5]", "\"parameters\":{}", "input `n`: has neither `data` nor `parameters.binary_data_size`"),
        ("\"data\":[5]", "\"data\":[5],\"parameters\":{\"binary_data_size\":8}", "input `n`: has both"),
        ("\"id\":\"7\"", "\"id\":7", "`id` is not a string"),
        ("\"id\":\"7\"", "\"model_name\":\"other\"", "`model_name` is `other`, but the path names the model `m`"),
        ("\"id\":\"7\"", "\"model_name\":[\"m\"]", "`model_name` is not a string"),
        ("\"inputs\"", "\"input\"", "missing field `inputs`"),
        ("[2,2]", "\"canary\"", "a string, expected an array of dimensions"),
        ("[2,2]", "[2,\"canary\"]", "a string, expected a dimension"),
        ("[5]", "[NaN]", "NaN is not JSON, send the tensor as binary data: expected value at line 1 column"),
        ("4.5", "-Infinity", "Infinity is not JSON, send the tensor as binary data: invalid number at line 2"),
        ("}]}", "}],\"outputs\":[{\"name\":\"z\"}]}", "output `z`: the model has no such output, expected `y`, `ok`"),
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

/// The request of `GOOD`, as KServe's own client (0.21.0, `InferRequest.to_rest`) writes it, in each of its four ways.
#[test]
fn the_bodies_of_kserves_own_client_are_read() {
    let tensor = |name: &str, shape: &str, datatype: &str, rest: &str| {
        format!(r#"{{"name":"{name}","shape":{shape},"datatype":"{datatype}",{rest}}}"#)
    };
    let n = tensor("n", "[1]", "INT64", r#""data":[5]"#);
    let x = tensor("x", "[2,2]", "FP32", r#""data":[1.0,2.0,3.0,4.5]"#);
    let with_parameters =
        tensor("x", "[2,2]", "FP32", r#""parameters":{"content_type":"np"},"data":[1.0,2.0,3.0,4.5]"#);
    let binary = tensor("x", "[2,2]", "FP32", r#""parameters":{"binary_data_size":16}"#);
    let raw = [1.0_f32, 2.0, 3.0, 4.5].map(f32::to_le_bytes).concat();
    let uuid = "9373e9a5-3642-436e-a3ba-f67acbc4e3dc";
    let head = |id: &str, inputs: &str| format!(r#"{{"id":"{id}","model_name":"m","inputs":[{inputs}]"#);
    let asked = r#""outputs":[{"name":"y","parameters":{"binary_data":true}}]"#;
    let parameters = r#""parameters":{"binary_data_output":true,"priority":1,"who":"x"}"#;
    let json = [(Carriage::Json, "y"), (Carriage::Json, "ok")];
    for (json_part, raw, id, outputs) in [
        (head("r1", &format!("{n},{x}")) + "}", &[][..], "r1", &json[..]),
        (head(uuid, &format!("{n},{x}")) + "}", &[], uuid, &json),
        (head("r2", &format!("{n},{binary}")) + "," + asked + "}", &raw, "r2", &[(Carriage::Binary, "y")]),
        (
            head("r3", &format!("{n},{with_parameters}")) + "," + parameters + "}",
            &[],
            "r3",
            &[(Carriage::Binary, "y"), (Carriage::Binary, "ok")],
        ),
    ] {
        let body = [json_part.as_bytes(), raw].concat();
        // The header is there when raw bytes follow.
        let json_length = (!raw.is_empty()).then_some(json_part.len());
        let request = parse_body(&body, json_length).unwrap();
        assert_eq!(request.inputs, parse(GOOD).unwrap().inputs, "{json_part}");
        assert_eq!(request.id.as_ref().map(|id| id.as_str()), Some(id));
        let asked: Vec<_> = request.outputs.iter().map(|(name, carriage)| (*carriage, name.as_str())).collect();
        assert_eq!(asked, outputs);
    }
}

#[test]
fn members_that_the_protocol_does_not_name_are_passed_over_at_every_level() {
    let more = r#""later":{"a":[1,{"b":null}]},"model_version":"9","#;
    let json = format!(
        r#"{{{more}"parameters":{{{more}"p":1}},"model_name":null,
        "inputs":[{{{more}"name":"n","shape":[1],"datatype":"INT64","data":[5],"parameters":null}},
                  {{{more}"parameters":{{{more}"p":[]}},"name":"x","shape":[0,2],"datatype":"FP32","data":[]}}],
        "outputs":[{{{more}"parameters":{{{more}"p":[]}},"name":"ok"}}]}}"#
    );
    let request = parse(&json).unwrap();
    assert_eq!(request.outputs, [("ok".to_owned(), Carriage::Json)]);
    assert!(
        parse(&GOOD.replacen('{', r#"{"outputs":null,"parameters":null,"id":null,"#, 1).replace("\"id\":\"7\",", ""))
            .is_ok()
    );
}

#[test]
fn an_array_is_no_object_wherever_one_stands() {
    let n = r#"{"name":"n","shape":[1],"datatype":"INT64","data":[5]}"#;
    let x = r#"{"name":"x","shape":[0,2],"datatype":"FP32","data":[]}"#;
    let whole = |inputs: &str, rest: &str| format!(r#"{{"inputs":[{inputs}]{rest}}}"#);
    assert!(parse(&whole(&format!("{n},{x}"), r#","outputs":[{"name":"y"}],"parameters":{}"#)).is_ok());
    let object = "invalid type: sequence, expected an object";
    for (json, reason) in [
        (format!(r#"[null,null,null,[{n},{x}]]"#), object),
        (whole(&format!(r#"["n",[1],"INT64",null,[5]],{x}"#), ""), object),
        (whole(&format!("{n},{x}"), r#","outputs":[["y",{}]]"#), object),
        (
            whole(&format!("{n},{x}"), r#","parameters":[true]"#),
            "`parameters`: invalid type: sequence, expected an object",
        ),
        (whole(&format!("{n},{x}"), r#","outputs":[{"name":"y","parameters":[true]}]"#), "output `y`: `parameters`: "),
        (
            whole(&format!(r#"{},{x}"#, n.replace("\"data\":[5]", "\"parameters\":[8]")), ""),
            "input `n`: `parameters`: invalid type: sequence, expected an object",
        ),
    ] {
        let error = parse(&json).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(error.message.contains(reason), "{json}: {}", error.message);
    }
}

#[test]
fn an_input_with_a_value_of_its_own_is_given_or_left_out() {
    let given = |more: &str| parse(&GOOD.replace("\"inputs\":[", &format!("\"inputs\":[{more}")));
    let names = |request: Inference| request.inputs.into_iter().map(|tensor| tensor.name).collect::<Vec<_>>();
    let v = r#"{"name":"v","shape":[2,1,1],"datatype":"INT8","data":[1,2]},"#;
    let w = r#"{"name":"w","shape":[1],"datatype":"FP32","data":[2]},"#;
    assert_eq!(names(given("").unwrap()), ["x", "n"]);
    assert_eq!(names(given(w).unwrap()), ["x", "n", "w"]);
    assert_eq!(names(given(&format!("{v}{w}")).unwrap()), ["x", "n", "w", "v"]);
    // It is held against the model like any other, and of any rank where the model leaves that open.
    let error = given(&w.replace("[1]", "[2]")).unwrap_err();
    assert_eq!(error.message, "input `w`: shape is [2], expected [1] (-1 = any)");
    assert_eq!(names(given(&v.replace("[2,1,1]", "[2]")).unwrap()), ["x", "n", "v"]);
    let error = given(&v.replace("[2,1,1]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2]")).unwrap_err();
    assert!(error.message.contains("shape has more than 16 dimensions"), "{}", error.message);
}

#[test]
fn what_only_grows_a_request_has_a_bound() {
    let many = |list: &str, count: usize| {
        let item = r#"{"name":"y","shape":[],"datatype":""}"#;
        format!(r#"{{"inputs":[],"{list}":[{}]}}"#, vec![item; count].join(","))
    };
    let long = |member: &str, value: String| GOOD.replacen('{', &format!("{{\"{member}\":{value},"), 1);
    let text = |length: usize| format!("\"{}\"", "a".repeat(length));
    for (json, reason) in [
        (many("outputs", 1025), "an array of more than 1024 elements"),
        (many("inputs", 1025).replace("\"inputs\":[],", ""), "an array of more than 1024 elements"),
        (long("model_name", text(1023)), "`model_name` has more than 1024 bytes"),
        (long("parameters", format!("{{\"a\":{}}}", text(64 << 10))), "`parameters` have more than 65536 bytes"),
        (GOOD.replace("\"7\"", &text(1023)), "`id` has more than 1024 bytes"),
    ] {
        let error = parse(&json).unwrap_err();
        assert!(error.message.contains(reason) && error.message.len() < 200, "{reason}: {}", error.message);
    }
    assert!(parse(&GOOD.replace("\"7\"", &text(1022))).is_ok());
}

#[test]
fn no_error_repeats_more_than_a_little_of_a_request() {
    let long = "canary ".repeat(1000);
    for json in [
        format!("\"{long}\""),
        format!(r#"{{"inputs":"{long}"}}"#),
        format!(r#"{{"inputs":["{long}"]}}"#),
        GOOD.replace("\"x\"", &format!("\"{long}\"")),
        GOOD.replace("FP32", &long),
        GOOD.replace("[2,2]", &format!("\"{long}\"")),
        GOOD.replace("[2,2]", &format!("[\"{long}\"]")),
        GOOD.replace("[5]", &format!("[\"{long}\"]")),
        GOOD.replace("\"later\":1", &format!("\"binary_data_size\":\"{long}\"")),
        GOOD.replace("\"id\"", &format!("\"parameters\":{{\"binary_data_output\":\"{long}\"}},\"id\"")),
        GOOD.replace("}]}", &format!("}}],\"outputs\":[{{\"name\":\"{long}\"}}]}}")),
    ] {
        let error = parse(&json).unwrap_err();
        assert!(error.message.len() < 300, "{} bytes: {}", error.message.len(), error.message);
    }
}

#[test]
fn an_answer_beyond_the_limit_is_not_written() {
    let binary = GOOD.replace("\"id\":\"7\",", "\"parameters\":{\"binary_data_output\":true},");
    for request in [GOOD, &binary] {
        let request = parse(request).unwrap();
        let length = request.answer("m", "3", outputs(vec![0.5; 8]), LIMIT, &mut purse()).unwrap().body.len();
        assert!(request.answer("m", "3", outputs(vec![0.5; 8]), length, &mut purse()).is_ok());
        for limit in [0, 16, length - 1] {
            let error = request.answer("m", "3", outputs(vec![0.5; 8]), limit, &mut purse()).unwrap_err();
            assert_eq!(error.status, 500);
            assert!(error.message.starts_with(&format!("answer has more than {limit} bytes")), "{}", error.message);
        }
    }
}

#[test]
fn json_has_no_word_for_infinity() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let outputs = outputs(vec![value]);
        let error = parse(GOOD).unwrap().answer("m", "3", outputs.clone(), LIMIT, &mut purse()).unwrap_err();
        // Neither the model nor the server has failed.
        assert_eq!(error.status, 406);
        assert!(error.message.starts_with("output `y` holds a NaN or an infinity"), "{}", error.message);
        // What the message advises works.
        let advised = "\"parameters\": {\"binary_data_output\": true}";
        assert!(error.message.contains(advised), "{}", error.message);
        let request = parse(&GOOD.replacen('{', &format!("{{{advised},"), 1)).unwrap();
        let answer = request.answer("m", "3", outputs.clone(), LIMIT, &mut purse()).unwrap();
        assert_eq!(answer.body[answer.json_length.unwrap()..][..4], value.to_le_bytes());
    }
}

/// A model of strings and 16-bit floats.
fn words() -> Signature {
    let tensor = |name: &str, datatype, shape: &[i64]| TensorSignature {
        name: name.into(),
        datatype,
        shape: ShapeRule::Dimensions(shape.to_vec()),
    };
    Signature {
        inputs: vec![tensor("t", Datatype::Bytes, &[-1]), tensor("h", Datatype::Fp16, &[2])],
        defaults: vec![],
        outputs: vec![tensor("u", Datatype::Bytes, &[-1]), tensor("b", Datatype::Bf16, &[2])],
        ..Signature::default()
    }
}

fn parse_words(json: &str, raw: &[u8]) -> Result<Inference, String> {
    let body = [json.as_bytes(), raw].concat();
    Inference::parse(&body, Some(json.len()), "m", &words(), &mut purse()).map_err(|error| match error {
        NotRead::Wrong(error) => error.message,
        NotRead::Memory(shortage) => panic!("{shortage:?}"),
    })
}

/// As `tritonclient` 2.73 writes them: binary data in, binary data asked for.
const WORDS: &str = r#"{"inputs":[{"name":"t","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":10}},
    {"name":"h","shape":[2],"datatype":"FP16","parameters":{"binary_data_size":4}}],"parameters":{"binary_data_output":true}}"#;
const WORDS_RAW: &[u8] = b"\x02\0\0\0hi\0\0\0\0\x00\x3c\x00\xbe";

fn words_outputs() -> Vec<Tensor> {
    let tensor = |name: &str, elements: Elements| Tensor {
        name: name.into(),
        shape: Shape::new(&[2], elements.datatype()).unwrap(),
        elements,
    };
    let texts = ["a\"\n".to_owned(), "straße".to_owned()];
    vec![
        tensor("u", Elements::Bytes(crate::strings::Strings::of(&texts).unwrap())),
        tensor("b", Elements::Bf16(vec![0x3f80, 0x7fc0])),
    ]
}

#[test]
fn strings_and_16_bit_floats_travel_as_binary_data() {
    let request = parse_words(WORDS, WORDS_RAW).unwrap();
    let [texts, halves] = request.inputs.as_slice() else { panic!() };
    assert_eq!(halves.elements, Elements::Fp16(vec![0x3c00, 0xbe00]));
    let Elements::Bytes(strings) = &texts.elements else { panic!() };
    assert_eq!(strings.iter().collect::<Vec<_>>(), ["hi", ""]);
    let answer = request.answer("m", "1", words_outputs(), LIMIT, &mut purse()).unwrap();
    let (json, raw) = answer.body.split_at(answer.json_length.unwrap());
    assert_eq!(
        std::str::from_utf8(json).unwrap(),
        r#"{"model_name":"m","model_version":"1","outputs":[{"name":"u","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":18}},{"name":"b","datatype":"BF16","shape":[2],"parameters":{"binary_data_size":4}}]}"#
    );
    let texts = [&b"\x03\0\0\0a\"\n\x07\0\0\0"[..], "straße".as_bytes()].concat();
    assert_eq!(raw, [&texts[..], &[0x80, 0x3f, 0xc0, 0x7f]].concat());

    for (json, raw, reason) in [
        (
            WORDS.replace(":10", ":9"),
            WORDS_RAW.to_vec(),
            "input `t`: binary data of BYTES: element 1: the data ends before it",
        ),
        (
            WORDS.replace(":10", ":11"),
            WORDS_RAW.to_vec(),
            "input `t`: binary data of BYTES: 1 bytes stand after the last",
        ),
        (WORDS.to_owned(), WORDS_RAW[..9].to_vec(), "input `t`: `binary_data_size` is 10, but 9 bytes are left"),
        (WORDS.to_owned(), [&[0xff; 10][..], &WORDS_RAW[10..]].concat(), "element 0: the data ends before it"),
        (WORDS.to_owned(), [&b"\x02\0\0\0\xff\xff"[..], &WORDS_RAW[6..]].concat(), "element 0: is not UTF-8"),
        (WORDS.to_owned(), [&b"\x02\0\0\0a\0"[..], &WORDS_RAW[6..]].concat(), "element 0: holds a zero byte"),
        (WORDS.replace(":4}", ":2}"), WORDS_RAW.to_vec(), "input `h`: `binary_data_size` is 2, expected 4"),
    ] {
        let error = parse_words(&json, &raw).unwrap_err();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn strings_are_strings_in_json_and_16_bit_floats_are_not_there() {
    let halves = r#"{"name":"h","shape":[2],"datatype":"FP16","parameters":{"binary_data_size":4}}"#;
    let ask = |texts: &str, halves: &str, outputs: &str| {
        let texts = format!(r#"{{"name":"t","shape":[2],"datatype":"BYTES","data":{texts}}}"#);
        let raw = if halves.contains("binary") { &WORDS_RAW[10..] } else { &[] };
        parse_words(&format!(r#"{{"inputs":[{texts},{halves}],"outputs":[{outputs}]}}"#), raw)
    };
    let (u, b) = (r#"{"name":"u"}"#, r#"{"name":"b","parameters":{"binary_data":true}}"#);
    let request = ask(r#"["h\u0069","\n"]"#, halves, &format!("{u},{b}")).unwrap();
    let Elements::Bytes(strings) = &request.inputs[0].elements else { panic!() };
    assert_eq!(strings.iter().collect::<Vec<_>>(), ["hi", "\n"]);
    let answer = request.answer("m", "1", words_outputs(), LIMIT, &mut purse()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&answer.body[..answer.json_length.unwrap()]).unwrap();
    assert_eq!(json["outputs"][0]["data"], serde_json::json!(["a\"\n", "straße"]));
    assert_eq!(answer.body[answer.json_length.unwrap()..], [0x80, 0x3f, 0xc0, 0x7f]);

    for (texts, halves, outputs, reason) in [
        (r#"["a"]"#, halves, u, "input `t`: `data` has 1 elements, expected 2"),
        (r#"["a",7]"#, halves, u, "input `t`: element 1: expected a string"),
        (r#"["a","b\u0000c"]"#, halves, u, "input `t`: element 1: holds a zero byte"),
        (r#"["a",NaN]"#, halves, u, "NaN is not JSON"),
        (
            r#"["a","b"]"#,
            r#"{"name":"h","shape":[2],"datatype":"FP16","data":[1,2]}"#,
            u,
            "input `h`: FP16 has no form in JSON; send it as binary data",
        ),
        (r#"["a","b"]"#, halves, "", "output `b`: BF16 has no form in JSON; ask for binary data"),
        (r#"["a","b"]"#, halves, r#"{"name":"b"}"#, "output `b`: BF16 has no form in JSON"),
    ] {
        let error = ask(texts, halves, outputs).unwrap_err();
        assert!(error.contains(reason), "{reason}: {error}");
    }
    // What the refusal advises works: it is what the stock clients do.
    assert!(parse_words(WORDS, WORDS_RAW).is_ok());
}

#[test]
fn strings_are_paid_for_before_they_are_there() {
    let long = "x".repeat(3000);
    for (data, bytes, raw) in [
        (format!(r#""data":["{long}"]"#), 3004, vec![]),
        (
            r#""parameters":{"binary_data_size":3004}"#.to_owned(),
            3004,
            [&3000_u32.to_le_bytes(), long.as_bytes()].concat(),
        ),
    ] {
        let json = format!(
            r#"{{"inputs":[{{"name":"t","shape":[1],"datatype":"BYTES",{data}}},
            {{"name":"h","shape":[2],"datatype":"FP16","parameters":{{"binary_data_size":4}}}}],"outputs":[{{"name":"u"}}]}}"#
        );
        let body = [json.as_bytes(), &raw, &[0; 4]].concat();
        for (memory, fits) in [(bytes + 4, true), (bytes + 3, false), (bytes - 1, false)] {
            let memory = Memory::new(memory, memory);
            let share = memory.share();
            let read = Inference::parse(&body, Some(json.len()), "m", &words(), &mut share.purse());
            assert_eq!(read.is_ok(), fits, "{data:.20} {read:?}");
            assert!(fits || matches!(read, Err(NotRead::Memory(Shortage::Never { .. }))));
        }
    }
}

#[test]
fn no_damaged_request_gets_further_than_an_error() {
    let mut refused = 0;
    for position in 0..GOOD.len() {
        for byte in [0_u8, b'"', b'[', b'{', b'}', b']', b'9', b'-', b',', 0xFF] {
            let mut damaged = GOOD.as_bytes().to_vec();
            damaged[position] = byte;
            for json_length in [None, Some(position), Some(usize::MAX)] {
                refused += usize::from(parse_body(&damaged, json_length).is_err());
            }
        }
        assert!(parse_body(&GOOD.as_bytes()[..position], None).is_err(), "{position}");
    }
    assert!(refused > GOOD.len() * 20, "{refused}");
}
