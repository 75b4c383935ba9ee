"""Trains the breast-cancer model and writes it, with one held-out row and its answer, beside this file.

    python3 -m venv VENV && VENV/bin/pip install --require-hashes -r requirements.txt && VENV/bin/python train.py

The network is scikit-learn's own multi-layer perceptron; the graph is written with standard ONNX operators, and the
exported model, not the Python one, is what the accuracy below is measured on.
"""

import json
import pathlib
import warnings

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

HERE = pathlib.Path(__file__).resolve().parent
NAME, VERSION = "breast-cancer", "1"
SEED = 20
HIDDEN_UNITS = 16
# Parameters are rounded to multiples of 2^-8. Processors add up floating-point numbers in different orders; what they
# then disagree on is far smaller than this, so that retraining gives the same bytes on another machine.
GRID = 256.0


def train(features, labels):
    """Returns mean and scale of each feature, and the fitted perceptron (labels: 0 malignant, 1 benign)."""
    mean = numpy.round(features.mean(axis=0), 6)
    scale = numpy.round(features.std(axis=0), 6)
    perceptron = MLPClassifier(
        hidden_layer_sizes=(HIDDEN_UNITS,),
        activation="relu",
        solver="adam",
        alpha=1.0,
        batch_size=64,
        max_iter=60,
        tol=0.0,
        n_iter_no_change=10**9,  # always all the epochs: a stopping rule would turn a rounding error into a decision
        random_state=SEED,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # it remarks that all the epochs were used, as asked
        perceptron.fit((features - mean) / scale, labels)
    for parameters in (*perceptron.coefs_, *perceptron.intercepts_):
        numpy.copyto(parameters, numpy.round(parameters * GRID) / GRID)
    return mean, scale, perceptron


def export(mean, scale, perceptron):
    """Writes the perceptron as an ONNX graph: float32[batch, 30] -> float32[batch, 2]."""
    (to_hidden, to_logit), (hidden_bias, logit_bias) = perceptron.coefs_, perceptron.intercepts_
    # scikit-learn fits one logit z with P(benign) = sigmoid(z), which is the softmax of (-z/2, z/2).
    constants = {
        "mean": mean,
        "scale": scale,
        "hidden_weight": to_hidden,
        "hidden_bias": hidden_bias,
        "class_weight": numpy.hstack([-to_logit / 2, to_logit / 2]),
        "class_bias": numpy.hstack([-logit_bias / 2, logit_bias / 2]),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Sub", ["features", "mean"], ["centred"]),
            helper.make_node("Div", ["centred", "scale"], ["standardised"]),
            helper.make_node("Gemm", ["standardised", "hidden_weight", "hidden_bias"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["activated"]),
            helper.make_node("Gemm", ["activated", "class_weight", "class_bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        NAME,
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", len(mean)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value.astype(numpy.float32), name) for name, value in constants.items()],
        doc_string="columns of probabilities: malignant, benign",
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, producer_name="train.py", model_version=1
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def tensor(name, array):
    """Returns an Open Inference Protocol tensor, with as many digits as a 32-bit float can tell apart."""
    data = [float(f"{value:.8g}") for value in array.ravel()]
    return {"name": name, "shape": list(array.shape), "datatype": "FP32", "data": data}


def main():
    data = load_breast_cancer()
    rows = numpy.arange(len(data.target))
    train_rows, held_out = train_test_split(rows, test_size=0.25, random_state=SEED, stratify=data.target)

    mean, scale, perceptron = train(data.data[train_rows], data.target[train_rows])
    model = export(mean, scale, perceptron)
    (HERE / "model.onnx").write_bytes(model)

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def infer(features):
        return session.run(None, {"features": features.astype(numpy.float32)})[0]

    truth, answer = data.target[held_out], infer(data.data[held_out])
    reference = perceptron.predict_proba((data.data[held_out] - mean) / scale)
    predicted = answer.argmax(axis=1)

    # The row that travels in the demonstration: the first malignant one that training never saw.
    row = held_out[truth == 0][0]
    sample = data.data[[row]]
    request = {"inputs": [tensor("features", sample)]}
    answer_to_sample = infer(sample)
    response = {"model_name": NAME, "model_version": VERSION, "outputs": [tensor("probabilities", answer_to_sample)]}
    (HERE / "sample.json").write_text(json.dumps(request) + "\n")
    (HERE / "expected.json").write_text(json.dumps(response) + "\n")

    print(f"model.onnx: {len(model)} bytes, seed {SEED}")
    print(f"trained on {len(train_rows)} rows, held out {len(held_out)}")
    print(f"held-out accuracy of the ONNX model: {(predicted == truth).mean():.3f} ({(predicted != truth).sum()} wrong)")
    print(f"malignant rows found: {((predicted == 0) & (truth == 0)).sum()} of {(truth == 0).sum()}")
    print(f"largest difference from scikit-learn: {numpy.abs(answer - reference).max():.1e}")
    print(f"sample: row {row}, in truth {data.target_names[data.target[row]]}, probabilities {answer_to_sample[0]}")


if __name__ == "__main__":
    main()
