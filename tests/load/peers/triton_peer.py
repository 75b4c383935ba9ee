"""NVIDIA Triton inside nvidia-pytriton around ONNX Runtime, for ci/load.sh: triton_peer.py MODEL NAME WORKERS THREADS. Its first line says
where it listens. Triton's front end and batcher are its own; the model runs in Python."""

import importlib.util
import json
import os
import pathlib
import socket
import sys
import threading

# The interpreter that Triton brings is older than CPython 3.11.7 and lacks what the library of that asks of a lock. What pytriton 0.7.0 runs
# in there is this file of its own, to which a lock written in Python is given.
LOCK = """import weakref
from multiprocessing import resource_tracker
resource_tracker._resource_tracker._lock = threading._PyRLock()
"""
inside = pathlib.Path(importlib.util.find_spec("pytriton").origin).parent / "proxy/data.py"
if LOCK not in inside.read_text():
    inside.write_text(inside.read_text().replace("import weakref\n", LOCK, 1))

import numpy
import onnxruntime
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

DTYPES = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64}
# As many as the other servers may batch.
ROWS = 8


def main(model, name, workers, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    sessions = [onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"]) for _ in range(int(workers))]
    outputs = [output.name for output in sessions[0].get_outputs()]

    def runs(session):
        @batch
        def run(**inputs):
            return dict(zip(outputs, session.run(outputs, inputs)))

        return run

    def tensors(declared):
        # Without the first dimension, which is the batch.
        shape = lambda one: tuple(size if isinstance(size, int) else -1 for size in one.shape[1:])
        return [Tensor(name=one.name, dtype=DTYPES[one.type], shape=shape(one)) for one in declared]

    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    http, grpc, metrics = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    config = TritonConfig(
        http_address="127.0.0.1", http_port=http, grpc_address="127.0.0.1", grpc_port=grpc, metrics_port=metrics
    )
    # pytriton prints to standard output; our one line is all that is said there.
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with Triton(config=config) as triton:
        triton.bind(
            model_name=name,
            infer_func=[runs(session) for session in sessions],
            inputs=tensors(sessions[0].get_inputs()),
            outputs=tensors(sessions[0].get_outputs()),
            config=ModelConfig(max_batch_size=ROWS, batcher=DynamicBatcher()),
        )
        triton.run()
        print(json.dumps({"listening": f"127.0.0.1:{http}"}), file=said, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
