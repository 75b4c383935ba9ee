#!/usr/bin/env bash
# Measures verification beside the peers `dcap-qvl` and `sev`, as multiples of the signature verifications that each
# case needs. It compiles those peers, which takes minutes the first time. The last lines are one a case:
#
#   tdx-cold teegate 1.18 dcap-qvl 1.40
#
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"
command -v cargo >/dev/null || {
  echo 'bench.sh: cargo is not installed; install Rust 1.95 or newer with rustup' >&2
  exit 1
}
printf 'building tests/bench in release, with its peers, into target/release\n' >&2
cargo build --locked --release --package teegate-bench >&2
sev=$(ci/recorded.sh sev)
dcap_qvl=$(ci/recorded.sh dcap-qvl)
exec cargo run --locked --release --quiet --package teegate-bench -- "$sev" "$dcap_qvl"
