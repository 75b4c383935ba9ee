#!/usr/bin/env bash
# Boots the guest of ci/uki.sh in QEMU, under Debian's OVMF firmware, with a software TPM (swtpm) behind a forged paravisor, and has a gateway on
# this machine attest it by the quotes of that TPM and send it a sealed inference. Three more boots are refused, each by its check: with
# another initramfs, another command line (`hcl.pcr.boot`), other initdata (`hcl.pcr8`). What is expected of each boot is predicted
# from its files. No KVM is used, also where there is one. docs/GUEST.md says what that proves, and how long it takes.
#
#   ci/guest.sh                    builds enclave-app for release, and the others as the tests have them
#   ci/guest.sh --tested           takes enclave-app as the tests have it, without its symbols: what ci/test.sh runs
#   ci/guest.sh --programs DIR     takes enclave-app from DIR, and of teegate, teegate-gateway and forge-guest what lies there
#   ci/guest.sh --log FILE.bin     boots the one that is accepted alone and writes its firmware's log of the boot, and the registers of the
#                                  quote into FILE.pcrs: measurements/tests/predict/guest-boot.bin is such a log
#
# Needs a Debian 12, cargo, gcc with binutils, python3 and zstd. Where QEMU, swtpm and zstd are missing and root runs this, Debian's packages
# of them are installed, which is said; it ends with 3 where one cannot be had, and with 1 where something is
# wrong. Everything is written into a temporary folder, and no process is left.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
caller=$PWD
programs=
tested=
log=()

fail() {
  printf 'guest.sh: %s\n' "$*" >&2
  exit 1
}
absolute() { (cd -- "$caller" && realpath -m -- "$1"); }

missing() {
  printf 'guest.sh: %s\n' "$*" >&2
  exit 3
}
package() { # package COMMAND PACKAGE: makes sure that the machine has it
  if command -v "$1" >/dev/null; then return; fi
  { command -v apt-get >/dev/null && ((EUID == 0)); } || missing "$1 is not installed (on Debian: apt-get install $2)"
  printf 'guest.sh: installing the package %s\n' "$2" >&2
  apt-get install -y --no-install-recommends "$2" >/dev/null ||
    missing "apt-get could not install $2; is its list of packages old (apt-get update)?"
}

while (($#)); do
  case "$1" in
    --tested)
      tested=yes
      shift
      continue
      ;;
    --programs) programs=$(absolute "${2:?--programs needs a folder}") ;;
    --log) log=(--log "$(absolute "${2:?--log needs a file}")") ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) fail "unknown option \"$1\"; known are --tested, --programs and --log" ;;
  esac
  shift 2
done
cd -- "$root"

package swtpm swtpm
package qemu-system-x86_64 qemu-system-x86
package zstd zstd
ci/debian.sh || missing "Debian's firmware, stub and kernel: ci/debian.sh could not fetch them, its message stands above"
target=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
if [[ -n $tested ]]; then
  [[ -z $programs ]] || fail '--tested and --programs both say which enclave-app to take: give one'
  cargo build --locked --bin enclave-app
  programs=$target/guest
  mkdir -p -- "$programs"
  strip -o "$programs/enclave-app" "$target/debug/enclave-app"
elif [[ -z $programs ]]; then
  cargo build --locked --release --package teegate-enclave --bin enclave-app
  programs=$target/release
fi
for program in teegate teegate-gateway forge-guest; do
  [[ -x $programs/$program ]] || cargo build --locked --bin "$program"
done
exec python3 ci/guest.py "$programs" "$target/debug" ${log[@]+"${log[@]}"}
