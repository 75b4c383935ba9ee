#!/usr/bin/env bash
# Builds programs of a release so that folder, user and machine leave no trace in their bytes. The one place that says how:
# ci/images.sh, ci/reproduce.sh and whatever else ships a program call this.
#
#   ci/release_programs.sh TARGET [PROGRAM...]   into TARGET/release; PROGRAM is enclave-app or teegate-gateway [both]
#
# Paths are taken out of Rust (`--remap-path-prefix`) and of C (`-ffile-prefix-map`), symbols are left out, and the environment is emptied
# but for what finds the toolchain. What remains is the source, rustc, gcc and binutils: others of these give other bytes.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
fail() {
  printf 'release_programs.sh: %s\n' "$*" >&2
  exit 1
}
case "${1:-}" in
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  '' | -*) fail 'expected a target folder, then programs' ;;
esac
target=$(realpath -m -- "$1")
shift
(($#)) || set -- enclave-app teegate-gateway
cd -- "$root"

declare -A packages=([enclave-app]=teegate-enclave [teegate-gateway]=teegate-gateway)
for program; do [[ -n ${packages[$program]:-} ]] || fail "\"$program\" is no program of a release; known are ${!packages[*]}"; done

cargo_home=$(realpath -- "${CARGO_HOME:-$HOME/.cargo}")
rustup_home=${RUSTUP_HOME:-$HOME/.rustup}
sysroot=$(rustc --print sysroot)
commit=$(rustc -vV | sed -n 's/^commit-hash: //p')
host=$(rustc -vV | sed -n 's/^host: //p')
for folder in "$root" "$target" "$cargo_home" "$sysroot"; do
  [[ $folder != *[[:space:]]* ]] || fail "\"$folder\" holds a space, and the flags of compilers are parted by spaces"
done

# Of several that fit, the last one counts: the target may lie inside the source. Where the component rust-src is installed, rustc names the
# standard library's files there, and otherwise as the released one was built.
names=("$root=/teegate" "$cargo_home=/cargo" "$sysroot=/rust" "$sysroot/lib/rustlib/src/rust=/rustc/$commit" "$target=/target")
rust='-C strip=symbols' c=
for name in "${names[@]}"; do
  rust+=" --remap-path-prefix=$name"
  c+=" -ffile-prefix-map=$name"
done

# Fetching may need a proxy or a registry's settings, building needs none of them.
cargo fetch --quiet --locked --target "$host"
for program; do
  # One at a time: features of a crate that two programs use would be those of both.
  env -i PATH="$PATH" HOME="$HOME" CARGO_HOME="$cargo_home" RUSTUP_HOME="$rustup_home" ${RUSTUP_TOOLCHAIN:+RUSTUP_TOOLCHAIN="$RUSTUP_TOOLCHAIN"} \
    ${CARGO_BUILD_JOBS:+CARGO_BUILD_JOBS="$CARGO_BUILD_JOBS"} LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH=0 CARGO_INCREMENTAL=0 CARGO_TARGET_DIR="$target" RUSTFLAGS="$rust" CFLAGS="${c# }" \
    cargo build --locked --offline --release --package "${packages[$program]}" --bin "$program"
done
