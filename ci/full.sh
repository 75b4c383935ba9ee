#!/usr/bin/env bash
# Runs the exhaustive tests at their full size: every bit of every quote, every case with a memory, lists of a million
# entries, every node test of ONNX. ci/test.sh takes an even sample of each. Takes some fifteen minutes more on two processors.
#
#   ci/full.sh              all tests, full size
#   ci/full.sh tamper       those of the verifier whose name holds this
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
export TEEGATE_TESTS=full
if (($# == 0)); then
  exec ci/test.sh --no-lint
fi
exec cargo test --locked --package teegate-tests --test verifier -- "$@"
