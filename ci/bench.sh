#!/usr/bin/env bash
# Measures verification beside the peers `dcap-qvl` and `sev`, as multiples of the signature verifications that each
# case needs. It compiles those peers, which takes minutes the first time; `sev` on OpenSSL only where OpenSSL's headers
# are installed. The lines are one a case:
#
#   tdx-cold teegate 1.07 dcap-qvl 1.19
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
target=${CARGO_TARGET_DIR:-$root/target}
openssl=()
if CARGO_TARGET_DIR=$target cargo build --locked --release --manifest-path tests/bench/openssl/Cargo.toml >&2; then
  openssl=("$target/release/teegate-bench-openssl")
else
  printf 'bench.sh: sev on OpenSSL does not build here (on Debian: apt-get install libssl-dev pkg-config); it is left out\n' >&2
fi
sev=$(ci/recorded.sh sev)
dcap_qvl=$(ci/recorded.sh dcap-qvl)
exec cargo run --locked --release --quiet --package teegate-bench -- "$sev" "$dcap_qvl" ${openssl[@]+"${openssl[@]}"}
