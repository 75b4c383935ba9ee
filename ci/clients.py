"""The stock clients of the Open Inference Protocol, unmodified, through a `teegate proxy`: `tritonclient[http]` and KServe's
`InferenceRESTClient`, every call that they have.

    python3 ci/clients.py http://127.0.0.1:PORT enclave-app/models/breast-cancer

One line a call: `tritonclient.infer (binary): ok`, or what went wrong. A call that is outside the protocol is named as such, and has
to be answered by the enclave with an error in the protocol's words. Exit status 1 if any call went another way. The packages are
pinned in ci/clients-requirements.txt; ci/clients.sh installs them.
"""

import asyncio
import json
import pathlib
import sys
import traceback

import httpx
import numpy as np
import tritonclient.http as triton
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException

MODEL = "breast-cancer"


class Calls:
    """Makes calls one by one, says a line for each, and counts."""

    def __init__(self, client):
        self.client, self.made, self.outside, self.failed = client, 0, 0, 0

    def protocol(self, name, call):
        """A call of the protocol, which has to return without an exception."""
        self.made += 1
        try:
            call()
            print(f"{self.client}.{name}: ok", flush=True)
        except Exception:
            self.failed += 1
            print(f"{self.client}.{name}: FAILED\n{traceback.format_exc()}", flush=True)

    def extension(self, name, call):
        """A call outside the protocol: an error in the protocol's words that says so."""
        self.outside += 1
        try:
            answer = call()
            self.failed += 1
            print(f"{self.client}.{name}: FAILED, it was answered: {answer!r}", flush=True)
        except (InferenceServerException, httpx.HTTPStatusError) as error:
            said = str(error)
            if "path is none of the Open Inference Protocol" in said:
                print(f"{self.client}.{name}: outside the protocol, and told so", flush=True)
            else:
                self.failed += 1
                print(f"{self.client}.{name}: FAILED, in other words: {said}", flush=True)

    def end(self):
        print(f"{self.client}: {self.made - self.failed} of {self.made} calls, {self.outside} outside the protocol", flush=True)
        return self.failed == 0


def refused(call, status, *words):
    """A request that the model refuses: with this status and these words."""
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == str(status), error
        assert all(word in error.message() for word in words), error
        return
    raise AssertionError("it was not refused")


