//! A canary where errors and `Debug` would repeat it: whoever logs what this crate says logs nothing of a request or an answer.

use std::fmt::{Debug, Display};

use teegate_client::oip::{self, Tensor, TensorData};
use teegate_client::{AnswerError, Error, Problem, ProblemKind, Request, Response};

use crate::fake::{Act, Fake, Script, Spoil, settings};

const CANARY: &str = "canary-7f3a91c2e5";
const NUMBER: &str = "24631739517395";

#[track_caller]
fn assert_silent(words: &str) {
    for canary in [CANARY, NUMBER, "[99, 97, 110, 97, 114, 121"] {
        assert!(!words.contains(canary), "{canary} was said: {words}");
    }
}

#[track_caller]
fn assert_error_silent<E: Debug + Display>(error: &E) {
    assert_silent(&format!("{error} {error:?} {error:#?}"));
}

/// Text where a number belongs, a number where text belongs: serde's own words repeat both.
#[test]
fn an_error_about_tensors_repeats_nothing_of_them() {
    let repeated = serde_json::from_str::<Vec<u64>>(&format!(r#"["{CANARY}"]"#)).unwrap_err();
    assert!(repeated.to_string().contains(CANARY), "or else this test shows nothing: {repeated}");

    let input = |member: &str| format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32",{member}}}]}}"#);
    for (body, told) in [
        (format!(r#"{{"inputs":"{CANARY}"}}"#), "`inputs` is not an array"),
        (format!(r#"{{"inputs":{NUMBER}}}"#), "`inputs` is not an array"),
        (CANARY.to_owned(), "this is not JSON"),
        (format!("{CANARY},{NUMBER}"), "CSV"),
        (format!(r#"{{"inputs":["{CANARY}"]}}"#), "`inputs[0]` is not an object"),
        (input(&format!(r#""shape":["{CANARY}"],"data":[]"#)), "no whole number"),
        (input(&format!(r#""shape":[-{NUMBER}],"data":[]"#)), "a negative number"),
        (input(r#""shape":[1],"data":[]"#).replace("FP32", CANARY), "`inputs[0].datatype` is none of"),
        (input(&format!(r#""shape":[1],"data":"{CANARY}""#)), "`inputs[0].data` is not an array"),
        (
            input(r#""shape":[1],"data":[]"#).replacen('{', &format!(r#"{{"parameters":["{CANARY}"],"#), 1),
            "`parameters` is not",
        ),
        (input(r#""shape":[1]"#).replace("\"x\"", &format!("\"{CANARY}\"")), "`inputs[0]` has no `data`"),
        (format!(r#"{{"inputs":[{{"{CANARY}":"#), "ends too early"),
    ] {
        let error = oip::check_request(body.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(told), "{error}");
        assert_error_silent(&error);
    }

    let output = |name: &str, shape: &str, datatype: &str, data: &str| {
        format!(
            r#"{{"model_name":"m","outputs":[{{"name":"{name}","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#
        )
    };
    let metadata = format!(r#"{{"name":"m","inputs":["{CANARY}",{NUMBER}],"outputs":[]}}"#);
    assert_error_silent(&oip::Metadata::parse(metadata.as_bytes()).unwrap_err());
    for body in [
        format!(r#"{{"model_name":{NUMBER},"outputs":[]}}"#),
        output("y", "[1]", "BYTES", &format!(r#"["{CANARY}",{NUMBER}]"#)),
        output(CANARY, "[1]", "FP32", &format!(r#"["{CANARY}"]"#)),
        output("y", "[1]", "UINT8", &format!("[{NUMBER}]")),
        output("y", "[1]", CANARY, "[1]"),
        output("y", &format!(r#"["{CANARY}"]"#), "FP32", "[1]"),
        output(CANARY, &format!("[{NUMBER}]"), "FP32", "[1]"),
    ] {
        assert_error_silent(&oip::answer(body.as_bytes()).unwrap_err());
    }

    let input =
        Tensor { name: CANARY.to_owned(), shape: vec![NUMBER.parse().unwrap()], data: TensorData::Fp32(vec![]) };
    assert_error_silent(&oip::request(&[input]).unwrap_err());
}

#[test]
fn debug_says_lengths_and_nothing_of_what_is_sealed() {
    let mut request = Request::new("POST", CANARY, &format!("/{CANARY}"));
    request.fields.push(CANARY, CANARY).unwrap();
    request.trailers.push("x", CANARY).unwrap();
    request.content = CANARY.as_bytes().to_vec();
    let said = format!("{request:?} {request:#?} {:?}", request.fields.iter().collect::<Vec<_>>());
    assert_silent(&said);
    assert!(said.contains("content_bytes: 17"), "{said}");

    let mut response = Response::new(200);
    response.fields = request.fields.clone();
    response.content = request.content.clone();
    let said = format!("{response:?} {response:#?}");
    assert_silent(&said);
    assert!(said.contains("status: 200") && said.contains("content_bytes: 17"), "{said}");

    let number: u64 = NUMBER.parse().unwrap();
    let tensor = Tensor { name: CANARY.to_owned(), shape: vec![number], data: TensorData::Uint64(vec![number]) };
    let answer = oip::Inference {
        model_name: CANARY.to_owned(),
        model_version: Some(CANARY.to_owned()),
        outputs: vec![tensor.clone()],
    };
    let text = Tensor { data: TensorData::Bytes(vec![CANARY.as_bytes().to_vec()]), ..tensor.clone() };
    let json = format!(
        r#"{{"name":"{CANARY}","inputs":[{{"name":"{CANARY}","datatype":"{CANARY}","shape":[{NUMBER}]}}],"outputs":[]}}"#
    );
    let metadata = oip::Metadata::parse(json.as_bytes()).unwrap();
    let said = format!("{tensor:?} {answer:?} {answer:#?} {text:?} {metadata:?} {:?}", metadata.inputs);
    assert_silent(&said);
    assert!(said.contains("Tensor(1 dimensions, 1 UINT64)"), "{said}");
}

#[tokio::test]
async fn what_came_out_of_the_seal_is_in_no_message_and_in_no_debug_output() {
    fn decline(response: &mut Response) {
        response.status = 400;
        response.content = format!(r#"{{"error":"no input is called {CANARY}"}}"#).into_bytes();
    }
    fn refuse(response: &mut Response) {
        let problem = Problem::new(ProblemKind::BadRequest).with_detail(format!("`/{CANARY}` is no path"));
        response.status = problem.status();
        response.content = problem.to_json();
        response.fields.push("content-type", "application/problem+json").unwrap();
    }
    let script = Script::new(Fake::new(), [Act::Answer(Spoil::Refusal(decline)), Act::Answer(Spoil::Refusal(refuse))]);
    let client = script.connect(settings()).await.unwrap();
    let body =
        format!(r#"{{"id":"{CANARY}","inputs":[{{"name":"x","shape":[1],"datatype":"INT64","data":[{NUMBER}]}}]}}"#);
    let error = client.infer_json(body.clone().into_bytes()).await.unwrap_err();
    assert_error_silent(&error);
    let Error::Answer(AnswerError::Declined { status: 400, message }) = &error else { panic!("{error}") };
    assert!(message.as_str().contains(CANARY), "whoever asks for the words gets them");

    let error = client.infer_json(body.clone().into_bytes()).await.unwrap_err();
    assert_error_silent(&error);
    let Error::Remote(remote) = &error else { panic!("{error}") };
    assert!(remote.words.as_ref().is_some_and(|words| words.as_str().contains(CANARY)), "likewise");

    let reply = client.infer_json(body.into_bytes()).await.unwrap();
    let said = format!("{reply:?} {reply:#?}");
    assert!(!said.contains("0.5") && !said.contains("[48, 46, 53"), "{said}");
    assert!(said.contains("content_bytes"), "{said}");
}
