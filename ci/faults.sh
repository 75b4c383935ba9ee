#!/usr/bin/env bash
# Kills and stops gateway, enclave-app, workers and the door of `teegate proxy` while clients send numbered requests; and lets fail
# what is around them: the vendors, the name by which instances are found, the disk, the clock of the gateway. Looks that nothing runs
# twice, is answered wrongly or takes longer than it may, and that memory and open files are what they were. The counts stand in a
# table at the end. `ci/test.sh` runs a few seconds of each with every other test.
#
#   ci/faults.sh                sixty seconds of each
#   ci/faults.sh 600            as many seconds as are named; from 240 on with outages of minutes
#   ci/faults.sh 600 clock      one of them: vendors, names, disk, clock
#
# The clock needs a C compiler and the disk mount namespaces; where one is missing, that is said and the rest runs.
set -euo pipefail

seconds=${1:-60}
[[ $seconds =~ ^[0-9]{1,5}$ ]] || {
  printf 'faults.sh: `%s` is no number of seconds\n' "$seconds" >&2
  exit 1
}
which=${2:-}
[[ $which =~ ^(vendors|names|disk|clock)?$ ]] || {
  printf 'faults.sh: `%s` is none of vendors, names, disk, clock\n' "$which" >&2
  exit 1
}
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
ci/onnxruntime.sh
cargo build --locked --bins
log=$(mktemp)
trap 'rm -f -- "$log"' EXIT
status=0
TEEGATE_FAULTS_SECONDS=$seconds cargo test --locked -p teegate-tests --test path -- "faults::$which" --test-threads 1 2>&1 |
  tee "$log" || status=$?
printf '\n%-8s | %6s | %6s | %8s | %7s | %7s | %5s | %s\n' \
  fails sent run answered replays refused lost 'what, and how often'
sed -n 's/.*note: faults | //p' "$log"
grep -o 'note: skipped: .*' "$log" || true
exit "$status"
