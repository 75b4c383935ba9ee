//! `teegate infer` on the files that people have, and its answers as the files that they want.

use serde_json::Value;
use teegate_client::oip::{Tensor, TensorData};
use teegate_files::{npy, npz};
use teegate_tests::harness::{Enclave, Guest, MODEL, Scratch};

use crate::infer_command::{LOG, infer_from};
use crate::{Stage1, assert_is_expected_answer, sample};

/// The numbers of the sample.
fn features() -> Vec<f32> {
    let sample: Value = serde_json::from_slice(&sample()).unwrap();
    serde_json::from_value(sample["inputs"][0]["data"].clone()).unwrap()
}

fn line(numbers: &[f32]) -> String {
    numbers.iter().map(f32::to_string).collect::<Vec<_>>().join(",")
}

struct Given<'a> {
    stage: &'a Stage1,
    url: String,
    policy: String,
}

impl Given<'_> {
    async fn infer(&self, input: &str, standard_input: &[u8], more: &[&str]) -> (i32, String, String) {
        infer_from(self.stage, &self.url, &self.policy, input, standard_input, more).await
    }

    /// The path of a file that holds this.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.stage.scratch.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }
}

#[tokio::test]
async fn what_people_have_is_taken_as_it_is() {
    let stage = Stage1::set().await;
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let given = Given { stage: &stage, url: format!("http://{}", gateway.address), policy: stage.guest.policy() };
    let numbers = features();
    let titles = (0..30).map(|at| format!("\"feature, {at}\"")).collect::<Vec<_>>().join(",");
    let tensor = Tensor { name: "features".to_owned(), shape: vec![1, 30], data: TensorData::Fp32(numbers.clone()) };
    let raw = tensor.data.to_le_bytes().unwrap();

    let headed = given.file("headed.csv", format!("{titles}\r\n{}\r\n", line(&numbers)).as_bytes());
    let bare = given.file("bare.txt", line(&numbers).replace(',', ";").as_bytes());
    let array = given.file("array.npy", &npy::write(&tensor).unwrap());
    let archive = given.file("archive", &npz::write(&[tensor]).unwrap());
    let elements = given.file("elements.bin", &raw);
    let json = ["--format", "json"];
    for (input, more) in [
        (headed.as_str(), &[][..]),
        (&bare, &[]),
        (&array, &[]),
        (&format!("features={array}"), &[]),
        (&archive, &[]),
        (&elements, &["--shape", "-1,30"]),
        (&format!("features={elements}"), &["--input-format", "raw", "--shape", "features=1,30"]),
    ] {
        let (status, out, err) = given.infer(input, b"", &[&json, more].concat()).await;
        assert_eq!(status, 0, "{input}: {err}");
        assert_is_expected_answer(out.as_bytes());
    }
    let (status, out, err) = given.infer("-", format!("{}\n", line(&numbers)).as_bytes(), &json).await;
    assert_eq!(status, 0, "{err}");
    assert_is_expected_answer(out.as_bytes());

    // Two rows are two items.
    let (status, out, err) = given.infer("-", format!("{0}\n{0}\n", line(&numbers)).as_bytes(), &[]).await;
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("probabilities  FP32 [2, 2]\n  0.9999"), "{out}");

    let short = given.file("scan.csv", format!("{}\n", line(&numbers[..12])).as_bytes());
    let double = Tensor { name: String::new(), shape: vec![1, 30], data: TensorData::Fp64(vec![0.5; 30]) };
    let double = given.file("double.npy", &npy::write(&double).unwrap());
    let word = given.file("word.csv", format!("{}\n", line(&numbers).replacen("0.", "O.", 1)).as_bytes());
    for (input, more, reason) in [
        (
            short.as_str(),
            &[][..],
            "scan.csv is CSV: 1 rows of 12 columns; `features` of `breast-cancer` takes FP32 [any, 30]\n",
        ),
        (
            &double,
            &[],
            "double.npy holds FP64 [1, 30]; `features` of `breast-cancer` takes FP32 [any, 30]; save it with `.astype(\"float32\")`\n",
        ),
        (&word, &[], "word.csv: row 1, column "),
        (
            &elements,
            &[],
            "elements.bin holds 120 bytes; `features` of `breast-cancer` takes FP32 [any, 30]; say of which shape",
        ),
        (
            &elements,
            &["--shape", "1,31"],
            "elements.bin holds 30 elements, which `--shape 1,31` does not count; `features`",
        ),
        (&format!("nonsense={array}"), &[], "`breast-cancer` has no input `nonsense`; it takes `features`\n"),
    ] {
        let (status, out, err) = given.infer(input, b"", more).await;
        assert_eq!((status, out.as_str()), (1, ""), "{input}: {err}");
        let policy = stage.scratch.path().join("client-policy.toml");
        let shown = format!(
            "`teegate models --gateway {} --policy {} {MODEL}` shows what it takes\n",
            given.url,
            policy.display()
        );
        assert!(err.contains(reason) && err.contains(&shown), "{input}: {err}");
        assert!(err.ends_with("nothing of the input was sealed or sent\n"), "{input}: {err}");
    }
}

