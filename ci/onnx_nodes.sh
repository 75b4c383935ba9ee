#!/usr/bin/env bash
# Writes ONNX's own tests of every operator, 1,678 of onnx 1.21.0, into `.cache/onnx-nodes`, as models and as requests and
# expected answers of the Open Inference Protocol (ci/onnx_nodes.py). enclave-app/tests/nodes.rs sends them through the real
# program. The packages are those of ci/minilm-requirements.txt, pinned by hash. Takes half a minute, 30 MB of downloads and
# 40 MB of disk; does nothing when it has been done by the same script. Nothing of it is committed.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dest=$root/.cache/onnx-nodes
made_by=$(cat -- "$root/ci/onnx_nodes.py" "$root/ci/minilm-requirements.txt" | sha256sum | cut -c1-64)

fail() {
  printf 'onnx_nodes.sh: %s\n' "$*" >&2
  exit 1
}

if [[ -f $dest/cases.json && -f $dest/made-by && $(<"$dest/made-by") == "$made_by" ]]; then
  exit 0
fi

command -v python3 >/dev/null || fail 'python3 is not installed; install Python 3.11 or newer with pip'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "the onnx package that is pinned needs Python 3.11 or newer, this is $(python3 --version)"
python3 -m pip --version >/dev/null 2>&1 || fail 'python3 has no pip; install it (on Debian: apt-get install python3-pip)'

mkdir -p "$root/.cache"
incoming=$(mktemp -d "$root/.cache/onnx-nodes.XXXXXX")
trap 'rm -rf -- "$incoming"' EXIT

printf "writing ONNX's node tests into %s; for this once onnx and numpy are downloaded from PyPI\\n" "$dest" >&2
export PIP_ROOT_USER_ACTION=ignore # it warns about a system's Python, which is not touched
python3 -m pip --quiet --disable-pip-version-check install --no-deps --only-binary=:all: --require-hashes \
  --requirement "$root/ci/minilm-requirements.txt" --target "$incoming/python" >&2 ||
  fail 'pip could not install onnx and numpy as pinned in ci/minilm-requirements.txt'
mkdir "$incoming/nodes"
PYTHONPATH=$incoming/python python3 -B "$root/ci/onnx_nodes.py" "$incoming/nodes"
# The stamp last: a run that was interrupted is seen by the next one.
printf '%s\n' "$made_by" >"$incoming/nodes/made-by"
rm -rf -- "$dest"
mv -- "$incoming/nodes" "$dest"
