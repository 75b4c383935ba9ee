#!/usr/bin/env bash
# Kills and stops gateway, enclave-app, workers and the door of `teegate proxy` while clients send numbered requests, and looks
# that nothing runs twice, is answered wrongly or takes longer than it may. The counts are printed. `ci/test.sh` runs eight seconds
# of it with every other test.
#
#   ci/faults.sh            sixty seconds
#   ci/faults.sh 600        as many seconds as are named
set -euo pipefail

seconds=${1:-60}
[[ $seconds =~ ^[0-9]{1,5}$ ]] || {
  printf 'faults.sh: `%s` is no number of seconds\n' "$seconds" >&2
  exit 1
}
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
ci/onnxruntime.sh
cargo build --locked --bins
TEEGATE_FAULTS_SECONDS=$seconds cargo test --locked -p teegate-tests --test path faults::
