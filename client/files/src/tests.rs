//! Files against what models take.

use teegate_client::oip::{Metadata, Tensor, TensorData};

use super::*;

fn metadata(inputs: &str) -> Metadata {
    Metadata::parse(format!(r#"{{"name":"m","inputs":[{inputs}],"outputs":[]}}"#).as_bytes()).unwrap()
}

/// A model with these inputs: name, data type, shape.
fn takes(inputs: &[(&str, &str, &str)]) -> Metadata {
    let one = |(name, datatype, shape): &(&str, &str, &str)| {
        format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape}}}"#)
    };
    metadata(&inputs.iter().map(one).collect::<Vec<_>>().join(","))
}

fn source(file: &str, bytes: &[u8], shape: Option<&[i64]>) -> Result<Source, FileError> {
    let (input, name) = file.split_once('=').map_or((None, file), |(input, name)| (Some(input.to_owned()), name));
    let format = Format::recognise(name, bytes)?;
    let reading = Reading { shape: shape.map(<[i64]>::to_vec), ..Reading::default() };
    Source::read(name, input, format, bytes.to_vec(), &reading, 1 << 20)
}

/// A file's name, with its input's before it perhaps; what it holds; the shape that is asked for.
type Given<'a> = (&'a str, &'a [u8], Option<&'a [i64]>);

