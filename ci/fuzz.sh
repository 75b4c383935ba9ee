#!/usr/bin/env bash
# The long run by hand: builds the targets with LLVM's coverage counters, on the stable toolchain, and runs one or all of them.
#
#   ci/fuzz.sh                      every target, as long as it should: 10^7 executions of a reader, 10^6 of what walks further
#   ci/fuzz.sh TARGET               one
#   ci/fuzz.sh TARGET EXECUTIONS    for so long; `all` for every target
#   ci/fuzz.sh --list               the targets
#
# One processor, at low priority. What reached new code is kept in target/fuzz/TARGET, and the next run begins there. What was
# found lies in fuzz/artifacts/TARGET; the status is 1 then, and `ci/fuzz.sh --replay TARGET FILE…` shows it again. Each line of
# output is a row of the table in fuzz/README.md. The first build takes a few minutes; the crates of others are those of `cargo test`.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cd -- "$root"

if [[ ${1-} == -h || ${1-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  exit 0
fi

# Fast code that still checks its arithmetic, in files of its own beside those of `cargo test`.
export CARGO_PROFILE_DEV_OPT_LEVEL=3 CARGO_INCREMENTAL=0
export RUSTC_WORKSPACE_WRAPPER=$root/ci/fuzz-rustc.sh
nice -n 10 cargo build --quiet --locked -p teegate-fuzz --bin teegate-fuzz
# `cargo test` writes its own to the same place.
program=${CARGO_TARGET_DIR:-target}/fuzz/teegate-fuzz
mkdir -p -- "${program%/*}"
cp -- "${CARGO_TARGET_DIR:-target}/debug/teegate-fuzz" "$program"

case ${1-all} in
  --list) exec "$program" list ;;
  --replay)
    shift
    exec "$program" replay "$@"
    ;;
  all) mapfile -t targets < <("$program" list | cut -d' ' -f1) ;;
  *) targets=("$1") ;;
esac

options=()
if [[ -n ${2-} ]]; then options=(--executions "$2"); fi
status=0
for target in "${targets[@]}"; do
  nice -n 10 "$program" run "$target" --kept "${program%/*}/$target" ${options[@]+"${options[@]}"} || status=1
done
exit "$status"
