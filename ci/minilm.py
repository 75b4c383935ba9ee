"""Writes all-MiniLM-L6-v2, a sentence embedding, as an ONNX graph, from its published weights.

    minilm.py MODEL_FOLDER OUTPUT_FOLDER

MODEL_FOLDER holds `model.safetensors`, `config.json` and `vocab.txt` as published. OUTPUT_FOLDER receives
`model.onnx` (token ids in, embedding of length one out) and `sample.json`, three sentences as an Open Inference
Protocol request. The weights are copied bit for bit, so the same input gives the same bytes on every machine.
"""

import json
import pathlib
import string
import struct
import sys

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

# The first two say nearly the same. Published similarities: 0.6660 (1, 2), 0.1046 (1, 3), 0.1411 (2, 3).
SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
INPUTS = ["input_ids", "attention_mask", "token_type_ids"]
# Added to the attention score of padding; after the softmax nothing of it is left in 32-bit floats.
PADDING_SCORE = -1e9


class Graph:
    """Nodes and constants in the order in which they are written."""

    def __init__(self, weights):
        self.weights, self.nodes, self.constants = weights, [], {}

    def op(self, kind, *inputs, output=None, **attributes):
        """Appends one node and returns the name of its output."""
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def weight(self, name, transposed=False):
        """A published tensor; linear layers are stored as [out, in] and multiplied as [in, out]."""
        array = self.weights[name]
        return self.constant(name, array.T if transposed else array)

    def constant(self, name, value):
        """Registers a constant once under its name and returns the name."""
        self.constants.setdefault(name, numpy_helper.from_array(numpy.ascontiguousarray(value), name))
        return name

    def indices(self, *values):
        return self.constant("indices_" + "_".join(map(str, values)), numpy.array(values, dtype=numpy.int64))

    def linear(self, x, name):
        product = self.op("MatMul", x, self.weight(f"{name}.weight", transposed=True))
        return self.op("Add", product, self.weight(f"{name}.bias"))

    def normalise(self, x, name, epsilon):
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=epsilon)


def read_safetensors(path):
    """Reads 32-bit float tensors: an 8-byte little-endian length, that much JSON, then the numbers."""
    raw = path.read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    tensors = {}
    for name, entry in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            data = numpy.frombuffer(raw[8 + length + begin : 8 + length + end], dtype="<f4")
            tensors[name] = data.reshape(entry["shape"])
    return tensors


def embed_tokens(g, epsilon):
    """Word, position and token-type embeddings, added and normalised: [batch, sequence, hidden]."""
    length = g.op("Shape", "input_ids", start=1, end=2)
    positions = g.weight("embeddings.position_embeddings.weight")
    position = g.op("Slice", positions, g.indices(0), length, g.indices(0))
    word = g.op("Gather", g.weight("embeddings.word_embeddings.weight"), "input_ids")
    token_type = g.op("Gather", g.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
    total = g.op("Add", g.op("Add", word, token_type), position)
    return g.normalise(total, "embeddings.LayerNorm", epsilon)


def attend(g, x, name, padding, heads, hidden):
    """Multi-head self-attention with its output projection."""
    size = hidden // heads

    def per_head(part, order):
        split = g.op("Reshape", g.linear(x, f"{name}.self.{part}"), g.indices(0, 0, heads, size))
        return g.op("Transpose", split, perm=order)

    query = per_head("query", [0, 2, 1, 3])
    key = per_head("key", [0, 2, 3, 1])
    value = per_head("value", [0, 2, 1, 3])
    scale = g.constant("attention_scale", numpy.float32(size**-0.5))
    scores = g.op("Add", g.op("Mul", g.op("MatMul", query, key), scale), padding)
    mixed = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), value), perm=[0, 2, 1, 3])
    return g.linear(g.op("Reshape", mixed, g.indices(0, 0, hidden)), f"{name}.output.dense")


def pool(g, x, mask):
    """Mean over the tokens that are not padding, scaled to length one: [batch, hidden]."""
    weight = g.op("Unsqueeze", mask, g.indices(2))
    total = g.op("ReduceSum", g.op("Mul", x, weight), g.indices(1), keepdims=0)
    count = g.op("Max", g.op("ReduceSum", weight, g.indices(1), keepdims=0), g.constant("one", numpy.float32(1)))
    mean = g.op("Div", total, count)
    length = g.op("ReduceL2", mean, g.indices(1), keepdims=1)
    g.op("Div", mean, length, output="sentence_embedding")


def build(weights, config):
    """The whole encoder, with pooling, as a checked ONNX model."""
    hidden, heads, epsilon = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    g = Graph(weights)
    mask = g.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    inverse = g.op("Sub", g.constant("one", numpy.float32(1)), g.op("Unsqueeze", mask, g.indices(1, 2)))
    padding = g.op("Mul", inverse, g.constant("padding_score", numpy.float32(PADDING_SCORE)))

    x = embed_tokens(g, epsilon)
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        attended = attend(g, x, f"{name}.attention", padding, heads, hidden)
        x = g.normalise(g.op("Add", attended, x), f"{name}.attention.output.LayerNorm", epsilon)
        inner = g.op("Gelu", g.linear(x, f"{name}.intermediate.dense"))
        x = g.normalise(g.op("Add", g.linear(inner, f"{name}.output.dense"), x), f"{name}.output.LayerNorm", epsilon)
    pool(g, x, mask)

    graph = helper.make_graph(
        g.nodes,
        "all-MiniLM-L6-v2",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in INPUTS],
        [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", hidden])],
        list(g.constants.values()),
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9, producer_name="minilm.py", model_version=1
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def tokenise(sentence, vocabulary):
    """Lower-case WordPiece for plain ASCII: words and punctuation marks, each cut into the longest known pieces."""
    for mark in string.punctuation:
        sentence = sentence.replace(mark, f" {mark} ")
    ids = [vocabulary["[CLS]"]]
    for word in sentence.lower().split():
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            pieces = ((prefix + word[start:end], end) for end in range(len(word), start, -1))
            piece, start = next(((p, end) for p, end in pieces if p in vocabulary), ("[UNK]", len(word)))
            ids.append(vocabulary[piece])
    return ids + [vocabulary["[SEP]"]]


def request(sentences, vocabulary):
    """The sentences as one padded batch, an Open Inference Protocol request."""
    rows = [tokenise(sentence, vocabulary) for sentence in sentences]
    width = max(map(len, rows))
    batch = {
        "input_ids": [ids + [vocabulary["[PAD]"]] * (width - len(ids)) for ids in rows],
        "attention_mask": [[1] * len(ids) + [0] * (width - len(ids)) for ids in rows],
        "token_type_ids": [[0] * width for _ in rows],
    }
    return {
        "inputs": [
            {"name": name, "shape": [len(rows), width], "datatype": "INT64", "data": sum(batch[name], [])}
            for name in INPUTS
        ]
    }


def main():
    source, target = map(pathlib.Path, sys.argv[1:3])
    config = json.loads((source / "config.json").read_text())
    vocabulary = {token: index for index, token in enumerate((source / "vocab.txt").read_text("utf-8").split("\n"))}
    (target / "model.onnx").write_bytes(build(read_safetensors(source / "model.safetensors"), config))
    (target / "sample.json").write_text(json.dumps(request(SENTENCES, vocabulary)) + "\n")


if __name__ == "__main__":
    main()
