#!/usr/bin/env bash
# Measures the whole path under load on this machine, in turns and in one run, every answer checked: ONNX Runtime alone, a
# plain server around it, enclave-app sealed, and the same through the gateway, on forged hardware. Prints tables in Markdown;
# a wrong answer or a refusal ends it with a status that is not zero.
#
#   ci/load.sh                              # the model of the demonstration and MiniLM; 1, 16 and 64 clients; a quarter of an hour
#   ci/load.sh --models tiny --seconds 1 --rounds 1
#   ci/load.sh --with-peers                 # MLServer and Triton beside it, where pip can install them
#   ci/load.sh --write                      # and puts the result into enclave-app/BENCHMARKS.md
#
# Other options are handed on: `teegate-load --help`. Needs what ci/demo.sh needs, and Python 3.11 for MiniLM.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"

command -v cargo >/dev/null || {
  echo 'load.sh: cargo is not installed; install Rust 1.95 or newer with rustup' >&2
  exit 1
}
arguments=()
peers=no
models=tiny,minilm
while (($#)); do
  case $1 in
    --with-peers) peers=yes ;;
    --write) arguments+=(--write "$root/enclave-app/BENCHMARKS.md") ;;
    --models)
      models=${2-}
      arguments+=("$1" "$models")
      shift
      ;;
    *) arguments+=("$1") ;;
  esac
  shift
done

ci/onnxruntime.sh
[[ ,$models, != *,minilm,* ]] || ci/minilm.sh

printf 'building enclave-app, teegate-gateway, forge-guest and tests/load in release (minutes the first time)\n' >&2
cargo build --locked --release --bins \
  --package teegate-enclave --package teegate-gateway --package teegate-forge --package teegate-load >&2
target=$(cargo metadata --locked --no-deps --format-version 1 |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')

# Each peer has a folder of packages of its own: they want different versions of the same ones.
peer() {
  local name=$1 script=$2 requirements=$root/tests/load/peers/$3
  local venv=$root/.cache/peers/$3
  if [[ ! -f $venv/installed ]]; then
    printf 'installing %s from PyPI into %s\n' "$name" "$venv" >&2
    rm -rf -- "$venv"
    if ! { python3 -m venv "$venv" && "$venv/bin/python" -m pip install --quiet --requirement "$requirements" >&2; }; then
      printf 'load.sh: %s cannot be installed here; it is left out\n' "$name" >&2
      return
    fi
    touch "$venv/installed"
  fi
  arguments+=(--peer "e: $name=$venv/bin/python,$root/tests/load/peers/$script")
}
if [[ $peers == yes ]]; then
  peer 'MLServer 1.7.1' mlserver_peer.py mlserver.txt
  peer 'Triton in nvidia-pytriton 0.7.0' triton_peer.py pytriton.txt
fi
exec "$target/release/teegate-load" ${arguments[@]+"${arguments[@]}"}
