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
    let read = answer(answer_of("[2]", "BYTES", r#"["benign","\u00fc\u0000"]"#).as_bytes()).unwrap();
    assert_eq!(read.outputs[0].data, TensorData::Bytes(vec![b"benign".to_vec(), b"\xc3\xbc\0".to_vec()]));
    for (shape, datatype, data, reason) in [
        ("[1,3]", "FP32", "[0.25,3]", "does not count"),
        ("[1,2]", "FP32", "[[0.25,3]]", "flat array"),
        ("[1,2]", "BYTES", "[\"a\",1]", "flat array"),
        ("[1,2]", "FP16", "[1,2]", "`outputs[0]`: FP16 travels as raw bytes only"),
        ("[1,2]", "BF16", "[1,2]", "`outputs[0]`: BF16 travels as raw bytes only"),
        ("[1,2]", "float", "[1,2]", "`outputs[0].datatype` is none of BOOL"),
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
        TensorData::Fp16(vec![0x7C01]),
        TensorData::Bf16(vec![0xFF80]),
        TensorData::Fp32(vec![f32::NEG_INFINITY]),
        TensorData::Fp64(vec![f64::INFINITY]),
        TensorData::Bytes(vec![b"\xff\0".to_vec()]),
    ];
    assert_eq!(all.clone().map(|data| data.datatype()), Datatype::ALL);
    let outputs: Vec<String> =
        all.iter().map(|data| output("y", data.datatype().name(), data.to_le_bytes().unwrap().len())).collect();
    let json = format!(r#"{{"model_name":"m","outputs":[{}]}}"#, outputs.join(","));
    let raw: Vec<u8> = all.iter().flat_map(|data| data.to_le_bytes().unwrap()).collect();
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
        ("FP32", 3, &[0; 3], "its raw bytes are not elements of its data type"),
        ("FP32", 8, &[0; 8], "`outputs[0]` has 2 elements, which its shape does not count"),
        ("BOOL", 1, &[2], "its raw bytes are not elements"),
        ("FP16", 3, &[0; 3], "its raw bytes are not elements"),
        ("FP8", 1, &[0; 1], "`outputs[0].datatype` is none of BOOL"),
        ("BYTES", 3, &[0; 3], "its raw bytes are not elements"),
        ("BYTES", 4, &[1, 0, 0, 0], "its raw bytes are not elements"),
        ("BYTES", 5, &[0xFF, 0xFF, 0xFF, 0xFF, 0], "its raw bytes are not elements"),
        ("BYTES", 8, &[0; 8], "`outputs[0]` has 2 elements, which its shape does not count"),
    ] {
        let error = one(datatype, size, raw).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn every_data_type_goes_out_as_it_came_in() {
    let of = |data: TensorData| Tensor { name: "x".to_owned(), shape: vec![data.len() as u64], data };
    let mut all: Vec<TensorData> = Datatype::ALL
        .into_iter()
        .map(|datatype| TensorData::from_le_bytes(datatype, &vec![1; datatype.size().unwrap_or(0)]).unwrap())
        .collect();
    all.push(TensorData::Bytes(vec![b"".to_vec(), "\u{1f600}".as_bytes().to_vec()]));
    all.push(TensorData::Bytes(vec![b"\xff".to_vec()]));
    all.push(TensorData::Fp16(vec![]));
    let inputs: Vec<Tensor> = all.into_iter().map(of).collect();
    for raw_inputs in [false, true] {
        let body = request_with(&inputs, &Options { raw_inputs, ..Options::default() }).unwrap();
        let outline = check_request(&body).unwrap();
        let json = String::from_utf8(body[..outline.json_length.unwrap()].to_vec()).unwrap();
        // The answer's form is the request's.
        let json = json.replace("{\"inputs\"", "{\"model_name\":\"m\",\"outputs\"");
        let read = answer(&[json.as_bytes(), &body[outline.json_length.unwrap()..]].concat()).unwrap();
        assert_eq!(read.outputs, inputs);
        assert_eq!(json.matches("binary_data_size").count(), if raw_inputs { inputs.len() - 1 } else { 4 }, "{json}");
    }
    // One without elements has no raw bytes, and is no JSON either.
    let nothing = request_with(&inputs[inputs.len() - 1..], &Options::default()).unwrap();
    let outline = Outline { json_length: Some(nothing.len()), asks_for_raw_outputs: false };
    assert_eq!(check_request(&nothing), Ok(outline));
}

#[test]
fn a_program_asks_for_the_outputs_that_it_wants_as_it_wants_them() {
    let of = |raw_outputs, outputs: &[&str]| {
        let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
        let options = Options { raw_inputs: false, raw_outputs, outputs };
        String::from_utf8(request_with(&[fp32(&[1], &[0.5])], &options).unwrap()).unwrap()
    };
    let inputs = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[0.5]}]"#;
    assert_eq!(of(false, &[]), format!("{inputs}}}"));
    let named =
        format!(r#"{inputs},"outputs":[{{"name":"y"}},{{"name":"z"}}],"parameters":{{"binary_data_output":true}}}}"#);
    assert_eq!(of(true, &["y", "z"]), named);
    assert!(check_request(named.as_bytes()).unwrap().asks_for_raw_outputs);
}

#[test]
fn a_request_is_made_to_ask_for_raw_outputs_unless_it_says_itself() {
    let inputs = r#""inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]"#;
    let asking = |body: &str| {
        let body = [body.as_bytes(), &[0xFF, 1, 2, 3]].concat();
        let asking = ask_for_raw_outputs(&body).unwrap();
        (asking.ends_with(&[0xFF, 1, 2, 3]), check_request(&asking).unwrap().asks_for_raw_outputs, asking == body)
    };
    assert_eq!(asking(&format!("{{{inputs}}}")), (true, true, false));
    assert_eq!(asking(&format!(r#"{{{inputs},"parameters":{{"priority":1}},"id":"a"}}"#)), (true, true, false));
    assert_eq!(asking(&format!(r#"{{{inputs},"parameters":{{"binary_data_output":true}}}}"#)), (true, true, true));
    assert_eq!(asking(&format!(r#"{{{inputs},"parameters":{{"binary_data_output":false}}}}"#)), (true, false, true));
    let refused = ask_for_raw_outputs(b"[]").unwrap_err().to_string();
    assert_eq!(refused, check_request(b"[]").unwrap_err().to_string(), "for the same reason");
}

#[test]
fn metadata_says_what_a_model_takes() {
    let body = |tensor: &str| {
        format!(r#"{{"name":"m","versions":["1"],"platform":"onnx_onnxv1","inputs":[{tensor}],"outputs":[]}}"#)
            .into_bytes()
    };
    let of = |tensor: &str| Metadata::parse(&body(tensor)).map(|mut metadata| metadata.inputs.remove(0));
    let features = of(r#"{"name":"x","datatype":"FP32","shape":[-1,30],"parameters":{"later":1}}"#).unwrap();
    assert_eq!((features.to_string().as_str(), features.known_datatype()), ("FP32 [any, 30]", Some(Datatype::Fp32)));
    for (shape, fits) in [(&[2, 30][..], true), (&[0, 30], true), (&[30], false), (&[1, 31], false), (&[], false)] {
        assert_eq!(features.takes_shape(shape), fits, "{shape:?}");
    }
    let any = of(r#"{"name":"x","datatype":"FP8","shape":[-1],"parameters":{"any_rank":true}}"#).unwrap();
    assert_eq!((any.to_string().as_str(), any.known_datatype()), ("FP8 of any shape", None));
    assert!(any.takes_shape(&[]) && any.takes_shape(&[1, 2]));
    for (wrong, reason) in [
        (body(r#"["x","FP32",[1]]"#), "a member is missing, repeated or of the wrong type"),
        (body(r#"{"name":"x","datatype":"FP32"}"#), "a member is missing"),
        (b"{}".to_vec(), "a member is missing"),
        (b"[]".to_vec(), "of the wrong type"),
        (b"nonsense".to_vec(), "it is not JSON"),
    ] {
        let error = Metadata::parse(&wrong).unwrap_err().to_string();
        let place = "the metadata is not what the Open Inference Protocol v2 says: line 1, column ";
        assert!(error.starts_with(place) && error.contains(reason), "{error}");
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
        (b"1.5,2.5\n3.5,4.5\n".to_vec(), "this is not JSON (CSV, perhaps); a request"),
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
        (
            input(r#""shape":[1],"datatype":"FP16","data":[1]"#),
            "`inputs[0]`: FP16 has no form in JSON; its elements travel as raw bytes",
        ),
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
