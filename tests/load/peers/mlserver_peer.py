"""MLServer around ONNX Runtime, for ci/load.sh: mlserver_peer.py MODEL NAME WORKERS THREADS. Its first line says where it listens."""

import asyncio
import json
import os
import socket
import sys
import urllib.request

import onnxruntime
from mlserver import MLModel, MLServer
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters, ModelSettings, Settings
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    """The model, with the options that the other servers run it with."""

    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.settings.parameters.extra["threads"]
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options, ["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        inputs = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        values = self.session.run(self.names, inputs)
        outputs = [NumpyCodec.encode_output(name, value) for name, value in zip(self.names, values)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def free_ports(count):
    """Ports that nobody listens on: held at once, so that no two are one."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


async def main(model, name, workers, threads, said):
    http, grpc, metrics = free_ports(3)
    server = MLServer(
        Settings(
            host="127.0.0.1",
            http_port=http,
            grpc_port=grpc,
            metrics_port=metrics,
            parallel_workers=int(workers),
            debug=False,
        )
    )
    parameters = ModelParameters(uri=model, extra={"threads": int(threads)})
    settings = ModelSettings(name=name, implementation="mlserver_peer.Runtime", parameters=parameters)
    serving = asyncio.create_task(server.start([settings]))
    while not serving.done():
        if await asyncio.to_thread(is_ready, f"http://127.0.0.1:{http}/v2/models/{name}/ready"):
            print(json.dumps({"listening": f"127.0.0.1:{http}"}), file=said, flush=True)
            break
        await asyncio.sleep(0.2)
    await serving


def is_ready(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    # The runtime is imported by its name in every process.
    sys.path.insert(0, __file__.rsplit("/", 1)[0])
    # It logs to standard output; our one line is all that is said there.
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(main(*sys.argv[1:], said))
