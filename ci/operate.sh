#!/usr/bin/env bash
# The walk of an operator: a fleet of four addresses on forged hardware (one good guest, one in debug mode, one with other code, one
# where nobody listens) behind a gateway, and every question of docs/OPERATIONS.md that can be asked of it, answered by `status`, the
# metrics and the log. Twenty seconds or so.
#
#   ci/operate.sh          with the programs that `cargo build --locked --bins` has built
#   ci/operate.sh DIR      with those in DIR
#
# Everything is written into a temporary folder, and no process is left.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
programs=${1:-}
if [[ -z $programs ]]; then
  programs=$(cd -- "$root" && cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug
fi
for program in teegate enclave-app teegate-gateway forge-guest; do
  [[ -x $programs/$program ]] || {
    printf 'operate.sh: %s is not there; run "cargo build --locked --bins" first\n' "$programs/$program" >&2
    exit 1
  }
done
"$root/ci/onnxruntime.sh" >/dev/null
exec python3 "$root/ci/operate.py" "$(cd -- "$programs" && pwd)"
