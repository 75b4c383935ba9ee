#!/usr/bin/env bash
# Shows the whole of teegate on this machine: verifies recorded evidence of real AMD and Intel hardware, check by check,
# then sends one sealed inference from a client through a gateway to an attested enclave-app, then three that are
# refused. The path stands on forged hardware, and the demonstration says so where it does.
#
# A fresh machine needs rustup's toolchain, gcc and python3 with pip. What is installed on top is said as it happens:
# crates from the public registry into cargo's own cache, ONNX Runtime into `.cache`, four programs into
# `target/release`. Nothing is installed system-wide and nothing leaves this machine.
#
#   ci/demo.sh                         the demonstration; arguments are handed to `teegate demo`
#   ci/demo.sh --serve DIR             keeps the forged path running for commands of your own, until Ctrl-C
#   ci/demo.sh --built DIR [ARGUMENT]  the same with the programs in DIR, and nothing is built
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
caller=$PWD # what the arguments name lies from there
built=
if [[ ${1-} == --help || ${1-} == -h ]]; then
  sed -n '2,/^set -euo/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  exit 0
fi
if [[ ${1-} == --built ]]; then
  built=$(cd -- "${2:?--built needs the folder of the programs}" && pwd)
  shift 2
fi
cd -- "$root"

need() {
  command -v "$1" >/dev/null || {
    printf 'demo.sh: %s is not installed; %s\n' "$1" "$2" >&2
    exit 1
  }
}
need cargo 'install Rust 1.95 or newer with rustup'
need cc 'install a C compiler (on Debian: apt-get install gcc); aws-lc is compiled from source'
need python3 'install Python 3.9 or newer with pip'

ci/onnxruntime.sh

if [[ -z $built ]]; then
  printf 'building teegate, enclave-app, teegate-gateway and forge-guest (minutes the first time)\n' >&2
  cargo build --locked --release --bins \
    --package teegate --package teegate-enclave --package teegate-gateway --package teegate-forge
  built=$(cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release
fi

recorded=()
if [[ " $* " != *' --serve'* ]]; then
  sev=$(ci/recorded.sh sev)
  dcap_qvl=$(ci/recorded.sh dcap-qvl)
  recorded=(--sev-crate "$sev" --dcap-qvl-crate "$dcap_qvl")
fi
cd -- "$caller"
exec "$built/teegate" demo ${recorded[@]+"${recorded[@]}"} \
  --onnxruntime "$root/.cache/onnxruntime/lib/libonnxruntime.so" \
  --model "$root/enclave-app/models/breast-cancer" \
  "$@"