fn fitted(files: &[Given<'_>], metadata: &Metadata) -> Result<Vec<Tensor>, String> {
    let sources: Result<Vec<_>, _> = files.iter().map(|(file, bytes, shape)| source(file, bytes, *shape)).collect();
    sources.and_then(|sources| fit(sources, metadata)).map_err(|error| error.to_string())
}

fn tensor(name: &str, shape: &[u64], data: TensorData) -> Tensor {
    Tensor { name: name.to_owned(), shape: shape.to_vec(), data }
}

#[track_caller]
fn refused(files: &[Given<'_>], metadata: &Metadata, reason: &str) {
    let error = fitted(files, metadata).unwrap_err();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn a_table_is_the_one_input_of_a_model() {
    let of = |text: &str, shape: Option<&[i64]>, model: &Metadata| fitted(&[("x.csv", text.as_bytes(), shape)], model);
    let rows = takes(&[("features", "FP32", "[-1,2]")]);
    let expected = tensor("features", &[2, 2], TensorData::Fp32(vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(of("a,b\n1,2\n3,4\n", None, &rows), Ok(vec![expected.clone()]));
    assert_eq!(of("1,2\n3,4\n", None, &rows), Ok(vec![expected]));
    let image = takes(&[("image", "UINT8", "[-1,1,2,2]")]);
    let expected = tensor("image", &[1, 1, 2, 2], TensorData::Uint8(vec![1, 2, 3, 4]));
    assert_eq!(of("1,2,3,4\n", None, &image), Ok(vec![expected.clone()]));
    assert_eq!(of("1,2\n3,4\n", Some(&[-1, 1, 2, 2]), &image), Ok(vec![expected]));
    let any = metadata(r#"{"name":"x","datatype":"INT64","shape":[-1],"parameters":{"any_rank":true}}"#);
    assert_eq!(of("1,2\n", None, &any), Ok(vec![tensor("x", &[1, 2], TensorData::Int64(vec![1, 2]))]));
    let text = takes(&[("text", "BYTES", "[-1,1]")]);
    let expected = tensor("text", &[2, 1], TensorData::Bytes(vec![b"one, two".to_vec(), b"three".to_vec()]));
    assert_eq!(of("text\n\"one, two\"\nthree\n", None, &text), Ok(vec![expected]));

    for (words, shape, model, reason) in [
        ("a,b,c\n1,2,3\n", None, &rows, "x.csv is CSV: 1 rows of 3 columns; `features` of `m` takes FP32 [any, 2]"),
        (",a,b\n0,1,2\n", None, &rows, "takes FP32 [any, 2]; column 1 has no title and may be an index"),
        ("a,b\n", None, &rows, "x.csv is CSV: a header and no row below it; `features`"),
        ("a,b\n1,x\n", None, &rows, "x.csv: row 2, column 2 (`b`): it is no number"),
        ("1,2\n3\n", None, &rows, "x.csv: row 2 has 1 cells"),
        ("1,2,3\n", Some(&[2, 2][..]), &image, "holds 3 elements, which `--shape 2,2` does not count"),
        (
            "1,2,3,4\n",
            Some(&[2, 2][..]),
            &image,
            "; `image` of `m` takes UINT8 [any, 1, 2, 2], and `--shape` says another",
        ),
        ("1,2,3,256\n", None, &image, "x.csv: row 1, column 4: it is out of range"),
    ] {
        refused(&[("x.csv", words.as_bytes(), shape)], model, reason);
    }
    let unknown = takes(&[("x", "FP8", "[-1,2]")]);
    refused(&[("x.csv", b"1,2\n", None)], &unknown, "takes FP8 [any, 2], which this client does not know");
}

#[test]
fn a_table_names_the_inputs_of_a_model_that_has_several() {
    let model = takes(&[("age", "INT64", "[-1,1]"), ("name", "BYTES", "[-1]"), ("bmi", "FP32", "[-1,1]")]);
    let text = b"name,age,bmi\n\"Doe, J\",41,20.5\nRoe,7,NaN\n";
    let tensors = fitted(&[("x.csv", text, None)], &model).unwrap();
    assert_eq!(tensors[0], tensor("age", &[2, 1], TensorData::Int64(vec![41, 7])));
    assert_eq!(tensors[1], tensor("name", &[2], TensorData::Bytes(vec![b"Doe, J".to_vec(), b"Roe".to_vec()])));
    assert!(matches!(&tensors[2].data, TensorData::Fp32(v) if v[0] == 20.5 && v[1].is_nan()));
    for (text, reason) in [
        ("41,Doe,20.5\n", "row 1 has to name the columns so"),
        ("age,name,bmi,label\n1,a,2,x\n", "`m` has no input `label`, as a column is called; leave that out"),
        ("age,name\n1,a\n", "no column is called `bmi`, which `m` takes (FP32 [any, 1])"),
        ("age,name,age,bmi\n1,a,2,3\n", "two columns are called `age`"),
        ("age,name,bmi\n1.5,a,2\n", "x.csv: row 2, column 1 (`age`): it is no whole number"),
    ] {
        refused(&[("x.csv", text.as_bytes(), None)], &model, reason);
    }
    refused(&[("x.csv", text, Some(&[2, 3]))], &model, "`--shape` is for a file of one");
    let wide = takes(&[("age", "INT64", "[-1,2]"), ("bmi", "FP32", "[-1,1]")]);
    let reason = "x.csv is CSV: a column of 1 rows; `age` of `m` takes INT64 [any, 2]";
    refused(&[("x.csv", b"age,bmi\n1,2\n", None)], &wide, reason);
}

#[test]
fn arrays_are_taken_by_name_and_nothing_is_converted() {
    let model = takes(&[("features", "FP32", "[-1,2]"), ("age", "INT64", "[-1]")]);
    let features = tensor("features", &[1, 2], TensorData::Fp32(vec![1.5, -2.0]));
    let age = tensor("age", &[1], TensorData::Int64(vec![41]));
    let both = Ok(vec![features.clone(), age.clone()]);
    let (stored, deflated) =
        (include_bytes!("../tests/numpy/stored.npz"), include_bytes!("../tests/numpy/deflated.npz"));
    assert_eq!(fitted(&[("x.npz", stored, None)], &model), both);
    assert_eq!(fitted(&[("x", deflated, None)], &model), both);
    let files = [npy::write(&features).unwrap(), b"age\n41\n".to_vec()];
    assert_eq!(fitted(&[("features=f.npy", &files[0], None), ("age=a.csv", &files[1], None)], &model), both);

    let one = takes(&[("features", "FP32", "[-1,2]")]);
    let unnamed = include_bytes!("../tests/numpy/unnamed.npz");
    assert_eq!(fitted(&[("x.npz", unnamed, None)], &one), Ok(vec![features.clone()]));
    assert_eq!(fitted(&[("features=x.npz", unnamed, None)], &one), Ok(vec![features.clone()]));
    assert_eq!(fitted(&[("f.npy", &files[0], None)], &one), Ok(vec![features.clone()]));

    let twice = fitted(&[("features=f.npy", &files[0], None), ("x.npz", stored, None)], &model).unwrap_err();
    assert_eq!(twice, "x.npz: `features` has its values from f.npy already");
    let reason = "`m` takes `age` INT64 [any] too, and nothing is given for it (`--input NAME=FILE`)";
    refused(&[("features=f.npy", &files[0], None)], &model, reason);
    refused(&[("f.npy", &files[0], None)], &model, "f.npy: `m` takes several inputs: `features`, `age`; say which");
    refused(&[("nope=f.npy", &files[0], None)], &model, "f.npy: `m` has no input `nope`; it takes `features`, `age`");
    refused(&[("x.npz", stored, None)], &one, "x.npz: `m` has no input `age`; it takes `features`");
    refused(&[("age=x.npz", stored, None)], &model, "x.npz: the names of its arrays are those of the inputs");
    let double = npy::write(&tensor("x", &[1, 2], TensorData::Fp64(vec![1.5, 2.0]))).unwrap();
    let reason = "f.npy holds FP64 [1, 2]; `features` of `m` takes FP32 [any, 2]; save it with `.astype(\"float32\")`";
    assert_eq!(fitted(&[("f.npy", &double, None)], &one), Err(reason.to_owned()));
    let flat = npy::write(&tensor("x", &[4], TensorData::Fp32(vec![1.0; 4]))).unwrap();
    refused(&[("f.npy", &flat, None)], &one, "f.npy holds FP32 [4]; `features` of `m` takes FP32 [any, 2]");
    assert_eq!(fitted(&[("f.npy", &flat, Some(&[-1, 2]))], &one).unwrap()[0].shape, [2, 2]);
}

#[test]
fn raw_elements_are_of_the_models_type_and_of_a_shape_that_is_known() {
    let image = takes(&[("image", "FP16", "[-1,2]")]);
    let raw = [0x00, 0x3C, 0x00, 0xC0];
    let expected = tensor("image", &[1, 2], TensorData::Fp16(vec![0x3C00, 0xC000]));
    assert_eq!(fitted(&[("x.bin", &raw, Some(&[1, 2]))], &image), Ok(vec![expected.clone()]));
    assert_eq!(fitted(&[("x.bin", &raw, None)], &takes(&[("image", "FP16", "[1,2]")])), Ok(vec![expected]));
    refused(
        &[("x.bin", &raw, None)],
        &image,
        "x.bin holds 4 bytes; `image` of `m` takes FP16 [any, 2]; say of which shape",
    );
    refused(&[("x.bin", &raw[..3], Some(&[1, 2]))], &image, "holds 3 bytes, which are not elements of FP16; `image`");
    refused(&[("x.bin", &raw, Some(&[2, 2]))], &image, "x.bin holds 2 elements, which `--shape 2,2` does not count");
    let fixed = takes(&[("image", "FP16", "[3]")]);
    refused(&[("x.bin", &raw, None)], &fixed, "x.bin holds 4 bytes, 2 elements, which [3] does not count; `image`");
    let text = takes(&[("text", "BYTES", "[1]")]);
    let bytes = [2, 0, 0, 0, b'a', b'b'];
    assert_eq!(fitted(&[("x.bin", &bytes, None)], &text).unwrap()[0].data, TensorData::Bytes(vec![b"ab".to_vec()]));
    refused(&[("x.bin", &bytes[..5], None)], &text, "each of its elements follows its length, four bytes");
}

#[test]
fn an_archive_comes_out_bounded_and_its_damage_is_named() {
    let bomb = include_bytes!("../tests/numpy/bomb.npz");
    assert!(bomb.len() < 4096, "{}", bomb.len());
    assert!(npz::read(bomb, 2 << 20).is_ok());
    let reason = "what it holds is more than 1048576 bytes, which is more than is read";
    assert_eq!(npz::read(bomb, 1 << 20).unwrap_err().to_string(), reason);
    // It is not inflated to its end, where its checksum would be looked at.
    let mut damaged = bomb.to_vec();
    let directory = bomb.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    damaged[directory + 16] ^= 1;
    assert_eq!(npz::read(&damaged, 1 << 20).unwrap_err().to_string(), reason);
    let whole = npz::read(&damaged, 2 << 20).unwrap_err().to_string();
    assert!(whole.contains("this is no zip archive that can be read"), "{whole}");
    let other = npz::read(include_bytes!("../tests/numpy/other.npz"), 1 << 20).unwrap_err().to_string();
    assert!(other.contains("its member `readme.txt` is no `.npy`"), "{other}");
    let stored = include_bytes!("../tests/numpy/stored.npz");
    for end in 0..stored.len() {
        assert!(npz::read(&stored[..end], 1 << 20).is_err(), "{end}");
    }
    // A bit of the elements, which the checksum covers.
    let mut damaged = stored.to_vec();
    let at = stored.windows(4).position(|bytes| bytes == 1.5_f32.to_le_bytes()).unwrap();
    damaged[at] ^= 1;
    let error = npz::read(&damaged, 1 << 20).unwrap_err().to_string();
    assert!(error.starts_with("its member `features.npy`: this is no zip archive that can be read"), "{error}");
    let none = npz::write(&[]).unwrap();
    assert_eq!(npz::read(&none, 1 << 20).unwrap_err().to_string(), "it has no member");
}

#[test]
fn what_is_written_as_an_archive_is_read_again() {
    let tensors = [
        tensor("y", &[2], TensorData::Fp32(vec![f32::NAN, 1.0])),
        tensor("a/b", &[], TensorData::Bool(vec![true])),
        tensor("../z", &[1], TensorData::Bytes(vec![b"benign".to_vec()])),
    ];
    let read = npz::read(&npz::write(&tensors).unwrap(), 1 << 20).unwrap();
    let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["y", "a/b", "_.._z"]);
    assert!(matches!(&read[0].1.data, TensorData::Fp32(v) if v[0].is_nan()));
    assert_eq!((&read[1].1.data, &read[2].1.data), (&tensors[1].data, &tensors[2].data));
}

#[test]
fn a_request_is_no_source_and_nothing_of_a_file_is_in_debug() {
    let error = source("x.json", b"{}", None).unwrap_err().to_string();
    assert_eq!(error, "x.json: a request in JSON is whole by itself; give it alone and without a name");
    let shaped = source("x.npz", include_bytes!("../tests/numpy/stored.npz"), Some(&[1])).unwrap_err().to_string();
    assert!(shaped.starts_with("x.npz: each array of an archive has a shape"), "{shaped}");
    let said = format!("{:?} {:?}", source("x.csv", b"title\n41417\n", None), source("x.bin", b"41417", None));
    assert!(!said.contains("41417") && !said.contains("title") && said.contains("5 bytes"), "{said}");
}
