#!/usr/bin/env bash
# Walks the README from its first verdict to the answer of a sealed request and the refusal of another: sets up what it sets up,
# starts the service on forged hardware with its own line, runs the commands as they are printed, and holds what they say and how
# they end against it. Only `cargo install` is left out. Ten seconds or so.
#
#   ci/walk.sh          with the programs that `cargo build --locked --bins` has built
#   ci/walk.sh DIR      with those in DIR
#
# Everything is written into a temporary folder, and no process is left. Where something else listens on the README's port, any
# free one is taken, which is said.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
programs=${1:-}
if [[ -z $programs ]]; then
  programs=$(cd -- "$root" && cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug
fi
for program in teegate enclave-app teegate-gateway forge-guest; do
  [[ -x $programs/$program ]] || {
    printf 'walk.sh: %s is not there; run "cargo build --locked --bins" first\n' "$programs/$program" >&2
    exit 1
  }
done
exec python3 "$root/ci/walk.py" "$(cd -- "$programs" && pwd)"
