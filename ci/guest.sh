#!/usr/bin/env bash
# Boots the guest of ci/uki.sh in QEMU, under Debian's OVMF firmware, with a software TPM (swtpm) behind a forged paravisor, and has a gateway on
# this machine attest it by the quotes of that TPM and send it a sealed inference. Three more boots are refused, each by its check: with
# another initramfs, another command line (`hcl.pcr.boot`), other initdata (`hcl.pcr8`). What is expected of each boot is predicted
# from its files. No KVM is used, also where there is one. docs/GUEST.md says what that proves, and how long it takes.
#
#   ci/guest.sh                    builds enclave-app for release, and the others as the tests have them
#   ci/guest.sh --programs DIR     takes enclave-app from DIR, and of teegate, teegate-gateway and forge-guest what lies there
#   ci/guest.sh --log FILE.bin     boots the one that is accepted alone and writes its firmware's log of the boot, and the registers of the
#                                  quote into FILE.pcrs: measurements/tests/predict/guest-boot.bin is such a log
#
# Needs a Debian 12, cargo, gcc with binutils, python3 and zstd. Where QEMU and swtpm are missing and root runs this, Debian's packages
# of them are installed, which is said. Everything is written into a temporary folder, and no process is left.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
caller=$PWD
programs=
log=()

fail() {
  printf 'guest.sh: %s\n' "$*" >&2
  exit 1
}
absolute() { (cd -- "$caller" && realpath -m -- "$1"); }

while (($#)); do
  case "$1" in
    --programs) programs=$(absolute "${2:?--programs needs a folder}") ;;
    --log) log=(--log "$(absolute "${2:?--log needs a file}")") ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) fail "unknown option \"$1\"; known are --programs and --log" ;;
  esac
  shift 2
done
cd -- "$root"

ci/swtpm.sh
if ! command -v qemu-system-x86_64 >/dev/null; then
  { command -v apt-get >/dev/null && ((EUID == 0)); } || fail 'QEMU is not installed (on Debian: apt-get install qemu-system-x86)'
  printf 'guest.sh: installing the package qemu-system-x86\n' >&2
  apt-get install -y --no-install-recommends qemu-system-x86 >/dev/null ||
    fail 'apt-get could not install qemu-system-x86; is its list of packages old (apt-get update)?'
fi
if [[ -z $programs ]]; then
  cargo build --locked --release --package teegate-enclave --bin enclave-app
fi
target=$(cargo metadata --locked --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
programs=${programs:-$target/release}
for program in teegate teegate-gateway forge-guest; do
  [[ -x $programs/$program ]] || cargo build --locked --bin "$program"
done
exec python3 ci/guest.py "$programs" "$target/debug" ${log[@]+"${log[@]}"}
