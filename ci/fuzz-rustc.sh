#!/usr/bin/env bash
# What cargo calls in place of rustc for the crates of this workspace (RUSTC_WORKSPACE_WRAPPER; ci/fuzz.sh sets it): the crates
# under test get LLVM's coverage counters, by flags that the stable compiler takes. So do the targets, into which small readers are
# inlined. The engine would count itself, the forge is not under test, and a program that runs while cargo builds has nobody who
# counts.
set -euo pipefail

crate=
previous=
for argument in "$@"; do
  if [[ $previous == --crate-name ]]; then crate=$argument; fi
  previous=$argument
done
case "$crate" in
  teegate_fuzz_engine | teegate_forge | forge_guest | build_script_* | ___ | '') exec "$@" ;;
esac
exec "$@" \
  -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=3 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-trace-compares \
  -Ccodegen-units=1