#[tokio::test]
async fn an_answer_becomes_a_file_that_is_whole_or_not_there() {
    let (scratch, folder) = (Scratch::new(), Scratch::new());
    std::fs::write(folder.path().join("model.onnx"), hex::decode(LOG).unwrap()).unwrap();
    let guest = Guest::start(&scratch, "guest", &[]).await;
    let enclave = Enclave::serving(&scratch, "enclave", &guest, MODEL, folder.path()).await;
    let stage = Stage1 { scratch, guest, enclave };
    let gateway = stage.gateway(&stage.enclave.address, "").await;
    let given = Given { stage: &stage, url: format!("http://{}", gateway.address), policy: stage.guest.policy() };
    let saved = |path: &std::path::Path| match npz::read(&std::fs::read(path).unwrap(), 1 << 20).unwrap().as_slice() {
        [(name, npy::Array { shape, data: TensorData::Fp32(values) })] => (name.clone(), shape.clone(), values.clone()),
        other => panic!("{other:?}"),
    };
    let path = folder.path().join("out.npz");
    let output = ["--output", path.to_str().unwrap()];
    let request = br#"{"inputs":[{"name":"x","shape":[3],"datatype":"FP32","data":[-1,0,1]}],"id":"a"}"#;
    for (input, standard_input) in [("-", &b"-1\n0\n1\n"[..]), ("-", request)] {
        let (status, out, err) = given.infer(input, standard_input, &output).await;
        assert_eq!(status, 0, "{err}");
        let told = format!("written    to {}\ny  FP32 [3]\n", path.display());
        assert!(out.contains("execution receipt verified") && out.ends_with(&told), "{out}");
        let (name, shape, values) = saved(&path);
        assert_eq!((name.as_str(), shape.as_slice()), ("y", &[3][..]));
        assert!(values[0].is_nan() && values[1..] == [f32::NEG_INFINITY, 0.0], "{values:?}");
        std::fs::write(&path, "of another run").unwrap();
    }

    // JSON has no words for these: the file stays what it was, and the way out is named.
    let json = folder.path().join("out.json");
    std::fs::write(&json, "of another run").unwrap();
    let output = ["--output", json.to_str().unwrap()];
    let (status, out, err) = given.infer("-", b"-1\n0\n1\n", &output).await;
    assert_eq!((status, out.as_str()), (5, ""), "{err}");
    assert!(err.contains("(status 406)") && err.contains("comes with `--format text` or `--output FILE.npz`"), "{err}");
    assert_eq!(std::fs::read_to_string(&json).unwrap(), "of another run");
    let (status, _, err) = given.infer("-", b"1\n", &output).await;
    assert_eq!(status, 0, "{err}");
    let answer: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert_eq!((&answer["outputs"][0]["name"], &answer["outputs"][0]["data"][0]), (&"y".into(), &0.0.into()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "nothing is left beside them");

    // What cannot be written is told before anything is sent, and shown if it turns out later.
    let nowhere = Given { url: "http://127.0.0.1:1".to_owned(), policy: stage.guest.policy(), ..given };
    let (status, _, err) = nowhere.infer("-", b"1\n", &["--output", "/no/such/out.npz"]).await;
    assert!(
        status == 1 && err.contains("error: `/no/such/out.npz` cannot be written") && !err.contains("gateway"),
        "{err}"
    );
    let given = Given { url: format!("http://{}", gateway.address), ..nowhere };
    let (status, out, err) = given.infer("-", b"1\n", &["--output", "/dev/full", "--format", "npz"]).await;
    assert_eq!(status, 1, "{err}");
    assert!(out.ends_with("y  FP32 [1]\n  0\n") && err.contains("`/dev/full` cannot be written"), "{out} {err}");
    let kept = err.trim_end().split_once("; the whole answer is in `").and_then(|(_, path)| path.strip_suffix('`'));
    let kept = std::path::Path::new(kept.unwrap_or_else(|| panic!("{err}")));
    assert_eq!(saved(kept), ("y".to_owned(), vec![1], vec![0.0]));
    std::fs::remove_file(kept).unwrap();
}
