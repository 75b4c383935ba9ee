#!/usr/bin/env bash
# Runs the exhaustive tests at their full size: every bit of every quote, every case with a memory, lists of a million
# entries, every node test of ONNX. ci/test.sh takes an even sample of each. Takes some fifteen minutes more on two processors.
# Then makes and checks the images of enclave-app and gateway (ci/images.sh), which builds both for release, and boots that enclave-app in
# a guest (ci/guest.sh).
#
#   ci/full.sh              all tests, full size
#   ci/full.sh tamper       those of the verifier whose name holds this
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
export TEEGATE_TESTS=full
if (($# == 0)); then
  status=0
  ci/test.sh --no-lint || status=$?
  folder=$(mktemp -d)
  ci/images.sh --out "$folder/images" || status=1
  rm -rf -- "$folder"
  ci/guest.sh --programs target/images/release || status=1
  exit "$status"
fi
exec cargo test --locked --package teegate-tests --test verifier -- "$@"
