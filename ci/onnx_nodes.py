"""Writes ONNX's own node tests as models and as requests and answers of the Open Inference Protocol.

    onnx_nodes.py OUTPUT_FOLDER

For every case of `onnx.backend.test.case.node` OUTPUT_FOLDER receives `NUMBER/model.onnx`, `NUMBER/request` and
`NUMBER/expected`, and at the end `cases.json`, a list of

    {"name", "number", "opset", "rtol", "atol", "request", "expected", "left_out"}

`request` is the length of the JSON that the file `request` begins with, raw tensors follow it as the binary tensor extension
has them; `expected` is the same of an answer's outputs. `left_out` says which input or output the protocol has no word for, and
is null where there is none; then there is no request.
"""

import json
import pathlib
import struct
import sys
import warnings

import numpy
import onnx
from onnx import TensorProto, numpy_helper

warnings.simplefilter("ignore")  # a few cases divide by zero on purpose, while they are made
from onnx.backend.test.case.node import collect_testcases  # noqa: E402

DATATYPES = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}


def left_out(model):
    """The first input or output that the protocol cannot carry, with what it is."""
    for value in [*model.graph.input, *model.graph.output]:
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return f"`{value.name}` is of {kind}"
        if value.type.tensor_type.elem_type not in DATATYPES:
            return f"`{value.name}` is a tensor of {TensorProto.DataType.Name(value.type.tensor_type.elem_type)}"
    return None


def raw(array, datatype):
    """Row-major, little-endian; strings each with their length before them."""
    if datatype == "BYTES":
        texts = [text if isinstance(text, bytes) else str(text).encode() for text in array.flatten()]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return numpy.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def described(values, arrays):
    """Tensors as the protocol describes them, and their bytes."""
    tensors, data = [], b""
    for value, array in zip(values, arrays):
        if isinstance(array, TensorProto):
            array = numpy_helper.to_array(array)
        array = numpy.asarray(array)
        datatype = DATATYPES[value.type.tensor_type.elem_type]
        content = raw(array, datatype)
        size = {"binary_data_size": len(content)}
        tensors.append({"name": value.name, "datatype": datatype, "shape": list(array.shape), "parameters": size})
        data += content
    return tensors, data


def main(output):
    cases = []
    for number, case in enumerate(collect_testcases(None)):
        folder = output / str(number)
        folder.mkdir()
        (folder / "model.onnx").write_bytes(case.model.SerializeToString())
        opsets = [entry.version for entry in case.model.opset_import if entry.domain in ("", "ai.onnx")]
        entry = {"name": case.name, "number": number, "opset": max(opsets, default=0)}
        entry |= {"rtol": case.rtol, "atol": case.atol, "left_out": left_out(case.model)}
        if entry["left_out"] is None:
            [(inputs, outputs)] = case.data_sets
            tensors, data = described(case.model.graph.input, inputs)
            request = json.dumps({"inputs": tensors, "parameters": {"binary_data_output": True}}).encode()
            (folder / "request").write_bytes(request + data)
            expected, answer = described(case.model.graph.output, outputs)
            head = json.dumps({"outputs": expected}).encode()
            (folder / "expected").write_bytes(head + answer)
            entry |= {"request": len(request), "expected": len(head)}
        cases.append(entry)
    (output / "cases.json").write_text(json.dumps(cases, indent=0) + "\n")
    carried = sum(entry["left_out"] is None for entry in cases)
    print(f"onnx {onnx.__version__}: {len(cases)} node tests, {carried} of types that the protocol carries")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
