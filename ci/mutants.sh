#!/usr/bin/env bash
# Changes one rule at a time, as a careless edit would, and looks whether a test notices. By hand: it takes an hour or more.
#
#   ci/mutants.sh           every mutant of ci/mutants.toml
#   ci/mutants.sh memo      those whose name holds this
#   ci/mutants.sh --list    only whether each place is still where mutants.toml says
#
# Works in a copy of the tree under target/mutants. Ends with 1 when fewer than 95 of 100 are noticed, or when one survives
# without a reason in mutants.toml.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
command -v python3 >/dev/null && python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo 'mutants.sh: Python 3.11 or newer is needed' >&2
  exit 1
}
exec python3 "$root/ci/mutants.py" "$@"
