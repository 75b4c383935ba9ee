#!/usr/bin/env bash
# Changes one rule at a time, as a careless edit would, and looks whether a test notices. Run by hand; ci/test.sh asks only
# for --list.
#
#   ci/mutants.sh           every mutant of ci/mutants.toml
#   ci/mutants.sh memo      those whose name holds this
#   ci/mutants.sh --list    only whether each place is still where mutants.toml says
#
# Works in a copy of the tree under target/mutants, in which all of them are compiled once, each behind a switch. Takes a
# quarter of an hour on two processors, five minutes of it to compile; and 6 GB. Needs Python 3.11, and
# what the tests need: ci/onnxruntime.sh has to have run, or those of the enclave-app show nothing. A test that hangs is
# ended after two minutes, which counts as noticed and is said.
#
# Ends with 1 when fewer than 95 of 100 are noticed, or when one survives without a reason in mutants.toml.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
command -v python3 >/dev/null && python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo 'mutants.sh: Python 3.11 or newer is needed' >&2
  exit 1
}
exec python3 "$root/ci/mutants.py" "$@"