def through_tritonclient(address, features, expected):
    calls = Calls("tritonclient")
    client = triton.InferenceServerClient(address, concurrency=4)

    def tensor(binary=True, name="features", values=features):
        one = triton.InferInput(name, list(values.shape), "FP32")
        one.set_data_from_numpy(values, binary_data=binary)
        return [one]

    def wanted(binary=True):
        return [triton.InferRequestedOutput("probabilities", binary_data=binary)]

    def check(result, binary=None, request_id=None):
        answer = result.get_response()
        assert (answer["model_name"], answer["model_version"]) == (MODEL, "1"), answer
        assert answer.get("id") == request_id, answer
        values = result.as_numpy("probabilities")
        assert values.shape == expected.shape and np.allclose(values, expected, atol=1e-5), values
        if binary is not None:
            assert ("data" not in result.get_output("probabilities")) == binary, answer

    def metadata(version=""):
        said = client.get_model_metadata(MODEL, version)
        assert (said["name"], said["versions"], said["platform"]) == (MODEL, ["1"], "onnx_onnxv1"), said
        assert said["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 30]}], said
        assert [output["name"] for output in said["outputs"]] == ["probabilities"], said

    def live(expectation, answer):
        assert answer is expectation, answer

    def infer(**more):
        return client.infer(MODEL, tensor(), **more)

    def by_hand():
        body, json_length = triton.InferenceServerClient.generate_request_body(tensor(), outputs=wanted())
        headers = {"inference-header-content-length": str(json_length)}
        answer = client._post(f"v2/models/{MODEL}/infer", body, headers, None)
        assert answer.status_code == 200
        length = answer.get("inference-header-content-length")
        result = triton.InferenceServerClient.parse_response_body(answer.read(), header_length=int(length))
        check(result, binary=True)

    def many():
        pending = [client.async_infer(MODEL, tensor(), outputs=wanted()) for _ in range(12)]
        for one in pending:
            check(one.get_result(), binary=True)

    calls.protocol("is_server_live", lambda: live(True, client.is_server_live()))
    calls.protocol("is_server_ready", lambda: live(True, client.is_server_ready()))
    calls.protocol("is_model_ready", lambda: live(True, client.is_model_ready(MODEL)))
    calls.protocol("is_model_ready (version)", lambda: live(True, client.is_model_ready(MODEL, "1")))
    calls.protocol("is_model_ready (of none)", lambda: live(False, client.is_model_ready("nothing")))
    calls.protocol("get_server_metadata", lambda: live(True, client.get_server_metadata()["name"] == "enclave-app"))
    calls.protocol("get_model_metadata", metadata)
    calls.protocol("get_model_metadata (version)", lambda: metadata("1"))
    calls.protocol("infer (binary)", lambda: check(infer(outputs=wanted()), binary=True))
    calls.protocol("infer (no output named)", lambda: check(infer(), binary=True))
    calls.protocol("infer (JSON)", lambda: check(client.infer(MODEL, tensor(False), outputs=wanted(False)), binary=False))
    calls.protocol("infer (JSON in, binary out)", lambda: check(client.infer(MODEL, tensor(False), outputs=wanted()), binary=True))
    calls.protocol("infer (version)", lambda: check(infer(model_version="1")))
    calls.protocol("infer (request_id)", lambda: check(infer(request_id="mine"), request_id="mine"))
    calls.protocol(
        "infer (headers, query_params)",
        lambda: check(infer(headers={"x-mine": "1"}, query_params={"mine": "1"}, outputs=wanted())),
    )
    calls.protocol("infer (parameters, priority, timeout)", lambda: check(infer(parameters={"mine": 1}, priority=1, timeout=30_000_000)))
    calls.protocol("infer (gzip)", lambda: check(infer(request_compression_algorithm="gzip", outputs=wanted())))
    calls.protocol("infer (deflate)", lambda: check(infer(request_compression_algorithm="deflate", outputs=wanted())))
    calls.protocol("infer (gzip asked for)", lambda: check(infer(response_compression_algorithm="gzip", outputs=wanted())))
    calls.protocol("async_infer", many)
    calls.protocol("generate_request_body, parse_response_body", by_hand)
    calls.protocol("infer (no such model)", lambda: refused(lambda: client.infer("nothing", tensor()), 404, f"they serve `{MODEL}`"))
    calls.protocol("infer (no such input)", lambda: refused(lambda: client.infer(MODEL, tensor(name="other")), 400, "features"))

    calls.extension("get_model_config", lambda: client.get_model_config(MODEL))
    calls.extension("get_inference_statistics", lambda: client.get_inference_statistics(MODEL))
    calls.extension("get_model_repository_index", client.get_model_repository_index)
    calls.extension("load_model", lambda: client.load_model(MODEL))
    calls.extension("unload_model", lambda: client.unload_model(MODEL))
    calls.extension("get_trace_settings", client.get_trace_settings)
    calls.extension("update_trace_settings", lambda: client.update_trace_settings(settings={"trace_level": "OFF"}))
    calls.extension("get_log_settings", client.get_log_settings)
    calls.extension("update_log_settings", lambda: client.update_log_settings({"log_verbose_level": 0}))
    calls.extension("get_system_shared_memory_status", client.get_system_shared_memory_status)
    calls.extension("register_system_shared_memory", lambda: client.register_system_shared_memory("r", "/r", 64))
    calls.extension("unregister_system_shared_memory", client.unregister_system_shared_memory)
    calls.extension("get_cuda_shared_memory_status", client.get_cuda_shared_memory_status)
    calls.extension("register_cuda_shared_memory", lambda: client.register_cuda_shared_memory("r", b"aGFuZGxl", 0, 64))
    calls.extension("unregister_cuda_shared_memory", client.unregister_cuda_shared_memory)
    client.close()
    return calls.end()


def through_kserve(url, features, expected):
    calls = Calls("kserve")
    loop = asyncio.new_event_loop()
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    older = InferenceRESTClient(RESTConfig(protocol="v1"))
    run = loop.run_until_complete

    def request(binary=False, **more):
        one = InferInput(name="features", shape=list(features.shape), datatype="FP32")
        one.set_data_from_numpy(features, binary_data=binary)
        return InferRequest(model_name=MODEL, infer_inputs=[one], **more)

    def check(response, **expectation):
        # It does not take the version out of an answer.
        assert response.model_name == MODEL, response.to_dict()
        for member, value in expectation.items():
            assert getattr(response, member) == value, response.to_dict()
        values = response.outputs[0].as_numpy()
        assert values.shape == expected.shape and np.allclose(values, expected, atol=1e-5), values

    def infer(data, model=MODEL):
        return run(client.infer(url, data, model_name=model))

    def is_true(answer):
        assert answer is True, answer

    def unknown():
        try:
            infer(request(), "nothing")
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == 404 and f"they serve `{MODEL}`" in str(error), error
            return
        raise AssertionError("it was not refused")

    plain = {"inputs": [{"name": "features", "shape": list(features.shape), "datatype": "FP32", "data": features.ravel().tolist()}]}
    calls.protocol("is_server_live", lambda: is_true(run(client.is_server_live(url))))
    calls.protocol("is_server_ready", lambda: is_true(run(client.is_server_ready(url))))
    calls.protocol("is_model_ready", lambda: is_true(run(client.is_model_ready(url, MODEL))))
    calls.protocol("infer (a dict)", lambda: check(infer(plain)))
    calls.protocol("infer (InferRequest)", lambda: check(infer(request())))
    calls.protocol("infer (binary)", lambda: check(infer(request(binary=True))))
    calls.protocol("infer (id)", lambda: check(infer(request(request_id="mine")), id="mine"))
    calls.protocol("infer (parameters)", lambda: check(infer(request(parameters={"mine": 1}))))
    calls.protocol("infer (no such model)", unknown)

    calls.extension("infer (protocol v1)", lambda: run(older.infer(url, {"instances": []}, model_name=MODEL)))
    calls.extension("explain (protocol v1)", lambda: run(older.explain(url, MODEL, {"instances": []})))
    run(client.close())
    run(older.close())
    return calls.end()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    url, folder = sys.argv[1].rstrip("/"), pathlib.Path(sys.argv[2])
    sent = json.loads((folder / "sample.json").read_text())["inputs"][0]
    features = np.array(sent["data"], dtype=np.float32).reshape(sent["shape"])
    got = json.loads((folder / "expected.json").read_text())["outputs"][0]
    expected = np.array(got["data"], dtype=np.float32).reshape(got["shape"])
    well = [through_tritonclient(url.removeprefix("http://"), features, expected), through_kserve(url, features, expected)]
    sys.exit(0 if all(well) else 1)


main()
