#!/usr/bin/env bash
# Makes a unified kernel image (UKI) whose initramfs is a whole guest: enclave-app, ONNX Runtime, the demonstration model, Debian's
# kernel, systemd's stub and busybox. It is what ci/guest.sh boots, and whose registers `teegate predict pcr --uki` predicts. A few seconds.
#
#   ci/uki.sh --programs DIR --out FILE                  the guest with the enclave-app in DIR
#   ci/uki.sh --programs DIR --out FILE --cmdline TEXT   with another command line
#   ci/uki.sh --programs DIR --out FILE --extra FILE     with one more file, under /extra
#
# The same programs give the same bytes: the packages are pinned by digest (ci/debian.sh), and times, order, owners and modes are
# fixed. What is not pinned is said: the C library of this machine, and the release of zstd. Needs a Debian 12 (apt, dpkg), python3,
# binutils and zstd, and no root.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
if [[ ${1-} == --help || ${1-} == -h ]]; then
  sed -n '2,/^set -euo/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  exit 0
fi
for tool in python3 strip zstd; do
  command -v "$tool" >/dev/null || {
    printf 'uki.sh: %s is not installed (on Debian: apt-get install python3 binutils zstd)\n' "$tool" >&2
    exit 1
  }
done
"$root/ci/debian.sh"
"$root/ci/onnxruntime.sh"
exec python3 "$root/ci/uki.py" "$@"
