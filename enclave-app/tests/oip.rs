//! The Open Inference Protocol, version 2, requirement by requirement (`inference_rest.md` and the binary tensor extension),
//! at the real program: models of a folder, several versions of one, a blob and an image layout.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what a test expects and does not find should end it, in its helper functions too"
)]

#[path = "support/enclave.rs"]
mod enclave;
#[path = "support/library.rs"]
mod library;
#[path = "support/models.rs"]
mod models;

use enclave::{Connection, Enclave, Folder, Guest, program};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use teegate_encoding::hex;
use teegate_protocol::bhttp::{Request, Response};
use teegate_protocol::manifest::ManifestBytes;

/// A folder of models, and beside it a blob and an image layout.
fn write_models(folder: &Folder) -> [String; 3] {
    for (place, model) in [
        ("add/1", models::add()),
        ("add/9", models::add_with_default()),
        ("add/10", models::scalar()),
        ("any/1", models::any_rank()),
        ("joined/1", models::joined()),
        ("halves/1", models::halves()),
        ("identities/1", models::identities()),
        ("log/1", models::log()),
        ("several/3", models::several()),
    ] {
        folder.write(&format!("models/{place}/model.onnx"), model);
    }
    folder.write("models/add/config.pbtxt", "version_policy: { latest { num_versions: 1 } }");
    let add = models::add();
    let digits = hex::encode(Sha256::digest(&add));
    let blob = folder.write(&format!("blobs/sha256/{digits}"), &add);
    // As `oras push --oci-layout image:v1 model.onnx:application/onnx` leaves it.
    let layer = json!({"mediaType": "application/onnx", "digest": format!("sha256:{digits}"), "size": add.len(),
        "annotations": {"org.opencontainers.image.title": "model.onnx"}});
    folder.write(&format!("image/blobs/sha256/{digits}"), &add);
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let empty = json!({"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"});
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": empty, "layers": [layer]}).to_string();
    let manifest_digits = hex::encode(Sha256::digest(&manifest));
    folder.write(&format!("image/blobs/sha256/{manifest_digits}"), &manifest);
    let index = json!({"schemaVersion": 2, "manifests": [{"mediaType": kind, "size": manifest.len(),
        "digest": format!("sha256:{manifest_digits}"), "annotations": {"org.opencontainers.image.ref.name": "v1"}}]});
    folder.write("image/index.json", index.to_string());
    folder.write("image/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    [blob.to_str().unwrap().to_owned(), folder.0.join("image").to_str().unwrap().to_owned(), digits]
}

fn configuration(folder: &Folder, library: &std::path::Path, guest: &str) -> String {
    let [blob, image, digits] = write_models(folder);
    let models = folder.0.join("models");
    format!(
        "listen = \"127.0.0.1:0\"\nonnxruntime = {library:?}\nmodel_repository = {models:?}\n\
         [attester]\nsource = \"coco\"\ncoco_url = \"{guest}\"\n\
         [[models]]\nname = \"blob\"\nversion = \"beta\"\npath = {blob:?}\n\
         [[models]]\nname = \"image\"\nversion = \"1\"\npath = {image:?}\noci_manifest = \"v1\"\nsha256 = \"{digits}\"\n\
         [limits]\nspare_workers = 0\n"
    )
}

struct Caller {
    connection: Connection,
    manifest: ManifestBytes,
    _enclave: Enclave,
    _guest: Guest,
}

impl Caller {
    async fn start() -> Option<Self> {
        let library = library::library()?;
        let guest = Guest::start().await;
        let folder = Folder::new();
        let config = configuration(&folder, &library, &guest.url);
        let enclave = Enclave::start_with(folder, config);
        let mut connection = Connection::open(&enclave.address, "h2").await;
        let (_, manifest) = connection.envelope().await;
        Some(Self { connection, manifest, _enclave: enclave, _guest: guest })
    }

    async fn send(&mut self, request: &Request) -> Response {
        self.connection.sealed(&self.manifest, request).await
    }

    async fn get(&mut self, path: &str) -> (u16, Value) {
        let response = self.send(&Request::new("GET", "enclave.invalid", path)).await;
        (response.status, serde_json::from_slice(&response.content).unwrap())
    }

    async fn post(&mut self, path: &str, body: &str) -> (u16, Value) {
        let (status, json, _) = self.infer(path, body, &[]).await;
        (status, json)
    }

    /// Sends JSON and raw bytes behind it, and takes the answer apart in the same way.
    async fn infer(&mut self, path: &str, body: &str, raw: &[u8]) -> (u16, Value, Vec<u8>) {
        const LENGTH: &str = "inference-header-content-length";
        let mut request = Request::new("POST", "enclave.invalid", path);
        request.content = [body.as_bytes(), raw].concat();
        if !raw.is_empty() {
            request.fields.push(LENGTH, body.len().to_string()).unwrap();
        }
        let response = self.send(&request).await;
        let length = response.fields.get(LENGTH).map_or(response.content.len(), |length| length.parse().unwrap());
        let (json, raw) = response.content.split_at(length);
        (response.status, serde_json::from_slice(json).unwrap(), raw.to_vec())
    }
}

/// One input in JSON.
fn input(name: &str, datatype: &str, shape: &str, data: &str) -> String {
    format!(r#"{{"name":"{name}","datatype":"{datatype}","shape":{shape},"data":{data}}}"#)
}

fn inputs(inputs: &[String], rest: &str) -> String {
    format!(r#"{{"inputs":[{}]{rest}}}"#, inputs.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metadata_of_server_models_and_versions() {
    let Some(mut caller) = Caller::start().await else { return };
    for (path, status, expected) in [
        ("/v2/health/live", 200, json!({"live": true})),
        ("/v2/health/ready", 200, json!({"ready": true})),
        ("/v2/models/several/ready", 200, json!({"name": "several", "ready": true})),
        ("/v2/models/several/versions/3/ready", 200, json!({"name": "several", "ready": true})),
        ("/v2/models/blob/versions/beta/ready", 200, json!({"name": "blob", "ready": true})),
        ("/v2/models/several/versions/4/ready", 404, json!({"error": "model `several` has version `3` here"})),
        ("/v2/models/add/versions/2", 404, json!({"error": "model `add` has version `1`, `9`, `10` here"})),
        ("/v2/models/none", 404, json!({"error": "no such model; the manifest lists the models of this instance"})),
    ] {
        assert_eq!(caller.get(path).await, (status, expected), "{path}");
    }
    let (status, server) = caller.get("/v2").await;
    assert_eq!(
        (status, &server["name"], &server["extensions"]),
        (200, &json!("enclave-app"), &json!(["binary_tensor_data"]))
    );
    assert!(server["version"].is_string());

    let tensor = |name: &str, datatype: &str, shape: Value| json!({"name": name, "datatype": datatype, "shape": shape});
    let float = |name: &str| tensor(name, "FP32", json!([2]));
    // Every version is listed; each has inputs and outputs of its own, and without one it is the highest number's.
    for (path, name, versions, inputs, outputs) in [
        (
            "add",
            "add",
            json!(["1", "9", "10"]),
            json!([tensor("x", "FP32", json!([]))]),
            json!([tensor("y", "FP32", json!([]))]),
        ),
        (
            "add/versions/10",
            "add",
            json!(["1", "9", "10"]),
            json!([tensor("x", "FP32", json!([]))]),
            json!([tensor("y", "FP32", json!([]))]),
        ),
        // An initialiser that is an input too need not be given, and does not stand here.
        ("add/versions/9", "add", json!(["1", "9", "10"]), json!([float("x")]), json!([float("y")])),
        ("add/versions/1", "add", json!(["1", "9", "10"]), json!([float("x")]), json!([float("y")])),
        ("blob", "blob", json!(["beta"]), json!([float("x")]), json!([float("y")])),
        ("image/versions/1", "image", json!(["1"]), json!([float("x")]), json!([float("y")])),
        (
            "joined",
            "joined",
            json!(["1"]),
            json!([tensor("w", "BYTES", json!([1])), tensor("x", "BYTES", json!([-1]))]),
            json!([tensor("y", "BYTES", json!([-1]))]),
        ),
        (
            "halves",
            "halves",
            json!(["1"]),
            json!([tensor("x", "FP16", json!([-1]))]),
            json!([tensor("y", "FP16", json!([-1]))]),
        ),
    ] {
        let (status, said) = caller.get(&format!("/v2/models/{path}")).await;
        let expected = json!({"name": name, "versions": versions, "platform": "onnx_onnxv1", "inputs": inputs, "outputs": outputs});
        assert_eq!((status, said), (200, expected), "{path}");
    }
    let (_, all) = caller.get("/v2/models/identities").await;
    let names: Vec<_> =
        all["inputs"].as_array().unwrap().iter().map(|input| input["datatype"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "FP32", "FP64", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16",
            "BF16", "BYTES"
        ]
    );
    // The manifest has them all, with the digest of what was loaded.
    let listed: Vec<_> =
        caller.manifest.manifest().models.iter().map(|m| format!("{}/{}", m.name, m.version)).collect();
    assert_eq!(
        listed,
        [
            "blob/beta",
            "image/1",
            "add/10",
            "add/9",
            "add/1",
            "any/1",
            "halves/1",
            "identities/1",
            "joined/1",
            "log/1",
            "several/3"
        ]
    );
    let digest = Sha256::digest(models::add());
    for at in [0, 1, 4] {
        assert_eq!(caller.manifest.manifest().models[at].sha256.as_bytes()[..], digest[..], "{at}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_runs_where_it_is_named_and_the_highest_where_none_is() {
    let Some(mut caller) = Caller::start().await else { return };
    let pair = inputs(&[input("x", "FP32", "[2]", "[1,2]")], "");
    let scalar = inputs(&[input("x", "FP32", "[]", "[7]")], "");
    for (path, body, version, data) in [
        ("add/versions/1", &pair, "1", json!([2.0, 12.0])),
        ("add/versions/9", &pair, "9", json!([2.0, 12.0])),
        ("add/versions/10", &scalar, "10", json!([7.0])),
        ("add", &scalar, "10", json!([7.0])),
        ("blob", &pair, "beta", json!([2.0, 12.0])),
        ("image", &pair, "1", json!([2.0, 12.0])),
    ] {
        let (status, said) = caller.post(&format!("/v2/models/{path}/infer"), body).await;
        assert_eq!(status, 200, "{path}: {said}");
        assert_eq!((&said["model_version"], &said["outputs"][0]["data"]), (&json!(version), &data), "{path}");
    }
    let (status, said) = caller.post("/v2/models/add/infer", &pair).await;
    assert_eq!((status, &said["error"]), (400, &json!("input `x`: shape is [2], expected [] (-1 = any)")));
    // An input that the model brings itself is given or left out.
    let given = inputs(&[input("x", "FP32", "[2]", "[1,2]"), input("w", "FP32", "[2]", "[100,200]")], "");
    let (_, said) = caller.post("/v2/models/add/versions/9/infer", &given).await;
    assert_eq!(said["outputs"][0]["data"], json!([101.0, 202.0]));
    let (status, said) = caller.post("/v2/models/add/versions/1/infer", &given).await;
    assert_eq!((status, &said["error"]), (400, &json!("input `w`: the model has no such input, expected `x`")));
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_and_outputs_in_json() {
    let Some(mut caller) = Caller::start().await else { return };
    let x = || input("x", "INT64", "[1,2]", "[[1,2]]");
    let z = || input("z", "INT64", "[1,2]", "[10,20]");
    let output = |name: &str, data: Value| json!({"name": name, "datatype": "INT64", "shape": [1, 2], "data": data});
    let (a, b, c) = (output("a", json!([11, 22])), output("b", json!([-9, -18])), output("c", json!([10, 20])));
    let all = vec![a.clone(), b.clone(), c.clone()];
    for (what, body, outputs) in [
        ("no outputs named", inputs(&[x(), z()], ""), all.clone()),
        ("outputs null", inputs(&[x(), z()], r#","outputs":null"#), all.clone()),
        ("outputs empty", inputs(&[x(), z()], r#","outputs":[]"#), all.clone()),
        ("inputs in another order", inputs(&[z(), x()], ""), all.clone()),
        ("a selection", inputs(&[x(), z()], r#","outputs":[{"name":"b"}]"#), vec![b.clone()]),
        ("a selection in its order", inputs(&[x(), z()], r#","outputs":[{"name":"c"},{"name":"a"}]"#), vec![c, a]),
        (
            "unknown members at every level",
            inputs(
                &[x().replacen('{', r#"{"later":[{}],"parameters":{"content_type":"np","n":[1]},"#, 1), z()],
                r#","later":{},"parameters":{"priority":1},"outputs":[{"name":"b","later":1,"parameters":{"p":true}}]"#,
            ),
            vec![b],
        ),
    ] {
        let (status, said) = caller.post("/v2/models/several/infer", &body).await;
        let expected = json!({"model_name": "several", "model_version": "3", "outputs": outputs});
        assert_eq!((status, said), (200, expected), "{what}");
    }
    let (_, said) = caller.post("/v2/models/several/infer", &inputs(&[x(), z()], r#","id":"7\u00e9""#)).await;
    assert_eq!(said["id"], json!("7é"));
    for (what, body, error) in [
        (
            "unknown output",
            inputs(&[x(), z()], r#","outputs":[{"name":"d"}]"#),
            "output `d`: the model has no such output",
        ),
        (
            "repeated output",
            inputs(&[x(), z()], r#","outputs":[{"name":"a"},{"name":"a"}]"#),
            "output `a`: is asked for twice",
        ),
        ("missing input", inputs(&[x()], ""), "input `z` is missing, expected `x`, `z`"),
        ("repeated input", inputs(&[x(), x()], ""), "input `x`: is given twice"),
        (
            "unknown input",
            inputs(&[x(), z(), input("w", "INT64", "[1]", "[1]")], ""),
            "input `w`: the model has no such",
        ),
        ("no inputs", r#"{"outputs":[]}"#.to_owned(), "missing field `inputs`"),
        (
            "another type",
            inputs(&[x().replace("INT64", "INT32"), z()], ""),
            "input `x`: datatype is INT32, expected INT64",
        ),
        ("no type", inputs(&[x().replace("INT64", "int64"), z()], ""), "datatype `int64` is none of BOOL"),
        (
            "another shape",
            inputs(&[x().replace("[1,2]", "[2,1]"), z()], ""),
            "input `x`: shape is [2, 1], expected [-1, 2]",
        ),
        ("another rank", inputs(&[x().replace("[1,2]", "[2]"), z()], ""), "input `x`: shape is [2], expected [-1, 2]"),
        ("negative dimension", inputs(&[x().replacen("[1,2]", "[-1,2]", 1), z()], ""), "shape has -1 at axis 0"),
        ("ragged", inputs(&[input("x", "INT64", "[2,2]", "[[1,2],[3]]"), z()], ""), "array at axis 1 has length 1"),
        ("too few", inputs(&[input("x", "INT64", "[2,2]", "[1,2,3]"), z()], ""), "`data` has 3 elements, expected 4"),
        (
            "too many",
            inputs(&[input("x", "INT64", "[1,2]", "[1,2,3]"), z()], ""),
            "`data` has more than the 2 elements",
        ),
        ("text", inputs(&[input("x", "INT64", "[1,2]", r#"["1",2]"#), z()], ""), "a string, expected a number"),
        ("null", inputs(&[input("x", "INT64", "[1,2]", "[null,2]"), z()], ""), "null is no number"),
        ("a fraction", inputs(&[input("x", "INT64", "[1,2]", "[1.5,2]"), z()], ""), "floating point `1.5`"),
        ("out of range", inputs(&[input("x", "INT64", "[1,2]", "[9223372036854775808,2]"), z()], ""), "input `x`"),
        ("no data", inputs(&[x().replace(r#","data":[[1,2]]"#, ""), z()], ""), "has neither `data` nor"),
        ("an array", "[]".to_owned(), "expected an object"),
        ("no JSON", "{".to_owned(), "EOF while parsing"),
        ("nothing", String::new(), "EOF while parsing"),
        ("other model", inputs(&[x(), z()], r#","model_name":"add""#), "but the path names the model `several`"),
    ] {
        let (status, said) = caller.post("/v2/models/several/infer", &body).await;
        assert_eq!((status, said.as_object().map(serde_json::Map::len)), (400, Some(1)), "{what}: {said}");
        assert!(said["error"].as_str().unwrap().contains(error), "{what}: {said}");
    }
    for (method, path, status) in [
        ("POST", "/v2/models/none/infer", 404),
        ("POST", "/v2/models/several/versions/4/infer", 404),
        ("POST", "/v2/models/several/generate", 404),
        ("POST", "/v2/models/several", 405),
        ("GET", "/v2/models/several/infer", 405),
        ("PUT", "/v2", 405),
        ("GET", "/v3", 404),
    ] {
        let response = caller.send(&Request::new(method, "enclave.invalid", path)).await;
        let said: Value = serde_json::from_slice(&response.content).unwrap();
        assert_eq!((response.status, said["error"].is_string()), (status, true), "{method} {path}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_datatype_in_json_and_as_binary_data_and_every_kind_of_shape() {
    let Some(mut caller) = Caller::start().await else { return };
    // Names are those of ONNX's numbers of the types; the extremes of each.
    let rows = [
        (
            1,
            "FP32",
            "[3.4028235e38,-1.5]",
            json!([3.402_823_5e38, -1.5]),
            vec![0xff, 0xff, 0x7f, 0x7f, 0, 0, 0xc0, 0xbf],
        ),
        (
            11,
            "FP64",
            "[1e308,-0.1]",
            json!([1e308, -0.1]),
            [1e308_f64.to_le_bytes(), (-0.1_f64).to_le_bytes()].concat(),
        ),
        (9, "BOOL", "[true,false]", json!([true, false]), vec![1, 0]),
        (2, "UINT8", "[0,255]", json!([0, 255]), vec![0, 255]),
        (4, "UINT16", "[0,65535]", json!([0, 65535]), vec![0, 0, 255, 255]),
        (12, "UINT32", "[0,4294967295]", json!([0, 4_294_967_295_u32]), vec![0, 0, 0, 0, 255, 255, 255, 255]),
        (13, "UINT64", "[0,18446744073709551615]", json!([0, u64::MAX]), [[0; 8], [255; 8]].concat()),
        (3, "INT8", "[-128,127]", json!([-128, 127]), vec![0x80, 0x7f]),
        (5, "INT16", "[-32768,32767]", json!([-32768, 32767]), vec![0, 0x80, 0xff, 0x7f]),
        (
            6,
            "INT32",
            "[-2147483648,2147483647]",
            json!([i32::MIN, i32::MAX]),
            vec![0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0x7f],
        ),
        (
            7,
            "INT64",
            "[-9223372036854775808,9223372036854775807]",
            json!([i64::MIN, i64::MAX]),
            [i64::MIN.to_le_bytes(), i64::MAX.to_le_bytes()].concat(),
        ),
        (10, "FP16", "", Value::Null, vec![0, 0x3c, 1, 0x7e]),
        (16, "BF16", "", Value::Null, vec![0x80, 0x3f, 0xc1, 0x7f]),
        (8, "BYTES", r#"["","stra\u00dfe"]"#, json!(["", "straße"]), "\0\0\0\0\u{7}\0\0\0straße".into()),
    ];
    // As JSON where there is a form, and back in both.
    let tensor = |(number, datatype, data, _, raw): &(u32, &str, &str, Value, Vec<u8>), binary: bool| {
        if binary || data.is_empty() {
            let size = raw.len();
            format!(
                r#"{{"name":"x{number}","datatype":"{datatype}","shape":[2],"parameters":{{"binary_data_size":{size}}}}}"#
            )
        } else {
            input(&format!("x{number}"), datatype, "[2]", data)
        }
    };
    for binary_in in [false, true] {
        let tensors: Vec<String> = rows.iter().map(|row| tensor(row, binary_in)).collect();
        let raw: Vec<u8> =
            rows.iter().filter(|row| binary_in || row.2.is_empty()).flat_map(|row| row.4.clone()).collect();
        let body = inputs(&tensors, r#","parameters":{"binary_data_output":true}"#);
        let (status, said, back) = caller.infer("/v2/models/identities/infer", &body, &raw).await;
        assert_eq!(status, 200, "{said}");
        assert_eq!(back, rows.iter().flat_map(|row| row.4.clone()).collect::<Vec<u8>>(), "in order, and to the bit");
        let asked: Vec<String> =
            rows.iter().filter(|row| !row.2.is_empty()).map(|row| format!(r#"{{"name":"y{}"}}"#, row.0)).collect();
        let body = inputs(&tensors, &format!(r#","outputs":[{}]"#, asked.join(",")));
        let (status, said, back) = caller.infer("/v2/models/identities/infer", &body, &raw).await;
        assert_eq!((status, back.len()), (200, 0), "{said}");
        for (place, row) in rows.iter().filter(|row| !row.2.is_empty()).enumerate() {
            let expected = json!({"name": format!("y{}", row.0), "datatype": row.1, "shape": [2], "data": row.3});
            assert_eq!(said["outputs"][place], expected);
        }
    }
    // One of them in each way.
    let body = inputs(
        &[
            input("x", "INT64", "[1,2]", "[1,2]"),
            r#"{"name":"z","datatype":"INT64","shape":[1,2],"parameters":{"binary_data_size":16}}"#.to_owned(),
        ],
        r#","parameters":{"binary_data_output":true},"outputs":[{"name":"a","parameters":{"binary_data":false}},{"name":"c"}]"#,
    );
    let raw = [3_i64.to_le_bytes(), 4_i64.to_le_bytes()].concat();
    let (_, said, back) = caller.infer("/v2/models/several/infer", &body, &raw).await;
    assert_eq!(
        (&said["outputs"][0]["data"], &said["outputs"][1]["parameters"]),
        (&json!([4, 6]), &json!({"binary_data_size": 16}))
    );
    assert_eq!(back, raw);

    // What JSON has no word for.
    let half =
        inputs(&[r#"{"name":"x","datatype":"FP16","shape":[1],"parameters":{"binary_data_size":2}}"#.to_owned()], "");
    let (status, said, _) = caller.infer("/v2/models/halves/infer", &half, &[0, 0x3c]).await;
    assert_eq!(status, 400);
    assert!(
        said["error"].as_str().unwrap().starts_with("output `y`: FP16 has no form in JSON; ask for binary data"),
        "{said}"
    );
    let (status, said) =
        caller.post("/v2/models/halves/infer", &inputs(&[input("x", "FP16", "[1]", "[1.0]")], "")).await;
    assert_eq!(
        (status, &said["error"]),
        (400, &json!("input `x`: FP16 has no form in JSON; send it as binary data, with `binary_data_size`"))
    );
    let (status, said, back) = caller
        .infer(
            "/v2/models/halves/infer",
            &half.replacen('{', r#"{"parameters":{"binary_data_output":true},"#, 1),
            &[0, 0x3c],
        )
        .await;
    assert_eq!((status, back), (200, vec![0, 0x40]), "{said}");
    let (status, said) = caller.post("/v2/models/log/infer", &inputs(&[input("x", "FP32", "[1]", "[-1]")], "")).await;
    assert_eq!((status, said["error"].as_str().unwrap().contains("holds a NaN or an infinity")), (406, true), "{said}");

    // Scalars, nothing at all, and any number of dimensions.
    for (model, shape, data, out) in [
        ("add", "[]", "[7]", json!([7.0])),
        ("log", "[0]", "[]", json!([])),
        ("any", "[]", "[7]", json!([7.0])),
        ("any", "[1,1,1]", "[[[7]]]", json!([7.0])),
        ("any", "[2,0,3]", "[]", json!([])),
        ("any", "[0,3]", "[]", json!([])),
        ("any", "[2,2]", "[1,2,3,4]", json!([1.0, 2.0, 3.0, 4.0])),
    ] {
        let (status, said) =
            caller.post(&format!("/v2/models/{model}/infer"), &inputs(&[input("x", "FP32", shape, data)], "")).await;
        let (expected, output) = (serde_json::from_str::<Value>(shape).unwrap(), &said["outputs"][0]);
        assert_eq!((status, &output["shape"], &output["data"]), (200, &expected, &out), "{model} {shape}: {said}");
    }
    // Strings: as many as there are, none, and one that is empty.
    for (shape, data, out) in
        [("[2]", r#"["b","\"\n"]"#, json!(["ab", "a\"\n"])), ("[0]", "[]", json!([])), ("[1]", r#"[""]"#, json!(["a"]))]
    {
        let body = inputs(&[input("w", "BYTES", "[1]", r#"["a"]"#), input("x", "BYTES", shape, data)], "");
        let (status, said) = caller.post("/v2/models/joined/infer", &body).await;
        assert_eq!((status, &said["outputs"][0]["data"]), (200, &out), "{shape}: {said}");
    }
}

#[test]
fn a_model_that_is_not_the_one_named_ends_the_start() {
    let Some(library) = library::library() else { return };
    let refused = |change: &dyn Fn(&Folder, String) -> String| {
        let folder = Folder::new();
        let config = configuration(&folder, &library, "http://127.0.0.1:1");
        let config = change(&folder, config);
        let output = program(&folder.write("config.toml", config)).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let digits = hex::encode(Sha256::digest(models::add()));
    for (said, words) in [
        // The name of a blob, and the key, each name the bytes.
        (
            refused(&|folder, config| {
                folder.write(&format!("blobs/sha256/{digits}"), models::log());
                config
            }),
            "model `blob`: model file `".to_owned(),
        ),
        (
            refused(&|_, config| {
                config.replace(&format!("sha256 = \"{digits}\""), &format!("sha256 = \"{}\"", "0".repeat(64)))
            }),
            format!("has sha256 {digits}, expected {}", "0".repeat(64)),
        ),
        (
            refused(&|folder, config| {
                folder.write(&format!("image/blobs/sha256/{digits}"), models::log());
                config
            }),
            "model `image`: OCI image layout `".to_owned(),
        ),
        (refused(&|_, config| config.replace("\"v1\"", "\"v2\"")), "index.json has no manifest `v2`".to_owned()),
        (
            refused(&|folder, config| {
                folder.write("models/empty/1/other.onnx", "");
                config
            }),
            "expected a file `model.onnx` in it".to_owned(),
        ),
        (
            refused(&|folder, config| {
                folder.write("models/blob/1/model.onnx", models::add());
                config.replace("\"beta\"", "\"1\"")
            }),
            "`models.version` is `1`, expected each version of a name once".to_owned(),
        ),
        (
            refused(&|folder, config| {
                folder.write("models/outside/1/model.onnx", models::add_external());
                folder.write("models/outside/1/w.bin", [0; 8]);
                config
            }),
            "model `outside`: model keeps the data of tensor `w` in another file".to_owned(),
        ),
        (
            refused(&|folder, config| {
                config
                    .replace("/image\"", "/models\"")
                    .replace("oci_manifest = \"v1\"\n", &format!("# {folder:?}\n", folder = folder.0))
            }),
            "it is a folder without `oci-layout`".to_owned(),
        ),
    ] {
        assert!(said.contains(&words), "{words}: {said}");
    }
}
