#!/usr/bin/env bash
# Measures what the gateway adds and how that grows, on this machine and on forged hardware: the hop beside a reverse proxy that proves
# nothing, a request before one instance and before a thousand, the cost of attesting all of them again and again, and, by hand, half
# an hour without growth. Every answer is checked; a wrong one or a refusal ends it with a status that is not zero.
#
#   ci/gateway.sh                                   # hop and size: some ten minutes
#   ci/gateway.sh --parts soak                      # half an hour
#   ci/gateway.sh --parts hop,size,soak --write     # and puts the result into gateway/BENCHMARKS.md
#
# Other options are handed on: `teegate-fleet --help`. Needs Rust 1.95 and a C compiler, and 3 GB of memory for a thousand instances.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"

command -v cargo >/dev/null || {
  echo 'gateway.sh: cargo is not installed; install Rust 1.95 or newer with rustup' >&2
  exit 1
}
arguments=()
for argument in "$@"; do
  case $argument in
    --write) arguments+=(--write "$root/gateway/BENCHMARKS.md") ;;
    *) arguments+=("$argument") ;;
  esac
done

printf 'building teegate-gateway and tests/load in release (minutes the first time)\n' >&2
cargo build --locked --release --bins --package teegate-gateway --package teegate-load >&2
target=$(cargo metadata --locked --no-deps --format-version 1 |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
exec "$target/release/teegate-fleet" "${arguments[@]}"
