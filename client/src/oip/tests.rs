//! What is written can be read, and what cannot be read is named.

use super::*;

fn fp32(shape: &[u64], data: &[f32]) -> Tensor {
    Tensor { name: "x".to_owned(), shape: shape.to_vec(), data: TensorData::Fp32(data.to_vec()) }
}

#[test]
fn a_request_is_written_flat_and_accepted_by_the_check() {
    let body = request(&[fp32(&[1, 2], &[0.5, -1.25])]).unwrap();
    let text = std::str::from_utf8(&body).unwrap();
    assert_eq!(
        text,
        r#"{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[0.5,-1.25]}],"parameters":{"binary_data_output":true}}"#
    );
    assert_eq!(check_request(&body), Ok(Outline { json_length: None, asks_for_raw_outputs: true }));
}

#[test]
fn what_json_has_no_word_for_is_written_behind_it() {
    let nan = Tensor { name: "y".to_owned(), shape: vec![1], data: TensorData::Fp64(vec![f64::NAN]) };
    let body = request(&[fp32(&[1], &[f32::INFINITY]), fp32(&[1], &[0.5]), nan]).unwrap();
    let json = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}},{"name":"x","shape":[1],"datatype":"FP32","data":[0.5]},{"name":"y","shape":[1],"datatype":"FP64","parameters":{"binary_data_size":8}}],"parameters":{"binary_data_output":true}}"#;
    let raw = [&f32::INFINITY.to_le_bytes()[..], &f64::NAN.to_le_bytes()].concat();
    assert_eq!(body, [json.as_bytes(), &raw].concat());
    let outline = Outline { json_length: Some(json.len()), asks_for_raw_outputs: true };
    assert_eq!(check_request(&body), Ok(outline));
    for (body, reason) in [
        (&body[..body.len() - 1], "`inputs[2].parameters.binary_data_size` is 8, and fewer raw bytes are left"),
        (&[&body[..], b"x"].concat(), "1 bytes follow the JSON and its raw tensors, and nothing says what they are"),
    ] {
        let error = check_request(body).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_request_says_how_it_wants_its_outputs() {
    let of = |more: &str| {
        let body = format!(r#"{{"inputs":[{{"name":"x","shape":[],"datatype":"BOOL","data":[true]}}]{more}}}"#);
        check_request(body.as_bytes()).map(|outline| outline.asks_for_raw_outputs).map_err(|error| error.to_string())
    };
    for (more, expected) in [
        ("", false),
        ("\n", false),
        (r#","parameters":{}"#, false),
        (r#","parameters":{"binary_data_output":true,"later":1}"#, true),
        (r#","outputs":[{"name":"y","parameters":{"binary_data":true}}]"#, true),
        (r#","outputs":[{"name":"y"}],"parameters":{"binary_data_output":true}"#, true),
        (
            r#","outputs":[{"name":"y","parameters":{"binary_data":false}}],"parameters":{"binary_data_output":true}"#,
            false,
        ),
    ] {
        assert_eq!(of(more), Ok(expected), "{more}");
    }
    assert!(of(r#","parameters":[true]"#).unwrap_err().contains("`parameters` is not an object"));
    assert!(of(r#","outputs":[["y"]]"#).unwrap_err().contains("`outputs[0]` is not an object"));
}

#[test]
fn a_shape_that_does_not_count_its_elements_is_refused() {
    assert!(request(&[fp32(&[2, 2], &[0.5, 1.0])]).unwrap_err().to_string().contains("`inputs[0]` has 2 elements"));
    let error = request(&[fp32(&[u64::MAX, 2], &[0.5])]).unwrap_err().to_string();
    assert!(error.contains("`inputs[0]` has 1 elements, which its shape does not count"), "{error}");
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
        ("[-1]", "FP32", "[1]", "`outputs[0].shape` holds a negative number"),
        ("[1]", "FP32", "[NaN]", "NaN is not JSON"),
        ("[1]", "FP32", "null", "`outputs[0]`: it has no data"),
    ] {
        let error = answer(answer_of(shape, datatype, data).as_bytes()).unwrap_err().to_string();
        assert!(error.contains("not an Open Inference Protocol v2 answer") || error.contains(reason), "{error}");
        assert!(error.contains(reason), "{error}");
    }
    for (text, reason) in [
        (r#"["m","1",[]]"#, "line 1, column 1"),
        (r#"{"model_name":"m","outputs":[["y"]]}"#, "`outputs[0]`: it is not an object"),
    ] {
        let error = answer(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn raw_tensors_of_an_answer_are_read_whatever_they_hold() {
    let output = |name: &str, datatype: &str, size: usize| {
        format!(r#"{{"name":"{name}","shape":[1],"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}"#)
    };
    let all = [
        TensorData::Bool(vec![true]),
        TensorData::Uint8(vec![200]),
        TensorData::Uint16(vec![60_000]),
        TensorData::Uint32(vec![4_000_000_000]),
        TensorData::Uint64(vec![u64::MAX]),
        TensorData::Int8(vec![-1]),
        TensorData::Int16(vec![-2]),
        TensorData::Int32(vec![-3]),
        TensorData::Int64(vec![i64::MIN]),
        TensorData::Fp32(vec![f32::NEG_INFINITY]),
        TensorData::Fp64(vec![f64::INFINITY]),
    ];
    let outputs: Vec<String> = all.iter().map(|data| output("y", data.datatype(), data.to_le_bytes().len())).collect();
    let json = format!(r#"{{"model_name":"m","outputs":[{}]}}"#, outputs.join(","));
    let raw: Vec<u8> = all.iter().flat_map(TensorData::to_le_bytes).collect();
    let read = answer(&[json.as_bytes(), &raw].concat()).unwrap();
    assert_eq!(read.outputs.into_iter().map(|tensor| tensor.data).collect::<Vec<_>>(), all);
    assert_eq!(json_part(&[json.as_bytes(), &raw].concat()), Ok(json.as_bytes()));
    assert_eq!(json_part(br#"{"a":1}"#), Ok(&br#"{"a":1}"#[..]));
    assert!(json_part(b"nonsense").unwrap_err().to_string().starts_with("the answer is not JSON: line 1"));

    let one = |datatype: &str, size: usize, raw: &[u8]| {
        let json = format!(r#"{{"model_name":"m","outputs":[{}]}}"#, output("y", datatype, size));
        answer(&[json.as_bytes(), raw].concat()).map_err(|error| error.to_string())
    };
    let nan = one("FP32", 4, &f32::NAN.to_le_bytes()).unwrap();
    assert!(matches!(&nan.outputs[0].data, TensorData::Fp32(values) if values[0].is_nan()));
    for (datatype, size, raw, reason) in [
        ("FP32", 4, &[0; 3][..], "fewer raw bytes than it says"),
        ("FP32", usize::MAX, &[0; 4], "fewer raw bytes than it says"),
        ("FP32", 4, &[0; 5], "1 bytes follow the JSON and its raw tensors"),
        ("FP32", 3, &[0; 3], "its raw bytes are not elements of a data type"),
        ("FP32", 8, &[0; 8], "`outputs[0]` has 2 elements, which its shape does not count"),
        ("BOOL", 1, &[2], "its raw bytes are not elements"),
        ("FP16", 2, &[0; 2], "its raw bytes are not elements"),
    ] {
        let error = one(datatype, size, raw).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

/// What people bring instead of a request, and what they are told.
#[test]
fn a_file_that_is_no_request_is_told_what_is_wrong_with_it() {
    let input = |members: &str| format!(r#"{{"inputs":[{{"name":"x",{members}}}]}}"#).into_bytes();
    for (body, reason) in [
        (
            b"".to_vec(),
            "this is empty; a request of the Open Inference Protocol v2 is JSON like {\"inputs\": [{\"name\"",
        ),
        (b" \n".to_vec(), "this is empty"),
        (b"[[1,2,3]]".to_vec(), "this is a JSON array; a request"),
        (b"1.5,2.5\n3.5,4.5\n".to_vec(), "this is not JSON (CSV, perhaps, which is not read); a request"),
        (b"mean radius;mean texture\n".to_vec(), "CSV, perhaps"),
        (b"inputs: []".to_vec(), "this is not JSON; a request"),
        (b"\x93NUMPY\x01\0".to_vec(), "this is a NumPy file; a request"),
        (br#"{"instances":[[1,2]]}"#.to_vec(), "`inputs` is missing, and `instances` is protocol v1; this is the Open"),
        (br#"{"input":[]}"#.to_vec(), "`inputs` is missing; a request is JSON like"),
        (br#"{"inputs":[]}"#.to_vec(), "`inputs` is empty: a request carries at least one tensor"),
        (br#"{"inputs":{}}"#.to_vec(), "`inputs` is not an array of at most 1024 objects"),
        (br#"{"inputs":[["x",[1],"FP32",null,[1]]]}"#.to_vec(), "`inputs[0]` is not an object"),
        (br#"{"inputs":[{"shape":[1]}]}"#.to_vec(), "`inputs[0].name` is missing"),
        (br#"{"inputs":[{"name":7}]}"#.to_vec(), "`inputs[0].name` is not a string"),
        (input(r#""datatype":"FP32","data":[1]"#), "`inputs[0].shape` is missing"),
        (
            input(r#""shape":[-1,30],"datatype":"FP32","data":[1]"#),
            "`inputs[0].shape` holds a negative number; -1 stands",
        ),
        (input(r#""shape":[1.5],"datatype":"FP32","data":[1]"#), "`inputs[0].shape` holds something that is no whole"),
        (input(r#""shape":["1"],"datatype":"FP32","data":[1]"#), "`inputs[0].shape` holds something that is no whole"),
        (input(r#""shape":1,"datatype":"FP32","data":[1]"#), "`inputs[0].shape` is not an array"),
        (input(r#""shape":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],"datatype":"FP32""#), "has more than 16 dimensions"),
        (input(r#""shape":[1],"data":[1]"#), "`inputs[0].datatype` is missing"),
        (input(r#""shape":[1],"datatype":"float32","data":[1]"#), "`inputs[0].datatype` is none of BOOL, UINT8"),
        (input(r#""shape":[1],"datatype":"FP16","data":[1]"#), "FP16, BF16 and BYTES are not carried"),
        (input(r#""shape":[1],"datatype":"FP32""#), "`inputs[0]` has no `data`"),
        (input(r#""shape":[1],"datatype":"FP32","data":1"#), "`inputs[0].data` is not an array"),
        (input(r#""shape":[1],"datatype":"FP32","data":[NaN]"#), "column 62: NaN is not JSON; a tensor that holds one"),
        (input(r#""shape":[1],"datatype":"FP32","data":[-Infinity]"#), "Infinity is not JSON; a tensor that holds one"),
        (input(r#""shape":[1],"datatype":"FP32","data":[1"#), "it is not JSON"),
        (br#"{"inputs":[{"name":"#.to_vec(), "it ends too early"),
        (br#"{"inputs":[],"inputs":[]}"#.to_vec(), "a member is missing, repeated or of the wrong type"),
    ] {
        let error = check_request(&body).unwrap_err().to_string();
        assert!(error.contains(reason), "{}: {error}", String::from_utf8_lossy(&body));
    }
}
